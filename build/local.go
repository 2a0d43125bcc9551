package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
)

// A Local builds a folder on this machine, without a server: the same tasks in
// the same environment, each in a copy of its own of the same files. All fields
// are needed.
type Local struct {
	Source   string                                      // the project's folder
	Checkout func(ctx context.Context, dir string) error // lays the files that belong to it into dir, which is absent
	Python   *pyenv.Manager
	Tasks    host.Tasks
	Dir      string                      // working folder, empty; the caller removes it
	Logs     LocalLogs                   // where what the tasks write goes
	Changed  func(check ridgeline.Check) // told of each change, from any goroutine
	Say      func(line string)           // told how the environment gets on
}

// LocalLogs keep the logs of a build without a server. The name is the task's.
type LocalLogs interface {
	host.LogSink
	// Tail is the last n bytes of a log.
	Tail(name string, n int64) string
}

// LocalRequest says what of the build to do. The zero value is all of it.
type LocalRequest struct {
	Tasks   []string // only these, and what they need; the data and the coverage floor are left out then
	Nightly bool     // the tasks of build.nightly
}

// A LocalBuild is what came of it. Reports go into a folder with Write.
type LocalBuild struct {
	Project ridgeline.ProjectName `json:"project"`
	Status  ridgeline.Status      `json:"status"`
	Reason  string                `json:"reason,omitempty"`
	Checks  []ridgeline.Check     `json:"checks"`
	Report  ridgeline.Report      `json:"report"`
	Results Results               `json:"results"`

	findings []finding         // for SARIF
	junit    map[string]string // task → its file
	sarif    []string          // files that tasks wrote, in their copies of the tree
	source   string            // the project's folder
	work     string            // where the copies are
	lines    coverage
	none     []string // why there is no coverage
}

