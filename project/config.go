// Package project reads what a project says about itself: ridgeline.yaml, its
// smoke tests, and the template that a new project starts from.
//
// It opens no network and runs no command of the project; what the build, the
// pipeline and a release do with a Config is theirs.
package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// FileName is the name of a project's configuration in its folder.
const FileName = "ridgeline.yaml"

// Config is a ridgeline.yaml with every default filled in. File names in it
// are relative to the project's folder, with slashes, and stay inside it.
type Config struct {
	Project  ridgeline.ProjectName
	Model    ridgeline.ModelName // default: the project's name
	Python   string              // requirements.txt, uv.lock or pyproject.toml
	Data     []Dataset           // in file order
	Build    Build
	Pipeline Pipeline
	Release  Release
}

// A Dataset is a file or a folder that the steps read.
type Dataset struct {
	Name    string
	Path    string
	Target  string // the column that a model predicts; empty when it has none
	Holdout Holdout
	Checks  string // file with the data checks; empty: none
}

// Holdout tells how rows are set aside for the gate.
type Holdout struct {
	Fraction float64  // of the rows, between 0 and 1; default 0.2
	Key      []string // columns that decide a row's side; empty: all of them
}

// Build is what happens on every push.
type Build struct {
	Quality  string // shell command; empty: skipped
	Tests    string // shell command; empty: skipped
	Coverage float64
	Timeout  time.Duration // of each check; default 30m, 0 for none
}

// Pipeline is what a green build publishes.
type Pipeline struct {
	On      On
	Compute string // default local
	Steps   []Step // in file order
	Gate    Gate   // zero without a train step
}

// On says what starts the pipeline, beside the API and the CLI.
type On struct {
	Push bool // after a green build; default true
}

// The names of steps that mean something to the pipeline.
const (
	StepTrain    = "train"    // makes the model
	StepEvaluate = "evaluate" // judges it, instead of the built-in way
)

// A Step is one command of the pipeline.
type Step struct {
	Name    string
	Run     string        // shell command
	Timeout time.Duration // default 2h, 0 for none
	Retries int           // tries after the first
	CPU     float64       // cores; 0 for no limit
	Memory  int64         // bytes; 0 for no limit
}

// Gate says when a challenger takes over from the champion.
type Gate struct {
	Metric    string
	Better    string // lower or higher; default by metric
	MinEffect Effect // default 1%
	Alpha     float64
	Slices    []string
	Tolerance map[string]Effect // "sex=1", "sex" or "" for every slice → how much worse it may get
	Baseline  Baseline
	Decisions int     // budget.decisions: a holdout judges so many challengers; default 20
	Fresh     float64 // budget.fresh: this share of new rows starts a new budget; default 0.5
	Limits    Limits
}

// Baseline is what a project's first model has to beat.
type Baseline struct {
	None  bool     // nothing
	Point *float64 // a value of the metric; nil without None: the best constant prediction
}

// Limits a challenger has to keep; zero or nil means none.
type Limits struct {
	P95             time.Duration // p95_ms
	Size            int64         // in bytes
	Lowest, Highest *float64      // prediction.min and max
	Missing         *float64      // share of rows without a prediction
	SameFeatures    bool          // the champion's columns, names and types
	Gaps            map[string]Effect
}

// Effect is the least improvement worth a new model. In the file "1%" is
// relative to the champion's value (Value 0.01), a plain number is in the
// metric's own unit.
type Effect struct {
	Value    float64
	Relative bool
}

// Release says how a promoted model is served.
type Release struct {
	Score        string // file with init() and run(raw_data)
	Request      string // how rows become a request: data (default), dataframe_split, dataframe_records, inputs
	Environments []Environment
}

// An Environment is a place where a model answers. A release passes through
// them in file order.
type Environment struct {
	Name        string
	Host        string   // process
	Checks      []string // smoke test files, see ParseSmoke
	Approval    string   // none or required
	MinReplicas int      // default 1
	MaxReplicas int      // default MinReplicas
}

// Step returns the step of that name, and whether there is one.
func (p Pipeline) Step(name string) (Step, bool) {
	for _, s := range p.Steps {
		if s.Name == name {
			return s, true
		}
	}
	return Step{}, false
}

// Trains reports whether the pipeline makes a model. One that does not is a
// plain list of tasks, without gate and release.
func (c Config) Trains() bool {
	_, ok := c.Pipeline.Step(StepTrain)
	return ok
}

// Judged is the dataset whose holdout decides: the first with a target.
func (c Config) Judged() (Dataset, bool) {
	for _, d := range c.Data {
		if d.Target != "" {
			return d, true
		}
	}
	return Dataset{}, false
}

// Parse reads a configuration. The error is a *Mistakes with all that is
// wrong in it, each with its line and column; name stands in front of them.
func Parse(name string, text []byte) (Config, error) {
	r := &reader{name: name}
	c := r.config(text)
	return c, r.err()
}

// Load reads ridgeline.yaml in dir and looks also whether the files that it
// names are there. Links that lead out of dir count as absent.
func Load(dir string) (Config, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Config{}, ridgeline.Errorf(ridgeline.NotFound, "open the project's folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	text, err := root.ReadFile(FileName)
	if err != nil {
		return Config{}, loadError(root, dir, err)
	}
	r := &reader{name: FileName}
	c := r.config(text)
	for _, f := range r.files {
		r.checkFile(root, f)
	}
	return c, r.err()
}

func loadError(root *os.Root, dir string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", filepath.Join(dir, FileName), err)
	}
	for _, near := range []string{"ridgeline.yml", "Ridgeline.yaml", ".ridgeline.yaml"} {
		if _, err := root.Stat(near); err == nil {
			return ridgeline.Errorf(ridgeline.NotFound, "no %s in %s, but a %s: rename it to %s", FileName, dir, near, FileName)
		}
	}
	return ridgeline.Errorf(ridgeline.NotFound, "no %s in %s: go to the project's folder, or start one with `ridgeline init NAME`", FileName, dir)
}

// checkFile looks whether a file that the configuration names is there.
func (r *reader) checkFile(root *os.Root, f fileRef) {
	info, err := root.Stat(f.path)
	switch {
	case err != nil:
		r.at(f.node, "%s %q is not in the project: add it, or correct the name", f.what, f.path)
	case info.IsDir() && !f.folder:
		r.at(f.node, "%s %q is a folder: name a file", f.what, f.path)
	case f.what == "python" && strings.HasSuffix(f.path, "pyproject.toml"):
		lock := strings.TrimSuffix(f.path, "pyproject.toml") + "uv.lock"
		if _, err := root.Stat(lock); err != nil {
			r.at(f.node, "python %q needs %s beside it: make it with `uv lock` and commit it", f.path, lock)
		}
	case f.what == "python" && strings.HasSuffix(f.path, "uv.lock"):
		toml := strings.TrimSuffix(f.path, "uv.lock") + "pyproject.toml"
		if _, err := root.Stat(toml); err != nil {
			r.at(f.node, "python %q needs %s beside it: uv.lock alone does not say what was asked for", f.path, toml)
		}
	}
}
