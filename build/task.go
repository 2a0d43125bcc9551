package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
)

// A place is where tasks run: a server's host, or the machine of somebody who
// builds without a server. What a task is and what is read of it is the same.
type place struct {
	tasks   host.Tasks
	env     pyenv.Env
	vars    []string // added to the environment's own
	logs    host.LogSink
	tail    func(ctx context.Context, name string) string // the last of a log
	secrets func(ctx context.Context) []string            // what no log shows
	poll    time.Duration                                 // how often it is looked at; 0: see host.Follow
}

// outcome is what came of a task.
type outcome struct {
	Status  ridgeline.Status
	Message string // one line, and of a red one the last lines of its log
	Seconds float64
	Tests   []TestResult
	Lines   coverage // nil: it wrote no Cobertura report
	NoLines string   // why not
}

// run takes the task to its end in dir/src, its own copy of the tree: what it
// writes there meets no other task. It may be repeated after a crash.
func (p place) run(ctx context.Context, t project.Task, name, dir string, cancelled func(context.Context) (bool, error)) (outcome, error) {
	home, src := filepath.Join(dir, "home"), filepath.Join(dir, "src")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return outcome{}, err
	}
	junit, cobertura := reportPaths(t)
	if st, err := p.tasks.Observe(ctx, name); err != nil {
		return outcome{}, err
	} else if st.Phase == host.Absent { // a report that came with the commit says nothing of this build
		for _, old := range []string{junit, cobertura} {
			if old != "" && filepath.IsLocal(old) {
				_ = os.Remove(filepath.Join(src, old))
			}
		}
	}
	task := host.Task{Name: name, Command: []string{"/bin/sh", "-c", t.Run}, Dir: src, Env: append(p.env.Vars(home), p.vars...), Timeout: t.Timeout}
	follow := host.Follow{Logs: p.logs, Cancelled: cancelled, Poll: p.poll, Secrets: p.secrets}
	state, err := host.Run(ctx, p.tasks, task, follow)
	var out outcome
	var unread error
	if err != nil && state.Phase == host.Ended {
		// Its end is known, its log has no place to go: what it wrote may fill the
		// disk. The reports are read, the rest makes room.
		unread = out.read(t, src, junit, cobertura)
		if err := os.RemoveAll(dir); err != nil {
			return outcome{}, err
		}
		state, err = host.Run(ctx, p.tasks, task, follow)
	} else if err == nil {
		unread = out.read(t, src, junit, cobertura)
	}
	if err != nil {
		return outcome{}, err
	}
	out.Seconds = state.Usage.WallSeconds
	if p.secrets != nil {
		var said []*string
		for i := range out.Tests {
			said = append(said, &out.Tests[i].Message)
		}
		host.Mask(p.secrets(ctx), said...)
	}
	if state.Phase == host.Ended && state.Reason == host.Killed {
		return outcome{Status: ridgeline.Cancelled, Message: "cancelled", Seconds: out.Seconds}, nil
	}
	out.Status, out.Message = ridgeline.Succeeded, t.Run
	if len(out.Tests) > 0 {
		out.Message = summary(out.Tests)
	}
	if state.Phase != host.Ended || state.Reason != host.Exited || state.ExitCode != 0 {
		out.Status = ridgeline.Failed
		log := t.Run + ": " + state.Message + "\n" + strings.TrimSpace(host.LastLines(p.tail(ctx, name), 12))
		if strings.Contains(out.Message, "tests failed: ") {
			return out, nil
		}
		if len(out.Tests) > 0 {
			log = out.Message + "; " + log
		}
		out.Message = log
	}
	if unread != nil {
		first, rest, _ := strings.Cut(out.Message, "\n")
		out.Message = strings.TrimSpace(fmt.Sprintf("%s (%v)\n%s", first, unread, rest))
	}
	return out, nil
}

// read reads what the task reported. A report that nobody asked for may be
// missing.
func (o *outcome) read(t project.Task, src, junit, cobertura string) error {
	var unread error
	if junit != "" {
		f, err := openReport(src, junit)
		if err == nil {
			o.Tests, err = readJUnit(f, t.Name)
			f.Close()
		}
		if asked := t.JUnit != "" || junitFlag.MatchString(t.Run); err != nil && (asked || !errors.Is(err, fs.ErrNotExist)) {
			unread = fmt.Errorf("%s: %w", junit, err)
		}
	}
	if cobertura != "" {
		f, err := openReport(src, cobertura)
		if err == nil {
			o.Lines, err = readCobertura(f, src)
			f.Close()
		}
		if err != nil {
			o.NoLines = fmt.Sprintf("%s of %s: %v", cobertura, t.Name, err)
		}
	}
	return unread
}

// reportPaths are the files that the task may write its results and coverage
// to; empty for one of a kind that has none.
func reportPaths(t project.Task) (junit, cobertura string) {
	junit, cobertura = t.JUnit, t.Coverage
	if junit == "" && (t.Kind == project.TaskTests || junitFlag.MatchString(t.Run)) {
		junit = junitPath(t.Run)
	}
	if cobertura == "" && t.Kind == project.TaskTests {
		cobertura = coveragePath(t.Run)
	}
	return junit, cobertura
}

// dataVars tells a task where the data on this machine is, as steps are told:
// RIDGELINE_DATA_<NAME>.
func dataVars(cfg project.Config, src string) []string {
	var vars []string
	for _, d := range cfg.Data {
		if path, err := placeOf(d, src); path != "" && err == nil { // the data's own check tells what is wrong
			vars = append(vars, dataVar(d.Name, path))
		}
	}
	return vars
}

func dataVar(name, path string) string {
	return "RIDGELINE_DATA_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "=" + path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
