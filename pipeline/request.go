package pipeline

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/words"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Request asks for a run.
type Request struct {
	Project  ridgeline.ProjectName
	Pipeline int // version; 0: the newest
	Params   map[string]string
	Data     map[string]int // dataset → version pinned; what is not named is the newest
	NoCache  bool           // every step runs, whatever was made before
	Cause    string
	Caller   string
	GateOff  bool   // its model becomes champion whatever the gate says
	Reason   string // why the gate is off
}

// Submit records a run and starts it.
func (r *Runner) Submit(ctx context.Context, q Request) (ridgeline.Run, error) {
	var run ridgeline.Run
	err := r.Store.InTx(ctx, func(tx *store.Store) (err error) {
		run, err = r.Create(ctx, tx, q)
		return err
	})
	if err != nil {
		return ridgeline.Run{}, err
	}
	return run, r.Start(ctx, Kind, string(run.ID))
}

// Create checks what is asked for and records the run in the caller's
// transaction. Where runs of the project have not ended, the pipeline's overlap
// policy says what becomes of them and of it: under reject the answer is
// Conflict, and then nothing has been written, so that the caller may go on.
//
// Whoever calls it calls Start once the transaction is committed; a run whose
// Start was missed is found by the sweeper.
func (r *Runner) Create(ctx context.Context, tx *store.Store, q Request) (ridgeline.Run, error) {
	p, err := tx.Pipeline(ctx, q.Project, q.Pipeline)
	if ridgeline.CodeOf(err) == ridgeline.NotFound && q.Pipeline == 0 {
		return ridgeline.Run{}, ridgeline.Errorf(ridgeline.NotFound, "project %q has no published pipeline: push a commit whose build is green (ridgeline push)", q.Project)
	}
	if err != nil {
		return ridgeline.Run{}, err
	}
	cfg, err := r.config(ctx, p)
	if err != nil {
		return ridgeline.Run{}, err
	}
	now := time.Now().UTC()
	run := ridgeline.Run{
		Project: q.Project, Pipeline: p.Version, Cause: q.Cause, Caller: q.Caller, Params: q.Params, Data: q.Data, NoCache: q.NoCache,
		GateOff: q.Reason, Status: ridgeline.Queued, Created: now,
	}
	if err := check(q, cfg); err != nil {
		return ridgeline.Run{}, err
	}
	if run.Params, err = cfg.Params(q.Params); err != nil {
		return ridgeline.Run{}, err
	}
	if err := r.record(ctx, tx, cfg.Pipeline.Overlap, &run); err != nil {
		return ridgeline.Run{}, err
	}
	return run, nil
}

// Resume starts a run that goes on where another one failed or was cancelled:
// the same pipeline, parameters and data; what succeeded then is taken over,
// whatever the cache is set to. Whether the gate was off is not: the gate of
// the new run is on.
func (r *Runner) Resume(ctx context.Context, id ridgeline.RunID, caller string) (ridgeline.Run, error) {
	return r.repeat(ctx, id, func(old ridgeline.Run, _ project.Config) (ridgeline.Run, error) {
		if old.Status == ridgeline.Succeeded {
			return old, ridgeline.Errorf(ridgeline.Conflict, "run %s succeeded, there is nothing left of it to do: `ridgeline rerun %s --from STEP` does a part of it anew", id, id)
		}
		old.Resumes, old.From, old.Cause, old.Caller = id, "", "resume "+string(id), caller
		return old, nil
	})
}

// Rerun starts a run that does one step, and all that depends on it, anew: the
// same pipeline, parameters and data as another run, whose other steps are taken
// over where they succeeded.
func (r *Runner) Rerun(ctx context.Context, id ridgeline.RunID, from, caller string) (ridgeline.Run, error) {
	return r.repeat(ctx, id, func(old ridgeline.Run, cfg project.Config) (ridgeline.Run, error) {
		if old.Judges != "" {
			return old, ridgeline.Errorf(ridgeline.Conflict, "run %s judged %s, which was registered by hand, and ran no step: `ridgeline resume %s` goes on with it, if it failed", id, old.Judges, id)
		}
		var names []string
		for _, step := range cfg.Pipeline.Steps {
			names = append(names, step.Name)
		}
		if !slices.Contains(names, from) {
			return old, ridgeline.Errorf(ridgeline.Invalid, "pipeline %d has no step %q: %s", old.Pipeline, from, words.DidYouMean(from, names))
		}
		old.Resumes, old.From, old.Cause, old.Caller = id, from, "rerun "+string(id)+" from "+from, caller
		return old, nil
	})
}

