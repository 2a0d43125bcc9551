package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

const (
	// The pool is shared with the flow engine, which keeps a listener open.
	postgresConnections = 16
	// How often a transaction is tried when PostgreSQL breaks a deadlock.
	postgresTries = 10
	// The key of the advisory lock under which servers migrate one at a time.
	postgresMigrationLock = 0x726964676d // "ridgm"; the leader holds another, as long as it lives
)

type postgresDB struct{ pool *pgxpool.Pool }

func openPostgres(ctx context.Context, url, schema string) (*postgresDB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "database address: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = postgresConnections
	}
	if schema != "" {
		config.ConnConfig.RuntimeParams["search_path"] = schema
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, ridgeline.Errorf(ridgeline.Unavailable, "PostgreSQL does not answer: %w", err)
	}
	if schema == "" {
		return &postgresDB{pool: pool}, nil
	}
	db := &postgresDB{pool: pool}
	err = db.write(ctx, func(q sqlq.Querier) error {
		// Two programs that make one schema at once would trip over each other.
		if err := db.lockMigrations(ctx, q); err != nil {
			return err
		}
		_, err := q.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
		return err
	})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("make the schema %s: %w", schema, err)
	}
	return db, nil
}

func (db *postgresDB) reader() sqlq.Querier { return pgxQuerier{db.pool} }

// write runs at read committed, PostgreSQL's default and the flow engine's:
// whoever has to decide by what is there takes the row's lock first.
func (db *postgresDB) write(ctx context.Context, fn func(sqlq.Querier) error) error {
	var err error
	for range postgresTries {
		err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error { return fn(pgxQuerier{tx}) })
		if !repeatable(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// repeatable tells a transaction that lost against another one and may win
// next time.
func repeatable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") // serialization failure, deadlock
}

func (db *postgresDB) lockMigrations(ctx context.Context, q sqlq.Querier) error {
	_, err := q.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(postgresMigrationLock))
	return err
}

// dialect leaves what is for SQLite alone a comment.
func (db *postgresDB) dialect(text string) string { return text }

func (db *postgresDB) close() error {
	db.pool.Close()
	return nil
}

// InPGX is a transaction that somebody else began, as a Querier.
func InPGX(tx pgx.Tx) sqlq.Querier { return pgxQuerier{tx} }

// pgxQuerier lends a pool or a transaction as a Querier.
type pgxQuerier struct {
	on interface {
		Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
		QueryRow(ctx context.Context, query string, args ...any) pgx.Row
	}
}

func (q pgxQuerier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := q.on.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

func (q pgxQuerier) Query(ctx context.Context, query string, args ...any) (sqlq.Rows, error) {
	rows, err := q.on.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgxRows{rows}, nil
}

func (q pgxQuerier) QueryRow(ctx context.Context, query string, args ...any) sqlq.Row {
	return q.on.QueryRow(ctx, query, args...) // pgx.ErrNoRows is sql.ErrNoRows
}

// pgxRows gives pgx.Rows the Close of database/sql.
type pgxRows struct{ pgx.Rows }

func (r pgxRows) Close() error {
	r.Rows.Close()
	return nil
}
