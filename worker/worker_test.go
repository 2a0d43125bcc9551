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

// asked is a worker whose answers are kept until they are asked for.
type asked struct {
	*Worker
	answers chan Answer
	last    uint64
}

func start(t *testing.T, script string) (*asked, *logBuffer) {
	t.Helper()
	c, log := config(t, script)
	answers := make(chan Answer, 1000)
	w, err := Start(limit(t, 20*time.Second), c, func(a Answer) { answers <- a })
	if err != nil {
		t.Fatalf("start: %v\n%s", err, log)
	}
	t.Cleanup(w.Kill)
	return &asked{Worker: w, answers: answers}, log
}

func (w *asked) send(t *testing.T, bodies ...string) error {
	t.Helper()
	var frames Frames
	for _, body := range bodies {
		w.last++
		if err := frames.Request(w.last, Request{Body: []byte(body)}, w.Hello(), 0); err != nil {
			t.Fatal(err)
		}
	}
	return w.Send(&frames)
}

// answer is the next one, or why there is none.
func (w *asked) answer(t *testing.T) (Response, error) {
	t.Helper()
	select {
	case a := <-w.answers:
		return a.Response, nil
	case <-w.Done():
		select {
		case a := <-w.answers:
			return a.Response, nil
		default:
			return Response{}, w.Err()
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no answer within 10 s")
	}
	return Response{}, nil
}

func silent(Answer) {}

func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func post(t *testing.T, w *asked, body string) (Response, error) {
	t.Helper()
	if err := w.send(t, body); err != nil {
		<-w.Done()
		return Response{}, w.Err()
	}
	return w.answer(t)
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
			_, err := Start(limit(t, 20*time.Second), c, silent)
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
		_, err := Start(limit(t, 2*time.Second), c, silent)
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
			_, err := Start(limit(t, 10*time.Second), c, silent)
			if err == nil || !strings.Contains(err.Error(), f.want) {
				t.Errorf("got %v, want …%s…", err, f.want)
			}
		})
	}
}

func TestScore(t *testing.T) {
	t.Run("requests sent ahead are answered in order", func(t *testing.T) {
		w, _ := start(t, "def init(): pass\ndef run(raw_data): return raw_data\n")
		var bodies []string
		for n := range 400 {
			bodies = append(bodies, fmt.Sprintf("n%d", n))
		}
		bodies[7] = strings.Repeat("x", 300_000) // is sent as a piece of its own
		if err := w.send(t, bodies...); err != nil {
			t.Fatal(err)
		}
		for n, body := range bodies {
			a := <-w.answers
			if a.ID != uint64(n+1) || string(a.Response.Body) != `"`+body+`"` {
				t.Fatalf("answer %d is %d: %.50s", n+1, a.ID, a.Response.Body)
			}
		}
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
		if err := w.send(t, "slow", "die", "never", "never"); err != nil {
			t.Fatal(err)
		}
		if r, err := w.answer(t); err != nil || string(r.Body) != "1" {
			t.Errorf("the one before: %s, %v", r.Body, err)
		}
		if r, err := w.answer(t); err == nil {
			t.Errorf("a request without an answer was answered: %s", r.Body)
		} else if ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "exit status 9") || !strings.Contains(err.Error(), "last words") {
			t.Errorf("got %v", err)
		}
		if err := w.send(t, ""); err == nil || w.Healthy() {
			t.Error("a dead worker takes requests")
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

	t.Run("a hanging run is killed by Abort, which shows where it was", func(t *testing.T) {
		w, log := start(t, "import time\ndef init(): pass\ndef run(raw_data):\n    print('running')\n    while True: time.sleep(1)\n")
		if err := w.send(t, ""); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "running"); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("run() did not begin")
			}
		}
		w.Abort()
		if err := w.Err(); err == nil || !strings.Contains(log.String(), "in run") {
			t.Errorf("err %v, log %q: want the stack of the hanging run", err, log)
		}
	})

	t.Run("Stop answers what is under way, Kill reaches what the model started", func(t *testing.T) {
		gate := filepath.Join(t.TempDir(), "open")
		w, log := start(t, "import os, time\ndef init(): pass\ndef run(raw_data):\n    print('running')\n    while not os.path.exists(raw_data): time.sleep(0.005)\n    return 1\n")
		if err := w.send(t, gate); err != nil {
			t.Fatal(err)
		}
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
		if _, err := w.answer(t); err != nil {
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
