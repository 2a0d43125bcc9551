// Package build takes a commit through its checks (environment, code quality,
// unit tests and coverage, data) and publishes a pipeline when they are green.
//
// How a check's command runs is the host's business, what a dataset holds is
// data's, and what happens to a published pipeline is pipeline's.
package build

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Kind is the name under which flow knows a build.
const Kind = "build"

// A Builder runs builds. All fields are needed.
type Builder struct {
	Store  *store.Store
	Blob   *blob.Store
	Start  func(ctx context.Context, kind, id string) error // sees to it that a flow runs; see flow.Engine
	Tasks  host.Tasks
	Python *pyenv.Manager
	Intake *intake.Intake
	Dir    string // working folders, one per build, removed at its end
	Log    *slog.Logger
	// Train creates the run that a newly published pipeline asks for, in the
	// transaction that publishes it. Conflict or Invalid: there is none, and why;
	// then it has written nothing.
	Train   func(ctx context.Context, tx *store.Store, r ridgeline.Run) (ridgeline.Run, error)
	Started func(ctx context.Context, run ridgeline.RunID) error // starts that run once it is committed
	Secrets func(ctx context.Context) []string                   // what no log shows
}

// Request asks for a build.
type Request struct {
	Commit      ridgeline.Commit // whose tree is in the blob store
	Caller      string           // the principal
	Cause       string           // how it came: "push", "git", "webhook github"
	PullRequest string           // the number of the one it is for; empty: none
	Nightly     bool             // the tasks of build.nightly instead of build's own
}

// Submit records a build and starts it.
func (b *Builder) Submit(ctx context.Context, q Request) (ridgeline.Build, error) {
	var out ridgeline.Build
	err := b.Store.InTx(ctx, func(tx *store.Store) (err error) {
		out, err = b.Create(ctx, tx, q)
		return err
	})
	if err != nil {
		return ridgeline.Build{}, err
	}
	return out, b.Start(ctx, Kind, string(out.ID))
}

// Create records a build in the caller's transaction, and its project with the
// first one. Once that is committed the sweeper finds it; who wants it to begin
// at once calls Start.
func (b *Builder) Create(ctx context.Context, tx *store.Store, q Request) (ridgeline.Build, error) {
	if err := ridgeline.CheckName("project", string(q.Commit.Project)); err != nil {
		return ridgeline.Build{}, err
	}
	now := time.Now().UTC()
	id, err := ridgeline.NewID("b", now, rand.Read)
	if err != nil {
		return ridgeline.Build{}, err
	}
	if _, err := tx.EnsureProject(ctx, q.Commit.Project, now); err != nil {
		return ridgeline.Build{}, err
	}
	out := ridgeline.Build{
		ID: ridgeline.BuildID(id), Project: q.Commit.Project, Commit: q.Commit, Status: ridgeline.Queued, Created: now,
		Caller: q.Caller, Cause: q.Cause, PullRequest: q.PullRequest, Nightly: q.Nightly,
	}
	return out, tx.CreateBuild(ctx, out)
}

// CreateNightly is Create for the long tests of the commit that the project's
// newest pipeline was published from, the last green one of its branch.
func (b *Builder) CreateNightly(ctx context.Context, tx *store.Store, project ridgeline.ProjectName) (ridgeline.Build, error) {
	return b.nightly(ctx, tx, project, "ridgeline")
}

func (b *Builder) nightly(ctx context.Context, tx *store.Store, project ridgeline.ProjectName, caller string) (ridgeline.Build, error) {
	p, err := tx.Pipeline(ctx, project, 0)
	if err != nil {
		return ridgeline.Build{}, err
	}
	return b.Create(ctx, tx, Request{Commit: p.Commit, Caller: caller, Cause: "nightly", Nightly: true})
}

// Nightly is CreateNightly now, instead of when it is due.
func (b *Builder) Nightly(ctx context.Context, project ridgeline.ProjectName, caller string) (ridgeline.Build, error) {
	var out ridgeline.Build
	err := b.Store.InTx(ctx, func(tx *store.Store) (err error) {
		out, err = b.nightly(ctx, tx, project, caller)
		return err
	})
	if err != nil {
		return ridgeline.Build{}, err
	}
	return out, b.Start(ctx, Kind, string(out.ID))
}

// Retry is Submit for the commit of a build that has ended.
func (b *Builder) Retry(ctx context.Context, id ridgeline.BuildID, caller string) (ridgeline.Build, error) {
	old, err := b.Store.Build(ctx, id)
	if err != nil {
		return ridgeline.Build{}, err
	}
	if !old.Status.Terminal() {
		return ridgeline.Build{}, ridgeline.Errorf(ridgeline.Conflict, "build %s is %s: wait for its end, or cancel it (ridgeline cancel %s)", id, old.Status, id)
	}
	return b.Submit(ctx, Request{Commit: old.Commit, Caller: caller, Cause: "retry " + string(id), PullRequest: old.PullRequest, Nightly: old.Nightly})
}

// published is what the last step of a green build leaves.
type published struct {
	Pipeline int
	Run      ridgeline.RunID
}

