package release

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Rest takes the copies of live deployments away that nobody has asked for as
// long as their environment says. They stay live: Wake brings them back.
func (r *Releaser) Rest(ctx context.Context) error {
	live, err := r.Store.Deployments(ctx, store.DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
	if err != nil {
		return err
	}
	for _, d := range live {
		if !d.Rests(time.Now()) {
			continue
		}
		if slept, err := r.Store.Rest(ctx, d); err != nil || !slept {
			return err
		}
		if err := r.applyNow(ctx, d.ID); err != nil {
			return err
		}
		r.Log.Info("nobody asks: the copies rest until somebody does", "deployment", d.ID, "project", d.Project, "environment", d.Environment, "idle", d.Idle)
	}
	return nil
}

// Wake brings the copies of a deployment back because somebody asks for it. It
// returns without waiting for them. Awake is success.
func (r *Releaser) Wake(ctx context.Context, id ridgeline.DeploymentID) error {
	if err := r.Store.Asked(ctx, id, time.Now().UTC()); err != nil {
		return err
	}
	return r.applyNow(ctx, id)
}

// applyNow applies what the store says of a deployment, until it says nothing
// else: who falls asleep and is woken at the same moment is awake.
func (r *Releaser) applyNow(ctx context.Context, id ridgeline.DeploymentID) error {
	for {
		d, err := r.Store.Deployment(ctx, id)
		if err != nil {
			return err
		}
		if d.State != ridgeline.DeploymentLive {
			return nil
		}
		w, err := r.workload(ctx, d)
		if err != nil {
			return err
		}
		if err := r.Services.Apply(ctx, w); err != nil {
			return err
		}
		after, err := r.Store.Deployment(ctx, id)
		if err != nil || after.Asleep == d.Asleep {
			return err
		}
	}
}
