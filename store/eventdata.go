package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// What an event tells of its subject: the state after the change, spelled as
// the API spells it. A test of package api holds the two together.

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = asStored(t)
	return &t
}

type runData struct {
	ID         ridgeline.RunID       `json:"id"`
	Project    ridgeline.ProjectName `json:"project"`
	Pipeline   int                   `json:"pipeline"`
	Cause      string                `json:"cause"`
	Caller     string                `json:"caller,omitempty"`
	Params     map[string]string     `json:"params,omitempty"`
	Data       map[string]int        `json:"data,omitempty"`
	Resumes    ridgeline.RunID       `json:"resumes,omitempty"`
	Reproduces string                `json:"reproduces,omitempty"`
	GateOff    string                `json:"gate_off,omitempty"`
	Status     ridgeline.Status      `json:"status"`
	Verdict    ridgeline.Verdict     `json:"verdict"`
	Model      ridgeline.ModelName   `json:"model,omitempty"`
	Version    int                   `json:"version,omitempty"`
	Release    ridgeline.ReleaseID   `json:"release,omitempty"`
	Reason     string                `json:"reason,omitempty"`
	Note       string                `json:"note,omitempty"`
	Created    *time.Time            `json:"created"`
	Started    *time.Time            `json:"started"`
	Ended      *time.Time            `json:"ended"`
}

// emitRun tells of the run as it is now, unless it had this status before.
func (s *Store) emitRun(ctx context.Context, before ridgeline.Status, r ridgeline.Run) error {
	if before == r.Status {
		return nil
	}
	return s.emit(ctx, ridgeline.StatusEvent("run", r.Status), r.Project, "runs/"+string(r.ID), runData{
		ID: r.ID, Project: r.Project, Pipeline: r.Pipeline, Cause: r.Cause, Caller: r.Caller, Params: r.Params, GateOff: r.GateOff,
		Data: r.Data, Resumes: r.Resumes, Reproduces: r.Reproduces, Note: r.Note,
		Status: r.Status, Verdict: r.Verdict, Model: r.Model, Version: r.Version, Release: r.Release, Reason: r.Reason,
		Created: moment(r.Created), Started: moment(r.Started), Ended: moment(r.Ended),
	})
}

type checkData struct {
	Name    string           `json:"name"`
	Kind    string           `json:"kind"`
	Status  ridgeline.Status `json:"status"`
	Message string           `json:"message"`
}

type buildData struct {
	Build       ridgeline.BuildID     `json:"build"`
	Project     ridgeline.ProjectName `json:"project"`
	Commit      string                `json:"commit"`
	Branch      string                `json:"branch,omitempty"`
	PullRequest string                `json:"pull_request,omitempty"`
	Cause       string                `json:"cause"`
	Nightly     bool                  `json:"nightly"`
	Status      ridgeline.Status      `json:"status"`
	Pipeline    int                   `json:"pipeline"`
	Run         ridgeline.RunID       `json:"run,omitempty"`
	Reason      string                `json:"reason,omitempty"`
	Checks      []checkData           `json:"checks"`
	Created     *time.Time            `json:"created"`
	Ended       *time.Time            `json:"ended,omitempty"`
}

func (s *Store) emitBuild(ctx context.Context, before ridgeline.Status, b ridgeline.Build) error {
	if before == b.Status {
		return nil
	}
	data := buildData{
		Build: b.ID, Project: b.Project, Commit: b.Commit.Hash, Branch: b.Commit.Branch, PullRequest: b.PullRequest, Cause: b.Cause, Nightly: b.Nightly, Status: b.Status, Pipeline: b.Pipeline,
		Run: b.Run, Reason: b.Reason, Created: moment(b.Created), Ended: moment(b.Ended), Checks: []checkData{},
	}
	for _, c := range b.Checks {
		data.Checks = append(data.Checks, checkData{c.Name, string(c.Kind), c.Status, c.Message})
	}
	return s.emit(ctx, ridgeline.StatusEvent("build", b.Status), b.Project, "builds/"+string(b.ID), data)
}

type environmentData struct {
	Name       string                 `json:"name"`
	Status     ridgeline.Status       `json:"status"`
	Message    string                 `json:"message"`
	Deployment ridgeline.DeploymentID `json:"deployment,omitempty"`
}

type releaseData struct {
	ID           ridgeline.ReleaseID   `json:"id"`
	Project      ridgeline.ProjectName `json:"project"`
	Model        ridgeline.ModelName   `json:"model"`
	Version      int                   `json:"version"`
	Status       ridgeline.Status      `json:"status"`
	Cause        string                `json:"cause"`
	Reason       string                `json:"reason,omitempty"`
	Environments []environmentData     `json:"environments"`
	Created      *time.Time            `json:"created"`
	Ended        *time.Time            `json:"ended,omitempty"`
}

