package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Rest takes the copies of live deployments away that nobody has asked for as
// long as their environment says, and brings back those whose hours have begun.
// What rests stays live: Wake brings it back, too. What goes wrong with one
// deployment holds up no other.
func (r *Releaser) Rest(ctx context.Context, now time.Time) error {
	live, err := r.Store.Deployments(ctx, store.DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
	if err != nil {
		return err
	}
	var failed []error
	for _, d := range live {
		var err error
		switch {
		case d.Rests(now):
			err = r.rest(ctx, d)
		case d.Asleep && d.Hours.Open(now):
			err = r.begin(ctx, d)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("deployment %s: %w", d.ID, err))
		}
	}
	return errors.Join(failed...)
}

func (r *Releaser) rest(ctx context.Context, d ridgeline.Deployment) error {
	if slept, err := r.Store.Rest(ctx, d); err != nil || !slept {
		return err
	}
	r.Log.Info("nobody asks: the copies rest until somebody does", "deployment", d.ID, "project", d.Project, "environment", d.Environment, "idle", d.Idle, "hours", d.Hours)
	return r.applyNow(ctx, d.ID)
}

// begin wakes a deployment though nobody has asked for it, and notes no
// request: it rests again when its hours end.
func (r *Releaser) begin(ctx context.Context, d ridgeline.Deployment) error {
	if err := r.Store.Asked(ctx, d.ID, d.Asked); err != nil {
		return err
	}
	r.Log.Info("the hours have begun: the copies come back", "deployment", d.ID, "project", d.Project, "environment", d.Environment, "hours", d.Hours)
	return r.applyNow(ctx, d.ID)
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
