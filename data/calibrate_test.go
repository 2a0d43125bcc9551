package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// delivery draws what a check sees of a continuous column: the reference's m
// rows over bins at the quantiles of a part of it, and n new rows whose values
// are shifted by so many standard deviations. Where the edges lie in the
// distribution is a matter of order statistics, so no row has to be drawn
// (H. A. David, Order Statistics, 1970, chapter 2: the shares between are
// Dirichlet).
func delivery(r *rand.Rand, bins int, m, n int64, shift float64) Bins {
	sampled := min(m, sampledRows)
	p, q := make([]float64, bins), make([]float64, bins)
	sum := 0.0
	for i := range p {
		p[i] = gammaDraw(r, float64(sampled)/float64(bins))
		sum += p[i]
	}
	below, before := 0.0, 0.0
	for i := range p {
		p[i] /= sum
		below += p[i]
		at := 1.0
		if i < bins-1 {
			z := math.Sqrt2 * math.Erfinv(2*below-1)
			at = (1 + math.Erf((z-shift)/math.Sqrt2)) / 2
		}
		q[i], before = at-before, at
	}
	b := Bins{make([]int64, bins), make([]int64, bins)}
	if m > sampled {
		multinomial(r, m, p, b.A)
	} else {
		for i := range b.A {
			b.A[i] = int64(float64(m)*float64(i+1)/float64(bins)) - int64(float64(m)*float64(i)/float64(bins))
		}
	}
	multinomial(r, n, q, b.B)
	return b
}

