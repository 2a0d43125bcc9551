package build

import (
	"context"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// data describes, checks and splits every dataset. What is new in it is only
// proposed: arrive takes it into use.
func (b *Builder) data(ctx context.Context, w work, cfg project.Config) ([]ridgeline.Check, error) {
	checks := make([]ridgeline.Check, 0, len(cfg.Data))
	for _, d := range cfg.Data {
		started := time.Now()
		check := ridgeline.Check{Name: "data " + d.Name, Kind: ridgeline.CheckData, Status: ridgeline.Running}
		if err := b.Store.SaveCheck(ctx, w.ID, check); err != nil {
			return nil, err
		}
		message, err := b.Intake.Check(ctx, w.ID, w.Commit, d)
		check.Seconds = time.Since(started).Seconds()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			check.Status, check.Message = ridgeline.Failed, err.Error()
		default:
			check.Status, check.Message = ridgeline.Succeeded, message
		}
		checks = append(checks, check)
	}
	return checks, nil
}

// arrive takes the datasets that the build has checked into use, in the
// transaction that publishes its pipeline, and reports whether one of them that
// starts the pipeline has a new version.
func (b *Builder) arrive(ctx context.Context, s *store.Store, row ridgeline.Build, w work) (bool, error) {
	fresh, err := b.Intake.Publish(ctx, s, row.Project, row.ID)
	if err != nil || len(fresh) == 0 {
		return false, err
	}
	cfg, err := project.Parse(project.FileName, []byte(w.Config))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(fresh, func(name string) bool { return slices.Contains(cfg.Pipeline.On.Data, name) }), nil
}
