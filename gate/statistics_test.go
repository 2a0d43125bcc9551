package gate_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*math.Max(1, math.Abs(b)) }

func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 12 {
		n := 20 + r.IntN(300)
		a, b := rows(r, n, 0.2*r.NormFloat64())
		in := gate.Input{Metric: "mse", MinEffect: 0, Champion: losses(a), Challenger: losses(b), Seed: r.Uint64()}
		got := decide(t, in)
		t.Run("swapping the models flips the sign", func(t *testing.T) {
			swapped := in
			swapped.Champion, swapped.Challenger = in.Challenger, in.Champion
			other := decide(t, swapped)
			flip := map[ridgeline.Verdict][]ridgeline.Verdict{
				ridgeline.Promoted:     {ridgeline.Rejected, ridgeline.Inconclusive}, // rejection wants the two-sided level
				ridgeline.Rejected:     {ridgeline.Promoted},
				ridgeline.Inconclusive: {ridgeline.Inconclusive, ridgeline.Promoted},
			}
			if !near(*got.Difference, -*other.Difference, 1e-9) || !near(got.DifferenceInterval[0], -other.DifferenceInterval[1], 1e-6) || !near(got.DifferenceInterval[1], -other.DifferenceInterval[0], 1e-6) {
				t.Errorf("%v %v; swapped %v %v", *got.Difference, got.DifferenceInterval, *other.Difference, other.DifferenceInterval)
			}
			if !slices.Contains(flip[got.Verdict], other.Verdict) {
				t.Errorf("%s, swapped %s", got.Verdict, other.Verdict)
			}
		})
		t.Run("a constant added to both changes no difference", func(t *testing.T) {
			shifted := in
			shifted.Champion, shifted.Challenger = losses(apply(a, func(v float64) float64 { return v + 1000 })), losses(apply(b, func(v float64) float64 { return v + 1000 }))
			other := decide(t, shifted)
			if !near(*got.Difference, *other.Difference, 1e-9) || !near(got.DifferenceInterval[0], other.DifferenceInterval[0], 1e-6) || !near(*got.P, *other.P, 1e-9) {
				t.Errorf("%v %v %v; shifted %v %v %v", *got.Difference, got.DifferenceInterval, *got.P, *other.Difference, other.DifferenceInterval, *other.P)
			}
		})
		t.Run("a change of unit changes no relative effect", func(t *testing.T) {
			scaled := in
			scaled.Relative, scaled.MinEffect = true, 0.01
			one := decide(t, scaled)
			scaled.Champion, scaled.Challenger = losses(apply(a, func(v float64) float64 { return v * 1e-7 })), losses(apply(b, func(v float64) float64 { return v * 1e-7 }))
			other := decide(t, scaled)
			if one.Verdict != other.Verdict || !near(*one.Effect, *other.Effect, 1e-9) || !near(one.Interval[0], other.Interval[0], 1e-6) || !near(*one.P, *other.P, 1e-9) {
				t.Errorf("%+v\n%+v", one, other)
			}
		})
		t.Run("lower losses of the challenger never make the effect smaller", func(t *testing.T) {
			lower := in
			lower.Challenger = losses(apply(b, func(v float64) float64 { return v * (1 - 0.1*r.Float64()) }))
			if other := decide(t, lower); *other.Difference < *got.Difference || *other.Effect < *got.Effect {
				t.Errorf("%v then %v", *got.Difference, *other.Difference)
			}
		})
		t.Run("what is promoted has its bound above the minimum effect", func(t *testing.T) {
			rel := in
			rel.Relative, rel.MinEffect = true, 0.01
			got := decide(t, rel)
			if *got.P <= 0.049 && *got.Bound <= 0.01 {
				t.Errorf("p %v, bound %v", *got.P, *got.Bound)
			}
			if !(got.Interval[0] <= *got.Bound && *got.Bound <= *got.Effect && *got.Effect <= got.Interval[1]) {
				t.Errorf("out of order: %v %v %v", got.Interval, *got.Bound, *got.Effect)
			}
		})
		t.Run("the same input gives the same digits", func(t *testing.T) {
			if other := decide(t, in); *other.P != *got.P || *other.DifferenceInterval != *got.DifferenceInterval {
				t.Error("differs")
			}
		})
	}
}

func apply(x []float64, f func(float64) float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = f(v)
	}
	return y
}

