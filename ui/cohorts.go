package ui

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A cohort is the compared runs that have the same value of a parameter, such as
// the seeds of one setting. What it draws is the mean of its runs with a band of
// one standard deviation.
type cohort struct {
	Value string // of the parameter; empty: they have none
	Rows  []int  // its runs, by their place among all
	Shade int    // which of the cohorts that are drawn it is, from 1; 0: it is not, as too many others have more runs
	// Of the metric whose curves are drawn: where its runs begin and where they
	// end. Nil, when none of them has such a curve.
	First, Last *spread
}

// Name is what the cohort is called where its runs are drawn.
func (c cohort) Name() string {
	name := components.Cut(cmp.Or(c.Value, "none"), 40)
	if len(c.Rows) == 1 {
		return name + " (1 run)"
	}
	return fmt.Sprintf("%s (%d runs)", name, len(c.Rows))
}

// byAll puts all runs together, and mostCohorts is how many are drawn.
const (
	byAll       = "all"
	mostCohorts = 12
)

// cohortsOf puts runs together by a column, in the order of its values: numbers
// by size, words, and those without last.
func cohortsOf(rows []runLine, by string) []cohort {
	at := map[string]*cohort{}
	for i, r := range rows {
		value := byAll
		if by != byAll {
			value = r.value(by).Text
		}
		if at[value] == nil {
			at[value] = &cohort{Value: value}
		}
		at[value].Rows = append(at[value].Rows, i)
	}
	first := func(a, b *cohort) int { return byValue(rows[a.Rows[0]].value(by), rows[b.Rows[0]].value(by)) }
	order := slices.SortedFunc(maps.Values(at), func(a, b *cohort) int { return cmp.Or(-cmp.Compare(len(a.Rows), len(b.Rows)), first(a, b)) })
	drawn := order[:min(len(order), mostCohorts)]
	slices.SortFunc(drawn, first)
	for i, c := range drawn {
		c.Shade = i + 1
	}
	slices.SortFunc(order, first)
	out := make([]cohort, len(order))
	for i, c := range order {
		out[i] = *c
	}
	return out
}

// byValue is the order of a column's values.
func byValue(a, b cell) int {
	kind := func(c cell) int {
		switch {
		case c.IsNum:
			return 0
		case c.Text != "":
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(kind(a), kind(b)), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Text, b.Text))
}

// groupable are the parameters by which runs can be put together: those that are
// not another in each run, as a seed is.
func groupable(rows []runLine) (out []column) {
	for _, c := range columnsOf(rows, false) {
		if c.Key[0] != 'p' {
			continue
		}
		values := map[string]bool{}
		for _, r := range rows {
			values[r.value(c.Key).Text] = true
		}
		if len(values) < len(rows) {
			out = append(out, c)
		}
	}
	return out
}

// A spread is what several runs measured at one step.
type spread struct {
	X       int64
	Runs    int
	Mean    float64
	squares float64 // of the distances to the mean
}

// add takes in another run's value (Welford's way: see sqldb.deviation).
func (s *spread) add(v float64) {
	s.Runs++
	from := v - s.Mean
	s.Mean += from / float64(s.Runs)
	s.squares += from * (v - s.Mean)
}

// Deviation is the standard deviation of a sample; 0 of one run.
func (s spread) Deviation() float64 {
	if s.Runs < 2 {
		return 0
	}
	return math.Sqrt(s.squares / float64(s.Runs-1))
}

// String is mean ± deviation; of one run, its value.
func (s spread) String() string {
	if s.Runs < 2 {
		return components.Number(s.Mean)
	}
	return components.Number(s.Mean) + " ± " + components.Number(s.Deviation())
}

// Says is what a cohort measured at a step, and of how many runs that is, where
// it is not of all that it has.
func (c cohort) Says(s spread) string {
	if s.Runs == len(c.Rows) {
		return s.String()
	}
	return fmt.Sprintf("%s (%d of %d)", s, s.Runs, len(c.Rows))
}

// spreadOf is the mean curve of several, over all steps that any of them has: a
// run counts at a step where it has a value, and there with its last one.
func spreadOf(curves []curve) []spread {
	at := map[int64]*spread{}
	for _, c := range curves {
		own := map[int64]float64{}
		xs, ys := c.line(len(c.Points))
		for i, x := range xs {
			own[int64(x)] = ys[i]
		}
		for x, v := range own {
			if at[x] == nil {
				at[x] = &spread{X: x}
			}
			at[x].add(v)
		}
	}
	out := make([]spread, 0, len(at))
	for _, x := range slices.Sorted(maps.Keys(at)) {
		out = append(out, *at[x])
	}
	return out
}

