package flow

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

func TestNew_Refuses(t *testing.T) {
	t.Run("no database", func(t *testing.T) {
		if _, err := New(t.Context(), Options{}); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("got %v, want Invalid", err)
		}
	})
	for _, name := range []string{"DBOS__APPVERSION", "DBOS__VMID"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "other")
			o, err := connect(t.Context(), filepath.Join(t.TempDir(), "flow.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = o.SQLite.Close() }()
			if _, err := New(t.Context(), o); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want Invalid and the variable's name", err)
			}
		})
	}
}

func TestEngine_Handle_Panics(t *testing.T) {
	e := prepare(t, filepath.Join(t.TempDir(), "flow.db"))
	nothing := func(*Context, string) error { return nil }
	e.Handle("work", nothing)
	refuses := func(name, kind string, h Handler) {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("Handle took it")
				}
			}()
			e.Handle(kind, h)
		})
	}
	refuses("twice", "work", nothing)
	refuses("with a dash", "some-work", nothing)
	refuses("without a handler", "other", nil)
	if err := e.Launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	refuses("after Launch", "late", nothing)
}

func TestEngine_Start(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		e := prepare(t, database)
		var ran atomic.Int32
		release := make(chan struct{})
		e.Handle("work", func(c *Context, id string) error {
			_, err := Step(c, "count", func(ctx context.Context) (int, error) {
				ran.Add(1)
				<-release
				return 0, nil
			})
			return err
		})
		if err := e.Start(t.Context(), "work", "one"); ridgeline.CodeOf(err) != ridgeline.Unavailable {
			t.Errorf("before Launch: %v, want Unavailable", err)
		}
		if err := e.Launch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := e.Start(t.Context(), "other", "one"); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("an unknown kind: %v, want Invalid", err)
		}
		if s, err := e.State(t.Context(), "work", "one"); s != None || err != nil {
			t.Errorf("before Start: %s, %v, want none", s, err)
		}

		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := e.Start(context.Background(), "work", "one"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if s, err := e.State(t.Context(), "work", "one"); s != Running || err != nil {
			t.Errorf("after Start: %s, %v, want running", s, err)
		}
		close(release)
		ends(t, e, "work", "one", Done)
		start(t, e, "work", "one")
		ends(t, e, "work", "one", Done)
		if n := ran.Load(); n != 1 {
			t.Errorf("started 11 times, the flow ran %d times, want once", n)
		}

		shutdown(t, e)
		if err := e.Start(t.Context(), "work", "two"); ridgeline.CodeOf(err) != ridgeline.Unavailable {
			t.Errorf("after Shutdown: %v, want Unavailable", err)
		}
	})
}

