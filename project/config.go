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
	"path"
	"path/filepath"
	"slices"
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
	Python   Python
	Data     []Dataset // in file order
	Build    Build
	Pipeline Pipeline
	Release  Release
}

// Python says which packages the project needs, and where they come from.
type Python struct {
	File        string   // requirements.txt, uv.lock, pyproject.toml, poetry.lock, conda.yaml…
	Version     string   // of the interpreter, such as 3.11 or >=3.11,<3.13; empty: what File asks for, else the server's own
	Constraints []string // files of pins that apply to what is asked for
	Groups      []string // of pyproject.toml's dependency-groups, beside the default ones
	Extras      []string // of pyproject.toml's optional-dependencies
	Indexes     []Index  // in the order in which they are asked, before the server's own
}

// An Index is where packages are found. Its credentials are never in a
// project: the server has them, by the index's name.
type Index struct {
	Name    string
	URL     string // without credentials
	Default bool   // instead of the server's own
}

// A Dataset is what the steps read.
type Dataset struct {
	Name    string
	Path    string // file, folder or glob of the project or of the machine (absolute); or http(s)://, s3://, azblob://, gs://
	Target  string // the column that a model predicts; empty when it has none
	Holdout Holdout
	Checks  string        // file with the data checks; empty: none
	Watch   time.Duration // how often its source is looked at for new data; 0: only when a run begins
}

// Remote reports whether the dataset's path is outside of the project's
// folder, so that its content is no part of a commit.
func (d Dataset) Remote() bool {
	return strings.Contains(d.Path, "://") || strings.HasPrefix(d.Path, "/")
}

// Holdout tells how rows are set aside for the gate.
type Holdout struct {
	Fraction float64  // of the rows, between 0 and 1; default 0.2
	Key      []string // columns that decide a row's side; empty: all of them
}

// Build is what happens on every push.
type Build struct {
	Tasks     []Task        // of all kinds, in file order
	Nightly   []Task        // long tests, off hours, against the last green commit
	NightlyAt Schedule      // default 0 2 * * *, UTC
	Coverage  float64       // least percent of covered lines; 0: no floor
	Timeout   time.Duration // of each task that has none of its own; default 30m, 0 for none
	FailFast  bool          // `fail: fast`: the first red task stops the others; else all are run
	Publish   []string      // branches, as path.Match patterns, whose green builds publish; default main and master
}

// The kinds of build tasks.
const (
	TaskQuality = "quality"
	TaskTests   = "tests"
	TaskData    = "data"
)

// A Task is one command of the build.
type Task struct {
	Name     string // unique in the build; a single unnamed one has its kind's name
	Kind     string // TaskQuality, TaskTests or TaskData
	Run      string // shell command
	Timeout  time.Duration
	Needs    []string // tasks that have to be green first
	JUnit    string   // file with its results; empty: where Run says, else junit.xml
	Coverage string   // Cobertura file; empty: where Run says, else coverage.xml
}

// Publishes reports whether a green build of the branch publishes a pipeline.
// Code without a branch (no git, or a person's own tree) does.
func (b Build) Publishes(branch string) bool {
	return branch == "" || slices.ContainsFunc(b.Publish, func(p string) bool {
		ok, err := path.Match(p, branch)
		return ok && err == nil
	})
}

// Pipeline is what a green build publishes.
type Pipeline struct {
	On      On
	Overlap string // OverlapQueue (default), OverlapCoalesce or OverlapReject
	Compute string // default local
	Params  []Param
	Steps   []Step // in file order
	Gate    Gate   // zero without a train step
}

// What happens to a run that is asked for while another of the project has
// not ended.
const (
	OverlapQueue    = "queue"    // it waits for its turn
	OverlapCoalesce = "coalesce" // it takes the place of one that waits
	OverlapReject   = "reject"   // it is refused
)

// On says what starts the pipeline, beside the API and the CLI.
type On struct {
	Push      bool // after a green build; default true
	Schedules []Schedule
	Data      []string // datasets whose accepted new versions start it
	Events    []EventFilter
}

// A Schedule is a cron expression of five fields in a time zone.
type Schedule struct {
	Cron   string
	Zone   string // IANA name; default UTC
	Missed string // MissedSkip, MissedOnce (default) or MissedAll
	Params map[string]string
}

// What happens to due times that passed while no server was there.
const (
	MissedSkip = "skip" // nothing
	MissedOnce = "once" // one run for all of them
	MissedAll  = "all"  // a run for each
)

// An EventFilter chooses CloudEvents that start the pipeline. Both are
// path.Match patterns; empty matches everything.
type EventFilter struct {
	Type   string
	Source string
	Params map[string]string
}

