package gate

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// DeLong's test for the areas under two ROC curves of the same rows: an area
// is the chance that a positive row is ranked above a negative one (Mann and
// Whitney), and each row's placement is its share in that. The areas'
// covariance is that of the placements, over positives and over negatives.
//
// Sources: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); the
// placements from sorted rows in O(n log n): Sun and Xu, IEEE Signal Processing
// Letters 21 (2014).

// minClass is the fewest rows of a class from which areas are compared.
const minClass = 10

// areas is the area, and the placement of each row: for a positive row the
// share of negatives below it, for a negative one the share of positives above
// it; half of those that tie.
func (r ranked) areas(y []float64) (area float64, placements []float64) {
	placements = make([]float64, len(y))
	ones, zeros := float64(r.ones), float64(len(y)-r.ones)
	var above, negatives float64 // positives and negatives ranked higher
	at := 0
	for _, end := range r.ends {
		group := r.order[at:end]
		at = end
		positive := 0.0
		for _, i := range group {
			positive += y[i]
		}
		negative := float64(len(group)) - positive
		for _, i := range group {
			if y[i] == 1 {
				placements[i] = (zeros - negatives - negative/2) / zeros
			} else {
				placements[i] = (above + positive/2) / ones
			}
		}
		area += positive * (zeros - negatives - negative/2)
		above += positive
		negatives += negative
	}
	return area / (ones * zeros), placements
}

// A delong is the comparison of two areas.
type delong struct {
	a, b          float64
	vaa, vab, vbb float64 // covariance of the areas
	least         int     // rows of the rarer class
}

// newDeLong returns nil and a problem when the rows have only one class.
func newDeLong(y, champion, challenger []float64) (*delong, string) {
	ra, problem := rank(y, champion)
	if problem != "" {
		return nil, problem
	}
	rb, problem := rank(y, challenger)
	if problem != "" {
		return nil, problem
	}
	c := &delong{least: min(ra.ones, len(y)-ra.ones)}
	var pa, pb []float64
	c.a, pa = ra.areas(y)
	c.b, pb = rb.areas(y)
	var sum [2][3]float64
	for i := range y {
		da, db := pa[i]-c.a, pb[i]-c.b
		s := &sum[int(y[i])]
		s[0] += da * da
		s[1] += da * db
		s[2] += db * db
	}
	for class, n := range []float64{float64(len(y) - ra.ones), float64(ra.ones)} {
		if n < 2 {
			continue
		}
		scale := n * (n - 1)
		c.vaa += sum[class][0] / scale
		c.vab += sum[class][1] / scale
		c.vbb += sum[class][2] / scale
	}
	return c, ""
}

func (c *delong) method() string { return "DeLong's test of areas under ROC curves" }

func (c *delong) value() float64 { return c.a }

func (c *delong) same() bool { return c.a == c.b && c.vaa-2*c.vab+c.vbb <= 1e-15*(c.vaa+c.vbb) }

func (c *delong) effect(relative bool) float64 {
	if relative {
		return (c.b - c.a) / c.a
	}
	return c.b - c.a
}

func (c *delong) t(margin float64, relative bool) float64 {
	// u = b − k·a − m
	k, m := 1.0, margin
	if relative {
		k, m = 1+margin, 0
	}
	v := k*k*c.vaa - 2*k*c.vab + c.vbb
	if v <= 1e-15*(k*k*c.vaa+c.vbb) {
		v = 0
	}
	return ratio(c.b-k*c.a-m, math.Sqrt(v))
}

func (c *delong) tail(margin float64, relative bool, side float64) float64 {
	t := side * c.t(margin, relative)
	switch {
	case math.IsInf(t, 1):
		return math.Pow(0.5, float64(c.least))
	case math.IsInf(t, -1):
		return 1
	}
	return distuv.UnitNormal.Survival(t)
}

func (c *delong) tests(margin float64, relative bool) []Test {
	return []Test{{"DeLong", c.tail(margin, relative, 1)}}
}

// atAll has nothing to add: the test of the difference is the only one.
func (c *delong) atAll(float64) float64 { return 0 }

// limit solves t = z for the margin; for the ratio that is Fieller's interval.
func (c *delong) limit(alpha float64, relative bool, side float64) float64 {
	z := distuv.UnitNormal.Quantile(1 - alpha)
	if !relative {
		v := max(c.vaa-2*c.vab+c.vbb, 0)
		return c.b - c.a - side*z*math.Sqrt(v)
	}
	// (b − k·a)² = z²·(k²·vaa − 2k·vab + vbb), a quadratic in k = 1 + margin.
	p, q, r := c.a*c.a-z*z*c.vaa, c.a*c.b-z*z*c.vab, c.b*c.b-z*z*c.vbb
	root := math.Sqrt(max(q*q-p*r, 0))
	if p <= 0 { // the champion's area cannot be told from 0
		return -side * math.Inf(1)
	}
	return (q-side*root)/p - 1
}