// emitRelease tells of the release as it is now. to is the status that it has
// come to: its own, or waiting, when one of its environments waits for a
// person.
func (s *Store) emitRelease(ctx context.Context, before, to ridgeline.Status, r ridgeline.Release) error {
	if before == to {
		return nil
	}
	data := releaseData{
		ID: r.ID, Project: r.Project, Model: r.Model, Version: r.Version, Status: r.Status, Cause: r.Cause, Reason: r.Reason,
		Created: moment(r.Created), Ended: moment(r.Ended), Environments: []environmentData{},
	}
	for _, e := range r.Environments {
		data.Environments = append(data.Environments, environmentData{e.Name, e.Status, e.Message, e.Deployment})
	}
	return s.emit(ctx, ridgeline.StatusEvent("release", to), r.Project, "releases/"+string(r.ID), data)
}

func (s *Store) emitPipeline(ctx context.Context, p ridgeline.Pipeline) error {
	return s.emit(ctx, ridgeline.EventPipelinePublished, p.Project, fmt.Sprintf("builds/%s", p.Build), struct {
		Project  ridgeline.ProjectName `json:"project"`
		Pipeline int                   `json:"pipeline"`
		Build    ridgeline.BuildID     `json:"build"`
		Commit   string                `json:"commit"`
		Created  *time.Time            `json:"created"`
	}{p.Project, p.Version, p.Build, p.Commit.Hash, moment(p.Created)})
}

type versionData struct {
	Name        ridgeline.ModelName   `json:"name"`
	Version     int                   `json:"version"`
	Champion    bool                  `json:"champion"`
	Verdict     ridgeline.Verdict     `json:"verdict"`
	Run         ridgeline.RunID       `json:"run"`
	Commit      string                `json:"commit"`
	Created     *time.Time            `json:"created"`
	Project     ridgeline.ProjectName `json:"project"`
	Pipeline    int                   `json:"pipeline"`
	Environment string                `json:"environment"`
	Data        map[string]string     `json:"data"`
	Params      map[string]string     `json:"params,omitempty"`
	Artifact    string                `json:"artifact"`
	Size        int64                 `json:"size"`
	Override    []ridgeline.Override  `json:"override"`
}

// emitVersion tells of a model version that is registered, or promoted. Its
// metrics are left out: they may be NaN, and the API has them.
func (s *Store) emitVersion(ctx context.Context, kind string, v ridgeline.ModelVersion) error {
	return s.emit(ctx, kind, v.Project, versionPath(v.Model, v.Version), versionData{
		Name: v.Model, Version: v.Version, Champion: v.Champion, Verdict: v.Verdict, Run: v.Run, Commit: v.Commit, Created: moment(v.Created),
		Project: v.Project, Pipeline: v.Pipeline, Environment: v.Environment, Data: v.Data, Params: v.Params,
		Artifact: v.Artifact, Size: v.Size, Override: append([]ridgeline.Override{}, v.Overrides...),
	})
}

func (s *Store) emitDeployment(ctx context.Context, kind string, d ridgeline.Deployment) error {
	return s.emit(ctx, kind, d.Project, "endpoints", struct {
		Project     ridgeline.ProjectName  `json:"project"`
		Environment string                 `json:"environment"`
		Model       ridgeline.ModelName    `json:"model"`
		Version     int                    `json:"version"`
		Deployment  ridgeline.DeploymentID `json:"deployment"`
		Release     ridgeline.ReleaseID    `json:"release"`
	}{d.Project, d.Environment, d.Model, d.Version, d.ID, d.Release})
}

func (s *Store) emitTraffic(ctx context.Context, e ridgeline.Endpoint, live []ridgeline.Deployment) error {
	type share struct {
		Name       string                 `json:"name"`
		Model      ridgeline.ModelName    `json:"model"`
		Version    int                    `json:"version"`
		Deployment ridgeline.DeploymentID `json:"deployment"`
		Weight     int                    `json:"weight"`
		Mirror     int                    `json:"mirror"`
	}
	shares := make([]share, 0, len(live))
	for _, d := range live {
		shares = append(shares, share{d.Name(), d.Model, d.Version, d.ID, d.Weight, d.Mirror})
	}
	return s.emit(ctx, ridgeline.EventTrafficChanged, e.Project, "endpoints", struct {
		Project     ridgeline.ProjectName `json:"project"`
		Environment string                `json:"environment"`
		Deployments []share               `json:"deployments"`
	}{e.Project, e.Environment, shares})
}

// versionPath is a version as a path below /api/v1/.
func versionPath(model ridgeline.ModelName, version int) string {
	return fmt.Sprintf("models/%s/versions/%d", model, version)
}
