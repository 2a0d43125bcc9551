package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) cost() *cobra.Command {
	var project string
	var days int
	var runs bool
	cmd := &cobra.Command{
		Use: "cost", Short: "What training and serving have used, and what that costs by the server's prices",
		Long: `Cost lists what each model version has used: its run, the copies that served it, and what a
thousand of its predictions cost. With --runs it lists every attempt of every run instead. What
counts is what was set aside (cpu, memory, gpu), or what was used where that was more. Prices are
in the server's settings (server.yaml, prices).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := "?days=" + strconv.Itoa(days) + "&project=" + url.QueryEscape(project)
			if runs {
				return get(cmd.Context(), c, "/api/v1/costs/runs"+query, c.runCosts)
			}
			return get(cmd.Context(), c, "/api/v1/costs/models"+query, c.versionCosts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&project, "project", "", "of this project only")
	flags.IntVar(&days, "days", 90, "of runs that were created since so many days")
	flags.BoolVar(&runs, "runs", false, "every attempt of every run")
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
			v.Project, v.Model + ":" + strconv.Itoa(v.Version), v.Run, inSeconds(v.Training.CPU), money(v.Training.Cost, v.Currency),
			inSeconds(v.CopySeconds), inSeconds(v.Serving.CPU), money(v.Serving.Cost, v.Currency), strconv.FormatInt(v.Predictions, 10), perThousand,
		})
	}
	return table(c.out, []string{"PROJECT", "MODEL", "RUN", "TRAIN CPU", "TRAINING", "COPIES", "SERVE CPU", "SERVING", "PREDICTIONS", "PER 1,000"}, rows)
}

func (c *cli) runCosts(list []api.RunCost) error {
	var rows [][]string
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
				r.Run, t.Step, strconv.Itoa(t.Attempt), pool, fate, inSeconds(t.Seconds), inSeconds(t.CPU), gib(t.Memory), inSeconds(t.GPU), money(t.Cost, r.Currency),
			})
		}
		rows = append(rows, []string{r.Run, "all", "", "", "", "", inSeconds(r.CPU), gib(r.Memory), inSeconds(r.GPU), money(r.Cost, r.Currency)})
	}
	return table(c.out, []string{"RUN", "STEP", "ATTEMPT", "POOL", "STATUS", "TOOK", "CPU", "GIB HOURS", "GPU", "COST"}, rows)
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
