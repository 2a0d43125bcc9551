package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// byHandNote is said of each version that was registered by hand: the gate
// cannot know that the holdout is new to it.
const byHandNote = "The model was registered by hand: which rows it was trained on is not known, so it may have seen rows of the holdout."

// Judge starts a run that takes a version that was registered by hand to the
// gate of a project, in place of training one; promoted, it is released. An empty
// project is the model's own. Where the project's model has another name, the
// version is copied there first, for a champion is one of a model.
func (r *Runner) Judge(ctx context.Context, model ridgeline.ModelName, version int, in ridgeline.ProjectName, caller string) (ridgeline.Run, error) {
	v, err := r.Store.RegisteredVersion(ctx, model, version)
	if err != nil {
		return ridgeline.Run{}, err
	}
	if in, err = r.gateOf(ctx, model, in); err != nil {
		return ridgeline.Run{}, err
	}
	switch {
	case v.Run != "":
		return ridgeline.Run{}, ridgeline.Errorf(ridgeline.Conflict, "version %d of model %s has been to the gate in run %s (%s): `ridgeline gate %s` shows the report", version, model, v.Run, v.Verdict, v.Run)
	case v.Folder == "":
		return ridgeline.Run{}, ridgeline.Errorf(ridgeline.Conflict, "the files of version %d of model %s are not here, but at %s: log the model to this server (log_model) and register that", version, model, v.URI)
	}
	pipe, err := r.Store.Pipeline(ctx, in, 0)
	if err != nil {
		return ridgeline.Run{}, err
	}
	cfg, err := r.config(ctx, pipe)
	if err != nil {
		return ridgeline.Run{}, err
	}
	if !cfg.Trains() {
		return ridgeline.Run{}, ridgeline.Errorf(ridgeline.Conflict, "the pipeline of project %s trains nothing, so it has no gate: name a project that has a step train", in)
	}
	var run ridgeline.Run
	err = r.Store.InTx(ctx, func(tx *store.Store) error {
		if cfg.Model != model {
			if v, err = copied(ctx, tx, v, cfg.Model, in, caller); err != nil {
				return err
			}
		}
		if err := tx.AdoptModel(ctx, v.Model, in); err != nil {
			return err
		}
		name := fmt.Sprintf("%s:%d", v.Model, v.Version)
		open, err := tx.Runs(ctx, store.RunFilter{Project: in, Unfinished: true})
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.Judges == name { // asked for twice
				run = o
				return nil
			}
		}
		run = ridgeline.Run{Project: in, Pipeline: pipe.Version, Cause: "release " + name, Caller: caller, Judges: name, Status: ridgeline.Queued, Created: time.Now().UTC()}
		if run.Params, err = cfg.Params(nil); err != nil {
			return err
		}
		return r.record(ctx, tx, cfg.Pipeline.Overlap, &run)
	})
	if err != nil {
		return ridgeline.Run{}, err
	}
	return run, r.Start(ctx, Kind, string(run.ID))
}

// gateOf is the project whose gate a model goes through: the one that is named,
// the one the model belongs to, or the one whose model has that name.
func (r *Runner) gateOf(ctx context.Context, model ridgeline.ModelName, named ridgeline.ProjectName) (ridgeline.ProjectName, error) {
	m, err := r.Store.RegisteredModel(ctx, model)
	if err != nil || named != "" {
		return named, err
	}
	if m.Project != "" {
		return m.Project, nil
	}
	projects, err := r.Store.Projects(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range projects {
		pipe, err := r.Store.Pipeline(ctx, p.Name, 0)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			continue
		} else if err != nil {
			return "", err
		}
		cfg, err := r.config(ctx, pipe)
		if err == nil && cfg.Model == model {
			return p.Name, nil
		}
	}
	return "", ridgeline.Errorf(ridgeline.Conflict, "model %q belongs to no project, so it has no gate and no environments: name the project whose it goes through (`ridgeline release %s:VERSION --project NAME`), where it becomes the next version of that project's model", model, model)
}

