package flow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

const (
	steps   = `SELECT step FROM ledger ORDER BY step`
	results = `SELECT result FROM ledger ORDER BY step`
)

// A finished ledger: each step's row once, with the result the step had.
func finished(t *testing.T, database string) {
	t.Helper()
	if got := rows(t, database, steps); !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("rows of steps %v, want each of 0 to 3 once", got)
	}
	if got := rows(t, database, results); !slices.Equal(got, []int{0, 1, 4, 9}) {
		t.Errorf("results %v, want 0 1 4 9", got)
	}
}

func TestFlow_Killed(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		folder := t.TempDir()
		release := hold(t, folder, 2)
		first := spawn(t, os.Args[0], database, folder)
		first.says(t, "step 2")
		first.signal(t, syscall.SIGKILL)
		first.gone(t)
		if got := rows(t, database, steps); !slices.Equal(got, []int{0, 1}) {
			t.Fatalf("rows of steps %v after the kill, want 0 and 1", got)
		}

		// Twice in the same step: it is the third process that gets through.
		second := spawn(t, os.Args[0], database, folder)
		second.says(t, "step 2")
		second.signal(t, syscall.SIGKILL)
		second.gone(t)

		release()
		third := spawn(t, os.Args[0], database, folder)
		before := third.says(t, "done one")
		if slices.Contains(before, "step 0") || slices.Contains(before, "step 1") {
			t.Errorf("a finished step ran again: %q", before)
		}
		finished(t, database)
		third.signal(t, syscall.SIGTERM)
		third.says(t, "stopped")
	})
}

func TestFlow_Stopped(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		folder := t.TempDir()
		release := hold(t, folder, 1)
		first := spawn(t, os.Args[0], database, folder)
		first.says(t, "step 1")
		first.signal(t, syscall.SIGTERM)
		first.says(t, "stopped")
		first.gone(t)

		release()
		second := spawn(t, os.Args[0], database, folder)
		second.says(t, "step 1")
		second.says(t, "done one")
		finished(t, database)
	})
}

// Wherever the kill strikes, DBOS's migrations and the starts of flows
// included, every row is there once in the end.
func TestFlow_KilledAnywhere(t *testing.T) {
	t.Parallel()
	database, folder := filepath.Join(t.TempDir(), "flow.db"), t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "many"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 12 {
		c := spawn(t, os.Args[0], database, folder)
		time.Sleep(time.Duration(random.IntN(250)) * time.Millisecond) // the test is in the moment
		c.signal(t, syscall.SIGKILL)
		for range c.lines { // it may have said more than fits
		}
		c.gone(t)
		t.Logf("%d rows", len(rows(t, database, steps)))
	}
	last := spawn(t, os.Args[0], database, folder)
	last.says(t, "started")
	eventually(t, func() error {
		if n := len(rows(t, database, steps)); n < 4*(many+1) {
			return fmt.Errorf("%d rows, want %d", n, 4*(many+1))
		}
		return nil
	})
	last.signal(t, syscall.SIGTERM)
	last.says(t, "stopped")
	if twice := rows(t, database, `SELECT step FROM ledger GROUP BY flow, step HAVING count(*) > 1`); len(twice) > 0 {
		t.Errorf("%d rows are there more than once", len(twice))
	}
}

// An upgrade changes the binary, and so the hash that DBOS takes for the
// application's version when it is not told one.
func TestFlow_Upgraded(t *testing.T) {
	database, folder := filepath.Join(t.TempDir(), "flow.db"), t.TempDir()
	release := hold(t, folder, 2)
	first := spawn(t, os.Args[0], database, folder)
	first.says(t, "step 2")
	first.signal(t, syscall.SIGKILL)
	first.gone(t)

	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	upgraded := filepath.Join(t.TempDir(), "upgraded")
	if err := os.WriteFile(upgraded, append(binary, "another binary"...), 0o755); err != nil {
		t.Fatal(err)
	}
	release()
	spawn(t, upgraded, database, folder).says(t, "done one")
	finished(t, database)
}

// DBOS gives a workflow up after 100 recoveries unless told otherwise; a server
// in a crash loop gets there in an hour.
func TestFlow_KilledVeryOften(t *testing.T) {
	database := filepath.Join(t.TempDir(), "flow.db")
	began := make(chan struct{})
	e := launch(t, database, map[string]Handler{"work": func(c *Context, _ string) error {
		_, err := Step(c, "wait", func(ctx context.Context) (int, error) { close(began); <-ctx.Done(); return 0, ctx.Err() })
		return err
	}})
	start(t, e, "work", "one")
	<-began
	shutdown(t, e)
	o, err := connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.SQLite.ExecContext(t.Context(), `UPDATE workflow_status SET recovery_attempts = 1000`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("%d flows, %v, want one", n, err)
	}
	if err := o.SQLite.Close(); err != nil {
		t.Fatal(err)
	}
	e = launch(t, database, map[string]Handler{"work": func(*Context, string) error { return nil }})
	ends(t, e, "work", "one", Done)
}

// When a checkpoint cannot be written, the flow neither goes on nor fails: it
// waits for a server whose database works.
func TestFlow_DatabaseBroken(t *testing.T) {
	database := filepath.Join(t.TempDir(), "flow.db")
	o, err := connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.SQLite.Close() }()
	rename := func(from, to string) {
		if _, err := o.SQLite.ExecContext(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to); err != nil {
			t.Error(err)
		}
	}
	over := make(chan struct{})
	e := launch(t, database, map[string]Handler{"work": func(c *Context, _ string) error {
		defer close(over)
		if _, err := Step(c, "ensure", func(context.Context) (int, error) { rename("operation_outputs", "away"); return 1, nil }); !Interrupted(err) {
			t.Errorf("the step without a checkpoint: %v, want an interruption", err)
		}
		_, err := Tx(c, "row", func(context.Context, sqlq.Querier) (int, error) { t.Error("the next step ran"); return 0, nil })
		return err
	}})
	start(t, e, "work", "one")
	<-over
	rename("away", "operation_outputs")
	shutdown(t, e)
	e = launch(t, database, map[string]Handler{"work": func(c *Context, _ string) error {
		_, err := Step(c, "ensure", func(context.Context) (int, error) { return 1, nil })
		return err
	}})
	ends(t, e, "work", "one", Done)
}
