package flow

import (
	"context"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// benchmark runs fn as the handler of one flow on SQLite with FULL.
func benchmark(b *testing.B, fn func(c *Context, id string) error) *Engine {
	b.Helper()
	o, err := connect(b.Context(), filepath.Join(b.TempDir(), "flow.db"))
	if err != nil {
		b.Fatal(err)
	}
	e, err := New(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Shutdown(5 * time.Second) })
	ended := make(chan error, 1)
	e.Handle("work", func(c *Context, id string) error {
		err := fn(c, id)
		ended <- err
		return err
	})
	if err := e.Launch(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := e.Start(b.Context(), "work", "one"); err != nil {
		b.Fatal(err)
	}
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return e
}

func BenchmarkStep(b *testing.B) {
	benchmark(b, func(c *Context, _ string) error {
		for b.Loop() {
			if _, err := Step(c, "trivial", func(context.Context) (int, error) { return 1, nil }); err != nil {
				return err
			}
		}
		return nil
	})
}

func BenchmarkTx(b *testing.B) {
	benchmark(b, func(c *Context, id string) error {
		for b.Loop() {
			if _, err := Tx(c, "row", func(ctx context.Context, q sqlq.Querier) (int64, error) {
				return q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, 1, 1)`, id)
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// BenchmarkStart is the time from Start to the handler's first line.
func BenchmarkStart(b *testing.B) {
	e := benchmark(b, func(*Context, string) error { return nil })
	began := make(chan struct{}, 1)
	e.mu.Lock()
	e.handlers["work"] = func(*Context, string) error { began <- struct{}{}; return nil }
	e.mu.Unlock()
	for b.Loop() {
		if err := e.Start(b.Context(), "work", strconv.FormatInt(time.Now().UnixNano(), 10)); err != nil {
			b.Fatal(err)
		}
		<-began
	}
}

// BenchmarkIdle is what an engine without work costs. Run it with
// -benchtime=1x; each turn takes 10 s.
func BenchmarkIdle(b *testing.B) {
	benchmark(b, func(*Context, string) error { return nil })
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before, since := cpu(), time.Now()
	for range b.N {
		time.Sleep(10 * time.Second)
	}
	b.ReportMetric(100*float64(cpu()-before)/float64(time.Since(since)), "cpu_percent")
}
