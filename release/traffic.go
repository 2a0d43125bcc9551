package release

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// mayStandBeside refuses early what StandBeside would refuse after the copies
// were started.
func (r *Releaser) mayStandBeside(ctx context.Context, row ridgeline.Release) error {
	if !row.Beside {
		return nil
	}
	for _, e := range row.Environments {
		_, live, err := r.Store.Serving(ctx, row.Project, e.Name)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		d := ridgeline.Deployment{Project: row.Project, Environment: e.Name, Version: row.Version}
		if err := d.MayStandBeside(live); err != nil {
			return err
		}
	}
	return nil
}

// SetTraffic shares an endpoint's requests among its live deployments; new
// requests go by it when it returns. No request fails because of it.
func (r *Releaser) SetTraffic(ctx context.Context, p ridgeline.ProjectName, environment string, t ridgeline.Traffic) error {
	if _, err := r.Store.SetTraffic(ctx, p, environment, t); err != nil {
		return err
	}
	return r.Traffic.Switched(ctx, p, environment)
}

// Retire takes a deployment away that no request is sent to, once the last it
// got has ended. What a crash leaves after it is recorded, Reconcile removes.
func (r *Releaser) Retire(ctx context.Context, p ridgeline.ProjectName, environment string, version int) error {
	_, live, err := r.Store.Serving(ctx, p, environment)
	if err != nil {
		return err
	}
	for _, d := range live {
		if d.Version != version {
			continue
		}
		if err := r.Store.RetireDeployment(ctx, d.ID, time.Now().UTC()); err != nil {
			return err
		}
		if err := r.Traffic.Switched(ctx, p, environment); err != nil {
			return err
		}
		return r.leave(ctx, d.ID)
	}
	return ridgeline.Errorf(ridgeline.NotFound, "there is no deployment %s in %s/%s: it has %s",
		ridgeline.Deployment{Version: version}.Name(), p, environment, ridgeline.TrafficText(live))
}
