package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// stamp gives the events of one server times that never repeat, since their
// order is what was first.
type stamp struct{ last atomic.Int64 }

func (s *stamp) next() time.Time {
	for {
		last := s.last.Load()
		now := max(time.Now().UnixMicro(), last+1)
		if s.last.CompareAndSwap(last, now) {
			return time.UnixMicro(now).UTC()
		}
	}
}

// emit writes down, in the transaction of the change itself, that something
// has changed. data is what the event tells of it.
func (s *Store) emit(ctx context.Context, kind string, project ridgeline.ProjectName, subject string, data any) error {
	const insert = `INSERT INTO events (id, type, project, subject, data, at) VALUES ($1, $2, $3, $4, $5, $6)`
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write event %s of %s: %w", kind, subject, err)
	}
	at := s.stamp.next()
	id, err := ridgeline.NewID("e", at, rand.Read)
	if err != nil {
		return err
	}
	_, err = s.tx.Exec(ctx, insert, id, kind, project, subject, text, at)
	return err
}

// EmitSkipped says that a due time of a schedule, or an event from outside,
// has started nothing, and why.
func (s *Store) EmitSkipped(ctx context.Context, kind string, project ridgeline.ProjectName, data any) error {
	return s.doing(ctx, "write an event", func(tx *Store) error {
		return tx.emit(ctx, kind, project, "projects/"+string(project), data)
	})
}

// An EventFilter chooses events.
type EventFilter struct {
	Project ridgeline.ProjectName // empty: all
	After   int64                 // only those behind this place in the feed
	Limit   int                   // 0: all
	Newest  bool                  // of more than Limit, the last ones
}

const selectEvents = `SELECT seq, id, type, project, subject, data, at FROM events`

func scanEvent(row sqlq.Row) (e ridgeline.Event, err error) {
	var data []byte
	err = row.Scan(&e.Seq, &e.ID, &e.Type, &e.Project, &e.Subject, asBytes(&data), asTime(&e.At))
	e.Data = data
	return e, err
}

// Events returns the feed in its order: whoever remembers the last Seq he has
// seen misses nothing. An event appears there once RelayEvents has passed it
// on.
func (s *Store) Events(ctx context.Context, want EventFilter) ([]ridgeline.Event, error) {
	var f filter
	f.and("seq > ?", max(want.After, 0))
	if want.Project != "" {
		f.and("project = ?", want.Project)
	}
	order := "seq"
	if want.Newest {
		order = "seq DESC"
	}
	query, args := f.sql(selectEvents, order, want.Limit)
	all, err := collect(ctx, s.q(), scanEvent, query, args...)
	if want.Newest {
		slices.Reverse(all)
	}
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return all, nil
}

// RelayEvents passes on up to limit events that were not passed on yet, oldest
// first, and returns how many. Each gets the next place in the feed and the
// deliveries that route asks for in one transaction, so that it happens once;
// several may share that transaction.
// Of a delivery, route says Kind, Target and Body. One server at a time calls
// this.
func (s *Store) RelayEvents(ctx context.Context, limit int, route func(ctx context.Context, tx *Store, e ridgeline.Event) ([]ridgeline.Delivery, error)) (int, error) {
	// Places are given here and not when an event is written: transactions on
	// PostgreSQL do not commit in the order in which they began, and a reader
	// of the feed would miss what comes late.
	waiting, err := collect(ctx, s.q(), scanEvent, selectEvents+` WHERE seq = 0 ORDER BY at, id LIMIT $1`, int64(limit))
	if err != nil {
		return 0, fmt.Errorf("list new events: %w", err)
	}
	if len(waiting) == 0 {
		return 0, nil
	}
	// All in one go, and one by one only when that fails: a commit is dear.
	err = s.doing(ctx, "pass on events", func(tx *Store) error {
		for _, e := range waiting {
			if err := tx.relay(ctx, e, route); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return len(waiting), nil
	}
	for i, e := range waiting {
		err := s.doing(ctx, "pass on event "+e.ID, func(tx *Store) error { return tx.relay(ctx, e, route) })
		if err != nil {
			return i, err
		}
	}
	return len(waiting), nil
}

func (s *Store) relay(ctx context.Context, e ridgeline.Event, route func(ctx context.Context, tx *Store, e ridgeline.Event) ([]ridgeline.Delivery, error)) error {
	const place = `UPDATE events SET seq = (SELECT COALESCE(MAX(seq), 0) + 1 FROM events) WHERE id = $1 AND seq = 0 RETURNING seq`
	err := s.tx.QueryRow(ctx, place, e.ID).Scan(&e.Seq)
	if absent(err) {
		return nil // another server was first
	}
	if err != nil {
		return err
	}
	deliveries, err := route(ctx, s, e)
	if err != nil {
		return err
	}
	for _, d := range deliveries {
		d.Event, d.Seq, d.Type, d.Project, d.Subject = e.ID, e.Seq, e.Type, e.Project, e.Subject
		if err := s.createDelivery(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// ForgetEvents deletes up to limit events, deliveries, events from outside and
// keys of requests that are older than before, and returns how many. A
// delivery that is pending stays, however old it is.
func (s *Store) ForgetEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	// The newest event stays, because the next one's place is counted from it.
	const events = `DELETE FROM events WHERE id IN (SELECT id FROM events WHERE seq > 0 AND at < $1
		AND seq < (SELECT MAX(seq) FROM events) ORDER BY seq LIMIT $2)`
	const deliveries = `DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state <> 'pending' AND ended < $1 LIMIT $2)`
	const accepted = `DELETE FROM accepted_events WHERE (project, source, id) IN
		(SELECT project, source, id FROM accepted_events WHERE at < $1 ORDER BY at LIMIT $2)`
	const keys = `DELETE FROM request_keys WHERE (project, caller, key) IN
		(SELECT project, caller, key FROM request_keys WHERE at < $1 ORDER BY at LIMIT $2)`
	total := 0
	err := s.doing(ctx, "forget old events", func(tx *Store) error {
		for _, query := range []string{events, deliveries, accepted, keys} {
			n, err := tx.tx.Exec(ctx, query, before, int64(limit))
			if err != nil {
				return err
			}
			total += int(n)
		}
		return nil
	})
	return total, err
}
