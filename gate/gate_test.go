package gate_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

func losses(x []float64) gate.Scores { return gate.Scores{Has: true, Losses: x} }

func point(v float64) gate.Scores { return gate.Scores{Has: true, Point: &v} }

func decide(t testing.TB, in gate.Input) gate.Report {
	t.Helper()
	r, err := gate.Decide(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Reasons) == 0 {
		t.Error("a verdict without a reason")
	}
	for _, s := range r.Reasons {
		if strings.Contains(s, "%!") || strings.Contains(s, "NaN%") || !strings.HasSuffix(s, ".") {
			t.Errorf("not a sentence: %q", s)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	return r
}

// rows makes losses of two models: squared errors with a shared part, as two
// fits of one problem have it; the challenger's are lower by the gain.
func rows(r *rand.Rand, n int, gain float64) (champion, challenger []float64) {
	for range n {
		shared := 50 * r.NormFloat64()
		a, b := shared+12*r.NormFloat64(), shared+12*r.NormFloat64()
		champion = append(champion, a*a)
		challenger = append(challenger, b*b*(1-gain))
	}
	return champion, challenger
}

func input(champion, challenger []float64) gate.Input {
	return gate.Input{Metric: "mse", MinEffect: 0.01, Relative: true, Champion: losses(champion), Challenger: losses(challenger)}
}

func wants(t *testing.T, r gate.Report, verdict ridgeline.Verdict, parts ...string) {
	t.Helper()
	text := strings.Join(r.Reasons, " ")
	if r.Verdict != verdict {
		t.Errorf("verdict %s, want %s: %s", r.Verdict, verdict, text)
	}
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("reasons lack %q: %s", p, text)
		}
	}
}

