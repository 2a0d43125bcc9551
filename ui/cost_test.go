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

// The page of a month tells what home does, of any month, and of one project
// alone; a budget that is exceeded needs a look.
func TestCost_month(t *testing.T) {
	s := furnish(t)
	ctx, now := t.Context(), time.Now().UTC()
	s.shows("/cost", http.StatusOK, "Nothing was taken in this month", "ridgeline train PROJECT")
	run := ridgeline.Run{ID: "r-cost", Project: "iris", Pipeline: 1, Cause: "cli", Status: ridgeline.Running, Created: now, Started: now}
	ok(t, s.ui.Store.CreateRun(ctx, run))
	ok(t, s.ui.Store.PlanSteps(ctx, run.ID, []ridgeline.Step{{Name: "train"}}))
	ok(t, s.ui.Store.SaveAttempt(ctx, run.ID, "train", ridgeline.Attempt{
		Number: 1, Task: "task-cost", Status: ridgeline.Succeeded, Started: now, Ended: now, Pool: "local", Held: ridgeline.Held{CPU: 8}, Usage: ridgeline.Usage{WallSeconds: 3600, CPUSeconds: 7200},
	}))
	ok(t, s.ui.Store.FinishRun(ctx, run.ID, ridgeline.Succeeded, "", now))
	_, err := s.ui.Store.ValueRuns(ctx)
	ok(t, err)
	month := ridgeline.MonthOf(now)
	s.shows("/cost", http.StatusOK, "Cost of "+month.Format("January 2006"), "8 core hours", "Nobody said what an hour costs", "r-cost", "train asked for 8 cores, used 2 on average", "ridgeline cost --month "+month.Format("2006-01"), "Every day as a table")
	s.ui.Bills.Prices = project.Prices{Currency: "EUR", OnDemand: project.Price{CPU: 0.75}}
	s.shows("/cost", http.StatusOK, "6.00 EUR", "There is no budget here", "no version")
	s.ui.Bills.Budget = project.Budget{Month: 1e6, Projects: map[ridgeline.ProjectName]float64{"iris": 4}}
	s.shows("/cost", http.StatusOK, "150 % of 4.00 EUR", "of 1,000,000.00 EUR")
	s.shows("/cost?project=iris", http.StatusOK, "150 % of 4.00 EUR", "exceeded", "ridgeline cost --month "+month.Format("2006-01")+" --project iris")
	s.shows("/", http.StatusOK, "Needs a look", "the budget of iris of this month: 6.00 of 4.00 EUR, exceeded")
	s.shows("/cost?project=none", http.StatusOK, "Nothing was taken in this month", "ridgeline train none")
	s.shows("/cost?month="+month.AddDate(0, -1, 0).Format("2006-01"), http.StatusOK, "Nothing was taken in this month")
	s.shows("/cost?month=2019-13", http.StatusUnprocessableEntity, "expected one that has begun")
	s.shows("/cost.csv?month=now", http.StatusOK, "day,project,what", ",iris,training,local,false,8.000000,0.000000,0.000000,0,6.000000,EUR")
	s.shows("/cost.csv?month=x", http.StatusUnprocessableEntity, "expected one that has begun")
}
