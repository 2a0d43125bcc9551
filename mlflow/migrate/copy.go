package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// imported is the tag of what has been copied whole: a digest of what it was
// copied from, so that a copy that is run again skips it, unless it changed.
const imported = "ridgeline.imported"

// workers copy runs side by side.
const workers = 4

// A Count compares how much of a kind there is.
type Count struct {
	What  string `json:"what"`
	There int64  `json:"there"`
	Here  int64  `json:"here"` // of those, and equal
}

// Result is what a copy came to.
type Result struct {
	Counts []Count  `json:"counts"`
	Notes  []string `json:"notes"` // what could not be copied, and why
}

// Complete reports whether everything there is here.
func (r Result) Complete() bool {
	return !slices.ContainsFunc(r.Counts, func(c Count) bool { return c.There != c.Here })
}

// kinds are what is counted, in the order of the table.
var kinds = []string{"experiments", "runs", "params", "tags", "metrics", "points", "datasets", "logged models", "artifacts", "bytes", "registered models", "versions", "aliases"}

// A copier copies one source to a server.
type copier struct {
	from Source
	to   *server
	say  func(format string, args ...any)

	mu     sync.Mutex
	there  map[string]int64
	here   map[string]int64
	notes  []string
	places map[string]Place // by the location of artifacts there
}

// Copy copies everything to the server at address, under an administrator's
// token, and compares. What is there already is left as it is; run again after
// an end half way, it goes on. Runs and logged models keep their ids;
// experiments of one name become one.
func Copy(ctx context.Context, from Source, address, token string, say func(format string, args ...any)) (Result, error) {
	to, err := newServer(ctx, Options{From: address, Token: token})
	if err != nil {
		return Result{}, fmt.Errorf("ask the server to copy to: %w", err)
	}
	defer to.Close()
	c := &copier{from: from, to: to, say: say, there: map[string]int64{}, here: map[string]int64{}, places: map[string]Place{}}
	if err := c.all(ctx); err != nil {
		return Result{}, err
	}
	out := Result{Notes: c.notes}
	for _, kind := range kinds {
		out.Counts = append(out.Counts, Count{kind, c.there[kind], c.here[kind]})
	}
	return out, nil
}

func (c *copier) all(ctx context.Context) error {
	experiments, err := c.from.Experiments(ctx)
	if err != nil {
		return fmt.Errorf("read the experiments: %w", err)
	}
	// Those that are not deleted first: a deleted one of the same name joins it.
	slices.SortStableFunc(experiments, func(a, b Experiment) int { return strings.Compare(a.Stage, b.Stage) })
	seen := map[string]bool{}
	for _, e := range experiments {
		if err := c.experiment(ctx, e, seen[e.Name]); err != nil {
			return fmt.Errorf("copy experiment %q: %w", e.Name, err)
		}
		seen[e.Name] = true
	}
	registered, err := c.from.Registered(ctx)
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	for _, m := range registered {
		if err := c.registered(ctx, m); err != nil {
			return fmt.Errorf("copy the registered model %q: %w", m.Name, err)
		}
	}
	return nil
}

func (c *copier) count(kind string, there, here int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there[kind] += there
	c.here[kind] += here
}

func (c *copier) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// remember says where artifacts of that location are here.
func (c *copier) remember(p Place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.places[plainLocation(p.URI)] = p
}

func plainLocation(uri string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(uri, "file://"), "file:"), "/")
}

