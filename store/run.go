package store

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A RunFilter chooses runs; the zero value means all.
type RunFilter struct {
	Project    ridgeline.ProjectName
	Status     ridgeline.Status
	Verdict    ridgeline.Verdict
	Unfinished bool            // only those that have not ended
	Unjudged   bool            // only those without a verdict
	Before     ridgeline.RunID // only those behind this one in the order that is asked for: the last of the page before
	Upto       ridgeline.RunID // newest first: not those newer than this one, so that rows keep their numbers while runs come
	Where      []RunCondition  // on values, of runs that have ended
	Skip       int             // so many of them
	Limit      int             // 0: all
}

// CreateRun keeps a new run. The same run again is harmless; another one under
// its id is Conflict.
func (s *Store) CreateRun(ctx context.Context, r ridgeline.Run) error {
	const insert = `INSERT INTO runs (id, project, pipeline, cause, caller, params, data, resumes, from_step, no_cache, reproduces,
			gate_off, status, verdict, model, version, release_id, reason, cancel_requested, created, started, ended, judges)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23) ON CONFLICT (id) DO NOTHING`
	return s.doing(ctx, fmt.Sprintf("create run %s", r.ID), func(tx *Store) error {
		if _, err := tx.Project(ctx, r.Project); err != nil {
			return err
		}
		n, err := tx.tx.Exec(ctx, insert, r.ID, r.Project, r.Pipeline, r.Cause, r.Caller, jsonText(r.Params), jsonText(r.Data), r.Resumes, r.From,
			r.NoCache, r.Reproduces, r.GateOff, r.Status, r.Verdict, r.Model, r.Version, r.Release, r.Reason, r.CancelRequested, r.Created, r.Started, r.Ended, r.Judges)
		if err != nil {
			return err
		}
		if n > 0 {
			return tx.emitRun(ctx, "", r)
		}
		old, err := tx.Run(ctx, r.ID)
		if err != nil {
			return err
		}
		if old.Project != r.Project || old.Pipeline != r.Pipeline {
			return ridgeline.Errorf(ridgeline.Conflict, "run %s exists already, of pipeline %d of %s", r.ID, old.Pipeline, old.Project)
		}
		return nil
	})
}

const selectRuns = `SELECT id, project, pipeline, cause, caller, params, data, resumes, from_step, no_cache, reproduces,
	gate_off, status, verdict, model, version, release_id, reason, cancel_requested, created, started, ended, note, judges FROM runs`

func scanRun(row sqlq.Row) (r ridgeline.Run, err error) {
	err = row.Scan(&r.ID, &r.Project, &r.Pipeline, &r.Cause, &r.Caller, asJSON(&r.Params), asJSON(&r.Data), &r.Resumes, &r.From,
		asBool(&r.NoCache), &r.Reproduces, &r.GateOff, &r.Status, &r.Verdict, &r.Model, &r.Version, &r.Release, &r.Reason, asBool(&r.CancelRequested), asTime(&r.Created), asTime(&r.Started), asTime(&r.Ended), &r.Note, &r.Judges)
	return r, err
}

// Run returns the run.
func (s *Store) Run(ctx context.Context, id ridgeline.RunID) (ridgeline.Run, error) {
	r, err := scanRun(s.q().QueryRow(ctx, selectRuns+` WHERE id = $1`, id))
	switch {
	case absent(err):
		return r, ridgeline.Errorf(ridgeline.NotFound, "no run %s", id)
	case err != nil:
		return r, fmt.Errorf("read run %s: %w", id, err)
	}
	return r, nil
}

// newestFirst is the order of runs without any other.
const newestFirst = "created DESC, id DESC"

