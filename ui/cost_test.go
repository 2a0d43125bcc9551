package ui

import (
	"net/http"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// What runs take and deployments answer is on home in money, where the server
// has prices, and else in hours.
func TestCost(t *testing.T) {
	s := furnish(t)
	ctx, now := t.Context(), time.Now().UTC()
	run := ridgeline.Run{ID: "r-cost", Project: "iris", Pipeline: 1, Cause: "cli", Status: ridgeline.Running, Created: now, Started: now}
	ok(t, s.ui.Store.CreateRun(ctx, run))
	ok(t, s.ui.Store.PlanSteps(ctx, run.ID, []ridgeline.Step{{Name: "train"}}))
	ok(t, s.ui.Store.SaveAttempt(ctx, run.ID, "train", ridgeline.Attempt{
		Number: 1, Task: "task-cost", Status: ridgeline.Succeeded, Started: now, Ended: now, Pool: "local", Usage: ridgeline.Usage{WallSeconds: 3600, CPUSeconds: 7200},
	}))
	ok(t, s.ui.Store.FinishRun(ctx, run.ID, ridgeline.Succeeded, "", now))
	_, err := s.ui.Store.ValueRuns(ctx)
	ok(t, err)
	s.shows("/", http.StatusOK, "This month: 2 core hours", "Nobody said what an hour costs")
	s.ui.Bills.Prices = project.Prices{Currency: "EUR", OnDemand: project.Price{CPU: 0.75}}
	s.shows("/", http.StatusOK, "This month: 1.50 EUR", "0.00 EUR")
	s.shows("/runs/r-cost", http.StatusOK, "1.50 EUR", "2 core hours, 0 GiB minutes; used 2 core hours")
}
