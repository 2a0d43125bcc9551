package pipeline

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// spooled is the command of an attempt whose folder is dir: the step's own,
// beside a spool that takes what it logs while the server is away.
func (r *Runner) spooled(command, dir string) []string {
	return []string{r.Runtime.Spool, "--dir", filepath.Join(dir, "spool"), "--leave", "/bin/sh", "-c", command}
}

// tracked lets an attempt's task log by itself, and keeps its token out of the
// log. The attempt's start has to be the same whenever it is entered again.
func (r *Runner) tracked(ctx context.Context, p *passage, step string, try ridgeline.Attempt, pool Pool, spec *host.Task) (host.Follow, error) {
	env, secret, err := r.Tracking.Begin(ctx, p.Run, step, try, spec.Timeout)
	if err != nil {
		return host.Follow{}, err
	}
	spec.Env = append(spec.Env, env...)
	if pool.away() { // under the address that reaches this server from there
		spec.Env = append(spec.Env, "MLFLOW_TRACKING_URI="+pool.Server)
	}
	follow := r.follow(p.Run.ID)
	follow.Secrets = func(ctx context.Context) []string { return append(slices.Clone(r.Secrets(ctx)), secret) }
	return follow, nil
}

// unspool takes in what an attempt that has ended logged while the server was
// away. Only then does the attempt count as ended.
func (r *Runner) unspool(ctx context.Context, run ridgeline.Run, task, dir string) error {
	said, err := r.Tracking.Collect(ctx, run, filepath.Join(dir, "spool"))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // a damaged spool fails no training
		said += fmt.Sprintf("ridgeline: what this step logged while the server was away could not be taken in whole: %v\n", err)
		r.Log.Error("take in a step's spool", "task", task, "error", err)
	}
	if said == "" {
		return nil
	}
	size, err := r.Blob.Logs().Size(ctx, task)
	if err != nil {
		return err
	}
	return r.Blob.Logs().Append(ctx, task, size, []byte(said))
}
