package ui

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// buildsPage is a list of builds, newest first.
type buildsPage struct {
	Builds  []ridgeline.Build
	Project ridgeline.ProjectName
	Branch  string
}

// buildPage is one build: its checks, its tests, its coverage and how that has
// gone.
type buildPage struct {
	ridgeline.Build
	Checks   []checkRow
	Log      *logView // of the check that is chosen
	Name     string   // of that check
	Failed   []build.TestResult
	Files    []fileCoverage
	Trend    *components.Chart
	Earlier  []ridgeline.Build // with their coverage, oldest first
	Arrivals []arrivalRow
}

// A checkRow is a check on the list.
type checkRow struct {
	ridgeline.Check
	URL string
	Now bool
}

// A fileCoverage is how much of a file ran under test.
type fileCoverage struct {
	Path  string
	Share float64
	Text  string
}

// mostBuilds is how many builds a list has, mostTrend how many its line of
// coverage.
const (
	mostBuilds = 100
	mostTrend  = 40
)

func (u *UI) builds(mux *http.ServeMux) {
	mux.Handle("GET /builds", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body := buildsPage{Project: ridgeline.ProjectName(r.URL.Query().Get("project")), Branch: r.URL.Query().Get("branch")}
		rows, err := u.Store.Builds(ctx, store.BuildFilter{Project: body.Project, Branch: body.Branch, Limit: mostBuilds})
		body.Builds = rows
		busy := slices.ContainsFunc(rows, func(b ridgeline.Build) bool { return !b.Status.Terminal() })
		return Page{Title: "Builds", Nav: "builds", Project: body.Project, Busy: busy, Template: "builds", Body: body}, err
	}))
	mux.Handle("GET /builds/{id}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadBuild(ctx, ridgeline.BuildID(r.PathValue("id")), r.URL.Query())
		return Page{
			Title: "Build " + string(body.ID), Nav: "builds", Project: body.Project, Busy: !body.Status.Terminal(), Template: "build", Body: body,
			Crumbs: []components.Crumb{{Text: "Builds", URL: components.Path("builds", query("project", string(body.Project)))}, {Text: string(body.ID)}},
		}, err
	}))
	mux.Handle("POST /builds/{id}/cancel", u.act("cancel-build", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		return components.Path("builds", r.PathValue("id")), u.Store.RequestBuildCancel(ctx, ridgeline.BuildID(r.PathValue("id")))
	}))
	mux.Handle("POST /builds/{id}/retry", u.act("retry-build", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		b, err := u.Builds.Retry(ctx, ridgeline.BuildID(r.PathValue("id")), auth.From(ctx).Name)
		return components.Path("builds", b.ID), err
	}))
}

func (u *UI) loadBuild(ctx context.Context, id ridgeline.BuildID, q url.Values) (out buildPage, err error) {
	if out.Build, err = u.Store.Build(ctx, id); err != nil {
		return out, err
	}
	chosen := chooseCheck(out.Build.Checks, q.Get("check"))
	for i, c := range out.Build.Checks {
		row := checkRow{Check: c, Now: i == chosen}
		if c.Task != "" {
			row.URL = components.Path("builds", id, query("check", c.Name))
		}
		out.Checks = append(out.Checks, row)
	}
	if chosen >= 0 {
		c := out.Build.Checks[chosen]
		log, err := u.viewLog(ctx, c.Task, "Log of "+c.Name, !c.Status.Terminal(), q, components.NewCLI("logs", id, c.Name))
		if err != nil {
			return out, err
		}
		log.Hidden = [][2]string{{"check", c.Name}}
		out.Log, out.Name = &log, c.Name
	}
	if out.Report.Results != "" {
		results, err := u.Builds.Results(ctx, id)
		if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
			return out, err
		}
		out.addResults(results)
	}
	rows, err := u.Store.Arrivals(ctx, store.ArrivalFilter{Project: out.Project, Cause: "build " + string(id)})
	if err != nil {
		return out, err
	}
	out.Arrivals = arrivalRows(rows)
	return out, u.addTrend(ctx, &out)
}

// chooseCheck is the place of the named check, else of the first that failed,
// else of the one under way, else of the last; of those that have a log.
func chooseCheck(checks []ridgeline.Check, name string) int {
	best, rank := -1, 0
	for i, c := range checks {
		if c.Task == "" {
			continue
		}
		if c.Name == name {
			return i
		}
		const plain = 1
		worth := plain
		switch c.Status {
		case ridgeline.Failed:
			worth = 3
		case ridgeline.Running:
			worth = 2
		}
		if worth > rank || rank == plain && worth == plain {
			best, rank = i, worth
		}
	}
	return best
}

func (p *buildPage) addResults(r build.Results) {
	for _, t := range r.Tests {
		if t.Status == "failed" {
			p.Failed = append(p.Failed, t)
		}
	}
	for _, f := range r.Files {
		if f.Lines > 0 {
			share := float64(f.Covered) / float64(f.Lines)
			p.Files = append(p.Files, fileCoverage{f.File, share, strconv.Itoa(f.Covered) + " of " + strconv.Itoa(f.Lines)})
		}
	}
	slices.SortStableFunc(p.Files, func(a, b fileCoverage) int {
		switch {
		case a.Share < b.Share:
			return -1
		case a.Share > b.Share:
			return 1
		}
		return 0
	})
}

// addTrend draws the coverage of the project's builds up to this one.
func (u *UI) addTrend(ctx context.Context, p *buildPage) error {
	rows, err := u.Store.Builds(ctx, store.BuildFilter{Project: p.Project, Branch: p.Commit.Branch, Limit: mostTrend})
	if err != nil {
		return err
	}
	var names []string
	var values []float64
	for _, b := range slices.Backward(rows) {
		if b.Report.Coverage != nil && !b.Created.After(p.Created) {
			p.Earlier = append(p.Earlier, b)
			names, values = append(names, b.Commit.Short()), append(values, b.Report.Coverage.Percent())
		}
	}
	if len(values) > 1 {
		p.Trend = &components.Chart{Title: "Coverage of the branch, build by build", Size: "low", Label: "coverage of the last " + strconv.Itoa(len(values)) + " builds, now " + components.Number(values[len(values)-1]) + " %", Option: map[string]any{
			"xAxis": map[string]any{"type": "category", "data": names}, "yAxis": map[string]any{"type": "value", "scale": true, "max": 100},
			"series": []any{map[string]any{"type": "line", "data": values, "symbolSize": 6}},
		}}
	}
	return nil
}
