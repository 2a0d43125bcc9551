package ui

import (
	"cmp"
	"context"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track"
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
	ids := slices.DeleteFunc(slices.Clone(q["run"]), func(id string) bool { return id == "" }) // a field that was left empty
	if len(ids) > mostCompared {
		return out, ridgeline.Errorf(ridgeline.Invalid, "%d runs are too many to compare: choose up to %d", len(ids), mostCompared)
	}
	if out.Rows, err = u.comparedLines(ctx, ids); err != nil {
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
	if len(out.Rows) == 2 {
		out.Pair = true
		if out.Changes, out.Code, err = u.pairChanges(ctx, out.Rows[0], out.Rows[1]); err != nil {
			return out, err
		}
	}
	return out, u.addCurves(ctx, &out, q.Get("metric"))
}

// comparedLines reads runs in the order of their ids: those of pipelines begin
// with r-, all others were only logged. The first that is not there is named.
func (u *UI) comparedLines(ctx context.Context, ids []string) ([]runLine, error) {
	var ours []ridgeline.RunID
	for _, id := range ids {
		if ofPipeline(id) {
			ours = append(ours, ridgeline.RunID(id))
		}
	}
	runs, err := u.Store.RunsOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	read, err := u.runLines(ctx, runs, 0)
	if err != nil {
		return nil, err
	}
	lines := make([]runLine, 0, len(ids))
	for _, id := range ids {
		if !ofPipeline(id) {
			r, err := u.Track.Run(ctx, id)
			if err != nil {
				return nil, err
			}
			lines = append(lines, loggedValues(r))
			continue
		}
		if len(read) == 0 || string(read[0].ID) != id {
			return nil, ridgeline.Errorf(ridgeline.NotFound, "no run %s", id)
		}
		lines, read = append(lines, read[0]), read[1:]
	}
	return lines, nil
}

func ofPipeline(id string) bool { return strings.HasPrefix(id, "r-") }

func (u *UI) pairChanges(ctx context.Context, one, other runLine) ([]difference, *codeDiff, error) {
	a, b := one.Run, other.Run
	if one.Logged != nil || other.Logged != nil { // what a script logged says nothing of files and packages
		all := differing("parameter", a.Params, b.Params)
		return append(all, differing("dataset", one.datasets(), other.datasets())...), nil, nil
	}
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

// tracked is what a run has logged: it itself, or its steps.
func (l runLine) tracked(ctx context.Context, u *UI) ([]track.Run, error) {
	if l.Logged != nil {
		return []track.Run{*l.Logged}, nil
	}
	return u.logged(ctx, l.Run)
}

// curveOf is whose curve it is.
func (l runLine) curveOf(step track.Run) string {
	if l.Logged != nil {
		return l.Title()
	}
	return string(l.ID) + " " + step.Name
}

// datasets are what a run read, each by its version or, where it was only
// logged, by its digest.
func (l runLine) datasets() map[string]string {
	if l.Logged == nil {
		return versionTexts(l.Data)
	}
	out := map[string]string{}
	for _, in := range l.Logged.Inputs {
		out[in.Name] = in.Digest
	}
	return out
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
		lines[i] = map[string]any{"name": r.Title(), "value": values}
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
			points = append(points, map[string]any{"name": r.Title(), "value": []float64{a.Number, b.Number}})
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
func (u *UI) addCurves(ctx context.Context, out *comparePage, metric string) error {
	names := map[string]bool{}
	type of struct{ run, logged string }
	with := map[string][]of{}
	for _, r := range out.Rows {
		logged, err := r.tracked(ctx, u)
		if err != nil {
			return err
		}
		for _, l := range logged {
			for _, m := range l.Metrics {
				names[m.Key] = true
				with[m.Key] = append(with[m.Key], of{r.curveOf(l), l.ID})
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
