// Package sqldb opens a database, SQLite or PostgreSQL, brings its tables up
// to date, and runs statements and transactions on it.
//
// It knows no table but its own list of migrations: the SQL, and what a row
// means, belong to those who open one (package store, package track).
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// Options say whose tables they are.
type Options struct {
	// Migrations are files NNNN-name.sql that both databases understand. Where
	// SQLite alone wants a word, it is written /*sqlite WORD*/.
	Migrations fs.FS
	// Schema keeps the tables apart from others' in one PostgreSQL; empty for
	// the default one. SQLite has a file of its own instead.
	Schema string
	// Prepare keeps statements prepared on SQLite, for those who run a few
	// texts many times (PostgreSQL's driver does it anyway).
	Prepare bool
	// LogPages is how long SQLite's write-ahead log grows before a commit folds
	// it into the file, in pages of 4 KiB; 0 for SQLite's 1,000. Who writes much
	// folds more rarely, and each folding then writes a page once that changed
	// often.
	LogPages int
	Log      *slog.Logger // nil: silent
}

// A DB is an open database. Every method may be called from any goroutine.
type DB struct{ engine engine }

// An engine is one of the two: a way to read, and a way to write.
type engine interface {
	reader() sqlq.Querier
	write(ctx context.Context, fn func(q sqlq.Querier) error) error
	// lockMigrations makes q's transaction the only one that migrates.
	lockMigrations(ctx context.Context, q sqlq.Querier) error
	// dialect is the migration's text as this database wants it.
	dialect(text string) string
	// texts is, for each table, a query for its rows as one text each.
	texts(ctx context.Context, except []string) ([]string, error)
	close() error
}

// Open opens the database at url, brings its tables up to date, and fails when
// they belong to a newer program. url is "sqlite:/path/app.db", a file that is
// made if need be, readable by its owner only; or "postgres://user@host/name".
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var e engine
	var err error
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		e, err = openSQLite(ctx, rest, o.LogPages)
	case "postgres", "postgresql":
		e, err = openPostgres(ctx, url, o.Schema)
	default:
		// The address may hold a password: name only its scheme.
		err = ridgeline.Errorf(ridgeline.Invalid, "database address with scheme %q: use sqlite:/path/app.db or postgres://user@host/name", scheme)
	}
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, e, o.Migrations, o.Log); err != nil {
		return nil, errors.Join(err, e.close())
	}
	if s, ok := e.(*sqliteDB); ok {
		s.reading.keep, s.writing.keep = o.Prepare, o.Prepare // not before: a migration is many statements
	}
	return &DB{e}, nil
}

// Reader answers queries outside a transaction.
func (d *DB) Reader() sqlq.Querier { return d.engine.reader() }

// Write runs fn in one transaction, and again when the database asks for a
// repetition. It commits when fn returns nil.
func (d *DB) Write(ctx context.Context, fn func(q sqlq.Querier) error) error {
	return d.engine.write(ctx, fn)
}

// SQLite is the one writing connection; nil on PostgreSQL. Inside a
// transaction on it, touch nothing but the transaction: a second use of the
// connection would wait for itself.
func (d *DB) SQLite() *sql.DB {
	if e, ok := d.engine.(*sqliteDB); ok {
		return e.writer
	}
	return nil
}

// Postgres is the pool; nil on SQLite.
func (d *DB) Postgres() *pgxpool.Pool {
	if e, ok := d.engine.(*postgresDB); ok {
		return e.pool
	}
	return nil
}

// Close closes the database. It is harmless when somebody who was lent the
// shared connection has closed it already, and harmless twice.
func (d *DB) Close() error { return d.engine.close() }

// onlySQLite finds what a migration says to SQLite alone.
var onlySQLite = regexp.MustCompile(`(?s)/\*sqlite\s(.*?)\*/`)
