package store

import (
	"fmt"
	"math"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testRunValues(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	add := func(id ridgeline.RunID, status ridgeline.Status, kind string, loss float64) {
		r := ridgeline.Run{ID: id, Project: p, Pipeline: 1, Cause: "cli", Status: ridgeline.Running, Created: at(1), Started: at(1), Params: map[string]string{"kind": kind, "alpha": "1e-3"}}
		ok(t, s.CreateRun(ctx, r))
		ok(t, s.PlanSteps(ctx, id, planned("train")))
		ok(t, s.SaveStep(ctx, ridgeline.Step{Run: id, Name: "train", Status: ridgeline.Succeeded, Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": loss}}}))
		if status.Terminal() {
			ok(t, s.FinishRun(ctx, id, status, "", at(5)))
		}
	}
	add("r-1", ridgeline.Succeeded, "ridge", 0.5)
	add("r-2", ridgeline.Succeeded, "boost", 10)
	add("r-3", ridgeline.Failed, "7", math.NaN())
	add("r-4", ridgeline.Running, "ridge", 0.1)
	for more := true; more; {
		more = must(s.ValueRuns(ctx))(t)
	}
	names := func(runs []ridgeline.Run) string {
		var all []ridgeline.RunID
		for _, r := range runs {
			all = append(all, r.ID)
		}
		return fmt.Sprint(all)
	}
	by := func(name string, down bool, skip int, f RunFilter) string {
		f.Limit = max(f.Limit, 10)
		return names(must(s.RunsByValue(ctx, f, name, down, skip))(t))
	}
	where := func(text string) string {
		c := must(ParseRunConditions(text))(t)
		return names(must(s.Runs(ctx, RunFilter{Where: c, Limit: 10}))(t)) + by(Took, false, 0, RunFilter{Where: c})
	}
	for what, pair := range map[string][2]string{
		"numbers, then what is none":    {by("m.loss", false, 0, RunFilter{}), "[r-1 r-2 r-3]"},
		"the other way round":           {by("m.loss", true, 0, RunFilter{}), "[r-3 r-2 r-1]"},
		"words among numbers":           {by("p.kind", false, 0, RunFilter{Project: p}), "[r-3 r-2 r-1]"},
		"the second page":               {by("m.loss", false, 1, RunFilter{}), "[r-2 r-3]"},
		"of a status":                   {by("m.loss", false, 0, RunFilter{Status: ridgeline.Failed}), "[r-3]"},
		"of another project":            {by("m.loss", false, 0, RunFilter{Project: "other"}), "[]"},
		"of a name that nobody has":     {by("m.nothing", false, 0, RunFilter{}), "[]"},
		"a number":                      {where("m.loss < 5"), "[r-1][r-1]"},
		"a name of either kind":         {where("loss >= 0.5"), "[r-2 r-1][r-1 r-2]"},
		"words":                         {where("p.kind = ridge"), "[r-1][r-1]"},
		"not that word":                 {where("kind != 'ridge'"), "[r-2][r-2]"},
		"two":                           {where("kind = boost and m.loss > 1"), "[r-2][r-2]"},
		"a number that is written else": {where("alpha = 0.001 and m.loss <= 10"), "[r-2 r-1][r-1 r-2]"},
		"how long":                      {where("took >= 0"), "[r-3 r-2 r-1][r-1 r-2 r-3]"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}
	for _, bad := range []string{"loss", "< 3", "loss <", "a = 1 and b"} {
		_, err := ParseRunConditions(bad)
		refused(t, err, ridgeline.Invalid, "expected")
	}
	ok(t, s.FinishRun(ctx, "r-4", ridgeline.Cancelled, "", at(6)))
	same(t, must(s.ValueRuns(ctx))(t), false)
	same(t, by("m.loss", false, 0, RunFilter{Limit: 1}), "[r-4 r-1 r-2 r-3]")
}
