package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// How many runs are compared, and of how many points each of their curves is.
const (
	comparedRuns = 500
	curvePoints  = 300
)

// fill makes a state folder with so many runs in it, of three steps each, and
// curves of the newest five hundred, whose ids it returns. What was filled once is used
// again. A server must not run there.
func fill(ctx context.Context, state string, runs int) (compared []string, err error) {
	for i := max(runs-comparedRuns, 0); i < runs; i++ {
		compared = append(compared, string(runID(i)))
	}
	full := filepath.Join(state, fmt.Sprintf("filled-with-%d-of-%d", runs, comparedRuns))
	if _, err := os.Stat(full); err == nil {
		return compared, nil
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, "sqlite:"+filepath.Join(state, "ridgeline.db"), nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	begun := time.Now().UTC().Add(-time.Duration(runs) * 20 * time.Second)
	if err := fillRun(ctx, s, begun); err != nil {
		return nil, err
	}
	if err := multiply(ctx, s, runs, begun); err != nil {
		return nil, err
	}
	if err := curves(ctx, state, compared); err != nil {
		return nil, err
	}
	return compared, os.WriteFile(full, nil, 0o600)
}

func runID(i int) ridgeline.RunID { return ridgeline.RunID(fmt.Sprintf("r-%014d", i)) }

// fillRun makes the run that the others are copies of, the way any run comes
// about.
func fillRun(ctx context.Context, s *store.Store, at time.Time) error {
	for _, name := range []ridgeline.ProjectName{"iris", "wine"} {
		if _, err := s.EnsureProject(ctx, name, at); err != nil {
			return err
		}
	}
	id := runID(0)
	run := ridgeline.Run{
		ID: id, Project: "iris", Pipeline: 1, Cause: "schedule", Status: ridgeline.Running, Created: at, Started: at,
		Params: map[string]string{"alpha": "1", "depth": "3", "kind": "ridge"},
	}
	if err := s.CreateRun(ctx, run); err != nil {
		return err
	}
	if err := s.PlanSteps(ctx, id, []ridgeline.Step{{Name: "prepare"}, {Name: "train"}, {Name: "gate"}}); err != nil {
		return err
	}
	train := ridgeline.Step{
		Run: id, Name: "train", Status: ridgeline.Succeeded, Started: at, Ended: at.Add(9 * time.Second),
		Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": 1, "accuracy": 0.5, "rows": 40_000}},
	}
	if err := s.SaveStep(ctx, train); err != nil {
		return err
	}
	attempt := ridgeline.Attempt{Number: 1, Task: fmt.Sprintf("run-%s-train-1", id), Status: ridgeline.Succeeded, Started: at, Ended: train.Ended, Pool: "local", Usage: ridgeline.Usage{WallSeconds: 9, CPUSeconds: 8, PeakMemory: 2e8}}
	if err := s.SaveAttempt(ctx, id, "train", attempt); err != nil {
		return err
	}
	if err := s.FinishRun(ctx, id, ridgeline.Succeeded, "", at.Add(10*time.Second)); err != nil {
		return err
	}
	_, err := s.ValueRuns(ctx)
	return err
}

// What is not the same in the copies, as SQL over n.i, the copy's number.
const (
	alpha = `(n.i % 70) / 10.0`
	kind  = `(CASE n.i % 3 WHEN 0 THEN 'ridge' WHEN 1 THEN 'forest' ELSE 'boost' END)`
	loss  = `((n.i * 7919) % 100003) / 50000.0`
	name  = `printf('r-%014d', n.i)`
)

// multiply copies the first run with all that belongs to it, in the database:
// a hundred thousand that come about one by one take minutes.
func multiply(ctx context.Context, s *store.Store, runs int, begun time.Time) error {
	db := s.SQLite()
	later := fmt.Sprintf("%d + n.i * 20000000", begun.UnixMicro())
	changes := map[string]map[string]string{
		"runs": {
			"id": name, "project": `CASE n.i % 3 WHEN 0 THEN 'wine' ELSE 'iris' END`, "status": `CASE n.i % 1000 WHEN 7 THEN 'failed' ELSE 'succeeded' END`,
			"params":  `printf('{"alpha":"%g","depth":"%d","kind":"%s"}', ` + alpha + `, 3 + n.i % 5, ` + kind + `)`,
			"created": later, "started": later, "ended": later + " + 10000000",
		},
		"steps":    {"run": name, "result": `CASE t.name WHEN 'train' THEN printf('{"metrics":{"loss":%g,"accuracy":%g,"rows":%d}}', ` + loss + `, 1 - ` + loss + ` / 3, 40000 + n.i) ELSE t.result END`},
		"attempts": {"run": name, "task": `printf('run-r-%014d-train-1', n.i)`},
		"run_values": {
			"run": name, "project": `CASE n.i % 3 WHEN 0 THEN 'wine' ELSE 'iris' END`,
			"number": `CASE t.name WHEN 'm.loss' THEN ` + loss + ` WHEN 'm.accuracy' THEN 1 - ` + loss + ` / 3 WHEN 'p.alpha' THEN ` + alpha + ` ELSE t.number END`,
			"text":   `CASE t.name WHEN 'm.loss' THEN printf('%g', ` + loss + `) WHEN 'p.alpha' THEN printf('%g', ` + alpha + `) WHEN 'p.kind' THEN ` + kind + ` ELSE t.text END`,
		},
	}
	for _, table := range []string{"runs", "steps", "attempts", "run_values"} { // each after what it refers to
		changed := changes[table]
		columns, err := columnsOf(ctx, s, table)
		if err != nil {
			return err
		}
		values := make([]string, len(columns))
		for i, c := range columns {
			if values[i] = changed[c]; values[i] == "" {
				values[i] = "t." + c
			}
		}
		_, err = db.ExecContext(ctx, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO %s (%s) SELECT %s FROM n, %s t`, runs-1, table, strings.Join(columns, ", "), strings.Join(values, ", "), table)+` WHERE `+ownerOf(table)+` = $1`, runID(0))
		if err != nil {
			return fmt.Errorf("copy %s: %w", table, err)
		}
	}
	return nil
}

// ownerOf is the column that says whose run's a row is.
func ownerOf(table string) string {
	if table == "runs" {
		return "t.id"
	}
	return "t.run"
}

func columnsOf(ctx context.Context, s *store.Store, table string) (names []string, err error) {
	rows, err := s.SQLite().QueryContext(ctx, `SELECT name FROM pragma_table_info($1)`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// curves logs how the loss of each run went, as a training script does.
func curves(ctx context.Context, state string, ids []string) error {
	t, err := track.Open(ctx, track.Options{URL: "sqlite:" + filepath.Join(state, "tracking.db")})
	if err != nil {
		return err
	}
	defer t.Close()
	experiments := map[string]int64{}
	for _, name := range []string{"iris", "wine"} {
		if experiments[name], err = t.CreateExperiment(ctx, track.NewExperiment{Name: name}); err != nil {
			return err
		}
	}
	for i, id := range ids {
		for _, e := range experiments { // which of the two is the run's does not matter for what it takes
			r, err := t.CreateRun(ctx, track.NewRun{Experiment: e, Name: "train", Tags: []track.Pair{{Key: "ridgeline.run", Value: id}}})
			if err != nil {
				return err
			}
			var b track.Batch
			for step := range curvePoints {
				v := math.Exp(-float64(step)/80) + float64(i%10)/50
				b.Metrics = append(b.Metrics, track.Metric{Key: "loss", Value: v, Step: int64(step), Time: int64(step)})
			}
			if err := t.Log(ctx, r.ID, b); err != nil {
				return err
			}
		}
	}
	return nil
}
