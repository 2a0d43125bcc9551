package release

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// scaling is how often busy copies are looked at.
const scaling = 2 * time.Second

// Scaling lets the copies of deployments follow their requests, where their
// environment says so (replicas.in_flight), until ctx is done. The leading
// server does it; what it finds is in the database, for all.
func (r *Releaser) Scaling(ctx context.Context) {
	seen := map[ridgeline.DeploymentID]*ridgeline.Demand{}
	for ctx.Err() == nil {
		if err := r.Scale(ctx, seen, time.Now()); err != nil && ctx.Err() == nil {
			r.Log.Error("let copies follow their requests", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(scaling):
		}
	}
}

// Scale looks once; seen is what was seen before.
func (r *Releaser) Scale(ctx context.Context, seen map[ridgeline.DeploymentID]*ridgeline.Demand, now time.Time) error {
	live, err := r.Store.Deployments(ctx, store.DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
	if err != nil {
		return err
	}
	there := map[ridgeline.DeploymentID]bool{}
	for _, d := range live {
		k, err := r.known(ctx, d)
		if err != nil || k.inFlight == 0 || d.Asleep {
			continue // what is wrong with a commit is said by those who start its copies
		}
		there[d.ID] = true
		if seen[d.ID] == nil {
			seen[d.ID] = &ridgeline.Demand{}
		}
		if err := r.scale(ctx, d, k, seen[d.ID], now); err != nil {
			return err
		}
	}
	for id := range seen {
		if !there[id] {
			delete(seen, id)
		}
	}
	return nil
}

func (r *Releaser) scale(ctx context.Context, d ridgeline.Deployment, k known, demand *ridgeline.Demand, now time.Time) error {
	o, err := r.Services.Observe(ctx, d.ID)
	if err != nil || o.Ready() == 0 {
		return nil //nolint:nilerr // a host that does not answer: nothing is known, nothing changes
	}
	busy := 0.0
	for _, t := range r.listen(ctx, host.Observed{Copies: o.Copies}, nil) {
		busy += t.inFlight
	}
	demand.See(busy, now)
	copies := k.copies(d)
	want := demand.Copies(k.inFlight, d.Replicas, k.MaxReplicas, copies)
	if want == copies {
		return nil
	}
	if err := r.Store.ScaleDeployment(ctx, d.ID, want); err != nil {
		return err
	}
	r.Log.Info("copies follow their requests", "deployment", d.ID, "from", copies, "to", want, "in_flight", busy)
	return r.applyNow(ctx, d.ID)
}

// copies are those of a deployment whose copies follow its requests.
func (k known) copies(d ridgeline.Deployment) int {
	return min(max(d.Scaled, d.Replicas), k.MaxReplicas)
}
