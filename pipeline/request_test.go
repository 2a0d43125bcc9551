package pipeline

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// published is a runner over a store in which a pipeline with that overlap
// policy is published.
func published(t *testing.T, overlap string) *Runner {
	t.Helper()
	ctx := t.Context()
	s, err := store.Open(ctx, storetest.Address(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	now := time.Now().UTC()
	commit := ridgeline.Commit{Project: "graph", Hash: "abc", Tree: strings.Repeat("0", 64), Created: now}
	err = s.InTx(ctx, func(tx *store.Store) error {
		if _, err := tx.EnsureProject(ctx, "graph", now); err != nil {
			return err
		}
		if err := tx.CreateBuild(ctx, ridgeline.Build{ID: "b-1", Project: "graph", Commit: commit, Status: ridgeline.Running, Created: now}); err != nil {
			return err
		}
		_, err := tx.PublishPipeline(ctx, ridgeline.Pipeline{
			Project: "graph", Build: "b-1", Commit: commit, Created: now,
			Config: "project: graph\npython: requirements.txt\npipeline:\n  on: {push: false}\n  overlap: " + overlap + "\n  params: {alpha: 0.5, year: {type: int, min: 2000}}\n  steps: {one: a, two: b}\n",
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Runner{Store: s, Start: func(context.Context, string, string) error { return nil }}
}

func TestRunner_Create(t *testing.T) {
	ctx := t.Context()
	ask := Request{Project: "graph", Params: map[string]string{"year": "2026"}, Cause: "test", Caller: "ann"}
	t.Run("all that is wrong at once", func(t *testing.T) {
		r := published(t, "queue")
		_, err := r.Submit(ctx, Request{Project: "graph", Params: map[string]string{"alpa": "1", "year": "1999"}, Data: map[string]int{"rows": 1}})
		for _, says := range []string{`no parameter "alpa": did you mean alpha?`, "year", `data "rows", version 1`} {
			if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, want Invalid with %s", err, says)
			}
		}
		if runs, err := r.Store.Runs(ctx, store.RunFilter{}); err != nil || len(runs) != 0 {
			t.Errorf("%d runs, %v", len(runs), err)
		}
	})
	t.Run("queue", func(t *testing.T) {
		r := published(t, "queue")
		first, err := r.Submit(ctx, ask)
		if err != nil || first.Params["alpha"] != "0.5" {
			t.Fatalf("%+v, %v; want the default of alpha in it", first, err)
		}
		if second, err := r.Submit(ctx, ask); err != nil || second.Status != ridgeline.Queued {
			t.Errorf("%+v, %v", second, err)
		}
	})
	t.Run("reject", func(t *testing.T) {
		r := published(t, "reject")
		first, err := r.Submit(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Submit(ctx, ask); ridgeline.CodeOf(err) != ridgeline.Conflict || !strings.Contains(err.Error(), string(first.ID)) {
			t.Errorf("got %v, want Conflict with %s", err, first.ID)
		}
		if err := r.Store.FinishRun(ctx, first.ID, ridgeline.Failed, "", time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Submit(ctx, ask); err != nil {
			t.Error(err)
		}
	})
	t.Run("coalesce", func(t *testing.T) {
		r := published(t, "coalesce")
		var runs []ridgeline.Run
		for i := range 3 {
			run, err := r.Submit(ctx, ask)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 { // one under way is left alone
				if run, err = r.Store.TakeTurn(ctx, run.ID, time.Now()); err != nil || run.Status != ridgeline.Running {
					t.Fatalf("%+v, %v", run, err)
				}
			}
			runs = append(runs, run)
		}
		for i, want := range []ridgeline.Status{ridgeline.Running, ridgeline.Cancelled, ridgeline.Queued} {
			got, err := r.Store.Run(ctx, runs[i].ID)
			if err != nil || got.Status != want {
				t.Errorf("run %d is %s, %v; want %s", i, got.Status, err, want)
			}
			if i == 1 && got.Reason != "superseded by "+string(runs[2].ID) {
				t.Errorf("reason %q", got.Reason)
			}
		}
	})
	t.Run("a turn that is given up", func(t *testing.T) {
		r := published(t, "queue")
		first, err := r.Submit(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.turn(ctx, first.ID); err != nil {
			t.Fatal(err)
		}
		second, err := r.Submit(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Store.RequestCancel(ctx, second.ID); err != nil {
			t.Fatal(err)
		}
		if p, err := r.turn(ctx, second.ID); err != nil || p.Run.Status != ridgeline.Cancelled {
			t.Errorf("%s, %v; want cancelled while it waited", p.Run.Status, err)
		}
	})
	t.Run("again", func(t *testing.T) {
		r := published(t, "queue")
		first, err := r.Submit(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Resume(ctx, first.ID, "bob"); ridgeline.CodeOf(err) != ridgeline.Conflict {
			t.Errorf("resumed while it is queued: %v", err)
		}
		if err := r.Store.SetRunData(ctx, first.ID, map[string]int{"rows": 3}); err != nil {
			t.Fatal(err)
		}
		if err := r.Store.FinishRun(ctx, first.ID, ridgeline.Failed, "no", time.Now()); err != nil {
			t.Fatal(err)
		}
		again, err := r.Resume(ctx, first.ID, "bob")
		if err != nil || again.Resumes != first.ID || again.Data["rows"] != 3 || again.Params["year"] != "2026" || again.Caller != "bob" || again.Reason != "" {
			t.Errorf("%+v, %v", again, err)
		}
		if _, err := r.Rerun(ctx, first.ID, "thre", "bob"); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("from no step: %v", err)
		}
		if again, err = r.Rerun(ctx, first.ID, "two", "bob"); err != nil || again.From != "two" {
			t.Errorf("%+v, %v", again, err)
		}
	})
}
