package ui

import (
	"context"
	"net/http"

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
	Name      ridgeline.ProjectName
	Pipeline  *ridgeline.Pipeline // the newest; nil: none yet
	Graph     *components.Graph
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

// mostRecent is how many builds and runs a project's page lists.
const mostRecent = 8

func (u *UI) projects(mux *http.ServeMux) {
	mux.Handle("GET /projects", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		body, err := u.loadProjects(ctx, ridgeline.ProjectName(r.URL.Query().Get("project")))
		return Page{Title: "Projects", Nav: "projects", Template: "projects", Body: body}, err
	}))
	mux.Handle("GET /projects/{project}", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		name := ridgeline.ProjectName(r.PathValue("project"))
		body, err := u.loadProject(ctx, name)
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

func (u *UI) loadProject(ctx context.Context, name ridgeline.ProjectName) (out projectPage, err error) {
	if _, err = u.Store.Project(ctx, name); err != nil {
		return out, err
	}
	out.Name = name
	p, err := u.Store.Pipeline(ctx, name, 0)
	if err == nil {
		out.Pipeline = &p
		if out.Config, err = u.Runs.Config(ctx, p); err == nil {
			out.Graph, out.Train = pipelineGraph(out.Config), trainAction(name, out.Config.Pipeline)
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

// pipelineGraph draws a project's own steps.
func pipelineGraph(c project.Config) *components.Graph {
	var nodes []components.GraphNode
	for _, s := range c.Pipeline.Order() {
		if builtIn(s.Name) {
			continue
		}
		note := s.Run
		if len(s.Matrix) > 0 {
			note = "for each of a matrix"
		} else if s.Sweep != nil {
			note = "a sweep"
		}
		nodes = append(nodes, components.GraphNode{Name: s.Name, Note: components.Cut(note, 20), Needs: s.Needs, URL: "#pipeline", Tone: "quiet"})
	}
	return components.NewGraph("the steps of the pipeline", nodes)
}
