package ui

import (
	"context"
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
	Cloud     bool   // they are too many to have names
	Metrics   []string
	Drawing   drawing
	By        string       // how runs are put together: p.NAME, all or empty
	Groupable []column     // parameters by which they can be
	Cohorts   []cohort     // nil: each run stands for itself
	Of        string       // which value of a metric with a history is shown: last, min or max
	Changes   []difference // of two runs: what is not the same
	Code      *codeDiff    // of two runs; nil: the same files
	Pair      bool
}

// mostCompared is how many runs stand beside each other.
const mostCompared = 500

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
	tracked, err := u.trackedOf(ctx, out.Rows)
	if err != nil {
		return out, err
	}
	if out.Of = valueOf(q); out.Of != lastValue {
		if err := u.addExtremes(ctx, out.Rows, tracked, out.Of); err != nil {
			return out, err
		}
	}
	out.Different, out.Drawing = q.Get("different") != "", drawingOf(q)
	out.Columns = columnsOf(out.Rows, out.Different)
	fillCells(out.Rows, out.Columns)
	if len(out.Rows) < 2 {
		return out, nil
	}
	out.group(q.Get("by"))
	out.Numeric = numericColumns(out.Rows)
	out.addScatter(q.Get("x"), q.Get("y"))
	out.Parallel = parallelChart(out.Rows, out.Numeric, out.Y, out.Cohorts)
	if len(out.Rows) == 2 {
		out.Pair = true
		if out.Changes, out.Code, err = u.pairChanges(ctx, out.Rows[0], out.Rows[1]); err != nil {
			return out, err
		}
	}
	return out, u.addCurves(ctx, &out, tracked, q.Get("metric"))
}

// group puts the runs together, when the address says by what.
func (p *comparePage) group(by string) {
	p.Groupable = groupable(p.Rows)
	if by == byAll || slices.ContainsFunc(p.Groupable, func(c column) bool { return c.Key == by }) {
		p.By, p.Cohorts = by, cohortsOf(p.Rows, by)
	}
}

// ByName is what the runs are put together by, as people read it.
func (p comparePage) ByName() string {
	if p.By == byAll {
		return "all runs"
	}
	return strings.TrimPrefix(p.By, "p.")
}

// Many reports whether the table is so wide that it is laid out only once it is
// in sight.
func (p comparePage) Many() bool { return len(p.Rows) > mostNamed }

// Lost is how many runs are in no cohort that is drawn.
func (p comparePage) Lost() (runs int) {
	for _, c := range p.Cohorts {
		if c.Shade == 0 {
			runs += len(c.Rows)
		}
	}
	return runs
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