func (c *copier) experiment(ctx context.Context, e Experiment, joins bool) error {
	id, ours, err := c.ensureExperiment(ctx, e)
	if err != nil {
		return err
	}
	c.count("experiments", 1, 1)
	done := 0
	group, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var busy sync.WaitGroup
	places := make(chan struct{}, workers)
	err = c.from.Runs(group, e.ID, func(r Run) error {
		select {
		case <-group.Done():
			return context.Cause(group)
		case places <- struct{}{}:
		}
		if done++; done%100 == 0 {
			c.say("%s: %d runs", e.Name, done)
		}
		busy.Go(func() {
			defer func() { <-places }()
			if err := c.run(group, r, id); err != nil {
				stop(fmt.Errorf("run %s: %w", r.Info.ID, err))
			}
		})
		return nil
	})
	busy.Wait()
	if cause := context.Cause(group); cause != nil {
		err = cause
	}
	if err != nil {
		return err
	}
	models, err := c.from.Models(ctx, e.ID)
	if err != nil {
		return fmt.Errorf("read its logged models: %w", err)
	}
	for _, m := range models {
		if err := c.model(ctx, m, id); err != nil {
			return fmt.Errorf("logged model %s: %w", m.Info.ID, err)
		}
	}
	c.say("%s: %d runs, %d logged models", e.Name, done, len(models))
	if e.Stage == deleted && ours && !joins {
		return c.to.post(ctx, "experiments/delete", map[string]string{"experiment_id": id}, nil)
	}
	return nil
}

// ensureExperiment finds the experiment of that name, or makes it, and says
// whether a copy has made it, so that it may be deleted as it is there.
func (c *copier) ensureExperiment(ctx context.Context, e Experiment) (id string, ours bool, err error) {
	var found struct {
		Experiment Experiment `json:"experiment"`
	}
	err = c.to.get(ctx, "experiments/get-by-name", url.Values{"experiment_name": {e.Name}}, &found)
	if refused(err, http.StatusNotFound) {
		var made Experiment
		tags := append(without(e.Tags), Pair{imported, e.ID})
		err := c.to.post(ctx, "experiments/create", map[string]any{"name": e.Name, "creation_time": e.Created, "tags": tags}, &made)
		return made.ID, true, err
	}
	if err != nil {
		return "", false, err
	}
	id = found.Experiment.ID
	ours = slices.ContainsFunc(found.Experiment.Tags, func(t Pair) bool { return t.Key == imported })
	if found.Experiment.Stage == deleted {
		if err := c.to.post(ctx, "experiments/restore", map[string]string{"experiment_id": id}, nil); err != nil {
			return "", false, err
		}
	}
	for _, t := range without(e.Tags) {
		if slices.Contains(found.Experiment.Tags, t) {
			continue
		}
		if err := c.to.post(ctx, "experiments/set-experiment-tag", map[string]string{"experiment_id": id, "key": t.Key, "value": t.Value}, nil); err != nil {
			return "", false, err
		}
	}
	return id, ours, nil
}

// without leaves out our own mark, which a source that is ours has, too.
func without(tags []Pair) []Pair {
	return slices.DeleteFunc(slices.Clone(tags), func(t Pair) bool { return t.Key == imported })
}

