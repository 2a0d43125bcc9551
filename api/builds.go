package api

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/blob/archive"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// pushInput is a source archive and what is known of its commit. The archive
// is read from the connection, never held in memory.
type pushInput struct {
	Project     string `path:"project"`
	Hash        string `query:"commit" required:"true" doc:"git commit, 40 hex digits"`
	Branch      string `query:"branch"`
	Message     string `query:"message" maxLength:"1000"`
	Author      string `query:"author" maxLength:"200"`
	Dirty       bool   `query:"dirty" doc:"the working tree differed from the commit"`
	PullRequest string `query:"pull_request" maxLength:"40" doc:"its number, when that is what the commit is for: the build publishes nothing"`
	archive     io.Reader
}

// Resolve keeps hold of the request's body.
func (p *pushInput) Resolve(ctx huma.Context) []error {
	p.archive = ctx.BodyReader()
	return nil
}

type byID struct {
	ID string `path:"id"`
}

// Listing narrows a list. It is exported because huma reads no embedded field of
// a type that is not.
type Listing struct {
	Project string `query:"project"`
	Limit   int    `query:"limit" default:"50" minimum:"1" maximum:"1000"`
}

func (a *API) builds(api huma.API) {
	route(a, api, huma.Operation{
		OperationID: "push", Method: http.MethodPost, Path: "/projects/{project}/builds",
		Summary: "Hand over a commit as a tar archive and start its build", Tags: []string{"builds"}, DefaultStatus: http.StatusAccepted,
		MaxBodyBytes: -1, BodyReadTimeout: -1,
	}, ridgeline.Writer, a.push)
	route(a, api, huma.Operation{OperationID: "list-builds", Method: http.MethodGet, Path: "/builds", Summary: "Builds, newest first", Tags: []string{"builds"}},
		ridgeline.Viewer, func(ctx context.Context, in *struct {
			Listing
			Branch string `query:"branch"`
			Flaky  bool   `query:"flaky" doc:"only those in which a test is known to be flaky"`
		}) ([]Build, error) {
			rows, err := a.Store.Builds(ctx, store.BuildFilter{Project: ridgeline.ProjectName(in.Project), Branch: in.Branch, Flaky: in.Flaky, Limit: in.Limit})
			return list(rows, viewBuild), err
		})
	route(a, api, huma.Operation{OperationID: "show-build", Method: http.MethodGet, Path: "/builds/{id}", Summary: "One build", Tags: []string{"builds"}},
		ridgeline.Viewer, func(ctx context.Context, in *byID) (Build, error) {
			row, err := a.Store.Build(ctx, ridgeline.BuildID(in.ID))
			return viewBuild(row), err
		})
	route(a, api, huma.Operation{OperationID: "show-results", Method: http.MethodGet, Path: "/builds/{id}/results", Summary: "Every test of a build, and the coverage of every file", Tags: []string{"builds"}},
		ridgeline.Viewer, func(ctx context.Context, in *byID) (build.Results, error) {
			return a.Builds.Results(ctx, ridgeline.BuildID(in.ID))
		})
	route(a, api, huma.Operation{OperationID: "cancel-build", Method: http.MethodPost, Path: "/builds/{id}/cancel", Summary: "Cancel a build", Tags: []string{"builds"}},
		ridgeline.Writer, func(ctx context.Context, in *byID) (Build, error) {
			if err := a.Store.RequestBuildCancel(ctx, ridgeline.BuildID(in.ID)); err != nil {
				return Build{}, err
			}
			row, err := a.Store.Build(ctx, ridgeline.BuildID(in.ID))
			return viewBuild(row), err
		})
	route(a, api, huma.Operation{
		OperationID: "start-nightly", Method: http.MethodPost, Path: "/projects/{project}/builds/nightly", Summary: "Run build.nightly now, of the newest published commit",
		Tags: []string{"builds"}, DefaultStatus: http.StatusAccepted,
	}, ridgeline.Writer, func(ctx context.Context, in *struct {
		Project string `path:"project"`
	}) (Build, error) {
		row, err := a.Builds.Nightly(ctx, ridgeline.ProjectName(in.Project), auth.From(ctx).Name)
		return viewBuild(row), err
	})
	route(a, api, huma.Operation{
		OperationID: "retry-build", Method: http.MethodPost, Path: "/builds/{id}/retry", Summary: "Build the commit of an ended build again",
		Tags: []string{"builds"}, DefaultStatus: http.StatusAccepted,
	}, ridgeline.Writer, func(ctx context.Context, in *byID) (Build, error) {
		row, err := a.Builds.Retry(ctx, ridgeline.BuildID(in.ID), auth.From(ctx).Name)
		return viewBuild(row), err
	})
}

// push keeps the archive as a tree and submits its build. The archive comes
// from outside: it is unpacked safely and packed anew, so that the same files
// always get the same digest.
func (a *API) push(ctx context.Context, in *pushInput) (Build, error) {
	if _, err := hex.DecodeString(in.Hash); err != nil || len(in.Hash) != 40 {
		return Build{}, ridgeline.Errorf(ridgeline.Invalid, "commit %q is not a git commit of 40 hex digits", in.Hash)
	}
	dir, err := os.MkdirTemp(a.Temp, "push-")
	if err != nil {
		return Build{}, err
	}
	defer os.RemoveAll(dir)
	tree := filepath.Join(dir, "tree")
	limited := &io.LimitedReader{R: in.archive, N: MaxPush + 1}
	if err := archive.Read(limited, tree); err != nil {
		if limited.N <= 0 {
			return Build{}, ridgeline.Errorf(ridgeline.Invalid, "the commit is over %d MiB: keep data out of git and name it by a path", MaxPush>>20)
		}
		return Build{}, ridgeline.Errorf(ridgeline.Invalid, "the source archive cannot be read: %v", err)
	}
	digest, _, err := a.Blob.PutTree(ctx, tree)
	if err != nil {
		return Build{}, err
	}
	commit := ridgeline.Commit{
		Project: ridgeline.ProjectName(in.Project), Hash: in.Hash, Tree: digest, Branch: in.Branch, Message: in.Message,
		Author: in.Author, Dirty: in.Dirty, Created: time.Now().UTC(),
	}
	if in.Dirty {
		commit.Hash += "-dirty-" + digest[:8]
	}
	row, err := a.Builds.Submit(ctx, build.Request{Commit: commit, Caller: auth.From(ctx).Name, Cause: "push", PullRequest: in.PullRequest})
	return viewBuild(row), err
}
