package gate_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

// classes makes labels and the probabilities of two models; the gain is what
// the challenger knows more.
func classes(r *rand.Rand, n int, gain float64) (y, champion, challenger []float64) {
	squash := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	for range n {
		v := 0.0
		if r.Float64() < 0.4 {
			v = 1
		}
		shared := r.NormFloat64()
		y = append(y, v)
		champion = append(champion, squash(2*v-1+shared+0.5*r.NormFloat64()))
		challenger = append(challenger, squash((1+gain)*(2*v-1)+shared+0.5*r.NormFloat64()))
	}
	return y, champion, challenger
}

func predicted(y, p []float64) gate.Scores { return gate.Scores{Has: true, Y: y, Prediction: p} }

func TestWhole_properties(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, metric := range []string{"r2", "f1", "roc_auc", "pr_auc"} {
		for range 4 {
			n := 60 + r.IntN(300)
			y, a, b := classes(r, n, 0.5*r.NormFloat64())
			in := gate.Input{Metric: metric, Champion: predicted(y, a), Challenger: predicted(y, b), Seed: r.Uint64()}
			got := decide(t, in)
			same := func(name string, other gate.Report, sign float64) {
				t.Helper()
				low, high := other.DifferenceInterval[0], other.DifferenceInterval[1]
				if sign < 0 {
					low, high = -high, -low
				}
				if !near(*got.Difference, sign**other.Difference, 1e-9) || !near(got.DifferenceInterval[0], low, 1e-9) || !near(got.DifferenceInterval[1], high, 1e-9) {
					t.Errorf("%s, %s: %v %v then %v %v", metric, name, *got.Difference, *got.DifferenceInterval, *other.Difference, *other.DifferenceInterval)
				}
			}
			if !(got.DifferenceInterval[0] <= *got.Difference && *got.Difference <= got.DifferenceInterval[1] && got.Interval[0] <= *got.Bound && *got.Bound <= *got.Effect && *got.Effect <= got.Interval[1]) {
				t.Errorf("%s: out of order: %+v", metric, got)
			}
			swapped := in
			swapped.Champion, swapped.Challenger = in.Challenger, in.Champion
			same("swapped", decide(t, swapped), -1)
			same("again", decide(t, in), 1)
			if metric == "roc_auc" || metric == "pr_auc" {
				monotone := in // a ranking knows no scale
				monotone.Champion, monotone.Challenger = predicted(y, apply(a, math.Log)), predicted(y, apply(b, func(v float64) float64 { return 7 * v * v }))
				same("monotone", decide(t, monotone), 1)
			}
			if metric == "r2" {
				unit := in
				f := func(v float64) float64 { return 1000*v - 50 }
				unit.Champion, unit.Challenger = predicted(apply(y, f), apply(a, f)), predicted(apply(y, f), apply(b, f))
				same("another unit", decide(t, unit), 1)
			}
			if rel := (gate.Input{Metric: metric, MinEffect: 0.02, Relative: true, Champion: in.Champion, Challenger: in.Challenger}); *decide(t, rel).P < *got.P-1e-9 {
				t.Errorf("%s: a minimum effect lowers p", metric)
			}
		}
	}
}

func TestWhole_verdicts(t *testing.T) {
	for _, metric := range []string{"r2", "f1", "roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "quantile_0.4"} {
		y, a, b := classes(rand.New(rand.NewPCG(4, 4)), 2000, 1.5)
		in := gate.Input{Metric: metric, MinEffect: 0.01, Relative: true, Champion: predicted(y, a), Challenger: predicted(y, b)}
		wants(t, decide(t, in), ridgeline.Promoted, "The new model is better: "+metric+" went from")
		in.Champion, in.Challenger = in.Challenger, in.Champion
		wants(t, decide(t, in), ridgeline.Rejected, "The new model is worse")
		in.Challenger = in.Champion
		wants(t, decide(t, in), ridgeline.Inconclusive, "alike")
	}
	y, a, b := classes(rand.New(rand.NewPCG(4, 4)), 100, 0.05)
	got := decide(t, gate.Input{Metric: "roc_auc", MinEffect: 0.05, Champion: predicted(y, a), Challenger: predicted(y, b)})
	wants(t, got, ridgeline.Inconclusive, "rows would show it")
	if got.RowsNeeded == nil || *got.RowsNeeded <= 100 || len(got.Tests) != 1 {
		t.Errorf("%+v", got)
	}
}

// A false promotion of an area, with few rows of a class.
func TestSimulation_areas_false_promotions_and_coverage(t *testing.T) {
	for _, metric := range []string{"roc_auc", "pr_auc", "f1"} {
		runs := fewer(300)
		promoted, covered := 0, 0
		for i := range runs {
			y, a, b := classes(rand.New(rand.NewPCG(uint64(i), 3)), 60, 0)
			got := decide(t, gate.Input{Metric: metric, Champion: predicted(y, a), Challenger: predicted(y, b), Seed: uint64(i)})
			if got.Verdict == ridgeline.Promoted {
				promoted++
			}
			if got.DifferenceInterval == nil || got.DifferenceInterval[0] <= 0 && 0 <= got.DifferenceInterval[1] {
				covered++
			}
		}
		false1, coverage := float64(promoted)/float64(runs), float64(covered)/float64(runs)
		t.Logf("%s: no change promoted %.3f, the interval covers %.3f", metric, false1, coverage)
		if false1 > above(0.05, runs) || coverage < 0.93-spare()/2 {
			t.Errorf("%s: no change promoted %.3f, the interval covers %.3f", metric, false1, coverage)
		}
	}
}

