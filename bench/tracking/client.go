package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline/bench"
)

// A server is one of those compared.
type server struct {
	name, version string
	many          bool // quick enough for 100,000 runs
	health        string
	env           []string
	command       func(folder, port string) []string
}

// servers are those that are compared, and the Python that has MLflow's client.
func servers(ctx context.Context) (all []server, python string, err error) {
	mlflow, err := bench.Environment(ctx, "tracking-mlflow", "mlflow=="+mlflowVersion)
	if err != nil {
		return nil, "", err
	}
	fast, err := bench.Environment(ctx, "tracking-fasttrackml", "fasttrackml=="+fastmlVersion)
	if err != nil {
		return nil, "", err
	}
	bin, err := filepath.Abs("bin/ridgeline")
	if err != nil {
		return nil, "", err
	}
	all = []server{
		{"Ridgeline", "this", true, "/health", []string{"RIDGELINE_ADMIN_TOKEN=" + bearer}, func(folder, port string) []string {
			return []string{bin, "up", "--dir", folder, "--listen", "127.0.0.1:" + port}
		}},
		{"FastTrackML", fastmlVersion, true, "/health", nil, func(folder, port string) []string {
			return []string{filepath.Join(filepath.Dir(fast), "fml"), "server", "-d", "sqlite://" + folder + "/f.db", "-a", "127.0.0.1:" + port, "--default-artifact-root", folder, "-l", "error"}
		}},
	}
	for _, workers := range []string{"1", "4"} {
		all = append(all, server{"MLflow, " + workers + " workers", mlflowVersion, false, "/health", []string{"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"}, func(folder, port string) []string {
			return []string{mlflow, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///" + folder + "/m.db", "--artifacts-destination", folder, "--host", "127.0.0.1", "--port", port, "--workers", workers}
		}})
	}
	return all, mlflow, nil
}

// A client asks one running server.
type client struct {
	url  string
	cmd  *exec.Cmd
	http *http.Client

	answered time.Duration // from its start to its first answer
}

func (s server) start(ctx context.Context, folder string) (*client, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	command := s.command(folder, port)
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &client{url: "http://127.0.0.1:" + port, cmd: exec.CommandContext(ctx, command[0], command[1:]...), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}}
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = folder, log, log
	c.cmd.Env = append(os.Environ(), append(s.env, "PATH="+filepath.Dir(command[0])+":"+os.Getenv("PATH"))...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if r, err := http.Get(c.url + s.health); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				c.answered = time.Since(began)
				return c, nil
			}
		}
	}
	text, _ := os.ReadFile(log.Name())
	c.stop()
	return nil, fmt.Errorf("it does not answer: %s", text)
}

func (c *client) stop() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	_ = c.cmd.Wait()
}

// ticks are of the clock that /proc counts processor time by, in a second.
const ticks = 100

// idle leaves the server alone for so long, and says what it took meanwhile.
func (c *client) idle(lasts time.Duration) row {
	_, before := c.holds()
	time.Sleep(lasts)
	memory, after := c.holds()
	return row{What: "idle", Seconds: c.answered.Seconds(), MemoryMB: memory, CPUPercent: 100 * (after - before) / lasts.Seconds()}
}

// holds is what the server's processes hold, in MB (proportional sets, so that
// what they share counts once), and the processor time that they have taken, in
// seconds.
func (c *client) holds() (memory, cpu float64) {
	var kb float64
	groups, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range groups {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 3 || fields[2] != strconv.Itoa(c.cmd.Process.Pid) {
			continue
		}
		if len(fields) > 12 { // utime and stime are fields 14 and 15 of stat, counted with the two cut off
			user, _ := strconv.ParseFloat(fields[11], 64)
			system, _ := strconv.ParseFloat(fields[12], 64)
			cpu += (user + system) / ticks
		}
		smaps, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "smaps_rollup"))
		for line := range strings.Lines(string(smaps)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				n, _ := strconv.ParseFloat(f[1], 64)
				kb += n
			}
		}
	}
	return kb / 1024, cpu
}

func (c *client) ask(ctx context.Context, method, path, body string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+"/api/2.0/mlflow/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", "application/json")
	w, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err == nil && w.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %.300s", path, w.StatusCode, text)
	}
	return text, err
}

// runs makes runs and returns their ids.
func (c *client) runs(ctx context.Context, experiment string, n int) ([]string, error) {
	ids := make([]string, n)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for i := client; i < n && errs[client] == nil; i += clients {
				ids[i], errs[client] = c.run(ctx, experiment, i)
			}
		})
	}
	wg.Wait()
	return ids, errors.Join(errs...)
}

func (c *client) run(ctx context.Context, experiment string, i int) (string, error) {
	text, err := c.insist(ctx, "runs/create", fmt.Sprintf(`{"experiment_id": %q, "start_time": %d, "tags": [{"key": "team", "value": "%d"}]}`, experiment, 1_700_000_000_000+i, i%7))
	if err != nil {
		return "", err
	}
	var answer struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	return answer.Run.Info.ID, errors.Join(json.Unmarshal(text, &answer))
}

// insist sends what fills a store again when the server fails under it, as
// MLflow's server with SQLite does when twenty clients write at once.
func (c *client) insist(ctx context.Context, path, body string) (text []byte, err error) {
	for range 10 {
		if text, err = c.ask(ctx, "POST", path, body); err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(time.Second)
	}
	return text, err
}

