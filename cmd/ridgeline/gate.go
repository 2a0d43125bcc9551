package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

func (c *cli) gate() *cobra.Command {
	var markdown, again bool
	cmd := &cobra.Command{
		Use: "gate RUN", Short: "Show how the gate judged a run's model", Args: cobra.ExactArgs(1),
		Long: `Gate prints the report on a run's model. With --again it is made once more from the rows
that were kept with the version, and must come out the same to the last digit.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/api/v1/runs/" + url.PathEscape(args[0]) + "/gate"
			if again {
				return c.gateAgain(cmd.Context(), path+"/again", markdown)
			}
			return get(cmd.Context(), c, path, func(raw json.RawMessage) error {
				var report gate.Report
				if err := json.Unmarshal(raw, &report); err != nil {
					return err
				}
				return c.printReport(report, markdown)
			})
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print Markdown, as for a pull request")
	cmd.Flags().BoolVar(&again, "again", false, "make the report again from the kept rows, and compare")
	cmd.AddCommand(c.compare(), c.ledger())
	return cmd
}

func (c *cli) gateAgain(ctx context.Context, path string, markdown bool) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	var out struct {
		Same       bool        `json:"same"`
		Difference string      `json:"difference,omitempty"`
		Report     gate.Report `json:"report"`
	}
	if err := client.Do(ctx, "POST", path, nil, &out); err != nil {
		return err
	}
	switch {
	case c.json:
		err = c.print(out)
	default:
		err = c.printReport(out.Report, markdown)
	}
	if err != nil {
		return err
	}
	if !out.Same {
		return fmt.Errorf("made again, the report is another one: %s", out.Difference)
	}
	if !c.json {
		fmt.Fprintln(c.err, "made again from the kept rows: the same to the last digit")
	}
	return nil
}

func (c *cli) ledger() *cobra.Command {
	return &cobra.Command{
		Use: "ledger MODEL", Short: "Show what a model's decisions have spent of the error budget", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return get(cmd.Context(), c, "/api/v1/models/"+url.PathEscape(args[0])+"/ledger", func(list []api.Decision) error {
				var rows [][]string
				for _, d := range list {
					row := []string{strconv.Itoa(d.Version), d.Verdict, "", "", "", fmt.Sprintf("%.4g", d.Alpha), d.Run, ago(d.At), ""}
					if d.Override != nil {
						row[8] = fmt.Sprintf("%s by %s: %s", d.Override.How, d.Override.Who, clip(oneLine(d.Override.Reason), 60))
					} else {
						row[2], row[3], row[4] = strconv.Itoa(d.Life), strconv.Itoa(d.Rows), fmt.Sprintf("%.0f %%", 100*d.New)
					}
					rows = append(rows, row)
				}
				return table(c.out, []string{"VERSION", "VERDICT", "HOLDOUT", "ROWS", "NEW", "ALPHA", "RUN", "WHEN", "OVERRIDE"}, rows)
			})
		},
	}
}

func (c *cli) promote() *cobra.Command {
	var reason string
	var noRelease bool
	cmd := &cobra.Command{
		Use: "promote NAME:VERSION", Short: "Make a version champion whatever the gate said, and release it", Args: cobra.ExactArgs(1),
		Long: `Promote overrides the gate: the version becomes the champion, and is released to its
project's environments. Who did it, when and why stays with the version for ever.`,
		Example: `  ridgeline promote diabetes:3 --reason "the new coding of sex is law from Monday"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := nameVersion(args[0])
			switch {
			case err != nil:
				return err
			case version == 0:
				return usage("%q: name the version as well, such as %s:2", args[0], args[0])
			case strings.TrimSpace(reason) == "":
				return usage("--reason \"…\" is missing: it stays with the version for ever")
			}
			return c.runPromotion(cmd.Context(), name, version, reason, !noRelease)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; required")
	cmd.Flags().BoolVar(&noRelease, "no-release", false, "make it champion only")
	return cmd
}

func (c *cli) runPromotion(ctx context.Context, name string, version int, reason string, release bool) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	path := "/api/v1/models/" + url.PathEscape(name) + "/versions/" + strconv.Itoa(version) + "/promote"
	out, err := api.Post[api.Promotion](ctx, client, path, map[string]any{"reason": reason, "release": release})
	if err != nil {
		return err
	}
	if out.Release != nil {
		f := &follower{client, newBoard(c.err, c.json)}
		rel, err := f.release(ctx, out.Release.ID)
		if err != nil {
			return c.interrupted(err, "ridgeline releases")
		}
		out.Release = &rel
	}
	if c.json {
		if err := c.print(out); err != nil {
			return err
		}
	} else {
		o := out.Model.Override[len(out.Model.Override)-1]
		fmt.Fprintf(c.out, "%s version %d is champion by override of %s at %s: %s\n", name, version, o.Who, o.At.Local().Format(time.DateTime), oneLine(o.Reason))
	}
	if out.Release == nil {
		return nil
	}
	if out.Release.Status != "succeeded" {
		return fmt.Errorf("release %s %s: %s\nwhat was live before still is", out.Release.ID, out.Release.Status, out.Release.Reason)
	}
	if !c.json {
		fmt.Fprintf(c.out, "%s version %d is live in %s\n", name, version, environments(*out.Release))
	}
	return nil
}
