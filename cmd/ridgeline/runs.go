package main

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

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
			path := "/api/v1/runs/" + url.PathEscape(args[0])
			client, err := c.client()
			if err != nil {
				return err
			}
			r, err := api.Get[api.Run](cmd.Context(), client, path)
			if err != nil {
				return err
			}
			system, err := api.Get[[]api.SystemUse](cmd.Context(), client, path+"/system")
			if err != nil {
				return err
			}
			if c.json {
				return c.print(struct {
					api.Run
					System []api.SystemUse `json:"system"`
				}{r, system})
			}
			return c.showRun(r, system)
		},
	}
}

func (c *cli) showRun(r api.Run, system []api.SystemUse) error {
	fmt.Fprintf(c.out, "run %s of %s, pipeline %d, started by %s: %s\n", r.ID, r.Project, r.Pipeline, r.Cause, r.Status)
	if len(r.Params) > 0 {
		fmt.Fprintf(c.out, "  params    %s\n", pairs(r.Params))
	}
	for _, s := range r.Steps {
		fmt.Fprintf(c.out, "  %-9s %-12s %6.1f s  %s\n", stepWord(s), s.Name, s.Seconds, indent(s.Message))
	}
	for _, u := range system {
		fmt.Fprintln(c.out, "  used      "+useLine(u))
	}
	fmt.Fprintln(c.out, outcome{Run: r}.verdict())
	if r.Note != "" {
		fmt.Fprintf(c.out, "note: %s\n", r.Note)
	}
	if r.Release != "" {
		fmt.Fprintf(c.out, "released by %s\n", r.Release)
	}
	return nil
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

// useLine says what an attempt at a step used over its time.
func useLine(u api.SystemUse) string {
	course := ridgeline.Course{Seconds: u.Seconds, Cores: u.Cores, Memory: u.Memory}
	cores, memory := course.Peak()
	name := u.Step
	if u.Attempt > 1 {
		name += fmt.Sprintf(", attempt %d", u.Attempt)
	}
	line := fmt.Sprintf("%-12s %.2g cores on average, up to %.2g; up to %s of memory", name, course.CPUSeconds()/max(course.Length(), 1e-9), cores, sizeText(memory))
	if u.GPUs > 0 {
		line += fmt.Sprintf("; %d GPUs held for %.0f s", u.GPUs, course.Length())
	}
	if u.Advice != "" {
		line += " (" + u.Advice + ")"
	}
	return line
}

// stepWord is a step's status as people see it.
func stepWord(s api.Step) string {
	if s.Cached {
		return "cached"
	}
	return s.Status
}

func pairs(values map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, name+"="+values[name])
	}
	return strings.Join(list, " ")
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
