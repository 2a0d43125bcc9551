package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// byCommand lets the project's own evaluate command judge one model: the
// challenger's code in that model's own environment, with the model's folder
// in RIDGELINE_MODEL.
func (r *Runner) byCommand(ctx context.Context, p *passage, plan plan, s side) (evaluation, error) {
	step, _ := p.Config.Pipeline.Step(evaluate)
	dir := filepath.Join(p.Dir, "evaluate-"+s.Name)
	w := work{node: node{Step: step, Params: together(plan.Params, p.left[train])}, Plan: plan, Inputs: map[string]ridgeline.Result{}}
	for _, name := range p.Config.Pipeline.Before(evaluate) {
		if p.left[name].Status == ridgeline.Succeeded {
			w.Inputs[name] = p.left[name].Result
		}
	}
	pool, err := r.pool(step.Compute)
	if err != nil {
		return evaluation{}, err
	}
	row, err := r.Store.Step(ctx, p.Run.ID, evaluate)
	if err != nil {
		return evaluation{}, err
	}
	j := job{Work: w, Lock: lockOf(s.Lock), Dir: dir, Model: s.Model, Tracks: true}
	var logged ridgeline.Metrics
	for tries := []ridgeline.Attempt{}; ; {
		attempt := len(tries) + 1
		j.Name = ridgeline.TaskName(p.Run.ID, evaluateTask(s.Name), attempt)
		out, err := r.evaluateAttempt(ctx, p, s, pool, j, ridgeline.Attempt{Number: attempt, Task: j.Name, Started: row.Started})
		if err != nil {
			return evaluation{}, err
		}
		if out.Reason == "" {
			logged = out.Logged
			break
		}
		if tries = append(tries, ridgeline.Attempt{Number: attempt, Fate: out.Fate}); !again(step.Retries, tries) {
			return evaluation{Reason: "was not judged. " + out.Reason}, nil
		}
		// The task remembers when it ended, so the wait goes on after a crash.
		asked, err := r.pause(ctx, p.Run.ID, out.Ended.Add(backoff(step.Retries, counted(tries))))
		if err != nil {
			return evaluation{}, err
		}
		if asked {
			return evaluation{Reason: "was not judged: cancelled"}, nil
		}
	}
	return readRows(ctx, filepath.Join(dir, "out"), logged, p.Config.Pipeline.Gate.Metric, p.Config.Pipeline.Gate.Slices)
}

// judged is what an attempt at the evaluate command came to.
type judged struct {
	failed
	Logged ridgeline.Metrics // by MLflow
	Ended  time.Time
}

func (r *Runner) evaluateAttempt(ctx context.Context, p *passage, s side, pool Pool, j job, try ridgeline.Attempt) (judged, error) {
	spec, err := r.task(ctx, p, pool, j)
	if err != nil {
		return judged{}, err
	}
	follow, err := r.tracked(ctx, p, evaluateTask(s.Name), try, pool, &spec)
	if err != nil {
		return judged{}, err
	}
	state, err := host.Run(ctx, pool.Tasks, spec, follow)
	if err == nil {
		err = r.bring(ctx, pool, j, state)
	}
	if err != nil {
		return judged{}, err
	}
	if err := r.unspool(ctx, p.Run, try.Task, j.Dir); err != nil {
		return judged{}, err
	}
	out := judged{failed: r.failure(ctx, state, evaluate, try.Task), Ended: state.Ended}
	status := ridgeline.Succeeded
	switch {
	case out.Fate == fateKilled:
		status = ridgeline.Cancelled
	case out.Reason != "":
		status = ridgeline.Failed
	}
	out.Logged, err = r.Tracking.End(ctx, try.Task, status, state.Ended)
	return out, err
}

