package gate

import (
	"math"
	"math/rand/v2"
	"slices"
)

// The paired bootstrap of a metric of the whole: rows are drawn with
// replacement, the same ones for both models, and the metric is computed anew
// (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, §8 and §13.3).
const (
	directResamples = 999
	// Beyond so many rows the linear view differs from the metric itself by
	// far less than the interval is wide, and the time is saved.
	directRows = 10_000
)

// newWhole compares two models by a metric of the whole.
func newWhole(m metric, y, champion, challenger []float64, seed uint64) (*paired, string) {
	a, problem := m.whole(y, champion)
	if problem != "" {
		return nil, problem
	}
	b, problem := m.whole(y, challenger)
	if problem != "" {
		return nil, problem
	}
	p := newPaired(m, a.pseudo, b.pseudo, seed)
	if p.same() || len(y) > directRows {
		return p, ""
	}
	p.direct = make([][2]float64, 0, directResamples)
	random := rand.New(rand.NewPCG(seed, 0x8cb92ba72f3d8dd7))
	weight := make([]float64, len(y))
	for range directResamples {
		clear(weight)
		for range y {
			weight[random.IntN(len(y))]++
		}
		// A resample where the metric is not defined, such as one of a single
		// class, says nothing.
		if va, vb := a.again(weight), b.again(weight); !math.IsNaN(va) && !math.IsNaN(vb) {
			p.direct = append(p.direct, [2]float64{va, vb})
		}
	}
	return p, ""
}

// directTail is the share of resamples in which the improvement is at most
// (side 1) or at least (−1) the margin. None at all is no more than that none was seen,
// and the other tests say how unlikely it is.
func (p *paired) directTail(margin float64, relative bool, side float64) float64 {
	if len(p.direct) == 0 {
		return 1
	}
	n := 0
	for _, v := range p.direct {
		u := p.metric.improvement(v[0], v[1])
		if relative {
			u -= margin * math.Abs(v[0])
		} else {
			u -= margin
		}
		if side*u <= 0 {
			n++
		}
	}
	return float64(n) / float64(len(p.direct))
}

// directLimit is the margin at which directTail exceeds alpha.
func (p *paired) directLimit(alpha float64, relative bool, side float64) float64 {
	k := int(alpha * float64(len(p.direct)))
	if len(p.direct) == 0 {
		return -side * limitless
	}
	if k == 0 {
		return side * math.Inf(1) // leaves the limit to the other tests
	}
	list := make([]float64, len(p.direct))
	for i, v := range p.direct {
		list[i] = p.metric.improvement(v[0], v[1])
		if relative {
			list[i] = ratio(list[i], math.Abs(v[0]))
		}
	}
	slices.Sort(list)
	if side > 0 {
		return list[k-1]
	}
	return list[len(list)-k]
}
