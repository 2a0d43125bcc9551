// Package release carries a model version through its project's environments:
// deploy beside the old one, wait until it answers, smoke-test it, and only
// then let the endpoint's requests go to it; and back again on a rollback.
//
// Where copies run is the host's business; how a request finds the live
// deployment is the gateway's, which this package asks to switch and to drain.
package release

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Kind is the name under which flow knows a release.
const Kind = "release"

// Traffic is the gateway as a release sees it.
type Traffic interface {
	// Switched says that the endpoint's deployments, or what each has of its
	// requests, have changed. New requests go by that when it returns.
	Switched(ctx context.Context, p ridgeline.ProjectName, environment string) error
	// Drained returns when no request is on its way to the deployment any more.
	Drained(ctx context.Context, id ridgeline.DeploymentID) error
	// Answered is what the deployment has answered in this process.
	Answered(id ridgeline.DeploymentID) ridgeline.Answers
}

// A Releaser carries out releases. All fields are needed.
type Releaser struct {
	Store    *store.Store
	Blob     *blob.Store
	Start    func(ctx context.Context, kind, id string) error // sees to it that a flow runs; see flow.Engine
	Services host.Services
	Traffic  Traffic
	Env      []string // KEY=value, for every scorer
	Trees    string   // checkouts by tree digest, shared and never written again
	LogURL   string   // where scorers of this machine bring their inference log; empty: to RemoteLog
	// RemoteLog is where the scorers of a deployment on another machine bring
	// it, and their token. Both are the same whenever it is asked. Nil, with an
	// empty LogURL: no log is kept.
	RemoteLog func(ridgeline.Deployment) (url, token string)
	LogDir    string // folder of this machine where it waits for that, a folder for each deployment
	Log       *slog.Logger

	metered   meter
	workloads sync.Map // by deployment: what one's commit says never changes
}

// Request asks for a release of a registered version.
type Request struct {
	Project     ridgeline.ProjectName
	Model       ridgeline.ModelName
	Version     int    // 0 is the champion
	Environment string // empty: all of the project's environments, in order
	Beside      bool   // what is live stays so, and keeps all requests
	Cause       string
	Caller      string
}

// Submit records a release and starts it.
func (r *Releaser) Submit(ctx context.Context, q Request) (ridgeline.Release, error) {
	v, err := r.version(ctx, q)
	if err != nil {
		return ridgeline.Release{}, err
	}
	if v.Run == "" {
		return ridgeline.Release{}, ridgeline.Errorf(ridgeline.Conflict, "version %d of model %s was registered by hand and has not been to the gate: `ridgeline release %s:%d`, or POST to /api/v1/models/%s/versions/%d/judge, takes it there, and releases it once it is promoted",
			v.Version, v.Model, v.Model, v.Version, url.PathEscape(string(v.Model)), v.Version)
	}
	cfg, err := r.config(ctx, v)
	if err != nil {
		return ridgeline.Release{}, err
	}
	now := time.Now().UTC()
	id, err := ridgeline.NewID("l", now, rand.Read)
	if err != nil {
		return ridgeline.Release{}, err
	}
	out := ridgeline.Release{
		ID: ridgeline.ReleaseID(id), Project: v.Project, Model: v.Model, Version: v.Version, Status: ridgeline.Queued,
		Cause: q.Cause, Caller: q.Caller, Only: q.Environment, Beside: q.Beside, Created: now,
	}
	var names []string
	for _, e := range cfg.Release.Environments {
		names = append(names, e.Name)
		if q.Environment == "" || q.Environment == e.Name {
			out.Environments = append(out.Environments, ridgeline.ReleaseEnvironment{Name: e.Name, Status: ridgeline.Queued, Image: v.Image})
		}
	}
	if len(out.Environments) == 0 {
		if q.Environment == "" {
			return ridgeline.Release{}, ridgeline.Errorf(ridgeline.Invalid, "%s version %d has no environments: name them under release.environments in ridgeline.yaml and push", v.Model, v.Version)
		}
		return ridgeline.Release{}, ridgeline.Errorf(ridgeline.NotFound, "project %q has no environment %q at version %d: it has %v", v.Project, q.Environment, v.Version, names)
	}
	if err := r.mayStandBeside(ctx, out); err != nil {
		return ridgeline.Release{}, err
	}
	if err := r.Store.CreateRelease(ctx, out); err != nil {
		return ridgeline.Release{}, err
	}
	return out, r.Start(ctx, Kind, id)
}

func (r *Releaser) version(ctx context.Context, q Request) (ridgeline.ModelVersion, error) {
	if q.Version > 0 {
		return r.Store.ModelVersion(ctx, q.Model, q.Version)
	}
	v, ok, err := r.Store.Champion(ctx, q.Model)
	if err == nil && !ok {
		err = ridgeline.Errorf(ridgeline.NotFound, "model %q has no champion yet: name a version (%s:1)", q.Model, q.Model)
	}
	return v, err
}

