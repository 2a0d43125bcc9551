package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline/api"
)

func (c *cli) push() *cobra.Command {
	var detach bool
	var at source
	cmd := &cobra.Command{
		Use:   "push [DIR]",
		Short: "Build the commit (or the dirty tree, marked so), train it and release it; follow to the end",
		Long: `Push hands the commit in DIR (default: here) to the server and follows its build. A green
build publishes a pipeline, which trains, and a promoted model is released; push follows
that too. Exit code 0 when everything ended well (a rejected or inconclusive model is well),
1 when the build, the run or the release failed.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			b, err := pushDir(cmd.Context(), client, dir, at)
			if err != nil {
				return err
			}
			if detach {
				return c.print(b)
			}
			f := &follower{client, newBoard(c.err, c.json)}
			return c.pushed(cmd.Context(), f, b.Build)
		},
	}
	sourceFlags(cmd, &at)
	cmd.Flags().BoolVar(&detach, "detach", false, "do not follow the build; print it as JSON")
	return cmd
}

// publish is push for a CI system: it has run the tasks itself, and wants to
// know which pipeline came of the commit.
func (c *cli) publish() *cobra.Command {
	var at source
	cmd := &cobra.Command{
		Use:   "publish [DIR]",
		Short: "Hand the commit to the server, as a last step in another CI system; print the pipeline that stands for it",
		Long: `Publish hands the commit in DIR (default: here) to the server, as ridgeline push does, and
waits for its build, not for what the pipeline then makes. The branch and the pull request of
a detached checkout are found in the variables of GitHub Actions, GitLab CI, Azure Pipelines,
Jenkins and Bitbucket. The same code is the same pipeline, however often it comes. Exit code 0
when the build is green, whether its branch publishes or not.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			at.strict = true
			b, err := pushDir(cmd.Context(), client, dir, at)
			if err != nil {
				return err
			}
			if b, err = (&follower{client, newBoard(c.err, c.json)}).build(cmd.Context(), b.Build); err != nil {
				return c.interrupted(err, "ridgeline build "+b.Build)
			}
			if c.json {
				err = c.print(b)
			} else if b.Status == "succeeded" {
				fmt.Fprintln(c.out, published(b))
			}
			if b.Status != "succeeded" {
				return buildFailure(b)
			}
			return err
		},
	}
	sourceFlags(cmd, &at)
	return cmd
}

// pushResult is what push --json prints: the build, and what became of the
// run and the release it led to.
type pushResult struct {
	api.Build
	Verdict string       `json:"verdict,omitempty"`
	Why     string       `json:"verdict_reason,omitempty"`
	Model   string       `json:"model,omitempty"`
	Version int          `json:"version,omitempty"`
	Release *api.Release `json:"release,omitempty"`
}

// pushed follows a build and all that comes of it.
func (c *cli) pushed(ctx context.Context, f *follower, id string) error {
	b, err := f.build(ctx, id)
	if err != nil {
		return c.interrupted(err, "ridgeline build "+id)
	}
	result := pushResult{Build: b}
	var failed error
	if b.Status != "succeeded" {
		failed = buildFailure(b)
	}
	var out outcome
	if failed == nil && b.Run != "" {
		if out, err = f.runToEnd(ctx, b.Run); err != nil {
			return c.interrupted(err, "ridgeline run "+b.Run)
		}
		result.Verdict, result.Why, result.Model, result.Version = out.Run.Verdict, out.Run.Reason, out.Run.Model, out.Run.Version
		result.Release = out.Release
		failed = out.failed()
	}
	if c.json {
		if err := c.print(result); err != nil {
			return err
		}
	} else if failed == nil {
		fmt.Fprintln(c.out, published(b))
		if b.Run != "" {
			fmt.Fprintln(c.out, out.verdict())
		}
	}
	return failed
}

// published tells what a green build came to.
func published(b api.Build) string {
	text := "build " + b.Build + " is green"
	if b.Pipeline > 0 && b.Reason == "" {
		text = fmt.Sprintf("pipeline %d published from %s", b.Pipeline, b.Commit[:min(12, len(b.Commit))])
	}
	if b.Reason != "" {
		text += "; " + b.Reason
	}
	return text
}

// buildFailure tells every red check in full.
func buildFailure(b api.Build) error {
	var s strings.Builder
	fmt.Fprintf(&s, "build %s %s; nothing was published", b.Build, b.Status)
	for _, check := range b.Checks {
		if check.Status == "failed" {
			fmt.Fprintf(&s, "\n\n%s: %s", check.Name, check.Message)
			if check.Log != "" {
				fmt.Fprintf(&s, "\n(whole log: ridgeline logs %s %s)", b.Build, check.Name)
			}
		}
	}
	if !strings.Contains(s.String(), "\n") {
		fmt.Fprintf(&s, ": %s", b.Reason)
	}
	return errors.New(s.String())
}

// interrupted tells somebody who leaves that the work goes on.
func (c *cli) interrupted(err error, again string) error {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(c.err, "\nno longer following; the work goes on. Look again with: %s\n", again)
		return &exitError{code: exitInterrupted}
	}
	return err
}
