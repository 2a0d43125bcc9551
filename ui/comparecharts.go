package ui

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// numericColumns are those that are numbers in every run that has them, and
// not the same in all.
func numericColumns(rows []runLine) (out []column) {
	for _, c := range columnsOf(rows, true) {
		numbers := 0
		for _, r := range rows {
			if v := r.value(c.Key); v.IsNum && !math.IsNaN(v.Number) && !math.IsInf(v.Number, 0) {
				numbers++
			} else if v.Text != "" {
				numbers = -len(rows)
			}
		}
		if numbers > 1 {
			out = append(out, c)
		}
	}
	return out
}

// mostAxes is how many axes side by side can be read.
const mostAxes = 14

// parallelChart has a line for each run, coloured by its cohort or, where there
// are none, by one of the columns.
func parallelChart(rows []runLine, columns []column, colour string, cohorts []cohort) *components.Chart {
	if len(columns) < 2 {
		return nil
	}
	columns = columns[:min(len(columns), mostAxes)]
	by := max(slices.IndexFunc(columns, func(c column) bool { return c.Key == colour }), 0)
	low, high := math.Inf(1), math.Inf(-1)
	axes := make([]any, len(columns))
	for i, c := range columns {
		axes[i] = map[string]any{"dim": i, "name": components.Cut(c.Name, 16), "scale": true}
	}
	lines := make([]any, len(rows))
	for i, r := range rows {
		values := make([]any, len(columns))
		for j, c := range columns {
			if v := r.value(c.Key); v.IsNum {
				values[j] = v.Number
				if j == by {
					low, high = min(low, v.Number), max(high, v.Number)
				}
			} else {
				values[j] = "-" // ECharts' sign for nothing
			}
		}
		lines[i] = map[string]any{"name": r.Title(), "value": values}
	}
	option := map[string]any{
		"tooltip": map[string]any{"trigger": "item"}, "parallelAxis": axes, "parallel": map[string]any{"left": 50, "right": 60, "top": 40, "bottom": 60},
	}
	if cohorts != nil {
		option["legend"], option["series"] = map[string]any{"type": "scroll", "bottom": 0}, bySeries(cohorts, lines, func(c cohort) map[string]any {
			return map[string]any{"type": "parallel", "smooth": false, "lineStyle": map[string]any{"width": 1.8, "opacity": 0.75, "color": c.colour(), "type": c.stroke()}}
		})
	} else {
		option["series"] = []any{map[string]any{"type": "parallel", "smooth": false, "lineStyle": map[string]any{"width": 1.8, "opacity": 0.75}, "data": lines}}
		option["visualMap"] = map[string]any{
			"type": "continuous", "dimension": by, "min": low, "max": high, "calculable": false, "orient": "horizontal", "left": "center", "bottom": 0, "itemHeight": 160, "itemWidth": 10,
			"text": []string{components.Number(high), columns[by].Name + "  " + components.Number(low)}, "textStyle": map[string]any{"color": "$muted"}, "inRange": map[string]any{"color": []string{"$series-2", "$series-1"}},
		}
	}
	return &components.Chart{Title: "Parallel coordinates", Size: "tall", Label: "each run as a line over its parameters and metrics; the table below has the same figures", Option: option}
}

// bySeries makes a series for each cohort that is drawn, with what its runs have;
// nil is for runs that are not there.
func bySeries(cohorts []cohort, of []any, series func(c cohort) map[string]any) (all []any) {
	for _, c := range cohorts {
		if c.Shade == 0 {
			continue
		}
		data := []any{}
		for _, row := range c.Rows {
			if of[row] != nil {
				data = append(data, of[row])
			}
		}
		one := series(c)
		one["name"], one["data"], one["itemStyle"] = c.Name(), data, map[string]any{"color": c.colour()}
		all = append(all, one)
	}
	return all
}

// addScatter draws one column over another: those asked for, else the first
// parameter and the first metric.
func (p *comparePage) addScatter(x, y string) {
	if len(p.Numeric) < 2 {
		return
	}
	known := func(key, otherwise string) string {
		if slices.ContainsFunc(p.Numeric, func(c column) bool { return c.Key == key }) {
			return key
		}
		return otherwise
	}
	p.X, p.Y = known(x, p.Numeric[0].Key), p.Numeric[1].Key
	for _, c := range p.Numeric {
		if c.Key[0] == 'm' && c.Key != p.X {
			p.Y = c.Key
			break
		}
	}
	p.Y = known(y, p.Y)
	points := make([]any, len(p.Rows))
	for i, r := range p.Rows {
		if a, b := r.value(p.X), r.value(p.Y); a.IsNum && b.IsNum {
			points[i] = map[string]any{"name": r.Title(), "value": []float64{a.Number, b.Number}}
		}
	}
	top := 36
	series := []any{map[string]any{"type": "scatter", "symbolSize": 10, "data": slices.DeleteFunc(slices.Clone(points), func(v any) bool { return v == nil })}}
	if p.Cohorts != nil {
		top = 58 // the legend is above the name of the axis
		series = bySeries(p.Cohorts, points, func(c cohort) map[string]any {
			return map[string]any{"type": "scatter", "symbolSize": 10, "symbol": c.sign()}
		})
	}
	named := func(key string) map[string]any {
		return map[string]any{"type": "value", "scale": true, "name": components.Cut(key[2:], 30), "nameLocation": "middle", "nameGap": 28}
	}
	p.Scatter = &components.Chart{Title: "Scatter", Label: p.Y[2:] + " over " + p.X[2:] + "; the table has the same figures", Option: map[string]any{
		"xAxis": named(p.X), "yAxis": map[string]any{"type": "value", "scale": true, "name": components.Cut(p.Y[2:], 30)}, "tooltip": map[string]any{"trigger": "item"},
		"grid": map[string]any{"left": 8, "right": 16, "top": top, "bottom": 30, "containLabel": true}, "series": series,
		"legend": map[string]any{"show": p.Cohorts != nil, "type": "scroll", "top": 0},
	}}
}

