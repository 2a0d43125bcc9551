package main

import (
	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/project"
)

func (c *cli) schema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of ridgeline.yaml, with which editors complete and explain it",
		RunE: func(*cobra.Command, []string) error {
			_, err := c.out.Write(project.Schema())
			return err
		},
	}
}
