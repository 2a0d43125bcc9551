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
	Successor   ridgeline.DeploymentID      // only what this one took the place of
}

// CreateDeployment keeps a new deployment that is starting, and ensures its
// endpoint. The same one again is harmless; another under its id is Conflict.
// It becomes live by SwitchDeployment or StandBeside only.
func (s *Store) CreateDeployment(ctx context.Context, d ridgeline.Deployment) error {
	const insert = `INSERT INTO deployments (id, project, environment, release_id, model, version, image, host, replicas, concurrent, timeout, state, created, idle, hours)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO NOTHING`
	if d.State != "" && d.State != ridgeline.DeploymentStarting {
		return ridgeline.Errorf(ridgeline.Invalid, "a new deployment is %s, not %s", ridgeline.DeploymentStarting, d.State)
	}
	return s.doing(ctx, fmt.Sprintf("create deployment %s", d.ID), func(tx *Store) error {
		if _, err := tx.EnsureEndpoint(ctx, d.Project, d.Environment); err != nil {
			return err
		}
		n, err := tx.tx.Exec(ctx, insert, d.ID, d.Project, d.Environment, d.Release, d.Model, d.Version, d.Image, d.Host, d.Replicas,
			d.Limit.Concurrent, d.Limit.Timeout.Microseconds(), ridgeline.DeploymentStarting, d.Created, d.Idle.Microseconds(), d.Hours)
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

const selectDeployments = `SELECT id, project, environment, release_id, model, version, image, host, replicas, concurrent, timeout, state, weight, mirror, created, ended, idle, asked, asleep, scaled, hours FROM deployments`

func scanDeployment(row sqlq.Row) (d ridgeline.Deployment, err error) {
	var timeout, idle int64
	err = row.Scan(&d.ID, &d.Project, &d.Environment, &d.Release, &d.Model, &d.Version, &d.Image, &d.Host, &d.Replicas, &d.Limit.Concurrent, &timeout,
		&d.State, &d.Weight, &d.Mirror, asTime(&d.Created), asTime(&d.Ended), &idle, asTime(&d.Asked), asBool(&d.Asleep), &d.Scaled, &d.Hours)
	d.Limit.Timeout, d.Idle = time.Duration(timeout)*time.Microsecond, time.Duration(idle)*time.Microsecond
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
	if want.Successor != "" {
		f.and("successor = ?", want.Successor)
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

// changeDeployment locks the deployment's endpoint, loads both and calls
// change, in one transaction.
func (s *Store) changeDeployment(ctx context.Context, what string, id ridgeline.DeploymentID, change func(tx *Store, e ridgeline.Endpoint, d ridgeline.Deployment) error) error {
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
		e, err := tx.Endpoint(ctx, d.Project, d.Environment)
		if err != nil {
			return err
		}
		return change(tx, e, d)
	})
}
