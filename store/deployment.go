package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A DeploymentFilter chooses deployments; the zero value means all.
type DeploymentFilter struct {
	Project     ridgeline.ProjectName
	Environment string
	States      []ridgeline.DeploymentState // empty: any
}

// CreateDeployment keeps a new deployment that is starting, and ensures its
// endpoint. The same one again is harmless; another under its id is Conflict.
// It becomes live by SwitchDeployment only.
func (s *Store) CreateDeployment(ctx context.Context, d ridgeline.Deployment) error {
	const insert = `INSERT INTO deployments (id, project, environment, release_id, model, version, image, host, replicas, state, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING`
	if d.State != "" && d.State != ridgeline.DeploymentStarting {
		return ridgeline.Errorf(ridgeline.Invalid, "a new deployment is %s, not %s", ridgeline.DeploymentStarting, d.State)
	}
	return s.doing(ctx, fmt.Sprintf("create deployment %s", d.ID), func(tx *Store) error {
		if _, err := tx.EnsureEndpoint(ctx, d.Project, d.Environment); err != nil {
			return err
		}
		n, err := tx.tx.Exec(ctx, insert, d.ID, d.Project, d.Environment, d.Release, d.Model, d.Version, d.Image, d.Host, d.Replicas,
			ridgeline.DeploymentStarting, d.Created)
		if err != nil || n > 0 {
			return err
		}
		old, err := tx.Deployment(ctx, d.ID)
		if err != nil {
			return err
		}
		if old.Project != d.Project || old.Environment != d.Environment || old.Model != d.Model || old.Version != d.Version {
			return ridgeline.Errorf(ridgeline.Conflict, "deployment %s exists already, of version %d of %s in %s", d.ID, old.Version, old.Model, old.Environment)
		}
		return nil
	})
}

const selectDeployments = `SELECT id, project, environment, release_id, model, version, image, host, replicas, state, created, ended FROM deployments`

func scanDeployment(row sqlq.Row) (d ridgeline.Deployment, err error) {
	err = row.Scan(&d.ID, &d.Project, &d.Environment, &d.Release, &d.Model, &d.Version, &d.Image, &d.Host, &d.Replicas, &d.State,
		asTime(&d.Created), asTime(&d.Ended))
	return d, err
}

// Deployment returns the deployment.
func (s *Store) Deployment(ctx context.Context, id ridgeline.DeploymentID) (ridgeline.Deployment, error) {
	d, err := scanDeployment(s.q().QueryRow(ctx, selectDeployments+` WHERE id = $1`, id))
	switch {
	case absent(err):
		return d, ridgeline.Errorf(ridgeline.NotFound, "no deployment %s", id)
	case err != nil:
		return d, fmt.Errorf("read deployment %s: %w", id, err)
	}
	return d, nil
}

// Deployments returns the deployments, newest first.
func (s *Store) Deployments(ctx context.Context, want DeploymentFilter) ([]ridgeline.Deployment, error) {
	var f filter
	if want.Project != "" {
		f.and("project = ?", want.Project)
	}
	if want.Environment != "" {
		f.and("environment = ?", want.Environment)
	}
	if len(want.States) > 0 {
		in(&f, "state", want.States)
	}
	query, args := f.sql(selectDeployments, "created DESC, id DESC", 0)
	all, err := collect(ctx, s.q(), scanDeployment, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list deployments: %w", err)
	}
	return all, nil
}