// readRows reads what an evaluate command left: rows.csv or rows.parquet with
// loss, or y and prediction, and slice columns; else metrics.json, or what it
// logged.
func readRows(ctx context.Context, out string, logged ridgeline.Metrics, metric string, sliceColumns []string) (evaluation, error) {
	for _, name := range []string{"rows.csv", "rows.parquet"} {
		path := filepath.Join(out, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return rowScores(ctx, path, sliceColumns)
	}
	metrics, err := readMetrics(filepath.Join(out, "metrics.json"))
	if err != nil {
		return evaluation{Reason: "was judged unclearly: " + err.Error()}, nil
	}
	value, ok := withLogged(metrics, logged)[metric]
	if ok && (math.IsNaN(value) || math.IsInf(value, 0)) {
		return evaluation{Reason: fmt.Sprintf("was judged unclearly: %s is %v, which is not finite", metric, value)}, nil
	}
	if !ok {
		return evaluation{Reason: fmt.Sprintf("was not judged: the evaluate command left neither rows.csv nor rows.parquet, nor %q in metrics.json, nor logged it", metric)}, nil
	}
	return evaluation{Scores: gate.Scores{Has: true, Point: &value}}, nil
}

func rowScores(ctx context.Context, path string, sliceColumns []string) (evaluation, error) {
	db, err := data.Open()
	if err != nil {
		return evaluation{}, err
	}
	defer db.Close()
	table, err := db.Read(ctx, path, 0)
	if err != nil {
		return evaluation{Reason: "was judged unclearly: " + err.Error()}, nil
	}
	out := evaluation{Scores: gate.Scores{Has: true}, Slices: map[string][]string{}}
	var truth []any
	for i, c := range table.Columns {
		for _, row := range table.Rows {
			if c.Name == "y" {
				truth = append(truth, row[i])
			}
		}
	}
	labels := labelled(truth)
	column := map[string][]float64{}
	labelled := map[string]bool{}
	// y before prediction: a label's number must not depend on what was predicted.
	for _, name := range []string{"loss", "y", "prediction"} {
		i := slices.IndexFunc(table.Columns, func(c ridgeline.Column) bool { return c.Name == name })
		for j, row := range table.Rows {
			if i < 0 {
				break
			}
			v, ok := number(row[i], labels)
			if !ok {
				return evaluation{Reason: fmt.Sprintf("was judged unclearly: row %d of %s has no %s", j+1, filepath.Base(path), name)}, nil
			}
			if math.IsInf(v, 0) {
				return evaluation{Reason: fmt.Sprintf("was judged unclearly: row %d of %s has the %s %v, which is not finite", j+1, filepath.Base(path), name, v)}, nil
			}
			column[name] = append(column[name], v)
			labelled[name] = isLabel(row[i])
		}
	}
	if column["y"] != nil && column["prediction"] != nil && labelled["y"] != labelled["prediction"] || labelled["loss"] {
		return evaluation{Reason: fmt.Sprintf("was judged unclearly: in %s a loss is a number, and y and prediction are both numbers or both labels", filepath.Base(path))}, nil
	}
	for i, c := range table.Columns {
		for _, row := range table.Rows {
			if slices.Contains(sliceColumns, c.Name) {
				out.Slices[c.Name] = append(out.Slices[c.Name], text(row[i]))
			}
		}
	}
	if len(labels) > 0 {
		out.Labels = labels
	}
	out.Scores.Losses, out.Scores.Y, out.Scores.Prediction = column["loss"], column["y"], column["prediction"]
	if out.Scores.Losses == nil && (out.Scores.Y == nil || out.Scores.Prediction == nil) {
		return evaluation{Reason: fmt.Sprintf("was not judged: %s needs a column loss, or the columns y and prediction", filepath.Base(path))}, nil
	}
	for _, name := range sliceColumns {
		if out.Slices[name] == nil {
			return evaluation{Reason: fmt.Sprintf("was not judged: %s lacks the slice column %q", filepath.Base(path), name)}, nil
		}
	}
	return out, nil
}
