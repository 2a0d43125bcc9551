package ui

import (
	"math"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// homeSamples are home on a day with something to look at, and before anything
// has been pushed.
func homeSamples() []sample {
	v := sampleVersion(sampleReport(ridgeline.Promoted, 0.084, 0.041, 0.127, "The new model is better: mse went from 2,995 to 2,744, 8.4 % better (95 % interval +4.1 % to +12.7 %, 412 rows)."))
	return []sample{
		{"home", Page{Title: "Home", Nav: "home", Template: "home", Body: homePage{
			Open: []attention{
				{"waiting", "diabetes version 5 waits for approval before production", "/releases/l-1", sampleTime},
				{"quarantined", "a delivery of churn (churn): 4 of 12 rules do not hold", "/data/churn/churn", sampleTime.Add(-3 * time.Hour)},
				{"will be exceeded", "the budget of diabetes of this month: 148.26 of 160.00 EUR, about 193.73 at this rate, which is more", "/cost?project=diabetes", time.Time{}},
				{"failed", "the last run of iris: step train: exit code 1: ValueError: Input X contains NaN.", "/runs/r-1", sampleTime.Add(-5 * time.Hour)},
			},
			Places: homePlaces(v),
			Loops:  homeLoops(),
			Month:  homeMonth(),
		}}},
		{"home-empty", Page{Title: "Home", Nav: "home", Template: "home", Body: homePage{}}},
	}
}

// homePlaces are endpoints at work: one version, two that share the requests,
// one whose copies rest, and one where nothing is.
func homePlaces(v ridgeline.ModelVersion) []place {
	production, shared, resting := samplePlace("production", v), samplePlace("production", v), samplePlace("production", v)
	production.Main.Created, shared.Main.Created, resting.Main.Created = sampleTime.Add(-51*time.Hour), sampleTime.Add(-26*time.Hour), sampleTime.Add(-200*time.Hour)
	production.Hour = sampleHour(20, 0.0004)
	shared.Project, shared.Earlier, shared.Why = "iris", 0, "ann overrode the gate: finance wants the simpler one"
	shared.Main.Model, shared.Main.Version, shared.Version.Verdict = "iris", 12, ridgeline.Rejected
	beside := shared.Main
	beside.Version, beside.Weight, shared.Main.Weight = 13, 10, 90
	shared.Live, shared.Hour = []livePart{beside, shared.Main}, sampleHour(3, 0.021)
	resting.Project, resting.Main.Model, resting.Main.Version, resting.Main.Asleep, resting.Main.Idle, resting.Main.Copies = "churn", "churn", 2, true, 30*time.Minute, 0
	return []place{production, shared, resting, {Project: awkward, Environment: "production"}}
}

// sampleHour is an hour of so many requests a second.
func sampleHour(perSecond, failing float64) *hour {
	var slots []store.Slot
	for i := range 12 {
		calls := int64(perSecond * 300 * (1 + 0.4*math.Sin(float64(i)/2)))
		slots = append(slots, store.Slot{
			Version: 4, At: sampleTime.Truncate(store.SlotLong).Add(time.Duration(i-11) * store.SlotLong),
			Answers: ridgeline.Answers{Succeeded: calls, Failed: int64(failing * float64(calls)), Latency: ridgeline.Histogram{0, 0, calls / 4, calls / 2, calls / 5, calls / 20, 3}},
		})
	}
	return hourOf(slots, sampleTime)
}

func homeLoops() (runs []ridgeline.Run) {
	for i, of := range []struct {
		project ridgeline.ProjectName
		status  ridgeline.Status
		verdict ridgeline.Verdict
		reason  string
	}{
		{"diabetes", ridgeline.Succeeded, ridgeline.Promoted, "The new model is better: mse went from 2,995 to 2,744, 8.4 % better."},
		{"churn", ridgeline.Succeeded, ridgeline.Inconclusive, "The new model looks better by 0.4 %, but so small a difference may be chance."},
		{"iris", ridgeline.Failed, "", "step train: exit code 1: ValueError: Input X contains NaN."},
		{awkward, ridgeline.Running, "", ""},
	} {
		r := sampleRuns(4, nil).Rows[i].Run
		r.Project, r.Status, r.Verdict, r.Reason, r.Created = of.project, of.status, of.verdict, of.reason, sampleTime.Add(-time.Duration(i*i)*time.Hour)
		runs = append(runs, r)
	}
	return runs
}

func homeMonth() billed {
	return billed{sampleMonth(23, "EUR", "", project.Budget{Month: 500})}
}
