package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

func waitReady(t *testing.T, base string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r, err := http.Get(base + "/healthz/ready")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == 200 {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s not ready within 20 s: %v", base, err)
		}
	}
}

// Clients that behave as a router does (a new connection goes to a copy that
// is ready; an open one is used until it is told to close) lose no request.
func TestServe_drain(t *testing.T) {
	t.Parallel()
	type copyOf struct {
		base string
		stop func()
		done chan error
	}
	start := func() *copyOf {
		c, _ := config(t, "import time\ndef init(): pass\ndef run(raw_data):\n    time.sleep(0.002); return raw_data\n")
		c.DrainDelay = 300 * time.Millisecond
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		s := &copyOf{"http://" + l.Addr().String(), cancel, make(chan error, 1)}
		go func() { s.done <- serveOn(ctx, c, l) }()
		waitReady(t, s.base)
		return s
	}
	old, next := start(), start()
	var live atomic.Pointer[copyOf]
	live.Store(old)
	var sent, failed, onNext atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			transport := &http.Transport{MaxIdleConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
			to := live.Load()
			for {
				select {
				case <-stop:
					return
				default:
				}
				sent.Add(1)
				r, err := client.Post(to.base+"/score", "application/json", strings.NewReader("7"))
				if err != nil {
					failed.Add(1)
					t.Errorf("after %d: %v", sent.Load(), err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || r.StatusCode != 200 || string(body) != `"7"` {
					failed.Add(1)
					t.Errorf("got %d %s, %v", r.StatusCode, body, err)
				}
				if r.Close { // told to go
					to = live.Load()
				}
				if to == next {
					onNext.Add(1)
				}
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); sent.Load() < 200 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	old.stop()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the router sees it
		r, err := http.Get(old.base + "/healthz/ready")
		if err != nil {
			t.Fatalf("the probe after the signal: %v", err)
		}
		r.Body.Close()
		if r.StatusCode == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("still ready after the signal")
		}
	}
	live.Store(next)
	if err := <-old.done; err != nil {
		t.Errorf("the old copy ended with %v", err)
	}
	n := onNext.Load()
	for deadline := time.Now().Add(10 * time.Second); onNext.Load() < n+50 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	close(stop)
	clients.Wait()
	next.stop()
	<-next.done
	if failed.Load() != 0 || onNext.Load() < 50 {
		t.Errorf("%d of %d failed, %d went to the next copy", failed.Load(), sent.Load(), onNext.Load())
	}
}

func TestServe_request_under_way_is_answered(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "open")
	c, log := config(t, "import os, time\ndef init(): pass\ndef run(raw_data):\n    print('running')\n    while not os.path.exists(raw_data): time.sleep(0.005)\n    return 1\n")
	c.DrainDelay = 10 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveOn(ctx, c, l) }()
	waitReady(t, base)
	status := make(chan int, 1)
	go func() {
		r, err := http.Post(base+"/score", "text/plain", strings.NewReader(gate))
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		r.Body.Close()
		status <- r.StatusCode
	}()
	s := serving{log: log}
	s.await(t, func() bool { return strings.Contains(log.String(), "running") })
	cancel()
	s.await(t, func() bool { // the listener is gone
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := <-status; got != 200 {
		t.Errorf("the request under way got %d", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
}

func TestServe_init_fails(t *testing.T) {
	t.Parallel()
	c, log := config(t, "def init():\n    raise ValueError('no model')\ndef run(x): pass\n")
	c.Listen = "127.0.0.1:0"
	var start *worker.StartError
	if err := Run(context.Background(), c); !errors.As(err, &start) || !strings.Contains(log.String(), "ValueError: no model") {
		t.Errorf("got %v\n%s", err, log)
	}
}

func TestListen(t *testing.T) {
	dir, err := os.MkdirTemp("", "s") // short: t.TempDir may exceed what a socket's path holds
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "scorer.sock")
	first, err := Listen("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v; want mode 0600", info, err)
	}
	if _, err := Listen("unix://" + path); ridgeline.CodeOf(err) != ridgeline.Conflict {
		t.Errorf("a second listener beside one that answers: %v, want Conflict", err)
	}
	// A process that died left its socket behind.
	first.(*unixListener).Listener.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the stale socket is gone already: %v", err)
	}
	second, err := Listen("unix://" + path)
	if err != nil {
		t.Fatalf("in place of a stale socket: %v", err)
	}
	first.Close() // must not take the successor's socket away
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the successor does not answer: %v", err)
	}
	conn.Close()
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix://" + path); ridgeline.CodeOf(err) != ridgeline.Conflict {
		t.Errorf("in place of a file: %v, want Conflict", err)
	}
	for _, bad := range []string{"unix://relative", "unix://" + path + strings.Repeat("x", 100), "8080", "host:port", ":70000"} {
		if _, err := Listen(bad); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s: %v, want Invalid", bad, err)
		}
	}
}

