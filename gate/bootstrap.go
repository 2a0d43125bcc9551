package gate

import (
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// The test. Each holdout row has a loss a of the champion and d = a − b, how
// much lower the challenger's loss b is. The improvement beyond a margin,
// u(m) = improvement − m·(1, or the champion's metric), is a smooth function
// of the means of a and d; its standard error comes from the delta method. The
// distribution of the pivot (u* − u)/se* over resampled rows stands for that
// of (u − true u)/se: the studentised bootstrap, second-order correct for
// skewed losses. p(m) is the chance of a pivot as high as the one observed, and
// an interval is the margins that are not rejected, so that the relative
// effect, a ratio, gets a Fieller interval rather than a linearised one.
//
// With few rows and heavy tails the studentised bootstrap trusts an accidental
// skewness too much (at 30 and 89 rows with log-normal losses a 95 % interval
// covered 89 % of the time), where Student's t, blind to skewness, is cautious;
// so of the two the more cautious counts. And being better by a margin implies
// being better at all, for which there is an exact test, signs: a promotion,
// and a rejection for being worse, needs that too.
//
// A metric of the whole goes through the same tests by its pseudo-values
// (whole.go); because those are a linear view of it, the metric itself is
// resampled too, and once more the more cautious counts.
//
// Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993),
// §12.5 and §16; Hall, The Bootstrap and Edgeworth Expansion (1992), §3.10;
// Davison and Hinkley, Bootstrap Methods and their Application (1997), §5.2;
// Hwang, "Fieller's problems and resampling techniques", Statistica Sinica 5 (1995).
const (
	resamples = 3999 // (resamples+1)·alpha is whole for the usual alphas
	maxUnits  = 512  // rows, or groups of rows, that are resampled
	tailCount = 10   // resamples beyond which p is counted and not extrapolated
)

// tail is the probability of a statistic at least (side 1) or at most (side
// −1) the observed one if the true effect were the margin.
func (p *paired) tail(margin float64, relative bool, side float64) float64 {
	if p.direct != nil {
		return max(p.directTail(margin, relative, side), p.pivotTail(margin, relative, side), p.student(margin, relative, side))
	}
	return max(p.pivotTail(margin, relative, side), p.student(margin, relative, side))
}

// student is that probability by the paired t-test.
func (p *paired) student(margin float64, relative bool, side float64) float64 {
	t := side * p.t(margin, relative)
	if math.IsInf(t, 0) {
		// No spread at all: every row says the same. The sign test's p.
		if t > 0 {
			return math.Pow(0.5, float64(p.n))
		}
		return 1
	}
	return p.students().Survival(t * math.Sqrt(float64(p.n-1)/float64(p.n)))
}

func (p *paired) students() distuv.StudentsT {
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(p.n - 1)}
}

// pivotTail is that probability by the studentised bootstrap.
func (p *paired) pivotTail(margin float64, relative bool, side float64) float64 {
	t := side * p.t(margin, relative)
	if math.IsInf(t, 0) {
		return p.student(margin, relative, side)
	}
	if relative {
		return p.beyondPivots(t, p.pivots(margin, true), side)
	}
	p.sort()
	count, extreme := 0, 0.0
	if side > 0 {
		at, _ := slices.BinarySearch(p.sorted, t)
		count, extreme = resamples-at, p.sorted[resamples-tailCount]
	} else {
		at := sort.Search(resamples, func(i int) bool { return p.sorted[i] > -t })
		count, extreme = at, -p.sorted[tailCount-1]
	}
	return probability(t, count, extreme, p.n)
}

// sort makes the pivots of a difference, which are the same for every margin.
func (p *paired) sort() {
	if p.sorted == nil {
		p.sorted = p.pivots(0, false)
		slices.Sort(p.sorted)
	}
}

// pivots are the studentised effects of the resamples.
func (p *paired) pivots(margin float64, relative bool) []float64 {
	center, _ := p.beyond(p.mean, margin, relative)
	root := math.Sqrt(float64(p.units))
	list := make([]float64, len(p.boot))
	for i, b := range p.boot {
		u, v := p.beyond(b, margin, relative)
		list[i] = ratio(u-center, math.Sqrt(v)/root)
	}
	return list
}

