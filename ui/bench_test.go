package ui

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// benched is a UI over an empty store.
func benched(b *testing.B) *UI {
	b.Helper()
	s, err := store.Open(b.Context(), storetest.Address(b), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	u := &UI{Store: s}
	if err := u.Open(); err != nil {
		b.Fatal(err)
	}
	return u
}

// BenchmarkRuns is the server's time for the table of runs with 100,000 of
// them in the store, each with three steps: the newest window, one from the
// middle, one of a rare status, and a thousand at once.
func BenchmarkRuns(b *testing.B) {
	ctx, u := b.Context(), benched(b)
	s := u.Store
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

// BenchmarkRun is the server's time for the page of a run of 5,000 steps that
// were declared one by one, from the store to the HTML, which is made again each
// second while it goes on. It tells the size of the page, too.
func BenchmarkRun(b *testing.B) {
	ctx, u := b.Context(), benched(b)
	s := u.Store
	id, needs := keepDeclared(b, s, 5000)
	for name, query := range map[string]string{"first": "", "amid": "step=compare", "layer": "layer=3", "before": "before=report"} {
		b.Run(name, func(b *testing.B) {
			q, err := url.ParseQuery(query)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				page := runPage{Run: ridgeline.Run{ID: id, Status: ridgeline.Running, Started: begun}}
				steps, err := s.Steps(ctx, id)
				if err != nil {
					b.Fatal(err)
				}
				chosen := chooseStep(steps, q.Get("step"))
				page.draw(stepRows(page.Run, steps, chosen, begun.Add(time.Minute)), needs, chosen, q)
				html, err := u.render("content", layout{Page: Page{Template: "run", Body: page}})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(html)), "bytes/page")
			}
		})
	}
}

// keepDeclared keeps a run of n steps, half through, with what each needs.
func keepDeclared(b *testing.B, s *store.Store, n int) (ridgeline.RunID, map[string][]string) {
	b.Helper()
	const id = ridgeline.RunID("r-00000000000001")
	needs := map[string][]string{}
	var plan []ridgeline.Step
	for _, step := range sampleSteps(n) {
		needs[step.Name], plan = step.Needs, append(plan, ridgeline.Step{Name: step.Name})
	}
	err := s.InTx(b.Context(), func(tx *store.Store) error {
		if _, err := tx.EnsureProject(b.Context(), "iris", begun); err != nil {
			return err
		}
		if err := tx.CreateRun(b.Context(), ridgeline.Run{ID: id, Project: "iris", Pipeline: 1, Cause: "cli", Status: ridgeline.Queued, Created: begun}); err != nil {
			return err
		}
		if err := tx.PlanSteps(b.Context(), id, plan); err != nil {
			return err
		}
		for i, step := range plan[:len(plan)/2] {
			row := sampleStep(id, step.Name, ridgeline.Succeeded)
			if i%600 == 599 {
				row = sampleStep(id, step.Name, ridgeline.Failed)
			}
			for _, a := range row.Attempts {
				if err := tx.SaveAttempt(b.Context(), id, step.Name, a); err != nil {
					return err
				}
			}
			if err := tx.SaveStep(b.Context(), row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return id, needs
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
