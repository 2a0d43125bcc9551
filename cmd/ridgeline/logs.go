package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) logs() *cobra.Command {
	var follow bool
	var text string
	cmd := &cobra.Command{
		Use: "logs ID [STEP]", Short: "Print or search what a run's step or a build's check wrote", Args: cobra.RangeArgs(1, 2),
		Long: `Logs prints the log of one step of a run (or of one check of a build, whose id starts with
b-). Without STEP it prints them all, each under its name. With --grep it prints the lines that
contain the text, with their numbers; exit code 1 when there is none.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			step := ""
			if len(args) == 2 {
				step = args[1]
			}
			if text != "" {
				return c.searchLogs(cmd.Context(), client, args[0], step, text)
			}
			return c.printLogs(cmd.Context(), client, args[0], step, follow)
		},
	}
	cmd.Flags().StringVar(&text, "grep", "", "only the lines that contain this text")
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
		case s.Cached:
			if old, err := api.Get[api.Run](ctx, client, "/api/v1/runs/"+url.PathEscape(s.Source)); err == nil {
				for _, o := range old.Steps {
					if o.Name == s.Name && o.Log != "" {
						names, tasks = append(names, s.Name), append(tasks, o.Log)
					}
				}
			}
		case s.Name == "evaluate" && s.Status != "queued":
			for _, side := range []string{"challenger", "champion", "champion-scorer"} {
				names = append(names, s.Name)
				tasks = append(tasks, fmt.Sprintf("run-%s-evaluate.%s-1", id, side))
			}
		}
	}
	return names, tasks, ended(r.Status), err
}

// noLog says that there is no log of that step.
func noLog(id, step string, names []string) error {
	return ridgeline.Errorf(ridgeline.NotFound, "%s has no log of %q; it has logs of: %s", id, step, strings.Join(names, ", "))
}

// A logLine is a line that a search has found.
type logLine struct {
	Step string `json:"step"`
	Log  string `json:"log"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// searchLogs prints what it finds as it comes; with --json, one array.
func (c *cli) searchLogs(ctx context.Context, client *api.Client, id, step, text string) error {
	names, tasks, _, err := logTasks(ctx, client, id)
	if err != nil {
		return err
	}
	if step != "" && !slices.Contains(names, step) {
		return noLog(id, step, names)
	}
	found, all := 0, []logLine{}
	for i, task := range tasks {
		if step != "" && names[i] != step {
			continue
		}
		body, err := client.Search(ctx, task, text)
		if err != nil {
			return err
		}
		in := bufio.NewScanner(body)
		for ; in.Scan(); found++ {
			number, line, _ := strings.Cut(in.Text(), ":")
			switch {
			case c.json:
				n, _ := strconv.Atoi(number) // the server's own
				all = append(all, logLine{names[i], task, n, line})
			case step == "":
				fmt.Fprintf(c.out, "%s:%s: %s\n", names[i], number, line)
			default:
				fmt.Fprintf(c.out, "%s: %s\n", number, line)
			}
		}
		err = in.Err()
		body.Close()
		if err != nil {
			return err
		}
	}
	if c.json {
		if err := c.print(all); err != nil {
			return err
		}
	}
	if found == 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (c *cli) printLogs(ctx context.Context, client *api.Client, id, step string, follow bool) error {
	offsets := map[string]int64{}
	out := &titled{w: c.out}
	for {
		names, tasks, over, err := logTasks(ctx, client, id)
		if err != nil {
			return err
		}
		for i, task := range tasks {
			if step != "" && names[i] != step {
				continue
			}
			if out.title = ""; step == "" {
				out.title = names[i]
			}
			n, err := client.Log(ctx, task, offsets[task], out)
			offsets[task] += n
			if err != nil {
				return err
			}
		}
		if !follow || over {
			if step != "" && !slices.Contains(names, step) {
				return noLog(id, step, names)
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

// titled writes a title before the first text under it.
type titled struct {
	w            io.Writer
	title, shown string
}

// Write implements io.Writer.
func (t *titled) Write(p []byte) (int, error) {
	if t.title != t.shown {
		t.shown = t.title
		if _, err := fmt.Fprintf(t.w, "── %s\n", t.title); err != nil {
			return 0, err
		}
	}
	return t.w.Write(p)
}
