package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

type trafficInput struct {
	EnvironmentInput
	Body struct {
		Weights map[string]int `json:"weights,omitempty" doc:"percent of the requests by deployment, such as v3: 90, v4: 10; 100 or 0 in total; one that is not named has 0; absent: as they are"`
		Mirror  map[string]int `json:"mirror,omitempty" doc:"percent of the requests of which a deployment gets a copy; 50 at most in total; absent: as they are"`
	}
}

// traffic reads the names of the deployments.
func (in *trafficInput) traffic() (t ridgeline.Traffic, err error) {
	if t.Weights, err = byVersion(in.Body.Weights); err != nil {
		return t, err
	}
	t.Mirror, err = byVersion(in.Body.Mirror)
	return t, err
}

func byVersion(names map[string]int) (map[int]int, error) {
	if names == nil {
		return nil, nil
	}
	out := make(map[int]int, len(names))
	for name, n := range names {
		v, err := ridgeline.VersionNamed(name)
		if err != nil {
			return nil, err
		}
		out[v] = n
	}
	return out, nil
}

func (a *API) endpoints(api huma.API) {
	tags := []string{"endpoints"}
	route(a, api, huma.Operation{OperationID: "list-endpoints", Method: http.MethodGet, Path: "/endpoints", Summary: "Live endpoints, with their keys for those who may write", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *Listing) ([]Endpoint, error) {
			rows, err := a.Store.Endpoints(ctx, ridgeline.ProjectName(in.Project))
			if err != nil {
				return nil, err
			}
			out := make([]Endpoint, 0, len(rows))
			for _, row := range rows {
				e, err := a.endpoint(ctx, row)
				if err != nil {
					return nil, err
				}
				out = append(out, e)
			}
			return out, nil
		})
	route(a, api, huma.Operation{
		OperationID: "rotate-key", Method: http.MethodPost, Path: "/endpoints/{project}/{environment}/keys/{which}/rotate",
		Summary: "Replace one of an endpoint's keys; the old one stops working", Tags: tags,
	}, ridgeline.Writer, func(ctx context.Context, in *struct {
		EnvironmentInput
		Which string `path:"which" enum:"primary,secondary"`
	}) (Endpoint, error) {
		p := ridgeline.ProjectName(in.Project)
		row, err := a.Store.RotateKey(ctx, p, in.Environment, in.Which)
		if err != nil {
			return Endpoint{}, err
		}
		return a.endpoint(ctx, row)
	})
	route(a, api, huma.Operation{
		OperationID: "set-traffic", Method: http.MethodPost, Path: "/endpoints/{project}/{environment}/traffic",
		Summary: "Share an endpoint's requests among its deployments; in force when it is answered", Tags: tags,
	}, ridgeline.Writer, func(ctx context.Context, in *trafficInput) (Endpoint, error) {
		t, err := in.traffic()
		if err != nil {
			return Endpoint{}, err
		}
		p := ridgeline.ProjectName(in.Project)
		if err := a.Releases.SetTraffic(ctx, p, in.Environment, t); err != nil {
			return Endpoint{}, err
		}
		return a.endpointNow(ctx, p, in.Environment)
	})
	route(a, api, huma.Operation{
		OperationID: "retire-deployment", Method: http.MethodPost, Path: "/endpoints/{project}/{environment}/deployments/{name}/retire",
		Summary: "Take a deployment away that has no traffic", Tags: tags,
	}, ridgeline.Writer, func(ctx context.Context, in *struct {
		EnvironmentInput
		Name string `path:"name" doc:"v and the version's number"`
	}) (Endpoint, error) {
		version, err := ridgeline.VersionNamed(in.Name)
		if err != nil {
			return Endpoint{}, err
		}
		p := ridgeline.ProjectName(in.Project)
		if err := a.Releases.Retire(ctx, p, in.Environment, version); err != nil {
			return Endpoint{}, err
		}
		return a.endpointNow(ctx, p, in.Environment)
	})
}

func (a *API) endpointNow(ctx context.Context, p ridgeline.ProjectName, environment string) (Endpoint, error) {
	row, err := a.Store.Endpoint(ctx, p, environment)
	if err != nil {
		return Endpoint{}, err
	}
	return a.endpoint(ctx, row)
}

func (a *API) endpoint(ctx context.Context, row ridgeline.Endpoint) (Endpoint, error) {
	row, live, err := a.Store.Serving(ctx, row.Project, row.Environment)
	if err != nil {
		return Endpoint{}, err
	}
	e := Endpoint{
		Project: string(row.Project), Environment: row.Environment, Deployments: []Deployment{},
		URL: a.BaseURL + "/endpoints/" + string(row.Project) + "/" + row.Environment + "/score",
	}
	if auth.From(ctx).Role.Allows(ridgeline.Writer) {
		e.PrimaryKey, e.SecondaryKey = a.Auth.EndpointKey(row, auth.Primary), a.Auth.EndpointKey(row, auth.Secondary)
	}
	for _, d := range live {
		ready, err := a.Ready(ctx, d.ID)
		if err != nil {
			return Endpoint{}, err
		}
		log, err := a.logState(d.ID)
		if err != nil {
			return Endpoint{}, err
		}
		view := Deployment{
			Log:  log,
			Name: d.Name(), ID: string(d.ID), Model: string(d.Model), Version: d.Version, Image: a.image(d.Image),
			Weight: d.Weight, Mirror: d.Mirror, Ready: ready > 0, Replicas: ready, Created: d.Created,
		}
		e.Deployments = append(e.Deployments, view)
		if d.ID == row.Live {
			e.Model, e.Version, e.Image, e.Ready, e.Replicas, e.Asleep = view.Model, view.Version, view.Image, view.Ready, view.Replicas, d.Asleep
			var until time.Time
			if e.Resting, until = d.Resting(time.Now()); !until.IsZero() {
				e.Until = &until
			}
			e.Hours = string(d.Hours)
			version, err := a.Store.ModelVersion(ctx, d.Model, d.Version)
			if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
				return Endpoint{}, err
			}
			e.Framework = version.Framework
		}
	}
	return e, nil
}
