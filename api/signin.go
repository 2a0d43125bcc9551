package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// SignInLink lets a browser in, once.
type SignInLink struct {
	URL     string    `json:"url"`
	Path    string    `json:"path" doc:"the same, below whatever address reaches the server"`
	Expires time.Time `json:"expires"`
}

func (a *API) signIns(api huma.API) {
	route(a, api, huma.Operation{
		OperationID: "create-sign-in-link", Method: http.MethodPost, Path: "/sign-in-links", DefaultStatus: http.StatusCreated, Tags: []string{"tokens"},
		Summary: "Make a link that signs a browser in as the caller, once",
	}, ridgeline.Viewer, func(ctx context.Context, _ *struct{}) (SignInLink, error) {
		now := time.Now().UTC()
		code, err := a.Sessions.Link(ctx, auth.From(ctx), now)
		path := "/sign-in?code=" + url.QueryEscape(code)
		return SignInLink{URL: a.BaseURL + path, Path: path, Expires: now.Add(auth.LinkLife)}, err
	})
}
