package store

import (
	"fmt"
	"math"
	"slices"
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
		f.Limit, f.Skip = max(f.Limit, 10), skip
		return names(must(s.RunsByValue(ctx, f, name, down))(t))
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
	for what, pair := range map[string][2]string{
		"behind one":               {by("m.loss", false, 0, RunFilter{Before: "r-1"}), "[r-2 r-3]"},
		"behind one, downwards":    {by("m.loss", true, 1, RunFilter{Before: "r-3"}), "[r-1]"},
		"as it is written":         {names(must(s.Runs(ctx, RunFilter{Where: []RunCondition{{Names: []string{"p.alpha"}, Op: Is, Value: "1e-3"}}}))(t)), "[r-3 r-2 r-1]"},
		"as it is not written":     {names(must(s.Runs(ctx, RunFilter{Where: []RunCondition{{Names: []string{"p.alpha"}, Op: Is, Value: "0.001"}}}))(t)), "[]"},
		"without the value":        {names(must(s.Runs(ctx, RunFilter{Where: []RunCondition{{Names: []string{"m.loss"}, Op: Lacks}}}))(t)), "[r-4]"},
		"without a verdict, later": {names(must(s.Runs(ctx, RunFilter{Unjudged: true, Skip: 2}))(t)), "[r-2 r-1]"},
		"not those that are newer": {names(must(s.Runs(ctx, RunFilter{Upto: "r-3", Skip: 1, Limit: 1}))(t)), "[r-2]"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}
	ok(t, s.FinishRun(ctx, "r-4", ridgeline.Cancelled, "", at(6)))
	same(t, must(s.ValueRuns(ctx))(t), false)
	same(t, by("m.loss", false, 0, RunFilter{Limit: 1}), "[r-4 r-1 r-2 r-3]")
}

// testRunTable is about a table of many runs: of run i, the loss is i and the
// kind the rest of i by 3, as a word; the last two have not ended.
func testRunTable(t *testing.T, s *Store) {
	ctx, p := t.Context(), project(t, s)
	const many = 60
	id := func(i int) ridgeline.RunID { return ridgeline.RunID(fmt.Sprintf("r-%02d", i)) }
	ok(t, s.InTx(ctx, func(tx *Store) error {
		for i := range many {
			r := ridgeline.Run{ID: id(i), Project: p, Pipeline: 1, Cause: "cli", Status: ridgeline.Running, Created: at(i), Started: at(i), Params: map[string]string{"kind": "k" + fmt.Sprint(i%3), "same": "1"}}
			ok(t, tx.CreateRun(ctx, r))
			ok(t, tx.PlanSteps(ctx, r.ID, planned("train")))
			if i%5 > 0 {
				ok(t, tx.SaveStep(ctx, ridgeline.Step{Run: r.ID, Name: "train", Status: ridgeline.Succeeded, Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": float64(i)}}}))
			}
			if status := []ridgeline.Status{ridgeline.Succeeded, ridgeline.Failed}[i%2]; i < many-2 {
				ok(t, tx.FinishRun(ctx, r.ID, status, "", at(i+1)))
			}
		}
		return nil
	}))
	for more := true; more; {
		more = must(s.ValueRuns(ctx))(t)
	}
	where := must(ParseRunConditions("m.loss >= 10 and kind != k0"))(t)
	for _, name := range []string{"", "m.loss", Took} {
		for _, want := range []RunFilter{{}, {Project: p}, {Upto: id(40)}, {Where: where}, {Status: ridgeline.Failed}, {Where: where, Status: ridgeline.Succeeded}, {Where: must(ParseRunConditions("loss > 1e6"))(t)}} {
			list := func(f RunFilter) []ridgeline.Run {
				if name == "" {
					return must(s.Runs(ctx, f))(t)
				}
				return must(s.RunsByValue(ctx, f, name, true))(t)
			}
			all := list(want)
			const every = 7
			total, marks, err := s.RunMarks(ctx, want, name, true, every)
			ok(t, err)
			if total != len(all) {
				t.Errorf("%q %+v: %d runs, want %d", name, want, total, len(all))
			}
			if len(marks) > 0 && len(marks) != total/every {
				t.Errorf("%q %+v: %d marks of %d runs", name, want, len(marks), total)
			}
			for i, mark := range marks {
				if row := (i+1)*every - 1; all[row].ID != mark {
					t.Errorf("%q %+v: mark %d is %s, want %s", name, want, i, mark, all[row].ID)
				}
				behind := want
				behind.Before, behind.Skip, behind.Limit = mark, 2, 1
				if rows, row := list(behind), (i+1)*every+2; row < total && (len(rows) != 1 || rows[0].ID != all[row].ID) {
					t.Errorf("%q %+v: behind mark %d: %v, want %s", name, want, i, rows, all[row].ID)
				}
			}
		}
	}
	columns := must(s.RunColumns(ctx, RunFilter{}, 30))(t)
	if want := []RunColumn{{"m.loss", true}, {"p.kind", true}, {"p.same", false}}; !slices.Equal(columns, want) {
		t.Errorf("columns %v, want %v", columns, want)
	}
	one := must(s.RunColumns(ctx, RunFilter{Where: must(ParseRunConditions("kind = k1"))(t)}, 30))(t)
	if want := []RunColumn{{"m.loss", true}, {"p.kind", false}, {"p.same", false}}; !slices.Equal(one, want) {
		t.Errorf("columns of one kind %v, want %v", one, want)
	}
	testRunGroups(t, s)
	testRunGroups_deviation(t, s)
}

func testRunGroups(t *testing.T, s *Store) {
	ctx := t.Context()
	told := func(want RunFilter, g RunGrouping) (text string) {
		g.Metric, g.Limit = "m.loss", max(g.Limit, 10)
		for _, one := range must(s.GroupRuns(ctx, want, g))(t) {
			text += fmt.Sprintf("%s %d %d %d/%d: %d %g %.4g %g %g; ", one.Value, one.Count, one.Statuses[ridgeline.Succeeded], one.Statuses[ridgeline.Failed], one.Statuses[ridgeline.Running], one.Measured, one.Least, one.Mean, one.Greatest, one.Last)
		}
		return text
	}
	early := RunFilter{Upto: "r-11"}
	for what, pair := range map[string][2]string{
		"by a value":         {told(early, RunGrouping{By: "p.kind", Order: "value"}), "k0 4 2 2/0: 3 3 6 9 9; k1 4 2 2/0: 3 1 4 7 7; k2 4 2 2/0: 3 2 7 11 11; "},
		"by the mean, down":  {told(early, RunGrouping{By: "p.kind", Order: "mean", Down: true, Limit: 10}), "k2 4 2 2/0: 3 2 7 11 11; k0 4 2 2/0: 3 3 6 9 9; k1 4 2 2/0: 3 1 4 7 7; "},
		"by the status":      {told(RunFilter{}, RunGrouping{By: "status"}), "failed 29 0 29/0: 23 1 28.74 57 57; succeeded 29 29 0/0: 23 2 28.78 56 56; running 2 0 0/2: 0 0 0 0 0; "},
		"those without, too": {told(RunFilter{Status: ridgeline.Running}, RunGrouping{By: "p.kind"}), " 2 0 0/2: 0 0 0 0 0; "},
		"of a condition":     {told(RunFilter{Where: []RunCondition{{Names: []string{"m.loss"}, Op: "<", Value: "3"}}}, RunGrouping{By: "verdict"}), " 2 1 1/0: 2 1 1.5 2 2; "},
		"of no run":          {told(RunFilter{Project: "other"}, RunGrouping{By: "p.kind"}), ""},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}
	_, err := s.GroupRuns(ctx, RunFilter{}, RunGrouping{By: "status", Order: "colour"})
	refused(t, err, ridgeline.Invalid, "count, value")
	var spread []float64
	for _, one := range must(s.GroupRuns(ctx, RunFilter{Upto: "r-11"}, RunGrouping{By: "p.kind", Metric: "m.loss", Order: "deviation", Limit: 10}))(t) {
		spread = append(spread, math.Round(one.Deviation*one.Deviation*1e6)/1e6) // of 3, 6, 9; 1, 4, 7 … by hand
	}
	if !slices.Equal(spread, []float64{9, 9, 21}) {
		t.Errorf("variances by kind, the least first: %v", spread)
	}
}

// The deviation of values that are large and differ little is theirs, and not
// what is left of two sums of squares; one value has none.
func testRunGroups_deviation(t *testing.T, s *Store) {
	ctx := t.Context()
	must(s.EnsureProject(ctx, "large", at(1)))(t)
	for i, loss := range []float64{1e9 + 0.25, 1e9 + 0.5, 1e9 + 0.75, 1e9 + 1, 7} {
		id, kind := ridgeline.RunID(fmt.Sprintf("r-large-%d", i)), "many"
		if i == 4 {
			kind = "one"
		}
		ok(t, s.CreateRun(ctx, ridgeline.Run{ID: id, Project: "large", Pipeline: 1, Cause: "cli", Params: map[string]string{"kind": kind}, Status: ridgeline.Running, Created: at(1), Started: at(1)}))
		ok(t, s.PlanSteps(ctx, id, planned("train")))
		ok(t, s.SaveStep(ctx, ridgeline.Step{Run: id, Name: "train", Status: ridgeline.Succeeded, Result: ridgeline.Result{Metrics: ridgeline.Metrics{"loss": loss}}}))
		ok(t, s.FinishRun(ctx, id, ridgeline.Succeeded, "", at(5)))
	}
	must(s.ValueRuns(ctx))(t)
	groups := must(s.GroupRuns(ctx, RunFilter{Project: "large"}, RunGrouping{By: "p.kind", Metric: "m.loss", Order: "value", Limit: 10}))(t)
	if want := math.Sqrt(0.3125 / 3); len(groups) != 2 || math.Abs(groups[0].Deviation-want) > 1e-6 || groups[1].Deviation != 0 || groups[1].Measured != 1 {
		t.Errorf("deviations of 1e9 and a little, and of one value: %+v, want %v and 0", groups, want)
	}
}
