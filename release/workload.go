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
// what its environment says of copies, and what release.serve says of it as
// the scorer's variables (score/serve lists them).
func (r *Releaser) workload(ctx context.Context, d ridgeline.Deployment) (host.Workload, error) {
	k, err := r.known(ctx, d)
	if k.inFlight > 0 { // the number is found here, and not by the host
		k.Replicas = k.copies(d)
		k.MaxReplicas = k.Replicas
	}
	if d.Asleep {
		k.Replicas, k.MaxReplicas = 0, 0
	}
	return k.Workload, err
}

// known is what the commit of a deployment says of its copies.
type known struct {
	host.Workload
	inFlight int // requests that each copy should have; 0: their number does not count
}

func (r *Releaser) known(ctx context.Context, d ridgeline.Deployment) (known, error) {
	if k, ok := r.workloads.Load(d.ID); ok {
		return k.(known), nil
	}
	v, err := r.Store.ModelVersion(ctx, d.Model, d.Version)
	if err != nil {
		return known{}, err
	}
	cfg, err := r.config(ctx, v)
	if err != nil {
		return known{}, err
	}
	set := settings(cfg, d.Environment)
	w := host.Workload{
		ID: d.ID, Host: d.Host, Image: d.Image, Replicas: d.Replicas, MaxReplicas: set.MaxReplicas,
		Resources: host.Resources{CPU: set.CPU, Memory: set.Memory},
		Env:       slices.Concat(r.Env, identity(d), r.logging(d, cfg.Release.Serve.Log)),
	}
	k := known{w, set.InFlight}
	r.workloads.Store(d.ID, k)
	return k, nil
}

// identity tells a scorer who it is, for what it says of its requests.
func identity(d ridgeline.Deployment) []string {
	return []string{
		"RIDGELINE_PROJECT=" + string(d.Project), "RIDGELINE_ENVIRONMENT=" + d.Environment, "RIDGELINE_DEPLOYMENT=" + string(d.ID),
		"RIDGELINE_MODEL_NAME=" + string(d.Model), "RIDGELINE_MODEL_VERSION=" + strconv.Itoa(d.Version),
	}
}

func (r *Releaser) logging(d ridgeline.Deployment, l project.Logging) []string {
	if l.Off || r.LogURL == "" && r.RemoteLog == nil {
		return nil
	}
	var env []string
	if d.Host == "process" {
		env = append(env, "RIDGELINE_LOG_DIR="+filepath.Join(r.LogDir, string(d.ID)))
	}
	if d.Host == "process" && r.LogURL != "" {
		env = append(env, "RIDGELINE_LOG_URL="+r.LogURL)
	} else { // it brings its log over the network, by a token for that alone
		address, token := r.RemoteLog(d)
		env = append(env, "RIDGELINE_LOG_URL="+address, "RIDGELINE_LOG_TOKEN="+token)
	}
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
