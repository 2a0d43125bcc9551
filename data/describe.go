package data

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Description is what is known of a dataset from its content alone.
type Description struct {
	Digest  string // see the function Digest
	Size    int64  // bytes
	Rows    int64
	Columns []ridgeline.Column
}

// Describe reads the dataset at path, a file or a folder of files of one kind:
// CSV (with a header line, UTF-8, delimited by comma, tab, semicolon or bar),
// Parquet or JSON lines, told by extension. A dataset without rows is an error.
//
// Parquet's and JSON's column types are DuckDB's. A CSV column is BOOLEAN
// (true or false), BIGINT, DOUBLE, DATE or TIMESTAMP when every value in the
// whole file is one, else VARCHAR; a text that pandas takes for missing counts
// as no value.
func (d *DB) Describe(ctx context.Context, path string) (Description, error) {
	s, err := d.source(ctx, path)
	if err != nil {
		return Description{}, err
	}
	type digest struct {
		hex  string
		size int64
		err  error
	}
	digested := make(chan digest, 1)
	go func() {
		hex, size, err := Digest(path)
		digested <- digest{hex, size, err}
	}()
	rows, columns, err := d.shape(ctx, &s)
	got := <-digested
	switch {
	case err != nil:
		return Description{}, err
	case got.err != nil:
		return Description{}, got.err
	case rows == 0:
		return Description{}, invalid("%s has columns (%s) but no rows", path, listed(s.column))
	}
	return Description{Digest: got.hex, Size: got.size, Rows: rows, Columns: columns}, nil
}

// A kind is what the text of a CSV column can be.
type kind struct {
	name string
	fits string // SQL that is true when the text %s is one
}

// kinds from narrow to wide within a family; VARCHAR is what remains.
var kinds = []kind{
	{"BOOLEAN", isBoolean},
	{"BIGINT", isInteger},
	{"DOUBLE", isNumber},
	{"DATE", isDate},
	{"TIMESTAMP", isTimestamp},
}

// DuckDB's casts take more than data files mean: 1.5 for a BIGINT, 1_000 for a
// DOUBLE, 1 for a BOOLEAN, a time for a DATE. These do not.
const (
	isBoolean   = `(lower(trim(%[1]s)) IN ('true', 'false'))`
	isInteger   = `(regexp_full_match(%[1]s, '\s*[+-]?[0-9]+\s*') AND TRY_CAST(%[1]s AS BIGINT) IS NOT NULL)`
	isNumber    = `(TRY_CAST(%[1]s AS DOUBLE) IS NOT NULL AND NOT contains(%[1]s, '_'))`
	isDate      = `(regexp_full_match(%[1]s, '\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}\s*') AND TRY_CAST(%[1]s AS DATE) IS NOT NULL)`
	isTimestamp = `(regexp_matches(%[1]s, '^\s*[0-9]{4}-') AND TRY_CAST(%[1]s AS TIMESTAMP) IS NOT NULL)`
)

// sampleRows decides which kinds are worth testing on the whole file: a value
// in the sample that does not fit rules a kind out for good.
const sampleRows = 1000

// shape counts the rows and finds every column's type.
func (d *DB) shape(ctx context.Context, s *source) (int64, []ridgeline.Column, error) {
	columns := make([]ridgeline.Column, len(s.column))
	candidates := make([][]kind, len(s.column))
	for i, name := range s.column {
		columns[i] = ridgeline.Column{Name: name, Type: s.types[i]}
		if s.format == csvFormat {
			candidates[i] = kinds
		}
	}
	if s.format != csvFormat {
		rows, err := d.row(ctx, "SELECT count(*) FROM "+s.relation())
		if err != nil {
			return 0, nil, s.explain(ctx, err)
		}
		return rows[0].(int64), columns, nil
	}
	from := s.relation()
	if d.isWide(s) {
		rows, err := d.narrowStacked(ctx, s, from, candidates)
		return rows, typed(columns, candidates), err
	}
	if _, err := d.narrow(ctx, s, fmt.Sprintf("(SELECT * FROM %s LIMIT %d)", from, sampleRows), candidates); err != nil {
		return 0, nil, err
	}
	rows, err := d.narrow(ctx, s, from, candidates)
	if err != nil {
		return 0, nil, err
	}
	return rows, typed(columns, candidates), nil
}

// typed gives CSV columns the narrowest kind that is left to them.
func typed(columns []ridgeline.Column, candidates [][]kind) []ridgeline.Column {
	for i := range columns {
		if len(candidates[i]) > 0 && len(candidates[i]) < len(kinds) {
			columns[i].Type = candidates[i][0].name
		}
	}
	return columns
}