// SwitchDeployment sends the endpoint's requests to the deployment: it becomes
// live, and the one until then, which is returned (empty: none), is retired at
// at. A deployment switches once: called again, even after it was retired,
// nothing changes and the same predecessor is returned. One that was retired
// before it was ever live is Conflict.
func (s *Store) SwitchDeployment(ctx context.Context, id ridgeline.DeploymentID, at time.Time) (ridgeline.DeploymentID, error) {
	const history = `SELECT switch, predecessor FROM deployments WHERE id = $1`
	const retire = `UPDATE deployments SET state = $1, ended = $2 WHERE id = $3`
	const count = `UPDATE endpoints SET live = $1, switches = switches + 1 WHERE project = $2 AND environment = $3 RETURNING switches`
	const switchTo = `UPDATE deployments SET state = $1, switch = $2, predecessor = $3 WHERE id = $4`
	var previous ridgeline.DeploymentID
	err := s.changeDeployment(ctx, "switch to", id, func(tx *Store, d ridgeline.Deployment) error {
		var number int64
		if err := tx.tx.QueryRow(ctx, history, id).Scan(&number, &previous); err != nil {
			return err
		}
		switch {
		case number > 0:
			return nil
		case d.State == ridgeline.DeploymentRetired:
			return ridgeline.Errorf(ridgeline.Conflict, "deployment %s was retired before it was live: deploy the version again", id)
		}
		endpoint, err := tx.Endpoint(ctx, d.Project, d.Environment)
		if err != nil {
			return err
		}
		previous = endpoint.Live
		if previous != "" {
			if _, err := tx.tx.Exec(ctx, retire, ridgeline.DeploymentRetired, at, previous); err != nil {
				return err
			}
			old, err := tx.Deployment(ctx, previous)
			if err != nil {
				return err
			}
			if err := tx.emitDeployment(ctx, ridgeline.EventDeploymentRetired, old); err != nil {
				return err
			}
		}
		if err := tx.tx.QueryRow(ctx, count, id, d.Project, d.Environment).Scan(&number); err != nil {
			return err
		}
		if _, err = tx.tx.Exec(ctx, switchTo, ridgeline.DeploymentLive, number, previous, id); err != nil {
			return err
		}
		return tx.emitDeployment(ctx, ridgeline.EventDeploymentLive, d)
	})
	if err != nil {
		return "", err
	}
	return previous, nil
}

// RetireDeployment ends the deployment; if it was live, its endpoint answers
// nothing from then on. Twice is harmless and keeps the first time.
func (s *Store) RetireDeployment(ctx context.Context, id ridgeline.DeploymentID, at time.Time) error {
	const retire = `UPDATE deployments SET state = $1, ended = $2 WHERE id = $3`
	const silence = `UPDATE endpoints SET live = '' WHERE project = $1 AND environment = $2 AND live = $3`
	return s.changeDeployment(ctx, "retire", id, func(tx *Store, d ridgeline.Deployment) error {
		if d.State == ridgeline.DeploymentRetired {
			return nil
		}
		if _, err := tx.tx.Exec(ctx, retire, ridgeline.DeploymentRetired, at, id); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, silence, d.Project, d.Environment, id); err != nil {
			return err
		}
		return tx.emitDeployment(ctx, ridgeline.EventDeploymentRetired, d)
	})
}

// PreviousDeployment returns the deployment that was the last to be live
// before the present one and has another version, and whether there is such.
// It is what a rollback goes back to. When nothing is live now, it is simply
// the last that was.
func (s *Store) PreviousDeployment(ctx context.Context, project ridgeline.ProjectName, environment string) (ridgeline.Deployment, bool, error) {
	// One statement, so that no switch comes between looking at the present
	// one and looking for the one before.
	const query = selectDeployments + ` WHERE project = $1 AND environment = $2 AND switch > 0 AND NOT EXISTS (
			SELECT 1 FROM endpoints e JOIN deployments live ON live.id = e.live
			WHERE e.project = $1 AND e.environment = $2
				AND (live.switch <= deployments.switch OR live.model = deployments.model AND live.version = deployments.version))
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

// changeDeployment locks the deployment's endpoint, loads the deployment and
// calls change, in one transaction.
func (s *Store) changeDeployment(ctx context.Context, what string, id ridgeline.DeploymentID, change func(tx *Store, d ridgeline.Deployment) error) error {
	return s.doing(ctx, fmt.Sprintf("%s deployment %s", what, id), func(tx *Store) error {
		// Where a deployment belongs never changes, so this may be read
		// before the lock.
		d, err := tx.Deployment(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.lockEndpoint(ctx, d.Project, d.Environment); err != nil {
			return err
		}
		if d, err = tx.Deployment(ctx, id); err != nil {
			return err
		}
		return change(tx, d)
	})
}