// cohortChart draws the mean curve of each cohort, given by their order, with its
// band, and notes where they begin and end.
func cohortChart(name, by string, cohorts []cohort, curves map[int][]curve, d drawing) *components.Chart {
	label := name + " by " + by
	means := make([][]spread, len(cohorts))
	least := math.Inf(1) // above 0: how low a band goes on a logarithmic axis, which has no place for 0
	for i := range cohorts {
		c := &cohorts[i]
		var own []curve
		for _, row := range c.Rows {
			own = append(own, curves[row]...)
		}
		mean := spreadOf(own)
		if len(mean) == 0 {
			continue
		}
		c.First, c.Last = &mean[0], &mean[len(mean)-1]
		if c.Shade == 0 {
			continue
		}
		label += "; " + c.Name() + " from " + c.Says(*c.First) + " to " + c.Says(*c.Last)
		means[i] = fewerSpreads(mean, mostPoints)
		for _, s := range means[i] {
			for _, v := range []float64{s.Mean, s.Mean - s.Deviation()} {
				if v > 0 {
					least = min(least, v)
				}
			}
		}
	}
	var bands, lines []any
	for i, mean := range means {
		if len(mean) == 0 {
			continue
		}
		ys, deviations, several := make([]float64, len(mean)), make([]float64, len(mean)), false
		for j, s := range mean {
			ys[j], deviations[j] = s.Mean, s.Deviation()
			several = several || s.Runs > 1
		}
		ys, deviations = smooth(ys, d.Smooth), smooth(deviations, d.Smooth)
		line, band, span := make([][3]float64, len(mean)), make([][3]float64, len(mean)), spanOf(ys)
		for j, s := range mean {
			x, y, off := float64(s.X), ys[j], deviations[j]
			low := y - off
			if d.Log {
				low = max(low, min(least, y))
			}
			line[j], band[j] = [3]float64{x, rounded(y, span), rounded(off, span)}, [3]float64{x, rounded(low, span), rounded(y+off, span)}
		}
		title, fill := cohorts[i].Name(), map[string]any{"color": cohorts[i].colour()}
		if several {
			bands = append(bands, map[string]any{"type": "custom", "name": title, "data": band, "encode": map[string]any{"x": 0, "y": []int{1, 2}}, "clip": true, "silent": true, "itemStyle": fill, "tooltip": map[string]any{"show": false}, "z": 1})
		}
		lines = append(lines, map[string]any{
			"type": "line", "name": title, "showSymbol": len(mean) < 30, "symbolSize": 5, "data": line, "dimensions": []string{"step", "mean", "± std"},
			"encode": map[string]any{"x": 0, "y": 1, "tooltip": []int{1, 2}}, "itemStyle": fill, "lineStyle": map[string]any{"width": 1.8, "type": cohorts[i].stroke(), "color": cohorts[i].colour()},
		})
	}
	if len(lines) == 0 {
		return nil
	}
	chart := lineChart(name+" by "+by+", mean ± standard deviation", label, append(lines, bands...), d)
	return &chart
}

// colours is how many colours charts have; more cohorts have them again, with
// another stroke and another sign.
const colours = 6

// colour is the cohort's, in every chart of a page.
func (c cohort) colour() string { return fmt.Sprintf("$series-%d", (c.Shade-1)%colours+1) }

func (c cohort) stroke() string {
	if c.Shade > colours {
		return "dashed"
	}
	return "solid"
}

func (c cohort) sign() string {
	if c.Shade > colours {
		return "diamond"
	}
	return "circle"
}

// fewerSpreads keeps those that draw nearly the same mean.
func fewerSpreads(all []spread, most int) []spread {
	if len(all) <= most {
		return all
	}
	points, at := make([]track.Metric, len(all)), make(map[int64]spread, len(all))
	for i, s := range all {
		points[i], at[s.X] = track.Metric{Step: s.X, Value: s.Mean}, s
	}
	out := make([]spread, 0, most)
	for _, p := range track.Downsample(points, most) {
		out = append(out, at[p.Step])
	}
	return out
}
