package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// PlanSteps adds the run's steps, queued, in their order: of each, its name,
// whose instance it is and its own parameters. The same plan again is harmless,
// whatever the steps have come to since; another one is Conflict.
func (s *Store) PlanSteps(ctx context.Context, run ridgeline.RunID, plan []ridgeline.Step) error {
	const insert = `INSERT INTO steps (run, name, position, status, parent, params) VALUES ($1, $2, $3, $4, $5, $6)`
	return s.changeRun(ctx, "plan the steps of", run, func(tx *Store, r *ridgeline.Run) error {
		steps, err := tx.Steps(ctx, run)
		if err != nil {
			return err
		}
		if len(steps) > 0 {
			if !slices.EqualFunc(steps, plan, func(a, b ridgeline.Step) bool { return a.Name == b.Name }) {
				return ridgeline.Errorf(ridgeline.Conflict, "run %s has other steps planned already", run)
			}
			return nil
		}
		if r.Status.Terminal() {
			return ended("run", run, r.Status)
		}
		for i, step := range plan {
			if _, err := tx.tx.Exec(ctx, insert, run, step.Name, i, ridgeline.Queued, step.Parent, jsonText(step.Params)); err != nil {
				return err
			}
		}
		return nil
	})
}

// SaveStep keeps how a planned step stands. Its attempts are saved by
// SaveAttempt, its place in the plan by PlanSteps; neither is looked at here. A
// step may go back from an end to running, since what runs it is repeated after
// a crash; but once the run has ended, a change is Conflict. A step that leaves
// queued takes the one whose instance it is with it.
func (s *Store) SaveStep(ctx context.Context, step ridgeline.Step) error {
	const update = `UPDATE steps SET status = $1, cached = $2, message = $3, started = $4, ended = $5,
			cache_key = $6, ingredients = $7, result = $8, note = $9, source = $10 WHERE run = $11 AND name = $12`
	const parent = `UPDATE steps SET status = $1, started = $2 WHERE run = $3 AND name = $4 AND status = 'queued'`
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
		if _, err = tx.tx.Exec(ctx, update, step.Status, step.Cached, step.Message, step.Started, step.Ended,
			step.Key, step.Ingredients, jsonText(step.Result), step.Note, step.Source, step.Run, step.Name); err != nil {
			return err
		}
		if old.Parent != "" && step.Status != ridgeline.Queued {
			_, err = tx.tx.Exec(ctx, parent, ridgeline.Running, step.Started, step.Run, old.Parent)
		}
		return err
	})
}

// SaveAttempt keeps an attempt at a planned step, in place of the one of its
// number. Once the run has ended, a change is Conflict.
func (s *Store) SaveAttempt(ctx context.Context, run ridgeline.RunID, step string, a ridgeline.Attempt) error {
	const upsert = `INSERT INTO attempts (run, step, number, task, status, message, fate, wall_seconds, cpu_seconds, peak_memory, started, ended,
			pool, spot, held_cpu, held_memory, held_gpu)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
		ON CONFLICT (run, step, number) DO UPDATE SET task = excluded.task, status = excluded.status, message = excluded.message, fate = excluded.fate,
			wall_seconds = excluded.wall_seconds, cpu_seconds = excluded.cpu_seconds, peak_memory = excluded.peak_memory,
			started = excluded.started, ended = excluded.ended,
			pool = excluded.pool, spot = excluded.spot, held_cpu = excluded.held_cpu, held_memory = excluded.held_memory, held_gpu = excluded.held_gpu`
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
		_, err := tx.tx.Exec(ctx, upsert, run, step, a.Number, a.Task, a.Status, a.Message, a.Fate,
			a.Usage.WallSeconds, a.Usage.CPUSeconds, a.Usage.PeakMemory, a.Started, a.Ended,
			a.Pool, a.Spot, a.Held.CPU, a.Held.Memory, a.Held.GPU)
		return err
	})
}

const stepColumns = `s.run, s.name, s.position, s.parent, s.params, s.status, s.cached, s.message, s.started, s.ended,
	s.cache_key, s.ingredients, s.result, s.note, s.source`

const selectSteps = `SELECT ` + stepColumns + ` FROM steps s WHERE s.run = $1`

func scanStep(row sqlq.Row) (s ridgeline.Step, err error) {
	err = row.Scan(&s.Run, &s.Name, &s.Position, &s.Parent, asJSON(&s.Params), &s.Status, asBool(&s.Cached), &s.Message, asTime(&s.Started),
		asTime(&s.Ended), &s.Key, asBytes(&s.Ingredients), asJSON(&s.Result), &s.Note, &s.Source)
	return s, err
}

func (s *Store) step(ctx context.Context, run ridgeline.RunID, name string) (ridgeline.Step, error) {
	step, err := scanStep(s.q().QueryRow(ctx, selectSteps+` AND s.name = $2`, run, name))
	if absent(err) {
		return step, ridgeline.Errorf(ridgeline.NotFound, "run %s has no step %s", run, name)
	}
	return step, err
}

