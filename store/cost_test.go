package store

import (
	"testing"
	"time"

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
		{Run: "r-1", Project: r.Project, Created: r.Created, Step: "train", Attempt: first}, {Run: "r-1", Project: r.Project, Created: r.Created, Step: "train", Attempt: second},
	}
	same(t, must(s.Spent(ctx, r.Project, at(0)))(t), want)
	same(t, must(s.Spent(ctx, "", at(1)))(t), want)
	same(t, len(must(s.Spent(ctx, "nobody", at(0)))(t)), 0)
	same(t, len(must(s.Spent(ctx, r.Project, at(2)))(t)), 0)
	same(t, must(s.Step(ctx, "r-1", "train"))(t).Attempts, []ridgeline.Attempt{first, second})

	same(t, must(s.SpentBy(ctx, []ridgeline.RunID{"r-1", "r-none"}))(t), want)
	same(t, len(must(s.SpentBy(ctx, nil))(t)), 0)

	day := r.Created.Truncate(24 * time.Hour)
	month, later := ridgeline.MonthOf(day), day.AddDate(1, 0, 0)
	same(t, len(must(s.Bills(ctx, "", day, later))(t)), 0)
	same(t, len(must(s.Heaviest(ctx, "", month, 0, 5))(t)), 0)
	ok(t, s.FinishRun(ctx, "r-1", ridgeline.Failed, "", at(5)))
	for range 2 { // once is enough
		must(s.ValueRuns(ctx))(t)
		same(t, must(s.Bills(ctx, "", day, day.Add(time.Second)))(t), []Bill{
			{Day: day, Project: r.Project, Pool: "cheap", Spot: true, Spent: first.Spent()}, {Day: day, Project: r.Project, Pool: "local", Spent: second.Spent()},
		})
		heavy := []Weighed{{"r-1", first.Spent().Plus(second.Spent()).Weight()}}
		same(t, must(s.Heaviest(ctx, "", month, 0, 5))(t), heavy)
		same(t, must(s.Heaviest(ctx, r.Project, month, 0, 5))(t), heavy)
		// As a program has left it that knew nothing of weights.
		ok(t, s.doing(ctx, "go back", func(tx *Store) error {
			_, err := tx.tx.Exec(ctx, `DELETE FROM run_weights`)
			if err == nil {
				_, err = tx.tx.Exec(ctx, `UPDATE runs SET valued = 1`)
			}
			return err
		}))
	}
	same(t, len(must(s.Bills(ctx, "", day.Add(24*time.Hour), later))(t)), 0)
	same(t, len(must(s.Bills(ctx, "", day.AddDate(0, 0, -9), day))(t)), 0)
	same(t, len(must(s.Heaviest(ctx, "nobody", month, 0, 5))(t)), 0)
	same(t, len(must(s.Heaviest(ctx, "", month.AddDate(0, 1, 0), 0, 5))(t)), 0)
}