// Rollback releases to one environment the version that was live there before
// the present one.
func (r *Releaser) Rollback(ctx context.Context, p ridgeline.ProjectName, environment, caller string) (ridgeline.Release, error) {
	previous, ok, err := r.Store.PreviousDeployment(ctx, p, environment)
	if err != nil {
		return ridgeline.Release{}, err
	}
	if !ok {
		return ridgeline.Release{}, ridgeline.Errorf(ridgeline.Conflict, "%s/%s has no earlier version to go back to", p, environment)
	}
	return r.Submit(ctx, Request{
		Project: p, Model: previous.Model, Version: previous.Version, Environment: environment, Cause: "rollback", Caller: caller,
	})
}

// config is the project's configuration at the commit the version was made
// from.
func (r *Releaser) config(ctx context.Context, v ridgeline.ModelVersion) (project.Config, error) {
	tree, err := r.tree(ctx, v)
	if err != nil {
		return project.Config{}, err
	}
	return project.Load(tree)
}

// tree is that commit, checked out on this server.
func (r *Releaser) tree(ctx context.Context, v ridgeline.ModelVersion) (string, error) {
	p, err := r.Store.Pipeline(ctx, v.Project, v.Pipeline)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(r.Trees, p.Commit.Tree)
	if err := r.Blob.GetTree(ctx, p.Commit.Tree, tree); err != nil {
		return "", fmt.Errorf("check out %s: %w", p.Commit.Short(), err)
	}
	return tree, nil
}

// passage is what one release carries from step to step.
type passage struct {
	Release ridgeline.Release
	Version ridgeline.ModelVersion
	Config  project.Config
}

// Run is the flow of one release.
func (r *Releaser) Run(c *flow.Context, id string) error {
	release := ridgeline.ReleaseID(id)
	p, err := flow.Step(c, "start", func(ctx context.Context) (passage, error) { return r.start(ctx, release) })
	var reason string
	for _, e := range p.Release.Environments {
		if err != nil || reason != "" {
			break
		}
		reason, err = r.environment(c, p, e)
	}
	if flow.Interrupted(err) {
		return err
	}
	if err != nil {
		reason = err.Error()
		if ridgeline.CodeOf(err) == ridgeline.Internal {
			r.Log.Error("release", "release", id, "error", err)
		}
	}
	_, err = flow.Tx(c, "finish", func(ctx context.Context, q sqlq.Querier) (struct{}, error) {
		s := r.Store.With(q)
		row, err := s.Release(ctx, release)
		if err != nil {
			return struct{}{}, err
		}
		status := ridgeline.Succeeded
		if reason != "" {
			status = ridgeline.Failed
			if row.CancelRequested {
				status = ridgeline.Cancelled
			}
		}
		for _, e := range row.Environments {
			if !e.Status.Terminal() {
				e.Status, e.Message = ridgeline.Cancelled, "not reached"
				if err := s.SaveReleaseEnvironment(ctx, release, e); err != nil {
					return struct{}{}, err
				}
			}
		}
		return struct{}{}, s.FinishRelease(ctx, release, status, reason, time.Now().UTC())
	})
	return err
}

// start waits for the project's older releases to end, so that two of them
// never switch one endpoint against each other, and gathers what is needed.
func (r *Releaser) start(ctx context.Context, id ridgeline.ReleaseID) (passage, error) {
	if err := r.turn(ctx, id); err != nil {
		return passage{}, err
	}
	if err := r.Store.StartRelease(ctx, id, time.Now().UTC()); err != nil {
		return passage{}, err
	}
	row, err := r.Store.Release(ctx, id)
	if err != nil {
		return passage{}, err
	}
	p := passage{Release: row}
	if p.Version, err = r.Store.ModelVersion(ctx, row.Model, row.Version); err != nil {
		return passage{}, err
	}
	p.Config, err = r.config(ctx, p.Version)
	return p, err
}

// settings are an environment's, as the version's own ridgeline.yaml has them.
func settings(c project.Config, name string) project.Environment {
	i := slices.IndexFunc(c.Release.Environments, func(e project.Environment) bool { return e.Name == name })
	return c.Release.Environments[i]
}

func (r *Releaser) turn(ctx context.Context, id ridgeline.ReleaseID) error {
	row, err := r.Store.Release(ctx, id)
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		open, err := r.Store.Releases(ctx, store.ReleaseFilter{Project: row.Project, Unfinished: true})
		if err != nil {
			return err
		}
		// One that waits for a person is not waited for: a rollback could not
		// get past it.
		older := slices.ContainsFunc(open, func(o ridgeline.Release) bool {
			return o.ID < id && !slices.ContainsFunc(o.Environments, func(e ridgeline.ReleaseEnvironment) bool { return e.Status == ridgeline.Waiting })
		})
		if !older {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
