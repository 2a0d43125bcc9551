package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// why is pipeline.Why as the API spells it.
type why struct {
	Run     string   `json:"run"`
	Step    string   `json:"step"`
	Status  string   `json:"status"`
	Cached  bool     `json:"cached"`
	Source  string   `json:"source,omitempty"`
	Reason  string   `json:"reason"`
	Before  string   `json:"before,omitempty"`
	Changes []string `json:"changes"`
}

func (c *cli) why() *cobra.Command {
	return &cobra.Command{
		Use: "why RUN STEP", Short: "Say why a step ran, or did not have to", Args: cobra.ExactArgs(2),
		Long: `Why names what a step's result was reused for, or what has changed since the step last
succeeded: files, parameters, data, environment, the output of steps before it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/api/v1/runs/" + url.PathEscape(args[0]) + "/why?step=" + url.QueryEscape(args[1])
			return get(cmd.Context(), c, path, func(w why) error {
				word := w.Status
				if w.Cached {
					word = "cached"
				}
				fmt.Fprintf(c.out, "%s of run %s: %s; %s\n", w.Step, w.Run, word, w.Reason)
				switch {
				case w.Before == "":
				case len(w.Changes) == 0:
					fmt.Fprintf(c.out, "nothing it can see has changed since run %s\n", w.Before)
				default:
					fmt.Fprintf(c.out, "since run %s: %s\n", w.Before, strings.Join(w.Changes, "; "))
				}
				return nil
			})
		},
	}
}
