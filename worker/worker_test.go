package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// logBuffer takes a worker's output; writes come from another goroutine.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
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
	return Config{Package: "../python", App: app, Script: "score.py", Log: log}, log
}

func start(t *testing.T, script string) (*Worker, *logBuffer) {
	t.Helper()
	c, log := config(t, script)
	w, err := Start(limit(t, 20*time.Second), c)
	if err != nil {
		t.Fatalf("start: %v\n%s", err, log)
	}
	t.Cleanup(w.Kill)
	return w, log
}

func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func post(t *testing.T, w *Worker, body string) (Response, error) {
	t.Helper()
	return w.Score(limit(t, 10*time.Second), Request{Method: "POST", Body: []byte(body)})
}

func TestStart(t *testing.T) {
	t.Run("says hello once init has returned", func(t *testing.T) {
		w, _ := start(t, "def init():\n    global x; x = 41\ndef run(raw_data):\n    return x + 1\n")
		if h := w.Hello(); h.PID != w.PID() || !strings.HasPrefix(h.Python, "3.") || h.Headers || h.Schema {
			t.Errorf("hello %+v from pid %d", h, w.PID())
		}
		r, err := post(t, w, "")
		if err != nil || string(r.Body) != "42" || r.Status != 200 || !r.Returned {
			t.Errorf("got %+v, %v", r, err)
		}
	})

	failures := []struct{ name, script, stage, message, detail string }{
		{"import fails", "import nosuchmodule\n", "import", "ModuleNotFoundError: No module named 'nosuchmodule'", "line 1"},
		{"syntax error", "def init(:\n", "import", "SyntaxError", "def init(:"},
		{"init raises", "def init():\n    raise ValueError('no model here')\ndef run(x): pass\n", "init", "ValueError: no model here", "line 2, in init"},
		{"init exits", "import sys\ndef init():\n    sys.exit(0)\ndef run(x): pass\n", "init", "SystemExit: 0", "in init"},
		{"no run", "def init(): pass\n", "import", "does not define a function run()", ""},
		{"star args", "def init(): pass\ndef run(*a): pass\n", "import", "run() cannot accept positional-only arguments, *args, or **kwargs.", ""},
		{"dies without a word", "import os\ndef init():\n    print('about to die'); os._exit(7)\ndef run(x): pass\n", "process", "exit status 7", "about to die"},
	}
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			c, log := config(t, f.script)
			_, err := Start(limit(t, 20*time.Second), c)
			var start *StartError
			if !errors.As(err, &start) {
				t.Fatalf("got %v, want a StartError", err)
			}
			if start.Stage != f.stage || !strings.Contains(start.Error(), f.message) {
				t.Errorf("stage %q, error %q; want %q, …%q…", start.Stage, start, f.stage, f.message)
			}
			detail := strings.Join(start.Detail(), "\n")
			if !strings.Contains(detail, f.detail) {
				t.Errorf("detail %q does not contain %q", detail, f.detail)
			}
			if strings.Contains(detail, "ridgeline_worker") {
				t.Errorf("detail shows the worker's own frames:\n%s", detail)
			}
			if !strings.Contains(log.String(), f.detail) {
				t.Errorf("log %q does not contain %q", log, f.detail)
			}
		})
	}

	t.Run("init that takes too long ends with where it was", func(t *testing.T) {
		c, _ := config(t, "import threading\ndef init():\n    threading.Event().wait()\ndef run(x): pass\n")
		_, err := Start(limit(t, 700*time.Millisecond), c)
		var start *StartError
		if !errors.As(err, &start) || start.Stage != "timeout" {
			t.Fatalf("got %v, want a timeout", err)
		}
		if detail := strings.Join(start.Detail(), "\n"); !strings.Contains(detail, "in init") {
			t.Errorf("detail %q does not show the stack", detail)
		}
	})
	for _, f := range []struct {
		name, want string
		change     func(*Config)
	}{
		{"no interpreter", "RIDGELINE_PYTHON", func(c *Config) { c.Python = "/no/such/python" }},
		{"no application", "RIDGELINE_APP", func(c *Config) { c.App = "/no/such/folder" }},
		{"no worker", "RIDGELINE_WORKER_PATH", func(c *Config) { c.Package = c.App }},
		{"no script", "there is no scoring script nope.py", func(c *Config) { c.Script = "nope.py" }},
	} {
		t.Run(f.name, func(t *testing.T) {
			c, _ := config(t, "")
			f.change(&c)
			_, err := Start(limit(t, 10*time.Second), c)
			if err == nil || !strings.Contains(err.Error(), f.want) {
				t.Errorf("got %v, want …%s…", err, f.want)
			}
		})
	}
}

