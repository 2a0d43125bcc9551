package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// How many runs are compared, and of how many points each of their curves is.
const (
	comparedRuns = 100
	curvePoints  = 300
)

// fill makes a state folder with so many runs in it, of three steps each, and
// curves of the newest hundred, whose ids it returns. What was filled once is used
// again. A server must not run there.
func fill(ctx context.Context, state string, runs int) (compared []string, err error) {
	for i := max(runs-comparedRuns, 0); i < runs; i++ {
		compared = append(compared, string(runID(i)))
	}
	full := filepath.Join(state, fmt.Sprintf("filled-with-%d", runs))
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
	for _, name := range []ridgeline.ProjectName{"iris", "wine"} {
		if _, err := s.EnsureProject(ctx, name, begun); err != nil {
			return nil, err
		}
	}
	const each = 1000
	for from := 0; from < runs; from += each {
		err := s.InTx(ctx, func(tx *store.Store) error {
			for i := from; i < min(from+each, runs); i++ {
				if err := fillRun(ctx, tx, i, begun.Add(time.Duration(i)*20*time.Second)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for more := true; more; { // as the leading server does with runs that end
		if more, err = s.ValueRuns(ctx); err != nil {
			return nil, err
		}
	}
	if err := curves(ctx, state, compared); err != nil {
		return nil, err
	}
	return compared, os.WriteFile(full, nil, 0o600)
}

func runID(i int) ridgeline.RunID { return ridgeline.RunID(fmt.Sprintf("r-%014d", i)) }

func fillRun(ctx context.Context, tx *store.Store, i int, at time.Time) error {
	id, status, project := runID(i), ridgeline.Succeeded, ridgeline.ProjectName("iris")
	if i%1000 == 7 {
		status = ridgeline.Failed
	}
	if i%3 == 0 {
		project = "wine"
	}
	run := ridgeline.Run{
		ID: id, Project: project, Pipeline: 1, Cause: "schedule", Status: ridgeline.Running, Created: at, Started: at,
		Params: map[string]string{"alpha": fmt.Sprint(float64(i%70) / 10), "depth": fmt.Sprint(3 + i%5), "kind": []string{"ridge", "forest", "boost"}[i%3]},
	}
	if err := tx.CreateRun(ctx, run); err != nil {
		return err
	}
	if err := tx.PlanSteps(ctx, id, []ridgeline.Step{{Name: "prepare"}, {Name: "train"}, {Name: "gate"}}); err != nil {
		return err
	}
	loss := 1 + math.Sin(float64(i))
	train := ridgeline.Step{
		Run: id, Name: "train", Status: ridgeline.Succeeded, Started: at, Ended: at.Add(9 * time.Second),
		Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": loss, "accuracy": 1 - loss/3, "rows": float64(40_000 + i)}},
	}
	if err := tx.SaveStep(ctx, train); err != nil {
		return err
	}
	attempt := ridgeline.Attempt{Number: 1, Task: fmt.Sprintf("run-%s-train-1", id), Status: ridgeline.Succeeded, Started: at, Ended: train.Ended, Pool: "local", Usage: ridgeline.Usage{WallSeconds: 9, CPUSeconds: 8, PeakMemory: 2e8}}
	if err := tx.SaveAttempt(ctx, id, "train", attempt); err != nil {
		return err
	}
	return tx.FinishRun(ctx, id, status, "", at.Add(10*time.Second))
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
