// Package intake takes in data: it watches the places that datasets come from,
// fetches what is new there, checks it, and puts it into use as the next
// version or into quarantine. It also gives builds and runs the data that they
// work on.
//
// What the rules of a check mean is data's, where bytes lie is blob's, and what
// a run does with a version is pipeline's.
package intake

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Kind is the name under which flow knows an arrival.
const Kind = "arrival"

// An Intake takes in data. All fields are needed.
type Intake struct {
	Store   *store.Store
	Blob    *blob.Store
	Library *data.Library
	Start   func(ctx context.Context, kind, id string) error // sees to it that a flow runs; see flow.Engine
	Trees   string                                           // checkouts by tree digest, shared and never written again
	Files   string                                           // contents on this machine by manifest, likewise; a cache
	Dir     string                                           // what arrivals under way remember, one folder each
	Log     *slog.Logger
	Config  func(ctx context.Context, p ridgeline.Pipeline) (project.Config, error) // that the pipeline was published with
	// Train creates the run that an accepted arrival asks for, in the transaction
	// that accepts it. Conflict: there is none now, and why.
	Train   func(ctx context.Context, tx *store.Store, a ridgeline.Arrival) (ridgeline.Run, error)
	Started func(ctx context.Context, run ridgeline.RunID) error // starts that run once it is committed
}

// setting is a dataset as the project's newest pipeline has it.
type setting struct {
	project.Dataset
	Pipeline ridgeline.Pipeline
	Starts   bool // an accepted new version starts the pipeline
}

// setting finds the dataset in the project's newest pipeline.
func (i *Intake) setting(ctx context.Context, s *store.Store, name ridgeline.ProjectName, dataset string) (setting, error) {
	all, err := i.settings(ctx, s, name)
	if err != nil {
		return setting{}, err
	}
	var known []string
	for _, one := range all {
		if one.Name == dataset {
			return one, nil
		}
		known = append(known, one.Name)
	}
	return setting{}, ridgeline.Errorf(ridgeline.NotFound, "the newest pipeline of project %s has no dataset %q: it has %s", name, dataset, orNone(known))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (i *Intake) settings(ctx context.Context, s *store.Store, name ridgeline.ProjectName) ([]setting, error) {
	p, err := s.Pipeline(ctx, name, 0)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return nil, ridgeline.Errorf(ridgeline.NotFound, "project %q has no published pipeline, which says what its datasets are: push a commit whose build is green (ridgeline push)", name)
	}
	if err != nil {
		return nil, err
	}
	cfg, err := i.Config(ctx, p)
	if err != nil {
		return nil, err
	}
	var all []setting
	for _, d := range cfg.Data {
		all = append(all, setting{Dataset: d, Pipeline: p, Starts: slices.Contains(cfg.Pipeline.On.Data, d.Name)})
	}
	return all, nil
}

// tree checks a tree out, shared and read only.
func (i *Intake) tree(ctx context.Context, digest string) (string, error) {
	dir := filepath.Join(i.Trees, digest)
	return dir, i.Blob.GetTree(ctx, digest, dir)
}

// rules reads the dataset's checks from the pipeline's code.
func (i *Intake) rules(ctx context.Context, s setting) ([]byte, error) {
	if s.Checks == "" {
		return nil, nil
	}
	tree, err := i.tree(ctx, s.Pipeline.Commit.Tree)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(s.Checks)))
	if err != nil {
		return nil, fmt.Errorf("read %s of pipeline %d: %w", s.Checks, s.Pipeline.Version, err)
	}
	return text, nil
}

// newArrival begins one of the dataset.
func newArrival(name ridgeline.ProjectName, dataset string, from ridgeline.Source) (ridgeline.Arrival, error) {
	now := time.Now().UTC()
	id, err := ridgeline.NewID("a", now, rand.Read)
	return ridgeline.Arrival{
		ID: ridgeline.ArrivalID(id), Project: name, Dataset: dataset, Source: from, Status: ridgeline.Arriving, Created: now,
	}, err
}

// Run is the flow of one arrival.
func (i *Intake) Run(c *flow.Context, id string) error {
	a, err := flow.Tx(c, "start", func(ctx context.Context, q sqlq.Querier) (ridgeline.Arrival, error) {
		return i.Store.With(q).Arrival(ctx, ridgeline.ArrivalID(id))
	})
	if err != nil || a.Status.Terminal() {
		return err
	}
	out := a
	if a.Manifest == "" { // else its files are here already
		out, err = flow.Step(c, "fetch", func(ctx context.Context) (ridgeline.Arrival, error) { return i.fetched(ctx, a) })
	}
	if err == nil && out.Status == ridgeline.Arriving {
		here := out
		out, err = flow.Step(c, "check", func(ctx context.Context) (ridgeline.Arrival, error) { return i.checked(ctx, here) })
	}
	if flow.Interrupted(err) {
		return err
	}
	if err == nil {
		a = out
	} else {
		if ridgeline.CodeOf(err) == ridgeline.Internal {
			i.Log.Error("arrival", "arrival", id, "error", err)
		}
		a.Status, a.Reason = ridgeline.Lost, err.Error()
	}
	run, err := flow.Tx(c, "finish", func(ctx context.Context, q sqlq.Querier) (ridgeline.RunID, error) {
		return i.finish(ctx, i.Store.With(q), a)
	})
	if err != nil {
		return err
	}
	_, err = flow.Step(c, "hand over", func(ctx context.Context) (struct{}, error) {
		if run != "" {
			if err := i.Started(ctx, run); err != nil {
				return struct{}{}, err
			}
		}
		i.lookAgain(ctx, a)
		return struct{}{}, os.RemoveAll(i.folder(a.ID))
	})
	return err
}

