package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
)

// checks runs everything the commit has to pass and returns why it did not,
// or nothing. Every check is run even when another is red, so that one push
// shows all there is to mend.
func (b *Builder) checks(c *flow.Context, w *work) (string, error) {
	env, err := flow.Step(c, "environment", func(ctx context.Context) (prepared, error) {
		return b.prepare(ctx, *w)
	})
	if err != nil || env.Reason != "" {
		return env.Reason, err
	}
	w.prepared = env
	groups, errs := flow.Parallel(c, "check", len(env.Groups), func(ctx context.Context, i int) ([]ridgeline.Check, error) {
		return b.group(ctx, *w, env.Groups[i])
	})
	var red []string
	for i, checks := range groups {
		if flow.Interrupted(errs[i]) {
			return "", errs[i]
		}
		if errs[i] != nil {
			red = append(red, fmt.Sprintf("%s: %v", env.Groups[i], errs[i]))
		}
		for _, check := range checks {
			if check.Status != ridgeline.Succeeded {
				red = append(red, check.Name+": "+firstLine(check.Message))
			}
		}
	}
	return strings.Join(red, "; "), nil
}

// prepared is the outcome of the environment step. A Reason means that the
// commit cannot be built as it is.
type prepared struct {
	Reason    string
	Lock      pyenv.Lock
	OnPush    bool
	Publishes bool                  // the branch is one of Publish
	Publish   []string              // build.publish
	Config    string                // the text of ridgeline.yaml
	Groups    []ridgeline.CheckKind // the groups of checks this project has
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
	for _, t := range cfg.Build.Tasks {
		out.Groups = append(out.Groups, ridgeline.CheckKind(t.Kind))
	}
	if len(cfg.Data) > 0 {
		out.Groups = append(out.Groups, ridgeline.CheckData)
	}
	check.Status, check.Seconds = ridgeline.Succeeded, time.Since(started).Seconds()
	check.Message = fmt.Sprintf("Python %s, %s, environment %s", out.Lock.Python, cfg.Python.File, env.Hash[:12])
	return out, b.Store.SaveCheck(ctx, w.ID, check)
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

// group runs the checks of one kind and saves each.
func (b *Builder) group(ctx context.Context, w work, kind ridgeline.CheckKind) ([]ridgeline.Check, error) {
	cfg, err := b.config(ctx, w)
	if err != nil {
		return nil, err
	}
	env, err := b.Python.Ensure(ctx, w.Lock, nil)
	if err != nil {
		return nil, err
	}
	var checks []ridgeline.Check
	switch kind {
	case ridgeline.CheckQuality:
		checks, err = b.command(ctx, w, cfg, env, "quality", kind, task(cfg, project.TaskQuality))
	case ridgeline.CheckTests:
		checks, err = b.tests(ctx, w, cfg, env)
	case ridgeline.CheckData:
		checks, err = b.data(ctx, w, cfg)
	}
	if err != nil {
		return checks, err
	}
	for _, check := range checks {
		if err := b.Store.SaveCheck(ctx, w.ID, check); err != nil {
			return nil, err
		}
	}
	return checks, nil
}

// command runs one shell command of the project in its environment, on the
// checkout, and judges it by its exit code.
func (b *Builder) command(ctx context.Context, w work, cfg project.Config, env pyenv.Env, name string, kind ridgeline.CheckKind, command string) ([]ridgeline.Check, error) {
	task := taskPrefix(w.ID) + name
	check := ridgeline.Check{Name: name, Kind: kind, Status: ridgeline.Running, Message: command, Task: task}
	if err := b.Store.SaveCheck(ctx, w.ID, check); err != nil {
		return nil, err
	}
	home := filepath.Join(w.Dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	state, err := host.Run(ctx, b.Tasks, host.Task{
		Name: task, Command: []string{"/bin/sh", "-c", command}, Dir: w.source(), Env: env.Vars(home), Timeout: cfg.Build.Timeout,
	}, host.Follow{Logs: b.Blob.Logs(), Cancelled: func(ctx context.Context) (bool, error) {
		row, err := b.Store.Build(ctx, w.ID)
		return row.CancelRequested, err
	}})
	if err != nil {
		return nil, err
	}
	check.Seconds = state.Usage.WallSeconds
	switch {
	case state.Phase == host.Ended && state.Reason == host.Exited && state.ExitCode == 0:
		check.Status, check.Message = ridgeline.Succeeded, command
	case state.Phase == host.Ended && state.Reason == host.Killed:
		check.Status, check.Message = ridgeline.Cancelled, "cancelled"
	default:
		check.Status = ridgeline.Failed
		check.Message = command + ": " + state.Message
		if tail, err := b.Blob.Logs().Tail(ctx, task, 4096); err == nil {
			check.Message += "\n" + strings.TrimSpace(host.LastLines(string(tail), 12))
		}
	}
	return []ridgeline.Check{check}, nil
}

// tests runs the unit tests and reads what they report beside their exit code.
func (b *Builder) tests(ctx context.Context, w work, cfg project.Config, env pyenv.Env) ([]ridgeline.Check, error) {
	checks, err := b.command(ctx, w, cfg, env, "tests", ridgeline.CheckTests, task(cfg, project.TaskTests))
	if err != nil || checks[0].Status == ridgeline.Cancelled {
		return checks, err
	}
	if suite, err := readJUnit(filepath.Join(w.source(), junitPath(task(cfg, project.TaskTests)))); err == nil {
		log := checks[0].Message
		checks[0].Message = suite.summary()
		if checks[0].Status == ridgeline.Failed && len(suite.Failures) == 0 {
			checks[0].Message += "; " + log
		}
	}
	if cfg.Build.Coverage <= 0 {
		return checks, nil
	}
	check := ridgeline.Check{Name: "coverage", Kind: ridgeline.CheckCoverage, Status: ridgeline.Succeeded}
	percent, err := readCoverage(filepath.Join(w.source(), coveragePath(task(cfg, project.TaskTests))))
	switch {
	case err != nil:
		check.Status = ridgeline.Failed
		check.Message = fmt.Sprintf("no coverage report: %v; let build.tests write one (pytest --cov=PACKAGE --cov-report=xml)", err)
	case percent < cfg.Build.Coverage:
		check.Status = ridgeline.Failed
		check.Message = fmt.Sprintf("%.1f %% of lines are covered, build.coverage asks for %g %%", percent, cfg.Build.Coverage)
	default:
		check.Message = fmt.Sprintf("%.1f %% of lines (at least %g %%)", percent, cfg.Build.Coverage)
	}
	return append(checks, check), nil
}

// task is the command of the build's task of that kind.
func task(cfg project.Config, kind string) string {
	for _, t := range cfg.Build.Tasks {
		if t.Kind == kind {
			return t.Run
		}
	}
	return ""
}