// storm has all clients send requests for so long.
func (c *client) storm(ctx context.Context, what string, lasts time.Duration, request func(client, i int) (path, body string)) row {
	var failed atomic.Int64
	took := make([][]float64, clients)
	var wg sync.WaitGroup
	started := time.Now()
	for client := range clients {
		wg.Go(func() {
			for i := 0; time.Since(started) < lasts && ctx.Err() == nil; i++ {
				path, body := request(client, i)
				begin := time.Now()
				if _, err := c.ask(ctx, "POST", path, body); err != nil {
					failed.Add(1)
					continue
				}
				took[client] = append(took[client], float64(time.Since(begin).Microseconds())/1000)
			}
		})
	}
	wg.Wait()
	seconds := time.Since(started).Seconds()
	var all []float64
	for _, t := range took {
		all = append(all, t...)
	}
	return row{What: what, Connections: clients, RequestsPerSecond: float64(len(all)) / seconds, P50: bench.Median(all), P95: bench.Quantile(all, 0.95), Failed: failed.Load()}
}

// searches fills an experiment with so many runs and searches it.
// One that is slow searches among as many as it takes within the time given.
func (c *client) searches(ctx context.Context, n int, within time.Duration) ([]row, error) {
	began := time.Now()
	text, err := c.ask(ctx, "POST", "experiments/create", fmt.Sprintf(`{"name": "searched %d"}`, n))
	if err != nil {
		return nil, err
	}
	var made struct {
		ID string `json:"experiment_id"`
	}
	if err := json.Unmarshal(text, &made); err != nil {
		return nil, err
	}
	errs := make([]error, clients)
	var filled atomic.Int64
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 1))
			for i := client; i < n && errs[client] == nil && time.Since(began) < within; i += clients {
				var id string
				if id, errs[client] = c.run(ctx, made.ID, i); errs[client] != nil {
					return
				}
				filled.Add(1)
				_, errs[client] = c.insist(ctx, "runs/log-batch", fmt.Sprintf(`{"run_id": %q, "metrics": [{"key": "accuracy", "value": %g, "timestamp": 1}, {"key": "loss", "value": %g, "timestamp": 1}],
					"params": [{"key": "depth", "value": "%d"}, {"key": "rate", "value": "%g"}]}`, id, random.Float64(), random.Float64(), random.IntN(20), random.Float64()))
				if errs[client] == nil {
					_, errs[client] = c.insist(ctx, "runs/update", fmt.Sprintf(`{"run_id": %q, "status": "FINISHED", "end_time": 1800000000000}`, id))
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var rows []row
	for _, s := range []struct{ what, body string }{
		{"search: the latest", ``},
		{"search: metrics.accuracy > 0.99", `, "filter": "metrics.accuracy > 0.99"`},
		{"search: params.depth = '7' and metrics.loss < 0.5", `, "filter": "params.depth = '7' and metrics.loss < 0.5"`},
		{"search: order by metrics.accuracy", `, "order_by": ["metrics.accuracy DESC"]`},
	} {
		r, err := c.repeat(ctx, s.what, "POST", "runs/search", fmt.Sprintf(`{"experiment_ids": [%q], "max_results": 100%s}`, made.ID, s.body))
		if err != nil {
			return nil, err
		}
		r.Runs = int(filled.Load())
		rows = append(rows, r)
	}
	return rows, nil
}

// repeat asks the same often, one request at a time.
func (c *client) repeat(ctx context.Context, what, method, path, body string) (row, error) {
	var took []float64
	for started := time.Now(); len(took) < 5 || len(took) < 100 && time.Since(started) < 5*time.Second; {
		begin := time.Now()
		if _, err := c.ask(ctx, method, path, body); err != nil {
			return row{}, err
		}
		took = append(took, float64(time.Since(begin).Microseconds())/1000)
	}
	return row{What: what, Connections: 1, P50: bench.Median(took), P95: bench.Quantile(took, 0.95)}, nil
}

// script is one training script that logs a metric at a time, with MLflow's own
// client; it prints how many milliseconds each took.
const script = `
import time, mlflow
with mlflow.start_run():
    mlflow.log_metric("warm", 1.0)
    for step in range(300):
        began = time.perf_counter()
        mlflow.log_metric("loss", 1 / (1 + step), step=step)
        print((time.perf_counter() - began) * 1000)
`

// fromPython lets MLflow's client log by the script.
func (c *client) fromPython(ctx context.Context, python string) (row, error) {
	cmd := exec.CommandContext(ctx, python, "-c", script)
	cmd.Env = append(os.Environ(), "MLFLOW_TRACKING_URI="+c.url, "MLFLOW_TRACKING_TOKEN="+bearer, "GIT_PYTHON_REFRESH=quiet")
	text, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return row{}, fmt.Errorf("log from Python: %w", err)
	}
	var took []float64
	for line := range strings.Lines(string(text)) {
		if ms, err := strconv.ParseFloat(strings.TrimSpace(line), 64); err == nil { // others are what MLflow prints
			took = append(took, ms)
		}
	}
	return row{What: "mlflow.log_metric in Python", Connections: 1, P50: bench.Median(took), P95: bench.Quantile(took, 0.95)}, nil
}

// history logs a long one and reads it. One that is slow reads what it took
// within the time given.
func (c *client) history(ctx context.Context, points int, within time.Duration) (row, error) {
	began := time.Now()
	id, err := c.run(ctx, "0", 0)
	if err != nil {
		return row{}, err
	}
	step := 0
	for step < points && time.Since(began) < within {
		var b strings.Builder
		fmt.Fprintf(&b, `{"run_id": %q, "metrics": [`, id)
		for i := range 500 {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, `{"key": "h", "value": %g, "timestamp": %d, "step": %d}`, 1/float64(1+step), step+1, step)
			step++
		}
		if _, err := c.ask(ctx, "POST", "runs/log-batch", b.String()+"]}"); err != nil {
			return row{}, err
		}
	}
	r, err := c.repeat(ctx, "history", "GET", "metrics/get-history?metric_key=h&run_id="+id, "")
	r.Points = step
	return r, err
}
