package gate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// A whole is a metric that no mean of per-row losses gives. Its pseudo-values
// stand for the losses: value + n·(change of the value per weight of a row), the
// infinitesimal jackknife. Their mean is the value, and their variance is n times
// that of the value, so that the tests for means apply (Efron and Tibshirani, An
// Introduction to the Bootstrap, 1993, §22.4–22.6).
type whole struct {
	pseudo []float64
	// again is the metric with rows weighted, for the bootstrap of the metric
	// itself; NaN where it is not defined.
	again func(weight []float64) float64
}

func finite(y, p []float64, probability bool) string {
	for i := range y {
		switch {
		case math.IsNaN(y[i]) || math.IsInf(y[i], 0) || math.IsNaN(p[i]) || math.IsInf(p[i], 0):
			return fmt.Sprintf("in row %d, y is %v and the prediction %v, where finite numbers are needed, so look at what the model answers for that row", i+1, y[i], p[i])
		case probability && y[i] != 0 && y[i] != 1:
			return fmt.Sprintf("in row %d, y is %v; expected 0 or 1", i+1, y[i])
		}
	}
	return ""
}

// rSquared is 1 − Σ(y − p)² / Σ(y − ȳ)², the share of variance explained
// (Kvålseth, The American Statistician 39, 1985, his R²₁).
func rSquared(y, p []float64) (whole, string) {
	if problem := finite(y, p, false); problem != "" {
		return whole{}, problem
	}
	middle := mean(y)
	top, bottom := make([]float64, len(y)), make([]float64, len(y))
	for i := range y {
		top[i], bottom[i] = (y[i]-p[i])*(y[i]-p[i]), (y[i]-middle)*(y[i]-middle)
	}
	if mean(bottom) == 0 {
		return whole{}, fmt.Sprintf("y is %s in every row, where r2 is not defined; use mse", number(y[0]))
	}
	w := ratioOfMeans(top, bottom)
	for i, v := range w.pseudo {
		w.pseudo[i] = 1 - v
	}
	w.again = func(weight []float64) float64 {
		var n, sum, square, lost float64
		for i, k := range weight {
			c := y[i] - middle
			n, sum, square, lost = n+k, sum+k*c, square+k*c*c, lost+k*top[i]
		}
		if square -= sum * sum / n; square <= 0 {
			return math.NaN()
		}
		return 1 - lost/square
	}
	return w, ""
}

// f1 is 2·tp / (2·tp + fp + fn) for the class 1 (van Rijsbergen, Information
// Retrieval, 1979, ch. 7). Predictions are labels, or probabilities of 1 that
// mean it from 0.5 on.
func f1(y, p []float64) (whole, string) {
	if problem := finite(y, p, true); problem != "" {
		return whole{}, problem
	}
	top, bottom := make([]float64, len(y)), make([]float64, len(y))
	for i := range y {
		positive := 0.0
		switch {
		case p[i] < 0 || p[i] > 1:
			return whole{}, fmt.Sprintf("in row %d, the prediction is %v; expected 0, 1, or a probability between", i+1, p[i])
		case p[i] >= 0.5:
			positive = 1
		}
		top[i], bottom[i] = 2*y[i]*positive, y[i]+positive
	}
	if mean(bottom) == 0 {
		return whole{}, "no row is of class 1 and none is predicted to be, where f1 is not defined; a larger holdout has both classes"
	}
	return ratioOfMeans(top, bottom), ""
}

// ratioOfMeans is Σtop/Σbottom.
func ratioOfMeans(top, bottom []float64) whole {
	b := mean(bottom)
	value := mean(top) / b
	w := whole{pseudo: make([]float64, len(top))}
	for i := range top {
		w.pseudo[i] = value + (top[i]-value*bottom[i])/b
	}
	w.again = func(weight []float64) float64 {
		var t, b float64
		for i, k := range weight {
			t += k * top[i]
			b += k * bottom[i]
		}
		return t / b // NaN for 0/0
	}
	return w
}

// ranked is rows in falling order of prediction, as ends of groups that tie.
type ranked struct {
	order []int32
	ends  []int // order[ends[k-1]:ends[k]] have one prediction
	ones  int   // rows with y = 1
}

func rank(y, p []float64) (ranked, string) {
	if problem := finite(y, p, true); problem != "" {
		return ranked{}, problem
	}
	r := ranked{order: make([]int32, len(y))}
	type entry struct {
		p float64
		i int32
	}
	list := make([]entry, len(y))
	for i := range y {
		list[i] = entry{p[i], int32(i)}
		if y[i] == 1 {
			r.ones++
		}
	}
	if r.ones == 0 || r.ones == len(y) {
		return r, fmt.Sprintf("y is %s in every row, and a ranking needs both classes; a larger holdout, or one drawn by class, has both", number(y[0]))
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(b.p, a.p) })
	for k, e := range list {
		r.order[k] = e.i
		if k+1 == len(list) || list[k+1].p != e.p {
			r.ends = append(r.ends, k+1)
		}
	}
	return r, ""
}

// prAUC is the average precision, Σ precision·(step of recall) over falling
// thresholds, without interpolation (as scikit-learn's average_precision_score;
// Boyd, Eng and Page, "Area under the precision-recall curve", ECML 2013).
func prAUC(y, p []float64) (whole, string) {
	r, problem := rank(y, p)
	if problem != "" {
		return whole{}, problem
	}
	n, ones := float64(len(y)), float64(r.ones)
	w := whole{pseudo: make([]float64, len(y))}
	w.again = func(weight []float64) float64 {
		var seen, hits, area float64
		at := 0
		for _, end := range r.ends {
			step := 0.0
			for _, i := range r.order[at:end] {
				seen += weight[i]
				step += weight[i] * y[i]
			}
			if at = end; step > 0 {
				hits += step
				area += step * hits / seen
			}
		}
		return area / hits
	}
	// A row at rank k counts in the precision of every positive from its own
	// group downwards: the sums from below of 1/rank and precision/rank.
	precision := make([]float64, len(r.ends))
	positives := make([]float64, len(r.ends))
	var hits, area float64
	at := 0
	for g, end := range r.ends {
		for _, i := range r.order[at:end] {
			positives[g] += y[i]
		}
		at = end
		hits += positives[g]
		precision[g] = hits / float64(end)
		area += positives[g] * precision[g]
	}
	area /= ones
	var once, times float64 // of 1/rank, precision/rank over the positives from here down
	for g := len(r.ends) - 1; g >= 0; g-- {
		end, start := r.ends[g], 0
		if g > 0 {
			start = r.ends[g-1]
		}
		once += positives[g] / float64(end)
		times += positives[g] * precision[g] / float64(end)
		for _, i := range r.order[start:end] {
			change := y[i]*(precision[g]-area) + y[i]*once - times
			w.pseudo[i] = area + n*change/ones
		}
	}
	return w, ""
}

// rocAUC is the area under the ROC curve. Its pseudo-values serve for the
// value only; models are compared by DeLong's test.
func rocAUC(y, p []float64) (whole, string) {
	r, problem := rank(y, p)
	if problem != "" {
		return whole{}, problem
	}
	area, placements := r.areas(y)
	w := whole{pseudo: placements}
	n, ones := float64(len(y)), float64(r.ones)
	for i, v := range placements {
		weight := n / ones
		if y[i] == 0 {
			weight = n / (n - ones)
		}
		// Each class has half of the area's share, so that the mean is the area.
		w.pseudo[i] = area + weight*(v-area)
	}
	return w, ""
}
