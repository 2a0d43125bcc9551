// Package sqlq is the shape of a database connection or transaction as
// Ridgeline's SQL is written against it: package store writes the SQL, package
// flow lends it the transaction in which a step's checkpoint is written too.
//
// It holds no SQL and opens nothing.
package sqlq

import "context"

// A Querier runs statements. Placeholders are $1, $2, … in ascending order of
// first appearance, on SQLite and on PostgreSQL.
type Querier interface {
	// Exec returns the number of rows affected.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	Query(ctx context.Context, query string, args ...any) (Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) Row
}

// Rows is an open result. Close it; Err after the last Next.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Row is a result of at most one row. Scan returns sql.ErrNoRows (or an error that errors.Is it) when there is none.
type Row interface {
	Scan(dest ...any) error
}
