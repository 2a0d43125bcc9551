// Command data measures what checks of data cost: `ridgeline data check`, facts
// and PSI, against bare DuckDB doing the same, and against pandera, Great
// Expectations and Evidently doing what they can of it, each a whole process.
// It writes bench/results/data.json and its part of docs/benchmarks.md.
//
// It measures the program bin/ridgeline; it knows nothing of its inside. The
// others are installed by uv, once, into the user's cache.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline/bench"
)

func main() {
	runs := flag.Int("runs", 5, "repeat each measurement so often; medians are reported")
	rows := flag.Int("rows", 1_000_000, "rows of each of the two files")
	large := flag.Int("large", 50_000_000, "rows of the largest file whose peak of memory is measured; 0: none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *runs, *rows, *large); err != nil {
		fmt.Fprintln(os.Stderr, "bench-data:", err)
		os.Exit(1)
	}
}

// row is one figure of bench/results/data.json.
type row struct {
	What    string  `json:"what"`
	Tool    string  `json:"tool"`
	Version string  `json:"version"`
	Rows    int     `json:"rows"`
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"` // of all cores
	PeakMB  float64 `json:"peak_mb"`     // resident
	Ratio   float64 `json:"ratio_to_bare,omitempty"`
}

// A side is one tool and its command; %N and %R stand for the two files.
type side struct {
	what, tool, version string
	command             []string
	seconds, cpu, peak  []float64
}

// packages are pinned, so that two runs compare the same.
var packages = map[string][]string{
	"duckdb":             {"duckdb==1.5.6"},
	"pandera":            {"pandera==0.35.0", "pandas==3.1.1", "pyarrow==26.0.1"},
	"great-expectations": {"great_expectations==1.24.1", "pandas==3.1.1", "pyarrow==26.0.1"},
	"evidently":          {"evidently==0.7.23", "pandas==2.3.3", "pyarrow==26.0.1"},
}

func measure(ctx context.Context, runs, rows, large int) error {
	bin, err := filepath.Abs("bin/ridgeline")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ridgeline-bench-data-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	python := map[string]string{}
	for name := range packages {
		if python[name], err = bench.Environment(ctx, "data-"+name, packages[name]...); err != nil {
			return err
		}
	}
	newer, older := filepath.Join(dir, "new.parquet"), filepath.Join(dir, "reference.parquet")
	for file, seed := range map[string]string{newer: "0.1", older: "0.2"} {
		if _, err := run(ctx, python["duckdb"], "bench/data/make.py", file, fmt.Sprint(rows), seed); err != nil {
			return err
		}
	}
	version, err := run(ctx, bin, "--version")
	if err != nil {
		return err
	}
	ours := strings.TrimPrefix(strings.TrimSpace(version.out), "ridgeline version ")
	script := func(name, file string, more ...string) []string {
		return append([]string{python[name], "bench/data/" + file, newer, older}, more...)
	}
	sides := []*side{
		{what: "facts and PSI", tool: "DuckDB, bare, deciles exact", version: pinned("duckdb"), command: script("duckdb", "duckdb_bare.py")},
		{what: "facts and PSI", tool: "DuckDB, bare, deciles of a sample", version: pinned("duckdb"), command: script("duckdb", "duckdb_bare.py", "sampled")},
		{what: "facts and calibrated PSI", tool: "ridgeline", version: ours, command: []string{bin, "data", "check", newer, "--checks", "bench/data/checks.yaml", "--against", older}},
		{what: "facts", tool: "pandera", version: pinned("pandera"), command: script("pandera", "pandera_check.py")},
		{what: "facts", tool: "Great Expectations", version: pinned("great-expectations"), command: script("great-expectations", "gx_check.py")},
		{what: "PSI", tool: "Evidently", version: pinned("evidently"), command: script("evidently", "evidently_check.py")},
	}
	for i := range runs { // side by side: a noisy minute is everybody's
		for _, s := range sides {
			m, err := run(ctx, s.command[0], s.command[1:]...)
			if err != nil {
				return err
			}
			s.seconds, s.cpu, s.peak = append(s.seconds, m.seconds), append(s.cpu, m.cpu), append(s.peak, m.peak)
			fmt.Fprintf(os.Stderr, "%d: %s %.2f s\n", i+1, s.tool, m.seconds)
		}
	}
	var table []row
	for _, s := range sides {
		table = append(table, row{s.what, s.tool, s.version, rows, runs, bench.Median(s.seconds), bench.Median(s.cpu), bench.Median(s.peak), bench.Median(s.seconds) / bench.Median(sides[1].seconds)})
	}
	memory, err := memory(ctx, bin, ours, python["duckdb"], dir, older, rows, large)
	if err != nil {
		return err
	}
	return report(append(table, memory...))
}

// memory measures the peak at growing sizes, without and with a rule that has
// to remember every value.
func memory(ctx context.Context, bin, version, python, dir, older string, rows, large int) ([]row, error) {
	rules, err := os.ReadFile("bench/data/checks.yaml")
	if err != nil {
		return nil, err
	}
	flat := filepath.Join(dir, "flat.yaml")
	if err := os.WriteFile(flat, bytes.ReplaceAll(rules, []byte("unique: true, "), nil), 0o600); err != nil {
		return nil, err
	}
	var out []row
	for _, n := range []int{rows, large / 5, large} {
		if n < rows {
			continue
		}
		file := filepath.Join(dir, "large.parquet")
		if _, err := run(ctx, python, "bench/data/make.py", file, fmt.Sprint(n), "0.3"); err != nil {
			return nil, err
		}
		for _, one := range []struct{ what, checks string }{{"memory, without unique", flat}, {"memory, with unique", "bench/data/checks.yaml"}} {
			m, err := run(ctx, bin, "data", "check", file, "--checks", one.checks, "--against", older)
			if err != nil {
				return nil, err
			}
			out = append(out, row{What: one.what, Tool: "ridgeline", Version: version, Rows: n, Runs: 1, Seconds: m.seconds, CPU: m.cpu, PeakMB: m.peak})
		}
	}
	return out, nil
}

func pinned(name string) string {
	_, version, _ := strings.Cut(packages[name][0], "==")
	return version
}

type measured struct {
	seconds, cpu, peak float64
	out                string
}

// run runs a command to its end, which has to be a good one.
func run(ctx context.Context, name string, args ...string) (measured, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	started := time.Now()
	if err := cmd.Run(); err != nil {
		return measured{}, fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out.String(), problem.String())
	}
	m := measured{seconds: time.Since(started).Seconds(), out: out.String()}
	m.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.peak = float64(usage.Maxrss) / 1024 // Linux has kB
	}
	return m, nil
}

// report spells the table.
func report(rows []row) error {
	var s strings.Builder
	fmt.Fprintf(&s, "| what | tool | rows | median | CPU | peak memory | to bare |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		ratio := ""
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f ×", r.Ratio)
		}
		fmt.Fprintf(&s, "| %s | %s %s | %d | %.2f s | %.2f s | %.0f MB | %s |\n", r.What, r.Tool, strings.Fields(r.Version + " ")[0], r.Rows, r.Seconds, r.CPU, r.PeakMB, ratio)
	}
	return bench.Report("data", rows, s.String())
}
