package track

import "math"

// Sample keeps at most n points of a history, among them the first and the
// last, evenly by their number. It is what MLflow's charts are drawn from.
func Sample(points []Metric, n int) []Metric {
	if n < 1 || len(points) <= n {
		return points
	}
	if n == 1 {
		return points[len(points)-1:]
	}
	kept := make([]Metric, n)
	for i := range kept {
		kept[i] = points[i*(len(points)-1)/(n-1)]
	}
	return kept
}

// Downsample keeps at most n points of a history that draw nearly the same
// line over the steps: Largest-Triangle-Three-Buckets (S. Steinarsson,
// Downsampling Time Series for Visual Representation, 2013). Points that are
// not finite have no place on a line and are left out when there are too many.
func Downsample(points []Metric, n int) []Metric {
	if n < 3 || len(points) <= n {
		return Sample(points, n)
	}
	finite := make([]Metric, 0, len(points))
	for _, p := range points {
		if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
			finite = append(finite, p)
		}
	}
	if len(finite) <= n {
		return finite
	}
	kept := make([]Metric, 0, n)
	kept = append(kept, finite[0])
	size := float64(len(finite)-2) / float64(n-2) // of a bucket
	bucket := func(i int) (from, to int) {
		return min(1+int(float64(i)*size), len(finite)-1), min(1+int(float64(i+1)*size), len(finite)-1)
	}
	for i := range n - 2 {
		from, to := bucket(i)
		nextFrom, nextTo := bucket(i + 1)
		if i == n-3 {
			nextFrom, nextTo = len(finite)-1, len(finite)
		}
		var x, y float64 // the middle of the next bucket
		for _, p := range finite[nextFrom:nextTo] {
			x += float64(p.Step)
			y += p.Value
		}
		x, y = x/float64(nextTo-nextFrom), y/float64(nextTo-nextFrom)
		a, best, area := kept[len(kept)-1], from, -1.0
		for j := from; j < to; j++ {
			p := finite[j]
			if t := math.Abs((float64(a.Step)-x)*(p.Value-a.Value) - (float64(a.Step)-float64(p.Step))*(y-a.Value)); t > area {
				best, area = j, t
			}
		}
		kept = append(kept, finite[best])
	}
	return append(kept, finite[len(finite)-1])
}