// Step returns one step of the run with its attempts.
func (s *Store) Step(ctx context.Context, run ridgeline.RunID, name string) (ridgeline.Step, error) {
	step, err := s.step(ctx, run, name)
	if err != nil {
		return step, err
	}
	rows, err := collect(ctx, s.q(), scanAttempt, selectAttempts+` AND step = $2 ORDER BY number`, run, name)
	for _, a := range rows {
		step.Attempts = append(step.Attempts, a.attempt)
	}
	return step, err
}

// Earlier returns steps of the project that succeeded with that key, newest
// first, at most limit; each with the run that made its result in Source.
func (s *Store) Earlier(ctx context.Context, project ridgeline.ProjectName, key string, limit int) ([]ridgeline.Step, error) {
	const query = `SELECT ` + stepColumns + ` FROM steps s JOIN runs r ON r.id = s.run
		WHERE s.cache_key = $1 AND s.status = 'succeeded' AND s.cached = 0 AND r.project = $2 ORDER BY s.ended DESC LIMIT $3`
	steps, err := collect(ctx, s.q(), scanStep, query, key, project, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("look for steps that were made of the same: %w", err)
	}
	for i := range steps {
		steps[i].Source = steps[i].Run
	}
	return steps, nil
}

// Before returns the newest step of that name that succeeded with a key, in a
// run of the project older than the given one; and whether there is one.
func (s *Store) Before(ctx context.Context, run ridgeline.Run, name string) (ridgeline.Step, bool, error) {
	const query = `SELECT ` + stepColumns + ` FROM steps s JOIN runs r ON r.id = s.run
		WHERE r.project = $1 AND s.name = $2 AND s.cache_key <> '' AND s.status = 'succeeded' AND (r.created < $3 OR r.created = $3 AND r.id < $4)
		ORDER BY r.created DESC, r.id DESC LIMIT 1`
	step, err := scanStep(s.q().QueryRow(ctx, query, run.Project, name, run.Created, run.ID))
	switch {
	case absent(err):
		return step, false, nil
	case err != nil:
		return step, false, fmt.Errorf("look for an earlier step %s: %w", name, err)
	}
	return step, true, nil
}

// Steps returns the run's steps in their order, each with its attempts from
// the first on. An unknown run has none.
func (s *Store) Steps(ctx context.Context, run ridgeline.RunID) ([]ridgeline.Step, error) {
	steps, err := collect(ctx, s.q(), scanStep, selectSteps+` ORDER BY s.position`, run)
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
	err = row.Scan(&s.step, &a.Number, &a.Task, &a.Status, &a.Message, &a.Fate, &a.Usage.WallSeconds, &a.Usage.CPUSeconds, &a.Usage.PeakMemory,
		asTime(&a.Started), asTime(&a.Ended), &a.Pool, asBool(&a.Spot), &a.Held.CPU, &a.Held.Memory, &a.Held.GPU)
	return s, err
}

const selectAttempts = `SELECT step, number, task, status, message, fate, wall_seconds, cpu_seconds, peak_memory, started, ended,
	pool, spot, held_cpu, held_memory, held_gpu
	FROM attempts WHERE run = $1`

// attempts returns the run's attempts by step.
func (s *Store) attempts(ctx context.Context, run ridgeline.RunID) (map[string][]ridgeline.Attempt, error) {
	all, err := collect(ctx, s.q(), scanAttempt, selectAttempts+` ORDER BY number`, run)
	byStep := map[string][]ridgeline.Attempt{}
	for _, a := range all {
		byStep[a.step] = append(byStep[a.step], a.attempt)
	}
	return byStep, err
}

// RunMetrics returns what the steps of each of the runs measured, a later
// step's value in place of an earlier one's. Instances are left out: what went
// on of them is their parent's.
func (s *Store) RunMetrics(ctx context.Context, runs []ridgeline.RunID) (map[ridgeline.RunID]ridgeline.Metrics, error) {
	type left struct {
		run    ridgeline.RunID
		result ridgeline.Result
	}
	all := map[ridgeline.RunID]ridgeline.Metrics{}
	err := inBatches(runs, func(batch []ridgeline.RunID) error {
		var f filter
		in(&f, "run", batch)
		f.and("parent = ''")
		query, args := f.sql(`SELECT run, result FROM steps`, "run, position", 0)
		rows, err := collect(ctx, s.q(), func(row sqlq.Row) (l left, err error) {
			return l, row.Scan(&l.run, asJSON(&l.result))
		}, query, args...)
		for _, l := range rows {
			if all[l.run] == nil {
				all[l.run] = ridgeline.Metrics{}
			}
			maps.Copy(all[l.run], l.result.Metrics)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the metrics of runs: %w", err)
	}
	return all, nil
}
