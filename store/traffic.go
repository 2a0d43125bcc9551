package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Serving returns the endpoint and its live deployments, newest first.
func (s *Store) Serving(ctx context.Context, project ridgeline.ProjectName, environment string) (ridgeline.Endpoint, []ridgeline.Deployment, error) {
	e, err := s.Endpoint(ctx, project, environment)
	if err != nil {
		return e, nil, err
	}
	live, err := s.live(ctx, e)
	return e, live, err
}

func (s *Store) live(ctx context.Context, e ridgeline.Endpoint) ([]ridgeline.Deployment, error) {
	return s.Deployments(ctx, DeploymentFilter{Project: e.Project, Environment: e.Environment, States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
}

// SwitchDeployment sends all of the endpoint's requests to the deployment: it
// becomes live, and those until then are retired at at, with it as their
// successor. A deployment switches once: called again, even after it was
// retired, nothing changes. One that was retired before it was ever live is
// Conflict.
func (s *Store) SwitchDeployment(ctx context.Context, id ridgeline.DeploymentID, at time.Time) error {
	return s.changeDeployment(ctx, "switch to", id, func(tx *Store, e ridgeline.Endpoint, d ridgeline.Deployment) error {
		return tx.switchTo(ctx, e, d, at)
	})
}

func (s *Store) switchTo(ctx context.Context, e ridgeline.Endpoint, d ridgeline.Deployment, at time.Time) error {
	const retire = `UPDATE deployments SET state = $1, ended = $2, weight = 0, mirror = 0, successor = $3 WHERE id = $4`
	was, err := s.hasSwitched(ctx, d)
	if was || err != nil {
		return err
	}
	others, err := s.live(ctx, e)
	if err != nil {
		return err
	}
	for _, old := range others {
		if old.ID == d.ID { // it stood beside them
			continue
		}
		if _, err := s.tx.Exec(ctx, retire, ridgeline.DeploymentRetired, at, d.ID, old.ID); err != nil {
			return err
		}
		if err := s.emitDeployment(ctx, ridgeline.EventDeploymentRetired, old); err != nil {
			return err
		}
	}
	d.Weight, d.Mirror = 100, 0
	if err := s.saveTraffic(ctx, e, []ridgeline.Deployment{d}); err != nil {
		return err
	}
	return s.emitDeployment(ctx, ridgeline.EventDeploymentLive, d)
}

// hasSwitched reports whether the deployment has ever answered its endpoint's
// requests.
func (s *Store) hasSwitched(ctx context.Context, d ridgeline.Deployment) (bool, error) {
	const history = `SELECT switch FROM deployments WHERE id = $1`
	var number int64
	if err := s.q().QueryRow(ctx, history, d.ID).Scan(&number); err != nil {
		return false, err
	}
	if number == 0 && d.State == ridgeline.DeploymentRetired {
		return false, ridgeline.Errorf(ridgeline.Conflict, "deployment %s was retired before it was live: deploy the version again", d.ID)
	}
	return number > 0, nil
}

// StandBeside makes the deployment live without a request being sent to it
// that does not ask for it. Where nothing is live it is the one that answers,
// as by SwitchDeployment. Twice is harmless. Two of one version are Conflict.
func (s *Store) StandBeside(ctx context.Context, id ridgeline.DeploymentID, at time.Time) error {
	const stand = `UPDATE deployments SET state = $1 WHERE id = $2`
	return s.changeDeployment(ctx, "set beside the live ones", id, func(tx *Store, e ridgeline.Endpoint, d ridgeline.Deployment) error {
		if d.State == ridgeline.DeploymentLive {
			return nil
		}
		if was, err := tx.hasSwitched(ctx, d); was || err != nil {
			return err
		}
		others, err := tx.live(ctx, e)
		switch {
		case err != nil:
			return err
		case len(others) == 0:
			return tx.switchTo(ctx, e, d, at)
		}
		if err := d.MayStandBeside(others); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, stand, ridgeline.DeploymentLive, id); err != nil {
			return err
		}
		return tx.emitDeployment(ctx, ridgeline.EventDeploymentLive, d)
	})
}

// SetTraffic shares the endpoint's requests among its live deployments, which
// are returned, newest first. What the traffic may be is ridgeline.Traffic's
// rule.
func (s *Store) SetTraffic(ctx context.Context, project ridgeline.ProjectName, environment string, t ridgeline.Traffic) (live []ridgeline.Deployment, err error) {
	err = s.doing(ctx, fmt.Sprintf("share the requests of %s in %s", project, environment), func(tx *Store) error {
		if err := tx.lockEndpoint(ctx, project, environment); err != nil {
			return err
		}
		var e ridgeline.Endpoint
		if e, live, err = tx.Serving(ctx, project, environment); err != nil {
			return err
		}
		if len(live) == 0 {
			return ridgeline.Errorf(ridgeline.Conflict, "nothing is deployed to %s/%s: ridgeline release MODEL", project, environment)
		}
		before := slices.Clone(live)
		if err := t.Route(live); err != nil || slices.Equal(before, live) {
			return err
		}
		if err := tx.saveTraffic(ctx, e, live); err != nil {
			return err
		}
		return tx.emitTraffic(ctx, e, live)
	})
	return live, err
}

// saveTraffic writes the weights of all live deployments. One that gets its
// first requests, or gets some again, is counted as a switch, so that a
// rollback knows the order; the one with the greatest weight is the endpoint's.
func (s *Store) saveTraffic(ctx context.Context, e ridgeline.Endpoint, live []ridgeline.Deployment) error {
	const save = `UPDATE deployments SET state = $1, weight = $2, mirror = $3 WHERE id = $4`
	const starts = `UPDATE deployments SET switch = $1 WHERE id = $2 AND weight = 0`
	const count = `UPDATE endpoints SET switches = switches + 1 WHERE project = $1 AND environment = $2 RETURNING switches`
	const most = `UPDATE endpoints SET live = $1 WHERE project = $2 AND environment = $3`
	greatest := ridgeline.Deployment{ID: e.Live}
	for _, d := range live {
		if d.Weight > greatest.Weight {
			greatest = d
		}
		if d.Weight > 0 {
			var number int64
			if err := s.tx.QueryRow(ctx, count, d.Project, d.Environment).Scan(&number); err != nil {
				return err
			}
			if _, err := s.tx.Exec(ctx, starts, number, d.ID); err != nil {
				return err
			}
		}
		if _, err := s.tx.Exec(ctx, save, ridgeline.DeploymentLive, d.Weight, d.Mirror, d.ID); err != nil {
			return err
		}
	}
	_, err := s.tx.Exec(ctx, most, greatest.ID, e.Project, e.Environment)
	return err
}

// RetireDeployment ends a deployment that no request is sent to; what may be
// retired is Deployment.Retire's rule. Twice is harmless and keeps the first
// time.
func (s *Store) RetireDeployment(ctx context.Context, id ridgeline.DeploymentID, at time.Time) error {
	const retire = `UPDATE deployments SET state = $1, ended = $2 WHERE id = $3`
	const silence = `UPDATE endpoints SET live = '' WHERE project = $1 AND environment = $2 AND live = $3`
	return s.changeDeployment(ctx, "retire", id, func(tx *Store, _ ridgeline.Endpoint, d ridgeline.Deployment) error {
		if d.State == ridgeline.DeploymentRetired {
			return nil
		}
		if err := d.Retire(at); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, retire, d.State, d.Ended, id); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, silence, d.Project, d.Environment, id); err != nil {
			return err
		}
		return tx.emitDeployment(ctx, ridgeline.EventDeploymentRetired, d)
	})
}