func TestDecide_verdicts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	t.Run("a clearly better model is promoted", func(t *testing.T) {
		got := decide(t, input(rows(r, 1000, 0.3)))
		wants(t, got, ridgeline.Promoted, "The new model is better: mse went from", "up to 5 % is allowed")
		if *got.P > 0.05 || *got.Bound < 0.01 || got.RowsNeeded != nil || got.Interval[0] > *got.Effect || got.Interval[1] < *got.Effect {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a clearly worse model is rejected", func(t *testing.T) {
		got := decide(t, input(rows(r, 1000, -0.3)))
		wants(t, got, ridgeline.Rejected, "The new model is worse", "interval")
	})
	t.Run("few rows and a small gain are inconclusive, and say how many it takes", func(t *testing.T) {
		a, b := rows(rand.New(rand.NewPCG(3, 5)), 89, 0.08)
		got := decide(t, input(a, b))
		wants(t, got, ridgeline.Inconclusive, "looks better, but not surely by more than 1 %", "holdout rows would show it with a probability of 80 %")
		if got.RowsNeeded == nil || *got.RowsNeeded <= 89 {
			t.Errorf("rows needed %v", got.RowsNeeded)
		}
	})
	t.Run("no improvement is inconclusive, and more rows would not help", func(t *testing.T) {
		a, b := rows(r, 200, 0)
		if decide(t, input(a, b)).P == nil {
			t.Error("no p")
		}
		for i := range b {
			b[i] = a[i] * (1 + 1e-4*float64(i%3-1))
		}
		got := decide(t, input(a, b))
		wants(t, got, ridgeline.Inconclusive, "More rows would not change that")
		if got.RowsNeeded != nil {
			t.Error("rows needed for nothing")
		}
	})
	t.Run("identical models are inconclusive", func(t *testing.T) {
		a, _ := rows(r, 100, 0)
		got := decide(t, input(a, a))
		wants(t, got, ridgeline.Inconclusive, "alike")
		if *got.Effect != 0 || *got.Interval != [2]float64{0, 0} || *got.P != 1 || got.RowsNeeded != nil {
			t.Errorf("%+v", got)
		}
		b := make([]float64, len(a))
		for i := range a {
			b[i] = a[i] * (1 + 1e-16)
		}
		wants(t, decide(t, input(a, b)), ridgeline.Inconclusive, "alike")
	})
	t.Run("three rows are inconclusive", func(t *testing.T) {
		got := decide(t, input([]float64{9, 9, 9}, []float64{1, 1, 1}))
		wants(t, got, ridgeline.Inconclusive, "only 3 rows")
		if *got.RowsNeeded != 20 || *got.Effect != 8.0/9 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("every row better by the same is promoted", func(t *testing.T) {
		a, b := make([]float64, 50), make([]float64, 50)
		for i := range a {
			a[i], b[i] = 4, 3
		}
		wants(t, decide(t, input(a, b)), ridgeline.Promoted)
	})
	t.Run("a perfect champion leaves nothing to improve", func(t *testing.T) {
		a, b := make([]float64, 50), make([]float64, 50)
		for i := range b {
			b[i] = float64(i % 2)
		}
		got := decide(t, input(a, b))
		wants(t, got, ridgeline.Rejected)
		if got.Effect != nil || got.Interval != nil || *got.Difference != -0.5 {
			t.Errorf("%+v", got)
		}
	})
}

func TestDecide_first_model_and_limits(t *testing.T) {
	in := gate.Input{Metric: "mae", Challenger: losses([]float64{1, 2, 3})}
	got := decide(t, in)
	wants(t, got, ridgeline.Promoted, "first model", "mae is 2")
	if got.Champion != nil || got.Effect != nil {
		t.Error("a champion from nowhere")
	}
	in.Limits = gate.Limits{P95: 20 * time.Millisecond, Size: 50e6}
	in.Measured = gate.Measured{P95: 20 * time.Millisecond, Size: 50e6}
	wants(t, decide(t, in), ridgeline.Promoted)
	in.Measured = gate.Measured{P95: 21 * time.Millisecond, Size: 60e6}
	wants(t, decide(t, in), ridgeline.Rejected, "latency is 21ms, above the limit of 20ms", "60 MB, more than the limit of 50 MB")
	in.Measured = gate.Measured{Size: 1}
	wants(t, decide(t, in), ridgeline.Inconclusive, "no latency was measured")
	a, b := rows(rand.New(rand.NewPCG(1, 1)), 1000, 0.3)
	better := input(a, b)
	better.Limits, better.Measured = gate.Limits{Size: 10}, gate.Measured{Size: 11}
	wants(t, decide(t, better), ridgeline.Rejected, "more than the limit", "better")
}

func TestDecide_point_values(t *testing.T) {
	for _, test := range []struct {
		metric                string
		champion, challenger  float64
		verdict               ridgeline.Verdict
		effect                float64
		minEffect             float64
		relative              bool
		better, reasonContain string
	}{
		{"mse", 100, 90, ridgeline.Promoted, 0.1, 0.01, true, "", "10 % better"},
		{"mse", 100, 99.5, ridgeline.Inconclusive, 0.005, 0.01, true, "", "smaller than the 1 % asked for"},
		{"mse", 100, 101, ridgeline.Rejected, -0.01, 0.01, true, "", "worse"},
		{"mse", 100, 100, ridgeline.Inconclusive, 0, 0, true, "", "exactly as good"},
		{"accuracy", 0.8, 0.84, ridgeline.Promoted, 0.05, 0.03, false, "", "better"},
		{"r2", 0.5, 0.6, ridgeline.Promoted, 0.2, 0.05, true, "higher", "better"},
		{"r2", -0.5, -0.6, ridgeline.Rejected, -0.2, 0.05, true, "higher", "worse"},
	} {
		got := decide(t, gate.Input{Metric: test.metric, Better: test.better, MinEffect: test.minEffect, Relative: test.relative, Champion: point(test.champion), Challenger: point(test.challenger)})
		wants(t, got, test.verdict, test.reasonContain, "no interval", "rows.csv")
		if math.Abs(*got.Effect-test.effect) > 1e-12 || got.Interval != nil || got.P != nil {
			t.Errorf("%+v", got)
		}
	}
	// Rows on one side only are reduced to their metric.
	got := decide(t, gate.Input{Metric: "rmse", Champion: point(4), Challenger: losses([]float64{9, 9})})
	if *got.Challenger != 3 || got.Verdict != ridgeline.Promoted {
		t.Errorf("%+v", got)
	}
}

func TestDecide_bad_rows_are_a_verdict(t *testing.T) {
	a, b := rows(rand.New(rand.NewPCG(1, 1)), 30, 0)
	for _, test := range []struct {
		in   gate.Input
		want string
	}{
		{input(a, set(b, 16, math.NaN())), "Row 17 of the challenger has the loss NaN"},
		{input(set(a, 0, math.Inf(1)), b), "Row 1 of the champion has the loss +Inf"},
		{gate.Input{Metric: "rmse", Challenger: losses([]float64{1, -1})}, "Row 2 of the challenger has the loss -1"},
		{gate.Input{Metric: "mape", Challenger: gate.Scores{Has: true, Y: []float64{1, 0}, Prediction: []float64{1, 1}}}, "Row 2 of the challenger cannot be judged: y is 0"},
		{gate.Input{Metric: "mse", Challenger: gate.Scores{Has: true, Y: []float64{1}, Prediction: []float64{math.NaN()}}}, "Row 1"},
		{gate.Input{Metric: "accuracy", Challenger: gate.Scores{Has: true, Y: []float64{1}, Prediction: []float64{math.NaN()}}}, "Row 1"},
		{gate.Input{Metric: "log_loss", Challenger: gate.Scores{Has: true, Y: []float64{1}, Prediction: []float64{1.5}}}, "between 0 and 1"},
		{gate.Input{Metric: "brier", Challenger: gate.Scores{Has: true, Y: []float64{2}, Prediction: []float64{0.5}}}, "expected 0 or 1"},
		{gate.Input{Metric: "mse", Challenger: point(math.Inf(1))}, "finite"},
		{gate.Input{Metric: "loss", Challenger: losses([]float64{1.7e308, 1.7e308})}, "finite"},
	} {
		wants(t, decide(t, test.in), ridgeline.GateError, test.want)
	}
}

func set(x []float64, i int, v float64) []float64 {
	y := append([]float64(nil), x...)
	y[i] = v
	return y
}

func TestDecide_misuse_is_an_error(t *testing.T) {
	one := losses([]float64{1})
	for _, test := range []struct {
		in   gate.Input
		want string
	}{
		{gate.Input{Metric: "mes", Challenger: one}, `no metric "mes"; expected one of mse, rmse, mae, mape, r2, accuracy, error_rate, log_loss, brier, f1, roc_auc, pr_auc, quantile_0.9, loss`},
		{gate.Input{Challenger: one}, "no metric"},
		{gate.Input{Metric: "mse", Better: "higher", Challenger: one}, "mse is better when lower"},
		{gate.Input{Metric: "x", Better: "more", Challenger: one}, "expected lower or higher"},
		{gate.Input{Metric: "mse"}, "no challenger"},
		{gate.Input{Metric: "mse", Challenger: gate.Scores{Has: true}}, "no rows and no value"},
		{gate.Input{Metric: "mse", Challenger: losses([]float64{})}, "no rows"},
		{gate.Input{Metric: "mse", Challenger: one, Champion: losses([]float64{1, 2})}, "the champion has 2 rows and the challenger 1"},
		{gate.Input{Metric: "mse", Challenger: gate.Scores{Has: true, Y: []float64{1}}}, "1 values of y and 0 predictions"},
		{gate.Input{Metric: "mse", Challenger: gate.Scores{Has: true, Y: []float64{1, 2}, Prediction: []float64{1, 2}},
			Champion: gate.Scores{Has: true, Y: []float64{1, 3}, Prediction: []float64{1, 2}}}, "row 2: y is 3 for the champion and 2 for the challenger"},
		{gate.Input{Metric: "mse", Challenger: one, Slices: map[string][]string{"sex": {"1", "2"}}}, `"sex" has 2 values for 1 rows`},
		{gate.Input{Metric: "mse", Challenger: one, MinEffect: -1}, "min_effect"},
		{gate.Input{Metric: "mse", Challenger: one, Alpha: 0.7}, "alpha"},
		{gate.Input{Metric: "loss", Challenger: gate.Scores{Has: true, Y: []float64{1}, Prediction: []float64{1}}}, "give a loss for each row"},
	} {
		_, err := gate.Decide(test.in)
		if err == nil || !strings.Contains(err.Error(), test.want) || ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}

func TestDecide_slices(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	a, b := rows(r, 2000, 0.3)
	sex, few := make([]string, len(a)), make([]string, len(a))
	for i := range sex {
		sex[i] = "2"
		if i%5 == 0 {
			sex[i] = "1"
			b[i] = a[i]*1.2 + 1
		}
		if i < 10 {
			few[i] = "rare"
		}
	}
	in := input(a, b)
	in.Slices = map[string][]string{"sex": sex, "few": few}
	got := decide(t, in)
	wants(t, got, ridgeline.Rejected, "The new model is better", "significantly worse where sex is 1", "on 400 rows")
	want := map[string]gate.SliceVerdict{"few=": gate.SliceOK, "few=rare": gate.SliceSmall, "sex=1": gate.SliceWorse, "sex=2": gate.SliceOK}
	for _, s := range got.Slices {
		if want[s.Column+"="+s.Value] != s.Verdict {
			t.Errorf("%+v", s)
		}
		delete(want, s.Column+"="+s.Value)
	}
	if len(want) > 0 {
		t.Errorf("missing %v", want)
	}
	t.Run("a column of ids is not a report of a thousand lines", func(t *testing.T) {
		ids := make([]string, len(a))
		for i := range ids {
			ids[i] = string(rune('a'+i%26)) + string(rune('a'+i/26))
		}
		in.Slices = map[string][]string{"id": ids}
		got := decide(t, in)
		if len(got.Slices) != 20 {
			t.Errorf("%d slices", len(got.Slices))
		}
		wants(t, got, ridgeline.Promoted, "1,980 more slices", "No slice has the 20 rows")
	})
}

func TestReport_JSON_fields(t *testing.T) {
	text, err := json.Marshal(decide(t, gate.Input{Metric: "mse", Challenger: point(1)}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"verdict":"promoted","metric":"mse","champion":null,"challenger":1,"effect":null,"interval":null,"p":null,"rows":0,"rows_needed":null,"slices":[],"reasons":["This is the first model, so there is no champion to beat, and no baseline was given; its mse is 1."]`
	if !strings.HasPrefix(string(text), want) {
		t.Errorf("got %s", text)
	}
}

func TestRowLoss(t *testing.T) {
	for _, test := range []struct {
		metric     string
		y, p, want float64
	}{
		{"mse", 3, 1, 4}, {"rmse", 3, 1, 4}, {"mae", 3, 1, 2}, {"mape", -4, -3, 0.25},
		{"accuracy", 2, 2, 0}, {"accuracy", 2, 1, 1}, {"accuracy", 1, 0.5, 0}, {"accuracy", 0, 0.49, 0}, {"error_rate", 1, 0.2, 1}, {"accuracy", 1, 1, 0},
		{"quantile_0.9", 3, 1, 1.8}, {"quantile_0.9", 1, 3, 0.2}, {"quantile_0.25", 3, 1, 0.5},
		{"brier", 1, 0.8, 0.04}, {"log_loss", 1, 0.8, 0.22314355131420976}, {"log_loss", 0, 0.8, 1.6094379124341005}, {"log_loss", 1, 0, 36.04365338911715}, {"log_loss", 0, 0, 2.220446049250313e-16},
	} {
		got, err := gate.RowLoss(test.metric, test.y, test.p)
		if err != nil || math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%s(%v, %v) = %v, %v; want %v", test.metric, test.y, test.p, got, err, test.want)
		}
	}
	for _, bad := range []string{"loss", "nope", "r2", "f1", "quantile_1", "quantile_x"} {
		if _, err := gate.RowLoss(bad, 1, 1); err == nil {
			t.Errorf("%s has a row loss", bad)
		}
	}
	for _, name := range gate.Metrics() {
		if better, ok := gate.BetterOf(name); !ok || (better == "higher") != slices.Contains([]string{"accuracy", "r2", "f1", "roc_auc", "pr_auc"}, name) {
			t.Errorf("%s is better %q", name, better)
		}
	}
}

func TestText(t *testing.T) {
	a, b := rows(rand.New(rand.NewPCG(3, 5)), 300, 0.12)
	in := input(a, b)
	sex := make([]string, len(a))
	for i := range sex {
		sex[i] = []string{"1", "2", "2", ""}[i%4]
	}
	sex[0] = "rare"
	in.Slices = map[string][]string{"sex": sex}
	r := decide(t, in)
	text := gate.Text(r)
	t.Log("\n" + text)
	for _, want := range []string{strings.ToUpper(string(r.Verdict)), "mse (lower is better) on 300 holdout rows", "├", "●", "┤", "┊ the minimum effect of 1 %", "95 % interval", "sex=1", "sex missing", "not enough rows"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q", want)
		}
	}
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 82 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	// A report read back is rendered the same.
	raw, _ := json.Marshal(r)
	var back gate.Report
	if err := json.Unmarshal(raw, &back); err != nil || gate.Text(back) != text {
		t.Errorf("changed by JSON: %v", err)
	}
	for _, in := range []gate.Input{{Metric: "mse", Challenger: point(1)}, {Metric: "mse", Challenger: point(1), Champion: point(2)}, input(a, a), {Metric: "mse", Challenger: losses([]float64{math.NaN()})}} {
		if text := gate.Text(decide(t, in)); strings.Contains(text, "%!") || len(text) < 40 {
			t.Errorf("text: %s", text)
		}
	}
}
