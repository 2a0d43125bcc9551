// Package data owns what Ridgeline knows of data files: their digests and
// columns, the split into train and holdout, the checks a project writes for
// them, and reading them. It is the one door to DuckDB, and leaves to others
// where files come from, where versions are recorded, and what a verdict is.
package data

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/ridgeline-mlops/ridgeline"
)

const (
	memoryLimit = "1GB" // DuckDB spills to disk beyond it
	maxThreads  = 4
)

// DB is a DuckDB that lives in memory and reads files where they lie. Opening
// one takes about 10 ms, so callers open one for a piece of work and close it.
// Its methods may be called at the same time.
type DB struct {
	db    *sql.DB
	spill string
	wide  int // see wideColumns
}

// Open starts a DuckDB with a memory limit, few threads and nothing that
// reaches the network: no extension is installed or loaded beyond those linked in.
func Open() (*DB, error) {
	// DuckDB makes the folder when it first spills, so a killed process seldom leaves one.
	spill := filepath.Join(os.TempDir(), fmt.Sprintf("ridgeline-duckdb-%016x", rand.Uint64()))
	options := []string{
		"autoinstall_known_extensions=false",
		"autoload_known_extensions=false",
		"allow_community_extensions=false",
		"memory_limit=" + literal(memoryLimit),
		fmt.Sprintf("threads=%d", min(runtime.GOMAXPROCS(0), maxThreads)),
		"preserve_insertion_order=true",
		// The default would be a folder in whatever the working folder is.
		"temp_directory=" + literal(spill),
	}
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("start DuckDB: %w", err)
	}
	d := &DB{db: sql.OpenDB(connector), spill: spill, wide: wideColumns}
	if _, err := d.db.Exec("SET " + strings.Join(options, "; SET ")); err != nil {
		return nil, errors.Join(fmt.Errorf("set DuckDB up: %w", err), d.db.Close())
	}
	return d, nil
}

// Close frees the DuckDB and what it spilled.
func (d *DB) Close() error {
	return errors.Join(d.db.Close(), os.RemoveAll(d.spill))
}

// row runs a query that answers exactly one row and returns its values.
func (d *DB) row(ctx context.Context, query string) ([]any, error) {
	rows, err := d.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, err
		}
		return nil, sql.ErrNoRows
	}
	values, err := scan(rows, len(columns))
	if err != nil {
		return nil, err
	}
	return values, rows.Err()
}

func scan(rows *sql.Rows, n int) ([]any, error) {
	values := make([]any, n)
	into := make([]any, n)
	for i := range values {
		into[i] = &values[i]
	}
	return values, rows.Scan(into...)
}

// literal quotes s as an SQL string. DuckDB knows no backslash escapes in it;
// callers keep NUL out, which would end the statement.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func literals(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = literal(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// globEscape makes a path mean itself: DuckDB takes every path for a pattern.
var globEscape = strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]")

func invalid(format string, args ...any) error {
	return ridgeline.Errorf(ridgeline.Invalid, format, args...)
}
