package data

import (
	"math"
	"math/rand/v2"
	"slices"
)

// A calibration finds by resampling how large a statistic becomes by chance
// alone, for two samples of these sizes.
const (
	// maxDraws bounds the work; rarer alarms are extrapolated.
	maxDraws = 20000
	// drawsPerAlarm makes the threshold the fourth largest draw at least.
	drawsPerAlarm = 4
	// tailDraws and tailShare are for rates beyond maxDraws.
	tailDraws = 4000
	tailShare = 0.05
)

// Threshold returns the value that stat exceeds with probability alpha when
// the new data are drawn from the same distribution as the reference: a
// parametric bootstrap (B. Efron and R. Tibshirani, An Introduction to the
// Bootstrap, 1993, chapter 16). Both samples are drawn again and again at
// their own sizes, because the reference is a sample, too, from the shares of
// the reference, as counts of the bins instead of rows, so that a draw costs
// the same for a hundred rows and for a billion.
//
// With B draws the threshold is the ⌊alpha (B + 1)⌋-th largest of them; an
// observation that is one draw more exceeds it with probability alpha
// (J. Besag and P. Clifford, Sequential Monte Carlo p-values, 1991). Where
// alpha is too small for that, the tail beyond the largest 5 % of the draws is
// taken for exponential, as that of a sum of squares is in the limit; root
// says that stat grows as the root of one.
//
// The draws depend on the counts alone: the same data give the same threshold.
func (b Bins) Threshold(stat func(Bins) float64, root bool, alpha float64) float64 {
	n := int(math.Ceil(drawsPerAlarm / alpha))
	tail := n > maxDraws
	if tail {
		n = tailDraws
	}
	n = max(n, 2000)
	values := b.draws(stat, n)
	slices.Sort(values)
	if !tail {
		// The slack keeps 0.01 × 2001 from becoming 20.0099999.
		return values[n-max(1, int(alpha*float64(n+1)+1e-9))]
	}
	k := int(tailShare * float64(n))
	power := func(x float64) float64 { return x }
	back := power
	if root {
		power, back = func(x float64) float64 { return x * x }, math.Sqrt
	}
	from, excess := power(values[n-k-1]), 0.0
	for _, v := range values[n-k:] {
		excess += (power(v) - from) / float64(k)
	}
	return back(from + excess*math.Log(tailShare/alpha))
}

// draws returns n values of stat under no change.
func (b Bins) draws(stat func(Bins) float64, n int) []float64 {
	sizeA, sizeB := total(b.A), total(b.B)
	p := make([]float64, len(b.A))
	seed := uint64(sizeB)
	for i, a := range b.A {
		p[i] = (float64(a) + smoothing) / (float64(sizeA) + smoothing*float64(len(b.A)))
		seed = seed*0x9e3779b97f4a7c15 + uint64(a)
	}
	r := rand.New(rand.NewPCG(seed, 4))
	again := Bins{make([]int64, len(p)), make([]int64, len(p))}
	values := make([]float64, n)
	for i := range values {
		multinomial(r, sizeA, p, again.A)
		multinomial(r, sizeB, p, again.B)
		values[i] = stat(again)
	}
	return values
}

// multinomial throws n rows into bins of probabilities p, one bin after the
// other: what falls into a bin is binomial given those before (L. Devroye,
// Non-Uniform Random Variate Generation, 1986, chapter XI.1.4).
func multinomial(r *rand.Rand, n int64, p []float64, into []int64) {
	left := 1.0
	for i := range p {
		if i == len(p)-1 || left <= 0 {
			into[i], n = n, 0
			continue
		}
		into[i] = binomial(r, n, math.Min(1, p[i]/left))
		n -= into[i]
		left -= p[i]
	}
}

// binomial counts the successes of n trials: by inversion where they are few
// (Devroye, chapter X.4), else by the normal distribution with Cornish and
// Fisher's correction (1938) for the skew, which is off by less than a
// thousandth in the tails that matter here.
func binomial(r *rand.Rand, n int64, p float64) int64 {
	switch {
	case n == 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - binomial(r, n, 1-p)
	}
	mean := float64(n) * p
	if sd := math.Sqrt(mean * (1 - p)); sd > 4 {
		z := r.NormFloat64()
		x := math.Round(mean + sd*z + (1-2*p)/6*(z*z-1))
		return int64(math.Min(math.Max(x, 0), float64(n)))
	}
	u, at := r.Float64(), math.Exp(float64(n)*math.Log1p(-p))
	odds := p / (1 - p)
	var k int64
	for u > at && k < n {
		u -= at
		k++
		at *= odds * float64(n-k+1) / float64(k)
	}
	return k
}

// gone is the probability that a value which has c of the n + m rows has none
// of the n: Fisher's exact test (1935).
func gone(c, n, m int64) float64 {
	p := 1.0
	for i := range c {
		if p *= float64(m-i) / float64(n+m-i); p < 1e-300 {
			return 0
		}
	}
	return p
}

// unseen is the probability of at least c rows, among n new ones, with values
// that the reference's m rows lack, of which singles have a value of their
// own. By I. J. Good (1953) the share of what was not seen is about
// singles / m; one more lets a first new value pass now and then. Rows of one
// rare value come together, so their number is negative binomial with half
// that many clumps; the factor is from simulation, see the test.
func unseen(c, n, m, singles int64) float64 {
	if c == 0 {
		return 1
	}
	mean, r := float64(singles+1)*float64(n)/float64(m), float64(singles+1)/2
	q := mean / (mean + r)
	if c > 1e6 { // far beyond: the normal distribution will do
		return math.Erfc((float64(c)-mean)/math.Sqrt(mean/(1-q))/math.Sqrt2) / 2
	}
	term, sum := r*math.Log1p(-q), 0.0
	for k := range c {
		sum += math.Exp(term)
		term += math.Log((r + float64(k)) / float64(k+1) * q)
	}
	return math.Max(0, 1-sum)
}
