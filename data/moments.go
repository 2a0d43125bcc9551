package data

import (
	"math"
	"math/rand/v2"
	"slices"
)

// smallSample is where the central limit theorem is not trusted with a tail of
// one in a thousand; below it rows are resampled.
const smallSample = 1000

// chance is how far the mean or standard deviation of n values like the
// reference's lies from the reference's own by chance, but for the share alpha
// of cases. Both are samples. For many values that is the normal distribution,
// with the variance (κ - 1) / 4n of a standard deviation (H. Cramér,
// Mathematical Methods of Statistics, 1946, 28.4); few are drawn from the
// reference again and again.
func (col *refColumn) chance(rule string, n int64, alpha float64) float64 {
	one := 1.0 // the variance of one value's part
	if rule == "std" {
		one = math.Max(col.kurtosis-1, 0) / 4
		if math.IsNaN(one) {
			one = 0.5
		}
	}
	normal := col.std * math.Sqrt(one*(1/float64(max(n, 1))+1/float64(max(col.n, 1))))
	z := math.Sqrt2 * math.Erfcinv(alpha)
	if n >= smallSample || len(col.sample) < 2 || n < 2 {
		return z * normal
	}
	draws := min(max(1000, int(math.Ceil(drawsPerAlarm/alpha))), maxDraws)
	r := rand.New(rand.NewPCG(uint64(n), uint64(col.n)))
	values := make([]float64, draws)
	for i := range values {
		reference := r.NormFloat64() * col.std * math.Sqrt(one/float64(max(col.n, 1)))
		mean, squares := 0.0, 0.0
		for k := range n { // B. P. Welford's recurrence (1962)
			x := col.sample[r.IntN(len(col.sample))]
			d := x - mean
			mean += d / float64(k+1)
			squares += d * (x - mean)
		}
		figure := mean - col.mean
		if rule == "std" {
			figure = math.Sqrt(squares/float64(n-1)) - col.std
		}
		values[i] = math.Abs(figure - reference)
	}
	slices.Sort(values)
	at := draws - max(1, int(alpha*float64(draws+1)+1e-9))
	return math.Max(values[at], z*normal)
}
