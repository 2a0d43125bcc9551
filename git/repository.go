package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// repository is where a project's repository is, whether it exists or not.
func (s *Server) repository(project ridgeline.ProjectName) string {
	return filepath.Join(s.Dir, string(project)+".git")
}

// Ensure makes an empty bare repository, if there is none at that path. It
// appears there complete or not at all.
func Ensure(ctx context.Context, repository string) error {
	if _, err := os.Stat(filepath.Join(repository, "HEAD")); err == nil {
		return nil
	}
	parent := filepath.Dir(repository)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(parent, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	init := command(ctx, fresh, nil, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", fresh)
	if _, err := run(init); err != nil {
		return err
	}
	err = os.Rename(fresh, repository)
	if errors.Is(err, fs.ErrExist) { // another request made it
		return nil
	}
	return err
}

// projects are those that have a repository.
func (s *Server) projects(ctx context.Context) ([]ridgeline.ProjectName, error) {
	if s.Kept {
		return s.Store.Repositories(ctx)
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []ridgeline.ProjectName
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".git")
		if ok && ridgeline.CheckName("project", name) == nil {
			out = append(out, ridgeline.ProjectName(name))
		}
	}
	return out, nil
}

// A head is where a branch stands.
type head struct{ branch, hash string }

// heads are a repository's branches, the most recently committed first.
func heads(ctx context.Context, repository string) ([]head, error) {
	out, err := run(command(ctx, repository, nil, "for-each-ref", "--sort=-committerdate", "--format=%(objectname) %(objecttype) %(refname)", "refs/heads/"))
	if err != nil {
		return nil, err
	}
	var all []head
	for line := range strings.Lines(string(out)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if len(fields) != 3 || fields[1] != "commit" {
			continue
		}
		if branch, ok := strings.CutPrefix(fields[2], "refs/heads/"); ok {
			all = append(all, head{branch, fields[0]})
		}
	}
	return all, nil
}

// pointHead makes HEAD name a branch that exists, so that a clone checks
// something out.
func pointHead(ctx context.Context, repository string, all []head) error {
	if len(all) == 0 {
		return nil
	}
	out, err := run(command(ctx, repository, nil, "symbolic-ref", "HEAD"))
	if err != nil {
		return err
	}
	has := func(branch string) bool {
		return slices.ContainsFunc(all, func(h head) bool { return h.branch == branch })
	}
	if has(strings.TrimPrefix(strings.TrimSpace(string(out)), "refs/heads/")) {
		return nil
	}
	branch := all[0].branch
	for _, usual := range []string{"master", "main"} {
		if has(usual) {
			branch = usual
		}
	}
	_, err = run(command(ctx, repository, nil, "symbolic-ref", "HEAD", "refs/heads/"+branch))
	return err
}
