package serve

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const badModel = `
import ctypes, os, signal, sys, threading, time
def init(): pass
def deeper(n): return deeper(n + 1) + 1
class Odd:
    def __repr__(self): raise ValueError("no words")
class Hostile(Exception):
    def __str__(self): raise ValueError("no words")
def run(raw_data):
    what, _, n = raw_data.partition(" ")
    if what == "raise": raise ValueError("row 7")
    if what == "hostile": raise Hostile()
    if what == "deep": return deeper(0)
    if what == "exit": sys.exit(3)
    if what == "segfault": ctypes.string_at(0)
    if what == "_exit": os._exit(0)
    if what == "abort": os.abort()
    if what == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if what == "closes": os.closerange(3, 256)
    if what == "odd": return Odd()
    if what == "circle":
        a = []
        a.append(a)
        return a
    if what == "silent":
        sys.stdout.close()
        sys.stderr.close()
    if what == "memory": return len(bytearray(1 << 50))
    if what == "fork":
        if os.fork() == 0: return "the child"
        time.sleep(0.05)
        return "the parent"
    if what == "forks":
        for _ in range(5):
            if os.fork() == 0: sys.exit(0)
    if what == "child raises":
        if os.fork() == 0: raise ValueError("the child")
    if what == "threads":
        for _ in range(50): threading.Thread(target=time.sleep, args=(60,), daemon=False).start()
    if what == "numpy":
        try: import numpy
        except ImportError: return [1.5, 2.5]
        return numpy.array([1.5, 2.5])
    return n or what
`

// counter counts what is written.
type counter struct{ n atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// What a model prints is passed on as it comes, whoever keeps the log; nothing
// of it stays here.
func TestModelPrintsAGigabyte(t *testing.T) {
	t.Parallel()
	printed := &counter{}
	s, _ := listening(t, `
import sys
def init(): pass
def run(raw_data):
    for _ in range(int(raw_data)): sys.stdout.write("x" * 999_999 + "\n")
    return "done"
`, func(c *Config) { c.Worker.Log = printed })
	if r := s.do(t, "POST", "/score", "1000"); r.status != 200 || r.body != `"done"` {
		t.Errorf("got %d %.300s", r.status, r.body)
	}
	s.await(t, func() bool { return printed.n.Load() == 1_000_000_000 })
}

// Whatever a model does, its own request is answered with what the contract
// has for it, those of others with their own answers, and the next one, too.
func TestBadModels(t *testing.T) {
	t.Parallel()
	s, _ := listening(t, badModel, func(c *Config) { c.Timeout = 20 * time.Second })
	for _, c := range []struct {
		does   string
		status int
		says   string
		failed string // whose fault it was
		costs  bool   // the worker, and requests that it was given meanwhile
	}{
		{"raise", 500, "scoring script", "True", false},
		{"hostile", 500, "scoring script", "True", false},
		{"deep", 500, "scoring script", "True", false},
		{"exit", 500, "scoring script", "True", false},
		{"memory", 500, "scoring script", "True", false},
		{"segfault", 500, "worker process ended", "True", true},
		{"_exit", 500, "worker process ended", "True", true},
		{"abort", 500, "worker process ended", "True", true},
		{"kill", 500, "worker process ended", "True", true},
		{"closes", 500, "worker process ended", "True", true},
		{"odd", 500, "internal error", "False", false},
		{"circle", 500, "internal error", "False", false},
		{"fork", 200, `"the parent"`, "False", false},
		{"forks", 200, `"forks"`, "False", false},
		{"child raises", 200, `"raises"`, "False", false},
		{"threads", 200, `"threads"`, "False", false},
		{"numpy", 200, "[1.5, 2.5]", "False", false},
		{"silent", 200, `"silent"`, "False", false},
	} {
		t.Run(c.does, func(t *testing.T) {
			var wg sync.WaitGroup
			for n := range 20 {
				wg.Go(func() {
					r := s.do(t, "POST", "/score", fmt.Sprintf("echo %d", n))
					died := c.costs && r.status == 500 && strings.Contains(r.body, "worker process ended")
					if want := fmt.Sprintf(`"%d"`, n); !died && (r.status != 200 || r.body != want) {
						t.Errorf("an innocent one: sent %d, got %d %.300s", n, r.status, r.body)
					}
				})
				if n == 10 {
					wg.Go(func() {
						r := s.do(t, "POST", "/score", c.does)
						if r.status != c.status || !strings.Contains(r.body, c.says) || r.header.Get("x-ms-run-function-failed") != c.failed {
							t.Errorf("got %d %.300s (failed %s), want %d …%s… (%s)", r.status, r.body, r.header.Get("x-ms-run-function-failed"), c.status, c.says, c.failed)
						}
					})
				}
			}
			wg.Wait()
			s.await(t, func() bool { n, _ := s.Ready(); return n == 1 })
			if r := s.do(t, "POST", "/score", "echo again"); r.status != 200 || r.body != `"again"` {
				t.Errorf("afterwards: %d %.300s", r.status, r.body)
			}
		})
	}
}
