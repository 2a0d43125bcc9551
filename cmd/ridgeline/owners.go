package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/scope"
)

// owners say to which project a thing belongs, for callers who see one alone.
func (n *node) owners() scope.Owners {
	return scope.Owners{
		scope.Build: func(ctx context.Context, id string) (ridgeline.ProjectName, error) {
			b, err := n.store.Build(ctx, ridgeline.BuildID(id))
			return b.Project, err
		},
		scope.Run: func(ctx context.Context, id string) (ridgeline.ProjectName, error) {
			r, err := n.store.Run(ctx, ridgeline.RunID(id))
			return r.Project, err
		},
		scope.Release: func(ctx context.Context, id string) (ridgeline.ProjectName, error) {
			r, err := n.store.Release(ctx, ridgeline.ReleaseID(id))
			return r.Project, err
		},
		scope.Model: func(ctx context.Context, id string) (ridgeline.ProjectName, error) {
			m, err := n.store.RegisteredModel(ctx, ridgeline.ModelName(id))
			return m.Project, err
		},
		scope.Deployment: func(ctx context.Context, id string) (ridgeline.ProjectName, error) {
			d, err := n.store.Deployment(ctx, ridgeline.DeploymentID(id))
			return d.Project, err
		},
		scope.Arrival: func(ctx context.Context, id string) (ridgeline.ProjectName, error) {
			a, err := n.store.Arrival(ctx, ridgeline.ArrivalID(id))
			return a.Project, err
		},
		scope.Logged: func(ctx context.Context, id string) (ridgeline.ProjectName, error) {
			experiment, err := n.tracking.ExperimentOf(ctx, id)
			return projectOf(experiment), err
		},
		scope.Experiment: func(ctx context.Context, id string) (ridgeline.ProjectName, error) {
			number, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				return "", ridgeline.Errorf(ridgeline.NotFound, "no experiment %q", id)
			}
			e, err := n.tracking.Experiment(ctx, number)
			return projectOf(e.Name), err
		},
	}
}

// projectOf is the project whose an experiment is: the one that is named as the
// project, and those named PROJECT/….
func projectOf(experiment string) ridgeline.ProjectName {
	name, _, _ := strings.Cut(experiment, "/")
	return ridgeline.ProjectName(name)
}
