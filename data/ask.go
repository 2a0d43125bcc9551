package data

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Question is a SELECT over files.
type Question struct {
	Files []string // all that it may read
	Setup []string // statements before it, such as those that make views of the files
	Query string   // one SELECT; it may be a stranger's
	Limit int      // rows that are answered at most
}

// An Answer is what a question gave.
type Answer struct {
	Columns []string
	Rows    [][]any // JSON's values: nil, bool, numbers, strings, lists, maps; a time is a string of RFC 3339
	More    bool    // there are more rows
}

// questionTime bounds one question.
const questionTime = 2 * time.Minute

// Ask answers a question in a DuckDB of its own that can read the question's
// files and nothing else: no other file, no network, no extension, and its
// settings are locked. A query that does not run is Invalid.
func Ask(ctx context.Context, q Question) (Answer, error) {
	box, err := q.open(ctx)
	if err != nil {
		return Answer{}, err
	}
	defer box.Close()
	limited, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	// DuckDB's function query takes one SELECT and refuses anything else.
	rows, err := box.db.QueryContext(limited, fmt.Sprintf("SELECT * FROM query(%s) LIMIT %d", literal(strings.ReplaceAll(q.Query, "\x00", "")), q.Limit+1))
	if err == nil {
		defer rows.Close()
		var a Answer
		if a, err = q.read(rows); err == nil {
			return a, nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return Answer{}, ctx.Err()
	case limited.Err() != nil:
		return Answer{}, ridgeline.Errorf(ridgeline.Unavailable, "the query had no answer within %s: ask for less", questionTime)
	}
	return Answer{}, invalid("the query does not run: %s", reason(err))
}

func (q Question) open(ctx context.Context) (*DB, error) {
	box, err := Open()
	if err != nil {
		return nil, err
	}
	for _, statement := range append(q.Setup[:len(q.Setup):len(q.Setup)], "SET TimeZone='UTC'", "SET max_temp_directory_size="+literal(assertionSpill),
		"SET allowed_paths="+literals(q.Files), "SET enable_external_access=false", "SET lock_configuration=true") {
		if _, err := box.db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare the data for SQL: %w", err), box.Close())
		}
	}
	return box, nil
}

func (q Question) read(rows *sql.Rows) (a Answer, err error) {
	if a.Columns, err = rows.Columns(); err != nil {
		return a, err
	}
	a.Rows = [][]any{} // never null
	for rows.Next() {
		if len(a.Rows) == q.Limit {
			a.More = true
			break
		}
		values, err := scan(rows, len(a.Columns))
		if err != nil {
			return a, err
		}
		for i, v := range values {
			values[i] = jsonValue(v)
		}
		a.Rows = append(a.Rows, values)
	}
	return a, rows.Err()
}

// Export writes what a query of ours gives to a Parquet file.
func Export(ctx context.Context, setup []string, query, path string) (rows int64, err error) {
	d, err := Open()
	if err != nil {
		return 0, err
	}
	defer d.Close()
	for _, statement := range setup {
		if _, err := d.db.ExecContext(ctx, statement); err != nil {
			return 0, fmt.Errorf("prepare an export: %w", err)
		}
	}
	result, err := d.db.ExecContext(ctx, "COPY ("+query+") TO "+literal(path)+" (FORMAT parquet, COMPRESSION snappy)")
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	return result.RowsAffected()
}

// Concatenate writes the rows of Parquet files, one file's after the other's,
// to one, with one entry of metadata.
func Concatenate(ctx context.Context, files []string, key, value, path string) error {
	d, err := Open()
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = d.db.ExecContext(ctx, "COPY (SELECT * FROM "+ParquetTable(files)+") TO "+literal(path)+
		" (FORMAT parquet, COMPRESSION snappy, KV_METADATA {"+literal(key)+": "+literal(value)+"})")
	if err != nil {
		return fmt.Errorf("concatenate %d Parquet files: %w", len(files), err)
	}
	return nil
}

// ParquetTable is the table function that reads files as one table: a column
// that a file lacks is null there.
func ParquetTable(files []string) string {
	escaped := make([]string, len(files))
	for i, f := range files {
		escaped[i] = globEscape.Replace(f)
	}
	return "read_parquet(" + literals(escaped) + ", union_by_name=true, hive_partitioning=false)"
}

// jsonValue is a value of DuckDB's as JSON has it.
func jsonValue(v any) any {
	switch v := v.(type) {
	case nil, bool, string, int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case float32:
		return jsonValue(float64(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strings.TrimPrefix(fmt.Sprint(v), "+") // JSON has no number for it
		}
		return v
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
		return base64.StdEncoding.EncodeToString(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = jsonValue(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = jsonValue(v[name])
		}
		return out
	case duckdb.Decimal:
		return v.Float64()
	}
	return fmt.Sprint(v)
}
