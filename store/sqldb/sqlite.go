package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// The settings of both connections. One writing connection is shared by all
// that writes, the flow engine included: SQLite's busy handler polls and is
// not fair, while Go's queue for the one connection is first come, first
// served, so nobody ever sees SQLITE_BUSY. Only another program that
// migrates the same file at the same time keeps the writer waiting, and that
// may last. Readers get the last commit without waiting for the writer.
const (
	sqliteWriter  = "?_pragma=busy_timeout(30000)&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	sqliteReader  = "?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=query_only(1)&_pragma=case_sensitive_like(1)"
	sqliteReaders = 4
)

type sqliteDB struct {
	writer, readers  *sql.DB
	writing, reading statements
}

func openSQLite(ctx context.Context, path string, logPages int) (*sqliteDB, error) {
	if path == "" || path == ":memory:" {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "database address sqlite:%s names no file: use sqlite:/path/app.db", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	// SQLite gives its -wal and -shm files the mode of the database file, so
	// making that one first is enough to keep all three private.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := addDeviation(); err != nil {
		return nil, fmt.Errorf("open database %s: add a function: %w", path, err)
	}
	address := (&url.URL{Scheme: "file", Path: path}).String()
	db := &sqliteDB{}
	writer := address + sqliteWriter
	if logPages > 0 {
		writer += fmt.Sprintf("&_pragma=wal_autocheckpoint(%d)", logPages)
	}
	if db.writer, err = sql.Open("sqlite", writer); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db.writer.SetMaxOpenConns(1)
	db.writer.SetMaxIdleConns(1)
	db.writer.SetConnMaxLifetime(0)
	// The writer first: it is what makes the file a WAL database.
	if err := db.writer.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.writer.Close())
	}
	if db.readers, err = sql.Open("sqlite", address+sqliteReader); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.writer.Close())
	}
	db.readers.SetMaxOpenConns(sqliteReaders)
	db.readers.SetMaxIdleConns(sqliteReaders)
	return db, nil
}

func (db *sqliteDB) reader() sqlq.Querier {
	if db.reading.keep {
		return &preparedReader{db}
	}
	return sqlQuerier{db.readers}
}

func (db *sqliteDB) write(ctx context.Context, fn func(sqlq.Querier) error) error {
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	defer tx.Rollback() // does nothing once committed; otherwise the cause is already being returned
	q := sqlq.Querier(sqlQuerier{tx})
	if db.writing.keep {
		q = &preparedWriter{tx: tx, known: &db.writing}
	}
	if err := fn(q); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	db.writing.prepare(ctx, db.writer)
	return nil
}

// lockMigrations has nothing to do: every writing transaction begins
// immediate, so only one is open in all processes together.
func (db *sqliteDB) lockMigrations(context.Context, sqlq.Querier) error { return nil }

// dialect uncovers the words for SQLite.
func (db *sqliteDB) dialect(text string) string { return onlySQLite.ReplaceAllString(text, "$1") }

func (db *sqliteDB) close() error {
	db.reading.close()
	db.writing.close()
	// Readers first: the last connection to close folds the log into the
	// file, and only the writer may.
	return errors.Join(db.readers.Close(), db.writer.Close())
}

// InSQL is a transaction that somebody else began, as a Querier.
func InSQL(tx *sql.Tx) sqlq.Querier { return sqlQuerier{tx} }

// sqlQuerier lends a *sql.DB or a *sql.Tx as a Querier.
type sqlQuerier struct {
	on interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

func (q sqlQuerier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := q.on.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (q sqlQuerier) Query(ctx context.Context, query string, args ...any) (sqlq.Rows, error) {
	return q.on.QueryContext(ctx, query, args...)
}

func (q sqlQuerier) QueryRow(ctx context.Context, query string, args ...any) sqlq.Row {
	return q.on.QueryRowContext(ctx, query, args...)
}
