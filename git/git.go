// Package git is the server's own git remote, over smart HTTP, and the way
// from a commit in a repository to a tree that a build can use.
//
// It calls the machine's git for everything that git does. Whose webhooks
// lead to a fetch is package forge's business, what a build does with the
// tree is package build's.
package git

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// DefaultMaxPush is the largest pack that a push may bring, in bytes, unless
// the server was told otherwise.
const DefaultMaxPush = 2 << 30

// maxBranches is how many branches of one push are built: the most recently
// committed ones. More is a mirror being filled.
const maxBranches = 20

// A Server keeps a bare repository for each project and sees to it that each
// new state of a branch is built once. All fields are needed.
//
// The repository is what counts: a branch there that stands elsewhere than its
// row says was pushed and not yet built. A row is written in one transaction
// with its build, so a server killed in between finds the branch again.
type Server struct {
	Store   *store.Store
	Blob    *blob.Store
	Builds  *build.Builder
	Dir     string // repositories, PROJECT.git; servers of one database share it, unless repositories are kept
	Kept    bool   // what counts is in Store and Blob, and Dir has this server's copies
	Temp    string // where a commit's files are written before they are kept
	URL     string // of this server, such as http://127.0.0.1:8470
	MaxPush int64  // bytes
	Log     *slog.Logger

	mu      sync.Mutex
	locks   map[string]*sync.Mutex
	pending map[ridgeline.ProjectName]bool
}

// note remembers that a project's branches are to be looked at.
func (s *Server) note(project ridgeline.ProjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == nil {
		s.pending = map[ridgeline.ProjectName]bool{}
	}
	s.pending[project] = true
}

// lock makes this the only one in this process that does something to a project:
// for a Sync, of which two at once would do no harm, only the work twice, and for
// bringing a copy up to date.
func (s *Server) lock(what string, project ridgeline.ProjectName) (unlock func()) {
	s.mu.Lock()
	if s.locks == nil {
		s.locks = map[string]*sync.Mutex{}
	}
	name := what + " " + string(project)
	l := s.locks[name]
	if l == nil {
		l = &sync.Mutex{}
		s.locks[name] = l
	}
	s.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Run looks at all repositories at once and then every minute, and every
// second at those of which a push could not be built, until ctx ends. One
// server of several does it.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		for _, project := range s.due(ctx, n%60 == 0) {
			if _, err := s.Sync(ctx, project, ""); err != nil && ctx.Err() == nil {
				s.Log.Error("build what was pushed", "project", project, "error", err)
			} else if err := s.tidy(ctx, project); err != nil && ctx.Err() == nil {
				s.Log.Error("make one pack of many", "project", project, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tidy keeps a repository from having ever more packs. In a folder, git does.
func (s *Server) tidy(ctx context.Context, project ridgeline.ProjectName) error {
	if !s.Kept {
		return nil
	}
	return s.Repack(ctx, project)
}

func (s *Server) due(ctx context.Context, all bool) []ridgeline.ProjectName {
	var out []ridgeline.ProjectName
	if all {
		var err error
		if out, err = s.projects(ctx); err != nil {
			s.Log.Error("look for repositories", "error", err)
		}
		return out
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for project := range s.pending {
		out = append(out, project)
	}
	return out
}

// Sync has every branch built that stands elsewhere than its row says, and
// returns the rows it wrote. Twice, and from several servers, is harmless.
// caller is who pushed, as far as it is known.
func (s *Server) Sync(ctx context.Context, project ridgeline.ProjectName, caller string) ([]ridgeline.Branch, error) {
	defer s.lock("sync", project)()
	// First the rows and then the branches: a row that is changed meanwhile
	// makes SetBranch refuse, and the next look decides.
	rows, err := s.Store.Branches(ctx, project)
	if err != nil {
		return nil, err
	}
	repository := s.repository(project)
	if s.Kept {
		if _, err := s.update(ctx, project); err != nil {
			return nil, err
		}
	}
	now, err := heads(ctx, repository)
	if err != nil {
		return nil, err
	}
	if err := pointHead(ctx, repository, now); err != nil {
		return nil, err
	}
	var out []ridgeline.Branch
	var failed []error
	for _, row := range rows {
		if !slices.ContainsFunc(now, func(h head) bool { return h.branch == row.Name }) {
			if err := s.Store.RemoveBranch(ctx, row); err != nil && ridgeline.CodeOf(err) != ridgeline.Conflict {
				failed = append(failed, err)
			}
		}
	}
	for _, h := range now {
		i := slices.IndexFunc(rows, func(b ridgeline.Branch) bool { return b.Name == h.branch })
		old := ridgeline.Branch{Project: project, Name: h.branch}
		if i >= 0 {
			old = rows[i]
		}
		if old.Hash == h.hash {
			continue
		}
		row, err := s.build(ctx, old, h.hash, caller, len(out) < maxBranches)
		switch {
		case ridgeline.CodeOf(err) == ridgeline.Conflict: // another server was quicker
		case err != nil:
			failed = append(failed, fmt.Errorf("branch %s: %w", h.branch, err))
		default:
			out = append(out, row)
		}
	}
	if len(failed) == 0 {
		s.mu.Lock()
		delete(s.pending, project)
		s.mu.Unlock()
	}
	return out, errors.Join(failed...)
}

// build writes down that the branch stands at hash now, and its build.
func (s *Server) build(ctx context.Context, old ridgeline.Branch, hash, caller string, wanted bool) (ridgeline.Branch, error) {
	row := ridgeline.Branch{Project: old.Project, Name: old.Name, Hash: hash, Updated: time.Now().UTC()}
	if caller == "" {
		caller = "git"
	}
	var taken Taken
	if wanted {
		var err error
		taken, err = Take(ctx, s.Blob, s.repository(old.Project), s.Temp, old.Project, hash)
		row.Note = taken.Note
		if ridgeline.CodeOf(err) == ridgeline.Invalid {
			row.Note, wanted = "not built: "+err.Error(), false
		} else if err != nil {
			return row, err
		}
	} else {
		row.Note = fmt.Sprintf("not built: this push changed more than %d branches", maxBranches)
	}
	taken.Commit.Branch = old.Name
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		if _, err := tx.EnsureProject(ctx, old.Project, row.Updated); err != nil {
			return err
		}
		if wanted {
			b, err := s.Builds.Create(ctx, tx, build.Request{Commit: taken.Commit, Caller: caller, Cause: "git"})
			if err != nil {
				return err
			}
			row.Build = b.ID
		}
		return tx.SetBranch(ctx, row, old.Hash)
	})
	if err != nil {
		return row, err
	}
	if row.Build != "" { // else the sweeper does it
		if err := s.Builds.Start(ctx, build.Kind, string(row.Build)); err != nil {
			s.Log.Error("start the build of a push", "build", row.Build, "error", err)
		}
	}
	return row, nil
}
