package gate_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

func ptr(v float64) *float64 { return &v }

func TestConstant(t *testing.T) {
	target := []float64{1, 2, 2, 3, 12}
	labels := []float64{0, 1, 1, 2, 1, 0}
	for _, test := range []struct {
		metric string
		target []float64
		want   float64
	}{
		{"mse", target, 4}, {"rmse", target, 4}, {"r2", target, 4}, {"mae", target, 2}, {"mae", []float64{1, 3}, 2}, {"quantile_0.9", target, 12},
		{"mape", []float64{1, 10, 10}, 1}, {"accuracy", labels, 1}, {"error_rate", labels, 1}, {"log_loss", []float64{0, 1, 1, 1}, 0.75}, {"brier", []float64{0, 1}, 0.5},
		{"f1", labels, 1},
	} {
		got, err := gate.Constant(test.metric, test.target)
		if err != nil || *got.Constant != test.want || got.Name == "" {
			t.Errorf("%s: %+v, %v; want %v", test.metric, got, err, test.want)
		}
	}
	// No other constant does better on the rows it is computed from.
	r := rand.New(rand.NewPCG(1, 1))
	for _, metric := range []string{"mse", "mae", "mape", "quantile_0.3", "quantile_0.9"} {
		y := make([]float64, 101)
		for i := range y {
			y[i] = math.Exp(r.NormFloat64())
		}
		best, _ := gate.Constant(metric, y)
		loss := func(v float64) (sum float64) {
			for _, x := range y {
				l, _ := gate.RowLoss(metric, x, v)
				sum += l
			}
			return sum
		}
		for _, x := range y {
			if loss(x) < loss(*best.Constant)-1e-9 {
				t.Errorf("%s: %v is better than %v", metric, x, *best.Constant)
			}
		}
	}
	for _, bad := range []struct {
		metric string
		target []float64
	}{{"mse", nil}, {"mse", []float64{1, math.NaN()}}, {"loss", target}, {"nope", target}} {
		if _, err := gate.Constant(bad.metric, bad.target); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestDecide_first_model_against_a_baseline(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	var y, good, useless []float64
	for range 120 {
		v := 100 + 30*r.NormFloat64()
		y, good, useless = append(y, v), append(good, v+10*r.NormFloat64()), append(useless, 100+30*r.NormFloat64())
	}
	base, err := gate.Constant("mse", y)
	if err != nil {
		t.Fatal(err)
	}
	in := gate.Input{Metric: "mse", MinEffect: 0.01, Relative: true, Challenger: predicted(y, good), Baseline: &base, Slices: map[string][]string{"s": make([]string, len(y))}}
	got := decide(t, in)
	wants(t, got, ridgeline.Promoted, "for the baseline (the mean of the training target)")
	if got.Champion != nil || got.Baseline == nil || got.Interval == nil || *got.Effect < 0.7 {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{gate.Text(got), gate.Markdown(got)} {
		if !strings.Contains(text, "baseline") || strings.Contains(text, "champion") {
			t.Error(text)
		}
	}
	in.Challenger = predicted(y, useless)
	wants(t, decide(t, in), ridgeline.Rejected, "it does not reach the baseline", "has to beat the baseline")
	in.Challenger = predicted(y, constant(len(y), *base.Constant))
	wants(t, decide(t, in), ridgeline.Inconclusive, "as the baseline does")
	in.Slices = nil
	in.Challenger = predicted(y[:5], good[:5])
	wants(t, decide(t, in), ridgeline.Promoted, "meets the baseline", "only 5 rows, too few for a test")

	number := gate.Baseline{Point: ptr(110)}
	in = gate.Input{Metric: "mse", MinEffect: 0.5, Relative: true, Challenger: point(105), Baseline: &number}
	wants(t, decide(t, in), ridgeline.Promoted, "meets the baseline")
	in.Challenger = point(111)
	wants(t, decide(t, in), ridgeline.Rejected, "does not reach the baseline")
	in.Challenger = losses([]float64{100, 130})
	wants(t, decide(t, in), ridgeline.Rejected)
	in.Baseline = &gate.Baseline{Losses: []float64{200, 240}}
	wants(t, decide(t, in), ridgeline.Inconclusive, "smaller than the 50 % asked for")
	for _, bad := range []gate.Baseline{{}, {Point: ptr(1), Constant: ptr(1)}, {Constant: ptr(1)}, {Losses: []float64{1}}} {
		in.Baseline = &bad
		if _, err := gate.Decide(in); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	in.Baseline = &gate.Baseline{Point: ptr(math.NaN())}
	wants(t, decide(t, in), ridgeline.GateError, "baseline")
	// Areas and the rest have a constant to beat as well.
	labels, a, _ := classes(r, 200, 0)
	for _, metric := range []string{"roc_auc", "pr_auc", "f1", "log_loss", "brier", "accuracy", "r2"} {
		base, err := gate.Constant(metric, labels)
		if err != nil {
			t.Fatal(err)
		}
		got := decide(t, gate.Input{Metric: metric, MinEffect: 0.01, Relative: true, Challenger: predicted(labels, a), Baseline: &base})
		wants(t, got, ridgeline.Promoted)
		if (got.Effect == nil) != (metric == "r2") {
			t.Errorf("%s: relative to a baseline of %v: %v", metric, got.Baseline.Value, got.Reasons)
		}
	}
}

func TestDecide_more_limits(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	var y, a, b []float64
	sex := make([]string, 400)
	for i := range sex {
		v := 100 + 30*r.NormFloat64()
		scale := 1.0
		if sex[i] = "1"; i%4 == 0 {
			sex[i], scale = "2", 2
		}
		y, a, b = append(y, v), append(a, v+20*r.NormFloat64()), append(b, v+10*scale*r.NormFloat64())
	}
	in := gate.Input{Metric: "mae", MinEffect: 0.01, Relative: true, Champion: predicted(y, a), Challenger: predicted(y, b), Slices: map[string][]string{"sex": sex}}
	wants(t, decide(t, in), ridgeline.Promoted)
	try := func(verdict ridgeline.Verdict, change func(*gate.Input), reasons ...string) gate.Report {
		t.Helper()
		in := in
		in.Limits = gate.Limits{}
		change(&in)
		got := decide(t, in)
		wants(t, got, verdict, reasons...)
		return got
	}
	try(ridgeline.Promoted, func(in *gate.Input) { in.Limits.Lowest, in.Limits.Highest = ptr(-500), ptr(500) })
	try(ridgeline.Rejected, func(in *gate.Input) { in.Limits.Lowest = ptr(-90); in.Challenger.Prediction = set(b, 6, -99) }, "1 prediction is outside ≥ -90, the first in row 7: -99.")
	try(ridgeline.Rejected, func(in *gate.Input) { in.Limits.Highest = ptr(90) }, "predictions are outside ≤ 90")

	try(ridgeline.GateError, func(in *gate.Input) { in.Challenger.Prediction = set(b, 6, math.NaN()) }, "Row 7 of the challenger")
	got := try(ridgeline.Promoted, func(in *gate.Input) { in.Limits.Missing = ptr(0.01); in.Challenger.Prediction = set(b, 6, math.NaN()) }, "1 row is without a prediction left out")
	if got.LeftOut != 1 || got.Rows != 399 {
		t.Errorf("%+v", got)
	}
	try(ridgeline.Rejected, func(in *gate.Input) { in.Limits.Missing = ptr(0); in.Challenger.Prediction = set(b, 6, math.NaN()) }, "no prediction for 1 of 400 rows (0.25 %), more than the limit of 0 %")
	try(ridgeline.GateError, func(in *gate.Input) { in.Limits.Missing = ptr(0); in.Challenger.Prediction = constant(400, math.NaN()) }, "No row has a prediction")

	features := []gate.Feature{{"age", "float"}, {"sex", "int"}}
	other := []gate.Feature{{"age", "int"}, {"bmi", "float"}}
	try(ridgeline.Promoted, func(in *gate.Input) { in.Features, in.ChampionFeatures = other, features }, "The features changed: age was float and is int, bmi is new, sex is gone.")
	try(ridgeline.Rejected, func(in *gate.Input) {
		in.Features, in.ChampionFeatures, in.Limits.SameFeatures = other, features, true
	}, "The features changed")
	try(ridgeline.Promoted, func(in *gate.Input) {
		in.Features, in.ChampionFeatures, in.Limits.SameFeatures = features, features, true
	})
	try(ridgeline.Inconclusive, func(in *gate.Input) { in.Limits.SameFeatures = true }, "not known for both")

	try(ridgeline.Rejected, func(in *gate.Input) { in.Limits.Gaps = map[string]gate.Margin{"sex": {Value: 2}} }, "The gap of mae between slices is", "where sex is 1", "where it is 2")
	try(ridgeline.Promoted, func(in *gate.Input) { in.Limits.Gaps = map[string]gate.Margin{"sex": {Value: 2, Relative: true}} })
	try(ridgeline.Inconclusive, func(in *gate.Input) {
		in.Limits.Gaps = map[string]gate.Margin{"all": {Value: 1}}
		in.Slices = map[string][]string{"all": make([]string, 400)}
	}, "fewer than two of them")
	got = try(ridgeline.Rejected, func(in *gate.Input) {
		in.Limits.P95, in.Measured.P95, in.Limits.Lowest = 20*time.Millisecond, 30*time.Millisecond, ptr(-1000)
	})
	if len(got.Limits) != 2 || got.Limits[0].Verdict != gate.LimitBroken || got.Limits[0].Measured != "30ms" || got.Limits[1].Verdict != gate.LimitOK {
		t.Errorf("%+v", got.Limits)
	}
	for _, change := range []func(*gate.Input){
		func(in *gate.Input) { in.Limits.Missing = ptr(1.5) },
		func(in *gate.Input) { in.Limits.Lowest, in.Limits.Highest = ptr(2), ptr(1) },
		func(in *gate.Input) { in.Limits.Gaps = map[string]gate.Margin{"age": {Value: 1}} },
		func(in *gate.Input) { in.Limits.Gaps = map[string]gate.Margin{"sex": {Value: -1}} },
		func(in *gate.Input) { in.Reported = []float64{1} },
		func(in *gate.Input) { in.Allowance = &gate.Allowance{Alpha: -1} },
	} {
		in := in
		change(&in)
		if _, err := gate.Decide(in); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%v", err)
		}
	}
	// Losses alone have no predictions to look at.
	few := input(rows(r, 50, 0))
	few.Limits = gate.Limits{Lowest: ptr(0), Missing: ptr(0)}
	wants(t, decide(t, few), ridgeline.Inconclusive, "no predictions, only losses")
}

func TestDecide_slice_tolerance(t *testing.T) {
	a, b := rows(rand.New(rand.NewPCG(9, 9)), 2000, 0.3)
	sex := make([]string, len(a))
	for i := range sex {
		if sex[i] = "2"; i%3 == 0 {
			sex[i] = "1"
			b[i] = a[i] * 1.1
		}
	}
	in := input(a, b)
	in.Slices = map[string][]string{"sex": sex}
	for _, test := range []struct {
		tolerances map[string]gate.Margin
		worse      bool
	}{
		{nil, true},
		{map[string]gate.Margin{"": {Value: 0.05, Relative: true}}, true},
		{map[string]gate.Margin{"": {Value: 0.15, Relative: true}}, false},
		{map[string]gate.Margin{"sex": {Value: 0.15, Relative: true}, "": {}}, false},
		{map[string]gate.Margin{"sex=1": {Value: 0.02, Relative: true}, "sex": {Value: 0.5, Relative: true}}, true},
		{map[string]gate.Margin{"sex=2": {Value: 0.5, Relative: true}}, true},
		{map[string]gate.Margin{"sex": {Value: 5000}}, false},
	} {
		in.Tolerances = test.tolerances
		got := decide(t, in)
		if (got.Verdict == ridgeline.Rejected) != test.worse {
			t.Errorf("%v: %s, %v", test.tolerances, got.Verdict, got.Reasons)
		}
	}
}

func TestLeak(t *testing.T) {
	o := gate.Leak("champion", []string{"a", "b", "c", "d", "e", "f", "g"}, []string{"x", "c", "y", "a", "a", "b", "d", "e"})
	if o.Rows != 6 || o.Of != 8 || len(o.Examples) != 5 || o.Examples[0] != 2 {
		t.Errorf("%+v", o)
	}
	in := input(rows(rand.New(rand.NewPCG(3, 3)), 1000, 0.3))
	in.Overlaps = []gate.Overlap{gate.Leak("challenger", []uint64{1}, []uint64{2}), o}
	got := decide(t, in)
	wants(t, got, ridgeline.GateError, "The champion was trained on 6 of the 8 holdout rows (rows 2, 4, 5, 6, 7, …)")
	if got.P != nil || len(got.Overlaps) != 1 {
		t.Errorf("%+v", got)
	}
	in.Overlaps = in.Overlaps[:1]
	wants(t, decide(t, in), ridgeline.Promoted)
	if gate.Leak("champion", nil, []int{1}).String() != "" {
		t.Error("an overlap of nothing")
	}
}

func TestMatch(t *testing.T) {
	at, err := gate.Match([]string{"a", "b", "c"}, []string{"c", "a", "b"})
	if err != nil || at[0] != 1 || at[1] != 2 || at[2] != 0 {
		t.Errorf("%v %v", at, err)
	}
	for _, test := range []struct {
		a, b []int
		want string
	}{
		{[]int{1, 2}, []int{1, 2, 2}, "the challenger has the id 2 twice, in rows 2 and 3"},
		{[]int{1, 1}, []int{1, 2}, "the champion has the id 1 twice, the second time in row 2"},
		{[]int{1, 2, 3, 4, 5}, []int{1, 7}, "only the champion has 4 ids (2, 3, 4, …), only the challenger has 1 id (7)"},
		{nil, []int{7}, "only the challenger has 1 id (7)"},
	} {
		if _, err := gate.Match(test.a, test.b); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

func TestDecide_skew(t *testing.T) {
	y, a, b := classes(rand.New(rand.NewPCG(3, 3)), 100, 0)
	in := gate.Input{Metric: "mse", Champion: predicted(y, a), Challenger: predicted(y, b)}
	in.Reported = apply(b, func(v float64) float64 { return float64(float32(v)) })
	in.Reported[5] = math.NaN()
	plain := decide(t, gate.Input{Metric: "mse", Champion: in.Champion, Challenger: in.Challenger})
	got := decide(t, in)
	if got.Skew.Rows != 99 || got.Skew.Different != 0 || got.Verdict != plain.Verdict || *got.P != *plain.P {
		t.Errorf("%+v", got.Skew)
	}
	in.Reported[7] += 0.25
	in.Reported[8] -= 0.125
	got = decide(t, in)
	wants(t, got, plain.Verdict, "Training and serving differ", "on 2 of 99 rows (2 %); the most at row 8")
	if math.Abs(got.Skew.Max-0.25) > 1e-6 || *got.P != *plain.P || !strings.Contains(gate.Text(got), "skew") {
		t.Errorf("%+v", got.Skew)
	}
	in.Reported = constant(100, math.NaN())
	if got := decide(t, in); got.Skew != nil {
		t.Errorf("%+v", got.Skew)
	}
}

func TestMarkdown(t *testing.T) {
	a, b := rows(rand.New(rand.NewPCG(3, 5)), 300, 0.12)
	in := input(a, b)
	sex := make([]string, len(a))
	for i := range sex {
		sex[i] = []string{"1", "<b>|2", ""}[i%3]
	}
	in.Slices = map[string][]string{"sex": sex}
	in.Limits, in.Measured = gate.Limits{Size: 50e6}, gate.Measured{Size: 1e6}
	allowed := gate.Budget{}.Next(nil, gate.HoldoutOf(keys(0, 300)))
	in.Allowance = &allowed
	r := decide(t, in)
	text := gate.Markdown(r)
	t.Log("\n" + text)
	for _, want := range []string{"### Gate: " + string(r.Verdict), "`mse` (lower is better), 300 holdout rows", "| champion |", "95 % interval", "| ledger | decision 1 of 20", "&lt;b>\\|2", "| model size | ≤ 50 MB | 1 MB | ok |", "sign flip"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q", want)
		}
	}
	cells := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, "\\|", ""), "|")
		if cells != 0 && n != cells {
			t.Errorf("%d cells: %q", n, line)
		}
		cells = n
	}
	raw, _ := json.Marshal(r)
	var back gate.Report
	if err := json.Unmarshal(raw, &back); err != nil || gate.Markdown(back) != text {
		t.Errorf("changed by JSON: %v", err)
	}
	// A report kept from before there was an error budget.
	var old gate.Report
	if err := json.Unmarshal([]byte(`{"verdict":"promoted","metric":"mse","champion":2,"challenger":1,"p":0.01,"alpha":0.05,"slices":[],"reasons":["Better."]}`), &old); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(gate.Markdown(old), "promoted at 0.05 or less") || !strings.Contains(gate.Text(old), "promoted at 0.05 or less") {
		t.Error(gate.Text(old))
	}
}
