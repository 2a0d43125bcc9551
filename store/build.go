package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A BuildFilter chooses builds; the zero value means all.
type BuildFilter struct {
	Project    ridgeline.ProjectName
	Branch     string
	Tree       string // only of this content
	Unfinished bool   // only those that have not ended
	Flaky      bool   // only those in which a test is known to be flaky
	Limit      int    // 0: all
}

// saveCommit keeps the commit; one of the same project, hash and tree stays.
func (s *Store) saveCommit(ctx context.Context, project ridgeline.ProjectName, c ridgeline.Commit) error {
	if c.Project != "" && c.Project != project {
		return ridgeline.Errorf(ridgeline.Invalid, "commit %s is of project %s, not %s", c.Short(), c.Project, project)
	}
	const insert = `INSERT INTO commits (project, hash, tree, branch, message, author, dirty, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (project, hash, tree) DO NOTHING`
	_, err := s.tx.Exec(ctx, insert, project, c.Hash, c.Tree, c.Branch, c.Message, c.Author, c.Dirty, c.Created)
	return err
}

// commitColumns are those of the table under the name c, and the branch on
// which b, a build of the commit, met it: a commit can be on several.
const commitColumns = `c.project, c.hash, c.tree, b.branch, c.message, c.author, c.dirty, c.created`

func commitFields(c *ridgeline.Commit) []any {
	return []any{&c.Project, &c.Hash, &c.Tree, &c.Branch, &c.Message, &c.Author, asBool(&c.Dirty), asTime(&c.Created)}
}

// CreateBuild keeps a new build with its commit and checks. The same build
// again is harmless; another one under its id is Conflict.
func (s *Store) CreateBuild(ctx context.Context, b ridgeline.Build) error {
	const insert = `INSERT INTO builds (id, project, hash, tree, status, pipeline, run, reason, caller, cancel_requested, created, ended,
			branch, cause, pull_request, nightly, environment, report)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (id) DO NOTHING`
	return s.doing(ctx, fmt.Sprintf("create build %s", b.ID), func(tx *Store) error {
		if _, err := tx.Project(ctx, b.Project); err != nil {
			return err
		}
		if err := tx.saveCommit(ctx, b.Project, b.Commit); err != nil {
			return err
		}
		n, err := tx.tx.Exec(ctx, insert, b.ID, b.Project, b.Commit.Hash, b.Commit.Tree, b.Status, b.Pipeline, b.Run,
			b.Reason, b.Caller, b.CancelRequested, b.Created, b.Ended, b.Commit.Branch, b.Cause, b.PullRequest, b.Nightly, b.Environment, jsonText(b.Report))
		if err != nil {
			return err
		}
		if n == 0 {
			return tx.sameBuild(ctx, b)
		}
		for _, c := range b.Checks {
			if err := tx.putCheck(ctx, b.ID, c); err != nil {
				return err
			}
		}
		return tx.emitBuild(ctx, "", b)
	})
}

func (s *Store) sameBuild(ctx context.Context, b ridgeline.Build) error {
	old, err := s.Build(ctx, b.ID)
	if err != nil {
		return err
	}
	if old.Project != b.Project || old.Commit.Hash != b.Commit.Hash || old.Commit.Tree != b.Commit.Tree {
		return ridgeline.Errorf(ridgeline.Conflict, "build %s exists already, of commit %s of %s", b.ID, old.Commit.Short(), old.Project)
	}
	return nil
}

const selectBuilds = `SELECT b.id, b.project, b.status, b.pipeline, b.run, b.reason, b.caller, b.cancel_requested, b.created, b.ended,
	b.cause, b.pull_request, b.nightly, b.environment, b.report, ` + commitColumns + `
	FROM builds b JOIN commits c ON c.project = b.project AND c.hash = b.hash AND c.tree = b.tree`

func scanBuild(row sqlq.Row) (b ridgeline.Build, err error) {
	err = row.Scan(append([]any{&b.ID, &b.Project, &b.Status, &b.Pipeline, &b.Run, &b.Reason, &b.Caller,
		asBool(&b.CancelRequested), asTime(&b.Created), asTime(&b.Ended),
		&b.Cause, &b.PullRequest, asBool(&b.Nightly), &b.Environment, asJSON(&b.Report)}, commitFields(&b.Commit)...)...)
	return b, err
}

// Build returns the build with its checks, in the order of their first save.
func (s *Store) Build(ctx context.Context, id ridgeline.BuildID) (ridgeline.Build, error) {
	b, err := scanBuild(s.q().QueryRow(ctx, selectBuilds+` WHERE b.id = $1`, id))
	if err == nil {
		err = s.loadChecks(ctx, []*ridgeline.Build{&b})
	}
	switch {
	case absent(err):
		return b, ridgeline.Errorf(ridgeline.NotFound, "no build %s", id)
	case err != nil:
		return b, fmt.Errorf("read build %s: %w", id, err)
	}
	return b, nil
}

