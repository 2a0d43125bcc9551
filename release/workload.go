package release

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// workload is what a host is asked to keep ready for a deployment: its image,
// and what release.serve says of it as the scorer's variables (score/serve
// lists them).
func (r *Releaser) workload(ctx context.Context, d ridgeline.Deployment) (host.Workload, error) {
	w := host.Workload{ID: d.ID, Host: d.Host, Image: d.Image, Replicas: d.Replicas}
	if known, ok := r.environments.Load(d.ID); ok {
		w.Env = known.([]string)
		return w, nil
	}
	v, err := r.Store.ModelVersion(ctx, d.Model, d.Version)
	if err != nil {
		return w, err
	}
	cfg, err := r.config(ctx, v)
	if err != nil {
		return w, err
	}
	w.Env = slices.Concat(r.Env, identity(d), r.logging(d, cfg.Release.Serve.Log))
	r.environments.Store(d.ID, w.Env)
	return w, nil
}

// identity tells a scorer who it is, for what it says of its requests.
func identity(d ridgeline.Deployment) []string {
	return []string{
		"RIDGELINE_PROJECT=" + string(d.Project), "RIDGELINE_ENVIRONMENT=" + d.Environment, "RIDGELINE_DEPLOYMENT=" + string(d.ID),
		"RIDGELINE_MODEL_NAME=" + string(d.Model), "RIDGELINE_MODEL_VERSION=" + strconv.Itoa(d.Version),
	}
}

func (r *Releaser) logging(d ridgeline.Deployment, l project.Logging) []string {
	if l.Off || r.LogURL == "" {
		return nil
	}
	env := []string{"RIDGELINE_LOG_URL=" + r.LogURL, "RIDGELINE_LOG_DIR=" + filepath.Join(r.LogDir, string(d.ID))}
	if l.Sample < 1 {
		env = append(env, "RIDGELINE_LOG_SAMPLE="+strconv.FormatFloat(l.Sample, 'g', -1, 64))
	}
	if len(l.Redact) > 0 {
		env = append(env, "RIDGELINE_LOG_REDACT="+strings.Join(l.Redact, ","))
	}
	if l.NoPayloads {
		env = append(env, "RIDGELINE_LOG_PAYLOADS=false")
	}
	return env
}
