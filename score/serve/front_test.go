package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// logBuffer takes logs from several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func config(t *testing.T, script string) (Config, *logBuffer) {
	t.Helper()
	app := t.TempDir()
	if err := os.WriteFile(filepath.Join(app, "score.py"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	return Config{
		Config: score.Config{
			Worker: worker.Config{Package: "../../python", App: app, Script: "score.py", Log: log},
			Log:    slog.New(slog.NewTextHandler(log, nil)),
		},
	}, log
}

// serving is a front that answers on a loopback port.
type serving struct {
	*score.Front
	url string
	log *logBuffer
}

func serve(t *testing.T, script string, change ...func(*Config)) serving {
	t.Helper()
	c, log := config(t, script)
	for _, f := range change {
		f(&c)
	}
	front := score.New(c.Config)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- front.Run(ctx) }()
	server := httptest.NewServer(Handler(front, c))
	t.Cleanup(func() {
		server.Close()
		cancel()
		<-ended
	})
	s := serving{front, server.URL, log}
	s.await(t, func() bool { n, _ := front.Ready(); return n == max(1, c.Workers) })
	return s
}

func (s serving) await(t *testing.T, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen within 20 s\n%s", s.log)
		}
	}
}

type reply struct {
	status int
	body   string
	header http.Header
}

func (s serving) do(t *testing.T, method, path, body string, header ...string) reply {
	t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, string(text), resp.Header}
}

func (r reply) message(t *testing.T) string {
	t.Helper()
	var m struct{ Message string }
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("%d %q: %v", r.status, r.body, err)
	}
	return m.Message
}

const echo = "def init(): pass\ndef run(raw_data): return raw_data\n"

func TestScore_concurrently(t *testing.T) {
	s := serve(t, echo, func(c *Config) { c.Workers = 2 })
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			body := fmt.Sprintf("n%d", n)
			if r := s.do(t, "POST", "/score", body); r.status != 200 || r.body != `"`+body+`"` {
				t.Errorf("sent %s, got %d %s", body, r.status, r.body)
			}
		})
	}
	wg.Wait()
}

func TestScore_hang(t *testing.T) {
	t.Parallel()
	s := serve(t, `
import time
def init(): pass
def run(raw_data):
    while raw_data == "hang": time.sleep(1)
    return raw_data
`, func(c *Config) { c.Timeout = 4 * time.Second })
	first := s.do(t, "POST", "/score", "hang")
	if first.status != 500 || first.message(t) != "Scoring timeout after 4000 ms" || first.header.Get("x-ms-run-function-failed") != "True" || first.header.Get("x-ms-run-fn-exec-ms") != "" {
		t.Errorf("got %+v", first)
	}
	// The next one waits for the worker's successor rather than failing.
	if r := s.do(t, "POST", "/score", "well"); r.status != 200 || r.body != `"well"` {
		t.Errorf("afterwards: %+v\n%s", r, s.log)
	}
	if !strings.Contains(s.log.String(), "in run") {
		t.Errorf("the stack of the hanging run is not in the log:\n%s", s.log)
	}
}

func TestScore_death(t *testing.T) {
	t.Parallel()
	s := serve(t, `
import os
def init(): pass
def run(raw_data):
    if raw_data == "die": os._exit(9)
    if raw_data == "pid": return str(os.getpid())
    return raw_data
`)
	var wg sync.WaitGroup
	for n := range 20 { // innocent ones around it are all answered
		wg.Go(func() {
			body := fmt.Sprintf("n%d", n)
			if r := s.do(t, "POST", "/score", body); r.status != 200 || r.body != `"`+body+`"` {
				t.Errorf("sent %s, got %+v", body, r)
			}
		})
	}
	if r := s.do(t, "POST", "/score", "die"); r.status != 500 || !strings.Contains(r.message(t), "worker process ended") || r.header.Get("x-ms-run-function-failed") != "True" {
		t.Errorf("got %+v", r)
	}
	wg.Wait()
	s.await(t, func() bool { n, _ := s.Ready(); return n == 1 })
	if r := s.do(t, "POST", "/score", "again"); r.status != 200 {
		t.Errorf("afterwards: %+v", r)
	}
	if !strings.Contains(s.log.String(), "exit status 9") {
		t.Errorf("the log does not say how it ended:\n%s", s.log)
	}

	t.Run("a worker killed while idle fails nobody", func(t *testing.T) {
		for range 3 {
			pid, err := strconv.Atoi(strings.Trim(s.do(t, "POST", "/score", "pid").body, `"`))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			s.await(t, func() bool { n, _ := s.Ready(); return n == 0 })
			if r := s.do(t, "POST", "/score", "x"); r.status != 200 {
				t.Fatalf("got %+v\n%s", r, s.log)
			}
		}
	})
}

