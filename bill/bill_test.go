package bill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// november is when the month begins that the tests spend money in.
var november = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func day(n int) time.Time { return november.AddDate(0, 0, n-1).Add(9 * time.Hour) }

// A book is a ledger with something in it.
type book struct {
	bill.Ledger
	t *testing.T
}

func open(t *testing.T, address string, budget project.Budget) book {
	s, err := store.Open(t.Context(), address, slog.New(slog.DiscardHandler))
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	prices := project.Prices{
		Currency: "EUR", OnDemand: project.Price{CPU: 1, Memory: 0.5, GPU: 3}, Spot: project.Price{CPU: 0.25, GPU: 1},
		Pools: map[string]project.Price{"odd": {Memory: 100}},
	}
	return book{bill.Ledger{Store: s, Prices: prices, Budget: budget}, t}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func words(all ...any) string { return strings.TrimSuffix(fmt.Sprintln(all...), "\n") }

// ran adds a run that ended, with one attempt of hours in a pool.
func (b book) ran(id string, p ridgeline.ProjectName, at time.Time, pool string, spot bool, held ridgeline.Held, hours float64) {
	ctx := b.t.Context()
	_, err := b.Store.EnsureProject(ctx, p, at)
	ok(b.t, err)
	r := ridgeline.Run{ID: ridgeline.RunID(id), Project: p, Pipeline: 1, Cause: "cli", Status: ridgeline.Running, Created: at, Started: at}
	ok(b.t, b.Store.CreateRun(ctx, r))
	ok(b.t, b.Store.PlanSteps(ctx, r.ID, []ridgeline.Step{{Name: "train"}}))
	ok(b.t, b.Store.SaveAttempt(ctx, r.ID, "train", ridgeline.Attempt{
		Number: 1, Task: "task-" + id, Status: ridgeline.Succeeded, Started: at, Ended: at, Pool: pool, Spot: spot, Held: held,
		Usage: ridgeline.Usage{WallSeconds: hours * 3600, CPUSeconds: 60, PeakMemory: 1},
	}))
	ok(b.t, b.Store.FinishRun(ctx, r.ID, ridgeline.Succeeded, "", at))
}

func (b book) valued() {
	for more := true; more; {
		var err error
		more, err = b.Store.ValueRuns(b.t.Context())
		ok(b.t, err)
	}
}

// served adds a deployment that took core hours, and answered.
func (b book) served(id string, p ridgeline.ProjectName, version int, at time.Time, cores float64, answered int64) {
	ctx := b.t.Context()
	_, err := b.Store.EnsureProject(ctx, p, at)
	ok(b.t, err)
	_, err = b.Store.EnsureEndpoint(ctx, p, "production")
	ok(b.t, err)
	d := ridgeline.Deployment{ID: ridgeline.DeploymentID(id), Project: p, Environment: "production", Release: "l-1", Model: "ridge", Version: version, Host: "process", State: ridgeline.DeploymentStarting, Created: at}
	if _, err := b.Store.Deployment(ctx, d.ID); ridgeline.CodeOf(err) == ridgeline.NotFound {
		ok(b.t, b.Store.CreateDeployment(ctx, d))
	}
	ok(b.t, b.Store.AddServed(ctx, store.Slot{
		Deployment: d.ID, CopySeconds: 3600, Spent: ridgeline.Spent{CPU: cores * 3600}, Used: ridgeline.Used{Seconds: 3600, CPU: 36, Peak: 5}, Held: ridgeline.Held{CPU: cores},
		Answers: ridgeline.Answers{Succeeded: answered},
	}, at))
}

// A month is added up by project, pool, day and version, and every sum is of the
// same lines.
func TestLedger_Month(t *testing.T) {
	b := open(t, storetest.Address(t), project.Budget{Month: 100, Projects: map[ridgeline.ProjectName]float64{"iris": 12}})
	b.ran("r-1", "iris", day(1), "local", false, ridgeline.Held{CPU: 2}, 3)           // 6 EUR
	b.ran("r-2", "iris", day(2), "gpus", true, ridgeline.Held{CPU: 4, GPU: 1}, 2)     // 4 EUR
	b.ran("r-3", "wine", day(2), "local", false, ridgeline.Held{Memory: 2 << 30}, 10) // 10 EUR, and what it used of a core
	b.ran("r-4", "iris", day(1).AddDate(0, -1, 0), "local", false, ridgeline.Held{CPU: 1}, 1)
	b.valued()
	b.served("d-1", "iris", 3, day(2), 5, 2000)
	b.served("d-1", "iris", 3, day(3), 1, 0)
	b.served("d-2", "iris", 4, day(3), 0.5, 0)
	b.served("d-2", "iris", 4, day(1).AddDate(0, 1, 0), 9, 50)

	m, err := b.Month(t.Context(), "", day(10), day(11))
	ok(t, err)
	cores := 60.0 / 3600
	near(t, "total", m.Total.Money, 26.5+cores)
	near(t, "training", m.Training.Money, 20+cores)
	near(t, "serving", m.Serving.Money, 6.5)
	near(t, "estimate", *m.Estimate, m.Total.Money*30/(10+9.0/24))
	equal(t, "month", m.Month, "2026-11")
	equal(t, "days", words(len(m.Days), m.Days[0].Day, m.Days[10].Day), "11 2026-11-01 2026-11-11")
	equal(t, "projects", words(m.Projects[0].Project, m.Projects[1].Project, len(m.Projects)), "iris wine 2")
	equal(t, "pools", words(m.Pools[0].Pool, m.Pools[1].Pool, m.Pools[1].Spot), "local gpus true")
	var byDay, byPool, byProject float64
	for _, d := range m.Days {
		byDay += d.Total.Money
	}
	for _, p := range m.Pools {
		byPool += p.Total.Money
	}
	for _, p := range m.Projects {
		byProject += p.Total.Money
	}
	near(t, "by day", byDay, m.Total.Money)
	near(t, "by pool", byPool, m.Total.Money)
	near(t, "by project", byProject, m.Total.Money)
	equal(t, "runs", words(m.Runs[0].Run, m.Runs[1].Run, m.Runs[2].Run, len(m.Runs)), "r-3 r-1 r-2 3")
	if m.Runs[1].Used == nil || !strings.Contains(m.Runs[1].Advice, "train asked for 2 cores") {
		t.Errorf("what r-1 used: %+v, %q", m.Runs[1].Used, m.Runs[1].Advice)
	}

	equal(t, "versions", words(m.Versions[0].Version, m.Versions[1].Version, len(m.Versions)), "3 4 2")
	near(t, "per thousand", *m.Versions[0].PerThousand, 3)
	if m.Versions[1].PerThousand != nil {
		t.Errorf("a thousand of no predictions cost %v", *m.Versions[1].PerThousand)
	}
	equal(t, "deployments", words(m.Deployments[0].Deployment, m.Deployments[0].Predictions, m.Deployments[1].Deployment), "d-1 2000 d-2")
	if !strings.Contains(m.Deployments[0].Advice, "asked for 1 cores") {
		t.Errorf("advice %q", m.Deployments[0].Advice)
	}

	equal(t, "whole budget", m.Budget.State, bill.Within)
	equal(t, "budget of iris", m.Projects[0].Budget.State, bill.Exceeded)
	warnings := m.Warnings()
	equal(t, "warnings", words(len(warnings), warnings[0].Whose()), "1 the budget of iris")
	equal(t, "in words", warnings[0].Budget.Says("EUR"), "16.50 of 12.00 EUR, exceeded")

	one, err := b.Month(t.Context(), "wine", day(1), day(11))
	ok(t, err)
	equal(t, "of wine", words(len(one.Projects), len(one.Runs), len(one.Versions), one.Budget == nil, len(one.Warnings())), "1 1 0 true 0")
	one, err = b.Month(t.Context(), "iris", day(1), day(11))
	ok(t, err)
	equal(t, "of iris", words(one.Budget.State, len(one.Warnings())), "exceeded 1")
	before, err := b.Month(t.Context(), "", day(1).AddDate(0, -1, 0), day(11))
	ok(t, err)
	near(t, "October", before.Total.Money, 1)
	equal(t, "October", words(before.Over, before.Estimate == nil, len(before.Days)), "true true 31")
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if d := got - want; d > 1e-6 || d < -1e-6 {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// Of a version that answers, the run that made it counts in the month in which
// it was, however many others cost more.
func TestLedger_Month_made(t *testing.T) {
	b := open(t, storetest.Address(t), project.Budget{})
	b.ran("r-made", "iris", day(1), "local", false, ridgeline.Held{CPU: 1}, 1)
	for i := range 30 {
		b.ran(fmt.Sprintf("r-%03d", i), "iris", day(2), "local", false, ridgeline.Held{CPU: 2}, 1)
	}
	n, err := b.Store.ReserveVersion(t.Context(), "ridge", "r-made")
	ok(t, err)
	ok(t, b.Store.RegisterVersion(t.Context(), ridgeline.ModelVersion{Model: "ridge", Version: n, Project: "iris", Run: "r-made", Verdict: ridgeline.Promoted, Created: day(1)}))
	b.valued()
	b.served("d-1", "iris", n, day(3), 1, 10)
	m, err := b.Month(t.Context(), "", day(3), day(3))
	ok(t, err)
	equal(t, "runs", len(m.Runs), 20)
	near(t, "training", m.Versions[0].Training.Money, 1)
	near(t, "serving", m.Versions[0].Serving.Money, 1)
	b.served("d-1", "iris", n, day(1).AddDate(0, 1, 0), 1, 10)
	later, err := b.Month(t.Context(), "", day(1).AddDate(0, 1, 0), day(2).AddDate(0, 1, 0))
	ok(t, err)
	near(t, "training, a month later", later.Versions[0].Training.Money, 0)
}

// The most costly runs are found where prices put them in another order than
// their weights do, and many stand before them.
func TestLedger_Month_odd_prices(t *testing.T) {
	b := open(t, storetest.Address(t), project.Budget{})
	for i := range 120 {
		b.ran(fmt.Sprintf("r-%03d", i), "iris", day(2), "local", false, ridgeline.Held{CPU: 1 + float64(i%7)}, 1)
	}
	b.ran("r-odd", "iris", day(2), "odd", false, ridgeline.Held{Memory: 1 << 30}, 0.5) // weighs a sixteenth, costs 50
	b.valued()
	m, err := b.Month(t.Context(), "", day(2), day(3))
	ok(t, err)
	equal(t, "the most costly", m.Runs[0].Run, "r-odd")
	equal(t, "runs", len(m.Runs), 20)
	b.Prices = project.Prices{}
	m, err = b.Month(t.Context(), "", day(2), day(20))
	ok(t, err)
	equal(t, "without prices", words(m.Runs[0].Run, m.Runs[0].Money, m.Estimate == nil), "r-118 0 true")
}

// That a budget is exceeded is told once, whoever looks and however often, and
// what is only about to be is not told yet.
func TestLedger_Watch(t *testing.T) {
	address := storetest.Address(t)
	budget := project.Budget{Month: 20, Projects: map[ridgeline.ProjectName]float64{"iris": 5, "wine": 3}}
	b := open(t, address, budget)
	b.ran("r-1", "iris", day(5), "local", false, ridgeline.Held{CPU: 2}, 3)
	b.ran("r-2", "wine", day(5), "local", false, ridgeline.Held{CPU: 2}, 1)
	b.valued()
	m, err := b.Sums(t.Context(), "", day(6), day(6))
	ok(t, err)
	equal(t, "states", words(m.Budget.State, m.Projects[0].Budget.State, m.Projects[1].Budget.State), "will be exceeded exceeded will be exceeded")
	equal(t, "early", m.Budget.Says("EUR"), "8.00 of 20.00 EUR, about 44.65 at this rate, which is more")

	ok(t, b.Watch(t.Context(), day(6)))
	ok(t, b.Watch(t.Context(), day(7)))
	again := open(t, address, budget)
	ok(t, again.Watch(t.Context(), day(8)))
	equal(t, "events", events(again), "iris 2026-11 exceeded")

	again.ran("r-3", "rose", day(30), "local", false, ridgeline.Held{CPU: 5}, 5)
	again.valued()
	ok(t, again.Watch(t.Context(), day(1).AddDate(0, 1, 0))) // in December
	equal(t, "events", events(again), "iris 2026-11 exceeded;  2026-11 exceeded")
	ok(t, again.Watch(t.Context(), day(2).AddDate(0, 1, 0)))
	equal(t, "events", events(again), "iris 2026-11 exceeded;  2026-11 exceeded")
}

// events are those of budgets in the feed.
func events(b book) string {
	ctx := b.t.Context()
	_, err := b.Store.RelayEvents(ctx, 1000, func(_ context.Context, _ *store.Store, _ ridgeline.Event) ([]ridgeline.Delivery, error) {
		return nil, nil
	})
	ok(b.t, err)
	all, err := b.Store.Events(ctx, store.EventFilter{})
	ok(b.t, err)
	var said []string
	for _, e := range all {
		if e.Type != ridgeline.EventBudgetExceeded {
			continue
		}
		var w bill.Warning
		ok(b.t, json.Unmarshal(e.Data, &w))
		if w.Project != e.Project || !strings.HasPrefix(e.Subject, "costs/month?month="+w.Month) {
			b.t.Errorf("%s of %q tells %s", e.Subject, e.Project, e.Data)
		}
		said = append(said, fmt.Sprintf("%s %s %s", w.Project, w.Month, w.Budget.State))
	}
	return strings.Join(said, "; ")
}

func TestParseMonth(t *testing.T) {
	for text, want := range map[string]time.Time{"": november, "now": november, "2026-11": november, "2025-02": time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC)} {
		if got, err := bill.ParseMonth(text, day(23)); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"2026-12", "november", "2026", "2026-11-03", "1969-01", "../x"} {
		if _, err := bill.ParseMonth(text, day(23)); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "such as 2026-11") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWriteCSV(t *testing.T) {
	b := open(t, storetest.Address(t), project.Budget{})
	b.ran("r-1", "iris", day(2), "gpus", true, ridgeline.Held{CPU: 4, Memory: 1 << 30, GPU: 1}, 2)
	b.valued()
	b.served("d-1", "iris", 3, day(1), 5, 2000)
	lines, err := b.Lines(t.Context(), "", november)
	ok(t, err)
	var out strings.Builder
	ok(t, bill.WriteCSV(&out, "EUR", lines))
	equal(t, "text", out.String(), `day,project,what,pool,spot,core_hours,gib_hours,gpu_hours,predictions,cost,currency
2026-11-01,iris,serving,local,false,5.000000,0.000000,0.000000,2000,5.000000,EUR
2026-11-02,iris,training,gpus,true,8.000000,2.000000,2.000000,0,4.000000,EUR
`)
	out.Reset()
	ok(t, bill.WriteCSV(&out, "", lines[:1]))
	if !strings.HasSuffix(out.String(), ",2000,,\n") {
		t.Errorf("without prices: %s", out.String())
	}
}
