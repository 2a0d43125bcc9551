package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// outcome is what one attempt at a user's step came to.
type outcome struct {
	Reason  string // why it failed; empty for success
	Final   bool   // failed, and another attempt would not help
	Output  string // digest of $RIDGELINE_OUT as a tree
	Model   string // digest of the model folder as a tree (train)
	Size    int64  // bytes of the model
	Metrics map[string]float64
}

// userStep runs one of the project's own commands, as often as its retries
// allow.
func (r *Runner) userStep(c *flow.Context, p *passage, plan plan, step project.Step, position int) (outcome, error) {
	var out outcome
	for attempt := 1; attempt <= 1+step.Retries.Count; attempt++ {
		var err error
		out, err = flow.Step(c, fmt.Sprintf("%s-%d", step.Name, attempt), func(ctx context.Context) (outcome, error) {
			return r.attempt(ctx, p, plan, step, position, attempt)
		})
		if err != nil || out.Reason == "" || out.Final {
			return out, err
		}
	}
	return out, nil
}

// attempt ensures the attempt's task, follows it to its end, and takes in what
// it left. It may be entered again after a crash: the task is found by name.
func (r *Runner) attempt(ctx context.Context, p *passage, plan plan, step project.Step, position, attempt int) (outcome, error) {
	task := ridgeline.TaskName(p.Run.ID, step.Name, attempt)
	dir := filepath.Join(p.Dir, fmt.Sprintf("%s-%d", step.Name, attempt))
	row := ridgeline.Step{Run: p.Run.ID, Name: step.Name, Position: position, Status: ridgeline.Running, Started: time.Now().UTC()}
	try := ridgeline.Attempt{Number: attempt, Task: task, Status: ridgeline.Running, Started: row.Started}
	if err := r.mark(ctx, row, &try); err != nil {
		return outcome{}, err
	}
	env, err := r.Python.Ensure(ctx, lockOf(p.Pipeline), nil)
	if err != nil {
		return outcome{}, err
	}
	spec := host.Task{
		Name: task, Command: []string{"/bin/sh", "-c", step.Run}, Dir: filepath.Join(dir, "src"), Timeout: step.Timeout,
		Resources: host.Resources{CPU: step.CPU, Memory: step.Memory},
	}
	if spec.Env, err = r.stepEnv(ctx, p, plan, env, dir); err != nil {
		return outcome{}, err
	}
	if err := r.Blob.GetTree(ctx, p.Pipeline.Commit.Tree, spec.Dir); err != nil {
		return outcome{}, fmt.Errorf("check out %s: %w", p.Pipeline.Commit.Short(), err)
	}
	state, err := host.Run(ctx, r.Tasks, spec, r.follow(p.Run.ID))
	if err != nil {
		return outcome{}, err
	}
	out := r.failure(ctx, state, step.Name, task)
	if out.Reason == "" {
		if out, err = r.collect(ctx, step.Name, filepath.Join(dir, "out")); err != nil {
			return outcome{}, err
		}
	}
	try.Status, try.Usage, try.Ended = ridgeline.Succeeded, state.Usage, time.Now().UTC()
	if out.Reason != "" {
		try.Status, try.Message = ridgeline.Failed, out.Reason
	}
	row.Status, row.Message, row.Ended = try.Status, try.Message, try.Ended
	if len(out.Metrics) > 0 {
		row.Message = describe(out.Metrics)
	}
	return out, r.mark(ctx, row, &try)
}

// mark saves a step and an attempt at it in one transaction. A step keeps the
// start it was first seen with.
func (r *Runner) mark(ctx context.Context, row ridgeline.Step, try *ridgeline.Attempt) error {
	return r.Store.InTx(ctx, func(tx *store.Store) error {
		steps, err := tx.Steps(ctx, row.Run)
		if err != nil {
			return err
		}
		for _, s := range steps {
			if s.Name == row.Name && !s.Started.IsZero() {
				row.Started = s.Started
			}
			for _, a := range s.Attempts {
				if s.Name == row.Name && try != nil && a.Number == try.Number {
					try.Started = a.Started
				}
			}
		}
		if err := tx.SaveStep(ctx, row); err != nil || try == nil {
			return err
		}
		return tx.SaveAttempt(ctx, row.Run, row.Name, *try)
	})
}

func (r *Runner) follow(run ridgeline.RunID) host.Follow {
	return host.Follow{Logs: r.Blob.Logs(), Cancelled: func(ctx context.Context) (bool, error) {
		row, err := r.Store.Run(ctx, run)
		return row.CancelRequested, err
	}}
}

