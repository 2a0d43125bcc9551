package ui

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// projectsPage is every project and what happened there last.
type projectsPage struct{ Projects []projectRow }

type projectRow struct {
	ridgeline.Project
	Build *ridgeline.Build
	Run   *ridgeline.Run
}

// projectPage is one project: its pipeline, what starts it, its data and
// endpoints, its last builds and runs.
type projectPage struct {
	Name     ridgeline.ProjectName
	Pipeline *ridgeline.Pipeline // the newest; nil: none yet
	graphView
	Steps     []pipelineStep // of a large pipeline, those that are asked for
	Parts     partList
	Config    project.Config
	Train     components.Action
	Schedules []ridgeline.Schedule
	Sets      []intake.State
	Places    []place
	Builds    []ridgeline.Build
	Runs      []ridgeline.Run
	Remotes   []ridgeline.Remote
	form
}

// A pipelineStep is a step with what it does.
type pipelineStep struct {
	project.Step
	URL, Work string
}

// mostRecent is how many builds and runs a project's page lists.
const mostRecent = 8

func (u *UI) projects(mux *http.ServeMux) {
	mux.Handle("GET /projects", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadProjects(ctx, ridgeline.ProjectName(r.URL.Query().Get("project")))
		return Page{Title: "Projects", Nav: "projects", Template: "projects", Body: body}, err
	}))
	mux.Handle("GET /projects/{project}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		name := ridgeline.ProjectName(r.PathValue("project"))
		body, err := u.loadProject(ctx, name, r.URL.Query())
		busy := len(body.Runs) > 0 && !body.Runs[0].Status.Terminal() || len(body.Builds) > 0 && !body.Builds[0].Status.Terminal()
		return Page{Title: string(name), Nav: "projects", Project: name, Busy: busy, Template: "project", Body: body, Crumbs: []components.Crumb{{Text: "Projects", URL: "/projects"}, {Text: string(name)}}}, err
	}))
}

// loadProjects reads all projects, or the one that is named.
func (u *UI) loadProjects(ctx context.Context, only ridgeline.ProjectName) (out projectsPage, err error) {
	all, err := u.Store.Projects(ctx)
	for _, p := range all {
		if only != "" && p.Name != only {
			continue
		}
		row := projectRow{Project: p}
		builds, err := u.Store.Builds(ctx, store.BuildFilter{Project: p.Name, Limit: 1})
		if err != nil {
			return out, err
		}
		runs, err := u.Store.Runs(ctx, store.RunFilter{Project: p.Name, Limit: 1})
		if err != nil {
			return out, err
		}
		if len(builds) > 0 {
			row.Build = &builds[0]
		}
		if len(runs) > 0 {
			row.Run = &runs[0]
		}
		out.Projects = append(out.Projects, row)
	}
	return out, err
}

func (u *UI) loadProject(ctx context.Context, name ridgeline.ProjectName, query url.Values) (out projectPage, err error) {
	if _, err = u.Store.Project(ctx, name); err != nil {
		return out, err
	}
	out.Name = name
	p, err := u.Store.Pipeline(ctx, name, 0)
	if err == nil {
		out.Pipeline = &p
		if out.Config, err = u.Runs.Config(ctx, p); err == nil {
			out.Train = trainAction(name, out.Config.Pipeline)
			out.draw(query)
		}
		err = nil // a configuration that this program does not read has no graph
	}
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return out, err
	}
	if out.Schedules, err = u.Store.Schedules(ctx, store.ScheduleFilter{Project: name}); err != nil {
		return out, err
	}
	if out.Sets, err = u.Intake.States(ctx, name); err != nil {
		return out, err
	}
	if out.Builds, err = u.Store.Builds(ctx, store.BuildFilter{Project: name, Limit: mostRecent}); err != nil {
		return out, err
	}
	if out.Runs, err = u.Store.Runs(ctx, store.RunFilter{Project: name, Limit: mostRecent}); err != nil {
		return out, err
	}
	if out.Remotes, err = u.Store.Remotes(ctx, name); err != nil {
		return out, err
	}
	endpoints, err := u.Store.Endpoints(ctx, name)
	for _, e := range endpoints {
		at, err := u.place(ctx, e)
		if err != nil {
			return out, err
		}
		out.Places = append(out.Places, at)
	}
	return out, err
}

// draw draws a project's own steps, and lists those that are asked for.
func (p *projectPage) draw(q url.Values) {
	at := func(pairs ...string) string { return components.Path("projects", p.Name) + pairsOf(pairs) }
	var steps []pipelineStep
	var nodes []components.GraphNode
	for _, s := range p.Config.Pipeline.Order() {
		if builtIn(s.Name) {
			continue
		}
		work := stepWork(s)
		steps = append(steps, pipelineStep{s, at("step", s.Name) + "#around", work})
		nodes = append(nodes, components.GraphNode{Name: s.Name, Note: components.Cut(work, 20), Needs: s.Needs, URL: "#pipeline", Tone: "quiet"})
	}
	g := newStepGraph("the steps of the pipeline", nodes, nil, at)
	if p.graphView = g.view(q.Get("step"), q); !p.Large {
		return
	}
	l, names := newPartList(q, g)
	if l.URL, l.Many = at(), true; l.Asked {
		steps = slices.DeleteFunc(steps, func(s pipelineStep) bool {
			return names != nil && !names[s.Name] || !strings.Contains(s.Name, l.Find)
		})
		from, to := l.page(len(steps), q, at)
		p.Steps = steps[from:to]
	}
	p.Parts = l
}

// stepWork is what a step does.
func stepWork(s project.Step) string {
	switch {
	case len(s.Matrix) > 0:
		return "for each of a matrix"
	case s.Sweep != nil:
		return "a sweep"
	}
	return s.Run
}
