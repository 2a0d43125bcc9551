package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// CreateSession keeps a new session, or a link to start one with, and forgets
// those that expired before it was made.
func (s *Store) CreateSession(ctx context.Context, n ridgeline.Session) error {
	const insert = `INSERT INTO sessions (hash, credential, once, created, expires, ended) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
	return s.doing(ctx, "create a session", func(tx *Store) error {
		if _, err := tx.tx.Exec(ctx, `DELETE FROM sessions WHERE expires < $1`, n.Created); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, insert, n.Hash, n.Credential, n.Once, n.Created, n.Expires, n.Ended)
		return err
	})
}

// Session returns the session whose secret has that sha256. It may be over.
func (s *Store) Session(ctx context.Context, hash string) (ridgeline.Session, error) {
	const query = `SELECT hash, credential, once, created, expires, ended FROM sessions WHERE hash = $1`
	n, err := func(row sqlq.Row) (n ridgeline.Session, err error) {
		return n, row.Scan(&n.Hash, &n.Credential, asBool(&n.Once), asTime(&n.Created), asTime(&n.Expires), asTime(&n.Ended))
	}(s.q().QueryRow(ctx, query, hash))
	switch {
	case absent(err):
		return n, ridgeline.Errorf(ridgeline.NotFound, "no such session")
	case err != nil:
		return n, fmt.Errorf("find a session: %w", err)
	}
	return n, nil
}

// EndSession ends the session. Twice is harmless and keeps the first time; one
// that is not there is ended.
func (s *Store) EndSession(ctx context.Context, hash string, at time.Time) error {
	return s.doing(ctx, "end a session", func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, `UPDATE sessions SET ended = $1 WHERE hash = $2 AND ended = 0`, at, hash)
		return err
	})
}

// UseLink ends the link and keeps the session that it starts, which gets the
// link's credential. Of two who come with one link, the second is Denied.
func (s *Store) UseLink(ctx context.Context, hash string, n ridgeline.Session) error {
	const use = `UPDATE sessions SET ended = $1 WHERE hash = $2 AND once = 1 AND ended = 0`
	return s.doing(ctx, "sign in by a link", func(tx *Store) error {
		link, err := tx.Session(ctx, hash)
		if ridgeline.CodeOf(err) == ridgeline.NotFound || err == nil && !link.Once {
			return ridgeline.Errorf(ridgeline.Denied, "this link is not known here: ridgeline sign-in prints another one")
		}
		if err != nil {
			return err
		}
		if err := link.Check(n.Created); err != nil {
			return err
		}
		used, err := tx.tx.Exec(ctx, use, n.Created, hash)
		if err != nil {
			return err
		}
		if used == 0 {
			link.Ended = n.Created
			return link.Check(n.Created)
		}
		n.Credential = link.Credential
		return tx.CreateSession(ctx, n)
	})
}
