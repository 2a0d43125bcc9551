package flow

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// replayed runs a handler in a first engine up to a step that waits, stops
// that, and lets a second engine replay it to its end. What the handler returns
// has to be the same both times.
func replayed(t *testing.T, database string, handler func(c *Context) any) any {
	t.Helper()
	began := make(chan struct{})
	var first, second any
	e := launch(t, database, map[string]Handler{"work": func(c *Context, _ string) error {
		first = handler(c)
		_, err := Step(c, "wait", func(ctx context.Context) (int, error) { close(began); <-ctx.Done(); return 0, ctx.Err() })
		return err
	}})
	start(t, e, "work", "one")
	select {
	case <-began:
	case <-time.After(20 * time.Second):
		t.Fatal("the flow did not reach its end")
	}
	shutdown(t, e)

	e = launch(t, database, map[string]Handler{"work": func(c *Context, _ string) error {
		second = handler(c)
		_, err := Step(c, "wait", func(context.Context) (int, error) { return 0, nil })
		return err
	}})
	ends(t, e, "work", "one", Done)
	if !reflect.DeepEqual(first, second) {
		t.Errorf("the first time\n%#v\nand replayed\n%#v", first, second)
	}
	return second
}

// seen is what a handler can tell of an error.
type seen struct {
	Code    ridgeline.Code
	Message string
	Is      bool
}

func TestStep_Replay(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		sentinel := errors.New("the host is away")
		var bodies atomic.Int32
		type value struct {
			At     time.Time
			Names  []string
			hidden int
		}
		got := replayed(t, database, func(c *Context) any {
			see := func(_ any, err error) seen {
				return seen{ridgeline.CodeOf(err), fmt.Sprint(err), errors.Is(err, sentinel)}
			}
			var all []any
			for _, code := range ridgeline.Codes() {
				failed := func() error {
					bodies.Add(1)
					return fmt.Errorf("deploy: %w", ridgeline.Errorf(code, "%s: %w", code, sentinel))
				}
				all = append(all,
					see(Step(c, "fail-step", func(context.Context) (int, error) { return 1, failed() })),
					see(Tx(c, "fail-tx", func(context.Context, sqlq.Querier) (int, error) { return 1, failed() })))
				_, errs := Parallel(c, "fail-parallel", 1, func(context.Context, int) (int, error) { return 1, failed() })
				all = append(all, see(0, errs[0]))
			}
			all = append(all, see(Step(c, "plain", func(context.Context) (int, error) { return 0, sentinel })))
			all = append(all, see(Step(c, "panic", func(context.Context) (int, error) { panic("no") })))
			all = append(all, see(Tx(c, "panic", func(context.Context, sqlq.Querier) (int, error) { panic("no") })))
			all = append(all, see(Step(c, "nan", func(context.Context) (float64, error) { return math.NaN(), nil })))
			all = append(all, see(Step(c, "own deadline", func(context.Context) (int, error) { return 0, context.DeadlineExceeded })))
			_, err := Step(c, "own cancel", func(context.Context) (int, error) { return 0, context.Canceled })
			if Interrupted(err) || err == nil {
				t.Errorf("a step that cancelled something of its own: %v, want a failure of the work", err)
			}
			v, err := Step(c, "value", func(context.Context) (value, error) {
				bodies.Add(1)
				return value{At: time.Now(), Names: []string{}, hidden: 7}, nil
			})
			p, perr := Step(c, "nil", func(context.Context) (*value, error) { return nil, nil })
			_, eerr := Step(c, "empty", func(context.Context) (struct{}, error) { return struct{}{}, nil })
			return append(all, v, err, p, perr, eerr)
		}).([]any)

		n := len(ridgeline.Codes())
		for i, code := range ridgeline.Codes() {
			for j := range 3 {
				want := seen{code, fmt.Sprintf("deploy: %s: the host is away", code), false}
				if got[3*i+j] != want {
					t.Errorf("got %v, want %v", got[3*i+j], want)
				}
			}
		}
		for i, part := range []string{"the host is away", "panic in step panic", "panic in step panic", "NaN", "deadline"} {
			if s := got[3*n+i].(seen); s.Code != ridgeline.Internal || !strings.Contains(s.Message, part) {
				t.Errorf("got %v, want Internal with %q", s, part)
			}
		}
		v := got[3*n+5].(value)
		if v.At.IsZero() || v.Names == nil || v.hidden != 0 {
			t.Errorf("got %#v: want the exported fields and only them", v)
		}
		if b := bodies.Load(); b != int32(3*n+1) {
			t.Errorf("%d bodies ran, want %d: none again", b, 3*n+1)
		}
	})
}

