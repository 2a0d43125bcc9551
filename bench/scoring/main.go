// Command scoring measures Ridgeline's scorer against what else answers for a
// model: azureml-inference-server-http, MLServer, FastAPI, BentoML and MLflow
// with the same ridge model, and a Go handler that only echoes. It writes
// bench/results/scoring.json and its part of docs/benchmarks.md.
//
// All servers run at once and are loaded in turn, round after round, by wrk on
// the same machine. Before each load different rows are sent over as many
// connections, and each answer has to be its own row's prediction.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/bench"
)

type options struct {
	seconds, rounds   int
	connections, rows []int
	only              *regexp.Regexp
	idle              int
	gateway           bool
}

func main() {
	o := options{}
	flag.IntVar(&o.seconds, "seconds", 4, "of load for each measurement")
	flag.IntVar(&o.rounds, "rounds", 5, "repeat each measurement so often; medians are reported")
	connections := flag.String("connections", "1,8,32,128", "how many at once")
	rows := flag.String("rows", "1,100", "rows of a request")
	only := flag.String("only", "", "a regular expression: only servers whose name it fits, and no report in docs")
	flag.IntVar(&o.idle, "idle", 10_000, "idle connections of which the scorer's memory is measured; 0: none")
	flag.BoolVar(&o.gateway, "gateway", true, "also through the gateway of a Ridgeline server")
	port := flag.String("echo", "", "be the echo server on this port, instead")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *port != "" {
		fmt.Fprintln(os.Stderr, echo(*port))
		os.Exit(1)
	}
	if o.connections, err = numbers(*connections); err == nil {
		o.rows, err = numbers(*rows)
	}
	if err == nil {
		o.only, err = regexp.Compile(*only)
	}
	if err == nil {
		err = measure(ctx, o, *only != "")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-scoring:", err)
		os.Exit(1)
	}
}

func numbers(list string) ([]int, error) {
	var out []int
	for one := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: expected whole numbers from 1, with commas between", list)
		}
		out = append(out, n)
	}
	return out, nil
}

// row is one figure of bench/results/scoring.json.
type row struct {
	What        string  `json:"what"` // requests, memory
	Server      string  `json:"server"`
	Version     string  `json:"version"`
	Connections int     `json:"connections"`
	Rows        int     `json:"rows,omitempty"`
	PerSecond   float64 `json:"requests_per_second,omitempty"`
	P50         float64 `json:"p50_ms,omitempty"`
	P99         float64 `json:"p99_ms,omitempty"`
	CPU         float64 `json:"cpu_us_per_request,omitempty"` // of all the server's processes
	Memory      float64 `json:"memory_mb,omitempty"`          // proportional share, of all the server's processes
	Errors      int     `json:"errors"`
	Rounds      int     `json:"rounds,omitempty"`
}

func measure(ctx context.Context, o options, partial bool) error {
	for _, tool := range []string{"wrk", "uv"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not on PATH; wrk is a Debian package, uv comes from PyPI: %w", tool, err)
		}
	}
	dir, err := os.MkdirTemp("", "ridgeline-bench-scoring-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, err := prepare(ctx, dir, o.rows)
	if err != nil {
		return err
	}
	sides := slices.DeleteFunc(p.sides(), func(s *side) bool { return !o.only.MatchString(s.name) })
	for _, s := range sides {
		if err := s.start(ctx, dir); err != nil {
			return err
		}
		defer s.stop()
	}
	if o.gateway && o.only.MatchString(gatewayName) {
		s, stop, err := p.gateway(ctx)
		if err != nil {
			return err
		}
		defer stop()
		sides = append(sides, s)
	}
	var table []row
	for _, rows := range o.rows {
		for _, connections := range o.connections {
			got, err := loaded(ctx, o, p, sides, connections, rows)
			if err != nil {
				return err
			}
			table = append(table, got...)
		}
	}
	for _, s := range sides {
		table = append(table, row{What: "memory", Server: s.name, Version: s.version, Memory: memory(s.pid())})
	}
	idle, err := p.idle(ctx, o)
	if err != nil {
		return err
	}
	table = append(table, idle...)
	if partial {
		fmt.Print(spell(table))
		return nil
	}
	return bench.Report("scoring", table, spell(table))
}

