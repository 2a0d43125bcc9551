package store

import (
	"context"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// SaveCheck keeps a check of the build, in place of the one of its name. A
// build that has ended keeps its checks: another content is Conflict.
func (s *Store) SaveCheck(ctx context.Context, id ridgeline.BuildID, c ridgeline.Check) error {
	return s.changeBuild(ctx, "save check "+c.Name+" of", id, func(tx *Store, b *ridgeline.Build) error {
		c.Message = cleanText(c.Message) // as it was stored, to be compared
		for _, old := range b.Checks {
			if old == c {
				return nil
			}
		}
		if b.Status.Terminal() {
			return ended("build", id, b.Status)
		}
		return tx.putCheck(ctx, id, c)
	})
}

func (s *Store) putCheck(ctx context.Context, id ridgeline.BuildID, c ridgeline.Check) error {
	const upsert = `INSERT INTO checks (build, name, kind, status, message, task, seconds, position)
		VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT COUNT(*) FROM checks WHERE build = $1))
		ON CONFLICT (build, name) DO UPDATE SET kind = excluded.kind, status = excluded.status,
			message = excluded.message, task = excluded.task, seconds = excluded.seconds`
	_, err := s.tx.Exec(ctx, upsert, id, c.Name, c.Kind, c.Status, c.Message, c.Task, c.Seconds)
	return err
}

const selectChecks = `SELECT build, name, kind, status, message, task, seconds FROM checks`

type buildCheck struct {
	build ridgeline.BuildID
	check ridgeline.Check
}

func scanCheck(row sqlq.Row) (b buildCheck, err error) {
	c := &b.check
	err = row.Scan(&b.build, &c.Name, &c.Kind, &c.Status, &c.Message, &c.Task, &c.Seconds)
	return b, err
}

// loadChecks fills in the checks of the builds.
func (s *Store) loadChecks(ctx context.Context, builds []*ridgeline.Build) error {
	return inBatches(builds, func(batch []*ridgeline.Build) error {
		var f filter
		byID := map[ridgeline.BuildID]*ridgeline.Build{}
		var ids []ridgeline.BuildID
		for _, b := range batch {
			byID[b.ID] = b
			ids = append(ids, b.ID)
		}
		in(&f, "build", ids)
		query, args := f.sql(selectChecks, "build, position", 0)
		all, err := collect(ctx, s.q(), scanCheck, query, args...)
		for _, c := range all {
			byID[c.build].Checks = append(byID[c.build].Checks, c.check)
		}
		return err
	})
}
