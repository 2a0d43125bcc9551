package gate

import (
	"fmt"
	"math"
	"math/rand/v2"
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
	direct [][2]float64 // of a metric of the whole: the resampled values of both models

	seed        uint64
	differences []float64 // of the units
	flips       []float64
}

// newPaired resamples. Beyond maxUnits rows, it resamples the means of that many
// groups into which the rows are shuffled: they are as independent as the rows,
// have the same mean, variance and skewness of the mean, and cost the same for
// any number of rows.
func newPaired(m metric, champion, challenger []float64, seed uint64) *paired {
	n := len(champion)
	p := &paired{metric: m, n: n, units: n, binary: m.whole == nil, seed: seed}
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
	if n > maxUnits {
		units = group(rows, maxUnits, source)
		p.units = maxUnits
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

// resample draws as many units as there are, with replacement. Most of the
// time of a decision goes here, so the sums stay in registers.
func resample(units [][2]float64, ma, md float64, source *rand.PCG) moments {
	var a, d, saa, sad, sdd float64
	n := uint64(len(units)) // at most maxUnits, so that 21 bits choose evenly enough
	for i := uint64(0); i < n; i += 3 {
		bits := source.Uint64()
		for range min(3, n-i) {
			u := &units[(bits>>43)*n>>21]
			bits <<= 21
			x, y := u[0], u[1]
			a, d, saa, sad, sdd = a+x, d+y, saa+x*x, sad+x*y, sdd+y*y
		}
	}
	return moments{a, d, saa, sad, sdd}.mean(float64(n), ma, md)
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

// value is the champion's metric.
func (p *paired) value() float64 { return p.metric.value(p.seen.a) }

func (p *paired) method() string {
	switch {
	case p.binary:
		return fmt.Sprintf("paired studentised bootstrap, %d resamples, and exact McNemar test", resamples)
	case p.direct != nil:
		return fmt.Sprintf("paired studentised bootstrap and sign-flip test of pseudo-values, %d resamples, and paired bootstrap of the metric, %d resamples", resamples, len(p.direct))
	}
	return fmt.Sprintf("paired studentised bootstrap and sign-flip test, %d resamples", resamples)
}

// tests are those a promotion must pass, one by one.
func (p *paired) tests(margin float64, relative bool) []Test {
	list := []Test{
		{"paired t", p.student(margin, relative, 1)},
		{"studentised bootstrap", p.pivotTail(margin, relative, 1)},
	}
	if p.direct != nil {
		list = append(list, Test{"bootstrap of the metric", p.directTail(margin, relative, 1)})
	}
	if p.binary {
		return append(list, Test{"McNemar", p.atAll(1)})
	}
	return append(list, Test{"sign flip", p.atAll(1)})
}
