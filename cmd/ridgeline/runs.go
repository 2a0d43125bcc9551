package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) builds() *cobra.Command {
	var name string
	var limit int
	cmd := &cobra.Command{
		Use: "builds", Short: "List builds, newest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := query("/api/v1/builds", "project", name, "limit", strconv.Itoa(limit))
			return get(cmd.Context(), c, path, func(list []api.Build) error {
				var rows [][]string
				for _, b := range list {
					rows = append(rows, []string{b.Build, b.Project, clip(b.Commit, 12), b.Status, version0(b.Pipeline), ago(b.Created), clip(oneLine(b.Reason), 60)})
				}
				return table(c.out, []string{"BUILD", "PROJECT", "COMMIT", "STATUS", "PIPELINE", "CREATED", "REASON"}, rows)
			})
		},
	}
	listFlags(cmd, &name, &limit)
	return cmd
}

func (c *cli) build() *cobra.Command {
	return &cobra.Command{
		Use: "build ID", Short: "Show one build and its checks", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return get(cmd.Context(), c, "/api/v1/builds/"+url.PathEscape(args[0]), func(b api.Build) error {
				fmt.Fprintf(c.out, "build %s of %s at %s: %s\n", b.Build, b.Project, b.Commit, b.Status)
				for _, check := range b.Checks {
					fmt.Fprintf(c.out, "  %-9s %-12s %6.1f s  %s\n", check.Status, check.Name, check.Seconds, indent(check.Message))
				}
				if b.Pipeline > 0 {
					fmt.Fprintf(c.out, "published pipeline %d\n", b.Pipeline)
				}
				if b.Run != "" {
					fmt.Fprintf(c.out, "started run %s\n", b.Run)
				}
				return nil
			})
		},
	}
}

func (c *cli) runs() *cobra.Command {
	var name, status string
	var limit int
	cmd := &cobra.Command{
		Use: "runs", Short: "List runs, newest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := query("/api/v1/runs", "project", name, "status", status, "limit", strconv.Itoa(limit))
			return get(cmd.Context(), c, path, func(list []api.Run) error {
				var rows [][]string
				for _, r := range list {
					model := ""
					if r.Version > 0 {
						model = fmt.Sprintf("%s:%d", r.Model, r.Version)
					}
					rows = append(rows, []string{r.ID, r.Project, r.Cause, r.Status, r.Verdict, model, ago(r.Created)})
				}
				return table(c.out, []string{"RUN", "PROJECT", "CAUSE", "STATUS", "VERDICT", "MODEL", "CREATED"}, rows)
			})
		},
	}
	listFlags(cmd, &name, &limit)
	cmd.Flags().StringVar(&status, "status", "", "only runs of this status")
	return cmd
}

func listFlags(cmd *cobra.Command, name *string, limit *int) {
	cmd.Flags().StringVar(name, "project", "", "only of this project")
	cmd.Flags().IntVar(limit, "limit", 50, "at most so many")
}

func (c *cli) run() *cobra.Command {
	return &cobra.Command{
		Use: "run ID", Short: "Show one run and its steps", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return get(cmd.Context(), c, "/api/v1/runs/"+url.PathEscape(args[0]), func(r api.Run) error {
				fmt.Fprintf(c.out, "run %s of %s, pipeline %d, started by %s: %s\n", r.ID, r.Project, r.Pipeline, r.Cause, r.Status)
				for _, s := range r.Steps {
					fmt.Fprintf(c.out, "  %-9s %-12s %6.1f s  %s\n", s.Status, s.Name, s.Seconds, indent(s.Message))
				}
				fmt.Fprintln(c.out, outcome{Run: r}.verdict())
				if r.Release != "" {
					fmt.Fprintf(c.out, "released by %s\n", r.Release)
				}
				return nil
			})
		},
	}
}

func (c *cli) cancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID", Short: "Cancel a run or a build; what it runs is killed within seconds", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := "runs"
			if strings.HasPrefix(args[0], "b-") {
				kind = "builds"
			}
			return post(cmd.Context(), c, "/api/v1/"+kind+"/"+url.PathEscape(args[0])+"/cancel", nil, func(map[string]any) error {
				fmt.Fprintf(c.out, "%s will stop within seconds\n", args[0])
				return nil
			})
		},
	}
}

func (c *cli) logs() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs ID [STEP]", Short: "Print what a run's step or a build's check wrote", Args: cobra.RangeArgs(1, 2),
		Long: `Logs prints the log of one step of a run (or of one check of a build, whose id starts with
b-). Without STEP it prints them all, each under its name.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			step := ""
			if len(args) == 2 {
				step = args[1]
			}
			return c.printLogs(cmd.Context(), client, args[0], step, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until it has ended")
	return cmd
}

// logTasks reads which tasks of a run or build have a log, by step, and
// whether all has ended.
func logTasks(ctx context.Context, client *api.Client, id string) (names, tasks []string, over bool, err error) {
	if strings.HasPrefix(id, "b-") {
		b, err := api.Get[api.Build](ctx, client, "/api/v1/builds/"+url.PathEscape(id))
		for _, check := range b.Checks {
			if check.Log != "" {
				names, tasks = append(names, check.Name), append(tasks, check.Log)
			}
		}
		return names, tasks, ended(b.Status), err
	}
	r, err := api.Get[api.Run](ctx, client, "/api/v1/runs/"+url.PathEscape(id))
	for _, s := range r.Steps {
		switch {
		case s.Log != "":
			names, tasks = append(names, s.Name), append(tasks, s.Log)
		case s.Name == "evaluate" && s.Status != "queued":
			for _, side := range []string{"challenger", "champion", "champion-scorer"} {
				names = append(names, s.Name)
				tasks = append(tasks, fmt.Sprintf("run-%s-evaluate-%s-1", id, side))
			}
		}
	}
	return names, tasks, ended(r.Status), err
}

func (c *cli) printLogs(ctx context.Context, client *api.Client, id, step string, follow bool) error {
	offsets := map[string]int64{}
	for {
		names, tasks, over, err := logTasks(ctx, client, id)
		if err != nil {
			return err
		}
		found := step == ""
		for i, task := range tasks {
			if step != "" && names[i] != step {
				continue
			}
			found = true
			text, err := client.Log(ctx, task, offsets[task])
			if err != nil {
				return err
			}
			if offsets[task] == 0 && len(text) > 0 && step == "" {
				fmt.Fprintf(c.out, "── %s\n", names[i])
			}
			offsets[task] += int64(len(text))
			if _, err := c.out.Write(text); err != nil {
				return err
			}
		}
		if !follow || over {
			if !found {
				return fmt.Errorf("%s has no log of %q; it has logs of: %s", id, step, strings.Join(names, ", "))
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func indent(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", 34))
}

func version0(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func ago(t time.Time) string {
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return t.Local().Format(time.DateTime)
}
