// Package store remembers: every noun of Ridgeline as rows in SQLite or
// PostgreSQL, each write one transaction, one set of SQL texts for both.
//
// It leaves the rules to the nouns (it loads, calls them, saves), bytes to
// package blob, and the engine's own tables, which share the database, to
// package flow.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/store/sqldb"
)

//go:embed migrations/*.sql
var embedded embed.FS

// A Store is the metadata. Every method may be called from any goroutine.
//
// Outside a transaction each read goes to the readers and each write method is
// one transaction: when it has returned nil, the change survives a kill -9.
// Every write is harmless when repeated with the same arguments, because
// whoever calls may have died before it learned that the first one worked.
// What is not there is NotFound; what contradicts what is there is Conflict.
type Store struct {
	db    *sqldb.DB
	log   *slog.Logger
	tx    sqlq.Querier // the surrounding transaction; nil outside one
	stamp *stamp       // of the events this server writes
}

// Open opens the metadata at url, brings its tables up to date, and fails when
// they belong to a newer program. url is "sqlite:/path/app.db", a file that is
// made if need be, readable by its owner only; or "postgres://user@host/name".
func Open(ctx context.Context, url string, log *slog.Logger) (*Store, error) {
	migrations, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	s, err := open(ctx, url, log, migrations)
	if err != nil {
		return nil, err
	}
	if err := s.joinAudit(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func open(ctx context.Context, url string, log *slog.Logger, migrations fs.FS) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db, err := sqldb.Open(ctx, url, sqldb.Options{Migrations: migrations, Log: log})
	if err != nil {
		return nil, err
	}
	return &Store{db: db, log: log, stamp: &stamp{}}, nil
}

// SQLite is the one writing connection, to be shared with the flow engine; nil
// on PostgreSQL. Inside a transaction on it, touch nothing but the
// transaction: a second use of the connection would wait for itself.
func (s *Store) SQLite() *sql.DB { return s.db.SQLite() }

// Postgres is the pool, to be shared with the flow engine; nil on SQLite.
func (s *Store) Postgres() *pgxpool.Pool { return s.db.Postgres() }

// Texts calls fn with the text of every row there is, the flow engine's too, but
// not of what training scripts log. fn must not keep the text.
func (s *Store) Texts(ctx context.Context, fn func(text string)) error {
	return s.db.Texts(ctx, []string{"tracking"}, fn)
}

// Close closes the database. It is harmless when the flow engine has closed
// the shared connection already, and harmless twice.
func (s *Store) Close() error { return s.db.Close() }

// With is the same store inside somebody else's transaction: reads and writes
// go to q, and last only if q's owner commits. After an error from a write,
// the owner has to roll back.
func (s *Store) With(q sqlq.Querier) *Store {
	return &Store{db: s.db, log: s.log, tx: encoding{q}, stamp: s.stamp}
}

// InTx runs fn in one transaction, which commits when fn returns nil. Inside
// fn use tx only: on SQLite the outer store would wait for fn, and fn for it.
// fn may be run again when PostgreSQL breaks a deadlock, so it must have no
// effects but on tx. Within a transaction InTx just calls fn. What is done for
// somebody whose act the context carries (see Audited) is written into the
// audit trail by the same commit.
func (s *Store) InTx(ctx context.Context, fn func(tx *Store) error) error {
	if s.tx != nil {
		return fn(s)
	}
	act := ActOf(ctx)
	err := s.db.Write(ctx, func(q sqlq.Querier) error {
		tx := s.With(q)
		if err := fn(tx); err != nil {
			return err
		}
		return act.note(ctx, tx)
	})
	if err == nil {
		act.noted()
	}
	return err
}

// q is where this store's statements go: the transaction, else the readers.
func (s *Store) q() sqlq.Querier {
	if s.tx != nil {
		return s.tx
	}
	return encoding{s.db.Reader()}
}
