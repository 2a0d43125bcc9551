package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/project"
)

func (c *cli) push() *cobra.Command {
	var detach bool
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
			b, err := pushDir(cmd.Context(), client, dir)
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
	cmd.Flags().BoolVar(&detach, "detach", false, "do not follow the build; print it as JSON")
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

// pushDir archives a project's files and hands them to the server.
func pushDir(ctx context.Context, client *api.Client, dir string) (api.Build, error) {
	cfg, err := project.Load(dir)
	if err != nil {
		return api.Build{}, err
	}
	commit, files, err := readGit(ctx, dir)
	if err != nil {
		return api.Build{}, err
	}
	commit.Project = cfg.Project
	staging, err := os.MkdirTemp("", "ridgeline-push-")
	if err != nil {
		return api.Build{}, err
	}
	defer os.RemoveAll(staging)
	for _, name := range files {
		if err := stage(filepath.Join(dir, name), filepath.Join(staging, name)); err != nil {
			return api.Build{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(blob.Archive(w, staging)) }()
	defer r.Close()
	return client.Push(ctx, commit, r)
}

// stage puts one file of the working tree into the folder to be archived.
func stage(from, to string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil // deleted in the working tree, not yet in git
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if info.IsDir() {
		return nil // a submodule: its files are another repository's
	}
	if err := os.Link(from, to); err == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// readGit reads the commit of a working tree, whether it is dirty, and the
// files that belong to it: tracked ones, and new ones that git does not
// ignore.
func readGit(ctx context.Context, dir string) (ridgeline.Commit, []string, error) {
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
		}
		return strings.TrimSuffix(string(out), "\n"), err
	}
	head, err := git("rev-parse", "HEAD")
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return ridgeline.Commit{}, nil, ridgeline.Errorf(ridgeline.Invalid, "git is not installed, and ridgeline push reads the commit with it: install git")
		}
		return ridgeline.Commit{}, nil, ridgeline.Errorf(ridgeline.Invalid, "%s is not a git repository with a commit: run git init && git add -A && git commit -m first (%v)", dir, err)
	}
	status, err := git("status", "--porcelain", "--untracked-files=normal", "--", ".")
	if err != nil {
		return ridgeline.Commit{}, nil, err
	}
	listed, err := git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	if err != nil {
		return ridgeline.Commit{}, nil, err
	}
	branch, err := git("rev-parse", "--abbrev-ref", "HEAD")
	if err != nil {
		return ridgeline.Commit{}, nil, err
	}
	if branch == "HEAD" { // detached: on none
		branch = ""
	}
	subject, err := git("log", "-1", "--format=%s%n%an")
	if err != nil {
		return ridgeline.Commit{}, nil, err
	}
	message, author, _ := strings.Cut(subject, "\n")
	commit := ridgeline.Commit{Hash: head, Branch: branch, Message: clip(message, 200), Author: clip(author, 100), Dirty: status != ""}
	var files []string
	for name := range strings.SplitSeq(listed, "\x00") {
		if name != "" {
			files = append(files, name)
		}
	}
	return commit, files, nil
}