// Builds returns the builds with their checks, newest first.
func (s *Store) Builds(ctx context.Context, want BuildFilter) ([]ridgeline.Build, error) {
	var f filter
	if want.Project != "" {
		f.and("b.project = ?", want.Project)
	}
	if want.Branch != "" {
		f.and("b.branch = ?", want.Branch)
	}
	if want.Tree != "" {
		f.and("b.tree = ?", want.Tree)
	}
	if want.Unfinished {
		f.unfinished("b.status")
	}
	if want.Flaky {
		f.and("b.flaky > 0")
	}
	query, args := f.sql(selectBuilds, "b.created DESC, b.id DESC", want.Limit)
	all, err := collect(ctx, s.q(), scanBuild, query, args...)
	if err == nil {
		err = s.loadChecks(ctx, pointers(all))
	}
	if err != nil {
		return nil, fmt.Errorf("list builds: %w", err)
	}
	return all, nil
}

// StartBuild moves a queued build to running. Twice is harmless; one that has
// ended is Conflict.
func (s *Store) StartBuild(ctx context.Context, id ridgeline.BuildID, at time.Time) error {
	const update = `UPDATE builds SET status = $1, started = $2 WHERE id = $3 AND started = 0`
	return s.changeBuild(ctx, "start", id, func(tx *Store, b *ridgeline.Build) error {
		before := b.Status
		if err := start("build", id, &b.Status); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, update, b.Status, at, id); err != nil {
			return err
		}
		return tx.emitBuild(ctx, before, *b)
	})
}

// FinishBuild ends the build; see ridgeline.Build.Finish.
func (s *Store) FinishBuild(ctx context.Context, id ridgeline.BuildID, status ridgeline.Status, reason string, at time.Time) error {
	const update = `UPDATE builds SET status = $1, reason = $2, ended = $3 WHERE id = $4`
	return s.changeBuild(ctx, "finish", id, func(tx *Store, b *ridgeline.Build) error {
		before := b.Status
		if err := b.Finish(status, reason, at); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, update, b.Status, b.Reason, b.Ended, id); err != nil {
			return err
		}
		return tx.emitBuild(ctx, before, *b)
	})
}

// SetBuildEnvironment notes the hash of the locked environment it is checked in.
func (s *Store) SetBuildEnvironment(ctx context.Context, id ridgeline.BuildID, environment string) error {
	return s.changeBuild(ctx, "set the environment of", id, func(tx *Store, _ *ridgeline.Build) error {
		_, err := tx.tx.Exec(ctx, `UPDATE builds SET environment = $1 WHERE id = $2`, environment, id)
		return err
	})
}

// SaveReport keeps what the build's tests said, in place of what was there.
func (s *Store) SaveReport(ctx context.Context, id ridgeline.BuildID, r ridgeline.Report) error {
	return s.changeBuild(ctx, "save the report of", id, func(tx *Store, _ *ridgeline.Build) error {
		_, err := tx.tx.Exec(ctx, `UPDATE builds SET report = $1, flaky = $2 WHERE id = $3`, jsonText(r), int64(len(r.Flaky)), id)
		return err
	})
}

// MarkFlaky adds tests to those that the build's report calls flaky.
func (s *Store) MarkFlaky(ctx context.Context, id ridgeline.BuildID, tests []string) error {
	return s.changeBuild(ctx, "mark flaky tests of", id, func(tx *Store, b *ridgeline.Build) error {
		r := b.Report
		r.Flaky = append(slices.Clone(r.Flaky), tests...)
		slices.Sort(r.Flaky)
		r.Flaky = slices.Compact(r.Flaky)
		return tx.SaveReport(ctx, id, r)
	})
}

// SetBuildRun notes the run that the build started. Another one than is noted
// already is Conflict.
func (s *Store) SetBuildRun(ctx context.Context, id ridgeline.BuildID, run ridgeline.RunID) error {
	return s.changeBuild(ctx, "set the run of", id, func(tx *Store, b *ridgeline.Build) error {
		if b.Run != "" && b.Run != run {
			return ridgeline.Errorf(ridgeline.Conflict, "build %s started run %s already, not %s", id, b.Run, run)
		}
		_, err := tx.tx.Exec(ctx, `UPDATE builds SET run = $1 WHERE id = $2`, run, id)
		return err
	})
}

// RequestBuildCancel asks for the build's end; whoever runs it has to see to
// that. A build that has ended is Conflict.
func (s *Store) RequestBuildCancel(ctx context.Context, id ridgeline.BuildID) error {
	return s.changeBuild(ctx, "cancel", id, func(tx *Store, b *ridgeline.Build) error {
		if b.Status.Terminal() {
			return ended("build", id, b.Status)
		}
		_, err := tx.tx.Exec(ctx, `UPDATE builds SET cancel_requested = 1 WHERE id = $1`, id)
		return err
	})
}

func (s *Store) changeBuild(ctx context.Context, what string, id ridgeline.BuildID, change func(tx *Store, b *ridgeline.Build) error) error {
	return changeByID(ctx, s, "builds", "build", what, id, (*Store).Build, change)
}
