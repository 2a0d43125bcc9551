package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/project"
)

func (c *cli) initProject() *cobra.Command {
	return &cobra.Command{
		Use:   "init NAME",
		Short: "Make a new project from the diabetes template, ready to push",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			files, err := project.Init(dir, filepath.Base(dir))
			if err != nil {
				return err
			}
			if c.json {
				return c.print(map[string]any{"project": filepath.Base(dir), "dir": dir, "files": files})
			}
			fmt.Fprintf(c.out, "made project %s: %d files in %s\nnext: cd %s && ridgeline push\n", filepath.Base(dir), len(files), dir, args[0])
			return nil
		},
	}
}