func testServed(t *testing.T, s *Store) {
	ctx := t.Context()
	d := deploy(t, s, "d-1", 2)
	asked := ridgeline.Held{CPU: 2, Memory: 3, GPU: 1}
	first := Slot{Deployment: "d-1", Used: ridgeline.Used{Seconds: 10, CPU: 0.5, Peak: 9}, Held: ridgeline.Held{CPU: 1}, CopySeconds: 10, Spent: ridgeline.Spent{CPU: 1, Memory: 2, GPU: 3}, Answers: ridgeline.Answers{Succeeded: 5, Failed: 1, Latency: ridgeline.Histogram{0, 6, 0}}}
	second := Slot{
		Deployment: "d-1", Used: ridgeline.Used{Seconds: 20, CPU: 2, Peak: 7}, Held: asked, CopySeconds: 20, Spent: ridgeline.Spent{CPU: 10, Memory: 20, GPU: 30}, Answers: ridgeline.Answers{Succeeded: 50, Latency: ridgeline.Histogram{1, 0, 49}},
		Model: ridgeline.Histogram{50}, Batch: ridgeline.Histogram{25, 25},
	}
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	ok(t, s.AddServed(ctx, first, day.Add(20*time.Second)))
	ok(t, s.AddServed(ctx, second, day.Add(31*time.Second)))
	ok(t, s.AddServed(ctx, Slot{Deployment: "d-1", Held: asked}, day.Add(40*time.Second)))
	sum := ridgeline.Spent{CPU: 11, Memory: 22, GPU: 33}
	same(t, must(s.Served(ctx, ""))(t), []Served{{
		Deployment: "d-1", Project: d.Project, Environment: "production", Model: "ridge", Version: 2, Host: "process",
		CopySeconds: 30, Spent: sum, Used: ridgeline.Used{Seconds: 30, CPU: 2.5, Peak: 9}, Held: asked, Requests: 55, Updated: day.Add(40 * time.Second),
	}})
	same(t, len(must(s.Served(ctx, "nobody"))(t)), 0)

	first.Used, first.Held, second.Used, second.Held = ridgeline.Used{}, ridgeline.Held{}, ridgeline.Used{}, ridgeline.Held{}
	first.Version, first.At, first.Latency, first.Model, first.Batch = 2, day.Add(15*time.Second), ridgeline.Histogram{0, 6}, ridgeline.Histogram{}, ridgeline.Histogram{}
	second.Version, second.At = 2, day.Add(30*time.Second)
	same(t, must(s.Slots(ctx, d.Project, "production", SlotShort, day))(t), []Slot{first, second})
	same(t, must(s.Slots(ctx, d.Project, "production", SlotShort, second.At))(t), []Slot{second})
	whole := Slot{
		Deployment: "d-1", Version: 2, At: day, CopySeconds: 30, Spent: sum, Answers: ridgeline.Answers{Succeeded: 55, Failed: 1, Latency: ridgeline.Histogram{1, 6, 49}},
		Model: second.Model, Batch: second.Batch,
	}
	same(t, must(s.Slots(ctx, d.Project, "production", SlotLong, day))(t), []Slot{whole})
	same(t, len(must(s.Slots(ctx, d.Project, "qa", SlotLong, day))(t)), 0)
	bill := []Bill{{Day: day, Project: d.Project, Pool: "local", Serving: true, Spent: sum, Requests: 55}}
	same(t, must(s.Bills(ctx, d.Project, day, day.Add(time.Second)))(t), bill)
	same(t, len(must(s.Bills(ctx, "nobody", day, day.Add(time.Second)))(t)), 0)
	same(t, len(must(s.Bills(ctx, "", day.Add(time.Second), day.AddDate(0, 1, 0)))(t)), 0)

	ok(t, s.ForgetSlots(ctx, day.Add(25*time.Hour)))
	same(t, len(must(s.Slots(ctx, d.Project, "production", SlotShort, day))(t)), 0)
	same(t, len(must(s.Slots(ctx, d.Project, "production", SlotLong, day))(t)), 1)
	ok(t, s.ForgetSlots(ctx, day.Add(40*24*time.Hour)))
	same(t, len(must(s.Slots(ctx, d.Project, "production", SlotLong, day))(t)), 0)
	same(t, must(s.Bills(ctx, "", day, day.AddDate(0, 1, 0)))(t), bill)
	same(t, must(s.ServedOn(ctx, d.Project, day, day.Add(time.Second)))(t), must(s.Served(ctx, ""))(t))
	same(t, len(must(s.ServedOn(ctx, "", day.Add(time.Second), day.AddDate(0, 1, 0)))(t)), 0)
	same(t, len(must(s.ServedOn(ctx, "nobody", day, day.Add(time.Second)))(t)), 0)
}

// testBudgets: that a budget is exceeded is told once, and again only of a
// greater one.
func testBudgets(t *testing.T, s *Store) {
	ctx := t.Context()
	month := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	exceed := func(project ridgeline.ProjectName, month time.Time, amount float64) bool {
		return must(s.ExceedBudget(ctx, project, month, amount, at(1), map[string]string{"month": "x"}))(t)
	}
	for _, c := range []struct {
		project ridgeline.ProjectName
		month   time.Time
		amount  float64
		fresh   bool
	}{
		{"", month, 50, true}, {"", month, 50, false}, {"", month, 40, false}, {"", month, 60, true}, {"", month, 60, false},
		{"iris", month, 50, true}, {"iris", month.AddDate(0, 1, 0), 50, true}, {"iris", month, 50, false},
	} {
		same(t, exceed(c.project, c.month, c.amount), c.fresh)
	}
	same(t, typesOf(relayed(t, s, nil)), []string{"budget.exceeded", "budget.exceeded", "budget.exceeded", "budget.exceeded"})
	same(t, must(s.Events(ctx, EventFilter{Project: "iris"}))(t)[1].Subject, "costs/month?month=2026-12&project=iris")
}
