package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// dataset is one dataset as a run's steps see it.
type dataset struct {
	Digest, Path, Train, Holdout string
}

// datasets makes the run's data ready on this machine.
func (r *Runner) datasets(ctx context.Context, p passage, cfg project.Config) (map[string]dataset, error) {
	out := map[string]dataset{}
	for _, d := range cfg.Data {
		path := d.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(r.tree(p.Pipeline), path)
		}
		content, err := r.Library.Content(ctx, path, data.Holdout{Fraction: d.Holdout.Fraction, Key: d.Holdout.Key})
		if err != nil {
			return nil, fmt.Errorf("dataset %q: %w", d.Name, err)
		}
		_, err = r.Store.SaveDatasetVersion(ctx, ridgeline.DatasetVersion{
			Project: p.Run.Project, Name: d.Name, Created: time.Now().UTC(),
			DatasetContent: ridgeline.DatasetContent{Digest: content.Digest, Size: content.Size, Rows: content.Rows, Columns: content.Columns},
		})
		if err != nil {
			return nil, err
		}
		out[d.Name] = dataset{Digest: content.Digest, Path: content.Path, Train: content.Train, Holdout: content.Holdout}
	}
	return out, nil
}

// here is the plan's data on this machine: where it was planned or, when
// another server did that, made ready again.
func (r *Runner) here(ctx context.Context, p passage, plan plan) (map[string]dataset, error) {
	there := true
	for _, d := range plan.Data {
		for _, path := range []string{d.Path, d.Train, d.Holdout} {
			_, err := os.Stat(path)
			there = there && err == nil
		}
	}
	if there {
		return plan.Data, nil
	}
	cfg, err := r.config(ctx, p.Pipeline)
	if err != nil {
		return nil, err
	}
	again, err := r.datasets(ctx, p, cfg)
	if err != nil {
		return nil, err
	}
	for name, d := range plan.Data {
		if again[name].Digest != d.Digest {
			return nil, ridgeline.Errorf(ridgeline.Conflict, "dataset %q is not the one that this run began with: it was %s, and is %s on this server", name, d.Digest, again[name].Digest)
		}
	}
	return again, nil
}
