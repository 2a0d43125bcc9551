package ui

import (
	"cmp"
	"context"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// comparePage is runs beside each other.
type comparePage struct {
	Rows      []runLine
	Columns   []column // parameters and metrics, all or those that differ
	Different bool
	Parallel  *components.Chart // nil: fewer than two numbers to draw
	Scatter   *components.Chart
	X, Y      string // columns of the scatter
	Numeric   []column
	Curve     *components.Chart
	Metric    string // whose curves are drawn
	Metrics   []string
	Drawing   drawing
	Changes   []difference // of two runs: what is not the same
	Code      *codeDiff    // of two runs; nil: the same files
	Pair      bool
}

// mostCompared is how many runs stand beside each other.
const mostCompared = 100

func (u *UI) compare(mux *http.ServeMux) {
	mux.Handle("GET /compare", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadCompare(ctx, r.URL.Query())
		return Page{Title: "Compare runs", Nav: "runs", Template: "compare", Body: body, Crumbs: []components.Crumb{{Text: "Runs", URL: "/runs"}, {Text: "Compare"}}}, err
	}))
}

func (u *UI) loadCompare(ctx context.Context, q url.Values) (out comparePage, err error) {
	ids := q["run"]
	if len(ids) > mostCompared {
		return out, ridgeline.Errorf(ridgeline.Invalid, "%d runs are too many to compare: choose up to %d", len(ids), mostCompared)
	}
	wanted := make([]ridgeline.RunID, len(ids))
	for i, id := range ids {
		wanted[i] = ridgeline.RunID(id)
	}
	runs, err := u.Store.RunsOf(ctx, wanted)
	if err != nil {
		return out, err
	}
	for i, id := range wanted { // each is there, in this order, or else the first that is not is named
		if i >= len(runs) || runs[i].ID != id {
			return out, ridgeline.Errorf(ridgeline.NotFound, "no run %s", id)
		}
	}
	if out.Rows, err = u.runLines(ctx, runs, 0); err != nil {
		return out, err
	}
	out.Different, out.Drawing = q.Get("different") != "", drawingOf(q)
	out.Columns = columnsOf(out.Rows, out.Different)
	for i := range out.Rows {
		for _, c := range out.Columns {
			out.Rows[i].Cells = append(out.Rows[i].Cells, out.Rows[i].value(c.Key))
		}
	}
	if len(out.Rows) < 2 {
		return out, nil
	}
	out.Numeric = numericColumns(out.Rows)
	out.addScatter(q.Get("x"), q.Get("y"))
	out.Parallel = parallelChart(out.Rows, out.Numeric, out.Y)
	if len(runs) == 2 {
		out.Pair = true
		if out.Changes, out.Code, err = u.pairChanges(ctx, runs[0], runs[1]); err != nil {
			return out, err
		}
	}
	return out, u.addCurves(ctx, &out, runs, q.Get("metric"))
}

func (u *UI) pairChanges(ctx context.Context, a, b ridgeline.Run) ([]difference, *codeDiff, error) {
	was, err := u.Store.Pipeline(ctx, a.Project, a.Pipeline)
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return nil, nil, err
	}
	is, err := u.Store.Pipeline(ctx, b.Project, b.Pipeline)
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return nil, nil, err
	}
	code, err := u.codeChanges(ctx, was.Commit, is.Commit)
	return changes(a, b, was, is), code, err
}

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

// parallelChart has a line for each run, coloured by one of the columns.
func parallelChart(rows []runLine, columns []column, colour string) *components.Chart {
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
		lines[i] = map[string]any{"name": string(r.ID), "value": values}
	}
	return &components.Chart{Title: "Parallel coordinates", Size: "tall", Label: "each run as a line over its parameters and metrics; the table below has the same figures", Option: map[string]any{
		"tooltip": map[string]any{"trigger": "item"}, "parallelAxis": axes,
		"parallel": map[string]any{"left": 50, "right": 60, "top": 40, "bottom": 60},
		"series":   []any{map[string]any{"type": "parallel", "smooth": false, "lineStyle": map[string]any{"width": 1.8, "opacity": 0.75}, "data": lines}},
		"visualMap": map[string]any{
			"type": "continuous", "dimension": by, "min": low, "max": high, "calculable": false, "orient": "horizontal", "left": "center", "bottom": 0, "itemHeight": 160, "itemWidth": 10,
			"text": []string{components.Number(high), columns[by].Name + "  " + components.Number(low)}, "textStyle": map[string]any{"color": "$muted"}, "inRange": map[string]any{"color": []string{"$series-2", "$series-1"}},
		},
	}}
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
	points := []any{}
	for _, r := range p.Rows {
		if a, b := r.value(p.X), r.value(p.Y); a.IsNum && b.IsNum {
			points = append(points, map[string]any{"name": string(r.ID), "value": []float64{a.Number, b.Number}})
		}
	}
	named := func(key string) map[string]any {
		return map[string]any{"type": "value", "scale": true, "name": components.Cut(key[2:], 30), "nameLocation": "middle", "nameGap": 28}
	}
	p.Scatter = &components.Chart{Title: "Scatter", Label: p.Y[2:] + " over " + p.X[2:] + "; the table has the same figures", Option: map[string]any{
		"xAxis": named(p.X), "yAxis": map[string]any{"type": "value", "scale": true, "name": components.Cut(p.Y[2:], 30)}, "tooltip": map[string]any{"trigger": "item"},
		"grid": map[string]any{"left": 8, "right": 16, "top": 36, "bottom": 30, "containLabel": true}, "series": []any{map[string]any{"type": "scatter", "symbolSize": 10, "data": points}},
	}}
}

// addCurves overlays how one metric went in each of the runs.
func (u *UI) addCurves(ctx context.Context, out *comparePage, runs []ridgeline.Run, metric string) error {
	names := map[string]bool{}
	type of struct{ run, logged string }
	with := map[string][]of{}
	for _, r := range runs {
		logged, err := u.logged(ctx, r)
		if err != nil {
			return err
		}
		for _, l := range logged {
			for _, m := range l.Metrics {
				names[m.Key] = true
				with[m.Key] = append(with[m.Key], of{string(r.ID) + " " + l.Name, l.ID})
			}
		}
	}
	all := slices.Sorted(maps.Keys(names))
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(len(with[b]), len(with[a])) })
	if !names[metric] {
		metric = ""
	}
	for _, name := range all[:min(len(all), mostCharts)] {
		if metric != "" && name != metric {
			continue
		}
		var curves []curve
		for _, w := range with[name] {
			points, err := u.Track.History(ctx, w.logged, name)
			if err != nil {
				return err
			}
			if len(points) > 1 {
				curves = append(curves, curve{w.run, points})
			}
		}
		if len(curves) > 0 {
			chart := curveChart(name, curves, out.Drawing)
			out.Curve, out.Metric, out.Metrics = &chart, name, all
			return nil
		}
	}
	return nil
}
