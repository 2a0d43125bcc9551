package data

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// A Holdout says which rows judge a model instead of training it.
type Holdout struct {
	Fraction float64  // of the rows, between 0 and 1
	Key      []string // columns whose values decide a row's side; none: all columns
}

// Sides counts the rows on each side of a split.
type Sides struct {
	TrainRows, HoldoutRows int64
}

// Split divides the dataset at path into the files train and holdout, each of
// the same format as the source and with its rows in order; a folder becomes
// one file a side. CSV records and JSON lines are copied byte for byte.
//
// A row's side depends on its own values alone: it is held out when the first
// 8 bytes of the MD5 of its columns' text (or of the key columns'), as a
// number, are below Fraction × 2^64. So it keeps its side when rows are added,
// removed or reordered, equal rows are on the same side, and a larger fraction
// keeps what a smaller one held out. Rows that must stay together (visits of
// one patient) need a key.
//
// Each file appears whole or not at all, holdout last. A side that comes out
// empty is an error, and then neither is written.
func (d *DB) Split(ctx context.Context, path string, h Holdout, train, holdout string) (Sides, error) {
	if !(h.Fraction > 0 && h.Fraction < 1) {
		return Sides{}, invalid("holdout fraction is %v; expected a number between 0 and 1, such as 0.2", h.Fraction)
	}
	if filepath.Clean(train) == filepath.Clean(holdout) {
		return Sides{}, invalid("train and holdout are both to be written to %s; name two files", train)
	}
	s, err := d.source(ctx, path)
	if err != nil {
		return Sides{}, err
	}
	key, err := s.indexes(h.Key)
	if err != nil {
		return Sides{}, fmt.Errorf("holdout key: %w", err)
	}
	out := [2]string{partial(train), partial(holdout)}
	defer os.Remove(out[0]) // gone already when all went well
	defer os.Remove(out[1])
	below := uint64(math.Ldexp(h.Fraction, 64))
	var sides Sides
	switch s.format {
	case csvFormat:
		sides, err = splitLines(ctx, &s, out, csvRows(&s, key), below)
	case jsonFormat:
		sides, err = splitLines(ctx, &s, out, jsonRows(h.Key), below)
	default:
		sides, err = d.splitParquet(ctx, &s, out, key, below)
	}
	if err != nil {
		return Sides{}, fmt.Errorf("split %s: %w", path, err)
	}
	if sides.TrainRows == 0 || sides.HoldoutRows == 0 {
		return Sides{}, emptySide(path, h, sides)
	}
	if err := os.Rename(out[0], train); err != nil {
		return Sides{}, fmt.Errorf("split %s: %w", path, err)
	}
	if err := os.Rename(out[1], holdout); err != nil {
		return Sides{}, fmt.Errorf("split %s: %w", path, err)
	}
	return sides, nil
}

// partial is where a file is written before it is renamed. The name is fixed,
// so that what a crash leaves is overwritten by the next attempt.
func partial(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".partial")
}

func emptySide(path string, h Holdout, sides Sides) error {
	total := sides.TrainRows + sides.HoldoutRows
	if total == 0 {
		return invalid("%s has no rows to split", path)
	}
	side, other, advice := "train", "holdout", "a smaller"
	if sides.HoldoutRows == 0 {
		side, other, advice = "holdout", "train", "a larger"
	}
	what := "add rows or use " + advice + " fraction"
	if len(h.Key) > 0 {
		what += ", or a key with more values than " + strings.Join(h.Key, " and ") + " has"
	}
	return invalid("the %s side of %s is empty: all %s fell to %s at fraction %v; %s", side, path, count(total, "row"), other, h.Fraction, what)
}

// splitParquet lets DuckDB copy. Numbers are hashed as DuckDB writes them,
// which is the shortest text that reads back as the same number.
func (d *DB) splitParquet(ctx context.Context, s *source, out [2]string, key []int, below uint64) (Sides, error) {
	held := fmt.Sprintf("(%s < '%016x')", s.hashed(key), below)
	names := make([]string, len(s.column))
	for i, name := range s.column {
		names[i] = fmt.Sprintf("c%d AS %s", i, identifier(name))
	}
	var n [2]int64
	for side, where := range []string{"NOT " + held, held} {
		query := fmt.Sprintf("COPY (SELECT %s FROM %s WHERE %s) TO %s (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880, USE_TMP_FILE false)",
			strings.Join(names, ", "), s.relation(), where, literal(out[side]))
		result, err := d.db.ExecContext(ctx, query)
		if err != nil {
			return Sides{}, s.explain(ctx, err)
		}
		if n[side], err = result.RowsAffected(); err != nil {
			return Sides{}, err
		}
	}
	return Sides{n[0], n[1]}, nil
}

// hashed is the SQL of a row's hash, as 16 hexadecimal digits.
func (s *source) hashed(key []int) string {
	if len(key) == 0 {
		for i := range s.column {
			key = append(key, i)
		}
	}
	texts := make([]string, len(key))
	for i, k := range key {
		text := fmt.Sprintf("CAST(c%d AS VARCHAR)", k)
		texts[i] = fmt.Sprintf("coalesce(CAST(strlen(%[1]s) AS VARCHAR) || ':' || %[1]s, '-')", text)
	}
	return fmt.Sprintf("left(md5(concat(%s)), 16)", strings.Join(texts, ", "))
}

// identifier quotes a name for SQL.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
