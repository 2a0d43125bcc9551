package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) resume() *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use: "resume RUN", Short: "Go on where a run failed: a new run that takes over what succeeded", Args: cobra.ExactArgs(1),
		Long: `Resume starts a run of the same pipeline, parameters and data as RUN, which failed or was
cancelled. Steps that succeeded then are taken over, also where the cache is off; the others run.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.again(cmd, args[0], "resume", nil, detach)
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "do not follow the run; print it as JSON")
	return cmd
}

func (c *cli) rerun() *cobra.Command {
	var detach bool
	var from string
	cmd := &cobra.Command{
		Use: "rerun RUN --from STEP", Short: "Do a step of a run, and all that depends on it, anew", Args: cobra.ExactArgs(1),
		Long: `Rerun starts a run of the same pipeline, parameters and data as RUN. The step of --from and
all steps that depend on it run anew; the others are taken over where they succeeded.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" {
				return usage("--from is missing: name the step to begin with; ridgeline run %s lists them", args[0])
			}
			return c.again(cmd, args[0], "rerun", map[string]any{"from": from}, detach)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the step to begin with")
	cmd.Flags().BoolVar(&detach, "detach", false, "do not follow the run; print it as JSON")
	return cmd
}

// again starts a run made after another one, and follows it.
func (c *cli) again(cmd *cobra.Command, run, how string, body any, detach bool) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	started, err := api.Post[api.Run](cmd.Context(), client, "/api/v1/runs/"+url.PathEscape(run)+"/"+how, body)
	if err != nil {
		return err
	}
	return c.followRun(cmd.Context(), client, started, detach, "")
}

func (c *cli) reproduce() *cobra.Command {
	return &cobra.Command{
		Use: "reproduce NAME:VERSION", Short: "Make a model version again and compare, step by step", Args: cobra.ExactArgs(1),
		Long: `Reproduce trains a version once more from the commit, the data, the environment and the
parameters on record, every step anew, and compares the files, the metrics and the model's
bytes with what was made then. It registers nothing. Exit code 0: all came out the same;
1: something did not, and the first step that differs is named.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := nameVersion(args[0])
			if err != nil {
				return err
			}
			if version == 0 {
				return usage("%q: expected NAME:VERSION, such as diabetes:2", args[0])
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			started, err := api.Post[api.Run](cmd.Context(), client, fmt.Sprintf("/api/v1/models/%s/versions/%d/reproduce", url.PathEscape(name), version), nil)
			if err != nil {
				return err
			}
			f := &follower{client, newBoard(c.err, c.json)}
			out, err := f.runToEnd(cmd.Context(), started.ID)
			if err != nil {
				return c.interrupted(err, "ridgeline run "+started.ID)
			}
			if err := out.failed(); err != nil {
				return fmt.Errorf("%s could not be made again: %w", args[0], err)
			}
			found, err := api.Get[reproduction](cmd.Context(), client, "/api/v1/runs/"+url.PathEscape(started.ID)+"/comparison")
			if err != nil {
				return err
			}
			return c.compared(found)
		},
	}
}

// reproduction is pipeline.Comparison as the API spells it.
type reproduction struct {
	Run   string `json:"run"`
	Model string `json:"model"`
	Of    string `json:"of"`
	Same  bool   `json:"same"`
	Step  string `json:"step,omitempty"`
	How   string `json:"how,omitempty"`
	Steps []struct {
		Name string `json:"name"`
		Same bool   `json:"same"`
		How  string `json:"how,omitempty"`
	} `json:"steps"`
}

func (c *cli) compared(found reproduction) error {
	if c.json {
		if err := c.print(found); err != nil {
			return err
		}
	} else {
		for _, s := range found.Steps {
			word := "same"
			if !s.Same {
				word = "differs"
			}
			fmt.Fprintf(c.out, "  %-9s %-12s %s\n", word, s.Name, s.How)
		}
	}
	if !found.Same {
		return fmt.Errorf("%s came out otherwise than in run %s; the first step that differs is %s: %s", found.Model, found.Of, found.Step, found.How)
	}
	if !c.json {
		fmt.Fprintf(c.out, "%s came out the same, byte by byte\n", found.Model)
	}
	return nil
}