// copied is the version as one of another model: the copy that was made of it
// before, unless that has been judged.
func copied(ctx context.Context, tx *store.Store, v ridgeline.ModelVersion, to ridgeline.ModelName, in ridgeline.ProjectName, caller string) (ridgeline.ModelVersion, error) {
	uri := fmt.Sprintf("models:/%s/%d", v.Model, v.Version)
	err := tx.CreateModel(ctx, ridgeline.RegisteredModel{Name: to, Project: in, Created: time.Now()})
	if err != nil && ridgeline.CodeOf(err) != ridgeline.Conflict {
		return v, err
	}
	there, err := tx.ModelVersions(ctx, to)
	if err != nil {
		return v, err
	}
	for _, c := range there {
		switch {
		case c.URI == uri && c.Run != "":
			return v, ridgeline.Errorf(ridgeline.Conflict, "%s:%d went to the gate as %s:%d in run %s (%s): `ridgeline gate %s` shows the report", v.Model, v.Version, to, c.Version, c.Run, c.Verdict, c.Run)
		case c.URI == uri:
			return c, nil
		}
	}
	next := ridgeline.ModelVersion{Model: to, Params: v.Params, Metrics: v.Metrics, Size: v.Size, Registration: v.Registration}
	next.By, next.URI, next.Stage, next.Updated = caller, uri, "", time.Time{}
	return tx.RegisterManual(ctx, store.Registering{Version: next})
}

// handmade is a version that was registered by hand, made ready for the gate.
type handmade struct {
	Version  ridgeline.ModelVersion
	Pipeline ridgeline.Pipeline // the project's, with the version's own environment
	Trained  outcome
}

// judgeByHand takes the version that the run is about through the gate.
func (r *Runner) judgeByHand(c *flow.Context, p *passage, plan plan) (ending, error) {
	made, err := flow.Step(c, "fetch", func(ctx context.Context) (handmade, error) { return r.fetchHandmade(ctx, p) })
	if err != nil {
		return ending{}, err
	}
	p.byHand, p.Pipeline, p.left = &made.Version, made.Pipeline, map[string]outcome{train: made.Trained}
	cand := challenger{Model: made.Version.Model, Version: made.Version.Version, Size: made.Trained.Result.Size}
	return r.compete(c, p, plan, cand, made.Trained)
}

// fetchHandmade brings the version's files here, keeps them as a pipeline's model
// is kept, and locks the environment that they ask for.
func (r *Runner) fetchHandmade(ctx context.Context, p *passage) (handmade, error) {
	if err := r.mark(ctx, p.stepRow(pack, ridgeline.Running, "")); err != nil {
		return handmade{}, err
	}
	model, number, _ := strings.Cut(p.Run.Judges, ":")
	version, err := strconv.Atoi(number)
	if err != nil {
		return handmade{}, fmt.Errorf("read which version run %s judges: %w", p.Run.ID, err)
	}
	out := handmade{Pipeline: p.Pipeline}
	if out.Version, err = r.Store.RegisteredVersion(ctx, ridgeline.ModelName(model), version); err != nil {
		return out, err
	}
	dir := filepath.Join(p.Dir, "byhand")
	folder := filepath.Join(dir, "model")
	if err := os.RemoveAll(dir); err != nil { // of an attempt that was cut off
		return out, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return out, err
	}
	if err := r.Tracking.Registered(ctx, out.Version.Folder, folder); err != nil {
		return out, fmt.Errorf("fetch the files of %s: %w", p.Run.Judges, err)
	}
	result := ridgeline.Result{Metrics: out.Version.Metrics}
	if result.Model, _, err = r.Blob.PutTree(ctx, folder); err != nil {
		return out, fmt.Errorf("keep the model: %w", err)
	}
	if result.Output, _, err = r.Blob.PutTree(ctx, dir); err != nil {
		return out, fmt.Errorf("keep the model: %w", err)
	}
	if result.Size, err = treeSize(folder); err != nil {
		return out, err
	}
	out.Trained = outcome{Status: ridgeline.Succeeded, Result: result}
	wish, ok, err := pyenv.ModelWish(folder)
	if err != nil || !ok { // it says nothing of packages: the project's own have to do
		return out, err
	}
	lock, err := r.Python.Lock(ctx, folder, wish, nil)
	if err != nil {
		return out, fmt.Errorf("the packages of %s (its %s): %w", p.Run.Judges, wish.File, err)
	}
	out.Pipeline.Environment, out.Pipeline.Lock, out.Pipeline.Python = lock.Hash, lock.Text, lock.Python
	out.Version.Environment, out.Version.Lock, out.Version.Python = lock.Hash, lock.Text, lock.Python
	return out, r.Store.SetVersionEnvironment(ctx, out.Version.Model, version, lock.Hash, lock.Text, lock.Python)
}

// trackingRun names what the training of a run logged to.
func (r *Runner) trackingRun(ctx context.Context, tx *store.Store, run ridgeline.RunID) (string, error) {
	step, err := tx.Step(ctx, run, project.StepTrain)
	if err == nil && step.Cached && step.Source != "" {
		step, err = tx.Step(ctx, step.Source, project.StepTrain)
	}
	if err != nil || len(step.Attempts) == 0 { // one of several instances
		return "", err
	}
	return r.Tracking.RunID(step.Attempts[len(step.Attempts)-1].Task), nil
}
