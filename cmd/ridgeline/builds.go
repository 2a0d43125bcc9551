package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/build"
)

func (c *cli) builds() *cobra.Command {
	var name, branch string
	var limit int
	var flaky bool
	cmd := &cobra.Command{
		Use: "builds", Short: "List builds, newest first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := query("/api/v1/builds", "project", name, "branch", branch, "limit", strconv.Itoa(limit))
			if flaky {
				path += "&flaky=true"
			}
			return get(cmd.Context(), c, path, func(list []api.Build) error {
				var rows [][]string
				for _, b := range list {
					note := b.Reason
					if len(b.Report.Flaky) > 0 {
						note = strings.Trim("flaky: "+strings.Join(b.Report.Flaky, ", ")+"; "+note, "; ")
					}
					rows = append(rows, []string{
						b.Build, b.Project, clip(b.Commit, 12), b.Branch, b.Cause, b.Status, tests(b.Report), version0(b.Pipeline), ago(b.Created), clip(oneLine(note), 60),
					})
				}
				return table(c.out, []string{"BUILD", "PROJECT", "COMMIT", "BRANCH", "CAUSE", "STATUS", "TESTS", "PIPELINE", "CREATED", "NOTE"}, rows)
			})
		},
	}
	listFlags(cmd, &name, &limit)
	cmd.Flags().StringVar(&branch, "branch", "", "only of this branch")
	cmd.Flags().BoolVar(&flaky, "flaky", false, "only those in which a test is known to be flaky")
	return cmd
}

// tests is a report in a column: 12, or 2/12 when two failed; and coverage.
func tests(r ridgeline.Report) string {
	text := ""
	if r.Tests > 0 {
		text = strconv.Itoa(r.Tests)
		if r.Failed > 0 {
			text = fmt.Sprintf("%d/%d", r.Failed, r.Tests)
		}
	}
	if r.Coverage != nil {
		text = strings.TrimSpace(fmt.Sprintf("%s %.1f%%", text, r.Coverage.Percent()))
	}
	return text
}

