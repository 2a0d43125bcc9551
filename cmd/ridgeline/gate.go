package main

import (
	"encoding/json"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/gate"
)

func (c *cli) gate() *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use: "gate RUN", Short: "Show how the gate judged a run's model", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return get(cmd.Context(), c, "/api/v1/runs/"+url.PathEscape(args[0])+"/gate", func(raw json.RawMessage) error {
				var report gate.Report
				if err := json.Unmarshal(raw, &report); err != nil {
					return err
				}
				return c.printReport(report, markdown)
			})
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print Markdown, as for a pull request")
	cmd.AddCommand(c.compare())
	return cmd
}
