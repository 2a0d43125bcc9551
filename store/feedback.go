package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// SaveFeedback keeps labels. One for a row that has a label already replaces
// it, unless it became known earlier; so sending them again is harmless.
func (s *Store) SaveFeedback(ctx context.Context, list []ridgeline.Feedback) error {
	const upsert = `INSERT INTO feedback (project, environment, request, item, label, at, received) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (project, environment, request, item) DO UPDATE SET label = excluded.label, at = excluded.at, received = excluded.received
		WHERE excluded.at >= feedback.at`
	return s.doing(ctx, fmt.Sprintf("save %d labels", len(list)), func(tx *Store) error {
		for _, f := range list {
			if err := f.Check(); err != nil {
				return err
			}
			if _, err := tx.tx.Exec(ctx, upsert, f.Project, f.Environment, f.Request, f.Row, string(f.Label), f.At, f.Received); err != nil {
				return err
			}
		}
		return nil
	})
}

// Feedback calls each with the project's labels that were received since then,
// of one environment unless that is empty, in the order in which they came.
func (s *Store) Feedback(ctx context.Context, project ridgeline.ProjectName, environment string, since time.Time, each func(ridgeline.Feedback) error) error {
	var f filter
	f.and("project = ?", project)
	f.and("received >= ?", since)
	if environment != "" {
		f.and("environment = ?", environment)
	}
	query, args := f.sql(`SELECT project, environment, request, item, label, at, received FROM feedback`, "received, request, item", 0)
	_, err := collect(ctx, s.q(), func(row sqlq.Row) (struct{}, error) {
		var one ridgeline.Feedback
		var label string
		err := row.Scan(&one.Project, &one.Environment, &one.Request, &one.Row, &label, asTime(&one.At), asTime(&one.Received))
		if err == nil {
			one.Label = json.RawMessage(label)
			err = each(one)
		}
		return struct{}{}, err
	}, query, args...)
	if err != nil {
		return fmt.Errorf("read the labels of %s: %w", project, err)
	}
	return nil
}

// ForgetFeedback removes the project's labels that were received before then.
func (s *Store) ForgetFeedback(ctx context.Context, project ridgeline.ProjectName, before time.Time) error {
	return s.doing(ctx, fmt.Sprintf("forget the labels of %s", project), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, `DELETE FROM feedback WHERE project = $1 AND received < $2`, project, before)
		return err
	})
}
