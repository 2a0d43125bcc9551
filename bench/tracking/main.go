// Command tracking measures tracking servers side by side: Ridgeline,
// FastTrackML and MLflow's own, asked the same by the same clients over HTTP. It
// writes bench/results/tracking.json and the tracking part of
// docs/benchmarks.md.
//
// It measures the built program; which answers are right is test/mlflow's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/bench"
)

const (
	mlflowVersion  = "3.17.2"
	fastmlVersion  = "0.6.0"
	bearer         = "rl_bench"
	clients        = 20
	searchedRuns   = 10_000
	searchedMany   = 100_000
	historyPoints  = 10_000
	historyMany    = 100_000
	metricsInBatch = 100
)

// row is one figure of bench/results/tracking.json.
type row struct {
	What              string  `json:"what"`
	Server            string  `json:"server"`
	Version           string  `json:"version"`
	Connections       int     `json:"connections"`
	Runs              int     `json:"runs,omitempty"`   // in the store, for a search
	Points            int     `json:"points,omitempty"` // of a history
	RequestsPerSecond float64 `json:"requests_per_second,omitempty"`
	P50               float64 `json:"p50_ms,omitempty"`
	P95               float64 `json:"p95_ms,omitempty"`
	Failed            int64   `json:"failed,omitempty"`  // requests that were not answered with 200
	Seconds           float64 `json:"seconds,omitempty"` // to the first answer
	MemoryMB          float64 `json:"memory_mb,omitempty"`
	CPUPercent        float64 `json:"cpu_percent,omitempty"` // of one core
}

type options struct {
	storm, fill time.Duration
	many        bool
	only, skip  string
}

func main() {
	var o options
	flag.DurationVar(&o.storm, "storm", 5*time.Second, "how long each storm lasts")
	flag.DurationVar(&o.fill, "fill", 4*time.Minute, "how long a server may take to fill its store for the searches: one that is slow searches among fewer runs")
	flag.BoolVar(&o.many, "many", false, "search among 100,000 runs and read 100,000 points, too (Ridgeline and FastTrackML)")
	flag.StringVar(&o.only, "only", "", "measure only the servers whose names contain this")
	flag.StringVar(&o.skip, "skip", "", "leave out the servers whose names contain this, and report the others")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-tracking:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "ridgeline-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all, python, err := servers(ctx)
	if err != nil {
		return err
	}
	var rows []row
	var failed error
	for _, s := range all {
		if !strings.Contains(s.name, o.only) || o.skip != "" && strings.Contains(s.name, o.skip) {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", s.name)
		folder := filepath.Join(dir, strings.ReplaceAll(s.name, " ", "-"))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
		got, err := s.measure(ctx, folder, python, o)
		if err != nil { // what was measured until then counts, and so do the other servers
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
		}
		rows = append(rows, got...)
	}
	if o.only == "" {
		return errors.Join(bench.Report("tracking", rows, table(rows)), failed)
	}
	return failed
}

// measure starts the server, asks it, and ends it. With an error come the rows
// until then.
func (s server) measure(ctx context.Context, folder, python string, o options) ([]row, error) {
	c, err := s.start(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	var rows []row
	add := func(r row) {
		r.Server, r.Version = s.name, s.version
		rows = append(rows, r)
		fmt.Fprintf(os.Stderr, "%+v\n", r)
	}
	add(c.idle(10 * time.Second))
	ids, err := c.runs(ctx, "0", clients)
	if err != nil {
		return rows, err
	}
	add(c.storm(ctx, "create a run", o.storm, func(int, int) (string, string) {
		return "runs/create", fmt.Sprintf(`{"experiment_id": "0", "user_id": "u", "start_time": %d, "tags": [{"key": "mlflow.user", "value": "u"}, {"key": "mlflow.source.name", "value": "train.py"}, {"key": "mlflow.source.type", "value": "LOCAL"}]}`, time.Now().UnixMilli())
	}))
	add(c.storm(ctx, "log a metric", o.storm, func(client, i int) (string, string) {
		return "runs/log-metric", fmt.Sprintf(`{"run_id": %q, "key": "loss", "value": %g, "timestamp": %d, "step": %d}`, ids[client], 1/float64(1+i), time.Now().UnixMilli(), i)
	}))
	add(c.storm(ctx, "log a batch of 100 metrics", o.storm, func(client, i int) (string, string) {
		return "runs/log-batch", batch(ids[client], i)
	}))
	script, err := c.fromPython(ctx, python)
	if err != nil {
		return rows, err
	}
	add(script)
	got, err := c.searches(ctx, searchedRuns, o.fill)
	if err != nil {
		return rows, err
	}
	for _, r := range got {
		add(r)
	}
	h, err := c.history(ctx, historyPoints, o.fill)
	if err != nil {
		return rows, err
	}
	add(h)
	if o.many && s.many {
		got, err := c.searches(ctx, searchedMany, 10*o.fill)
		if err != nil {
			return rows, err
		}
		for _, r := range got {
			add(r)
		}
		h, err := c.history(ctx, historyMany, o.fill)
		if err != nil {
			return rows, err
		}
		add(h)
	}
	memory, _ := c.holds()
	add(row{What: "after all this", MemoryMB: memory})
	return rows, nil
}

func batch(run string, step int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"run_id": %q, "metrics": [`, run)
	now := time.Now().UnixMilli()
	for i := range metricsInBatch {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"key": "metric_%d", "value": %g, "timestamp": %d, "step": %d}`, i, float64(step)/float64(1+i), now, step)
	}
	b.WriteString("]}")
	return b.String()
}

// table has a row for each thing measured, a column for each server.
func table(rows []row) string {
	var names, whats []string
	cells := map[string]string{}
	for _, r := range rows {
		what := r.What
		if r.Runs > 0 {
			what += fmt.Sprintf(", %d runs", r.Runs)
		}
		if r.Points > 0 {
			what += fmt.Sprintf(", %d points", r.Points)
		}
		if !slices.Contains(names, r.Server+" "+r.Version) {
			names = append(names, r.Server+" "+r.Version)
		}
		if !slices.Contains(whats, what) {
			whats = append(whats, what)
		}
		cell := fmt.Sprintf("%.1f ms, p95 %.1f", r.P50, r.P95)
		switch {
		case r.MemoryMB > 0:
			cell = fmt.Sprintf("%.0f MB", r.MemoryMB)
			if r.Seconds > 0 {
				cell += fmt.Sprintf(", %.1f %% of a core; first answer after %.1f s", r.CPUPercent, r.Seconds)
			}
		case r.RequestsPerSecond > 0:
			cell = fmt.Sprintf("%.0f/s, p95 %.0f ms", r.RequestsPerSecond, r.P95)
		}
		if r.Failed > 0 {
			cell += fmt.Sprintf(", %d failed", r.Failed)
		}
		cells[what+"\x00"+r.Server+" "+r.Version] = cell
	}
	var b strings.Builder
	b.WriteString("| | " + strings.Join(names, " | ") + " |\n|---|" + strings.Repeat("---|", len(names)) + "\n")
	for _, w := range whats {
		b.WriteString("| " + w + " |")
		for _, n := range names {
			b.WriteString(" " + cells[w+"\x00"+n] + " |")
		}
		b.WriteString("\n")
	}
	return b.String() + "\nTwenty clients; a search asks for 100 runs, a history for all its points.\n"
}
