package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Asked notes that somebody asked the deployment at that time, and wakes it.
func (s *Store) Asked(ctx context.Context, id ridgeline.DeploymentID, at time.Time) error {
	const update = `UPDATE deployments SET asleep = 0, asked = CASE WHEN asked < $1 THEN $1 ELSE asked END WHERE id = $2`
	return s.doing(ctx, fmt.Sprintf("note a request to deployment %s", id), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, update, at, id)
		return err
	})
}

// Rest puts a live deployment to sleep and reports whether it did: not when
// somebody has asked since d was read.
func (s *Store) Rest(ctx context.Context, d ridgeline.Deployment) (slept bool, err error) {
	const update = `UPDATE deployments SET asleep = 1 WHERE id = $1 AND asked = $2 AND asleep = 0 AND idle > 0 AND state = $3`
	err = s.doing(ctx, fmt.Sprintf("put deployment %s to sleep", d.ID), func(tx *Store) error {
		n, err := tx.tx.Exec(ctx, update, d.ID, d.Asked, ridgeline.DeploymentLive)
		slept = n > 0
		return err
	})
	return slept, err
}

// ScaleDeployment notes how many copies a deployment's requests ask for.
func (s *Store) ScaleDeployment(ctx context.Context, id ridgeline.DeploymentID, copies int) error {
	const update = `UPDATE deployments SET scaled = $1 WHERE id = $2`
	return s.doing(ctx, fmt.Sprintf("scale deployment %s", id), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, update, copies, id)
		return err
	})
}