// The context that Start got is the caller's request, which ends long before
// the flow does.
func TestEngine_Start_OutlivesItsCaller(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	e := launch(t, filepath.Join(t.TempDir(), "flow.db"), map[string]Handler{"work": func(c *Context, _ string) error {
		_, err := Step(c, "wait", func(ctx context.Context) (int, error) {
			close(began)
			select {
			case <-release:
				return 0, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		return err
	}})
	ctx, cancel := context.WithCancel(t.Context())
	if err := e.Start(ctx, "work", "one"); err != nil {
		t.Fatal(err)
	}
	<-began
	cancel()
	close(release)
	ends(t, e, "work", "one", Done)
}

func TestEngine_Shutdown(t *testing.T) {
	ways := map[string]func(ctx context.Context) (int, error){
		"the step returns ctx.Err()":      func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
		"the step returns its own error":  func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, errors.New("the task is gone") },
		"the step returns success":        func(ctx context.Context) (int, error) { <-ctx.Done(); return 1, nil },
		"the step panics":                 func(ctx context.Context) (int, error) { <-ctx.Done(); panic("the task is gone") },
		"the step waits in a transaction": nil,
	}
	for name, first := range ways {
		t.Run(name, func(t *testing.T) {
			database := filepath.Join(t.TempDir(), "flow.db")
			began := make(chan struct{})
			var again, cleaned atomic.Int32
			handler := func(second bool) Handler {
				return func(c *Context, id string) error {
					body := func(ctx context.Context) (int, error) {
						if second {
							again.Add(1)
							return 2, nil
						}
						close(began)
						if first == nil {
							<-ctx.Done()
							return 0, ctx.Err()
						}
						return first(ctx)
					}
					var err error
					if first == nil {
						_, err = Tx(c, "body", func(ctx context.Context, q sqlq.Querier) (int, error) {
							if _, err := q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, 0, 0)`, id); err != nil {
								return 0, err
							}
							return body(ctx)
						})
					} else {
						_, err = Step(c, "body", body)
					}
					if err != nil {
						if !errors.Is(err, context.Canceled) || !Interrupted(err) {
							t.Errorf("the handler got %v, want context.Canceled", err)
						}
						// As a handler that does not know of interruptions would.
						_, cerr := Step(c, "clean up", func(context.Context) (int, error) { cleaned.Add(1); return 0, nil })
						if !errors.Is(cerr, context.Canceled) {
							t.Errorf("the step after it got %v, want context.Canceled", cerr)
						}
						return nil
					}
					return nil
				}
			}
			e := launch(t, database, map[string]Handler{"work": handler(false)})
			start(t, e, "work", "one")
			<-began
			shutdown(t, e)
			if n := len(rows(t, database, steps)); n != 0 {
				t.Errorf("%d rows of an interrupted transaction", n)
			}

			e = launch(t, database, map[string]Handler{"work": handler(true)})
			ends(t, e, "work", "one", Done)
			if again.Load() != 1 || cleaned.Load() != 0 {
				t.Errorf("after the restart the step ran %d times and the clean-up %d times, want 1 and 0", again.Load(), cleaned.Load())
			}
		})
	}

	t.Run("a step that does not watch its context", func(t *testing.T) {
		began, release := make(chan struct{}), make(chan struct{})
		e := launch(t, filepath.Join(t.TempDir(), "flow.db"), map[string]Handler{"work": func(c *Context, _ string) error {
			_, err := Step(c, "deaf", func(context.Context) (int, error) { close(began); <-release; return 0, nil })
			return err
		}})
		start(t, e, "work", "one")
		<-began
		if err := e.Shutdown(20 * time.Millisecond); ridgeline.CodeOf(err) != ridgeline.Unavailable {
			t.Errorf("got %v, want Unavailable", err)
		}
		close(release)
	})
}

func TestHandler_Fails(t *testing.T) {
	e := launch(t, filepath.Join(t.TempDir(), "flow.db"), map[string]Handler{
		"error": func(*Context, string) error { return ridgeline.Errorf(ridgeline.Conflict, "no") },
		"panic": func(*Context, string) error { panic("at the disco") },
		"work":  func(*Context, string) error { return nil },
	})
	start(t, e, "error", "one")
	start(t, e, "panic", "one")
	start(t, e, "work", "one")
	ends(t, e, "error", "one", Failed)
	ends(t, e, "panic", "one", Failed)
	ends(t, e, "work", "one", Done)
}

// A flow whose kind this version does not know waits for one that does.
func TestLaunch_UnknownKind(t *testing.T) {
	database := filepath.Join(t.TempDir(), "flow.db")
	began := make(chan struct{})
	wait := func(c *Context, _ string) error {
		_, err := Step(c, "wait", func(ctx context.Context) (int, error) { close(began); <-ctx.Done(); return 0, ctx.Err() })
		return err
	}
	e := launch(t, database, map[string]Handler{"work": wait})
	start(t, e, "work", "one")
	<-began
	shutdown(t, e)

	e = launch(t, database, map[string]Handler{"other": func(*Context, string) error { return nil }})
	// A flow recovered with it and started after it has ended: so has been the chance to fail.
	start(t, e, "other", "one")
	ends(t, e, "other", "one", Done)
	if s, err := e.State(t.Context(), "work", "one"); s != Running || err != nil {
		t.Errorf("got %s, %v, want running", s, err)
	}
	shutdown(t, e)

	e = launch(t, database, map[string]Handler{"work": func(*Context, string) error { return nil }})
	ends(t, e, "work", "one", Done)
}

func TestEngine_Retain(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		began, release := make(chan struct{}), make(chan struct{})
		e := launch(t, database, map[string]Handler{
			"short": func(*Context, string) error { return nil },
			"bad":   func(*Context, string) error { return errors.New("no") },
			"long": func(c *Context, _ string) error {
				_, err := Step(c, "wait", func(ctx context.Context) (int, error) { close(began); <-release; return 0, nil })
				return err
			},
		})
		start(t, e, "long", "one")
		<-began
		start(t, e, "bad", "one")
		ends(t, e, "bad", "one", Failed)
		for i := range retainBatch + 20 {
			start(t, e, "short", string(rune('a'+i%26))+strings.Repeat("x", i/26))
		}
		for i := range retainBatch + 20 {
			ends(t, e, "short", string(rune('a'+i%26))+strings.Repeat("x", i/26), Done)
		}
		retain := func(before time.Time, want int) {
			t.Helper()
			if n, err := e.Retain(t.Context(), before); n != want || err != nil {
				t.Errorf("forgot %d, %v, want %d", n, err, want)
			}
		}
		later := time.Now().Add(time.Hour)
		retain(time.Now().Add(-time.Hour), 0)
		retain(later, retainBatch)
		retain(later, 21)
		retain(later, 0)
		if s, err := e.State(t.Context(), "bad", "one"); s != None || err != nil {
			t.Errorf("a forgotten flow is %s, %v, want none", s, err)
		}
		if s, err := e.State(t.Context(), "long", "one"); s != Running || err != nil {
			t.Errorf("the running flow is %s, %v, want running", s, err)
		}
		close(release)
		ends(t, e, "long", "one", Done)
		retain(later, 1)
	})
}

// Flows, their transactions and DBOS itself share one connection of SQLite:
// none may wait for another while it holds it.
func TestFlow_ManyOnOneConnection(t *testing.T) {
	database := filepath.Join(t.TempDir(), "flow.db")
	const flows, each = 20, 5
	e := launch(t, database, map[string]Handler{"work": func(c *Context, id string) error {
		for i := range each {
			_, errs := Parallel(c, "both", 2, func(context.Context, int) (int, error) { return i, nil })
			if err := errors.Join(errs...); err != nil {
				return err
			}
			if _, err := Tx(c, "row", func(ctx context.Context, q sqlq.Querier) (int64, error) {
				return q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, $2, 0)`, id, i)
			}); err != nil {
				return err
			}
		}
		return nil
	}})
	for i := range flows {
		start(t, e, "work", string(rune('a'+i)))
	}
	for i := range flows {
		ends(t, e, "work", string(rune('a'+i)), Done)
	}
	if n := len(rows(t, database, steps)); n != flows*each {
		t.Errorf("%d rows, want %d", n, flows*each)
	}
}

// TestEngine_Start_duringLaunch: whoever asks while the server starts or stops
// is told to ask again, and never that something is broken.
func TestEngine_Start_duringLaunch(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		e := prepare(t, database)
		e.Handle("work", func(*Context, string) error { return nil })
		ctx, end := context.WithCancel(context.Background())
		asked := make(chan struct{})
		var asker sync.WaitGroup
		asker.Go(func() {
			var once sync.Once
			for i := 0; ctx.Err() == nil; i++ {
				err := e.Start(context.Background(), "work", strconv.Itoa(i))
				if err != nil && ridgeline.CodeOf(err) != ridgeline.Unavailable {
					t.Errorf("flow %d: %v, want Unavailable", i, err)
				}
				if err == nil {
					once.Do(func() { close(asked) })
				}
			}
		})
		if err := e.Launch(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-asked
		shutdown(t, e)
		end()
		asker.Wait()
	})
}