// beyondPivots is the probability of a pivot of at least t, in the direction of side.
func (p *paired) beyondPivots(t float64, pivots []float64, side float64) float64 {
	var top [tailCount]float64 // the highest, lowest of them first
	for i := range top {
		top[i] = math.Inf(-1)
	}
	count := 0
	for _, v := range pivots {
		v *= side
		if v >= t {
			count++
		}
		if v > top[0] {
			i := 1
			for ; i < len(top) && top[i] < v; i++ {
				top[i-1] = top[i]
			}
			top[i-1] = v
		}
	}
	return probability(t, count, top[0], p.n)
}

// probability is that of a pivot of at least t, of which count were seen.
// Further out than resamples reach it is Student's tail, stretched to meet the
// resamples' own at extreme, the tailCount-th highest of them.
func probability(t float64, count int, extreme float64, n int) float64 {
	if count >= tailCount || math.IsInf(extreme, 0) || extreme <= 0 {
		return float64(count+1) / (resamples + 1)
	}
	const rest = float64(tailCount) / (resamples + 1)
	student := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}
	return min(rest, student.Survival(t*student.Quantile(1-rest)/extreme))
}

// limit is the margin at which the tail has the probability alpha: the lower
// end of an interval for side 1, the upper for −1; ±limitless where a ratio's
// denominator may be 0.
func (p *paired) limit(alpha float64, relative bool, side float64) float64 {
	at := p.effect(relative)
	_, v := p.beyond(p.seen, at, relative)
	se := math.Sqrt(v / float64(p.n))
	if relative {
		se /= math.Abs(p.value())
	}
	if se == 0 {
		return at
	}
	student := p.students().Quantile(1-alpha) * math.Sqrt(float64(p.n)/float64(p.n-1))
	end := p.reach(student, at, se, relative, side)
	if !relative {
		p.sort()
		end = p.reach(max(student, critical(p.sorted, alpha, side, p.n)), at, se, relative, side)
	} else {
		// The pivots depend on the margin, but little: a few steps settle it.
		for range 6 {
			was := end
			if end = p.reach(max(student, critical(p.pivots(was, true), alpha, side, p.n)), at, se, relative, side); math.Abs(end-was) <= 1e-6*se {
				break
			}
		}
	}
	if p.direct != nil {
		end = side * min(side*end, side*p.directLimit(alpha, relative, side))
	}
	return end
}

const limitless = 1e6

// reach is the margin at which the statistic is t, from the effect at outwards.
func (p *paired) reach(t, at, se float64, relative bool, side float64) float64 {
	if !relative {
		return at - side*t*se
	}
	inside, outside := at, at
	for step := 2.0; side*p.t(outside, true) < t; step *= 2 {
		if inside, outside = outside, at-side*step*se; math.Abs(outside) > limitless {
			return -side * limitless
		}
	}
	for range 50 {
		middle := inside + (outside-inside)/2
		if side*p.t(middle, true) >= t {
			outside = middle
		} else {
			inside = middle
		}
	}
	return outside
}

// critical is the least statistic with a probability of at most alpha; it may
// reorder the pivots.
func critical(pivots []float64, alpha float64, side float64, n int) float64 {
	highest := func(k int) float64 { // k from 1
		if side > 0 {
			return nth(pivots, len(pivots)-k)
		}
		return -nth(pivots, k-1)
	}
	k := int(alpha*(resamples+1) + 1e-9)
	extreme := highest(tailCount)
	if k > tailCount || math.IsInf(extreme, 0) || extreme <= 0 {
		return highest(max(k, 1))
	}
	const rest = float64(tailCount) / (resamples + 1)
	student := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}
	return student.Quantile(1-alpha) * extreme / student.Quantile(1-rest)
}

// nth is the value that stands at k when x is sorted (Hoare's quickselect).
func nth(x []float64, k int) float64 {
	lo, hi := 0, len(x)-1
	for lo < hi {
		pivot := x[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for x[i] < pivot {
				i++
			}
			for x[j] > pivot {
				j--
			}
			if i <= j {
				x[i], x[j] = x[j], x[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return x[k]
		}
	}
	return x[k]
}
