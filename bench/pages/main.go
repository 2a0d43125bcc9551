// Command pages measures the pages with 100,000 runs in the store, in a
// Chromium on the same machine, and holds them to their budgets. It writes
// bench/results/pages.json and the pages part of docs/benchmarks.md.
//
// It measures the built program; what is on the pages is test/browser's.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/bench"
	"github.com/ridgeline-mlops/ridgeline/test/browser"
	"github.com/ridgeline-mlops/ridgeline/ui/assets"
)

// row is one figure of bench/results/pages.json.
type row struct {
	What   string  `json:"what"`
	Tool   string  `json:"tool"`
	Runs   int     `json:"runs,omitempty"` // in the store
	Millis float64 `json:"median_ms,omitempty"`
	P95    float64 `json:"p95_ms,omitempty"`
	Most   float64 `json:"most_ms,omitempty"`
	Bytes  int     `json:"bytes,omitempty"`
	PerSec float64 `json:"per_second,omitempty"`
	Budget float64 `json:"budget,omitempty"` // of the first of these figures, or, of a rate, the least
}

// within reports whether the figure keeps to its budget.
func (r row) within() bool {
	switch {
	case r.Budget == 0:
		return true
	case r.PerSec > 0:
		return r.PerSec >= r.Budget
	}
	return max(r.Millis, float64(r.Bytes)) < r.Budget
}

type options struct {
	runs, times int
	log         time.Duration
	state       string
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 100_000, "in the store")
	flag.IntVar(&o.times, "times", 20, "that each page is asked for")
	flag.DurationVar(&o.log, "log", 10*time.Second, "how long a log is watched")
	flag.StringVar(&o.state, "state", "", "a folder that is filled once and kept; empty: one that is removed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-pages:", err)
		os.Exit(1)
	}
}

// A site is a server that runs, with its state folder.
type site struct {
	bin, folder, base string
	options
}

func measure(ctx context.Context, o options) error {
	if browser.Path() == "" {
		return errors.New("no Chromium: test/setup/needs.sh test installs one")
	}
	bin, err := filepath.Abs("bin/ridgeline")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ridgeline-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &site{bin: bin, folder: cmp.Or(o.state, filepath.Join(dir, "state")), options: o}
	fmt.Fprintln(os.Stderr, "filling the store with", o.runs, "runs")
	compared, err := fill(ctx, s.folder, o.runs)
	if err != nil {
		return err
	}
	stop, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	rows := []row{{What: "all scripts, compressed", Tool: "ridgeline", Bytes: assets.Load().ScriptBytes(), Budget: 500_000}}
	pages := []address{
		{"home", "/", 300, 0, 0},
		{"runs, the newest", "/runs", 300, 100, 0},
		{"runs, the worst of all by a metric", "/runs?sort=m.loss&down=1", 300, 100, 0},
		{"runs, the failed ones of a project", "/runs?status=failed&project=iris", 300, 100, 0},
		{"runs, grouped by a parameter", "/runs?group=p.alpha", 300, 100, 0},
		{"runs, from the middle", "/runs?skip=50000", 300, 100, 0},
		{"runs, a thousand on a page", "/runs?window=1000", 0, 0, 0},
		{"one run", "/runs/" + compared[0], 300, 0, 0},
	}
	for _, n := range []int{100, comparedRuns} {
		n = min(n, len(compared))
		pages = append(pages, address{fmt.Sprintf("%d runs compared", n), "/compare?run=" + strings.Join(compared[len(compared)-n:], "&run="), 0, 0, 1000})
	}
	parts := []address{{"runs, the groups that the page fetches", "/ui/runs/groups?group=p.alpha&of=m.loss", 0, 0, 0}, {"runs, rows from the end", "/ui/runs/rows?row=99900&skip=99900", 0, 100, 0}}
	for _, p := range append(parts, pages...) {
		got, err := s.served(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.what, err)
		}
		rows = append(rows, got)
	}
	shown, err := s.shown(ctx, pages)
	if err != nil {
		return err
	}
	rows = append(rows, shown...)
	scrolled, err := s.scrolled(ctx)
	if err != nil {
		return err
	}
	rows = append(rows, scrolled...)
	watched, err := s.watched(ctx, dir)
	if err != nil {
		return err
	}
	rows = append(rows, watched...)
	return report(rows)
}

// start starts the server and returns what ends it.
func (s *site) start(ctx context.Context) (stop func(), err error) {
	server := exec.CommandContext(ctx, s.bin, "up", "--dir", s.folder, "--listen", "127.0.0.1:0", "--log-level", "warn")
	server.Stderr = os.Stderr
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	_ = os.Remove(filepath.Join(s.folder, "url"))
	if err := server.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	}
	for range 600 {
		if url, err := os.ReadFile(filepath.Join(s.folder, "url")); err == nil {
			s.base = strings.TrimSpace(string(url))
			return stop, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return nil, errors.New("the server did not come up within a minute")
}

// ridgeline runs a command of the built program in a folder.
func (s *site) ridgeline(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RIDGELINE_DIR="+s.folder)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ridgeline %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func report(rows []row) error {
	var s strings.Builder
	fmt.Fprintf(&s, "| what | measured | figure | p95 | budget | |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		figure, p95, budget, unit := fmt.Sprintf("%.0f ms", r.Millis), "", "", "ms"
		switch {
		case r.Bytes > 0:
			figure, unit = fmt.Sprintf("%d kB", r.Bytes/1000), "kB"
		case r.PerSec > 0:
			figure, unit = fmt.Sprintf("%.0f / s", r.PerSec), "/ s"
		}
		if r.P95 > 0 {
			p95 = fmt.Sprintf("%.0f ms", r.P95)
		}
		switch {
		case r.Budget > 0 && r.PerSec > 0:
			budget = fmt.Sprintf("≥ %.0f %s", r.Budget, unit)
		case r.Budget > 0 && r.Bytes > 0:
			budget = fmt.Sprintf("< %.0f %s", r.Budget/1000, unit)
		case r.Budget > 0:
			budget = fmt.Sprintf("< %.0f %s", r.Budget, unit)
		}
		kept := ""
		if !r.within() {
			kept = "over"
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s | %s |\n", r.What, r.Tool, figure, p95, budget, kept)
	}
	return bench.Report("pages", rows, s.String())
}