func (c *cli) build() *cobra.Command {
	var all, here bool
	var local localFlags
	cmd := &cobra.Command{
		Use: "build ID | build --local [DIR]", Short: "Show one build: its checks, its tests and what changed; or build a folder here, without a server",
		Long: `Build shows a build of the server: what each check came to, what the tests said, and how
that compares with the branch's last build.

With --local it builds DIR (default: here) on this machine, without a server: the same tasks in
the same environment, each in its own copy of the same files, with the same limits. What the
tasks write is shown as it comes. Reports for a CI system are left in --out: TASK.junit.xml,
coverage.xml (Cobertura), ridgeline.sarif and summary.json. Exit code 0 when it is green, 1 when
it is red.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if here {
				return c.buildHere(cmd.Context(), append(args, ".")[0], local)
			}
			if len(args) != 1 {
				return usage("name a build (ridgeline builds lists them), or build here with --local")
			}
			path := "/api/v1/builds/" + url.PathEscape(args[0])
			if all {
				return get(cmd.Context(), c, path+"/results", func(r build.Results) error { return printResults(c.out, r) })
			}
			return get(cmd.Context(), c, path, func(b api.Build) error {
				showBuild(c.out, b)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&here, "local", false, "build a folder on this machine, without a server")
	cmd.Flags().StringVar(&local.out, "out", "build/ridgeline", "with --local: the folder for reports, relative to DIR")
	cmd.Flags().StringSliceVar(&local.tasks, "task", nil, "with --local: only this task and what it needs; may be repeated")
	cmd.Flags().BoolVar(&local.nightly, "nightly", false, "with --local: the tasks of build.nightly")
	cmd.Flags().BoolVar(&all, "results", false, "every test, and the coverage of every file")
	cmd.AddCommand(
		&cobra.Command{
			Use: "retry ID", Short: "Build the same files again; follow it", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return c.startBuild(cmd.Context(), "/api/v1/builds/"+url.PathEscape(args[0])+"/retry")
			},
		},
		&cobra.Command{
			Use: "nightly PROJECT", Short: "Run build.nightly of the newest published commit now; follow it", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return c.startBuild(cmd.Context(), "/api/v1/projects/"+url.PathEscape(args[0])+"/builds/nightly")
			},
		},
	)
	return cmd
}

// startBuild asks for a build and follows it.
func (c *cli) startBuild(ctx context.Context, path string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	b, err := api.Post[api.Build](ctx, client, path, nil)
	if err != nil {
		return err
	}
	return c.pushed(ctx, &follower{client, newBoard(c.err, c.json)}, b.Build)
}

func showBuild(w io.Writer, b api.Build) {
	where := ""
	if b.Branch != "" {
		where = " on " + b.Branch
	}
	if b.PullRequest != "" {
		where += ", pull request " + b.PullRequest
	}
	fmt.Fprintf(w, "build %s of %s at %s%s, by %s: %s\n", b.Build, b.Project, b.Commit, where, b.Cause, b.Status)
	for _, check := range b.Checks {
		fmt.Fprintf(w, "  %-9s %-12s %6.1f s  %s\n", check.Status, check.Name, check.Seconds, indent(check.Message))
	}
	showReport(w, b.Report)
	if b.Status == "succeeded" {
		fmt.Fprintln(w, published(b))
	}
	if b.Run != "" {
		fmt.Fprintf(w, "started run %s\n", b.Run)
	}
}

// showReport tells what the tests said, and how that compares.
func showReport(w io.Writer, r ridgeline.Report) {
	if r.Tests == 0 && r.Coverage == nil {
		return
	}
	var parts []string
	if r.Tests > 0 {
		text := fmt.Sprintf("%d tests", r.Tests)
		if r.Before != "" && r.Tests != r.TestsBefore {
			text += fmt.Sprintf(" (%+d)", r.Tests-r.TestsBefore)
		}
		parts = append(parts, text+fmt.Sprintf(", %d failed, %d skipped", r.Failed, r.Skipped))
	}
	if c := r.Coverage; c != nil {
		text := fmt.Sprintf("coverage %.1f %%", c.Percent())
		if r.LinesBefore > 0 {
			text += fmt.Sprintf(" (%+.1f)", c.Percent()-r.LinesBefore)
		}
		if c.Branches > 0 {
			text += fmt.Sprintf(", branches %.1f %%", c.BranchPercent())
		}
		parts = append(parts, text)
	}
	if r.Before != "" {
		parts = append(parts, "compared with "+string(r.Before))
	}
	fmt.Fprintln(w, strings.Join(parts, "; "))
	for _, l := range []struct {
		what  string
		names []string
	}{{"newly failing", r.NewlyFailing}, {"newly passing", r.NewlyPassing}, {"flaky", r.Flaky}} {
		if len(l.names) > 0 {
			fmt.Fprintf(w, "%s: %s\n", l.what, strings.Join(l.names, ", "))
		}
	}
	var slow []string
	for _, s := range r.Slowest {
		slow = append(slow, fmt.Sprintf("%s %.2f s", s.Test, s.Seconds))
	}
	if len(slow) > 0 {
		fmt.Fprintf(w, "slowest: %s\n", strings.Join(slow, ", "))
	}
}

func printResults(w io.Writer, r build.Results) error {
	var rows [][]string
	for _, t := range r.Tests {
		rows = append(rows, []string{t.Status, t.Task, t.ID(), fmt.Sprintf("%.2f s", t.Seconds), clip(oneLine(t.Message), 80)})
	}
	if err := table(w, []string{"RESULT", "TASK", "TEST", "TOOK", "MESSAGE"}, rows); err != nil || len(r.Files) == 0 {
		return err
	}
	fmt.Fprintln(w)
	rows = nil
	for _, f := range r.Files {
		rows = append(rows, []string{f.File, fmt.Sprintf("%.1f %%", f.Percent()), fmt.Sprintf("%d/%d", f.Covered, f.Lines), clip(f.Missing, 60)})
	}
	return table(w, []string{"FILE", "COVERED", "LINES", "NOT RUN"}, rows)
}
