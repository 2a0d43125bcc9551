package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// View is a table of runs as somebody has arranged it, under a name.
type View struct {
	Project string    `json:"project" doc:"whose runs it shows; empty: those of all projects"`
	Name    string    `json:"name" doc:"unique among the project's"`
	Query   string    `json:"query" doc:"what the table's address says, without the project and without the place in the table"`
	URL     string    `json:"url" doc:"where it is shown"`
	Caller  string    `json:"caller" doc:"who saved it"`
	Saved   time.Time `json:"saved"`
}

func (a *API) viewView(v ridgeline.View) View {
	return View{Project: string(v.Project), Name: v.Name, Query: v.Query, URL: a.BaseURL + v.Address(), Caller: v.Caller, Saved: v.Saved}
}

// viewContent is what is kept under a name.
type viewContent struct {
	Query string `json:"query" maxLength:"20000" doc:"or address of a table of runs: status, verdict, where, group, in, of, by, fall, sort, down, different, column"`
}

func (a *API) views(api huma.API) {
	tags := []string{"runs"}
	route(a, api, huma.Operation{OperationID: "list-views", Method: http.MethodGet, Path: "/views", Summary: "Saved views of the table of runs, by name", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Project string `query:"project" doc:"only of this one"`
		}) ([]View, error) {
			var of []ridgeline.ProjectName
			if in.Project != "" {
				of = append(of, ridgeline.ProjectName(in.Project))
			}
			rows, err := a.Store.Views(ctx, of...)
			return list(rows, a.viewView), err
		})
	// A view of one project is below that project's address; one of all projects
	// has no project, so that tokens of one project do not come to it.
	route(a, api, huma.Operation{OperationID: "save-view", Method: http.MethodPut, Path: "/projects/{project}/views/{name}", Summary: "Keep a table of a project's runs under a name", Tags: tags},
		ridgeline.Writer, func(ctx context.Context, in *struct {
			Project string `path:"project"`
			Name    string `path:"name"`
			Replace bool   `query:"replace" doc:"in place of another view of that name"`
			Body    viewContent
		}) (View, error) {
			return a.saveView(ctx, ridgeline.ProjectName(in.Project), in.Name, in.Body.Query, in.Replace)
		})
	route(a, api, huma.Operation{OperationID: "save-view-of-all", Method: http.MethodPut, Path: "/views/{name}", Summary: "Keep a table of all projects' runs under a name", Tags: tags},
		ridgeline.Writer, func(ctx context.Context, in *struct {
			Name    string `path:"name"`
			Replace bool   `query:"replace" doc:"in place of another view of that name"`
			Body    viewContent
		}) (View, error) {
			return a.saveView(ctx, "", in.Name, in.Body.Query, in.Replace)
		})
	route(a, api, huma.Operation{OperationID: "remove-view", Method: http.MethodDelete, Path: "/projects/{project}/views/{name}", Summary: "Forget a view of a project's runs", Tags: tags},
		ridgeline.Writer, func(ctx context.Context, in *struct {
			Project string `path:"project"`
			Name    string `path:"name"`
		}) (View, error) {
			return a.removeView(ctx, ridgeline.ProjectName(in.Project), in.Name)
		})
	route(a, api, huma.Operation{OperationID: "remove-view-of-all", Method: http.MethodDelete, Path: "/views/{name}", Summary: "Forget a view of all projects' runs", Tags: tags},
		ridgeline.Writer, func(ctx context.Context, in *struct {
			Name string `path:"name"`
		}) (View, error) {
			return a.removeView(ctx, "", in.Name)
		})
}

func (a *API) saveView(ctx context.Context, project ridgeline.ProjectName, name, query string, replace bool) (View, error) {
	v, err := ridgeline.NewView(project, name, query, auth.From(ctx).Name, time.Now().UTC())
	if err == nil {
		err = a.Store.SaveView(ctx, v, replace)
	}
	if err != nil {
		return View{}, err
	}
	v, err = a.Store.View(ctx, project, name) // of the same again, the first is kept
	return a.viewView(v), err
}

// removeView answers with what there was, so that it can be saved again.
func (a *API) removeView(ctx context.Context, project ridgeline.ProjectName, name string) (View, error) {
	v, err := a.Store.RemoveView(ctx, project, name)
	return a.viewView(v), err
}
