package gate

import (
	"math"
	"math/rand/v2"
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
// Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993),
// §12.5 and §16; Hall, The Bootstrap and Edgeworth Expansion (1992), §3.10;
// Davison and Hinkley, Bootstrap Methods and their Application (1997), §5.2;
// Hwang, "Fieller's problems and resampling techniques", Statistica Sinica 5 (1995).
const (
	resamples  = 3999 // (resamples+1)·alpha is whole for the usual alphas
	maxUnits   = 2048
	sliceUnits = 1024
	tailCount  = 10 // resamples beyond which p is counted and not extrapolated
)

// moments are means, and population variances and covariance, of a and d.
type moments struct{ a, d, saa, sad, sdd float64 }

// A paired is what is known of one comparison of rows.
type paired struct {
	metric metric
	n      int
	seen   moments
	units  int       // what is resampled: rows, or groups of rows
	mean   moments   // of the units
	boot   []moments // one for each resample
	sorted []float64 // pivots of a difference
	smooth float64   // added to every variance of d
	labels [2]int    // for 0/1 losses: rows only the challenger, only the champion has right
	binary bool

	seed        uint64
	differences []float64 // of the units
	flips       []float64
}

// newPaired resamples. Beyond limit rows, it resamples the means of limit
// groups into which the rows are shuffled: they are as independent as the rows,
// have the same mean, variance and skewness of the mean, and cost the same for
// any number of rows.
func newPaired(m metric, champion, challenger []float64, seed uint64, limit int) *paired {
	n := len(champion)
	p := &paired{metric: m, n: n, units: n, binary: true, seed: seed}
	d := make([]float64, n)
	for i := range d {
		d[i] = champion[i] - challenger[i]
		if (champion[i] != 0 && champion[i] != 1) || (challenger[i] != 0 && challenger[i] != 1) {
			p.binary = false
		}
		switch {
		case d[i] > 0:
			p.labels[0]++
		case d[i] < 0:
			p.labels[1]++
		}
	}
	ma, md := mean(champion), mean(d)
	rows := make([][2]float64, n) // centred, so that squares lose no digits
	for i := range rows {
		rows[i] = [2]float64{champion[i] - ma, d[i] - md}
	}
	p.seen = collect(rows, ma, md)
	source := rand.NewPCG(seed, 0x9e3779b97f4a7c15)
	units := rows
	if n > limit {
		units = group(rows, limit, source)
		p.units = limit
	} else if p.binary {
		// With few rows that differ, many resamples have none, and a variance of
		// 0. One more discordant row, spread over both sides, is Agresti and
		// Min's remedy (Statistics in Medicine 24, 2005).
		p.smooth = 1 / float64(n)
	}
	p.mean = collect(units, ma, md)
	p.differences = make([]float64, len(units))
	for i, u := range units {
		p.differences[i] = u[1] + md
	}
	p.boot = make([]moments, resamples)
	for i := range p.boot {
		p.boot[i] = resample(units, ma, md, source)
	}
	return p
}

// group shuffles the rows into k groups of equal size, give or take one, and
// returns their means.
func group(rows [][2]float64, k int, source rand.Source) [][2]float64 {
	rand.New(source).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	groups := make([][2]float64, k)
	for i := range groups {
		from, to := i*len(rows)/k, (i+1)*len(rows)/k
		for _, r := range rows[from:to] {
			groups[i][0] += r[0]
			groups[i][1] += r[1]
		}
		groups[i][0] /= float64(to - from)
		groups[i][1] /= float64(to - from)
	}
	return groups
}

func collect(rows [][2]float64, ma, md float64) moments {
	var s moments
	for _, r := range rows {
		s.add(r)
	}
	return s.mean(float64(len(rows)), ma, md)
}

// resample draws as many units as there are, with replacement.
func resample(units [][2]float64, ma, md float64, source *rand.PCG) moments {
	var s moments
	n := uint64(len(units))
	for i := 0; i < len(units); i += 2 {
		bits := source.Uint64()
		s.add(units[(bits>>32)*n>>32])
		if i+1 < len(units) {
			s.add(units[(bits&0xffffffff)*n>>32])
		}
	}
	return s.mean(float64(n), ma, md)
}

func (s *moments) add(r [2]float64) {
	s.a += r[0]
	s.d += r[1]
	s.saa += r[0] * r[0]
	s.sad += r[0] * r[1]
	s.sdd += r[1] * r[1]
}

func (s moments) mean(n, ma, md float64) moments {
	a, d := s.a/n, s.d/n
	return moments{a: ma + a, d: md + d, saa: max(s.saa/n-a*a, 0), sad: s.sad/n - a*d, sdd: max(s.sdd/n-d*d, 0)}
}

// beyond is u(margin) and n times the square of its standard error.
func (p *paired) beyond(s moments, margin float64, relative bool) (u, variance float64) {
	const tiny = 1e-300
	sdd := s.sdd + p.smooth
	var ga, gd float64 // derivatives of u by a and d
	if p.metric.root {
		x, y := math.Sqrt(max(s.a, tiny)), math.Sqrt(max(s.a-s.d, tiny))
		u, ga, gd = s.d/(x+y), 1/(2*x)-1/(2*y), 1/(2*y)
	} else {
		sign := p.metric.sign()
		u, gd = sign*s.d, sign
	}
	if !relative {
		u -= margin
	} else {
		value := p.metric.value(s.a)
		slope := 1.0
		switch {
		case p.metric.root:
			slope = 1 / (2 * math.Sqrt(max(s.a, tiny)))
		case p.metric.flip:
			slope = -1
		}
		if value < 0 {
			slope = -slope
		}
		u -= margin * math.Abs(value)
		ga -= margin * slope
	}
	return u, max(ga*ga*s.saa+2*ga*gd*s.sad+gd*gd*sdd, 0)
}

// t is the observed statistic at a margin.
func (p *paired) t(margin float64, relative bool) float64 {
	u, v := p.beyond(p.seen, margin, relative)
	return ratio(u, math.Sqrt(v/float64(p.n)))
}

func ratio(u, se float64) float64 {
	if se > 0 {
		return u / se
	}
	switch {
	case u > 0:
		return math.Inf(1)
	case u < 0:
		return math.Inf(-1)
	}
	return 0
}

// tail is the probability of a statistic at least (side 1) or at most (side
// −1) the observed one if the true effect were the margin.
func (p *paired) tail(margin float64, relative bool, side float64) float64 {
	t := side * p.t(margin, relative)
	if math.IsInf(t, 0) {
		// No spread at all: every row says the same. The sign test's p.
		if t > 0 {
			return math.Pow(0.5, float64(p.n))
		}
		return 1
	}
	student := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(p.n - 1)}.Survival(t)
	if relative {
		return max(student, p.beyondPivots(t, p.pivots(margin, true), side))
	}
	if p.sorted == nil { // the pivots of a difference are the same for every margin
		p.sorted = p.pivots(0, false)
		slices.Sort(p.sorted)
	}
	count, extreme := 0, 0.0
	if side > 0 {
		at, _ := slices.BinarySearch(p.sorted, t)
		count, extreme = resamples-at, p.sorted[resamples-tailCount]
	} else {
		at := sort.Search(resamples, func(i int) bool { return p.sorted[i] > -t })
		count, extreme = at, -p.sorted[tailCount-1]
	}
	return max(student, probability(t, count, extreme, p.n))
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

// signs is the one-sided p of Fisher's sign-flip test that the challenger is
// better (side 1) or worse (−1) at all: if the models were alike, each
// difference could as well have had the other sign. Unlike the bootstrap's it
// is exact for any number of rows and any tails (Pitman, Supplement to the
// Journal of the Royal Statistical Society 4, 1937).
func (p *paired) signs(side float64) float64 {
	if p.binary {
		return p.mcnemar(side)
	}
	if p.flips == nil {
		source := rand.NewPCG(p.seed, 0xd1b54a32d192ed03)
		p.flips = make([]float64, resamples)
		for k := range p.flips {
			var sum float64
			var bits uint64
			for i, d := range p.differences {
				if i%64 == 0 {
					bits = source.Uint64()
				}
				// The lowest bit becomes the sign, without a branch.
				sum += math.Float64frombits(math.Float64bits(d) ^ bits<<63)
				bits >>= 1
			}
			p.flips[k] = sum
		}
	}
	var seen, square float64
	for _, d := range p.differences {
		seen += d
		square += d * d
	}
	if square == 0 {
		return 1
	}
	// Sums in another order differ by rounding; a tie counts.
	slack := 1e-12 * math.Sqrt(square*float64(len(p.differences)))
	return p.beyondPivots(side*p.metric.sign()*seen-slack, p.flips, side)
}

// limitOf is the margin at which the tail has the probability alpha: the lower
// end of an interval for side 1, the upper for −1. It is clamped to
// [lowest, highest], for ratios whose denominator may be 0.
func (p *paired) limitOf(alpha float64, relative bool, side, lowest, highest float64) float64 {
	at := p.effect(relative)
	_, v := p.beyond(p.seen, at, relative)
	se := math.Sqrt(v / float64(p.n))
	if relative {
		se /= math.Abs(p.metric.value(p.seen.a))
	}
	if se == 0 {
		return at
	}
	clamp := func(m float64) float64 { return min(max(m, lowest), highest) }
	inside, outside := at, at
	for step := 2.0; ; step *= 2 {
		outside = at - side*step*se
		if p.tail(outside, relative, side) <= alpha {
			break
		}
		if inside = outside; clamp(outside) != outside || step > 1e6 {
			return clamp(outside)
		}
	}
	for range 18 {
		middle := inside + (outside-inside)/2
		if p.tail(middle, relative, side) <= alpha {
			outside = middle
		} else {
			inside = middle
		}
	}
	return clamp(inside + (outside-inside)/2)
}

// effect is the improvement, in the metric's unit or over the champion's value.
func (p *paired) effect(relative bool) float64 {
	u, _ := p.beyond(p.seen, 0, false)
	if relative {
		u /= math.Abs(p.metric.value(p.seen.a))
	}
	return u
}

// same reports that the models differ by rounding at most.
func (p *paired) same() bool {
	return p.seen.sdd == 0 && p.seen.d == 0 ||
		math.Sqrt(p.seen.sdd)+math.Abs(p.seen.d) <= 1e-13*(math.Abs(p.seen.a)+math.Sqrt(p.seen.saa))
}

// mcnemar is the exact one-sided p of McNemar's test (Psychometrika 12, 1947)
// for 0/1 losses: of so many discordant rows, as many or more in favour of the
// challenger (side 1) or the champion (−1) if either were as likely.
func (p *paired) mcnemar(side float64) float64 {
	wins, losses := p.labels[0], p.labels[1]
	if side < 0 {
		wins, losses = losses, wins
	}
	if wins == 0 {
		return 1
	}
	b := distuv.Binomial{N: float64(wins + losses), P: 0.5}
	return min(1, b.Survival(float64(wins-1)))
}
