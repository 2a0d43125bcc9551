package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
)

// checks runs everything the commit has to pass and returns why it did not,
// or nothing. Every check is run even when another is red, so that one push
// shows all there is to mend; unless the project wants to know fast.
func (b *Builder) checks(c *flow.Context, w *work) (string, error) {
	env, err := flow.Step(c, "environment", func(ctx context.Context) (prepared, error) {
		return b.prepare(ctx, *w)
	})
	if err != nil || env.Reason != "" {
		return env.Reason, err
	}
	w.prepared = env
	tasks, errs := flow.Parallel(c, "check", len(env.Tasks)+1, func(ctx context.Context, i int) ([]verdict, error) {
		if i == len(env.Tasks) {
			return b.datasets(ctx, *w)
		}
		v, err := b.task(ctx, *w, env.Tasks[i])
		return []verdict{v}, err
	})
	var red []string
	for i, err := range errs {
		switch {
		case flow.Interrupted(err):
			return "", err
		case err != nil && i == len(env.Tasks):
			red = append(red, "data: "+err.Error())
		case err != nil:
			red = append(red, env.Tasks[i].Name+": "+err.Error())
		}
	}
	all := slices.Concat(tasks...)
	covered, err := flow.Step(c, "report", func(ctx context.Context) (verdict, error) {
		return b.report(ctx, *w, all)
	})
	if flow.Interrupted(err) {
		return "", err
	}
	if err != nil {
		red = append(red, "report: "+err.Error())
	}
	return strings.Join(append(red, reds(append(all, covered))...), "; "), nil
}

// A verdict is what a check came to, as the flow remembers it: the message and
// the rest are in its row.
type verdict struct {
	Name    string
	Status  ridgeline.Status // empty: there was nothing to check
	Reason  string
	Results string // blob: a taskReport; empty when it reported nothing
}

// reds says which checks are red, and only if none is, which did not run.
func reds(all []verdict) (red []string) {
	for _, status := range []ridgeline.Status{ridgeline.Failed, ridgeline.Cancelled} {
		for _, v := range all {
			if v.Status == status {
				red = append(red, v.Name+": "+v.Reason)
			}
		}
		if len(red) > 0 {
			return red
		}
	}
	return nil
}

// prepared is the outcome of the environment step. A Reason means that the
// commit cannot be built as it is.
type prepared struct {
	Reason    string
	Lock      pyenv.Lock
	OnPush    bool
	Publishes bool           // the branch is one of Publish
	Publish   []string       // build.publish
	Config    string         // the text of ridgeline.yaml
	Tasks     []project.Task // of the build, or of the nightly one
	FailFast  bool
	Coverage  float64 // the floor
	Datasets  bool    // they are checked
}

// prepare reads the configuration and installs the environment.
func (b *Builder) prepare(ctx context.Context, w work) (prepared, error) {
	check := ridgeline.Check{Name: "environment", Kind: ridgeline.CheckEnvironment, Status: ridgeline.Running}
	started := time.Now()
	report := func(line string) {
		check.Message, check.Seconds = line, time.Since(started).Seconds()
		// Progress only: the step's own end is what must not be lost.
		if err := b.Store.SaveCheck(ctx, w.ID, check); err != nil {
			b.Log.Debug("save progress", "build", w.ID, "error", err)
		}
	}
	red := func(err error) (prepared, error) {
		if ctx.Err() != nil {
			return prepared{}, ctx.Err()
		}
		if ridgeline.CodeOf(err) == ridgeline.Internal {
			b.Log.Error("prepare build", "build", w.ID, "error", err)
		}
		check.Status, check.Message, check.Seconds = ridgeline.Failed, err.Error(), time.Since(started).Seconds()
		return prepared{Reason: err.Error()}, b.Store.SaveCheck(ctx, w.ID, check)
	}
	report("reading ridgeline.yaml")
	cfg, err := b.config(ctx, w)
	if err != nil {
		return red(err)
	}
	if err := judgeable(cfg); err != nil {
		return red(err)
	}
	text, err := os.ReadFile(filepath.Join(w.source(), project.FileName))
	if err != nil {
		return red(err)
	}
	out := prepared{OnPush: cfg.Pipeline.On.Push, Publishes: cfg.Build.Publishes(w.Commit.Branch), Publish: cfg.Build.Publish, Config: string(text)}
	if out.Lock, err = b.Python.Lock(ctx, w.source(), wish(cfg.Python), report); err != nil {
		return red(err)
	}
	env, err := b.Python.Ensure(ctx, out.Lock, report)
	if err != nil {
		return red(err)
	}
	out.Tasks, out.FailFast, out.Coverage, out.Datasets = cfg.Build.Tasks, cfg.Build.FailFast, cfg.Build.Coverage, len(cfg.Data) > 0
	if w.Nightly {
		out.Tasks, out.Coverage, out.Datasets = cfg.Build.Nightly, 0, false
	}
	if err := b.Store.SetBuildEnvironment(ctx, w.ID, env.Hash); err != nil {
		return prepared{}, err
	}
	check.Status, check.Seconds = ridgeline.Succeeded, time.Since(started).Seconds()
	check.Message = fmt.Sprintf("Python %s, %s, environment %s", out.Lock.Python, cfg.Python.File, env.Hash[:12])
	if err := b.Store.SaveCheck(ctx, w.ID, check); err != nil {
		return prepared{}, err
	}
	for _, t := range out.Tasks { // all of them at once, in the file's order
		if err := b.Store.SaveCheck(ctx, w.ID, w.check(t)); err != nil {
			return prepared{}, err
		}
	}
	return out, nil
}