// gammaDraw is Marsaglia and Tsang's (2000), for shapes above 1.
func gammaDraw(r *rand.Rand, shape float64) float64 {
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		z := r.NormFloat64()
		v := (1 + c*z) * (1 + c*z) * (1 + c*z)
		if v > 0 && math.Log(1-r.Float64()) < z*z/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// TestThreshold_alarms_as_often_as_it_says: whatever the sizes, one of a
// hundred deliveries without a change is an alarm; a fixed 0.2 would be one
// nearly always or never.
func TestThreshold_alarms_as_often_as_it_says(t *testing.T) {
	const alpha, draws = 0.01, 10000
	for _, m := range []int64{100, 1000, 20000, 1_000_000} {
		for _, n := range []int64{100, 1000, 10_000, 1_000_000} {
			for _, one := range []struct {
				name string
				stat func(Bins) float64
				bins int
			}{{"psi", Bins.PSI, coarseBins}, {"js", Bins.JS, coarseBins}, {"chi2", Bins.Chi2, coarseBins}, {"ks", Bins.KS, fineBins}} {
				if one.name != "psi" && m == 20000 {
					continue // time
				}
				if one.name != "ks" {
					one.bins = min(one.bins, int(m/leastRows))
				}
				r := rand.New(rand.NewPCG(uint64(m), uint64(n)))
				alarms, fixed := 0, 0
				var threshold float64
				for i := range draws {
					b := delivery(r, one.bins, m, n, 0)
					if i%1000 == 0 {
						threshold = b.Threshold(one.stat, one.name == "ks", alpha)
					}
					if one.stat(b) > threshold {
						alarms++
					}
					if one.stat(b) > 0.2 {
						fixed++
					}
				}
				t.Logf("%s, %d against %d: threshold %.4g, alarms %.2f %% (fixed at 0.2: %.1f %%)", one.name, n, m, threshold, 100*float64(alarms)/draws, 100*float64(fixed)/draws)
				if rate := float64(alarms) / draws; rate > 2.5*alpha || rate < alpha/3 {
					t.Errorf("%s, %d against %d: alarms in %.2f %%", one.name, n, m, 100*rate)
				}
			}
		}
	}
}

// A shift of known size is found once there are rows enough to tell it from chance.
func TestThreshold_finds_a_shift(t *testing.T) {
	for _, test := range []struct {
		shift float64 // standard deviations
		n     int64
		want  float64 // least share found
	}{{1, 100, 0.99}, {0.5, 500, 0.99}, {0.2, 3000, 0.95}, {0.1, 10000, 0.9}, {0.02, 500_000, 0.99}} {
		for name, stat := range map[string]func(Bins) float64{"psi": Bins.PSI, "js": Bins.JS, "ks": Bins.KS, "chi2": Bins.Chi2} {
			r := rand.New(rand.NewPCG(1, uint64(test.n)))
			bins := coarseBins
			if name == "ks" {
				bins = fineBins
			}
			found, threshold := 0, 0.0
			const draws = 500
			for i := range draws {
				b := delivery(r, bins, 1_000_000, test.n, test.shift)
				if i%100 == 0 {
					threshold = b.Threshold(stat, name == "ks", 0.001)
				}
				if stat(b) > threshold {
					found++
				}
			}
			t.Logf("%s, %d rows shifted by %g: found %.1f %% (threshold %.4g)", name, test.n, test.shift, 100*float64(found)/draws, threshold)
			if float64(found)/draws < test.want {
				t.Errorf("%s, %d rows shifted by %g: found %.1f %%", name, test.n, test.shift, 100*float64(found)/draws)
			}
		}
	}
}

// Rates too small for draws are extrapolated: against the same threshold from
// a million draws.
func TestThreshold_of_a_small_rate(t *testing.T) {
	b := Bins{A: []int64{2000, 1000, 3000, 500, 1500, 2000, 40, 900, 1100, 1000}, B: []int64{200, 100, 300, 50, 150, 200, 4, 90, 110, 100}}
	for name, stat := range map[string]func(Bins) float64{"psi": Bins.PSI, "js": Bins.JS, "ks": Bins.KS, "chi2": Bins.Chi2} {
		const alpha = 1e-4
		got := b.Threshold(stat, name == "ks", alpha)
		above := 0
		values := b.draws(stat, 500_000)
		for _, v := range values {
			if v > got {
				above++
			}
		}
		rate := float64(above) / float64(len(values))
		t.Logf("%s: %.4g, exceeded in %.4f %% (asked for %.4f %%)", name, got, 100*rate, 100*alpha)
		if rate > 3*alpha || rate < alpha/6 {
			t.Errorf("%s: exceeded in %.4f %%, expected about %.4f %%", name, 100*rate, 100*alpha)
		}
	}
}

// The same counts give the same threshold, so a verdict can be had again.
func TestThreshold_repeats(t *testing.T) {
	b := Bins{A: []int64{10, 20, 30}, B: []int64{5, 5, 5}}
	if x, y := b.Threshold(Bins.PSI, false, 0.01), b.Threshold(Bins.PSI, false, 0.01); x != y {
		t.Errorf("%v, then %v", x, y)
	}
}

func TestBinomial(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, test := range []struct {
		n int64
		p float64
	}{{10, 0.3}, {100, 0.9}, {1000, 0.01}, {1000, 0.5}, {1_000_000, 0.1}, {5, 1}, {5, 0}} {
		const draws = 200_000
		var sum, squares, cubes float64
		for range draws {
			d := float64(binomial(r, test.n, test.p)) - float64(test.n)*test.p
			sum, squares, cubes = sum+d, squares+d*d, cubes+d*d*d
		}
		variance := float64(test.n) * test.p * (1 - test.p)
		third := variance * (1 - 2*test.p)
		if math.Abs(sum/draws) > 5*math.Sqrt(variance/draws) || math.Abs(squares/draws-variance) > 0.02*variance || math.Abs(cubes/draws-third) > 0.05*math.Abs(third)+0.05*math.Pow(variance, 1.5) {
			t.Errorf("n %d, p %g: mean off by %g, variance %g of %g, third moment %g of %g", test.n, test.p, sum/draws, squares/draws, variance, cubes/draws, third)
		}
	}
}

// New and vanished values: a column of many categories, some of them rare.
func TestCategories_alarm_no_more_often_than_they_say(t *testing.T) {
	const alpha, draws = 0.02, 3000
	p := make([]float64, 60)
	sum := 0.0
	for i := range p {
		p[i] = 1 / math.Pow(float64(i+1), 2) // as G. K. Zipf has it
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	for _, m := range []int64{100, 2000, 50_000} {
		for _, n := range []int64{100, 2000, 50_000} {
			r := rand.New(rand.NewPCG(uint64(m), uint64(n)))
			alarms := 0
			for range draws {
				all, now := make([]int64, len(p)), make([]int64, len(p))
				multinomial(r, m, p, all)
				multinomial(r, n, p, now)
				one := shifted{rule: shiftRule{rule: "categories"}, alpha: alpha, column: &refColumn{}, counts: &counted{}}
				for i := range p {
					switch all[i] {
					case 0:
						one.counts.other += now[i]
						continue
					case 1:
						one.column.singles++
					}
					one.column.values = append(one.column.values, fmt.Sprint(i))
					one.column.counts = append(one.column.counts, all[i])
					one.counts.values = append(one.counts.values, now[i])
				}
				var f Finding
				if one.judgeCategories(&f, n); !f.OK {
					alarms++
				}
			}
			t.Logf("%d against %d: alarms in %.2f %%", n, m, 100*float64(alarms)/draws)
			if rate := float64(alarms) / draws; rate > 1.5*alpha {
				t.Errorf("%d against %d: alarms in %.2f %%, at most %.2f %% were asked for", n, m, 100*rate, 100*alpha)
			}
		}
	}
}

// The calibrated mean and standard deviation, on values with a long tail.
func TestChance_alarms_as_often_as_it_says(t *testing.T) {
	const alpha = 0.01
	lognormal := func(r *rand.Rand) float64 { return math.Exp(0.5 * r.NormFloat64()) }
	for _, rule := range []string{"mean", "std"} {
		for _, n := range []int64{50, 500, 5000} {
			r := rand.New(rand.NewPCG(2, uint64(n)))
			alarms, draws := 0, 0
			for range 20 { // references
				col := &refColumn{n: 20000}
				for range col.n {
					col.sample = append(col.sample, lognormal(r))
				}
				var moments [5]float64
				for _, x := range col.sample {
					moments[1] += x / float64(col.n)
				}
				for _, x := range col.sample {
					for k := 2; k < 5; k++ {
						moments[k] += math.Pow(x-moments[1], float64(k)) / float64(col.n)
					}
				}
				col.mean, col.std, col.kurtosis = moments[1], math.Sqrt(moments[2]), moments[4]/moments[2]/moments[2]
				allowed := col.chance(rule, n, alpha)
				for range min(1000, 2_000_000/n/20) {
					var sum, squares float64
					for range n {
						x := lognormal(r)
						sum, squares = sum+x, squares+x*x
					}
					mean := sum / float64(n)
					d := mean - col.mean
					if rule == "std" {
						d = math.Sqrt((squares-sum*mean)/float64(n-1)) - col.std
					}
					if draws++; math.Abs(d) > allowed {
						alarms++
					}
				}
			}
			rate := float64(alarms) / float64(draws)
			t.Logf("%s of %d: alarms in %.2f %% of %d", rule, n, 100*rate, draws)
			if rate > 2.5*alpha {
				t.Errorf("%s of %d: alarms in %.2f %%", rule, n, 100*rate)
			}
		}
	}
}