// loaded measures all sides in turn, round after round.
func loaded(ctx context.Context, o options, p *parts, sides []*side, connections, rows int) ([]row, error) {
	type figures struct {
		perSecond, p50, p99, cpu []float64
		errors                   int
	}
	got := make([]figures, len(sides))
	for range o.rounds {
		for i, s := range sides {
			wrong, err := check(ctx, s, p.truth, connections, rows)
			if err != nil {
				return nil, err
			}
			before := cpu(s.pid())
			w, err := wrk(ctx, s, p.bodies[s.dialect][rows], connections, o.seconds)
			if err != nil {
				return nil, err
			}
			f := &got[i]
			f.errors += wrong + w.Errors
			f.perSecond = append(f.perSecond, float64(w.Requests)/(float64(w.Microseconds)/1e6))
			f.p50, f.p99 = append(f.p50, w.P50/1e3), append(f.p99, w.P99/1e3)
			f.cpu = append(f.cpu, (cpu(s.pid())-before)*1e6/max(float64(w.Requests), 1))
			fmt.Fprintf(os.Stderr, "%-48s %3d rows %3d connections %9.0f req/s  p99 %8.2f ms  %6.0f µs CPU  %d errors\n",
				s.name, rows, connections, f.perSecond[len(f.perSecond)-1], w.P99/1e3, f.cpu[len(f.cpu)-1], wrong+w.Errors)
		}
	}
	var out []row
	for i, s := range sides {
		f := got[i]
		out = append(out, row{What: "requests", Server: s.name, Version: s.version, Connections: connections, Rows: rows, Rounds: o.rounds,
			PerSecond: round(bench.Median(f.perSecond), 0), P50: round(bench.Median(f.p50), 3), P99: round(bench.Median(f.p99), 3),
			CPU: round(bench.Median(f.cpu), 1), Errors: f.errors})
	}
	return out, nil
}

func round(v float64, digits int) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'f', digits, 64), 64)
	return v
}

// load is what load.lua says at its end; latencies in microseconds.
type load struct {
	Requests     int
	Microseconds int64
	Errors       int
	P50, P99     float64
}

// wrk uses one thread: it is far from busy, and the servers need the cores.
func wrk(ctx context.Context, s *side, body string, connections, seconds int) (load, error) {
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+strconv.Itoa(seconds)+"s", "--timeout", "10s",
		"-s", "bench/scoring/load.lua", s.url())
	cmd.Env = append(os.Environ(), "BENCH_BODY="+body)
	if s.key != "" {
		cmd.Env = append(cmd.Env, "BENCH_KEY="+s.key)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk against %s: %w\n%s", s.name, err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var l load
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &l); err != nil {
		return load{}, fmt.Errorf("wrk against %s said %s: %w", s.name, out, err)
	}
	return l, nil
}

// spell makes the tables: figures of one row of input and of a hundred, then
// memory.
func spell(table []row) string {
	var s strings.Builder
	type shape struct{ connections, rows int }
	var shapes []shape
	var servers []string
	version := map[string]string{}
	at := map[string]map[shape]row{}
	for _, r := range table {
		if r.What != "requests" {
			continue
		}
		one := shape{r.Connections, r.Rows}
		if !slices.Contains(shapes, one) {
			shapes = append(shapes, one)
		}
		if at[r.Server] == nil {
			servers = append(servers, r.Server)
			at[r.Server], version[r.Server] = map[shape]row{}, r.Version
		}
		at[r.Server][one] = r
	}
	var sizes []int
	for _, one := range shapes {
		if !slices.Contains(sizes, one.rows) {
			sizes = append(sizes, one.rows)
		}
	}
	for _, rows := range sizes {
		fmt.Fprintf(&s, "Requests of %d row(s): requests per second, p50 / p99 in ms\n\n| server |", rows)
		columns := slices.DeleteFunc(slices.Clone(shapes), func(one shape) bool { return one.rows != rows })
		for _, one := range columns {
			fmt.Fprintf(&s, " %d connection(s) |", one.connections)
		}
		fmt.Fprintf(&s, " CPU per request | errors |\n|---|%s---|---|\n", strings.Repeat("---|", len(columns)))
		for _, name := range servers {
			fmt.Fprintf(&s, "| %s %s |", name, short(version[name]))
			errors := 0
			var last row
			for _, one := range columns {
				last = at[name][one]
				errors += last.Errors
				fmt.Fprintf(&s, " %.0f · %.2f / %.2f |", last.PerSecond, last.P50, last.P99)
			}
			fmt.Fprintf(&s, " %.0f µs | %d |\n", last.CPU, errors)
		}
		s.WriteString("\n")
	}
	s.WriteString("| memory of | connections | MB |\n|---|---|---|\n")
	for _, r := range table {
		if r.What == "memory" {
			fmt.Fprintf(&s, "| %s %s | %d | %.1f |\n", r.Server, short(r.Version), r.Connections, r.Memory)
		}
	}
	return s.String()
}

func short(version string) string {
	first, _, _ := strings.Cut(version, " ")
	return first
}

// prepared paths are relative to the repository's root, where make runs this.
func here(file string) string {
	path, err := filepath.Abs(filepath.Join("bench/scoring", file))
	if err != nil {
		panic(err) // only without a working folder
	}
	return path
}

// patience is how long a server may take to answer for the first time.
const patience = 2 * time.Minute
