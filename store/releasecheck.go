package store

import (
	"context"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// SaveReleaseCheck keeps what the release has looked at, in place of the check
// of its environment and name; a new one comes last.
func (s *Store) SaveReleaseCheck(ctx context.Context, id ridgeline.ReleaseID, c ridgeline.ReleaseCheck) error {
	const upsert = `INSERT INTO release_checks (release_id, environment, name, status, message, started, ended, position)
		VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT COUNT(*) FROM release_checks WHERE release_id = $1))
		ON CONFLICT (release_id, environment, name) DO UPDATE SET status = excluded.status, message = excluded.message, ended = excluded.ended`
	return s.doing(ctx, fmt.Sprintf("save check %s of release %s", c.Name, id), func(tx *Store) error {
		if err := lockByID(ctx, tx, "releases", "release", id); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, upsert, id, c.Environment, c.Name, c.Status, cleanText(c.Message), c.Started, c.Ended)
		return err
	})
}

// ReleaseChecks returns what the release has looked at, in order.
func (s *Store) ReleaseChecks(ctx context.Context, id ridgeline.ReleaseID) ([]ridgeline.ReleaseCheck, error) {
	const query = `SELECT environment, name, status, message, started, ended FROM release_checks WHERE release_id = $1 ORDER BY position, started`
	all, err := collect(ctx, s.q(), func(row sqlq.Row) (c ridgeline.ReleaseCheck, err error) {
		return c, row.Scan(&c.Environment, &c.Name, &c.Status, &c.Message, asTime(&c.Started), asTime(&c.Ended))
	}, query, id)
	if err != nil {
		return nil, fmt.Errorf("read the checks of release %s: %w", id, err)
	}
	return all, nil
}