func TestStep_Nested(t *testing.T) {
	e := launch(t, filepath.Join(t.TempDir(), "flow.db"), map[string]Handler{"work": func(c *Context, _ string) error {
		_, err := Step(c, "outer", func(context.Context) (int, error) {
			return Step(c, "inner", func(context.Context) (int, error) { t.Error("the inner step ran"); return 0, nil })
		})
		if ridgeline.CodeOf(err) != ridgeline.Internal || !strings.Contains(err.Error(), "inside step outer") {
			t.Errorf("got %v, want Internal that names the outer step", err)
		}
		_, err = Step(c, "next", func(context.Context) (int, error) { return 0, nil })
		return err
	}})
	start(t, e, "work", "one")
	ends(t, e, "work", "one", Done)
}

func TestTx(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		e := launch(t, database, map[string]Handler{"work": func(c *Context, id string) error {
			_, err := Tx(c, "undone", func(ctx context.Context, q sqlq.Querier) (int64, error) {
				if _, err := q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, 99, 99)`, id); err != nil {
					t.Error(err)
				}
				return 0, ridgeline.Errorf(ridgeline.Conflict, "no")
			})
			if ridgeline.CodeOf(err) != ridgeline.Conflict {
				t.Errorf("got %v, want Conflict", err)
			}
			_, err = Tx(c, "broken", func(ctx context.Context, q sqlq.Querier) (int64, error) {
				return q.Exec(ctx, `INSERT INTO nowhere (flow) VALUES ($1)`, id)
			})
			if ridgeline.CodeOf(err) != ridgeline.Internal || !strings.Contains(err.Error(), "nowhere") {
				t.Errorf("got %v, want Internal that names the table", err)
			}
			_, err = Tx(c, "all of it", func(ctx context.Context, q sqlq.Querier) (int, error) {
				n, err := q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, $2, $2), ($1, $3, 5)`, id, 1, 2)
				if n != 2 || err != nil {
					t.Errorf("Exec: %d, %v, want 2 rows", n, err)
				}
				var result int
				if err := q.QueryRow(ctx, `SELECT result FROM ledger WHERE flow = $1 AND step = $2`, id, 2).Scan(&result); result != 5 || err != nil {
					t.Errorf("QueryRow: %d, %v, want 5", result, err)
				}
				if err := q.QueryRow(ctx, `SELECT result FROM ledger WHERE step = 77`).Scan(&result); !errors.Is(err, sql.ErrNoRows) {
					t.Errorf("QueryRow of nothing: %v, want sql.ErrNoRows", err)
				}
				return 0, nil
			})
			if err != nil {
				t.Error(err)
			}
			_, err = Tx(c, "query of no table", func(ctx context.Context, q sqlq.Querier) (int, error) {
				r, err := q.Query(ctx, `SELECT result FROM nowhere`)
				if err == nil { // pgx tells on the first Next
					defer func() { _ = r.Close() }()
					r.Next()
					err = r.Err()
				}
				return 0, err
			})
			if ridgeline.CodeOf(err) != ridgeline.Internal {
				t.Errorf("got %v, want Internal", err)
			}
			_, err = Tx(c, "rows", func(ctx context.Context, q sqlq.Querier) (int, error) {
				r, err := q.Query(ctx, `SELECT step FROM ledger WHERE flow = $1 ORDER BY step`, id)
				if err != nil {
					return 0, err
				}
				defer func() { _ = r.Close() }()
				sum := 0
				for r.Next() {
					var n int
					if err := r.Scan(&n); err != nil {
						return 0, err
					}
					sum += n
				}
				return sum, r.Err()
			})
			return err
		}})
		start(t, e, "work", "one")
		ends(t, e, "work", "one", Done)
		if got := rows(t, database, steps); !reflect.DeepEqual(got, []int{1, 2}) {
			t.Errorf("rows %v, want those of the good transaction: 1 and 2", got)
		}
	})
}

// A transaction that uses the database's handle waits for itself; it must not
// hold the only connection for ever.
func TestTx_WaitsForItself(t *testing.T) {
	o, err := connect(t.Context(), filepath.Join(t.TempDir(), "flow.db"))
	if err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	e, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(5 * time.Second) })
	e.patience = 50 * time.Millisecond
	e.Handle("work", func(c *Context, _ string) error {
		_, err := Tx(c, "wrong", func(ctx context.Context, _ sqlq.Querier) (int, error) {
			_, err := o.SQLite.ExecContext(ctx, `DELETE FROM ledger`)
			return 0, err
		})
		if ridgeline.CodeOf(err) != ridgeline.Internal || !strings.Contains(err.Error(), "only the transaction itself") {
			t.Errorf("got %v, want Internal that says what is allowed", err)
		}
		_, err = Tx(c, "next", func(ctx context.Context, q sqlq.Querier) (int64, error) { return q.Exec(ctx, `DELETE FROM ledger`) })
		return err
	})
	if err := e.Launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, e, "work", "one")
	ends(t, e, "work", "one", Done)
}

