package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A RequestKey is the name that a caller gave a request for a run, so that it
// can be repeated when the answer was lost.
type RequestKey struct {
	Project ridgeline.ProjectName
	Caller  string
	Key     string
	Digest  string // of all that was asked for
}

// TakeRequest notes the key in the caller's transaction. The run is empty when
// the key is new: the caller then creates one and calls NoteRequest before the
// transaction ends. Else it is the run that was started under this key; the
// same key with another request is Invalid.
func (s *Store) TakeRequest(ctx context.Context, k RequestKey, now time.Time) (ridgeline.RunID, error) {
	const insert = `INSERT INTO request_keys (project, caller, key, digest, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (project, caller, key) DO NOTHING`
	const there = `SELECT digest, run FROM request_keys WHERE project = $1 AND caller = $2 AND key = $3`
	if _, err := s.Project(ctx, k.Project); err != nil {
		return "", err
	}
	n, err := s.tx.Exec(ctx, insert, k.Project, k.Caller, k.Key, k.Digest, now)
	if err != nil || n > 0 {
		return "", err
	}
	var digest string
	var run ridgeline.RunID
	if err := s.tx.QueryRow(ctx, there, k.Project, k.Caller, k.Key).Scan(&digest, &run); err != nil {
		return "", fmt.Errorf("read the request of key %s: %w", k.Key, err)
	}
	if digest != k.Digest {
		return "", ridgeline.Errorf(ridgeline.Invalid, "idempotency key %q stands for another request already, which started run %s: give each request a key of its own", k.Key, run)
	}
	return run, nil
}

// NoteRequest keeps the run that was started under a key.
func (s *Store) NoteRequest(ctx context.Context, k RequestKey, run ridgeline.RunID) error {
	_, err := s.tx.Exec(ctx, `UPDATE request_keys SET run = $1 WHERE project = $2 AND caller = $3 AND key = $4`, run, k.Project, k.Caller, k.Key)
	return err
}

// An AcceptedEvent is what a project made of an event from outside.
type AcceptedEvent struct {
	Project ridgeline.ProjectName
	Source  string
	ID      string
	Type    string
	Run     ridgeline.RunID // empty: none
	Reason  string          // why none
	At      time.Time
}

// TakeEvent notes, in the caller's transaction, that the project deals with
// the event, and reports whether it is the first to; else e comes back as it
// was dealt with then.
func (s *Store) TakeEvent(ctx context.Context, e AcceptedEvent) (AcceptedEvent, bool, error) {
	const insert = `INSERT INTO accepted_events (project, source, id, type, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (project, source, id) DO NOTHING`
	const there = `SELECT type, run, reason, at FROM accepted_events WHERE project = $1 AND source = $2 AND id = $3`
	n, err := s.tx.Exec(ctx, insert, e.Project, e.Source, e.ID, e.Type, e.At)
	if err != nil || n > 0 {
		return e, true, err
	}
	err = s.tx.QueryRow(ctx, there, e.Project, e.Source, e.ID).Scan(&e.Type, &e.Run, &e.Reason, asTime(&e.At))
	return e, false, err
}

// NoteEvent keeps what came of an event that TakeEvent took.
func (s *Store) NoteEvent(ctx context.Context, e AcceptedEvent) error {
	const update = `UPDATE accepted_events SET run = $1, reason = $2 WHERE project = $3 AND source = $4 AND id = $5`
	_, err := s.tx.Exec(ctx, update, e.Run, e.Reason, e.Project, e.Source, e.ID)
	return err
}