// wish is what the project asks of its environment.
func wish(p project.Python) pyenv.Wish {
	w := pyenv.Wish{File: p.File, Version: p.Version, Constraints: p.Constraints, Groups: p.Groups, Extras: p.Extras}
	for _, index := range p.Indexes {
		w.Indexes = append(w.Indexes, pyenv.Index(index))
	}
	return w
}

// judgeable finds out before the training, not after it, whether the gate will
// be able to judge what comes of it.
func judgeable(cfg project.Config) error {
	_, custom := cfg.Pipeline.Step(project.StepEvaluate)
	metric := cfg.Pipeline.Gate.Metric
	if _, known := gate.BetterOf(metric); cfg.Trains() && !custom && (!known || metric == "loss") {
		known := slices.DeleteFunc(gate.Metrics(), func(m string) bool { return m == "loss" })
		return ridgeline.Errorf(ridgeline.Invalid,
			"pipeline.gate.metric: %q cannot be computed from predictions; use one of %s, or write a step evaluate that does", metric, strings.Join(known, ", "))
	}
	return nil
}

// check is the row of a task that waits for its turn.
func (w work) check(t project.Task) ridgeline.Check {
	return ridgeline.Check{Name: t.Name, Kind: ridgeline.CheckKind(t.Kind), Status: ridgeline.Queued, Message: t.Run, Task: taskPrefix(w.ID) + t.Name}
}

// unended begins the message of a task that something beside itself ended.
const unended = "could not be brought to its end: "

// task takes one task to its end, once those that it needs are green. What goes
// wrong beside the task is its end, too: a log that no disk has room for, say.
// Then it is forgotten, which makes room to note that.
func (b *Builder) task(ctx context.Context, w work, t project.Task) (verdict, error) {
	check := w.check(t)
	row, err := b.Store.Build(ctx, w.ID)
	if err != nil {
		return verdict{}, err
	}
	for _, c := range row.Checks { // noted before a crash: the task is not to begin anew
		if c.Name == t.Name && c.Status == ridgeline.Failed && strings.HasPrefix(c.Message, unended) {
			return verdict{Name: t.Name, Status: c.Status, Reason: firstLine(c.Message)}, nil
		}
	}
	v, err := b.attempt(ctx, w, t)
	if err == nil || ctx.Err() != nil {
		return v, err
	}
	b.Log.Error("a task of a build", "build", w.ID, "task", t.Name, "error", err)
	check.Status, check.Message = ridgeline.Failed, unended+clip(err.Error(), maxMessage)
	if err := errors.Join(b.Tasks.Remove(ctx, check.Task), os.RemoveAll(filepath.Join(w.Dir, "tasks", t.Name))); err != nil {
		return verdict{}, err
	}
	return verdict{Name: t.Name, Status: check.Status, Reason: firstLine(check.Message)}, b.Store.SaveCheck(ctx, w.ID, check)
}