func TestScore_queue(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "open")
	s := serve(t, `
import os, time
def init(): pass
def run(raw_data):
    while not os.path.exists(raw_data): time.sleep(0.005)
    return 1
`, func(c *Config) { c.Queue = 2 })
	var wg sync.WaitGroup
	for n := range 3 { // one runs, two wait
		wg.Go(func() {
			if r := s.do(t, "POST", "/score", gate); r.status != 200 {
				t.Errorf("a request with room got %+v", r)
			}
		})
		s.await(t, func() bool { idle, waiting := s.Load(); return idle == 0 && waiting == n })
	}
	full := s.do(t, "POST", "/score", gate)
	if full.status != 503 || full.header.Get("Retry-After") != "1" || !strings.Contains(full.message(t), "2 requests wait") {
		t.Errorf("a request beyond the queue got %+v", full)
	}
	if _, n := s.Load(); n != 2 {
		t.Errorf("%d wait, want 2", n)
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

func TestReady(t *testing.T) {
	t.Parallel()
	t.Run("only once init has returned", func(t *testing.T) {
		gate := filepath.Join(t.TempDir(), "open")
		c, _ := config(t, fmt.Sprintf("import os, time\ndef init():\n    while not os.path.exists(%q): time.sleep(0.005)\ndef run(x): return 1\n", gate))
		f := score.New(c.Config)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		ask := func() (int, string) {
			w := httptest.NewRecorder()
			Handler(f, c).ServeHTTP(w, httptest.NewRequest("GET", "/healthz/ready", nil))
			return w.Code, w.Body.String()
		}
		if status, body := ask(); status != 503 || !strings.Contains(body, "init() of the scoring script has not returned") {
			t.Errorf("before: %d %s", status, body)
		}
		if err := os.WriteFile(gate, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		serving{Front: f, log: &logBuffer{}}.await(t, func() bool { status, _ := ask(); return status == 200 })
		f.Drain()
		if status, body := ask(); status != 503 || !strings.Contains(body, "draining") {
			t.Errorf("draining: %d %s", status, body)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	t.Run("a failed init is told with its traceback, and ends Run", func(t *testing.T) {
		c, _ := config(t, "def init():\n    raise ValueError('no model')\ndef run(x): pass\n")
		f := score.New(c.Config)
		err := f.Run(context.Background())
		var start *worker.StartError
		if !errors.As(err, &start) || start.Stage != "init" {
			t.Fatalf("Run ended with %v", err)
		}
		w := httptest.NewRecorder()
		Handler(f, c).ServeHTTP(w, httptest.NewRequest("GET", "/healthz/ready", nil))
		if w.Code != 503 || !strings.Contains(w.Body.String(), "ValueError: no model") || !strings.Contains(w.Body.String(), "line 2, in init") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		after := httptest.NewRecorder()
		Handler(f, c).ServeHTTP(after, httptest.NewRequest("POST", "/score", nil))
		if after.Code != 503 {
			t.Errorf("a request after the end got %d", after.Code)
		}
	})
}

// A script whose requests are joined: each caller gets his own rows' answer,
// also where a group is answered frame by frame while its first callers are
// already gone.
func TestScore_joined(t *testing.T) {
	t.Setenv("RIDGELINE_BATCH", "true") // the worker's to read
	s := serve(t, `
import json, time
calls = 0
def init(): pass
def run(raw_data):
    global calls
    data = json.loads(raw_data)["data"]
    if data == ["calls"]: return calls
    calls += 1
    time.sleep(0.001)
    return {"result": [2 * row[0] for row in data]}
`)
	var wg sync.WaitGroup
	for c := range 32 {
		wg.Go(func() {
			for n := range 30 {
				row := c*1000 + n
				if r := s.do(t, "POST", "/score", fmt.Sprintf(`{"data": [[%d]]}`, row)); r.status != 200 || r.body != fmt.Sprintf(`{"result": [%d]}`, 2*row) {
					t.Errorf("sent %d, got %d %s", row, r.status, r.body)
				}
			}
		})
	}
	wg.Wait()
	r := s.do(t, "POST", "/score", `{"data": ["calls"]}`)
	if calls, err := strconv.Atoi(r.body); err != nil || calls > 480 {
		t.Errorf("run() was called %s times for 960 requests, %v", r.body, err)
	}
}
