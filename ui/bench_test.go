package ui

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// BenchmarkRuns is the server's time for the table of runs with 100,000 of
// them in the store, each with three steps: the newest window, one from the
// middle, one of a rare status, and a thousand at once.
func BenchmarkRuns(b *testing.B) {
	ctx := b.Context()
	s, err := store.Open(ctx, "sqlite:"+filepath.Join(b.TempDir(), "app.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	u := &UI{Store: s}
	if err := u.Open(); err != nil {
		b.Fatal(err)
	}
	const runs = 100_000
	if _, err := s.EnsureProject(ctx, "iris", begun); err != nil {
		b.Fatal(err)
	}
	for from := 0; from < runs; from += 1000 {
		err := s.InTx(ctx, func(tx *store.Store) error {
			for i := from; i < from+1000; i++ {
				if err := fill(b, tx, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for name, query := range map[string]string{
		"newest": "", "middle": "?before=r-" + fmt.Sprintf("%014d", runs/2), "rare": "?status=failed&project=iris", "grouped": "?group=p.alpha&different=1", "thousand": "?window=1000",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/runs"+query, nil)
				body, _, err := u.loadRuns(ctx, r.URL.Query())
				if err == nil {
					_, err = u.render("content", layout{Page: Page{Template: "runs", Body: body}})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func fill(b *testing.B, tx *store.Store, i int) error {
	at, id := begun.Add(time.Duration(i)*time.Second), ridgeline.RunID(fmt.Sprintf("r-%014d", i))
	status := ridgeline.Succeeded
	if i%10_000 == 0 {
		status = ridgeline.Failed
	}
	if err := tx.CreateRun(b.Context(), ridgeline.Run{ID: id, Project: "iris", Pipeline: 1, Cause: "cli", Params: map[string]string{"alpha": fmt.Sprint(i % 7), "depth": "3"}, Status: ridgeline.Queued, Created: at}); err != nil {
		return err
	}
	if err := tx.PlanSteps(b.Context(), id, []ridgeline.Step{{Name: "prepare"}, {Name: "train"}, {Name: "gate"}}); err != nil {
		return err
	}
	if err := tx.SaveStep(b.Context(), ridgeline.Step{Run: id, Name: "train", Status: ridgeline.Succeeded, Started: at, Ended: at, Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": float64(i), "accuracy": 0.5}}}); err != nil {
		return err
	}
	return tx.FinishRun(b.Context(), id, status, "", at)
}