// Run is the flow of one build.
func (b *Builder) Run(c *flow.Context, id string) error {
	build := ridgeline.BuildID(id)
	w, err := flow.Tx(c, "start", func(ctx context.Context, q sqlq.Querier) (work, error) {
		s := b.Store.With(q)
		if err := s.StartBuild(ctx, build, time.Now().UTC()); err != nil {
			return work{}, err
		}
		row, err := s.Build(ctx, build)
		return work{ID: build, Commit: row.Commit, Nightly: row.Nightly, PullRequest: row.PullRequest}, err
	})
	if err != nil {
		return err
	}
	w.Dir = filepath.Join(b.Dir, id)
	reason, err := b.checks(c, &w)
	if flow.Interrupted(err) {
		return err
	}
	if err != nil {
		reason = err.Error()
	}
	_, err = flow.Tx(c, "finish", func(ctx context.Context, q sqlq.Querier) (published, error) {
		s := b.Store.With(q)
		row, err := s.Build(ctx, build)
		if err != nil {
			return published{}, err
		}
		if reason != "" {
			status := ridgeline.Failed
			if row.CancelRequested {
				status, reason = ridgeline.Cancelled, "cancelled"
			}
			return published{}, s.FinishBuild(ctx, build, status, reason, time.Now().UTC())
		}
		return b.publish(ctx, s, row, w)
	})
	if err != nil {
		return err
	}
	_, err = flow.Step(c, "hand over", func(ctx context.Context) (struct{}, error) {
		row, err := b.Store.Build(ctx, build)
		if err != nil {
			return struct{}{}, err
		}
		if row.Run != "" {
			if err := b.Started(ctx, row.Run); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, b.clean(ctx, w)
	})
	return err
}

// publish makes the pipeline and, where pushing starts it, its run; all in the
// transaction that ends the build.
func (b *Builder) publish(ctx context.Context, s *store.Store, row ridgeline.Build, w work) (published, error) {
	now := time.Now().UTC()
	if why := w.withheld(row); why != "" {
		return published{}, s.FinishBuild(ctx, row.ID, ridgeline.Succeeded, why, now)
	}
	p, err := s.PublishPipeline(ctx, ridgeline.Pipeline{
		Project: row.Project, Build: row.ID, Commit: row.Commit,
		Environment: w.Lock.Hash, Lock: w.Lock.Text, Python: w.Lock.Python, Config: w.Config, Created: now,
	})
	if err != nil {
		return published{}, err
	}
	out, reason, arrived := published{Pipeline: p.Version}, "", false
	if p.Build == row.ID {
		if arrived, err = b.arrive(ctx, s, row, w); err != nil {
			return published{}, err
		}
	}
	switch {
	case p.Build != row.ID:
		reason = fmt.Sprintf("nothing new: pipeline %d of build %s is the same code in the same environment; ridgeline train starts it again", p.Version, p.Build)
	case w.OnPush || arrived:
		run, err := b.Train(ctx, s, ridgeline.Run{Project: row.Project, Pipeline: p.Version, Cause: row.Cause + " " + string(row.ID), Caller: row.Caller})
		switch code := ridgeline.CodeOf(err); {
		case code == ridgeline.Conflict || code == ridgeline.Invalid:
			reason = "no run was started: " + err.Error()
		case err != nil:
			return published{}, err
		default:
			out.Run = run.ID
			if err := s.SetBuildRun(ctx, row.ID, run.ID); err != nil {
				return published{}, err
			}
		}
	}
	return out, s.FinishBuild(ctx, row.ID, ridgeline.Succeeded, reason, now)
}

// withheld says why a green build publishes nothing, or nothing.
func (w work) withheld(row ridgeline.Build) string {
	switch {
	case row.Nightly:
		return "not published: a nightly build tests what was published before"
	case row.PullRequest != "":
		return "not published: pull request " + row.PullRequest
	case !w.Publishes:
		return fmt.Sprintf("not published: branch %s; build.publish names %s", row.Commit.Branch, strings.Join(w.Publish, ", "))
	}
	return ""
}

// work is what one build carries from step to step.
type work struct {
	ID          ridgeline.BuildID
	Commit      ridgeline.Commit
	Nightly     bool
	PullRequest string
	Dir         string `json:"-"` // this server's; another one may go on with the build
	prepared
}

func (w work) source() string { return filepath.Join(w.Dir, "src") }

// config checks the commit out, if a step before has not, and reads its
// configuration.
func (b *Builder) config(ctx context.Context, w work) (project.Config, error) {
	if err := b.Blob.GetTree(ctx, w.Commit.Tree, w.source()); err != nil {
		return project.Config{}, fmt.Errorf("check out %s: %w", w.Commit.Short(), err)
	}
	cfg, err := project.Load(w.source())
	if err != nil {
		return project.Config{}, err
	}
	if cfg.Project != w.Commit.Project {
		return project.Config{}, ridgeline.Errorf(ridgeline.Invalid,
			"ridgeline.yaml says project %q, but this was pushed as project %q", cfg.Project, w.Commit.Project)
	}
	return cfg, nil
}

// clean removes what the build needed while it ran; its logs are in the blob
// store.
func (b *Builder) clean(ctx context.Context, w work) error {
	names, err := b.Tasks.Tasks(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, taskPrefix(w.ID)) {
			if err := b.Tasks.Remove(ctx, name); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(w.Dir)
}

func taskPrefix(id ridgeline.BuildID) string { return "build-" + string(id) + "-" }
