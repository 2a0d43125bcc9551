package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

type trainInput struct {
	Project string `path:"project"`
	Key     string `header:"Idempotency-Key" maxLength:"255" doc:"a name for this request: repeated within 30 days, it answers with the run that was started then"`
	Body    *struct {
		Params   map[string]string `json:"params,omitempty"`
		Data     map[string]int    `json:"data,omitempty" doc:"dataset to the version pinned; the newest of what is not named"`
		Pipeline int               `json:"pipeline,omitempty" minimum:"0" doc:"version; default the newest"`
		NoCache  bool              `json:"no_cache,omitempty" doc:"every step runs, whatever was made before"`
		Cause    string            `json:"cause,omitempty" maxLength:"200" doc:"why, for people; default rest"`
		Gate     string            `json:"gate,omitempty" enum:"on,off" doc:"off: the model becomes champion whatever the gate says"`
		Reason   string            `json:"reason,omitempty" maxLength:"2000" doc:"why the gate is off; required then"`
	}
}

func (a *API) runs(api huma.API) {
	tags := []string{"runs"}
	answer(a, api, huma.Operation{
		OperationID: "train", Method: http.MethodPost, Path: "/projects/{project}/runs",
		Summary: "Start the project's published pipeline", Tags: tags, DefaultStatus: http.StatusAccepted,
	}, ridgeline.Writer, func(ctx context.Context, in *trainInput) (*accepted, error) {
		request := pipeline.Request{Project: ridgeline.ProjectName(in.Project), Cause: "rest", Caller: auth.From(ctx).Name}
		if in.Body != nil {
			request.Params, request.Data, request.Pipeline, request.NoCache = in.Body.Params, in.Body.Data, in.Body.Pipeline, in.Body.NoCache
			request.Cause = cmp.Or(in.Body.Cause, request.Cause)
			store.ActOf(ctx).Because(in.Body.Reason)
			request.GateOff, request.Reason = in.Body.Gate == "off", in.Body.Reason
		}
		row, err := a.submit(ctx, in.Key, request)
		return &accepted{Location: "/api/v1/runs/" + string(row.ID), Body: viewRun(row, nil, time.Now())}, err
	})
	route(a, api, huma.Operation{OperationID: "list-runs", Method: http.MethodGet, Path: "/runs", Summary: "Runs, newest first", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Listing
			Status string `query:"status" enum:"queued,running,waiting,succeeded,failed,cancelled"`
			Before string `query:"before" doc:"a run's id: only older ones"`
		}) ([]Run, error) {
			rows, err := a.Store.Runs(ctx, store.RunFilter{
				Project: ridgeline.ProjectName(in.Project), Status: ridgeline.Status(in.Status), Limit: in.Limit, Before: ridgeline.RunID(in.Before),
			})
			return list(rows, func(r ridgeline.Run) Run { return viewRun(r, nil, time.Now()) }), err
		})
	route(a, api, huma.Operation{OperationID: "show-run", Method: http.MethodGet, Path: "/runs/{id}", Summary: "One run with its steps", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *byID) (Run, error) { return a.run(ctx, in.ID) })
	route(a, api, huma.Operation{
		OperationID: "run-system", Method: http.MethodGet, Path: "/runs/{id}/system", Tags: tags,
		Summary: "How much the attempts at a run's steps used over their time; those of some seconds are left out",
	}, ridgeline.Viewer, func(ctx context.Context, in *struct {
		ID    string `path:"id"`
		Step  string `query:"step" doc:"only of this one"`
		Limit int    `query:"limit" default:"50" minimum:"1" maximum:"1000" doc:"of more, the longest"`
	}) ([]SystemUse, error) {
		return a.system(ctx, ridgeline.RunID(in.ID), in.Step, in.Limit)
	})
	route(a, api, huma.Operation{OperationID: "cancel-run", Method: http.MethodPost, Path: "/runs/{id}/cancel", Summary: "Cancel a run", Tags: tags},
		ridgeline.Writer, func(ctx context.Context, in *byID) (Run, error) {
			if err := a.Store.RequestCancel(ctx, ridgeline.RunID(in.ID)); err != nil {
				return Run{}, err
			}
			return a.run(ctx, in.ID)
		})
	started := func(row ridgeline.Run, err error) (Run, error) { return viewRun(row, nil, time.Now()), err }
	route(a, api, huma.Operation{
		OperationID: "resume-run", Method: http.MethodPost, Path: "/runs/{id}/resume", DefaultStatus: http.StatusAccepted, Tags: tags,
		Summary: "Start a run that goes on where this one failed",
	}, ridgeline.Writer, func(ctx context.Context, in *byID) (Run, error) {
		return started(a.Runs.Resume(ctx, ridgeline.RunID(in.ID), auth.From(ctx).Name))
	})
	route(a, api, huma.Operation{
		OperationID: "rerun", Method: http.MethodPost, Path: "/runs/{id}/rerun", DefaultStatus: http.StatusAccepted, Tags: tags,
		Summary: "Start a run that does a step of this one, and all that depends on it, anew",
	}, ridgeline.Writer, func(ctx context.Context, in *struct {
		ID   string `path:"id"`
		Body struct {
			From string `json:"from" minLength:"1" doc:"the step"`
		}
	}) (Run, error) {
		return started(a.Runs.Rerun(ctx, ridgeline.RunID(in.ID), in.Body.From, auth.From(ctx).Name))
	})
	route(a, api, huma.Operation{
		OperationID: "why", Method: http.MethodGet, Path: "/runs/{id}/why", Tags: tags, Summary: "Why a step ran, or did not have to",
	}, ridgeline.Viewer, func(ctx context.Context, in *struct {
		ID   string `path:"id"`
		Step string `query:"step" required:"true"`
	}) (pipeline.Why, error) {
		return a.Runs.Why(ctx, ridgeline.RunID(in.ID), in.Step)
	})
	route(a, api, huma.Operation{
		OperationID: "compare-run", Method: http.MethodGet, Path: "/runs/{id}/comparison", Tags: tags,
		Summary: "A run that reproduces a version beside the one that made it",
	}, ridgeline.Viewer, func(ctx context.Context, in *byID) (pipeline.Comparison, error) {
		return a.Runs.Compare(ctx, ridgeline.RunID(in.ID))
	})
	route(a, api, huma.Operation{
		OperationID: "reproduce", Method: http.MethodPost, Path: "/models/{name}/versions/{version}/reproduce", DefaultStatus: http.StatusAccepted, Tags: []string{"models"},
		Summary: "Start a run that makes a version again and compares; it registers nothing",
	}, ridgeline.Writer, func(ctx context.Context, in *struct {
		Name    string `path:"name"`
		Version int    `path:"version" minimum:"1"`
	}) (Run, error) {
		return started(a.Runs.Reproduce(ctx, ridgeline.ModelName(in.Name), in.Version, auth.From(ctx).Name))
	})
}