// A Param is a value that a run can be given.
type Param struct {
	Name        string
	Type        string   // string (default), int, float or bool
	Default     *string  // nil: a run has to give it
	Choices     []string // empty: any
	Min, Max    *float64 // of int and float
	Description string
}

// The names of steps that mean something to the pipeline.
const (
	StepTrain    = "train"    // makes the model
	StepEvaluate = "evaluate" // judges it, instead of the built-in way
)

// A Step is one command of the pipeline.
type Step struct {
	Name    string
	Run     string   // shell command
	Needs   []string // steps that come first; a step that does not say needs the one before it in the file
	In      *Inputs  // what it sees; nil: everything
	Out     []string // files and folders it has to leave in $RIDGELINE_OUT; empty: any
	When    string   // condition, see Pipeline.When; empty: always
	Matrix  []Axis   // one instance for each combination; all go on
	Sweep   *Sweep   // one instance for each try; the best goes on
	Compute string   // pool; default the pipeline's
	Timeout time.Duration
	Retries Retries
	Cache   bool    // reuse what the same step once made of the same inputs; default true
	CPU     float64 // cores; 0 for no limit
	Memory  int64   // bytes; 0 for no limit
	GPU     int     // whole devices
}

// Inputs narrow what a step sees, so that fewer changes make it run again. A
// nil list means everything, an empty one nothing.
type Inputs struct {
	Code   []string // path.Match patterns with **, relative to the project
	Data   []string // datasets
	Params []string
}

// An Axis is a parameter and the values it takes.
type Axis struct {
	Param  string
	Values []string
}

// A Sweep looks for the best values of parameters.
type Sweep struct {
	Grid     []Axis  // every combination; empty for a random search
	Random   []Range // Count tries
	Count    int
	Seed     uint64
	Metric   string // of the instances' metrics
	Better   string // lower or higher
	Parallel int    // instances at once; 0: as many as the host takes
}

// A Range is where a random search draws a parameter from: Values, or a
// number between Low and High.
type Range struct {
	Param     string
	Values    []string
	Low, High float64
	Log       bool // uniform in the logarithm
	Int       bool // whole numbers
}

// Retries say what happens to an attempt that failed.
type Retries struct {
	Count   int           // attempts after the first
	Backoff time.Duration // before the second attempt, doubled for each further one
	Longest time.Duration // that a wait may become; default 10m
	On      []string      // exit codes, "timeout", "memory" or "lost"; empty: every failure
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
	Score        string // file with init() and run(raw_data); empty: the model answers by itself, see Config.Bare
	Request      string // how rows become a request, one of Requests; default data, without Score dataframe_split
	Serve        Serving
	Environments []Environment
}

// Hosts are the names of what an environment can be on: the server's own
// machine, or the cluster of its settings.
var Hosts = []string{"process", "kube"}

// An Environment is a place where a model answers. A release passes through
// them in file order.
type Environment struct {
	Name        string
	Host        string   // one of Hosts
	Checks      []string // smoke test files, see ParseSmoke
	Approval    string   // none or required
	MinReplicas int      // default 1; 0: none while nobody asked for Idle
	Idle        time.Duration
	Hours       ridgeline.Hours // outside of which there are none either, while nobody asked for Idle
	InFlight    int             // of requests that each copy should have: more copies while there are more; 0: the host decides, by CPU
	MaxReplicas int             // default MinReplicas; above it the host adds copies while they are busy, if it can
	CPU         float64         // cores of each copy; 0: no limit
	Memory      int64           // bytes of each copy; 0: no limit
	Limit       ridgeline.Limit
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

// Bare reports whether the model is served by itself, without a scoring
// script: then its folder has to hold a model of a kind that is known.
func (c Config) Bare() bool {
	_, custom := c.Pipeline.Step(StepEvaluate)
	return c.Trains() && c.Release.Score == "" && (!custom || len(c.Release.Environments) > 0)
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
	var info fs.FileInfo
	var err error
	if !f.pattern {
		info, err = root.Stat(f.path)
	}
	switch {
	case f.pattern:
		if !anyFile(root, f.path) {
			r.at(f.node, "%s: %q fits no file of the project: correct it, or remove it", f.what, f.path)
		}
	case err != nil:
		r.at(f.node, "%s %q is not in the project: add it, or correct the name", f.what, f.path)
	case info.IsDir() && !f.folder:
		r.at(f.node, "%s %q is a folder: name a file", f.what, f.path)
	case f.beside != "":
		other := path.Join(path.Dir(f.path), f.beside)
		if _, err := root.Stat(other); err != nil {
			r.at(f.node, "%s %q needs %s beside it: a lock alone does not say what was asked for", f.what, f.path, other)
		}
	}
}