// misfits is the number of values in column c that are not of the kind.
func (k kind) misfits(c string) string {
	return "count(*) FILTER (WHERE " + c + " IS NOT NULL AND NOT " + fmt.Sprintf(k.fits, c) + ")"
}

// narrowStacked is narrow of a wide source.
func (d *DB) narrowStacked(ctx context.Context, s *source, from string, candidates [][]kind) (int64, error) {
	values, err := d.row(ctx, "SELECT count(*) FROM "+from)
	if err != nil {
		return 0, s.explain(ctx, err)
	}
	measures := make([]string, len(kinds))
	for j, k := range kinds {
		measures[j] = k.misfits(stacked)
	}
	err = d.stack(ctx, s, from, func(b *batch, i int) {
		b.add(measures, func(values []any) {
			candidates[i] = nil
			for j, k := range kinds {
				if values[j].(int64) == 0 {
					candidates[i] = append(candidates[i], k)
				}
			}
		})
	})
	return values[0].(int64), err
}

// narrow drops from candidates the kinds that some value does not fit, and
// returns the number of rows. A column without a value keeps them all.
func (d *DB) narrow(ctx context.Context, s *source, from string, candidates [][]kind) (int64, error) {
	measures := []string{"count(*)"}
	for i, list := range candidates {
		c := fmt.Sprintf("c%d", i)
		for _, k := range list {
			measures = append(measures, k.misfits(c))
		}
	}
	values, err := d.row(ctx, "SELECT "+strings.Join(measures, ", ")+" FROM "+from)
	if err != nil {
		return 0, s.explain(ctx, err)
	}
	at := 1
	for i, list := range candidates {
		var left []kind
		for _, k := range list {
			if values[at].(int64) == 0 {
				left = append(left, k)
			}
			at++
		}
		candidates[i] = left
	}
	return values[0].(int64), nil
}

// A Table is rows in memory.
type Table struct {
	Columns []ridgeline.Column
	Rows    [][]any // nil, bool, int64, float64 or string; dates and times as ISO text
}

// Read returns the first limit rows of the dataset at path in order, all of
// them when limit is 0 or less. Types are Describe's; a missing value and a
// floating-point NaN are nil, and nested values are their text.
func (d *DB) Read(ctx context.Context, path string, limit int) (Table, error) {
	s, err := d.source(ctx, path)
	if err != nil {
		return Table{}, err
	}
	_, columns, err := d.shape(ctx, &s)
	if err != nil {
		return Table{}, err
	}
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = readable(fmt.Sprintf("c%d", i), c.Type, s.format == csvFormat)
	}
	query := "SELECT " + strings.Join(list, ", ") + " FROM " + s.relation()
	if limit > 0 {
		query += fmt.Sprintf(" LIMIT %d", limit)
	}
	rows, err := d.db.QueryContext(ctx, query)
	if err != nil {
		return Table{}, s.explain(ctx, err)
	}
	defer rows.Close()
	t := Table{Columns: columns}
	for rows.Next() {
		values, err := scan(rows, len(columns))
		if err != nil {
			return Table{}, err
		}
		for i, v := range values {
			if f, ok := v.(float64); ok && math.IsNaN(f) {
				values[i] = nil
			}
		}
		t.Rows = append(t.Rows, values)
	}
	if err := rows.Err(); err != nil {
		return Table{}, s.explain(ctx, err)
	}
	return t, nil
}

// readable is the SQL that gives a column one of Table's Go types.
func readable(c, typ string, isText bool) string {
	switch class(typ) {
	case classBoolean:
		if isText {
			return "(lower(trim(" + c + ")) = 'true')"
		}
		return c
	case classInteger:
		return "CAST(" + c + " AS BIGINT)"
	case classNumber:
		return "CAST(" + c + " AS DOUBLE)"
	}
	return "CAST(" + c + " AS VARCHAR)"
}

// A typeClass groups DuckDB's types by what can be asked of them.
type typeClass int

const (
	classText typeClass = iota
	classBoolean
	classInteger // fits an int64
	classNumber
	classDate
	classTimestamp
	classOther
)

func class(typ string) typeClass {
	base, _, _ := strings.Cut(typ, "(")
	if strings.HasSuffix(typ, "]") {
		return classOther
	}
	switch base {
	case "VARCHAR", "ENUM", "UUID", "JSON":
		return classText
	case "BOOLEAN":
		return classBoolean
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER":
		return classInteger
	case "UBIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL":
		return classNumber
	case "DATE":
		return classDate
	}
	if strings.HasPrefix(base, "TIMESTAMP") {
		return classTimestamp
	}
	return classOther
}
