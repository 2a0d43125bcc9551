package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) cost() *cobra.Command {
	var project, month string
	var days int
	var runs, deployments, spreadsheet bool
	cmd := &cobra.Command{
		Use: "cost", Short: "What training and serving have used, and what that costs by the server's prices",
		Long: `Cost lists what each model version has used: its run, the copies that served it, and what a
thousand of its predictions cost. With --runs it lists every attempt of every run instead, with
--deployments every deployment. What counts is what was set aside (cpu, memory, gpu), or what was
used where that was more; what was used stands beside it, where somebody saw it, and below what
was asked for in vain. With --month it is the bill of a month: by project beside their budgets,
by pool, and by model version; --csv writes that by day, for a spreadsheet. Prices and budgets
are in the server's settings (server.yaml, prices and budget).`,
		Example: `  ridgeline cost --project iris
  ridgeline cost --month now
  ridgeline cost --month 2026-10 --csv > october.csv`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if spreadsheet {
				return c.monthCSV(cmd.Context(), month, project)
			}
			if month != "" {
				return get(cmd.Context(), c, monthPath(month, "", project), c.month)
			}
			query := "?days=" + strconv.Itoa(days) + "&project=" + url.QueryEscape(project)
			if runs {
				return get(cmd.Context(), c, "/api/v1/costs/runs"+query, c.runCosts)
			}
			show := c.versionCosts
			if deployments {
				show = c.deploymentCosts
			}
			if err := get(cmd.Context(), c, "/api/v1/costs/models"+query, show); err != nil || c.json {
				return err
			}
			return get(cmd.Context(), c, monthPath("now", "", project), c.budgets)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&project, "project", "", "of this project only")
	flags.IntVar(&days, "days", 90, "of runs that were created since so many days")
	flags.BoolVar(&runs, "runs", false, "every attempt of every run")
	flags.BoolVar(&deployments, "deployments", false, "every deployment of every version")
	flags.StringVar(&month, "month", "", "the bill of a month, such as 2026-11, or of this one: now")
	flags.BoolVar(&spreadsheet, "csv", false, "the month, by day, project and pool, as CSV")
	cmd.MarkFlagsMutuallyExclusive("runs", "deployments", "month")
	cmd.MarkFlagsMutuallyExclusive("runs", "deployments", "csv")
	cmd.MarkFlagsMutuallyExclusive("days", "month")
	return cmd
}

func (c *cli) versionCosts(list []api.VersionCost) error {
	var rows [][]string
	for _, v := range list {
		perThousand := ""
		if v.Predictions > 0 {
			perThousand = money(v.PerThousand, v.Currency)
		}
		rows = append(rows, []string{
			v.Project, v.Model + ":" + strconv.Itoa(v.Version), v.Run, inSeconds(v.Training.CPU), usedCPU(v.Training), money(v.Training.Cost, v.Currency),
			inSeconds(v.CopySeconds), inSeconds(v.Serving.CPU), usedCPU(v.Serving), money(v.Serving.Cost, v.Currency), strconv.FormatInt(v.Predictions, 10), perThousand,
		})
	}
	return table(c.out, []string{"PROJECT", "MODEL", "RUN", "TRAIN CPU", "USED", "TRAINING", "COPIES", "SERVE CPU", "USED", "SERVING", "PREDICTIONS", "PER 1,000"}, rows)
}

func (c *cli) deploymentCosts(list []api.VersionCost) error {
	var rows [][]string
	var advice []string
	for _, v := range list {
		for _, d := range v.Deployments {
			rows = append(rows, []string{
				v.Project, d.Environment, v.Model + ":" + strconv.Itoa(v.Version), d.Deployment, d.Host, inSeconds(d.CopySeconds), inSeconds(d.CPU), usedCPU(d.Spent),
				gib(d.Memory), peak(d.Spent, d.Asked), inSeconds(d.GPU), money(d.Cost, v.Currency),
			})
			if d.Advice != "" {
				advice = append(advice, d.Deployment+" "+d.Advice)
			}
		}
	}
	return c.advised(rows, []string{"PROJECT", "ENVIRONMENT", "MODEL", "DEPLOYMENT", "HOST", "COPIES", "CPU", "USED", "GIB HOURS", "AT MOST", "GPU", "COST"}, advice)
}

// advised is a table and, below it, what was asked for in vain.
func (c *cli) advised(rows [][]string, head, advice []string) error {
	if err := table(c.out, head, rows); err != nil {
		return err
	}
	for _, a := range advice {
		if _, err := fmt.Fprintln(c.out, a); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) runCosts(list []api.RunCost) error {
	var rows [][]string
	var advice []string
	for _, r := range list {
		for _, t := range r.Attempts {
			pool := t.Pool
			if t.Spot {
				pool += " (spot)"
			}
			fate := t.Status
			if t.Fate != "" {
				fate += ", " + t.Fate
			}
			rows = append(rows, []string{
				r.Run, t.Step, strconv.Itoa(t.Attempt), pool, fate, inSeconds(t.Seconds), inSeconds(t.CPU), usedCPU(t.Spent), gib(t.Memory), peak(t.Spent, t.Asked),
				inSeconds(t.GPU), money(t.Cost, r.Currency),
			})
			if t.Advice != "" {
				advice = append(advice, fmt.Sprintf("%s %s, attempt %d, %s", r.Run, t.Step, t.Attempt, t.Advice))
			}
		}
		rows = append(rows, []string{r.Run, "all", "", "", "", "", inSeconds(r.CPU), usedCPU(r.Spent), gib(r.Memory), "", inSeconds(r.GPU), money(r.Cost, r.Currency)})
	}
	return c.advised(rows, []string{"RUN", "STEP", "ATTEMPT", "POOL", "STATUS", "TOOK", "CPU", "USED", "GIB HOURS", "AT MOST", "GPU", "COST"}, advice)
}

// usedCPU is empty where nobody saw what was used.
func usedCPU(s api.Spent) string {
	if s.Used == nil {
		return ""
	}
	return inSeconds(s.Used.CPU)
}

// peak is the most memory that was used at a time, of what was asked for.
func peak(s api.Spent, asked api.Asked) string {
	if s.Used == nil {
		return ""
	}
	text := sizeText(s.Used.Peak)
	if asked.Memory > 0 {
		text += " of " + sizeText(asked.Memory)
	}
	return text
}

func inSeconds(s float64) string { return fmt.Sprintf("%.1f s", s) }

func gib(byteSeconds float64) string { return fmt.Sprintf("%.4f", byteSeconds/(1<<30)/3600) }

// money is empty without prices: nothing is free.
func money(v float64, currency string) string {
	if currency == "" {
		return ""
	}
	return fmt.Sprintf("%.4f %s", v, currency)
}
