package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// homePage is what is in production now, and why.
type homePage struct {
	Places []place
	Open   []attention
	Loops  []ridgeline.Run // the last run of each project
	Month  billed
}

// A place is an environment of a project, and what answers there.
type place struct {
	Project     ridgeline.ProjectName
	Environment string
	Live        []livePart // all that may answer, newest first
	Main        livePart   // what answers most; zero when nothing is there
	Version     ridgeline.ModelVersion
	Why         string // why it is there, in a sentence
	Release     ridgeline.Release
	Earlier     int   // the version that a rollback brings back; 0: none
	Hour        *hour // nil: no requests, or not asked for
}

// A livePart is a deployment and how many of its copies answer.
type livePart struct {
	ridgeline.Deployment
	Copies int
}

// An attention is something that a person should look at.
type attention struct {
	Word string // where it stands
	Text string
	URL  string
	At   time.Time
}

func (u *UI) home(mux *http.ServeMux) {
	mux.Handle("GET /{$}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		project := ridgeline.ProjectName(r.URL.Query().Get("project"))
		body, busy, err := u.loadHome(ctx, project)
		return Page{Title: "Home", Nav: "home", Project: project, Busy: busy, Template: "home", Body: body}, err
	}))
}

// recent is how far back home looks for what went wrong.
const recent = 7 * 24 * time.Hour

func (u *UI) loadHome(ctx context.Context, project ridgeline.ProjectName) (out homePage, busy bool, err error) {
	endpoints, err := u.Store.Endpoints(ctx, project)
	if err != nil {
		return out, false, err
	}
	for _, e := range endpoints {
		p, err := u.place(ctx, e)
		if err != nil {
			return out, false, err
		}
		if p.Hour, err = u.lastHour(ctx, e, time.Now().UTC()); err != nil {
			return out, false, err
		}
		out.Places = append(out.Places, p)
		if p.Main.ID != "" && p.Readiness() == "not ready" {
			out.Open = append(out.Open, attention{
				"not ready", fmt.Sprintf("%s/%s does not answer: no copy of version %d is ready", e.Project, e.Environment, p.Main.Version),
				components.Path("live", e.Project, e.Environment), p.Main.Created,
			})
		}
	}
	releases, err := u.Store.Releases(ctx, store.ReleaseFilter{Project: project, Limit: 50})
	if err != nil {
		return out, false, err
	}
	out.Open = append(out.Open, openReleases(releases)...)
	projects, err := u.Store.Projects(ctx)
	if err != nil {
		return out, false, err
	}
	for _, p := range projects {
		if project != "" && p.Name != project {
			continue
		}
		runs, err := u.Store.Runs(ctx, store.RunFilter{Project: p.Name, Limit: 1})
		if err != nil {
			return out, false, err
		}
		builds, err := u.Store.Builds(ctx, store.BuildFilter{Project: p.Name, Limit: 1})
		if err != nil {
			return out, false, err
		}
		for _, b := range builds {
			busy = busy || !b.Status.Terminal()
			if b.Status == ridgeline.Failed {
				out.Open = append(out.Open, attention{"failed", fmt.Sprintf("the last build of %s: %s", p.Name, b.Reason), components.Path("builds", b.ID), b.Ended})
			}
		}
		for _, r := range runs {
			busy = busy || !r.Status.Terminal()
			if r.Status == ridgeline.Failed {
				out.Open = append(out.Open, attention{"failed", fmt.Sprintf("the last run of %s: %s", p.Name, r.Reason), components.Path("runs", r.ID), r.Ended})
			}
		}
		out.Loops = append(out.Loops, runs...)
	}
	if out.Month.Month, err = u.Bills.Sums(ctx, project, now(), now()); err != nil {
		return out, false, err
	}
	out.Open = append(out.Open, overBudget(out.Month.Month)...)
	held, err := u.Store.Arrivals(ctx, store.ArrivalFilter{Project: project, Limit: 50})
	for _, a := range held {
		if a.Status == ridgeline.Quarantined && time.Since(a.Ended) < recent {
			out.Open = append(out.Open, attention{"quarantined", fmt.Sprintf("a delivery of %s (%s): %s", a.Dataset, a.Project, a.Reason), components.Path("data", a.Project, a.Dataset), a.Ended})
		}
	}
	return out, busy, err
}

// overBudget are the budgets that are exceeded, or will be.
func overBudget(m bill.Month) (out []attention) {
	for _, w := range m.Warnings() {
		address := costPath(m.Month, w.Project)
		out = append(out, attention{string(w.Budget.State), fmt.Sprintf("%s of this month: %s", w.Whose(), w.Budget.Says(w.Currency)), address, time.Time{}})
	}
	return out
}

// openReleases are those that wait for a person, and the newest of a project
// where that has failed.
func openReleases(releases []ridgeline.Release) (out []attention) {
	newest := map[ridgeline.ProjectName]bool{}
	for _, r := range releases {
		for _, e := range r.Environments {
			if e.Status == ridgeline.Waiting && !r.Status.Terminal() {
				out = append(out, attention{"waiting", fmt.Sprintf("%s version %d waits for approval before %s", r.Model, r.Version, e.Name), components.Path("releases", r.ID), r.Created})
			}
		}
		if !newest[r.Project] && r.Status == ridgeline.Failed {
			out = append(out, attention{"failed", fmt.Sprintf("the last release of %s: %s", r.Project, r.Reason), components.Path("releases", r.ID), r.Ended})
		}
		newest[r.Project] = true
	}
	return out
}

// place looks at what answers in an environment, and why it is there.
func (u *UI) place(ctx context.Context, e ridgeline.Endpoint) (out place, err error) {
	e, live, err := u.Store.Serving(ctx, e.Project, e.Environment)
	if err != nil {
		return out, err
	}
	out = place{Project: e.Project, Environment: e.Environment}
	for _, d := range live {
		copies, err := u.Ready(ctx, d.ID)
		if err != nil {
			return out, err
		}
		part := livePart{d, copies}
		out.Live = append(out.Live, part)
		if d.ID == e.Live {
			out.Main = part
		}
	}
	if out.Main.ID == "" {
		return out, nil
	}
	if out.Version, err = u.Store.ModelVersion(ctx, out.Main.Model, out.Main.Version); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return out, err
	}
	if out.Release, err = u.Store.Release(ctx, out.Main.Release); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return out, err
	}
	out.Why = why(out.Version)
	earlier, ok, err := u.Store.PreviousDeployment(ctx, e.Project, e.Environment)
	if ok {
		out.Earlier = earlier.Version
	}
	return out, err
}

// why is the sentence that put a version where it is: a person's, or the
// gate's first reason.
func why(v ridgeline.ModelVersion) string {
	if n := len(v.Overrides); n > 0 {
		o := v.Overrides[n-1]
		return fmt.Sprintf("%s overrode the gate: %s", o.Who, o.Reason)
	}
	var report struct {
		Reasons []string `json:"reasons"`
	}
	if json.Unmarshal(v.Report, &report) == nil && len(report.Reasons) > 0 {
		return report.Reasons[0]
	}
	return ""
}
