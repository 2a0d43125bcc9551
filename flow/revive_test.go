package flow

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A flow that was taken over by somebody who then vanished is nobody's, until
// it is revived; what it had finished is not repeated.
func TestEngine_Revive(t *testing.T) {
	database := filepath.Join(t.TempDir(), "flow.db")
	began, release := make(chan struct{}), make(chan struct{})
	var first, second atomic.Int32
	e := launch(t, database, map[string]Handler{"work": func(c *Context, id string) error {
		if _, err := Step(c, "once", func(context.Context) (int, error) { return int(first.Add(1)), nil }); err != nil {
			return err
		}
		if _, err := Step(c, "cut off", func(context.Context) (int, error) {
			if second.Add(1) == 1 {
				close(began)
				<-release
			}
			return 0, nil
		}); err != nil {
			return err
		}
		_, err := Tx(c, "row", func(ctx context.Context, q sqlq.Querier) (int64, error) {
			return q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, 0, 7)`, id)
		})
		return err
	}})
	start(t, e, "work", "one")
	<-began
	if !e.Active("work", "one") {
		t.Error("a flow in the middle of a step is not active")
	}
	o, err := connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer o.SQLite.Close()
	if _, err := o.SQLite.ExecContext(t.Context(), `UPDATE workflow_status SET owner_xid = 'a server that is gone' WHERE workflow_uuid = 'work-one'`); err != nil {
		t.Fatal(err)
	}
	close(release)
	eventually(t, func() error {
		if e.Active("work", "one") {
			return errors.New("still active")
		}
		return nil
	})
	if got, err := e.State(t.Context(), "work", "one"); err != nil || got != Running {
		t.Fatalf("the flow is %s (%v), want running: it has not ended", got, err)
	}
	if err := e.Revive(t.Context(), "work", "one"); err != nil {
		t.Fatal(err)
	}
	ends(t, e, "work", "one", Done)
	if first.Load() != 1 || second.Load() != 2 {
		t.Errorf("the finished step ran %d times, the cut off one %d times; want 1 and 2", first.Load(), second.Load())
	}
	if got := rows(t, database, results); len(got) != 1 {
		t.Errorf("rows %v, want one", got)
	}
	if err := e.Revive(t.Context(), "work", "one"); err != nil {
		t.Errorf("reviving an ended flow: %v", err)
	}
	ends(t, e, "work", "one", Done)
}