// Runs returns the runs, newest first. Before an unknown run there is none.
func (s *Store) Runs(ctx context.Context, want RunFilter) ([]ridgeline.Run, error) {
	f, err := s.chosenRuns(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	query, args := f.sql(selectRuns, newestFirst, want.Limit)
	if want.Skip > 0 { // what is skipped is not read, but for the index
		query, args = f.page("SELECT id FROM runs", newestFirst, want.Limit, want.Skip)
		query = selectRuns + " WHERE id IN (" + query + ") ORDER BY " + newestFirst
	}
	all, err := collect(ctx, s.q(), scanRun, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return all, nil
}

// chosenRuns is what a filter says of runs that are in the order of their time.
// Its placeholders come after those of args.
func (s *Store) chosenRuns(ctx context.Context, want RunFilter, args ...any) (f filter, err error) {
	f.args = args
	if want.Project != "" {
		f.and("runs.project = ?", want.Project)
	}
	if err := s.aboutRuns(ctx, &f, want); err != nil {
		return f, err
	}
	if want.Before != "" {
		f.and("(runs.created, runs.id) < (SELECT b.created, b.id FROM runs b WHERE b.id = ?)", want.Before)
	}
	if want.Upto != "" {
		f.and("(runs.created, runs.id) <= (SELECT u.created, u.id FROM runs u WHERE u.id = ?)", want.Upto)
	}
	return f, nil
}

// aboutRuns adds what a filter says of the runs themselves, whatever their order.
func (s *Store) aboutRuns(ctx context.Context, f *filter, want RunFilter) error {
	if want.Status != "" {
		f.and("runs.status = ?", want.Status)
	}
	if want.Verdict != "" {
		f.and("runs.verdict = ?", want.Verdict)
	}
	if want.Unjudged {
		f.and("runs.verdict = ?", "")
	}
	if want.Unfinished {
		f.unfinished("runs.status")
	}
	for _, c := range want.Where {
		if err := s.addCondition(ctx, f, c); err != nil {
			return err
		}
	}
	return nil
}

// StartRun moves a queued or waiting run to running. Twice is harmless; one
// that has ended is Conflict.
func (s *Store) StartRun(ctx context.Context, id ridgeline.RunID, at time.Time) error {
	const update = `UPDATE runs SET status = $1, started = $2 WHERE id = $3`
	return s.changeRun(ctx, "start", id, func(tx *Store, r *ridgeline.Run) error {
		before := r.Status
		if err := start("run", id, &r.Status); err != nil {
			return err
		}
		if r.Started.IsZero() {
			r.Started = at
		}
		if _, err := tx.tx.Exec(ctx, update, r.Status, r.Started, id); err != nil {
			return err
		}
		return tx.emitRun(ctx, before, *r)
	})
}

// TakeTurn moves a queued run to running when its turn has come: no other run
// of its project is under way, and none that was asked for earlier waits. It
// returns the run as it then is; one that still waits is queued. A run that
// only reproduces a version takes no turns, and nobody waits for it.
func (s *Store) TakeTurn(ctx context.Context, id ridgeline.RunID, at time.Time) (ridgeline.Run, error) {
	const before = `SELECT COUNT(*) FROM runs WHERE project = $1 AND id <> $2 AND reproduces = ''
		AND (status IN ('running', 'waiting') OR status = 'queued' AND (created < $3 OR created = $3 AND id < $2))`
	var r ridgeline.Run
	err := s.doing(ctx, fmt.Sprintf("take the turn of run %s", id), func(tx *Store) (err error) {
		if r, err = tx.Run(ctx, id); err != nil {
			return err
		}
		// All that decides about the project's runs locks the project first.
		if err := tx.LockProject(ctx, r.Project); err != nil {
			return err
		}
		if r, err = tx.Run(ctx, id); err != nil || r.Status != ridgeline.Queued {
			return err
		}
		var others int64
		if err := tx.tx.QueryRow(ctx, before, r.Project, id, r.Created).Scan(&others); err != nil {
			return err
		}
		if others > 0 && r.Reproduces == "" {
			return nil
		}
		if err := tx.StartRun(ctx, id, at); err != nil {
			return err
		}
		r, err = tx.Run(ctx, id)
		return err
	})
	return r, err
}

// SetRunData notes the versions of the datasets that the run works on. Twice
// the same is harmless; once the run has ended, a change is Conflict.
func (s *Store) SetRunData(ctx context.Context, id ridgeline.RunID, data map[string]int) error {
	return s.changeRun(ctx, "set the data of", id, func(tx *Store, r *ridgeline.Run) error {
		if maps.Equal(r.Data, data) {
			return nil
		}
		if r.Status.Terminal() {
			return ended("run", id, r.Status)
		}
		_, err := tx.tx.Exec(ctx, `UPDATE runs SET data = $1 WHERE id = $2`, jsonText(data), id)
		return err
	})
}

// SetRunNote notes what a person should know of the data that the run works on.
func (s *Store) SetRunNote(ctx context.Context, id ridgeline.RunID, note string) error {
	return s.changeRun(ctx, "set the note of", id, func(tx *Store, r *ridgeline.Run) error {
		if r.Note == cleanText(note) {
			return nil
		}
		if r.Status.Terminal() {
			return ended("run", id, r.Status)
		}
		_, err := tx.tx.Exec(ctx, `UPDATE runs SET note = $1 WHERE id = $2`, note, id)
		return err
	})
}

// FinishRun ends the run; see ridgeline.Run.Finish.
func (s *Store) FinishRun(ctx context.Context, id ridgeline.RunID, status ridgeline.Status, reason string, at time.Time) error {
	const update = `UPDATE runs SET status = $1, reason = $2, ended = $3 WHERE id = $4`
	return s.changeRun(ctx, "finish", id, func(tx *Store, r *ridgeline.Run) error {
		before := r.Status
		if err := r.Finish(status, reason, at); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, update, r.Status, r.Reason, r.Ended, id); err != nil {
			return err
		}
		return tx.emitRun(ctx, before, *r)
	})
}

// RecordVerdict notes what the gate said and which version the run made;
// version 0 leaves the number to a later call. Another verdict, model or
// version than is noted already is Conflict.
func (s *Store) RecordVerdict(ctx context.Context, id ridgeline.RunID, verdict ridgeline.Verdict, model ridgeline.ModelName, version int) error {
	const update = `UPDATE runs SET verdict = $1, model = $2, version = $3 WHERE id = $4`
	return s.changeRun(ctx, "record the verdict of", id, func(tx *Store, r *ridgeline.Run) error {
		switch {
		case verdict == "":
			return ridgeline.Errorf(ridgeline.Invalid, "run %s: expected a verdict, got none", id)
		case r.Verdict != "" && (r.Verdict != verdict || r.Model != model || r.Version != 0 && r.Version != version):
			return ridgeline.Errorf(ridgeline.Conflict, "run %s has its verdict already: %s for version %d of %s", id, r.Verdict, r.Version, r.Model)
		case r.Verdict == "" && r.Status.Terminal():
			return ended("run", id, r.Status)
		}
		_, err := tx.tx.Exec(ctx, update, verdict, model, version, id)
		return err
	})
}

// SetRunRelease notes the release that the run started. Another one than is
// noted already is Conflict.
func (s *Store) SetRunRelease(ctx context.Context, id ridgeline.RunID, release ridgeline.ReleaseID) error {
	return s.changeRun(ctx, "set the release of", id, func(tx *Store, r *ridgeline.Run) error {
		if r.Release != "" && r.Release != release {
			return ridgeline.Errorf(ridgeline.Conflict, "run %s started release %s already, not %s", id, r.Release, release)
		}
		_, err := tx.tx.Exec(ctx, `UPDATE runs SET release_id = $1 WHERE id = $2`, release, id)
		return err
	})
}

// RequestCancel asks for the run's end; whoever drives it has to see to that.
// A run that has ended is Conflict.
func (s *Store) RequestCancel(ctx context.Context, id ridgeline.RunID) error {
	return s.changeRun(ctx, "cancel", id, func(tx *Store, r *ridgeline.Run) error {
		if r.Status.Terminal() {
			return ended("run", id, r.Status)
		}
		_, err := tx.tx.Exec(ctx, `UPDATE runs SET cancel_requested = 1 WHERE id = $1`, id)
		return err
	})
}

func (s *Store) changeRun(ctx context.Context, what string, id ridgeline.RunID, change func(tx *Store, r *ridgeline.Run) error) error {
	return changeByID(ctx, s, "runs", "run", what, id, (*Store).Run, change)
}
