package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// dataPage is every dataset and the version of it that is in use.
type dataPage struct{ Sets []intake.State }

// datasetPage is a dataset: its versions, and what arrived.
type datasetPage struct {
	State    intake.State
	Versions []ridgeline.DatasetVersion
	Arrivals []arrivalRow
}

// datasetVersionPage is one version: what is in it, what its checks found, and
// what is not as it was in another.
type datasetVersionPage struct {
	ridgeline.DatasetVersion
	Current  bool
	Columns  []columnView
	Arrivals []arrivalRow
	Other    int // the version that it is compared with; 0: none
	Change   *data.Difference
	Versions []int // that it can be compared with
	Runs     []ridgeline.Run
}

// A columnView is a column with its values as a picture, and what the checks
// found.
type columnView struct {
	data.ColumnProfile
	Bars     []components.Column
	Nulls    float64 // share
	Findings []data.Finding
}

// Broken is how many of the checks found something.
func (c columnView) Broken() (n int) {
	for _, f := range c.Findings {
		if !f.OK {
			n++
		}
	}
	return n
}

// An arrivalRow is an arrival with the findings that matter.
type arrivalRow struct {
	ridgeline.Arrival
	Findings []data.Finding // broken ones
	Rules    int            // that were looked at
}

// What people care for of what arrived.
var shownArrivals = []ridgeline.ArrivalStatus{ridgeline.Arriving, ridgeline.Accepted, ridgeline.Quarantined, ridgeline.Lost}

const mostArrivals = 50

func (u *UI) data(mux *http.ServeMux) {
	mux.Handle("GET /data", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		name := ridgeline.ProjectName(r.URL.Query().Get("project"))
		var body dataPage
		projects, err := u.Store.Projects(ctx)
		for _, p := range projects {
			if err != nil || name != "" && p.Name != name {
				continue
			}
			var states []intake.State
			states, err = u.Intake.States(ctx, p.Name)
			body.Sets = append(body.Sets, states...)
		}
		return Page{Title: "Data", Nav: "data", Project: name, Template: "data", Body: body}, err
	}))
	mux.Handle("GET /data/{project}/{dataset}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		name := ridgeline.ProjectName(r.PathValue("project"))
		body, busy, err := u.loadDataset(ctx, name, r.PathValue("dataset"))
		return Page{Title: r.PathValue("dataset"), Nav: "data", Project: name, Busy: busy, Template: "dataset", Body: body, Crumbs: dataCrumbs(name, r.PathValue("dataset"), "")}, err
	}))
	mux.Handle("GET /data/{project}/{dataset}/{version}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		name, set := ridgeline.ProjectName(r.PathValue("project")), r.PathValue("dataset")
		body, err := u.loadDatasetVersion(ctx, name, set, r.PathValue("version"), r.URL.Query())
		return Page{Title: fmt.Sprintf("%s version %d", set, body.Version), Nav: "data", Project: name, Template: "dataset-version", Body: body, Crumbs: dataCrumbs(name, set, r.PathValue("version"))}, err
	}))
	mux.Handle("POST /data/{project}/{dataset}/look", u.act("look-at-source", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		name, set := ridgeline.ProjectName(r.PathValue("project")), r.PathValue("dataset")
		_, _, err := u.Intake.Look(ctx, name, set, "page", auth.From(ctx).Name)
		return components.Path("data", name, set), err
	}))
	mux.Handle("POST /data/{project}/{dataset}/{version}/accept", u.act("accept-data", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		name, set := ridgeline.ProjectName(r.PathValue("project")), r.PathValue("dataset")
		version, err := strconv.Atoi(r.PathValue("version"))
		if err != nil {
			return "", ridgeline.Errorf(ridgeline.NotFound, "no version %q of dataset %s", r.PathValue("version"), set)
		}
		_, err = u.Intake.Accept(ctx, name, set, version, r.PostFormValue("reason"), auth.From(ctx).Name)
		return components.Path("data", name, set), err
	}))
}

func dataCrumbs(project ridgeline.ProjectName, set, version string) []components.Crumb {
	crumbs := []components.Crumb{{Text: "Data", URL: "/data"}, {Text: string(project), URL: components.Path("projects", project)}, {Text: set}}
	if version != "" {
		crumbs[2].URL = components.Path("data", project, set)
		crumbs = append(crumbs, components.Crumb{Text: "version " + version})
	}
	return crumbs
}

