package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host/process"
	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// localImages makes images runnable on this machine: their scorer, application
// and model layers as folders, their dependency layer as the environment of
// the same lock.
type localImages struct {
	images *image.Builder
	target pipeline.Registry
	envs   *pyenv.Manager
	store  *store.Store
	dir    string
}

func (l *localImages) prepare(ctx context.Context, name string) (process.Local, error) {
	kinds := []string{image.KindScorer, image.KindApplication, image.KindModel}
	ref, c := l.target.Find(name)
	u, err := l.images.Unpack(ctx, ref, c, l.dir, kinds)
	if err != nil {
		return process.Local{}, err
	}
	hash := u.Labels["io.ridgeline.environment"]
	lock, err := l.lock(ctx, hash)
	if err != nil {
		return process.Local{}, fmt.Errorf("environment of image %s: %w", name, err)
	}
	env, err := l.envs.Ensure(ctx, lock, nil)
	if err != nil {
		return process.Local{}, err
	}
	// The image's own variables, with its paths moved to where it was unpacked;
	// what belongs to its dependency layer is the environment's here.
	vars := env.Vars(filepath.Join(u.Root, "nonexistent"))
	for _, v := range u.Env {
		key, value, _ := strings.Cut(v, "=")
		switch key {
		case "PATH", "PYTHONPATH", "RIDGELINE_LISTEN", "RIDGELINE_PYTHON", "HOME":
			continue
		}
		if strings.HasPrefix(value, image.AppPath) || strings.HasPrefix(value, "/opt/ridgeline") {
			value = filepath.Join(u.Root, value)
		}
		vars = append(vars, key+"="+value)
	}
	// By the time a copy is told to stop, the gateway has sent it its last
	// request: nobody else comes, so it need not wait for latecomers.
	vars = append(vars, "RIDGELINE_PYTHON="+env.Python, "RIDGELINE_DRAIN_MS=20")
	return process.Local{
		Command: []string{filepath.Join(u.Root, image.ScorerPath), "serve"}, Dir: filepath.Join(u.Root, image.AppPath), Env: vars,
	}, nil
}

// lock finds a locked environment by its hash: a pipeline's, or that of a version
// registered by hand.
func (l *localImages) lock(ctx context.Context, hash string) (pyenv.Lock, error) {
	p, err := l.store.PipelineByEnvironment(ctx, hash)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		if text, python, err := l.store.LockOf(ctx, hash); ridgeline.CodeOf(err) != ridgeline.NotFound {
			return pyenv.Lock{Hash: hash, Text: text, Python: python}, err
		}
	}
	return pyenv.Lock{Hash: p.Environment, Text: p.Lock, Python: p.Python}, err
}