// lookAgain looks at the source of an arrival that has ended: who looked while
// it was under way was told of it, and may have meant something newer.
func (i *Intake) lookAgain(ctx context.Context, a ridgeline.Arrival) {
	if a.Source != ridgeline.FromRemote || a.Status == ridgeline.Lost || a.Fingerprint == "" {
		return
	}
	if _, _, err := i.Look(ctx, a.Project, a.Dataset, "after "+string(a.ID), a.Caller); err != nil && ctx.Err() == nil {
		i.Log.Warn("a source cannot be looked at again", "project", a.Project, "dataset", a.Dataset, "error", err)
	}
}

func (i *Intake) folder(id ridgeline.ArrivalID) string { return filepath.Join(i.Dir, string(id)) }

// Tidy removes what arrivals and builds that have ended left of what they
// remembered.
func (i *Intake) Tidy(ctx context.Context) error {
	folders, err := os.ReadDir(i.Dir)
	if err != nil || len(folders) == 0 {
		return err
	}
	// Asked after the look around: what begins meanwhile is not in the list.
	open := map[string]bool{}
	arrivals, err := i.Store.Arrivals(ctx, store.ArrivalFilter{Unfinished: true})
	if err != nil {
		return err
	}
	for _, a := range arrivals {
		open[string(a.ID)] = true
	}
	builds, err := i.Store.Builds(ctx, store.BuildFilter{Unfinished: true})
	if err != nil {
		return err
	}
	for _, f := range folders {
		for _, b := range builds {
			open[f.Name()] = open[f.Name()] || strings.HasPrefix(f.Name(), string(b.ID)+"-")
		}
		if !open[f.Name()] {
			if err := os.RemoveAll(filepath.Join(i.Dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish ends the arrival and creates the run that it starts, in one
// transaction.
func (i *Intake) finish(ctx context.Context, tx *store.Store, a ridgeline.Arrival) (ridgeline.RunID, error) {
	a.Ended = time.Now().UTC()
	a, fresh, err := tx.FinishArrival(ctx, a)
	if err != nil {
		return "", err
	}
	problem := ""
	if a.Status == ridgeline.Lost {
		problem = a.Reason
	}
	if a.Source == ridgeline.FromRemote {
		if err := tx.NoteLook(ctx, a.Project, a.Dataset, problem, a.Ended); err != nil {
			return "", err
		}
	}
	if !fresh {
		return a.Run, nil
	}
	return i.train(ctx, tx, a)
}

// train creates the run that a version that has just come into use starts. What
// a run or a build has found is theirs already.
func (i *Intake) train(ctx context.Context, tx *store.Store, a ridgeline.Arrival) (ridgeline.RunID, error) {
	if strings.HasPrefix(a.Cause, "run ") || strings.HasPrefix(a.Cause, "build ") {
		return "", nil
	}
	set, err := i.setting(ctx, tx, a.Project, a.Dataset)
	if ridgeline.CodeOf(err) == ridgeline.NotFound || err == nil && !set.Starts {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	run, err := i.Train(ctx, tx, a)
	if code := ridgeline.CodeOf(err); code == ridgeline.Conflict || code == ridgeline.Invalid {
		i.Log.Warn("an arrival started no run", "arrival", a.ID, "error", err)
		return "", tx.NoteArrival(ctx, a.ID, "in use, but started no run: "+err.Error())
	}
	if err != nil {
		return "", err
	}
	return run.ID, tx.SetArrivalRun(ctx, a.ID, run.ID)
}

// putJSON keeps a value as a blob, and getJSON reads it.
func (i *Intake) putJSON(ctx context.Context, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	digest, _, err := i.Blob.Put(ctx, strings.NewReader(string(text)))
	return digest, err
}

func getJSON[T any](ctx context.Context, i *Intake, digest string) (v T, err error) {
	r, err := i.Blob.Get(ctx, digest)
	if err != nil {
		return v, err
	}
	defer r.Close()
	if err := json.NewDecoder(r).Decode(&v); err != nil {
		return v, fmt.Errorf("read blob %s: %w", digest, err)
	}
	return v, nil
}
