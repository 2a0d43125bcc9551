package pipeline

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/project"
)

// dataset is one dataset as a run's steps see it.
type dataset struct {
	Version                      int
	Digest, Path, Train, Holdout string
}

// datasets makes the run's data ready on this machine: the versions that are
// pinned, else the current ones, which are then noted with the run.
func (r *Runner) datasets(ctx context.Context, p passage, cfg project.Config) (map[string]dataset, error) {
	versions, notes := map[string]int{}, []string(nil)
	for _, d := range cfg.Data {
		version, note := p.Run.Data[d.Name], ""
		if version == 0 {
			var err error
			if version, note, err = r.Intake.Current(ctx, p.Run, p.Pipeline, d); err != nil {
				return nil, fmt.Errorf("dataset %q: %w", d.Name, err)
			}
		}
		versions[d.Name] = version
		if note != "" {
			notes = append(notes, note)
		}
	}
	if err := r.Store.SetRunNote(ctx, p.Run.ID, strings.Join(notes, "\n")); err != nil {
		return nil, err
	}
	if err := r.Store.SetRunData(ctx, p.Run.ID, versions); err != nil {
		return nil, err
	}
	return r.ready(ctx, p, cfg, versions)
}

// ready brings versions of the pipeline's datasets onto this machine.
func (r *Runner) ready(ctx context.Context, p passage, cfg project.Config, versions map[string]int) (map[string]dataset, error) {
	out := map[string]dataset{}
	for _, d := range cfg.Data {
		content, err := r.Intake.Ready(ctx, p.Run.Project, d, versions[d.Name])
		if err != nil {
			return nil, fmt.Errorf("dataset %q: %w", d.Name, err)
		}
		out[d.Name] = dataset{Version: versions[d.Name], Digest: content.Digest, Path: content.Path, Train: content.Train, Holdout: content.Holdout}
	}
	return out, nil
}

// here is the plan's data on this machine: where it was planned or, when
// another server did that, made ready again.
func (r *Runner) here(ctx context.Context, p passage, plan plan) (map[string]dataset, error) {
	there := true
	versions := map[string]int{}
	for name, d := range plan.Data {
		versions[name] = d.Version
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
	return r.ready(ctx, p, cfg, versions)
}
