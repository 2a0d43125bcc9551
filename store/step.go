package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// PlanSteps adds the run's steps, queued, in the order of their names. The
// same plan again is harmless, whatever the steps have come to since; another
// one is Conflict.
func (s *Store) PlanSteps(ctx context.Context, run ridgeline.RunID, names []string) error {
	const insert = `INSERT INTO steps (run, name, position, status) VALUES ($1, $2, $3, $4)`
	return s.changeRun(ctx, "plan the steps of", run, func(tx *Store, r *ridgeline.Run) error {
		steps, err := tx.Steps(ctx, run)
		if err != nil {
			return err
		}
		if len(steps) > 0 {
			if !slices.EqualFunc(steps, names, func(s ridgeline.Step, name string) bool { return s.Name == name }) {
				return ridgeline.Errorf(ridgeline.Conflict, "run %s has other steps planned already than %q", run, names)
			}
			return nil
		}
		if r.Status.Terminal() {
			return ended("run", run, r.Status)
		}
		for i, name := range names {
			if _, err := tx.tx.Exec(ctx, insert, run, name, i, ridgeline.Queued); err != nil {
				return err
			}
		}
		return nil
	})
}

// SaveStep keeps how a planned step stands. Its attempts are saved by
// SaveAttempt, its position by PlanSteps; neither is looked at here. A step
// may go back from an end to running, since what runs it is repeated after a
// crash; but once the run has ended, a change is Conflict.
func (s *Store) SaveStep(ctx context.Context, step ridgeline.Step) error {
	const update = `UPDATE steps SET status = $1, cached = $2, message = $3, started = $4, ended = $5 WHERE run = $6 AND name = $7`
	return s.changeRun(ctx, "save step "+step.Name+" of", step.Run, func(tx *Store, r *ridgeline.Run) error {
		old, err := tx.step(ctx, step.Run, step.Name)
		if err != nil {
			return err
		}
		step.Message = cleanText(step.Message)
		if r.Status.Terminal() {
			if old.Status == step.Status && old.Cached == step.Cached && old.Message == step.Message &&
				old.Started.Equal(asStored(step.Started)) && old.Ended.Equal(asStored(step.Ended)) {
				return nil
			}
			return ended("run", step.Run, r.Status)
		}
		_, err = tx.tx.Exec(ctx, update, step.Status, step.Cached, step.Message, step.Started, step.Ended, step.Run, step.Name)
		return err
	})
}

// SaveAttempt keeps an attempt at a planned step, in place of the one of its
// number. Once the run has ended, a change is Conflict.
func (s *Store) SaveAttempt(ctx context.Context, run ridgeline.RunID, step string, a ridgeline.Attempt) error {
	const upsert = `INSERT INTO attempts (run, step, number, task, status, message, wall_seconds, cpu_seconds, peak_memory, started, ended)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (run, step, number) DO UPDATE SET task = excluded.task, status = excluded.status, message = excluded.message,
			wall_seconds = excluded.wall_seconds, cpu_seconds = excluded.cpu_seconds, peak_memory = excluded.peak_memory,
			started = excluded.started, ended = excluded.ended`
	if a.Number < 1 {
		return ridgeline.Errorf(ridgeline.Invalid, "attempt %d at step %s of run %s: attempts count from 1", a.Number, step, run)
	}
	return s.changeRun(ctx, "save an attempt at step "+step+" of", run, func(tx *Store, r *ridgeline.Run) error {
		if _, err := tx.step(ctx, run, step); err != nil {
			return err
		}
		a.Message, a.Started, a.Ended = cleanText(a.Message), asStored(a.Started), asStored(a.Ended)
		if r.Status.Terminal() {
			attempts, err := tx.attempts(ctx, run)
			switch {
			case err != nil:
				return err
			case slices.Contains(attempts[step], a):
				return nil
			}
			return ended("run", run, r.Status)
		}
		_, err := tx.tx.Exec(ctx, upsert, run, step, a.Number, a.Task, a.Status, a.Message,
			a.Usage.WallSeconds, a.Usage.CPUSeconds, a.Usage.PeakMemory, a.Started, a.Ended)
		return err
	})
}

const selectSteps = `SELECT run, name, position, status, cached, message, started, ended FROM steps WHERE run = $1`

func scanStep(row sqlq.Row) (s ridgeline.Step, err error) {
	err = row.Scan(&s.Run, &s.Name, &s.Position, &s.Status, asBool(&s.Cached), &s.Message, asTime(&s.Started), asTime(&s.Ended))
	return s, err
}

func (s *Store) step(ctx context.Context, run ridgeline.RunID, name string) (ridgeline.Step, error) {
	step, err := scanStep(s.q().QueryRow(ctx, selectSteps+` AND name = $2`, run, name))
	if absent(err) {
		return step, ridgeline.Errorf(ridgeline.NotFound, "run %s has no step %s", run, name)
	}
	return step, err
}

// Steps returns the run's steps in their order, each with its attempts from
// the first on. An unknown run has none.
func (s *Store) Steps(ctx context.Context, run ridgeline.RunID) ([]ridgeline.Step, error) {
	steps, err := collect(ctx, s.q(), scanStep, selectSteps+` ORDER BY position`, run)
	if err != nil {
		return nil, fmt.Errorf("read the steps of run %s: %w", run, err)
	}
	attempts, err := s.attempts(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("read the attempts of run %s: %w", run, err)
	}
	for i := range steps {
		steps[i].Attempts = attempts[steps[i].Name]
	}
	return steps, nil
}

type stepAttempt struct {
	step    string
	attempt ridgeline.Attempt
}

func scanAttempt(row sqlq.Row) (s stepAttempt, err error) {
	a := &s.attempt
	err = row.Scan(&s.step, &a.Number, &a.Task, &a.Status, &a.Message, &a.Usage.WallSeconds, &a.Usage.CPUSeconds, &a.Usage.PeakMemory,
		asTime(&a.Started), asTime(&a.Ended))
	return s, err
}

// attempts returns the run's attempts by step.
func (s *Store) attempts(ctx context.Context, run ridgeline.RunID) (map[string][]ridgeline.Attempt, error) {
	const query = `SELECT step, number, task, status, message, wall_seconds, cpu_seconds, peak_memory, started, ended
		FROM attempts WHERE run = $1 ORDER BY number`
	all, err := collect(ctx, s.q(), scanAttempt, query, run)
	byStep := map[string][]ridgeline.Attempt{}
	for _, a := range all {
		byStep[a.step] = append(byStep[a.step], a.attempt)
	}
	return byStep, err
}