// failure says in a sentence why a task did not succeed, with the last lines
// of its log.
func (r *Runner) failure(ctx context.Context, state host.TaskState, step, task string) outcome {
	var reason string
	switch {
	case state.Phase == host.Lost:
		reason = "its process vanished without leaving an end (was the machine restarted?)"
	case state.Phase != host.Ended:
		reason = fmt.Sprintf("its task is %s", state.Phase)
	case state.Reason == host.Killed:
		return outcome{Reason: fmt.Sprintf("%s: cancelled", step), Final: true}
	case state.Reason == host.Exited && state.ExitCode == 0:
		return outcome{}
	default:
		reason = state.Message
	}
	reason = fmt.Sprintf("%s: %s", step, reason)
	if tail, err := r.Blob.Logs().Tail(ctx, task, 4096); err == nil && len(tail) > 0 {
		reason += "\n" + host.LastLines(string(tail), 12)
	}
	return outcome{Reason: reason, Final: state.Reason == host.NotStarted}
}

// collect takes in what a step left in its output folder.
func (r *Runner) collect(ctx context.Context, step, dir string) (outcome, error) {
	var out outcome
	metrics, err := readMetrics(filepath.Join(dir, "metrics.json"))
	if err != nil {
		return outcome{Reason: fmt.Sprintf("%s: %v", step, err), Final: true}, nil
	}
	out.Metrics = metrics
	if step == train {
		folder, err := modelFolder(dir)
		if err != nil {
			return outcome{Reason: err.Error(), Final: true}, nil
		}
		if out.Model, _, err = r.Blob.PutTree(ctx, folder); err != nil {
			return outcome{}, fmt.Errorf("keep the model: %w", err)
		}
		if out.Size, err = treeSize(folder); err != nil {
			return outcome{}, err
		}
	}
	if out.Output, _, err = r.Blob.PutTree(ctx, dir); err != nil {
		return outcome{}, fmt.Errorf("keep the output of %s: %w", step, err)
	}
	return out, nil
}

// modelFolder finds what train left. A single file becomes a folder of its
// own, so that a model is always a folder.
func modelFolder(out string) (string, error) {
	path := filepath.Join(out, "model")
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
			return path, nil
		}
		return "", ridgeline.Errorf(ridgeline.Invalid, "train exited 0, but the folder $RIDGELINE_OUT/model is empty: save the model there")
	}
	if err == nil {
		folder := path + ".d"
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", err
		}
		target := filepath.Join(folder, "model")
		if err := os.Link(path, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		return folder, nil
	}
	return "", ridgeline.Errorf(ridgeline.Invalid, "train exited 0, but left no model: save it to $RIDGELINE_OUT/model (a file or a folder)")
}

func treeSize(dir string) (int64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// readMetrics reads a flat JSON object of numbers. No file is no metrics.
func readMetrics(path string) (map[string]float64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found map[string]*float64 // a pointer, because null is not 0
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "metrics.json: expected one object of numbers such as {\"mse\": 2900.5}: %v", err)
	}
	metrics := make(map[string]float64, len(found))
	for name, v := range found {
		if v == nil {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "metrics.json: %s is null; a metric is a finite number", name)
		}
		metrics[name] = *v
	}
	return metrics, nil
}

func describe(metrics map[string]float64) string {
	names := make([]string, 0, len(metrics))
	for name := range metrics {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %.6g", name, metrics[name])
	}
	return strings.Join(names, ", ")
}

// stepEnv is the environment of a step's command: the step contract.
func (r *Runner) stepEnv(ctx context.Context, p *passage, plan plan, env pyenv.Env, dir string) ([]string, error) {
	out, home := filepath.Join(dir, "out"), filepath.Join(dir, "home")
	for _, d := range []string{out, home} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	vars := append(env.Vars(home), "RIDGELINE_OUT="+out, "RIDGELINE_RUN_ID="+string(p.Run.ID))
	sets, err := r.here(ctx, *p, plan)
	if err != nil {
		return nil, err
	}
	for name, d := range sets {
		key := "RIDGELINE_DATA_" + varName(name)
		vars = append(vars, key+"="+d.Path, key+"_TRAIN="+d.Train, key+"_HOLDOUT="+d.Holdout)
	}
	for name, value := range p.Run.Params {
		vars = append(vars, "RIDGELINE_PARAM_"+varName(name)+"="+value)
	}
	for step, digest := range p.outputs {
		in := filepath.Join(p.Dir, "in", digest)
		if err := r.Blob.GetTree(ctx, digest, in); err != nil {
			return nil, fmt.Errorf("fetch the output of %s: %w", step, err)
		}
		vars = append(vars, "RIDGELINE_IN_"+varName(step)+"="+in)
	}
	slices.Sort(vars)
	return vars, nil
}

func varName(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }

func lockOf(p ridgeline.Pipeline) pyenv.Lock {
	return pyenv.Lock{Hash: p.Environment, Text: p.Lock, Python: p.Python}
}
