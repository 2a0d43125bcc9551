package ui

import (
	"context"
	"fmt"
	"net/http"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// releasesPage is releases, newest first.
type releasesPage struct {
	Releases []ridgeline.Release
	More     bool
}

// releasePage is a release's way through its environments.
type releasePage struct {
	Release ridgeline.Release
	Version ridgeline.ModelVersion
	Lanes   []lane
	Waiting string // the environment that waits for a person; empty: none
	Why     string // why this version was to be released
	Retry   bool   // it ended without success, and may be tried again
	Acts    actList
}

// A lane is an environment of a release, with what was looked at there.
type lane struct {
	ridgeline.ReleaseEnvironment
	Checks  []ridgeline.ReleaseCheck
	Live    bool // what the release brought there answers now
	Now     int  // the version that does; 0: none
	Earlier int  // what a rollback brings back; 0: nothing
}

// maxReleases is how many a page lists.
const maxReleases = 100

func (u *UI) releases(mux *http.ServeMux) {
	mux.Handle("GET /releases", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		project := ridgeline.ProjectName(r.URL.Query().Get("project"))
		all, err := u.Store.Releases(ctx, store.ReleaseFilter{Project: project, Limit: maxReleases + 1})
		body := releasesPage{Releases: all[:min(len(all), maxReleases)], More: len(all) > maxReleases}
		p := Page{Title: "Releases", Nav: "releases", Project: project, Template: "releases", Body: body}
		for _, one := range all {
			p.Busy = p.Busy || one.Status == ridgeline.Running
		}
		return p, err
	}))
	mux.Handle("GET /releases/{id}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		return u.releasePage(ctx, ridgeline.ReleaseID(r.PathValue("id")))
	}))
	same := func(r *http.Request) (ridgeline.ReleaseID, string) {
		id := ridgeline.ReleaseID(r.PathValue("id"))
		return id, components.Path("releases", id)
	}
	mux.Handle("POST /releases/{id}/approve", u.act("approve-release", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		id, next := same(r)
		return next, u.Releases.Approve(ctx, id, auth.From(ctx).Name)
	}))
	mux.Handle("POST /releases/{id}/reject", u.act("reject-release", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		id, next := same(r)
		return next, u.Releases.Reject(ctx, id)
	}))
	mux.Handle("POST /live/{project}/{environment}/rollback", u.act("rollback", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		row, err := u.Releases.Rollback(ctx, ridgeline.ProjectName(r.PathValue("project")), r.PathValue("environment"), auth.From(ctx).Name)
		return components.Path("releases", row.ID), err
	}))
	mux.Handle("POST /models/{name}/{version}/release", u.act("release", ridgeline.Writer, func(ctx context.Context, r *http.Request) (string, error) {
		model, version, err := modelVersion(r)
		if err != nil {
			return "", err
		}
		row, err := u.Releases.Submit(ctx, release.Request{
			Model: model, Version: version, Environment: r.PostFormValue("environment"), Beside: r.PostFormValue("beside") == "yes", Cause: "pages", Caller: auth.From(ctx).Name,
		})
		return components.Path("releases", row.ID), err
	}))
}

func (u *UI) releasePage(ctx context.Context, id ridgeline.ReleaseID) (Page, error) {
	row, err := u.Store.Release(ctx, id)
	if err != nil {
		return Page{}, err
	}
	p := Page{
		Title: fmt.Sprintf("Release of %s v%d", row.Model, row.Version), Nav: "releases", Project: row.Project, Busy: !row.Status.Terminal(), Template: "release",
		Crumbs: []components.Crumb{{Text: "Releases", URL: components.Path("releases", "?project="+string(row.Project))}, {Text: string(row.ID)}},
	}
	body := releasePage{Release: row, Retry: row.Status == ridgeline.Failed || row.Status == ridgeline.Cancelled}
	if body.Version, err = u.Store.ModelVersion(ctx, row.Model, row.Version); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return p, err
	}
	body.Why = why(body.Version)
	checks, err := u.Store.ReleaseChecks(ctx, id)
	if err != nil {
		return p, err
	}
	for _, e := range row.Environments {
		l := lane{ReleaseEnvironment: e}
		for _, c := range checks {
			if c.Environment == e.Name {
				l.Checks = append(l.Checks, c)
			}
		}
		if e.Status == ridgeline.Waiting && !row.Status.Terminal() {
			body.Waiting = e.Name
		}
		if err := u.lookAround(ctx, row, &l); err != nil {
			return p, err
		}
		body.Lanes = append(body.Lanes, l)
	}
	body.Acts, err = u.actsOn(ctx, "releases/"+string(id))
	p.Body = body
	return p, err
}

// lookAround finds what answers in the lane's environment now.
func (u *UI) lookAround(ctx context.Context, r ridgeline.Release, l *lane) error {
	endpoint, live, err := u.Store.Serving(ctx, r.Project, l.Name)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range live {
		if d.ID == endpoint.Live {
			l.Now, l.Live = d.Version, d.ID == l.Deployment
		}
	}
	earlier, ok, err := u.Store.PreviousDeployment(ctx, r.Project, l.Name)
	if ok && l.Live {
		l.Earlier = earlier.Version
	}
	return err
}