// Build takes the folder through its checks. A red one is no error: it is the
// build's status. When ctx is done, what runs is killed.
func (l *Local) Build(ctx context.Context, q LocalRequest) (*LocalBuild, error) {
	out := &LocalBuild{Status: ridgeline.Failed, Results: Results{Tests: []TestResult{}, Files: []CoveredFile{}}, junit: map[string]string{}, source: l.Source, work: l.Dir}
	src := filepath.Join(l.Dir, "src")
	if err := l.Checkout(ctx, src); err != nil {
		return nil, err
	}
	cfg, env, check, err := l.prepare(ctx, src)
	if err != nil {
		return nil, err
	}
	out.Project = cfg.Project
	out.Checks = []ridgeline.Check{check.Check}
	if check.Status != ridgeline.Succeeded {
		out.Reason, out.findings = "environment: "+check.Message, check.findings
		return out, nil
	}
	tasks, err := q.choose(cfg)
	if err != nil {
		return nil, err
	}
	if err := l.run(ctx, cfg, env, tasks, out); err != nil {
		return nil, err
	}
	if len(q.Tasks) == 0 && !q.Nightly {
		for _, d := range cfg.Data {
			check := l.dataset(ctx, cfg, d, src)
			out.Checks, out.findings = append(out.Checks, check.Check), append(out.findings, check.findings...)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.floor(cfg, q, out)
	var red []verdict
	for _, c := range out.Checks {
		red = append(red, verdict{Name: c.Name, Status: c.Status, Reason: firstLine(c.Message)})
	}
	if out.Reason = strings.Join(reds(red), "; "); out.Reason == "" {
		out.Status = ridgeline.Succeeded
	}
	return out, nil
}

// localCheck is a check with what it found at which place.
type localCheck struct {
	ridgeline.Check
	findings []finding
}

func (l *Local) prepare(ctx context.Context, src string) (project.Config, pyenv.Env, localCheck, error) {
	check := localCheck{Check: ridgeline.Check{Name: "environment", Kind: ridgeline.CheckEnvironment, Status: ridgeline.Running}}
	l.Changed(check.Check)
	started := time.Now()
	end := func(cfg project.Config, env pyenv.Env, file, message string, err error) (project.Config, pyenv.Env, localCheck, error) {
		check.Seconds = time.Since(started).Seconds()
		check.Status, check.Message = ridgeline.Succeeded, message
		if err != nil {
			check.Status, check.Message = ridgeline.Failed, err.Error()
			check.findings = findingsOf(err, file)
		}
		l.Changed(check.Check)
		return cfg, env, check, ctx.Err()
	}
	cfg, err := project.Load(src)
	if err == nil {
		err = judgeable(cfg)
	}
	if err != nil {
		return end(cfg, pyenv.Env{}, project.FileName, "", err)
	}
	lock, err := l.Python.Lock(ctx, src, wish(cfg.Python), l.Say)
	if err != nil {
		return end(cfg, pyenv.Env{}, cfg.Python.File, "", err)
	}
	env, err := l.Python.Ensure(ctx, lock, l.Say)
	return end(cfg, env, cfg.Python.File, fmt.Sprintf("Python %s, %s, environment %.12s", lock.Python, cfg.Python.File, lock.Hash), err)
}

// choose returns the tasks to be run: all of a kind of build, or those named
// and all that they need.
func (q LocalRequest) choose(cfg project.Config) ([]project.Task, error) {
	all := cfg.Build.Tasks
	if q.Nightly {
		all = cfg.Build.Nightly
	}
	if len(q.Tasks) == 0 {
		return all, nil
	}
	byName := map[string]project.Task{}
	var names []string
	for _, t := range all {
		byName[t.Name] = t
		names = append(names, t.Name)
	}
	wanted := map[string]bool{}
	for next := slices.Clone(q.Tasks); len(next) > 0; next = next[1:] {
		t, ok := byName[next[0]]
		if !ok {
			return nil, ridgeline.Errorf(ridgeline.NotFound, "the build has no task %q: it has %s", next[0], strings.Join(names, ", "))
		}
		if !wanted[t.Name] {
			wanted[t.Name] = true
			next = append(next, t.Needs...)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(t project.Task) bool { return !wanted[t.Name] }), nil
}

// run runs the tasks, each as soon as what it needs is green.
func (l *Local) run(ctx context.Context, cfg project.Config, env pyenv.Env, tasks []project.Task, out *LocalBuild) error {
	defer l.remove(tasks)
	b := &localTasks{Local: l, cfg: cfg, env: env, ended: map[string]chan struct{}{}, status: map[string]ridgeline.Status{}}
	for _, t := range tasks {
		b.ended[t.Name] = make(chan struct{})
	}
	outcomes, errs := make([]outcome, len(tasks)), make([]error, len(tasks))
	var wg sync.WaitGroup
	for i, t := range tasks {
		wg.Go(func() { outcomes[i], errs[i] = b.one(ctx, t) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var parts []taskReport
	for i, t := range tasks {
		o := outcomes[i]
		out.Checks = append(out.Checks, ridgeline.Check{Name: t.Name, Kind: ridgeline.CheckKind(t.Kind), Status: o.Status, Message: o.Message, Task: t.Name, Seconds: o.Seconds})
		out.findings = append(out.findings, taskFindings(t, o, l.Source)...)
		parts = append(parts, taskReport{o.Tests, o.Lines, o.NoLines})
		src := filepath.Join(l.Dir, "tasks", t.Name, "src")
		if junit, _ := reportPaths(t); len(o.Tests) > 0 {
			out.junit[t.Name] = filepath.Join(src, junit)
		}
		out.sarif = append(out.sarif, l.written(src)...)
		if o.Lines != nil {
			if out.lines == nil {
				out.lines = coverage{}
			}
			out.lines.join(o.Lines)
		}
	}
	out.Results, out.Report, out.none = gather(parts)
	return nil
}

// localTasks are the tasks of one build under way.
type localTasks struct {
	*Local
	cfg   project.Config
	env   pyenv.Env
	ended map[string]chan struct{} // closed when the task has come to its end

	mu     sync.Mutex
	status map[string]ridgeline.Status // of tasks that have
	red    string                      // the first of them that is
}

func (b *localTasks) one(ctx context.Context, t project.Task) (outcome, error) {
	check := ridgeline.Check{Name: t.Name, Kind: ridgeline.CheckKind(t.Kind), Status: ridgeline.Queued, Message: t.Run, Task: t.Name}
	b.Changed(check)
	end := func(o outcome, err error) (outcome, error) {
		b.mu.Lock()
		b.status[t.Name] = o.Status
		if o.Status == ridgeline.Failed && b.red == "" {
			b.red = t.Name
		}
		b.mu.Unlock()
		close(b.ended[t.Name])
		check.Status, check.Message, check.Seconds = o.Status, o.Message, o.Seconds
		if err == nil {
			b.Changed(check)
		}
		return o, err
	}
	for _, need := range t.Needs {
		select {
		case <-ctx.Done():
			return end(outcome{}, ctx.Err())
		case <-b.ended[need]:
		}
		b.mu.Lock()
		green := b.status[need] == ridgeline.Succeeded
		b.mu.Unlock()
		if !green {
			return end(outcome{Status: ridgeline.Cancelled, Message: "not run: it needs " + need + ", which is not green"}, nil)
		}
	}
	if why := b.stopped(t); why != "" {
		return end(outcome{Status: ridgeline.Cancelled, Message: why}, nil)
	}
	dir := filepath.Join(b.Dir, "tasks", t.Name)
	src := filepath.Join(dir, "src")
	if err := b.Checkout(ctx, src); err != nil {
		return end(outcome{}, err)
	}
	check.Status = ridgeline.Running
	b.Changed(check)
	p := place{
		tasks: b.Tasks, env: b.env, vars: dataVars(b.cfg, src), logs: b.Logs, poll: 100 * time.Millisecond,
		tail: func(_ context.Context, name string) string { return b.Logs.Tail(name, 4096) },
	}
	o, err := p.run(ctx, t, t.Name, dir, func(context.Context) (bool, error) { return b.stopped(t) != "", nil })
	if o.Status == ridgeline.Cancelled {
		o.Message = b.stopped(t)
	}
	return end(o, err)
}

func (b *localTasks) stopped(t project.Task) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg.Build.FailFast && b.red != "" && b.red != t.Name {
		return stoppedBy(b.red)
	}
	return ""
}

// remove ends what still runs and forgets the tasks.
func (l *Local) remove(tasks []project.Task) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, t := range tasks {
		if err := l.Tasks.Remove(ctx, t.Name); err != nil {
			l.Say(fmt.Sprintf("%s may still be running: %v", t.Name, err))
		}
	}
}

// written are the SARIF files that a task has left beside those that came with
// the project.
func (l *Local) written(src string) []string {
	var out []string
	for _, pattern := range []string{"*.sarif", "*/*.sarif"} {
		files, _ := filepath.Glob(filepath.Join(src, pattern)) // the pattern is a good one
		for _, f := range files {
			rel, err := filepath.Rel(src, f)
			if err == nil && !isFile(filepath.Join(l.Dir, "src", rel)) && isFile(f) {
				out = append(out, f)
			}
		}
	}
	return out
}

// floor holds coverage against build.coverage, where all tests were run.
func (l *Local) floor(cfg project.Config, q LocalRequest, out *LocalBuild) {
	if cfg.Build.Coverage <= 0 || len(q.Tasks) > 0 || q.Nightly {
		return
	}
	check := floor(cfg.Build.Coverage, out.Report.Coverage, out.none)
	l.Changed(check)
	out.Checks = append(out.Checks, check)
	if check.Status != ridgeline.Succeeded {
		out.findings = append(out.findings, finding{Rule: "coverage", Message: check.Message, File: project.FileName})
	}
}

// dataset checks the data that is here. What is kept elsewhere is the server's
// to look at.
func (l *Local) dataset(ctx context.Context, cfg project.Config, d project.Dataset, src string) localCheck {
	check := localCheck{Check: ridgeline.Check{Name: "data " + d.Name, Kind: ridgeline.CheckData, Status: ridgeline.Running}}
	l.Changed(check.Check)
	started := time.Now()
	message, findings, err := l.look(ctx, cfg, d, src)
	check.Status, check.Message, check.findings = ridgeline.Succeeded, message, findings
	if err != nil {
		check.Status, check.Message = ridgeline.Failed, err.Error()
		if len(findings) == 0 {
			check.findings = findingsOf(err, cmp.Or(d.Checks, d.Path))
		}
	}
	check.Seconds = time.Since(started).Seconds()
	l.Changed(check.Check)
	return check
}

func (l *Local) look(ctx context.Context, cfg project.Config, d project.Dataset, src string) (string, []finding, error) {
	path, err := placeOf(d, src)
	if err != nil {
		return "", nil, err
	}
	if path == "" {
		return "not checked: " + d.Path + " is not on this machine; the server looks at it", nil, nil
	}
	var rules []byte
	if d.Checks != "" {
		var err error
		if rules, err = os.ReadFile(filepath.Join(src, d.Checks)); err != nil {
			return "", nil, err
		}
	}
	seen, err := intake.Inspect(ctx, path, d, rules, data.CheckOptions{Reference: func(_ context.Context, name string) (string, error) {
		for _, other := range cfg.Data {
			if path, err := placeOf(other, src); other.Name == name && path != "" {
				return path, err
			}
		}
		return "", ridgeline.Errorf(ridgeline.NotFound, "%s is not on this machine", name)
	}})
	if err != nil {
		return "", nil, err
	}
	holds, findings := 0, []finding(nil)
	for _, f := range seen.Findings {
		if f.OK {
			holds++
			continue
		}
		findings = append(findings, finding{Rule: "data/" + f.Rule, Message: f.String(), File: d.Path, Warning: f.Warns()})
	}
	if seen.Reason != "" {
		return "", findings, ridgeline.Errorf(ridgeline.Invalid, "%s\n(%s against %s)", seen.Reason, d.Path, cmp.Or(d.Checks, "what a dataset has to be"))
	}
	library := data.Library{Dir: filepath.Join(l.Dir, "data")}
	content, err := library.Split(ctx, path, seen.Description, data.Holdout{Fraction: d.Holdout.Fraction, Key: d.Holdout.Key})
	if err != nil {
		return "", findings, err
	}
	return fmt.Sprintf("%d rows, %d columns, %d rules hold; %d rows to train on, %d held out",
		content.Rows, len(content.Columns), holds, content.Sides.TrainRows, content.Sides.HoldoutRows), findings, nil
}

// placeOf is where a dataset is on this machine; empty when it is kept
// elsewhere. What fits a pattern is brought together in a folder of links.
func placeOf(d project.Dataset, src string) (string, error) {
	switch {
	case strings.Contains(d.Path, "://") || filepath.IsAbs(d.Path) && project.IsPattern(d.Path):
		return "", nil
	case filepath.IsAbs(d.Path):
		if _, err := os.Stat(d.Path); err != nil {
			return "", nil
		}
		return d.Path, nil
	case !project.IsPattern(d.Path):
		return filepath.Join(src, filepath.FromSlash(d.Path)), nil
	}
	m, err := intake.Lies(src, d)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(src, "..", "patterns", d.Name)
	for _, f := range m.Files {
		from, to := filepath.Join(src, m.Path, f.Name), filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return "", err
		}
		if err := os.Symlink(from, to); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return dir, nil
}