// PreviousDeployment returns what a rollback goes back to, and whether there is
// such: the deployment that was the last to get requests before the present one
// and has another version. The present one is, of those that get requests now,
// the last that began to; when none gets any, simply the last that did is
// returned.
func (s *Store) PreviousDeployment(ctx context.Context, project ridgeline.ProjectName, environment string) (ridgeline.Deployment, bool, error) {
	// One statement, so that no switch comes between looking at the present
	// one and looking for the one before.
	const query = selectDeployments + ` WHERE project = $1 AND environment = $2 AND switch > 0 AND NOT EXISTS (
			SELECT 1 FROM deployments now
			WHERE now.project = $1 AND now.environment = $2
				AND now.switch = (SELECT MAX(switch) FROM deployments WHERE project = $1 AND environment = $2 AND weight > 0)
				AND (now.switch <= deployments.switch OR now.model = deployments.model AND now.version = deployments.version))
		ORDER BY switch DESC LIMIT 1`
	d, err := scanDeployment(s.q().QueryRow(ctx, query, project, environment))
	switch {
	case absent(err):
		return ridgeline.Deployment{}, false, nil
	case err != nil:
		return ridgeline.Deployment{}, false, fmt.Errorf("read the deployment before the present one of %s in %s: %w", project, environment, err)
	}
	return d, true, nil
}
