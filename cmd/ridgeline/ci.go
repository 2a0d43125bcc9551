package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

func (c *cli) ci() *cobra.Command {
	var systems []string
	for _, s := range project.CIs() {
		systems = append(systems, s.System)
	}
	cmd := &cobra.Command{Use: "ci", Short: "Build the project inside another CI system"}
	var force bool
	init := &cobra.Command{
		Use:       "init " + strings.Join(systems, "|") + " [DIR]",
		Short:     "Write the system's pipeline file: checks, reports, and the handing over to the server",
		Args:      cobra.RangeArgs(1, 2),
		ValidArgs: systems,
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 2 {
				dir = args[1]
			}
			system, err := project.FindCI(args[0])
			if err != nil {
				return usage("%v", err)
			}
			written, err := writeCI(dir, system, force)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(map[string]any{
					"system": system.System, "file": system.File, "written": written, "settings": system.Setting,
					"variables": []string{"RIDGELINE_BINARY", "RIDGELINE_URL"}, "secret": "RIDGELINE_TOKEN",
				})
			}
			did := map[bool]string{true: "wrote " + system.File, false: system.File + " is there already, and the same"}[written]
			fmt.Fprintf(c.out, "%s\nnext: commit it, and set in %s:\n  RIDGELINE_BINARY  where the program ridgeline for Linux is downloaded from\n"+
				"  RIDGELINE_URL     the server's address, as the agents see it\n  RIDGELINE_TOKEN   as %s, from: ridgeline token create ci --role writer\n", did, system.Setting, system.Secret)
			return nil
		},
	}
	init.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	cmd.AddCommand(init)
	return cmd
}

// writeCI writes the system's file into the project, unless another is there.
// It reports whether it had to.
func writeCI(dir string, system project.CI, force bool) (bool, error) {
	cfg, err := project.Load(dir)
	if err != nil {
		return false, err
	}
	if err := atTop(dir, system); err != nil {
		return false, err
	}
	text, err := system.Write(cfg)
	if err != nil {
		return false, err
	}
	file := filepath.Join(dir, filepath.FromSlash(system.File))
	switch have, err := os.ReadFile(file); {
	case err == nil && bytes.Equal(have, text):
		return false, nil
	case err == nil && !force:
		return false, ridgeline.Errorf(ridgeline.Conflict, "%s is there already and differs: keep it, or replace it with --force", system.File)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, ridgeline.Errorf(ridgeline.Invalid, "%w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return false, err
	}
	beside := file + ".new"
	if err := os.WriteFile(beside, text, 0o644); err != nil {
		return false, err
	}
	return true, os.Rename(beside, file)
}

// atTop refuses a project below its repository's top, where no system looks.
func atTop(dir string, system project.CI) error {
	at, err := filepath.Abs(dir)
	if err != nil || exists(filepath.Join(at, ".git")) {
		return err
	}
	for up := filepath.Dir(at); up != filepath.Dir(up); up = filepath.Dir(up) {
		if exists(filepath.Join(up, ".git")) {
			return ridgeline.Errorf(ridgeline.Invalid,
				"the project is below the top of its repository, %s, and %s is looked for there only: make the project a repository of its own", up, system.File)
		}
	}
	return nil
}
