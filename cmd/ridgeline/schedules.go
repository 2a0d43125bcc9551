package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) schedules() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "schedules", Short: "List what is due when, and what the last due time started",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), c, query("/api/v1/schedules", "project", project), c.timetable)
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only of this project")
	for verb, short := range map[string]string{
		"pause":  "Let a project's schedules start nothing until they are resumed",
		"resume": "Let a project's schedules go on, from their next due times on",
	} {
		cmd.AddCommand(&cobra.Command{
			Use: verb + " PROJECT", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return post(cmd.Context(), c, "/api/v1/projects/"+url.PathEscape(args[0])+"/schedules/"+verb, nil, c.timetable)
			},
		})
	}
	return cmd
}

func (c *cli) timetable(list []api.Schedule) error {
	var rows [][]string
	for _, s := range list {
		due := s.Due.Local().Format("2006-01-02 15:04 MST")
		if s.Paused != nil {
			due = "paused"
		}
		last := ""
		if s.Last != nil {
			last = ago(*s.Last)
		}
		rows = append(rows, []string{s.Project, s.Kind, s.Cron, s.Zone, due, last, s.Started, strconv.Itoa(s.Skipped), clip(oneLine(s.Reason), 60)})
	}
	return table(c.out, []string{"PROJECT", "KIND", "CRON", "ZONE", "DUE", "LAST", "STARTED", "SKIPPED", "REASON"}, rows)
}

func (c *cli) events() *cobra.Command {
	var project string
	var after int64
	var limit int
	var follow bool
	cmd := &cobra.Command{
		Use: "events", Short: "List what has changed, in order",
		Long: `Events lists the last changes, oldest first. Whoever remembers the number of the last one and asks
for what is --after it misses nothing; --follow does that.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			newest := strconv.FormatBool(!cmd.Flags().Changed("after"))
			for ; ; newest = "false" {
				path := query("/api/v1/events", "project", project, "after", strconv.FormatInt(after, 10), "limit", strconv.Itoa(limit), "newest", newest)
				list, err := api.Get[[]api.Event](cmd.Context(), client, path)
				if err != nil {
					return err
				}
				if !follow && c.json {
					return c.print(list)
				}
				for _, e := range list {
					after = e.Seq
					if err := c.event(e); err != nil {
						return err
					}
				}
				if !follow || cmd.Context().Err() != nil {
					return nil
				}
				sleep(cmd.Context(), 200*time.Millisecond)
			}
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only of this project")
	cmd.Flags().Int64Var(&after, "after", 0, "only those behind this number, from there on (default: the last ones)")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many at once")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	return cmd
}

// event prints one: with --json an object of its own.
func (c *cli) event(e api.Event) error {
	if c.json {
		return c.print(e)
	}
	_, err := fmt.Fprintf(c.out, "%6d  %s  %-20s %-14s %s\n", e.Seq, e.Time.Local().Format(time.DateTime), strings.TrimPrefix(e.Type, "dev.ridgeline."), e.Project, e.Subject)
	return err
}
