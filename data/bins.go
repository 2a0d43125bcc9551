package data

import "math"

// Bins are the rows of two samples, counted over the same parts of a column's
// values: A of the reference, B of the new data.
type Bins struct{ A, B []int64 }

// smoothing is added to every bin, so that an empty one has a logarithm:
// Jeffreys' prior for shares.
const smoothing = 0.5

// trim drops the bins that both samples leave empty.
func (b Bins) trim() Bins {
	var out Bins
	for i := range b.A {
		if b.A[i]+b.B[i] > 0 {
			out.A, out.B = append(out.A, b.A[i]), append(out.B, b.B[i])
		}
	}
	return out
}

func total(counts []int64) int64 {
	var n int64
	for _, c := range counts {
		n += c
	}
	return n
}

// shares calls f with each bin's smoothed shares.
func (b Bins) shares(f func(a, b float64)) {
	n := smoothing * float64(len(b.A))
	ta, tb := float64(total(b.A))+n, float64(total(b.B))+n
	for i := range b.A {
		f((float64(b.A[i])+smoothing)/ta, (float64(b.B[i])+smoothing)/tb)
	}
}

// PSI is the population stability index Σ (b - a) ln(b/a) over shares, the
// symmetric divergence of H. Jeffreys (1946), used so since E. Lewis, An
// Introduction to Credit Scoring (1992). 0 is no difference; it has no upper
// bound.
func (b Bins) PSI() float64 {
	var sum float64
	b.shares(func(p, q float64) { sum += (q - p) * math.Log(q/p) })
	return sum
}

// JS is the Jensen-Shannon divergence in bits, 0 to 1: the mean of both
// samples' divergences from their middle (J. Lin, Divergence measures based on
// the Shannon entropy, 1991). Its square root is the distance of that name.
func (b Bins) JS() float64 {
	var sum float64
	b.shares(func(p, q float64) {
		m := (p + q) / 2
		sum += (p*math.Log(p/m) + q*math.Log(q/m)) / 2
	})
	return math.Max(0, sum/math.Ln2)
}

// KS is the largest distance between the cumulated shares: the two-sample
// statistic of N. V. Smirnov (1939), looked at the edges of the bins only.
func (b Bins) KS() float64 {
	ta, tb := float64(total(b.A)), float64(total(b.B))
	if ta == 0 || tb == 0 {
		return 0
	}
	var x, y, d float64
	for i := range b.A {
		x += float64(b.A[i]) / ta
		y += float64(b.B[i]) / tb
		d = math.Max(d, math.Abs(x-y))
	}
	return d
}

// Chi2 is K. Pearson's statistic (1900) of homogeneity: the squared distances
// of both samples' counts from those expected if both were one, each over its
// expectation.
func (b Bins) Chi2() float64 {
	ta, tb := float64(total(b.A)), float64(total(b.B))
	var sum float64
	for i := range b.A {
		both := float64(b.A[i] + b.B[i])
		if both == 0 || ta == 0 || tb == 0 {
			continue
		}
		ea, eb := both*ta/(ta+tb), both*tb/(ta+tb)
		sum += (float64(b.A[i])-ea)*(float64(b.A[i])-ea)/ea + (float64(b.B[i])-eb)*(float64(b.B[i])-eb)/eb
	}
	return sum
}
