package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// CreateToken keeps a new token. The same token again is harmless; another one
// under its id or with its secret is Conflict.
func (s *Store) CreateToken(ctx context.Context, t ridgeline.Token) error {
	const insert = `INSERT INTO tokens (id, name, role, project, hash, created, expires, revoked)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`
	return s.doing(ctx, fmt.Sprintf("create token %s", t.ID), func(tx *Store) error {
		n, err := tx.tx.Exec(ctx, insert, t.ID, t.Name, t.Role, t.Project, t.Hash, t.Created, t.Expires, t.Revoked)
		if err != nil || n > 0 {
			return err
		}
		old, err := tx.TokenByHash(ctx, t.Hash)
		if err == nil && (old.ID != t.ID || old.Role != t.Role || old.Project != t.Project) || ridgeline.CodeOf(err) == ridgeline.NotFound {
			return ridgeline.Errorf(ridgeline.Conflict, "another token has the id %s, or this one's secret, already", t.ID)
		}
		return err
	})
}

const selectTokens = `SELECT id, name, role, project, hash, created, expires, revoked FROM tokens`

func scanToken(row sqlq.Row) (t ridgeline.Token, err error) {
	err = row.Scan(&t.ID, &t.Name, &t.Role, &t.Project, &t.Hash, asTime(&t.Created), asTime(&t.Expires), asTime(&t.Revoked))
	return t, err
}

// TokenByHash returns the token whose secret has that sha256. It may have
// expired or been revoked.
func (s *Store) TokenByHash(ctx context.Context, hash string) (ridgeline.Token, error) {
	t, err := scanToken(s.q().QueryRow(ctx, selectTokens+` WHERE hash = $1`, hash))
	switch {
	case absent(err):
		return t, ridgeline.Errorf(ridgeline.NotFound, "no such token")
	case err != nil:
		return t, fmt.Errorf("find a token: %w", err)
	}
	return t, nil
}

// Tokens returns all tokens, newest first.
func (s *Store) Tokens(ctx context.Context) ([]ridgeline.Token, error) {
	all, err := collect(ctx, s.q(), scanToken, selectTokens+` ORDER BY created DESC, id DESC`)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return all, nil
}

// RevokeToken ends the token. Twice is harmless and keeps the first time.
func (s *Store) RevokeToken(ctx context.Context, id ridgeline.TokenID, at time.Time) error {
	const update = `UPDATE tokens SET revoked = $1 WHERE id = $2 AND revoked = 0`
	return s.doing(ctx, fmt.Sprintf("revoke token %s", id), func(tx *Store) error {
		if err := lockByID(ctx, tx, "tokens", "token", id); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, update, at, id)
		return err
	})
}
