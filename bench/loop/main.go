// Command loop measures what Ridgeline's loop costs over the user's own
// commands: a warm training with its release against the same commands run
// bare, and the overhead of a step over many trivial ones. It writes
// bench/results/loop.json and the loop's part of docs/benchmarks.md.
//
// It measures the program bin/ridgeline; it knows nothing of its inside.
package main

import (
	"bytes"
	"context"
	"encoding/json"
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
)

func main() {
	runs := flag.Int("runs", 5, "repeat each measurement so often; medians are reported")
	steps := flag.Int("steps", 50, "trivial steps of the overhead run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *runs, *steps); err != nil {
		fmt.Fprintln(os.Stderr, "bench-loop:", err)
		os.Exit(1)
	}
}

// row is one figure of bench/results/loop.json.
type row struct {
	What    string  `json:"what"`
	Tool    string  `json:"tool"`
	Version string  `json:"version"`
	Seconds float64 `json:"seconds"`
	P99     float64 `json:"p99_seconds,omitempty"`
	Runs    int     `json:"runs"`
	Steps   int     `json:"steps,omitempty"`
	Ratio   float64 `json:"ratio_to_bare,omitempty"`
}

// machine is a running server and the folder everything is in.
type machine struct {
	bin, dir string
}

func measure(ctx context.Context, runs, steps int) error {
	bin, err := filepath.Abs("bin/ridgeline")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ridgeline-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := &machine{bin, dir}
	server := exec.CommandContext(ctx, bin, "up", "--dir", m.state(), "--listen", "127.0.0.1:0", "--log-level", "warn")
	server.Stderr = os.Stderr
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	}()
	if err := m.await(ctx); err != nil {
		return err
	}
	version, err := m.out(ctx, dir, bin, "--version")
	if err != nil {
		return err
	}
	version = strings.TrimPrefix(strings.TrimSpace(version), "ridgeline version ")
	var rows []row
	loop, err := m.loop(ctx, runs)
	if err != nil {
		return err
	}
	rows = append(rows, loop...)
	trivial, err := m.trivial(ctx, runs, steps)
	if err != nil {
		return err
	}
	rows = append(rows, trivial...)
	for i := range rows {
		rows[i].Version = version
	}
	return report(rows)
}

func (m *machine) state() string { return filepath.Join(m.dir, "state") }