// A percentile-t interval and Student's, computed from scratch with another
// generator and twenty thousand plain resamples, agrees within the resampling error.
func TestAgreement_with_a_plain_bootstrap(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{40, 300, 5000} { // the last one is resampled in groups
		a, b := rows(r, n, 0.1)
		got := decide(t, gate.Input{Metric: "mse", MinEffect: 20, Champion: losses(a), Challenger: losses(b), Seed: 1})
		d := make([]float64, n)
		for i := range d {
			d[i] = a[i] - b[i]
		}
		m, se := meanAndError(d)
		b2 := 20000
		if n > 1000 {
			b2 = 2000
		}
		pivots := make([]float64, b2)
		draw := make([]float64, n)
		r := rand.New(rand.NewChaCha8([32]byte{7}))
		for k := range pivots {
			for i := range draw {
				draw[i] = d[r.IntN(n)]
			}
			mk, sk := meanAndError(draw)
			pivots[k] = (mk - m) / sk
		}
		slices.Sort(pivots)
		student := distuv.StudentsT{Sigma: 1, Nu: float64(n - 1)}
		low := m - se*max(pivots[int(0.975*float64(b2))], student.Quantile(0.975))
		high := m - se*min(pivots[int(0.025*float64(b2))], student.Quantile(0.025))
		count := 0
		for _, v := range pivots {
			if v >= (m-20)/se {
				count++
			}
		}
		p := max(float64(count)/float64(b2), student.Survival((m-20)/se))
		if math.Abs(got.DifferenceInterval[0]-low) > 0.15*se || math.Abs(got.DifferenceInterval[1]-high) > 0.15*se || !near(*got.Difference, m, 1e-12) {
			t.Errorf("n=%d: %v ± %v: interval %v, plain %v to %v", n, m, se, *got.DifferenceInterval, low, high)
		}
		if n > 100 && math.Abs(*got.P-p) > 4*math.Sqrt(p*(1-p)/2000)+0.005 {
			t.Errorf("n=%d: p %v, plain %v", n, *got.P, p)
		}
		if *got.P < p-0.02 { // with few rows the sign-flip test may be more cautious
			t.Errorf("n=%d: p %v, below %v", n, *got.P, p)
		}
	}
}

func meanAndError(x []float64) (float64, float64) {
	var s, q float64
	for _, v := range x {
		s += v
	}
	m := s / float64(len(x))
	for _, v := range x {
		q += (v - m) * (v - m)
	}
	return m, math.Sqrt(q / float64(len(x)*len(x)))
}

// For label errors p is at least the exact McNemar's: binom.sf(12-1, 16, 0.5)
// for 12 rows against 4.
func TestAgreement_with_McNemar(t *testing.T) {
	a, b := make([]float64, 100), make([]float64, 100)
	for i := range 16 {
		if i < 12 {
			a[i] = 1
		} else {
			b[i] = 1
		}
	}
	got := decide(t, gate.Input{Metric: "error_rate", Champion: losses(a), Challenger: losses(b)})
	want := 0.0 // Σ C(16, k)/2^16 for k = 12 … 16
	for _, c := range []float64{1820, 560, 120, 16, 1} {
		want += c / 65536
	}
	if *got.P < want-1e-12 || *got.P > want+0.03 {
		t.Errorf("p %v, exact %v", *got.P, want)
	}
	if *got.Champion != 0.12 || *got.Challenger != 0.04 || !near(*got.Effect, 2.0/3, 1e-12) {
		t.Errorf("%+v", got)
	}
	accuracy := decide(t, gate.Input{Metric: "accuracy", Champion: losses(a), Challenger: losses(b)})
	if *accuracy.P != *got.P || !near(*accuracy.Difference, 0.08, 1e-12) || !near(*accuracy.Effect, 0.08/0.88, 1e-12) {
		t.Errorf("%+v", accuracy)
	}
}

// rmse's relative effect has a closed relation to mse's: 1 − √(1 − e), for the
// interval's ends as well, up to the pivot's curvature.
func TestAgreement_of_rmse_with_mse(t *testing.T) {
	a, b := rows(rand.New(rand.NewPCG(8, 8)), 800, 0.1)
	in := gate.Input{Metric: "mse", Relative: true, Champion: losses(a), Challenger: losses(b)}
	mse := decide(t, in)
	in.Metric = "rmse"
	rmse := decide(t, in)
	root := func(e float64) float64 { return 1 - math.Sqrt(1-e) }
	if !near(*rmse.Effect, root(*mse.Effect), 1e-9) || math.Abs(rmse.Interval[0]-root(mse.Interval[0])) > 0.003 || math.Abs(rmse.Interval[1]-root(mse.Interval[1])) > 0.003 {
		t.Errorf("rmse %v %v, from mse %v %v", *rmse.Effect, *rmse.Interval, root(*mse.Effect), [2]float64{root(mse.Interval[0]), root(mse.Interval[1])})
	}
}

// fewer takes a fifth of the runs under -short.
func fewer(runs int) int {
	if testing.Short() {
		return runs / 5
	}
	return runs
}

// rate is how often f holds, over runs with their own seeds.
func rate(runs int, f func(r *rand.Rand) bool) float64 {
	n := 0
	for i := range runs {
		if f(rand.New(rand.NewPCG(uint64(i), 77))) {
			n++
		}
	}
	return float64(n) / float64(runs)
}

// above is the rate that chance exceeds once in 1,000 times if the true one is p.
func above(p float64, runs int) float64 { return p + 3.1*math.Sqrt(p*(1-p)/float64(runs)) }