// Reproduce starts a run that makes a version's model again, of the same
// pipeline, parameters and data, every step anew, and compares it with what
// was made then. It registers nothing, and takes no turn.
func (r *Runner) Reproduce(ctx context.Context, model ridgeline.ModelName, version int, caller string) (ridgeline.Run, error) {
	v, err := r.Store.ModelVersion(ctx, model, version)
	if err != nil {
		return ridgeline.Run{}, err
	}
	if v.Source == ridgeline.ByHand {
		return ridgeline.Run{}, ridgeline.Errorf(ridgeline.Conflict, "version %d of model %s was registered by hand (by %s, from %s): no run of a pipeline made it, so none can make it again", version, model, v.By, v.URI)
	}
	return r.repeat(ctx, v.Run, func(old ridgeline.Run, _ project.Config) (ridgeline.Run, error) {
		name := fmt.Sprintf("%s:%d", v.Model, v.Version)
		old.Resumes, old.From, old.NoCache, old.Reproduces = "", "", true, name
		old.Cause, old.Caller = "reproduce "+name, caller
		return old, nil
	})
}

// repeat records and starts a run made after another one that has ended.
func (r *Runner) repeat(ctx context.Context, id ridgeline.RunID, change func(old ridgeline.Run, cfg project.Config) (ridgeline.Run, error)) (ridgeline.Run, error) {
	var run ridgeline.Run
	err := r.Store.InTx(ctx, func(tx *store.Store) error {
		old, err := tx.Run(ctx, id)
		if err != nil {
			return err
		}
		if !old.Status.Terminal() {
			return ridgeline.Errorf(ridgeline.Conflict, "run %s is %s: wait for its end, or `ridgeline cancel %s`", id, old.Status, id)
		}
		p, err := tx.Pipeline(ctx, old.Project, old.Pipeline)
		if err != nil {
			return err
		}
		cfg, err := r.config(ctx, p)
		if err != nil {
			return err
		}
		from, err := change(old, cfg)
		if err != nil {
			return err
		}
		run = ridgeline.Run{
			Project: from.Project, Pipeline: from.Pipeline, Cause: from.Cause, Caller: from.Caller, Params: from.Params, Data: from.Data,
			Resumes: from.Resumes, From: from.From, NoCache: from.NoCache, Reproduces: from.Reproduces, Judges: from.Judges,
			Status: ridgeline.Queued, Created: time.Now().UTC(),
		}
		return r.record(ctx, tx, cfg.Pipeline.Overlap, &run)
	})
	if err != nil {
		return ridgeline.Run{}, err
	}
	return run, r.Start(ctx, Kind, string(run.ID))
}

// record gives the run its id and keeps it, after the overlap policy.
func (r *Runner) record(ctx context.Context, tx *store.Store, overlap string, run *ridgeline.Run) error {
	id, err := ridgeline.NewID("r", run.Created, rand.Read)
	if err != nil {
		return err
	}
	run.ID = ridgeline.RunID(id)
	if err := tx.LockProject(ctx, run.Project); err != nil {
		return err
	}
	if run.Reproduces != "" {
		return tx.CreateRun(ctx, *run)
	}
	open, err := tx.Runs(ctx, store.RunFilter{Project: run.Project, Unfinished: true})
	if err != nil {
		return err
	}
	for _, o := range open {
		switch {
		case o.Reproduces != "":
		case overlap == project.OverlapReject:
			return ridgeline.Errorf(ridgeline.Conflict, "run %s of project %s is %s, and pipeline.overlap is reject: wait for its end, or `ridgeline cancel %s`", o.ID, o.Project, o.Status, o.ID)
		case overlap == project.OverlapCoalesce && o.Status == ridgeline.Queued:
			if err := tx.FinishRun(ctx, o.ID, ridgeline.Cancelled, "superseded by "+id, run.Created); err != nil {
				return err
			}
		}
	}
	return tx.CreateRun(ctx, *run)
}

// check looks at a request by itself and by the pipeline's configuration.
func check(q Request, cfg project.Config) error {
	switch {
	case q.GateOff:
		if err := (ridgeline.Override{Who: q.Caller, Reason: q.Reason}).Check(); err != nil {
			return err
		}
	case q.Reason != "":
		return ridgeline.Errorf(ridgeline.Invalid, "a reason was given, but the gate is on: a reason is for gate off")
	}
	var wrong []string
	var sets []string
	for _, d := range cfg.Data {
		sets = append(sets, d.Name)
	}
	for name, version := range q.Data {
		if version < 1 || !slices.Contains(sets, name) {
			wrong = append(wrong, fmt.Sprintf("data %q, version %d: expected a dataset of the pipeline (%s) and a version from 1 on", name, version, strings.Join(sets, ", ")))
		}
	}
	slices.Sort(wrong)
	if _, err := cfg.Params(q.Params); err != nil {
		wrong = append(wrong, err.Error())
	}
	if len(wrong) == 0 {
		return nil
	}
	return ridgeline.Errorf(ridgeline.Invalid, "%s", strings.Join(wrong, "; "))
}

// Config reads the configuration that a pipeline was published with.
func (r *Runner) Config(ctx context.Context, p ridgeline.Pipeline) (project.Config, error) {
	return r.config(ctx, p)
}
