package store

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testSpent(t *testing.T, s *Store) {
	ctx := t.Context()
	r := run(t, s, "r-1")
	ok(t, s.PlanSteps(ctx, "r-1", planned("train")))
	first := ridgeline.Attempt{
		Number: 1, Task: "run-r-1-train-1", Status: ridgeline.Failed, Fate: "displaced", Started: at(1), Ended: at(2), Pool: "cheap", Spot: true,
		Held: ridgeline.Held{CPU: 2, Memory: 1 << 30, GPU: 1}, Usage: ridgeline.Usage{WallSeconds: 1, CPUSeconds: 0.5, PeakMemory: 7},
	}
	second := first
	second.Number, second.Task, second.Spot, second.Pool, second.Fate, second.Status = 2, "run-r-1-train-2", false, "local", "", ridgeline.Succeeded
	second.Started, second.Ended = at(3), at(4)
	for _, a := range []ridgeline.Attempt{first, second} {
		ok(t, s.SaveAttempt(ctx, "r-1", "train", a))
	}
	want := []SpentAttempt{
		{Run: "r-1", Project: r.Project, Step: "train", Attempt: first}, {Run: "r-1", Project: r.Project, Step: "train", Attempt: second},
	}
	same(t, must(s.Spent(ctx, r.Project, at(0)))(t), want)
	same(t, must(s.Spent(ctx, "", at(1)))(t), want)
	same(t, len(must(s.Spent(ctx, "nobody", at(0)))(t)), 0)
	same(t, len(must(s.Spent(ctx, r.Project, at(2)))(t)), 0)
	same(t, must(s.Step(ctx, "r-1", "train"))(t).Attempts, []ridgeline.Attempt{first, second})
}

func testServed(t *testing.T, s *Store) {
	ctx := t.Context()
	d := deploy(t, s, "d-1", 2)
	ok(t, s.AddServed(ctx, "d-1", 10, ridgeline.Spent{CPU: 1, Memory: 2, GPU: 3}, 5, at(2)))
	ok(t, s.AddServed(ctx, "d-1", 20, ridgeline.Spent{CPU: 10, Memory: 20, GPU: 30}, 50, at(3)))
	same(t, must(s.Served(ctx, ""))(t), []Served{{
		Deployment: "d-1", Project: d.Project, Environment: "production", Model: "ridge", Version: 2, Host: "process",
		CopySeconds: 30, Spent: ridgeline.Spent{CPU: 11, Memory: 22, GPU: 33}, Requests: 55, Updated: at(3),
	}})
	same(t, len(must(s.Served(ctx, "nobody"))(t)), 0)
}