func TestWhole_bad_input(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	y, a, b := classes(r, 50, 0.5)
	ones, zeros, half := constant(50, 1), constant(50, 0), constant(50, 0.5)
	for _, test := range []struct {
		metric        string
		y, a, b       []float64
		verdict       ridgeline.Verdict
		reason        string
		withinReasons string
	}{
		{"roc_auc", ones, a, b, ridgeline.GateError, "y is 1 in every row, and a ranking needs both classes", ""},
		{"pr_auc", zeros, a, b, ridgeline.GateError, "y is 0 in every row", ""},
		{"f1", zeros, zeros, zeros, ridgeline.GateError, "no row is of class 1", ""},
		{"f1", zeros, ones, zeros, ridgeline.GateError, "no row is of class 1", ""},
		{"r2", half, a, b, ridgeline.GateError, "y is 0.5 in every row, where r2 is not defined", ""},
		{"roc_auc", set(y, 3, 2), a, b, ridgeline.GateError, "in row 4, y is 2; expected 0 or 1", ""},
		{"roc_auc", y, a, set(b, 3, math.NaN()), ridgeline.GateError, "The challenger cannot be judged: in row 4", ""},
		{"pr_auc", y, set(a, 0, math.Inf(1)), b, ridgeline.GateError, "The champion cannot be judged: in row 1", ""},
		{"f1", y, a, set(b, 3, 1.5), ridgeline.GateError, "in row 4, the prediction is 1.5", ""},
		{"roc_auc", set(zeros, 7, 1), a, b, ridgeline.Inconclusive, "only 1 row of the rarer class", ""},
		{"roc_auc", y, half, half, ridgeline.Inconclusive, "alike", ""},
		{"pr_auc", y, half, half, ridgeline.Inconclusive, "alike", ""},
		{"roc_auc", y, half, y, ridgeline.Promoted, "", ""}, // a constant champion, a perfect challenger
		{"roc_auc", y, y, half, ridgeline.Rejected, "", ""},
		{"pr_auc", y, half, y, ridgeline.Promoted, "", ""},
		{"f1", y, constant(50, 0), y, ridgeline.Promoted, "", ""}, // a champion whose f1 is 0
		{"r2", y, half, y, ridgeline.Promoted, "", ""},
		{"roc_auc", y[:3], a[:3], b[:3], "", "", ""},
	} {
		got := decide(t, gate.Input{Metric: test.metric, Champion: predicted(test.y, test.a), Challenger: predicted(test.y, test.b)})
		if test.verdict == "" {
			if got.Verdict == ridgeline.Promoted || got.Verdict == ridgeline.Rejected {
				t.Errorf("%s from %d rows", got.Verdict, len(test.y))
			}
			continue
		}
		wants(t, got, test.verdict, test.reason)
	}
	for _, metric := range []string{"r2", "f1", "roc_auc", "pr_auc"} {
		_, err := gate.Decide(gate.Input{Metric: metric, Challenger: losses(a)})
		if err == nil || ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s from losses: %v", metric, err)
		}
		// 0 rows, and rows that do not pair up.
		if _, err := gate.Decide(gate.Input{Metric: metric, Challenger: predicted(nil, nil)}); err == nil {
			t.Errorf("%s from nothing", metric)
		}
		if _, err := gate.Decide(gate.Input{Metric: metric, Challenger: predicted(y, a), Champion: predicted(y[1:], a[1:])}); err == nil {
			t.Errorf("%s from 50 and 49 rows", metric)
		}
	}
}

func constant(n int, v float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = v
	}
	return x
}

func TestWhole_slices(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	y, a, b := classes(r, 1200, 1)
	group := make([]string, len(y))
	for i := range group {
		group[i] = []string{"x", "y", "z"}[i%3]
		if group[i] == "x" {
			b[i] = 1 - b[i] // the challenger has it backwards
		}
		if group[i] == "z" && i > 600 {
			group[i] = "one class"
			y[i] = 0
		}
	}
	for _, metric := range []string{"roc_auc", "pr_auc"} {
		got := decide(t, gate.Input{Metric: metric, Champion: predicted(y, a), Challenger: predicted(y, b), Slices: map[string][]string{"group": group}})
		wants(t, got, ridgeline.Rejected, "significantly worse where group is x")
		for _, s := range got.Slices {
			if (s.Value == "one class") != (s.Verdict == gate.SliceSmall) {
				t.Errorf("%s %+v", metric, s)
			}
		}
	}
}

func TestFigures_1000000_rows(t *testing.T) {
	alone(t)
	if testing.Short() {
		t.Skip("several seconds of sorting")
	}
	y, a, b := classes(rand.New(rand.NewPCG(1, 1)), 1_000_000, 0.01)
	for _, metric := range []string{"mse", "roc_auc", "pr_auc", "f1", "r2"} {
		best := time.Hour
		for range 2 {
			start := time.Now()
			decide(t, gate.Input{Metric: metric, MinEffect: 0.01, Relative: true, Champion: predicted(y, a), Challenger: predicted(y, b)})
			best = min(best, time.Since(start))
		}
		t.Logf("1,000,000 rows, %s: %v", metric, best.Round(time.Millisecond))
	}
}

func ExampleDecide() {
	y, a, b := classes(rand.New(rand.NewPCG(2, 2)), 1000, 1)
	r, err := gate.Decide(gate.Input{Metric: "roc_auc", MinEffect: 0.01, Champion: predicted(y, a), Challenger: predicted(y, b)})
	if err != nil {
		panic(err)
	}
	fmt.Println(r.Verdict)
	// Output: promoted
}