func TestConfigFromEnv(t *testing.T) {
	dir := t.TempDir()
	vars := map[string]string{"RIDGELINE_APP": "/a", "RIDGELINE_SCORE": "src/s.py", "AZUREML_MODEL_DIR": dir, "RIDGELINE_WORKERS": "3", "SCORING_TIMEOUT_MS": "1500", "AML_CORS_ORIGINS": "https://a, https://b"}
	get := func(name string) string { return vars[name] }
	c, err := ConfigFromEnv(get, "1.2")
	if err != nil {
		t.Fatal(err)
	}
	if c.Worker.App != "/a" || c.Worker.Script != "src/s.py" || c.Worker.ModelDir != dir || c.Workers != 3 || c.RunTimeout != 1500*time.Millisecond || c.Timeout != time.Minute || len(c.CORSOrigins) != 2 || c.CORSOrigins[1] != "https://b" || c.Version != "ridgeline/1.2" {
		t.Errorf("got %+v", c)
	}
	vars = map[string]string{"RIDGELINE_WORKERS": "0", "SCORING_TIMEOUT_MS": "soon", "RIDGELINE_LISTEN": "nowhere", "AZUREML_MODEL_DIR": dir + "/no", "RIDGELINE_LOG_REQUESTS": "maybe"}
	_, err = ConfigFromEnv(get, "")
	if ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Fatalf("got %v, want Invalid", err)
	}
	for name := range vars {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	script := `
import os
def init(): pass
def run(raw_data):
    if raw_data == '"raise"': raise ValueError("row 3")
    if raw_data == '"die"': os._exit(9)
    return {"got": raw_data}
`
	t.Run("a line for every request, in order", func(t *testing.T) {
		c, _ := config(t, script)
		in := "1\n[2]\n\"raise\"\n\n\"die\"\n{\"data\": \"" + strings.Repeat("x", 200_000) + "\"}\n6"
		var out bytes.Buffer
		summary, err := Batch(context.Background(), c, "/score", strings.NewReader(in), &out, 25)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		var got []BatchAnswer
		for _, line := range lines {
			var a BatchAnswer
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			got = append(got, a)
		}
		if len(got) != 6 || string(got[0].Body) != `{"got":"1"}` || string(got[1].Body) != `{"got":"[2]"}` || got[0].MS <= 0 {
			t.Fatalf("got %d lines: %.300s", len(got), out.String())
		}
		if got[2].Status != 500 || got[2].Error != "ValueError: row 3" || got[3].Status != 500 || !strings.Contains(got[3].Error, "exit status 9") {
			t.Errorf("failures: %+v, %+v", got[2], got[3])
		}
		if len(got[4].Body) < 200_000 || string(got[5].Body) != `{"got":"6"}` {
			t.Errorf("after the failures: %.100s, %s", got[4].Body, got[5].Body)
		}
		if summary.Requests != 6 || summary.Failed != 2 || summary.Latency.Samples != 25 || summary.Latency.P50 <= 0 || summary.Latency.P99 < summary.Latency.P50 {
			t.Errorf("summary %+v", summary)
		}
	})
	t.Run("a failed init is a StartError, also without requests", func(t *testing.T) {
		c, _ := config(t, "def init():\n    raise ValueError('no model')\ndef run(x): pass\n")
		var start *worker.StartError
		if _, err := Batch(context.Background(), c, "/score", strings.NewReader(""), io.Discard, 0); !errors.As(err, &start) || start.Stage != "init" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a script that kills every worker ends it", func(t *testing.T) {
		c, _ := config(t, script)
		_, err := Batch(context.Background(), c, "/score", strings.NewReader(strings.Repeat("\"die\"\n", 50)), io.Discard, 0)
		if err == nil || !strings.Contains(err.Error(), "times in a row") {
			t.Errorf("got %v", err)
		}
	})
}

func TestDistribution(t *testing.T) {
	var ms []float64
	for n := 100; n > 0; n-- {
		ms = append(ms, float64(n))
	}
	if got, want := distribution(ms), (Latency{100, 50.5, 50, 95, 99}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := distribution(nil); got != (Latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}
