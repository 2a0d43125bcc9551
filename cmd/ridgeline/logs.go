package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

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
