package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// createDelivery keeps a delivery that is to be sent at once.
func (s *Store) createDelivery(ctx context.Context, d ridgeline.Delivery) error {
	const insert = `INSERT INTO deliveries (id, kind, target, body, event, seq, type, project, subject, state, next, since, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	now := time.Now().UTC()
	id, err := ridgeline.NewID("w", now, rand.Read)
	if err != nil {
		return err
	}
	_, err = s.tx.Exec(ctx, insert, id, d.Kind, d.Target, d.Body, d.Event, d.Seq, d.Type, d.Project, d.Subject, ridgeline.DeliveryPending, now, now, now)
	return err
}

// A Target is where deliveries of a kind go.
type Target struct{ Kind, Name string }

// DueTargets returns the targets that have something to be sent now.
func (s *Store) DueTargets(ctx context.Context, now time.Time) ([]Target, error) {
	const query = `SELECT DISTINCT kind, target FROM deliveries WHERE state = 'pending' AND next <= $1`
	all, err := collect(ctx, s.q(), func(row sqlq.Row) (t Target, err error) { return t, row.Scan(&t.Kind, &t.Name) }, query, now)
	if err != nil {
		return nil, fmt.Errorf("look for deliveries that are due: %w", err)
	}
	return all, nil
}

const selectDeliveries = `SELECT id, kind, target, body, event, seq, type, project, subject, state, attempts, code, message, next, since, created, ended
	FROM deliveries`

func scanDelivery(row sqlq.Row) (d ridgeline.Delivery, err error) {
	err = row.Scan(&d.ID, &d.Kind, &d.Target, asBytes(&d.Body), &d.Event, &d.Seq, &d.Type, &d.Project, &d.Subject, &d.State, &d.Attempts,
		&d.Code, &d.Message, asTime(&d.Next), asTime(&d.Since), asTime(&d.Created), asTime(&d.Ended))
	return d, err
}

// NextDelivery returns what is to be sent to the target now, and whether there
// is something. What tells of one subject is sent in its order: nothing
// overtakes an older delivery about the same subject that is still tried.
func (s *Store) NextDelivery(ctx context.Context, to Target, now time.Time) (ridgeline.Delivery, bool, error) {
	const query = selectDeliveries + ` WHERE state = 'pending' AND kind = $1 AND target = $2 AND next <= $3 AND NOT EXISTS (
			SELECT 1 FROM deliveries o WHERE o.state = 'pending' AND o.kind = deliveries.kind AND o.target = deliveries.target
				AND o.subject = deliveries.subject AND o.seq < deliveries.seq)
		ORDER BY seq, id LIMIT 1`
	d, err := scanDelivery(s.q().QueryRow(ctx, query, to.Kind, to.Name, now))
	switch {
	case absent(err):
		return d, false, nil
	case err != nil:
		return d, false, fmt.Errorf("look for deliveries to %s %s: %w", to.Kind, to.Name, err)
	}
	return d, true, nil
}

// Delivery returns the delivery.
func (s *Store) Delivery(ctx context.Context, id string) (ridgeline.Delivery, error) {
	d, err := scanDelivery(s.q().QueryRow(ctx, selectDeliveries+` WHERE id = $1`, id))
	switch {
	case absent(err):
		return d, ridgeline.Errorf(ridgeline.NotFound, "no delivery %s: those that have ended are forgotten after a month", id)
	case err != nil:
		return d, fmt.Errorf("read delivery %s: %w", id, err)
	}
	return d, nil
}

// Deliveries returns the target's deliveries, newest first.
func (s *Store) Deliveries(ctx context.Context, to Target, limit int) ([]ridgeline.Delivery, error) {
	var f filter
	f.and("kind = ?", to.Kind)
	f.and("target = ?", to.Name)
	query, args := f.sql(selectDeliveries, "created DESC, seq DESC", limit)
	all, err := collect(ctx, s.q(), scanDelivery, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list deliveries to %s %s: %w", to.Kind, to.Name, err)
	}
	return all, nil
}

// An Attempt is how sending a delivery went.
type Attempt struct {
	State   ridgeline.DeliveryState // pending: it is sent again at Next
	Code    int
	Message string
	At      time.Time
	Next    time.Time
}

// RecordAttempt keeps how sending went. A delivery that is not pending any
// more stays as it is.
func (s *Store) RecordAttempt(ctx context.Context, id string, a Attempt) error {
	const update = `UPDATE deliveries SET state = $1, attempts = attempts + 1, code = $2, message = $3, next = $4, ended = $5
		WHERE id = $6 AND state = 'pending'`
	return s.doing(ctx, "record an attempt at delivery "+id, func(tx *Store) error {
		ended := a.At
		if a.State == ridgeline.DeliveryPending {
			ended = time.Time{}
		}
		_, err := tx.tx.Exec(ctx, update, a.State, a.Code, a.Message, a.Next, ended, id)
		return err
	})
}

// Redeliver has the delivery sent once more, now, whatever became of it.
func (s *Store) Redeliver(ctx context.Context, id string, now time.Time) (ridgeline.Delivery, error) {
	const update = `UPDATE deliveries SET state = $1, attempts = 0, code = 0, message = '', next = $2, since = $3, ended = 0 WHERE id = $4`
	var d ridgeline.Delivery
	err := s.doing(ctx, "send delivery "+id+" again", func(tx *Store) error {
		if _, err := tx.tx.Exec(ctx, update, ridgeline.DeliveryPending, now, now, id); err != nil {
			return err
		}
		var err error
		d, err = tx.Delivery(ctx, id)
		return err
	})
	return d, err
}
