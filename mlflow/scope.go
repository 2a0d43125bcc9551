package mlflow

import (
	"context"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// What a step's token may write to. A token without a project may write to
// everything that its role allows.

// mayCreateExperiment asks for an experiment of that name.
func (a *API) mayCreateExperiment(ctx context.Context, name string) error {
	p := auth.From(ctx)
	if p.Project == "" || name == string(p.Project) || strings.HasPrefix(name, string(p.Project)+"/") {
		return nil
	}
	return denied(p.Project, "'"+name+"'")
}

func (a *API) mayWriteExperiment(ctx context.Context, id int64) error {
	if auth.From(ctx).Project == "" {
		return nil
	}
	e, err := a.Track.Experiment(ctx, id)
	if err != nil {
		return err
	}
	return a.mayCreateExperiment(ctx, e.Name)
}

func (a *API) mayWriteRun(ctx context.Context, id string) error {
	if auth.From(ctx).Project == "" {
		return nil
	}
	experiment, err := a.Track.ExperimentOf(ctx, id)
	if err != nil {
		return err
	}
	return a.mayCreateExperiment(ctx, experiment)
}

func (a *API) mayWriteModel(ctx context.Context, id string) error {
	if auth.From(ctx).Project == "" {
		return nil
	}
	m, err := a.Track.Model(ctx, id)
	if err != nil {
		return err
	}
	return a.mayWriteExperiment(ctx, m.Experiment)
}

// mayWriteRegistered asks for a registered model: a step's token changes those of
// its project.
func (a *API) mayWriteRegistered(ctx context.Context, name ridgeline.ModelName) error {
	p := auth.From(ctx)
	if p.Project == "" {
		return nil
	}
	m, err := a.Registry.RegisteredModel(ctx, name)
	if err != nil {
		return err
	}
	if m.Project != p.Project {
		return ridgeline.Errorf(ridgeline.Denied, "this token belongs to a step of project %s, which may change that project's models, not '%s'", p.Project, name)
	}
	return nil
}
