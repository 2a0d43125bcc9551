package store

import (
	"fmt"
	"math"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// run makes a queued run of the test's project.
func run(t testing.TB, s *Store, id ridgeline.RunID) ridgeline.Run {
	t.Helper()
	r := ridgeline.Run{ID: id, Project: project(t, s), Pipeline: 1, Cause: "cli", Caller: "ann", Status: ridgeline.Queued, Created: at(1)}
	ok(t, s.CreateRun(t.Context(), r))
	return r
}

func testRuns(t *testing.T, s *Store) {
	ctx := t.Context()
	want := ridgeline.Run{
		ID: "r-1", Project: project(t, s), Pipeline: 3, Cause: "push b-1", Caller: "ann",
		Params: map[string]string{"alpha": "0.5"}, Status: ridgeline.Queued, Created: at(1),
	}
	ok(t, s.CreateRun(ctx, want))
	ok(t, s.CreateRun(ctx, want))
	same(t, must(s.Run(ctx, "r-1"))(t), want)
	refused(t, s.CreateRun(ctx, ridgeline.Run{ID: "r-1", Project: want.Project, Pipeline: 4}), ridgeline.Conflict, "r-1 exists already")
	refused(t, s.CreateRun(ctx, ridgeline.Run{ID: "r-2", Project: "nobody"}), ridgeline.NotFound, "no project nobody")

	ok(t, s.StartRun(ctx, "r-1", at(2)))
	ok(t, s.StartRun(ctx, "r-1", at(3))) // keeps the first time
	ok(t, s.RequestCancel(ctx, "r-1"))
	ok(t, s.RequestCancel(ctx, "r-1"))
	want.Status, want.Started, want.CancelRequested = ridgeline.Running, at(2), true
	same(t, must(s.Run(ctx, "r-1"))(t), want)
	same(t, must(s.Runs(ctx, RunFilter{Unfinished: true}))(t), []ridgeline.Run{want})

	refused(t, s.FinishRun(ctx, "r-1", ridgeline.Running, "", at(4)), ridgeline.Invalid, "cannot finish as running")
	ok(t, s.FinishRun(ctx, "r-1", ridgeline.Cancelled, "on request", at(4)))
	ok(t, s.FinishRun(ctx, "r-1", ridgeline.Cancelled, "again", at(5)))
	want.Status, want.Reason, want.Ended = ridgeline.Cancelled, "on request", at(4)
	same(t, must(s.Run(ctx, "r-1"))(t), want)
	refused(t, s.FinishRun(ctx, "r-1", ridgeline.Succeeded, "", at(5)), ridgeline.Conflict, "already ended as cancelled")
	refused(t, s.StartRun(ctx, "r-1", at(5)), ridgeline.Conflict, "already ended")
	refused(t, s.RequestCancel(ctx, "r-1"), ridgeline.Conflict, "already ended")

	ok(t, s.SetRunRelease(ctx, "r-1", "l-1"))
	ok(t, s.SetRunRelease(ctx, "r-1", "l-1"))
	refused(t, s.SetRunRelease(ctx, "r-1", "l-2"), ridgeline.Conflict, "l-1")
	same(t, must(s.Run(ctx, "r-1"))(t).Release, ridgeline.ReleaseID("l-1"))

	for _, err := range []error{
		s.StartRun(ctx, "r-none", at(1)), s.FinishRun(ctx, "r-none", ridgeline.Failed, "", at(1)), s.RequestCancel(ctx, "r-none"),
		s.SetRunRelease(ctx, "r-none", "l-1"), s.RecordVerdict(ctx, "r-none", ridgeline.Promoted, "m1", 1), s.PlanSteps(ctx, "r-none", planned("train")),
	} {
		refused(t, err, ridgeline.NotFound, "no run r-none")
	}
}

// planned makes steps of those names.
func planned(names ...string) (steps []ridgeline.Step) {
	for _, name := range names {
		steps = append(steps, ridgeline.Step{Name: name})
	}
	return steps
}

func testTurns(t *testing.T, s *Store) {
	ctx := t.Context()
	for i, id := range []ridgeline.RunID{"r-b", "r-a", "r-c"} { // r-b and r-a at the same moment
		ok(t, s.CreateRun(ctx, ridgeline.Run{ID: id, Project: project(t, s), Pipeline: 1, Status: ridgeline.Queued, Created: at(i / 2)}))
	}
	ok(t, s.CreateRun(ctx, ridgeline.Run{ID: "r-x", Project: must(s.EnsureProject(ctx, "other", at(0)))(t).Name, Status: ridgeline.Queued, Created: at(0)}))
	ok(t, s.CreateRun(ctx, ridgeline.Run{ID: "r-again", Project: project(t, s), Reproduces: "m1:1", Status: ridgeline.Queued, Created: at(0)}))
	turn := func(id ridgeline.RunID, want ridgeline.Status) {
		t.Helper()
		same(t, must(s.TakeTurn(ctx, id, at(5)))(t).Status, want)
	}
	turn("r-b", ridgeline.Queued) // r-a is before it
	turn("r-a", ridgeline.Running)
	turn("r-a", ridgeline.Running)
	turn("r-b", ridgeline.Queued)
	turn("r-x", ridgeline.Running)     // another project's
	turn("r-again", ridgeline.Running) // takes no turns
	ok(t, s.FinishRun(ctx, "r-a", ridgeline.Failed, "", at(6)))
	turn("r-c", ridgeline.Queued)
	turn("r-b", ridgeline.Running)
	ok(t, s.FinishRun(ctx, "r-b", ridgeline.Succeeded, "", at(7)))
	turn("r-b", ridgeline.Succeeded)
	turn("r-c", ridgeline.Running)
	_, err := s.TakeTurn(ctx, "r-none", at(1))
	refused(t, err, ridgeline.NotFound, "no run r-none")
	refused(t, s.LockProject(ctx, project(t, s)), ridgeline.Internal, "outside of a transaction")
}

func testEarlierSteps(t *testing.T, s *Store) {
	ctx := t.Context()
	result := ridgeline.Result{Output: "out", Parts: map[string]string{"fold=1": "one"}, Model: "m", Size: 3, Metrics: ridgeline.Metrics{"mse": math.Inf(1)}}
	for i, id := range []ridgeline.RunID{"r-1", "r-2", "r-3"} {
		ok(t, s.CreateRun(ctx, ridgeline.Run{ID: id, Project: project(t, s), Data: map[string]int{"rows": i}, Status: ridgeline.Queued, Created: at(i)}))
		ok(t, s.PlanSteps(ctx, id, []ridgeline.Step{{Name: "folds"}, {Name: "folds[fold=1]", Parent: "folds", Params: map[string]string{"fold": "1"}}}))
		step := ridgeline.Step{
			Run: id, Name: "folds[fold=1]", Status: ridgeline.Succeeded, Cached: i == 1, Key: "k", Ingredients: []byte(`{"command":"x"}`),
			Result: result, Note: "why", Started: at(i), Ended: at(i + 1),
		}
		if i == 1 {
			step.Source = "r-1"
		}
		ok(t, s.SaveStep(ctx, step))
		got := must(s.Step(ctx, id, step.Name))(t)
		step.Position, step.Parent, step.Params = 1, "folds", map[string]string{"fold": "1"}
		same(t, got, step)
		// An instance takes its parent with it.
		same(t, must(s.Step(ctx, id, "folds"))(t).Status, ridgeline.Running)
	}
	ok(t, s.SetRunData(ctx, "r-1", map[string]int{"rows": 7}))
	ok(t, s.FinishRun(ctx, "r-1", ridgeline.Succeeded, "", at(9)))
	ok(t, s.SetRunData(ctx, "r-1", map[string]int{"rows": 7}))
	refused(t, s.SetRunData(ctx, "r-1", map[string]int{"rows": 8}), ridgeline.Conflict, "already ended")
	same(t, must(s.Run(ctx, "r-1"))(t).Data, map[string]int{"rows": 7})

	var from []ridgeline.RunID
	for _, step := range must(s.Earlier(ctx, project(t, s), "k", 5))(t) {
		from = append(from, step.Source)
	}
	same(t, from, []ridgeline.RunID{"r-3", "r-1"}) // r-2 made nothing itself
	same(t, len(must(s.Earlier(ctx, "other", "k", 5))(t)), 0)
	before, found, err := s.Before(ctx, must(s.Run(ctx, "r-3"))(t), "folds[fold=1]")
	ok(t, err)
	same(t, found && before.Run == "r-2", true)
	_, found, err = s.Before(ctx, must(s.Run(ctx, "r-1"))(t), "folds[fold=1]")
	ok(t, err)
	same(t, found, false)
}

func testRunPaging(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	other := must(s.EnsureProject(ctx, "other", at(0)))(t).Name
	var newest []ridgeline.RunID
	for i := range 10 { // two at each moment, ids against the order of time
		id := ridgeline.RunID(fmt.Sprintf("r-%02d", i^1))
		ok(t, s.CreateRun(ctx, ridgeline.Run{ID: id, Project: p, Status: ridgeline.Queued, Created: at(i / 2)}))
	}
	for i := 8; i >= 0; i -= 2 {
		newest = append(newest, ridgeline.RunID(fmt.Sprintf("r-%02d", i+1)), ridgeline.RunID(fmt.Sprintf("r-%02d", i)))
	}
	ok(t, s.CreateRun(ctx, ridgeline.Run{ID: "r-other", Project: other, Status: ridgeline.Queued, Created: at(30)}))
	ok(t, s.FinishRun(ctx, "r-03", ridgeline.Failed, "", at(40)))

	ids := func(f RunFilter) (ids []ridgeline.RunID) {
		for _, r := range must(s.Runs(ctx, f))(t) {
			ids = append(ids, r.ID)
		}
		return ids
	}
	same(t, ids(RunFilter{Project: p}), newest)
	var paged []ridgeline.RunID
	for f := (RunFilter{Project: p, Limit: 3}); ; {
		page := ids(f)
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		f.Before = page[len(page)-1]
	}
	same(t, paged, newest)
	same(t, ids(RunFilter{Limit: 1}), []ridgeline.RunID{"r-other"})
	same(t, ids(RunFilter{Status: ridgeline.Failed}), []ridgeline.RunID{"r-03"})
	same(t, len(ids(RunFilter{Project: p, Unfinished: true})), 9)
	same(t, ids(RunFilter{Before: "r-none"}), []ridgeline.RunID(nil))
}

func testVerdicts(t *testing.T, s *Store) {
	ctx := t.Context()
	run(t, s, "r-1")
	refused(t, s.RecordVerdict(ctx, "r-1", "", "ridge", 1), ridgeline.Invalid, "expected a verdict")
	ok(t, s.RecordVerdict(ctx, "r-1", ridgeline.Promoted, "ridge", 0))
	ok(t, s.RecordVerdict(ctx, "r-1", ridgeline.Promoted, "ridge", 7))
	ok(t, s.RecordVerdict(ctx, "r-1", ridgeline.Promoted, "ridge", 7))
	refused(t, s.RecordVerdict(ctx, "r-1", ridgeline.Promoted, "ridge", 8), ridgeline.Conflict, "version 7 of ridge")
	refused(t, s.RecordVerdict(ctx, "r-1", ridgeline.Rejected, "ridge", 7), ridgeline.Conflict, "promoted")
	ok(t, s.FinishRun(ctx, "r-1", ridgeline.Succeeded, "", at(3)))
	ok(t, s.RecordVerdict(ctx, "r-1", ridgeline.Promoted, "ridge", 7))
	r := must(s.Run(ctx, "r-1"))(t)
	same(t, []any{r.Verdict, r.Model, r.Version}, []any{ridgeline.Promoted, ridgeline.ModelName("ridge"), 7})

	run(t, s, "r-2")
	ok(t, s.FinishRun(ctx, "r-2", ridgeline.Failed, "", at(3)))
	refused(t, s.RecordVerdict(ctx, "r-2", ridgeline.Promoted, "ridge", 8), ridgeline.Conflict, "already ended")
}

func testSteps(t *testing.T, s *Store) {
	ctx := t.Context()
	run(t, s, "r-1")
	plan := planned("train", "evaluate", "gate")
	ok(t, s.PlanSteps(ctx, "r-1", plan))
	train := ridgeline.Step{Run: "r-1", Name: "train", Status: ridgeline.Running, Started: at(2)}
	ok(t, s.SaveStep(ctx, train))
	ok(t, s.PlanSteps(ctx, "r-1", plan)) // leaves what train has come to
	refused(t, s.PlanSteps(ctx, "r-1", plan[:2]), ridgeline.Conflict, "other steps")
	refused(t, s.SaveStep(ctx, ridgeline.Step{Run: "r-1", Name: "bake"}), ridgeline.NotFound, "no step bake")
	refused(t, s.SaveAttempt(ctx, "r-1", "bake", ridgeline.Attempt{Number: 1}), ridgeline.NotFound, "no step bake")
	refused(t, s.SaveAttempt(ctx, "r-1", "train", ridgeline.Attempt{}), ridgeline.Invalid, "count from 1")

	first := ridgeline.Attempt{Number: 1, Task: ridgeline.TaskName("r-1", "train", 1), Status: ridgeline.Running, Started: at(2)}
	ok(t, s.SaveAttempt(ctx, "r-1", "train", first))
	first.Status, first.Message, first.Ended = ridgeline.Failed, "exit code 3", at(4)
	first.Usage = ridgeline.Usage{WallSeconds: 2, CPUSeconds: 1.25, PeakMemory: 3 << 32}
	ok(t, s.SaveAttempt(ctx, "r-1", "train", first))
	second := ridgeline.Attempt{Number: 2, Task: ridgeline.TaskName("r-1", "train", 2), Status: ridgeline.Succeeded, Started: at(5), Ended: at(6)}
	ok(t, s.SaveAttempt(ctx, "r-1", "train", second))
	train.Status, train.Message, train.Ended = ridgeline.Succeeded, "ok\x00", at(6)
	ok(t, s.SaveStep(ctx, train))

	train.Message = "ok\uFFFD"
	want := []ridgeline.Step{
		{Run: "r-1", Name: "train", Position: 0, Status: ridgeline.Succeeded, Message: train.Message, Started: at(2), Ended: at(6), Attempts: []ridgeline.Attempt{first, second}},
		{Run: "r-1", Name: "evaluate", Position: 1, Status: ridgeline.Queued},
		{Run: "r-1", Name: "gate", Position: 2, Status: ridgeline.Queued},
	}
	same(t, must(s.Steps(ctx, "r-1"))(t), want)

	ok(t, s.FinishRun(ctx, "r-1", ridgeline.Succeeded, "", at(9)))
	train.Message = "ok\x00"
	ok(t, s.SaveStep(ctx, train)) // nothing new
	ok(t, s.SaveAttempt(ctx, "r-1", "train", second))
	ok(t, s.PlanSteps(ctx, "r-1", plan))
	train.Status = ridgeline.Running
	refused(t, s.SaveStep(ctx, train), ridgeline.Conflict, "already ended")
	second.Message = "changed"
	refused(t, s.SaveAttempt(ctx, "r-1", "train", second), ridgeline.Conflict, "already ended")
	same(t, must(s.Steps(ctx, "r-1"))(t), want)
	same(t, len(must(s.Steps(ctx, "r-none"))(t)), 0)

	run(t, s, "r-metrics")
	ok(t, s.PlanSteps(ctx, "r-metrics", planned("prepare", "train")))
	ok(t, s.SaveStep(ctx, ridgeline.Step{Run: "r-metrics", Name: "prepare", Status: ridgeline.Succeeded, Result: ridgeline.Result{Metrics: ridgeline.Metrics{"rows": 3, "loss": 9}}}))
	ok(t, s.SaveStep(ctx, ridgeline.Step{Run: "r-metrics", Name: "train", Status: ridgeline.Succeeded, Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": 0.5}}}))
	same(t, must(s.RunMetrics(ctx, []ridgeline.RunID{"r-metrics", "r-none"}))(t), map[ridgeline.RunID]ridgeline.Metrics{"r-metrics": {"rows": 3, "loss": 0.5}})
}