func TestParallel(t *testing.T) {
	t.Run("all at once, in order, and only the unfinished again", func(t *testing.T) {
		database := filepath.Join(t.TempDir(), "flow.db")
		const n = 8
		var counts [n]atomic.Int32
		stopping := make(chan struct{})
		var finished sync.WaitGroup
		finished.Add(n / 2)
		handler := func(second bool) Handler {
			var met sync.WaitGroup
			met.Add(n)
			return func(c *Context, _ string) error {
				got, errs := Parallel(c, "part", n, func(ctx context.Context, i int) (string, error) {
					counts[i].Add(1)
					if second {
						return fmt.Sprint("part ", i), nil
					}
					met.Done()
					met.Wait() // hangs unless all run at once
					switch {
					case i%2 == 1:
						<-ctx.Done()
						return "", ctx.Err()
					case i == 4:
						defer finished.Done()
						return "", ridgeline.Errorf(ridgeline.NotFound, "no part 4")
					}
					defer finished.Done()
					return fmt.Sprint("part ", i), nil
				})
				if !second {
					return errors.Join(errs...)
				}
				for i := range n {
					if i == 4 {
						if ridgeline.CodeOf(errs[i]) != ridgeline.NotFound {
							t.Errorf("part 4: %v, want NotFound", errs[i])
						}
					} else if want := fmt.Sprint("part ", i); got[i] != want || errs[i] != nil {
						t.Errorf("%q, %v, want %q", got[i], errs[i], want)
					}
				}
				close(stopping)
				return nil
			}
		}
		e := launch(t, database, map[string]Handler{"work": handler(false)})
		start(t, e, "work", "one")
		finished.Wait()
		eventually(t, func() error { // until DBOS has recorded them
			var recorded int
			o, err := connect(t.Context(), database)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = o.SQLite.Close() }()
			if err := o.SQLite.QueryRowContext(t.Context(), `SELECT count(*) FROM operation_outputs`).Scan(&recorded); err != nil {
				t.Fatal(err)
			}
			if recorded != n/2 {
				return fmt.Errorf("%d of %d recorded", recorded, n/2)
			}
			return nil
		})
		shutdown(t, e)

		e = launch(t, database, map[string]Handler{"work": handler(true)})
		ends(t, e, "work", "one", Done)
		<-stopping
		for i := range n {
			if got, want := counts[i].Load(), int32(1+i%2); got != want {
				t.Errorf("part %d ran %d times, want %d", i, got, want)
			}
		}
	})

	t.Run("none", func(t *testing.T) {
		e := launch(t, filepath.Join(t.TempDir(), "flow.db"), map[string]Handler{"work": func(c *Context, _ string) error {
			got, errs := Parallel(c, "part", 0, func(context.Context, int) (int, error) { return 0, errors.New("ran") })
			if len(got) != 0 || len(errs) != 0 {
				t.Errorf("got %v, %v, want nothing", got, errs)
			}
			return nil
		}})
		start(t, e, "work", "one")
		ends(t, e, "work", "one", Done)
	})
}

// changed lets a flow begin with one handler and end with another.
func changed(t *testing.T, before, after Handler, want State) {
	t.Helper()
	database := filepath.Join(t.TempDir(), "flow.db")
	began := make(chan struct{})
	e := launch(t, database, map[string]Handler{"work": func(c *Context, id string) error {
		if err := before(c, id); err != nil {
			return err
		}
		_, err := Step(c, "wait", func(ctx context.Context) (int, error) { close(began); <-ctx.Done(); return 0, ctx.Err() })
		return err
	}})
	start(t, e, "work", "one")
	<-began
	shutdown(t, e)
	e = launch(t, database, map[string]Handler{"work": after})
	ends(t, e, "work", "one", want)
	if want == Done {
		start(t, e, "work", "two")
		ends(t, e, "work", "two", Done)
	}
}

func TestContext_Patch(t *testing.T) {
	constant := func(context.Context) (int, error) { return 1, nil }
	old := func(c *Context, _ string) error { _, err := Step(c, "old", constant); return err }

	t.Run("the old way for those under way, the new one for the rest", func(t *testing.T) {
		took := map[string]string{}
		changed(t, old, func(c *Context, id string) error {
			patched, err := c.Patch("new-way")
			if err != nil {
				return err
			}
			name := "old"
			if patched {
				name = "new"
			}
			took[id] = name
			_, err = Step(c, name, constant)
			return err
		}, Done)
		if took["one"] != "old" || took["two"] != "new" {
			t.Errorf("ways taken: %v, want old for one and new for two", took)
		}
	})

	t.Run("without it the flow fails and nothing more of it runs", func(t *testing.T) {
		changed(t, old, func(c *Context, _ string) error {
			for range 2 {
				if _, err := Step(c, "new", func(context.Context) (int, error) { t.Error("the step ran"); return 1, nil }); !errors.Is(err, errHistory) || Interrupted(err) {
					t.Errorf("got %v, want that the history does not fit", err)
				}
			}
			return nil
		}, Failed)
	})

	t.Run("a result of another type fails too", func(t *testing.T) {
		changed(t, old, func(c *Context, _ string) error {
			_, err := Step(c, "old", func(context.Context) ([]string, error) { return nil, nil })
			if !errors.Is(err, errHistory) {
				t.Errorf("got %v, want that the history does not fit", err)
			}
			return nil
		}, Failed)
	})
}