func (u *UI) loadDataset(ctx context.Context, project ridgeline.ProjectName, name string) (out datasetPage, busy bool, err error) {
	states, err := u.Intake.States(ctx, project)
	if err != nil {
		return out, false, err
	}
	known := false
	for _, s := range states {
		if s.Name == name {
			out.State, known = s, true
		}
	}
	if !known {
		return out, false, ridgeline.Errorf(ridgeline.NotFound, "project %s has no dataset %s", project, name)
	}
	if out.Versions, err = u.Store.DatasetVersions(ctx, project, name); err != nil {
		return out, false, err
	}
	rows, err := u.Store.Arrivals(ctx, store.ArrivalFilter{Project: project, Dataset: name, Limit: mostArrivals, Status: shownArrivals})
	for _, a := range rows {
		busy = busy || !a.Status.Terminal()
	}
	out.Arrivals = arrivalRows(rows)
	return out, busy, err
}

func arrivalRows(rows []ridgeline.Arrival) []arrivalRow {
	out := make([]arrivalRow, len(rows))
	for i, a := range rows {
		out[i].Arrival = a
		all := findings(a)
		out[i].Rules = len(all)
		for _, f := range all {
			if !f.OK {
				out[i].Findings = append(out[i].Findings, f)
			}
		}
	}
	return out
}

// findings are what the checks of an arrival found; a report that cannot be
// read is none.
func findings(a ridgeline.Arrival) (all []data.Finding) {
	if len(a.Findings) > 0 {
		_ = json.Unmarshal(a.Findings, &all)
	}
	return all
}

func (u *UI) loadDatasetVersion(ctx context.Context, project ridgeline.ProjectName, name, version string, q url.Values) (out datasetVersionPage, err error) {
	number, err := strconv.Atoi(version)
	if err != nil || number < 1 {
		return out, ridgeline.Errorf(ridgeline.NotFound, "dataset %s has no version %q", name, version)
	}
	if out.DatasetVersion, err = u.Store.DatasetVersion(ctx, project, name, number); err != nil {
		return out, err
	}
	set, err := u.Store.Dataset(ctx, project, name)
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound { // it may be older than the record of arrivals
		return out, err
	}
	out.Current = set.Current == number
	rows, err := u.Store.Arrivals(ctx, store.ArrivalFilter{Project: project, Dataset: name, Status: shownArrivals})
	if err != nil {
		return out, err
	}
	var of []ridgeline.Arrival
	for _, a := range rows {
		if a.Version == number {
			of = append(of, a)
		}
	}
	out.Arrivals = arrivalRows(of)
	if out.Profile != "" {
		profile, err := u.Intake.Profile(ctx, out.DatasetVersion)
		if err != nil {
			return out, err
		}
		out.Columns = columnViews(profile, of)
	}
	return out, u.addDifference(ctx, &out, q.Get("with"))
}

func columnViews(p data.Profile, arrivals []ridgeline.Arrival) []columnView {
	by := map[string][]data.Finding{}
	if len(arrivals) > 0 {
		for _, f := range findings(arrivals[0]) {
			by[f.Column] = append(by[f.Column], f)
		}
	}
	views := make([]columnView, len(p.Columns))
	for i, c := range p.Columns {
		views[i] = columnView{ColumnProfile: c, Findings: by[c.Name]}
		if p.Rows > 0 {
			views[i].Nulls = float64(c.Nulls) / float64(p.Rows)
		}
		if len(c.Quantiles) > 1 {
			views[i].Bars = components.Histogram(c.Quantiles)
			continue
		}
		var values []components.Value
		for _, v := range c.Top {
			values = append(values, components.Value{Name: v.Value, Count: v.Rows})
		}
		views[i].Bars = components.Frequencies(values)
	}
	return views
}

// addDifference compares with the version that is asked for, else the one
// before.
func (u *UI) addDifference(ctx context.Context, out *datasetVersionPage, asked string) error {
	all, err := u.Store.DatasetVersions(ctx, out.Project, out.Name)
	if err != nil {
		return err
	}
	var other *ridgeline.DatasetVersion
	number, _ := strconv.Atoi(asked)
	for i, v := range all {
		if v.Version == out.Version {
			continue
		}
		out.Versions = append(out.Versions, v.Version)
		if v.Version == number || number == 0 && v.Version < out.Version && (other == nil || v.Version > other.Version) {
			other = &all[i]
		}
	}
	if other == nil {
		return nil
	}
	change, err := u.Intake.Diff(ctx, *other, out.DatasetVersion)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return nil // its bytes were reclaimed
	}
	out.Other, out.Change = other.Version, &change
	return err
}