func TestScore(t *testing.T) {
	t.Run("overlapping requests get their own answers", func(t *testing.T) {
		w, _ := start(t, "def init(): pass\ndef run(raw_data): return raw_data\n")
		var wg sync.WaitGroup
		for n := range 400 {
			wg.Go(func() {
				r, err := w.Score(context.Background(), Request{Body: fmt.Appendf(nil, "n%d", n)})
				if want := fmt.Sprintf(`"n%d"`, n); err != nil || string(r.Body) != want {
					t.Errorf("got %s, %v; want %s", r.Body, err, want)
				}
			})
		}
		wg.Wait()
	})

	t.Run("what the model prints disturbs nothing", func(t *testing.T) {
		w, log := start(t, `
import os, subprocess, sys
def init(): print("init speaks")
def run(raw_data):
    print("x" * 10_000_000)
    os.write(1, b"raw bytes \xff\x00\n"); os.write(2, b"err\n")
    subprocess.run([sys.executable, "-c", "print('child speaks')"], check=True)
    return {"ok": True}
`)
		for range 2 {
			r, err := post(t, w, "")
			if err != nil || string(r.Body) != `{"ok": true}` {
				t.Fatalf("got %s, %v", r.Body, err)
			}
		}
		w.Kill()
		if n := len(log.String()); n < 20_000_000 || !strings.Contains(log.String(), "child speaks") {
			t.Errorf("%d bytes of output, want all of it", n)
		}
	})

	t.Run("a script that raises or exits fails one request only", func(t *testing.T) {
		w, log := start(t, `
import sys
def init(): pass
def run(raw_data):
    if raw_data == "raise": raise ValueError("bad row 7")
    if raw_data == "exit": sys.exit(5)
    if raw_data == "interrupt": raise KeyboardInterrupt
    return 1
`)
		for body, cause := range map[string]string{"raise": "ValueError: bad row 7", "exit": "SystemExit: 5", "interrupt": "KeyboardInterrupt"} {
			r, err := post(t, w, body)
			if err != nil || r.Status != 500 || !r.Failed || r.Returned || r.Error != cause ||
				string(r.Body) != `{"message": "An unexpected error occurred in scoring script. Check the logs for more info."}` {
				t.Errorf("%s: got %+v (%s), %v", body, r, r.Body, err)
			}
		}
		if r, err := post(t, w, ""); err != nil || string(r.Body) != "1" {
			t.Errorf("afterwards: got %s, %v", r.Body, err)
		}
		if !strings.Contains(log.String(), `raise ValueError("bad row 7")`) {
			t.Errorf("the traceback is not in the log: %s", log)
		}
	})

	t.Run("death fails every waiting request and says how", func(t *testing.T) {
		w, _ := start(t, `
import os, sys, time
def init(): pass
def run(raw_data):
    if raw_data == "die":
        print("last words", file=sys.stderr)
        os._exit(9)
    time.sleep(0.2)
    return 1
`)
		var wg sync.WaitGroup
		for _, body := range []string{"slow", "die", "never", "never"} {
			wg.Go(func() {
				r, err := w.Score(context.Background(), Request{Body: []byte(body)})
				if err == nil {
					if body != "slow" && body != "never" {
						t.Errorf("%s was answered: %s", body, r.Body)
					}
					return
				}
				if ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "exit status 9") || !strings.Contains(err.Error(), "last words") {
					t.Errorf("%s: got %v", body, err)
				}
			})
		}
		wg.Wait()
		<-w.Done()
		if _, err := post(t, w, ""); !errors.Is(err, ErrNotSent) || ridgeline.CodeOf(err) != ridgeline.Unavailable {
			t.Errorf("after the end: got %v, want ErrNotSent", err)
		}
		if w.Healthy() || w.Err() == nil {
			t.Error("a dead worker calls itself healthy")
		}
	})

	t.Run("a fork that outlives the worker does not hide its death", func(t *testing.T) {
		w, _ := start(t, `
import os, time
def init(): pass
def run(raw_data):
    if os.fork() == 0:
        os.setsid()
        time.sleep(6)
        os._exit(0)
    os._exit(4)
`)
		if _, err := post(t, w, ""); err == nil || !strings.Contains(err.Error(), "exit status 4") {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a hanging run is left when ctx ends and killed by Abort", func(t *testing.T) {
		w, log := start(t, "import time\ndef init(): pass\ndef run(raw_data):\n    while True: time.sleep(1)\n")
		_, err := w.Score(limit(t, 200*time.Millisecond), Request{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		w.Abort()
		if err := w.Err(); err == nil || !strings.Contains(log.String(), "in run") {
			t.Errorf("err %v, log %q: want the stack of the hanging run", err, log)
		}
	})

	t.Run("Stop answers what is under way, Kill reaches what the model started", func(t *testing.T) {
		gate := filepath.Join(t.TempDir(), "open")
		w, log := start(t, "import os, time\ndef init(): pass\ndef run(raw_data):\n    print('running')\n    while not os.path.exists(raw_data): time.sleep(0.005)\n    return 1\n")
		answered := make(chan error, 1)
		go func() {
			_, err := w.Score(context.Background(), Request{Body: []byte(gate)})
			answered <- err
		}()
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "running"); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("run() did not begin")
			}
		}
		stopped := make(chan struct{})
		go func() { w.Stop(limit(t, 10*time.Second)); close(stopped) }()
		for w.Healthy() { // until it takes no more
			time.Sleep(time.Millisecond)
		}
		if err := os.WriteFile(gate, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := <-answered; err != nil {
			t.Errorf("the request under way: %v", err)
		}
		<-stopped

		w, _ = start(t, "import subprocess\ndef init(): pass\ndef run(raw_data): return subprocess.Popen(['sleep', '60']).pid\n")
		r, err := post(t, w, "")
		if err != nil {
			t.Fatal(err)
		}
		var child int
		fmt.Sscan(string(r.Body), &child)
		w.Kill()
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); err != nil || strings.Contains(string(state), ") Z ") || syscall.Kill(child, 0) != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("process %d, started by the model, outlives it", child)
			}
		}
	})
}