func (a *API) run(ctx context.Context, id string) (Run, error) {
	row, err := a.Store.Run(ctx, ridgeline.RunID(id))
	if err != nil {
		return Run{}, err
	}
	steps, err := a.Store.Steps(ctx, row.ID)
	return viewRun(row, steps, time.Now()), err
}

func (a *API) system(ctx context.Context, id ridgeline.RunID, step string, limit int) ([]SystemUse, error) {
	if _, err := a.Store.Run(ctx, id); err != nil {
		return nil, err
	}
	courses, err := a.Store.Courses(ctx, id, step, limit)
	if err != nil {
		return nil, err
	}
	steps, err := a.Store.Steps(ctx, id)
	if err != nil {
		return nil, err
	}
	tried := ridgeline.Tried(steps)
	return list(courses, func(c ridgeline.AttemptCourse) SystemUse { return viewUse(c, tried[c.AttemptName]) }), nil
}

func (a *API) models(api huma.API) {
	tags := []string{"models"}
	versions := func(ctx context.Context, name string) ([]ModelVersion, error) {
		rows, err := a.Store.ModelVersions(ctx, ridgeline.ModelName(name))
		return list(rows, a.viewVersion), err
	}
	route(a, api, huma.Operation{OperationID: "list-models", Method: http.MethodGet, Path: "/models", Summary: "Every version of every model, newest first", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Project string `query:"project"`
		}) ([]ModelVersion, error) {
			rows, err := a.Store.ModelVersions(ctx, "")
			rows = slices.DeleteFunc(rows, func(v ridgeline.ModelVersion) bool { return in.Project != "" && string(v.Project) != in.Project })
			return list(rows, a.viewVersion), err
		})
	route(a, api, huma.Operation{OperationID: "list-versions", Method: http.MethodGet, Path: "/models/{name}/versions", Summary: "A model's versions, newest first", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Name string `path:"name"`
		}) ([]ModelVersion, error) {
			rows, err := versions(ctx, in.Name)
			if err == nil && len(rows) == 0 {
				err = ridgeline.Errorf(ridgeline.NotFound, "no model %q: ridgeline models lists those there are", in.Name)
			}
			return rows, err
		})
	route(a, api, huma.Operation{OperationID: "show-version", Method: http.MethodGet, Path: "/models/{name}/versions/{version}", Summary: "One version with its lineage", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Name    string `path:"name"`
			Version int    `path:"version" minimum:"1"`
		}) (ModelVersion, error) {
			v, err := a.Store.ModelVersion(ctx, ridgeline.ModelName(in.Name), in.Version)
			if err == nil {
				v, err = a.Store.RegisteredVersion(ctx, v.Model, v.Version)
			}
			return a.viewVersion(v), err
		})
	route(a, api, huma.Operation{
		OperationID: "judge-version", Method: http.MethodPost, Path: "/models/{name}/versions/{version}/judge", DefaultStatus: http.StatusAccepted, Tags: tags,
		Summary: "Start a run that takes a version registered by hand to the gate, and releases it once it is promoted",
	}, ridgeline.Writer, func(ctx context.Context, in *struct {
		Name    string `path:"name"`
		Version int    `path:"version" minimum:"1"`
		Body    *struct {
			Project string `json:"project,omitempty" doc:"whose gate and environments; absent: the model's own"`
		}
	}) (Run, error) {
		project := ridgeline.ProjectName("")
		if in.Body != nil {
			project = ridgeline.ProjectName(in.Body.Project)
		}
		if who := auth.From(ctx); who.Scoped() && project != "" && project != who.Project {
			return Run{}, ridgeline.Errorf(ridgeline.NotFound, "no project %q for the token %q, which is of project %s", project, who.Name, who.Project)
		}
		row, err := a.Runs.Judge(ctx, ridgeline.ModelName(in.Name), in.Version, project, auth.From(ctx).Name)
		return viewRun(row, nil, time.Now()), err
	})
}
