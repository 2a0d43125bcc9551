package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/host/process"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
)

type localFlags struct {
	out     string
	tasks   []string
	nightly bool
}

// buildHere builds a folder on this machine. Environments are kept in the
// state folder, as a server here would keep them.
func (c *cli) buildHere(ctx context.Context, dir string, f localFlags) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(f.out) {
		f.out = filepath.Join(dir, f.out)
	}
	files, err := projectFiles(ctx, dir, f.out)
	if err != nil {
		return err
	}
	state, err := c.stateDir()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ridgeline-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if work, err = filepath.EvalSymlinks(work); err != nil { // reports name files by their real place
		return err
	}
	python, err := pyenv.New(pyenv.Options{Dir: filepath.Join(state, "python")})
	if err != nil {
		return err
	}
	_, supervisor, err := unpackRuntime(filepath.Join(state, "runtime"))
	if err != nil {
		return err
	}
	tasks, err := process.New(process.Options{Dir: filepath.Join(work, "host"), Supervisor: []string{supervisor}})
	if err != nil {
		return err
	}
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until all is killed, too
	running := make(chan struct{})
	go func() {
		defer close(running)
		if err := tasks.Run(alive); err != nil {
			fmt.Fprintln(c.err, "ridgeline:", err)
		}
	}()
	defer func() {
		cancel()
		<-running
	}()
	show := &live{w: c.err, dir: filepath.Join(work, "logs")}
	l := &build.Local{
		Source: dir, Python: python, Tasks: tasks, Dir: work, Logs: show, Changed: show.changed, Say: func(line string) { show.line("environment", line) },
		Checkout: func(_ context.Context, to string) error { return copyFiles(dir, to, files) },
	}
	out, err := l.Build(ctx, build.LocalRequest{Tasks: f.tasks, Nightly: f.nightly})
	if err != nil {
		if ctx.Err() != nil {
			return &exitError{code: exitInterrupted}
		}
		return err
	}
	trouble := out.Write(f.out)
	if c.json {
		if err := c.print(out); err != nil {
			return err
		}
	} else {
		for _, check := range out.Checks {
			fmt.Fprintf(c.out, "  %-9s %-12s %6.1f s  %s\n", check.Status, check.Name, check.Seconds, indent(check.Message))
		}
		showReport(c.out, out.Report)
		fmt.Fprintf(c.out, "reports are in %s\n", f.out)
	}
	if trouble != nil {
		return fmt.Errorf("not every report could be written: %w", trouble)
	}
	if out.Status != ridgeline.Succeeded {
		return fmt.Errorf("the build is red: %s", out.Reason)
	}
	return nil
}

// projectFiles lists what belongs to the project: what a push would hand over,
// and in a folder that is no git repository everything but reports.
func projectFiles(ctx context.Context, dir, out string) ([]string, error) {
	if _, files, err := readGit(ctx, dir); err == nil {
		return files, nil
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if path == out || e.Name() == ".git" || e.Name() == "__pycache__" {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, rel)
		return err
	})
	return files, err
}

// copyFiles lays the project's files into a new folder. They are copies: a
// task may change them.
func copyFiles(dir, to string, files []string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, name := range files {
		if err := stageCopy(filepath.Join(dir, name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return nil
}

// live shows what tasks write, each line under its task's name, and keeps it
// in a file per task. It is the build's log.
type live struct {
	w   io.Writer
	dir string

	mu   sync.Mutex
	rest map[string][]byte // of a line that has not ended
}

func (l *live) line(task, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%s | %s\n", task, text)
}

func (l *live) changed(c ridgeline.Check) {
	switch c.Status {
	case ridgeline.Running:
		l.line(c.Name, "begins")
	case ridgeline.Queued:
	default:
		l.flush(c.Task)
		l.line(c.Name, string(c.Status)+": "+oneLine(c.Message))
	}
}

func (l *live) flush(task string) {
	l.mu.Lock()
	rest := l.rest[task]
	delete(l.rest, task)
	l.mu.Unlock()
	if len(rest) > 0 {
		l.line(task, string(rest))
	}
}

// Append implements host.LogSink.
func (l *live) Append(_ context.Context, task string, _ int64, p []byte) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(l.dir, task), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(p); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rest == nil {
		l.rest = map[string][]byte{}
	}
	text := append(l.rest[task], p...)
	for {
		line, rest, found := bytes.Cut(text, []byte("\n"))
		if !found && len(text) < 64<<10 {
			break
		}
		fmt.Fprintf(l.w, "%s | %s\n", task, line)
		text = rest
	}
	l.rest[task] = slices.Clone(text)
	return nil
}

// Size implements host.LogSink.
func (l *live) Size(_ context.Context, task string) (int64, error) {
	info, err := os.Stat(filepath.Join(l.dir, task))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Remove implements host.LogSink.
func (l *live) Remove(_ context.Context, task string) error {
	err := os.Remove(filepath.Join(l.dir, task))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Tail implements build.LocalLogs.
func (l *live) Tail(task string, n int64) string {
	f, err := os.Open(filepath.Join(l.dir, task))
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > n {
		if _, err := f.Seek(-n, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, _ := io.ReadAll(io.LimitReader(f, n)) // what can be read of it
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
