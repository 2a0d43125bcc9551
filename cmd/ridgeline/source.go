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
	"github.com/ridgeline-mlops/ridgeline/blob/archive"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// A source is what is known of a commit beside git: what the user says, and
// what a CI system tells its jobs.
type source struct {
	Branch, PullRequest string
	strict              bool // a commit on no known branch is refused
}

func sourceFlags(cmd *cobra.Command, at *source) {
	cmd.Flags().StringVar(&at.Branch, "branch", "", "the branch it is on (default: git's, or the CI system's)")
	cmd.Flags().StringVar(&at.PullRequest, "pull-request", "", "the number of the pull request it is for: it is built, and publishes nothing (default: the CI system's)")
}

// find fills in what the commit lacks. A CI system checks a commit out on no
// branch, and says in the variables of its jobs which one it was:
// GitHub Actions GITHUB_REF (refs/heads/…, refs/pull/7/merge) and GITHUB_HEAD_REF,
// Azure Pipelines BUILD_SOURCEBRANCH and SYSTEM_PULLREQUEST_…, GitLab CI_COMMIT_…
// and CI_MERGE_REQUEST_…, Jenkins BRANCH_NAME, GIT_BRANCH and CHANGE_…, Bitbucket
// BITBUCKET_…. A tag is refs/tags/…, which build.publish can name.
func (s *source) find(commit *ridgeline.Commit, env func(string) string) error {
	first := func(names ...string) string {
		for _, name := range names {
			if v := env(name); v != "" {
				return v
			}
		}
		return ""
	}
	if s.PullRequest == "" {
		s.PullRequest = first("CI_MERGE_REQUEST_IID", "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "SYSTEM_PULLREQUEST_PULLREQUESTID", "CHANGE_ID", "BITBUCKET_PR_ID")
		if rest, ok := strings.CutPrefix(env("GITHUB_REF"), "refs/pull/"); ok {
			s.PullRequest, _, _ = strings.Cut(rest, "/")
		}
	}
	switch {
	case s.Branch != "":
		commit.Branch = s.Branch
	case commit.Branch == "":
		branch := first("GITHUB_HEAD_REF", "SYSTEM_PULLREQUEST_SOURCEBRANCH", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CHANGE_BRANCH",
			"GITHUB_REF", "BUILD_SOURCEBRANCH", "CI_COMMIT_BRANCH", "BRANCH_NAME", "BITBUCKET_BRANCH")
		if branch == "" {
			branch = strings.TrimPrefix(env("GIT_BRANCH"), "origin/")
		}
		if tag := first("CI_COMMIT_TAG", "TAG_NAME", "BITBUCKET_TAG"); tag != "" {
			branch = "refs/tags/" + tag
		}
		commit.Branch = strings.TrimPrefix(branch, "refs/heads/")
	}
	if commit.Branch == "" && s.strict {
		return ridgeline.Errorf(ridgeline.Invalid, "HEAD is on no branch, and no variable of a CI system says which one it is: give --branch NAME")
	}
	return nil
}

// pushDir archives a project's files and hands them to the server.
func pushDir(ctx context.Context, client *api.Client, dir string, at source) (api.Build, error) {
	cfg, err := project.Load(dir)
	if err != nil {
		return api.Build{}, err
	}
	commit, files, err := readGit(ctx, dir)
	if err != nil {
		return api.Build{}, err
	}
	commit.Project = cfg.Project
	if err := at.find(&commit, os.Getenv); err != nil {
		return api.Build{}, err
	}
	staging, err := os.MkdirTemp("", "ridgeline-push-")
	if err != nil {
		return api.Build{}, err
	}
	defer os.RemoveAll(staging)
	if err := stageAll(dir, staging, files); err != nil {
		return api.Build{}, err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(archive.Write(w, staging)) }()
	defer r.Close()
	return client.Push(ctx, commit, at.PullRequest, r)
}

func stageAll(dir, staging string, files []string) error {
	for _, name := range files {
		if err := stage(filepath.Join(dir, name), filepath.Join(staging, name)); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

// stage puts one file of the working tree into the folder to be archived: a
// second name of it is enough, since nobody writes there.
func stage(from, to string) error {
	return put(from, to, os.Link)
}

// stageCopy puts a copy of it there.
func stageCopy(from, to string) error {
	return put(from, to, func(string, string) error { return errors.ErrUnsupported })
}

func put(from, to string, link func(from, to string) error) error {
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
	if err := link(from, to); err == nil {
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
