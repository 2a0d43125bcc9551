package ui

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A stepMetric is the last value of a metric and the step that has it.
type stepMetric struct {
	Step, Name string
	Value      float64
}

// A curve is how a metric went.
type curve struct {
	Of     string // whose: a step, or a run
	Points []track.Metric
}

// drawing is how curves are drawn: state of the address.
type drawing struct {
	Log    bool
	Smooth float64 // 0: not at all, below 1
}

func drawingOf(query url.Values) drawing {
	smooth, err := strconv.ParseFloat(query.Get("smooth"), 64)
	if err != nil || !(smooth > 0 && smooth < 1) {
		smooth = 0
	}
	return drawing{query.Get("log") != "", smooth}
}

// Most charts on a page, and points of a curve, and of many curves on one chart
// together; fewPoints is what each of them has at least.
const (
	mostCharts = 24
	mostPoints = 600
	allPoints  = 30_000
	fewPoints  = 60
	mostTold   = 20 // curves that are told in words
	mostNamed  = 60 // curves that have names and colours
)

// addMetrics fills in what the steps measured, and how what they logged more
// than once went.
func (u *UI) addMetrics(ctx context.Context, out *runPage, steps []ridgeline.Step, query url.Values) error {
	for _, s := range steps {
		for _, name := range slices.Sorted(maps.Keys(s.Result.Metrics)) {
			list := &out.Metrics
			if isSystem(name) {
				list = &out.System.Logged
			}
			*list = append(*list, stepMetric{s.Name, name, s.Result.Metrics[name]})
		}
	}
	logged, err := u.logged(ctx, out.Run)
	if err != nil {
		return err
	}
	curves, system := map[string][]curve{}, map[string][]curve{}
	for _, l := range logged {
		for _, m := range l.Metrics {
			curves := curves
			if isSystem(m.Key) {
				curves = system
			}
			if len(curves) >= mostCharts && curves[m.Key] == nil {
				continue
			}
			points, err := u.Track.History(ctx, l.ID, m.Key)
			if err != nil {
				return err
			}
			if len(points) > 1 {
				curves[m.Key] = append(curves[m.Key], curve{l.Name, points})
			}
		}
	}
	out.Drawing = drawingOf(query)
	for _, name := range slices.Sorted(maps.Keys(curves)) {
		out.Charts = append(out.Charts, curveChart(name, curves[name], out.Drawing))
	}
	for _, name := range slices.Sorted(maps.Keys(system)) {
		out.System.Curves = append(out.System.Curves, loggedSystem(name, system[name]))
	}
	return u.addSystem(ctx, out, steps, query)
}

// runTag says which run's step has logged something.
const runTag = "ridgeline.run"

// logged is what the steps of a run have logged to tracking, one for each
// attempt, newest first.
func (u *UI) logged(ctx context.Context, run ridgeline.Run) ([]track.Run, error) {
	all, err := u.trackedOf(ctx, []runLine{{Run: run}})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// curveChart draws how a metric went, over its steps or, where all are at one
// step, over their order. Of more curves than anybody can tell from each other
// it draws one cloud: as many series of their own would take seconds.
func curveChart(name string, curves []curve, d drawing) components.Chart {
	var series []any
	cloud := make([]any, 0, allPoints)
	drawn, label, most := 0, name, max(fewPoints, min(mostPoints, allPoints/max(len(curves), 1)))
	for _, c := range curves {
		xs, ys := c.line(most)
		if len(ys) == 0 {
			continue
		}
		switch drawn++; {
		case drawn <= mostTold:
			label += "; " + c.Of + " from " + components.Number(ys[0]) + " to " + components.Number(ys[len(ys)-1])
		case drawn == mostTold+1:
			label += fmt.Sprintf("; and up to %d more", len(curves)-mostTold)
		}
		data := pairs(xs, smooth(ys, d.Smooth))
		if len(curves) <= mostNamed {
			series = append(series, map[string]any{"type": "line", "name": c.Of, "showSymbol": len(xs) < 30, "symbolSize": 5, "data": data, "lineStyle": map[string]any{"width": 1.6}})
			continue
		}
		for _, point := range data {
			cloud = append(cloud, point)
		}
		cloud = append(cloud, gap)
	}
	if len(cloud) > 0 {
		series = []any{map[string]any{"type": "line", "showSymbol": false, "silent": true, "tooltip": map[string]any{"show": false}, "data": cloud, "lineStyle": map[string]any{"width": 1, "opacity": 0.35}}}
	}
	return lineChart(name, label, series, d)
}

// gap is a point that is none: a line ends there, and another begins.
var gap = [2]any{nil, nil}

// line is the curve's points that are numbers, at their steps or in their order.
func (c curve) line(most int) (xs, ys []float64) {
	points := track.Downsample(c.Points, most)
	stepped := byStep(points)
	for i, p := range points {
		if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			continue
		}
		x := float64(i)
		if stepped {
			x = float64(p.Step)
		}
		xs, ys = append(xs, x), append(ys, p.Value)
	}
	return xs, ys
}

// lineChart has lines over steps.
func lineChart(title, label string, series []any, d drawing) components.Chart {
	axis := "value"
	if d.Log {
		axis = "log"
	}
	return components.Chart{Title: title, Label: label, Option: map[string]any{
		"xAxis": map[string]any{"type": "value", "min": "dataMin", "max": "dataMax"}, "yAxis": map[string]any{"type": axis, "scale": true},
		"legend": map[string]any{"show": len(series) > 1, "type": "scroll", "top": 0}, "series": series,
		"dataZoom": []any{map[string]any{"type": "inside"}},
	}}
}

// byStep reports whether points lie at their steps; where all are at one, they
// lie in their order.
func byStep(points []track.Metric) bool {
	return len(points) > 0 && points[0].Step != points[len(points)-1].Step
}

func pairs(xs, ys []float64) [][2]float64 {
	out, span := make([][2]float64, len(xs)), spanOf(ys)
	for i := range xs {
		out[i] = [2]float64{xs[i], rounded(ys[i], span)}
	}
	return out
}

func spanOf(ys []float64) float64 {
	if len(ys) == 0 {
		return 0
	}
	return slices.Max(ys) - slices.Min(ys)
}

// rounded keeps six digits of a value, or of how far values lie apart, where they
// are large and differ little: a chart shows no more, and is half as long.
func rounded(v, span float64) float64 {
	size := min(math.Abs(v), span)
	if size == 0 || math.IsInf(span, 0) {
		return v
	}
	digits := 5 - int(math.Floor(math.Log10(size)))
	switch {
	case digits > 300: // 10 to that power is no number
		return v
	case digits < 0:
		scale := math.Pow10(-digits)
		return math.Round(v/scale) * scale
	}
	scale := math.Pow10(digits)
	if near := math.Round(v*scale) / scale; !math.IsInf(near, 0) {
		return near
	}
	return v
}

// smooth is the exponential moving average with that weight of what came
// before, freed of its bias towards zero (as Adam's moments are: Kingma and Ba,
// 2014).
func smooth(ys []float64, weight float64) []float64 {
	if weight == 0 {
		return ys
	}
	out, mean, left := make([]float64, len(ys)), 0.0, 1.0
	for i, y := range ys {
		mean = weight*mean + (1-weight)*y
		left *= weight
		out[i] = mean / (1 - left)
	}
	return out
}