// digest is of all that a run is, but its histories and artifacts, which change
// only while it changes.
func digest(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

type oneRun struct {
	Run Run `json:"run"`
}

func (c *copier) run(ctx context.Context, r Run, experiment string) error {
	r.Data.Tags = without(r.Data.Tags)
	mark, err := digest(r)
	if err != nil {
		return err
	}
	histories := make([][]Metric, len(r.Data.Metrics))
	for i, m := range r.Data.Metrics {
		if histories[i], err = c.from.History(ctx, r, m.Key); err != nil {
			return fmt.Errorf("read the history of %s: %w", m.Key, err)
		}
	}
	there := Place{Run: r.Info.ID, URI: r.Info.ArtifactURI}
	c.remember(there)
	var here oneRun
	err = c.to.get(ctx, "runs/get", url.Values{"run_id": {r.Info.ID}}, &here)
	if refused(err, http.StatusNotFound) {
		in := map[string]any{"run_id": r.Info.ID, "experiment_id": experiment, "user_id": r.Info.User, "run_name": nameOf(r), "start_time": r.Info.Started}
		err = c.to.post(ctx, "runs/create", in, &here)
	}
	if err != nil {
		return err
	}
	if !slices.Contains(here.Run.Data.Tags, Pair{imported, mark}) {
		if err := c.fillRun(ctx, r, here.Run, histories, mark); err != nil {
			return err
		}
	}
	if err := c.verifyRun(ctx, r, histories); err != nil {
		return fmt.Errorf("compare it: %w", err)
	}
	return c.verifyFiles(ctx, there, Place{Run: r.Info.ID})
}

// nameOf is the run's name, of which its tag is the newer one.
func nameOf(r Run) string {
	for _, t := range r.Data.Tags {
		if t.Key == "mlflow.runName" {
			return t.Value
		}
	}
	return r.Info.Name
}

func (c *copier) fillRun(ctx context.Context, r, here Run, histories [][]Metric, mark string) error {
	id := r.Info.ID
	if here.Info.Stage == deleted {
		if err := c.to.post(ctx, "runs/restore", map[string]string{"run_id": id}, nil); err != nil {
			return err
		}
	}
	batch := func(key string, part any) error {
		return c.to.post(ctx, "runs/log-batch", map[string]any{"run_id": id, key: part}, nil)
	}
	for part := range slices.Chunk(r.Data.Params, 100) {
		if err := batch("params", part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(r.Data.Tags, 100) {
		if err := batch("tags", part); err != nil {
			return err
		}
	}
	for _, points := range histories {
		for part := range slices.Chunk(points, 1000) {
			if err := batch("metrics", part); err != nil {
				return err
			}
		}
	}
	if len(r.Inputs.Datasets)+len(r.Inputs.Models) > 0 {
		if err := c.to.post(ctx, "runs/log-inputs", map[string]any{"run_id": id, "datasets": r.Inputs.Datasets, "models": r.Inputs.Models}, nil); err != nil {
			return err
		}
	}
	if len(r.Outputs.Models) > 0 {
		if err := c.to.post(ctx, "runs/outputs", map[string]any{"run_id": id, "models": r.Outputs.Models}, nil); err != nil {
			return err
		}
	}
	if err := c.files(ctx, Place{Run: id, URI: r.Info.ArtifactURI}, Place{Run: id, URI: here.Info.ArtifactURI}); err != nil {
		return err
	}
	end := map[string]any{"run_id": id, "status": r.Info.Status}
	if r.Info.Ended > 0 {
		end["end_time"] = r.Info.Ended
	}
	if err := c.to.post(ctx, "runs/update", end, nil); err != nil {
		return err
	}
	if err := c.to.post(ctx, "runs/set-tag", map[string]string{"run_id": id, "key": imported, "value": mark}, nil); err != nil {
		return err
	}
	if r.Info.Stage == deleted {
		return c.to.post(ctx, "runs/delete", map[string]string{"run_id": id}, nil)
	}
	return nil
}

// files copies the artifacts that are not here, or in another size.
func (c *copier) files(ctx context.Context, there, here Place) error {
	all, err := c.from.Files(ctx, there)
	if err != nil {
		return nil // told when they are compared
	}
	had, err := c.to.Files(ctx, here)
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.Size >= 0 && slices.Contains(had, f) {
			continue
		}
		if err := c.file(ctx, f, there, here); err != nil {
			return fmt.Errorf("artifact %s: %w", f.Path, err)
		}
	}
	return nil
}

func (c *copier) file(ctx context.Context, f File, there, here Place) error {
	root := strings.Trim(strings.TrimPrefix(here.URI, "mlflow-artifacts:"), "/")
	w, err := c.to.send(ctx, http.MethodPut, artifactPath(root+"/"+f.Path), func() (io.Reader, error) { return c.from.Open(ctx, there, f.Path) })
	if err != nil {
		return err
	}
	return w.Body.Close()
}

// point is a metric's point as it is compared.
type point struct {
	step, time int64
	bits       uint64
}

func pointOf(m Metric) point {
	v := float64(m.Value)
	if math.IsNaN(v) {
		v = math.NaN() // one of many
	}
	return point{m.Step, m.Time, math.Float64bits(v)}
}

func (c *copier) verifyRun(ctx context.Context, r Run, histories [][]Metric) error {
	var here oneRun
	if err := c.to.get(ctx, "runs/get", url.Values{"run_id": {r.Info.ID}}, &here); err != nil {
		return err
	}
	c.count("runs", 1, 1)
	c.count("params", int64(len(r.Data.Params)), int64(common(r.Data.Params, here.Run.Data.Params)))
	c.count("tags", int64(len(r.Data.Tags)), int64(common(r.Data.Tags, here.Run.Data.Tags)))
	c.count("datasets", int64(len(r.Inputs.Datasets)), int64(min(len(r.Inputs.Datasets), len(here.Run.Inputs.Datasets))))
	known := map[string]bool{}
	for _, m := range here.Run.Data.Metrics {
		known[m.Key] = true
	}
	for i, m := range r.Data.Metrics {
		var points []Metric
		if known[m.Key] {
			var err error
			if points, err = c.to.History(ctx, r, m.Key); err != nil {
				return err
			}
			c.count("metrics", 1, 1)
		} else {
			c.count("metrics", 1, 0)
		}
		set, found := map[point]bool{}, int64(0)
		for _, p := range histories[i] {
			set[pointOf(p)] = true
		}
		for _, p := range points {
			if set[pointOf(p)] {
				found++
			}
		}
		c.count("points", int64(len(set)), found)
	}
	return nil
}

// common counts the pairs that are in both.
func common(there, here []Pair) (n int) {
	set := make(map[Pair]bool, len(here))
	for _, p := range here {
		set[p] = true
	}
	for _, p := range there {
		if set[p] {
			n++
		}
	}
	return n
}

func (c *copier) verifyFiles(ctx context.Context, there, here Place) error {
	all, err := c.from.Files(ctx, there)
	if err != nil {
		c.note("the artifacts of %s%s could not be read: %v", there.Run, there.Model, err)
		c.count("artifacts", 1, 0) // nobody knows how many
		return nil
	}
	had, err := c.to.Files(ctx, here)
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	for _, f := range had {
		sizes[f.Path] = f.Size
	}
	for _, f := range all {
		size, ok := sizes[f.Path]
		same := int64(0)
		if ok && (size == f.Size || f.Size < 0) {
			same = 1
		}
		c.count("artifacts", 1, same)
		c.count("bytes", max(f.Size, 0), max(f.Size, 0)*same)
	}
	return nil
}

func (c *copier) model(ctx context.Context, m Model, experiment string) error {
	type one struct {
		Model Model `json:"model"`
	}
	there := Place{Model: m.Info.ID, URI: m.Info.ArtifactURI}
	c.remember(there)
	at := "logged-models/" + url.PathEscape(m.Info.ID)
	var here one
	err := c.to.get(ctx, at, url.Values{}, &here)
	if refused(err, http.StatusNotFound) {
		err = c.to.post(ctx, "logged-models", map[string]any{
			"model_id": m.Info.ID, "experiment_id": experiment, "name": m.Info.Name, "model_type": m.Info.Type, "source_run_id": m.Info.SourceRun,
			"creation_timestamp_ms": m.Info.Created, "params": m.Data.Params, "tags": m.Info.Tags,
		}, &here)
	}
	if err != nil {
		return err
	}
	byRun := map[string][]Metric{}
	for _, p := range m.Data.Metrics {
		run := p.Run
		p.Run, p.Model = "", m.Info.ID
		byRun[run] = append(byRun[run], p)
	}
	for run, points := range byRun {
		for part := range slices.Chunk(points, 1000) {
			err := c.to.post(ctx, "runs/log-batch", map[string]any{"run_id": run, "metrics": part}, nil)
			if refused(err, http.StatusBadRequest, http.StatusNotFound) {
				c.note("metrics of logged model %s from run %s: %v", m.Info.ID, run, err)
			} else if err != nil {
				return err
			}
		}
	}
	if err := c.files(ctx, there, Place{Model: m.Info.ID, URI: here.Model.Info.ArtifactURI}); err != nil {
		return err
	}
	if m.Info.Status != "LOGGED_MODEL_PENDING" {
		if err := c.to.ask(ctx, http.MethodPatch, protocol+at, map[string]any{"model_id": m.Info.ID, "status": m.Info.Status}, nil); err != nil {
			return err
		}
	}
	if err := c.to.get(ctx, at, url.Values{}, &here); err != nil {
		return err
	}
	c.count("logged models", 1, 1)
	c.count("params", int64(len(m.Data.Params)), int64(common(m.Data.Params, here.Model.Data.Params)))
	return c.verifyFiles(ctx, there, Place{Model: m.Info.ID})
}