// mostLogged is how many of what the steps and attempts of a run have logged are
// read.
const mostLogged = 100

// trackedOf is what each of the runs has logged, newest first: it itself, or its
// steps, one for each attempt. What steps log is in the experiment of their
// project.
func (u *UI) trackedOf(ctx context.Context, rows []runLine) ([][]track.Run, error) {
	experiments, ids, out := map[ridgeline.ProjectName]int64{}, []string{}, make([][]track.Run, len(rows))
	for i, r := range rows {
		if r.Logged != nil {
			out[i] = []track.Run{*r.Logged}
			continue
		}
		ids = append(ids, string(r.ID))
		if _, known := experiments[r.Project]; known {
			continue
		}
		e, err := u.Track.ExperimentByName(ctx, string(r.Project))
		switch {
		case ridgeline.CodeOf(err) == ridgeline.NotFound: // nothing has ever been logged there
			experiments[r.Project] = -1
		case err != nil:
			return nil, err
		default:
			experiments[r.Project] = e.ID
		}
	}
	places := slices.DeleteFunc(slices.Collect(maps.Values(experiments)), func(id int64) bool { return id < 0 })
	logged, err := u.Track.Tagged(ctx, places, runTag, ids, mostLogged)
	if err != nil {
		return nil, err
	}
	of := map[string][]track.Run{}
	for _, l := range logged {
		id := l.Tag(runTag)
		of[id] = append(of[id], l)
	}
	for i, r := range rows {
		if r.Logged == nil {
			out[i] = slices.DeleteFunc(of[string(r.ID)], func(l track.Run) bool { return l.Experiment != experiments[r.Project] })
		}
	}
	return out, nil
}

// addExtremes shows of each metric that a run has logged more than once its least
// or its greatest value, in place of the last.
func (u *UI) addExtremes(ctx context.Context, rows []runLine, tracked [][]track.Run, of string) error {
	spans, err := u.Track.Spans(ctx, slices.Concat(tracked...))
	if err != nil {
		return err
	}
	for i, logged := range tracked {
		had := map[string]track.Span{}
		for _, l := range newest(logged) {
			for key, span := range spans[l.ID] {
				if before, known := had[key]; known {
					span = track.Span{Least: min(span.Least, before.Least), Greatest: max(span.Greatest, before.Greatest)}
				}
				had[key] = span
			}
		}
		for key, span := range had {
			switch _, shown := rows[i].Metrics[key]; {
			case !shown:
			case of == "min":
				rows[i].Metrics[key] = span.Least
			default:
				rows[i].Metrics[key] = span.Greatest
			}
		}
	}
	return nil
}

// addCurves overlays how one metric went in each of the runs, or draws the mean
// of each cohort. Without a metric it is the one that most of the runs have.
func (u *UI) addCurves(ctx context.Context, out *comparePage, tracked [][]track.Run, metric string) error {
	with := map[string]int{}
	for _, logged := range tracked {
		for _, l := range logged {
			for _, m := range l.Metrics {
				with[m.Key]++
			}
		}
	}
	all := slices.Sorted(maps.Keys(with))
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(with[b], with[a]) })
	tried := all[:min(len(all), mostCharts)]
	if with[metric] > 0 {
		tried = []string{metric}
	}
	for _, name := range tried {
		histories, err := u.Track.Histories(ctx, slices.Concat(tracked...), name)
		if err != nil {
			return err
		}
		if chart := out.curves(name, tracked, histories); chart != nil {
			out.Curve, out.Metric, out.Metrics = chart, name, all
			return nil
		}
	}
	return nil
}

// newest leaves out what was logged again since, by another attempt of the same
// step.
func newest(logged []track.Run) (out []track.Run) {
	seen := map[string]bool{}
	for _, l := range logged {
		if !seen[l.Name] {
			seen[l.Name], out = true, append(out, l)
		}
	}
	return out
}

// curves draws one metric; nil, when nobody has logged it more than once. To the
// mean of a cohort only the newest attempts count.
func (p *comparePage) curves(name string, tracked [][]track.Run, histories map[string][]track.Metric) *components.Chart {
	drawn := func(i int, logged []track.Run) (curves []curve) {
		for _, l := range logged {
			if points := histories[l.ID]; len(points) > 1 {
				curves = append(curves, curve{p.Rows[i].curveOf(l), points})
			}
		}
		return curves
	}
	var single []curve
	grouped := map[int][]curve{}
	for i, logged := range tracked {
		single, grouped[i] = append(single, drawn(i, logged)...), drawn(i, newest(logged))
	}
	switch {
	case len(single) == 0:
		return nil
	case p.Cohorts != nil:
		return cohortChart(name, p.ByName(), p.Cohorts, grouped, p.Drawing)
	}
	p.Cloud = len(single) > mostNamed
	chart := curveChart(name, single, p.Drawing)
	return &chart
}
