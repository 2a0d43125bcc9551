package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/store"
)

type releaseInput struct {
	Name string `path:"name"`
	Body *struct {
		Version     int    `json:"version,omitempty" minimum:"0" doc:"0 or absent: the champion"`
		Environment string `json:"environment,omitempty" doc:"one environment only"`
		Beside      bool   `json:"beside,omitempty" doc:"what is live stays so and keeps all requests"`
	}
}

// EnvironmentInput names an environment; exported for huma, as Listing is.
type EnvironmentInput struct {
	Project     string `path:"project"`
	Environment string `path:"environment"`
}

func (a *API) releases(api huma.API) {
	tags := []string{"releases"}
	route(a, api, huma.Operation{
		OperationID: "release", Method: http.MethodPost, Path: "/models/{name}/releases",
		Summary: "Release a registered version", Tags: tags, DefaultStatus: http.StatusAccepted,
	}, ridgeline.Writer, func(ctx context.Context, in *releaseInput) (Release, error) {
		request := release.Request{Model: ridgeline.ModelName(in.Name), Cause: "api", Caller: auth.From(ctx).Name}
		if in.Body != nil {
			request.Version, request.Environment, request.Beside = in.Body.Version, in.Body.Environment, in.Body.Beside
		}
		row, err := a.Releases.Submit(ctx, request)
		if err == nil {
			store.ActOf(ctx).On(fmt.Sprintf("models/%s/versions/%d", row.Model, row.Version))
		}
		return a.viewRelease(row), err
	})
	route(a, api, huma.Operation{OperationID: "list-releases", Method: http.MethodGet, Path: "/releases", Summary: "Releases, newest first", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *Listing) ([]Release, error) {
			rows, err := a.Store.Releases(ctx, store.ReleaseFilter{Project: ridgeline.ProjectName(in.Project), Limit: in.Limit})
			return list(rows, a.viewRelease), err
		})
	show := func(ctx context.Context, id string) (Release, error) {
		row, err := a.Store.Release(ctx, ridgeline.ReleaseID(id))
		return a.viewRelease(row), err
	}
	route(a, api, huma.Operation{OperationID: "show-release", Method: http.MethodGet, Path: "/releases/{id}", Summary: "One release", Tags: tags},
		ridgeline.Viewer, func(ctx context.Context, in *byID) (Release, error) { return show(ctx, in.ID) })
	route(a, api, huma.Operation{OperationID: "approve-release", Method: http.MethodPost, Path: "/releases/{id}/approve", Summary: "Let a waiting release go on", Tags: tags},
		ridgeline.Writer, func(ctx context.Context, in *byID) (Release, error) {
			if err := a.Releases.Approve(ctx, ridgeline.ReleaseID(in.ID), auth.From(ctx).Name); err != nil {
				return Release{}, err
			}
			return show(ctx, in.ID)
		})
	route(a, api, huma.Operation{OperationID: "reject-release", Method: http.MethodPost, Path: "/releases/{id}/reject", Summary: "End a release; what is live stays live", Tags: tags},
		ridgeline.Writer, func(ctx context.Context, in *byID) (Release, error) {
			if err := a.Releases.Reject(ctx, ridgeline.ReleaseID(in.ID)); err != nil {
				return Release{}, err
			}
			return show(ctx, in.ID)
		})
	route(a, api, huma.Operation{
		OperationID: "rollback", Method: http.MethodPost, Path: "/projects/{project}/environments/{environment}/rollback",
		Summary: "Release the version that was live before", Tags: tags, DefaultStatus: http.StatusAccepted,
	}, ridgeline.Writer, func(ctx context.Context, in *EnvironmentInput) (Release, error) {
		store.ActOf(ctx).On("endpoints/" + in.Project + "/" + in.Environment)
		row, err := a.Releases.Rollback(ctx, ridgeline.ProjectName(in.Project), in.Environment, auth.From(ctx).Name)
		return a.viewRelease(row), err
	})
}

type tokenInput struct {
	Body struct {
		Name    string  `json:"name" minLength:"1" maxLength:"60"`
		Role    string  `json:"role" enum:"viewer,writer,admin"`
		Project string  `json:"project,omitempty" doc:"the only one that it opens, with the role viewer or writer; absent: every one"`
		Days    float64 `json:"days,omitempty" minimum:"0" doc:"valid for so many days; 0 or absent: for ever"`
	}
}

func (a *API) tokens(api huma.API) {
	tags := []string{"tokens"}
	route(a, api, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/tokens",
		Summary: "Make a token; its secret is shown this once", Tags: tags, DefaultStatus: http.StatusCreated,
	}, ridgeline.Admin, func(ctx context.Context, in *tokenInput) (Token, error) {
		name := ridgeline.ProjectName(in.Body.Project)
		if name != "" {
			if _, err := a.Store.Project(ctx, name); err != nil {
				return Token{}, err
			}
		}
		t, secret, err := auth.NewToken(in.Body.Name, ridgeline.Role(in.Body.Role), name, in.Body.Days, time.Now().UTC())
		if err != nil {
			return Token{}, err
		}
		if err := a.Store.CreateToken(ctx, t); err != nil {
			return Token{}, err
		}
		out := viewToken(t)
		out.Secret = secret
		return out, nil
	})
	route(a, api, huma.Operation{OperationID: "list-tokens", Method: http.MethodGet, Path: "/tokens", Summary: "Tokens, without their secrets", Tags: tags},
		ridgeline.Admin, func(ctx context.Context, _ *struct{}) ([]Token, error) {
			rows, err := a.Store.Tokens(ctx)
			return list(rows, viewToken), err
		})
	route(a, api, huma.Operation{OperationID: "revoke-token", Method: http.MethodPost, Path: "/tokens/{id}/revoke", Summary: "Make a token invalid", Tags: tags},
		ridgeline.Admin, func(ctx context.Context, in *byID) (struct{}, error) {
			return struct{}{}, a.Store.RevokeToken(ctx, ridgeline.TokenID(in.ID), time.Now().UTC())
		})
}