func (b *Builder) attempt(ctx context.Context, w work, t project.Task) (verdict, error) {
	check := w.check(t)
	end := func(status ridgeline.Status, message string) (verdict, error) {
		check.Status, check.Message = status, message
		return verdict{Name: t.Name, Status: status, Reason: firstLine(message)}, b.Store.SaveCheck(ctx, w.ID, check)
	}
	if why, err := b.turn(ctx, w, t); err != nil || why != "" {
		check.Task = "" // there is no log
		v, saved := end(ridgeline.Cancelled, why)
		return v, errors.Join(err, saved)
	}
	cfg, err := b.config(ctx, w)
	if err != nil {
		return verdict{}, err
	}
	dir := filepath.Join(w.Dir, "tasks", t.Name)
	src := filepath.Join(dir, "src")
	if err := b.Blob.GetTree(ctx, w.Commit.Tree, src); err != nil {
		return verdict{}, fmt.Errorf("check out %s: %w", w.Commit.Short(), err)
	}
	check.Status = ridgeline.Running
	if err := b.Store.SaveCheck(ctx, w.ID, check); err != nil {
		return verdict{}, err
	}
	env, err := b.Python.Ensure(ctx, w.Lock, nil)
	if err != nil {
		return verdict{}, err
	}
	stopped := ""
	vars, err := b.dataVars(ctx, cfg, t, src)
	if err != nil {
		return verdict{}, err
	}
	out, err := place{tasks: b.Tasks, env: env, vars: vars, logs: b.Blob.Logs(), secrets: b.Secrets, tail: b.tail}.run(
		ctx, t, check.Task, dir, func(ctx context.Context) (bool, error) {
			why, err := b.stop(ctx, w, t)
			stopped = why
			return why != "", err
		})
	if err != nil {
		return verdict{}, err
	}
	if out.Status == ridgeline.Cancelled && stopped != "" {
		out.Message = stopped
	}
	check.Seconds = out.Seconds
	v, err := end(out.Status, out.Message)
	if err == nil {
		v.Results, err = b.keepResults(ctx, t, out)
	}
	return v, err
}

// dataVars tells a task where the data is: what is kept elsewhere, only one of
// kind data, in the version that is in use.
func (b *Builder) dataVars(ctx context.Context, cfg project.Config, t project.Task, src string) ([]string, error) {
	vars := dataVars(cfg, src)
	for _, d := range cfg.Data {
		if t.Kind != project.TaskData || !d.Remote() {
			continue
		}
		v, err := b.Store.DatasetVersion(ctx, cfg.Project, d.Name, 0)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		path, err := b.Intake.Path(ctx, v)
		if err != nil {
			return nil, err
		}
		vars = append(vars, dataVar(d.Name, path))
	}
	return vars, nil
}

// turn waits until the task may begin and says why it never will, or nothing.
func (b *Builder) turn(ctx context.Context, w work, t project.Task) (string, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		row, err := b.Store.Build(ctx, w.ID)
		if err != nil {
			return "", err
		}
		if why := w.stopped(row, t); why != "" {
			return why, nil
		}
		waiting := false
		for _, c := range row.Checks {
			switch {
			case !slices.Contains(t.Needs, c.Name) || c.Status == ridgeline.Succeeded:
			case c.Status.Terminal():
				return "not run: it needs " + c.Name + ", which is not green", nil
			default:
				waiting = true
			}
		}
		if !waiting {
			return "", nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
		}
	}
}

// stop says why the task has to end now, or nothing.
func (b *Builder) stop(ctx context.Context, w work, t project.Task) (string, error) {
	row, err := b.Store.Build(ctx, w.ID)
	if err != nil {
		return "", err
	}
	return w.stopped(row, t), nil
}

func (w work) stopped(row ridgeline.Build, t project.Task) string {
	if row.CancelRequested {
		return "cancelled"
	}
	for _, c := range row.Checks {
		if w.FailFast && c.Status == ridgeline.Failed && c.Name != t.Name {
			return stoppedBy(c.Name)
		}
	}
	return ""
}

func stoppedBy(task string) string {
	return "stopped, or not run, because " + task + " was red (build.fail: fast)"
}

func (b *Builder) tail(ctx context.Context, name string) string {
	text, err := b.Blob.Logs().Tail(ctx, name, 4096)
	if err != nil {
		b.Log.Warn("read the end of a log", "task", name, "error", err)
	}
	return string(text)
}

// datasets checks the project's data and saves each check.
func (b *Builder) datasets(ctx context.Context, w work) ([]verdict, error) {
	if !w.Datasets {
		return nil, nil
	}
	cfg, err := b.config(ctx, w)
	if err != nil {
		return nil, err
	}
	checks, err := b.data(ctx, w, cfg)
	if err != nil {
		return nil, err
	}
	var all []verdict
	for _, c := range checks {
		if err := b.Store.SaveCheck(ctx, w.ID, c); err != nil {
			return nil, err
		}
		all = append(all, verdict{Name: c.Name, Status: c.Status, Reason: firstLine(c.Message)})
	}
	return all, nil
}