func TestSimulation_no_change_is_seldom_promoted(t *testing.T) {
	runs := fewer(100)
	for _, n := range []int{30, 300} {
		exact := rate(runs, func(r *rand.Rand) bool {
			a, b := rows(r, n, 0)
			return decide(t, gate.Input{Metric: "mse", Relative: true, Champion: losses(a), Challenger: losses(b), Seed: r.Uint64()}).Verdict == ridgeline.Promoted
		})
		if exact > above(0.05, runs) {
			t.Errorf("n=%d: %.3f of no-change comparisons are promoted, allowed 0.05", n, exact)
		}
		// The same two models, with an effect worth having: 5 % here.
		margin := rate(runs, func(r *rand.Rand) bool {
			a, b := rows(r, n, 0)
			return decide(t, gate.Input{Metric: "mse", MinEffect: 0.05, Relative: true, Champion: losses(a), Challenger: losses(b), Seed: r.Uint64()}).Verdict == ridgeline.Promoted
		})
		if margin > exact {
			t.Errorf("n=%d: min_effect raises promotions from %.3f to %.3f", n, exact, margin)
		}
		t.Logf("n=%d: no change promoted %.3f; with min_effect 5 %% %.3f", n, exact, margin)
		if n == 300 && margin > exact/2 {
			t.Errorf("min_effect of 5 %% does not halve promotions: %.3f, %.3f", exact, margin)
		}
	}
	for _, rateOfError := range []float64{0.03, 0.3} {
		labels := rate(runs, func(r *rand.Rand) bool {
			a, b := make([]float64, 100), make([]float64, 100)
			for i := range a {
				a[i], b[i] = label(r, rateOfError), label(r, rateOfError)
			}
			return decide(t, gate.Input{Metric: "accuracy", Champion: losses(a), Challenger: losses(b), Seed: r.Uint64()}).Verdict == ridgeline.Promoted
		})
		t.Logf("labels, error rate %v: no change promoted %.3f", rateOfError, labels)
		if labels > above(0.05, runs) {
			t.Errorf("labels at error rate %v: %.3f promoted", rateOfError, labels)
		}
	}
}

func label(r *rand.Rand, p float64) float64 {
	if r.Float64() < p {
		return 1
	}
	return 0
}

func TestSimulation_power_grows_with_rows(t *testing.T) {
	last := 0.0
	for _, n := range []int{30, 120, 480} {
		power := rate(fewer(60), func(r *rand.Rand) bool {
			a, b := rows(r, n, 0.12)
			return decide(t, gate.Input{Metric: "mse", MinEffect: 0.01, Relative: true, Champion: losses(a), Challenger: losses(b), Seed: r.Uint64()}).Verdict == ridgeline.Promoted
		})
		t.Logf("n=%d: power %.2f", n, power)
		if power <= last {
			t.Errorf("n=%d: power %.2f, not above %.2f", n, power, last)
		}
		last = power
	}
	if last < 0.9 {
		t.Errorf("power %.2f with 480 rows", last)
	}
}

func TestFigures_100000_rows(t *testing.T) {
	a, b := rows(rand.New(rand.NewPCG(1, 1)), 100_000, 0.02)
	slice := make([]string, len(a))
	for i := range slice {
		slice[i] = string(rune('a' + i%8))
	}
	in := input(a, b)
	in.Slices = map[string][]string{"s": slice}
	best := time.Hour
	for range 3 {
		start := time.Now()
		decide(t, in)
		best = min(best, time.Since(start))
	}
	t.Logf("100,000 rows with 8 slices: %v", best.Round(time.Millisecond))
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{89, 1000, 100_000, 1_000_000} {
		x, y := rows(rand.New(rand.NewPCG(1, 1)), n, 0.02)
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			for b.Loop() {
				decide(b, input(x, y))
			}
		})
	}
}

// The power of what was observed: in [0, 1], even at the edge of the decision,
// and larger with more rows of the same kind.
func TestDecide_power(t *testing.T) {
	a, b := rows(rand.New(rand.NewPCG(5, 5)), 4000, 0.06)
	last := 0.0
	for _, n := range []int{60, 500, 4000} {
		got := decide(t, input(a[:n], b[:n]))
		if got.Power == nil || *got.Power < 0 || *got.Power > 1 {
			t.Fatalf("power %v with %d rows", got.Power, n)
		}
		if edge := 0.5; (*got.P < got.Threshold/4 && *got.Power < edge) || (*got.P > 4*got.Threshold && *got.Power > edge) {
			t.Errorf("%d rows: p %.4f at a threshold of %.4f, power %.2f", n, *got.P, got.Threshold, *got.Power)
		}
		if n > 60 && *got.Power < last {
			t.Errorf("power fell from %.2f to %.2f with %d rows", last, *got.Power, n)
		}
		last = *got.Power
	}
	if same := decide(t, input(a[:100], a[:100])); same.Power != nil {
		t.Errorf("identical models have a power of %v", *same.Power)
	}
}