func (m *machine) await(ctx context.Context) error {
	for range 600 {
		if _, err := os.Stat(filepath.Join(m.state(), "url")); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("the server did not come up within 30 s")
}

// loop measures `train` and `release`, and the user's commands that they run.
func (m *machine) loop(ctx context.Context, runs int) ([]row, error) {
	project := filepath.Join(m.dir, "diabetes")
	if _, err := m.out(ctx, m.dir, m.bin, "init", "diabetes"); err != nil {
		return nil, err
	}
	if _, err := m.out(ctx, project, m.bin, "push"); err != nil {
		return nil, err
	}
	python, err := m.python()
	if err != nil {
		return nil, err
	}
	out := filepath.Join(m.dir, "bare")
	training := []string{python, "-m", "diabetes.train"}
	// What a scorer has to do with score.py, as plain Python: load it, answer
	// the smoke request, end.
	scoring := []string{python, "-c", "import json, score; score.init(); print(score.run(json.dumps(json.load(open('smoke.json'))['request'])))"}
	var bare, ours, cold []float64
	for range runs {
		seconds, err := m.time(ctx, project, []string{"RIDGELINE_OUT=" + out}, training...)
		if err != nil {
			return nil, err
		}
		// Challenger and champion answer the holdout, then QA and production
		// each start and answer the smoke test: four starts of score.py.
		for range 4 {
			s, err := m.time(ctx, project, []string{"AZUREML_MODEL_DIR=" + filepath.Join(out, "model")}, scoring...)
			if err != nil {
				return nil, err
			}
			seconds += s
		}
		bare = append(bare, seconds)
		trained, err := m.time(ctx, project, nil, m.bin, "train", "--no-cache")
		if err != nil {
			return nil, err
		}
		released, err := m.time(ctx, project, nil, m.bin, "release", "diabetes:1")
		if err != nil {
			return nil, err
		}
		cold = append(cold, trained)
		ours = append(ours, trained+released)
	}
	what := "warm train + release (diabetes)"
	return []row{
		{What: what, Tool: "user's commands, bare", Seconds: bench.Median(bare), Runs: runs},
		{What: what, Tool: "ridgeline", Seconds: bench.Median(ours), Runs: runs, Ratio: bench.Median(ours) / bench.Median(bare)},
		{What: "warm train only (diabetes)", Tool: "ridgeline", Seconds: bench.Median(cold), Runs: runs},
	}, nil
}

// trivial measures pipelines whose steps do nothing.
func (m *machine) trivial(ctx context.Context, runs, steps int) ([]row, error) {
	three, err := m.plain(ctx, "three", 3, "python -c pass")
	if err != nil {
		return nil, err
	}
	python, err := m.python()
	if err != nil {
		return nil, err
	}
	var bare, ours []float64
	for range runs {
		var sum float64
		for range 3 {
			s, err := m.time(ctx, three, nil, python, "-c", "pass")
			if err != nil {
				return nil, err
			}
			sum += s
		}
		bare = append(bare, sum)
		s, err := m.time(ctx, three, nil, m.bin, "train", "--no-cache")
		if err != nil {
			return nil, err
		}
		ours = append(ours, s)
	}
	rows := []row{
		{What: "three trivial steps, whole command", Tool: "python, bare", Seconds: bench.Median(bare), Runs: runs, Steps: 3},
		{What: "three trivial steps, whole command", Tool: "ridgeline", Seconds: bench.Median(ours), Runs: runs, Steps: 3, Ratio: bench.Median(ours) / bench.Median(bare)},
	}
	many, err := m.plain(ctx, "many", steps, "true")
	if err != nil {
		return nil, err
	}
	var each, shell []float64
	for range steps {
		s, err := m.time(ctx, many, nil, "/bin/sh", "-c", "true")
		if err != nil {
			return nil, err
		}
		shell = append(shell, s)
	}
	text, err := m.out(ctx, many, m.bin, "train", "--no-cache", "--json")
	if err != nil {
		return nil, err
	}
	var run struct{ Run string }
	if err := json.Unmarshal([]byte(text), &run); err != nil {
		return nil, err
	}
	if text, err = m.out(ctx, many, m.bin, "run", run.Run, "--json"); err != nil {
		return nil, err
	}
	var detail struct {
		Started, Ended time.Time
		Steps          []struct{ Seconds float64 }
	}
	if err := json.Unmarshal([]byte(text), &detail); err != nil {
		return nil, err
	}
	for _, s := range detail.Steps {
		each = append(each, s.Seconds)
	}
	overhead := detail.Ended.Sub(detail.Started).Seconds()/float64(steps) - bench.Median(shell)
	return append(rows,
		row{What: "one trivial step", Tool: "sh -c true, bare", Seconds: bench.Median(shell), P99: bench.Quantile(shell, 0.99), Runs: len(shell)},
		row{What: "one trivial step", Tool: "ridgeline", Seconds: bench.Median(each), P99: bench.Quantile(each, 0.99), Runs: 1, Steps: steps, Ratio: bench.Median(each) / bench.Median(shell)},
		row{What: "overhead of a step, run's wall time by its steps", Tool: "ridgeline", Seconds: overhead, Runs: 1, Steps: steps},
	), nil
}

// plain makes, pushes and once runs a project of trivial steps.
func (m *machine) plain(ctx context.Context, name string, steps int, command string) (string, error) {
	dir := filepath.Join(m.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	var config strings.Builder
	fmt.Fprintf(&config, "project: %s\npython: requirements.txt\npipeline:\n  steps:\n", name)
	for i := range steps {
		fmt.Fprintf(&config, "    step-%d: %q\n", i+1, command)
	}
	files := map[string]string{"ridgeline.yaml": config.String(), "requirements.txt": "# nothing beyond Python itself\n"}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{
		{"git", "init", "-q"}, {"git", "add", "-A"},
		{"git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "trivial steps"},
		{m.bin, "push"},
	} {
		if _, err := m.out(ctx, dir, args...); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// python is the interpreter of the environment that was made first.
func (m *machine) python() (string, error) {
	found, err := filepath.Glob(filepath.Join(m.state(), "python", "envs", "*", "bin", "python"))
	if err != nil || len(found) == 0 {
		return "", errors.New("no environment was made")
	}
	for _, path := range found {
		if some, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "..", "lib", "python*", "site-packages", "sklearn")); len(some) > 0 {
			return path, nil
		}
	}
	return found[0], nil
}

// time runs a command and returns its wall time in seconds.
func (m *machine) time(ctx context.Context, dir string, env []string, args ...string) (float64, error) {
	cmd := m.command(ctx, dir, args...)
	cmd.Env = append(cmd.Env, env...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	started := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, text.String())
	}
	return time.Since(started).Seconds(), nil
}

func (m *machine) out(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := m.command(ctx, dir, args...)
	var text, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, problem.String())
	}
	return text.String(), nil
}

func (m *machine) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RIDGELINE_DIR="+m.state())
	return cmd
}

// report spells the table.
func report(rows []row) error {
	var s strings.Builder
	fmt.Fprintf(&s, "| what | tool | median | p99 | to bare |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		p99, ratio := "", ""
		if r.P99 > 0 {
			p99 = fmt.Sprintf("%.4f s", r.P99)
		}
		if r.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f ×", r.Ratio)
		}
		fmt.Fprintf(&s, "| %s | %s | %.4f s | %s | %s |\n", r.What, r.Tool, r.Seconds, p99, ratio)
	}
	return bench.Report("loop", rows, s.String())
}
