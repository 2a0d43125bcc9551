package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

type format string

const (
	csvFormat     format = "CSV"
	parquetFormat format = "Parquet"
	jsonFormat    format = "JSON lines"
)

var extensions = map[string]format{
	".csv": csvFormat, ".tsv": csvFormat,
	".parquet": parquetFormat, ".pq": parquetFormat,
	".jsonl": jsonFormat, ".ndjson": jsonFormat, ".json": jsonFormat,
}

// A source is a dataset on disk whose shape is known: DuckDB can read it
// without guessing anything.
type source struct {
	path   string
	format format
	files  []string // sorted by relative path
	names  []string // of files, for messages
	delim  byte     // CSV
	column []string // names; SQL knows column i as c<i>, so no name is ever part of a query
	types  []string // DuckDB's, as the file declares them; CSV is all VARCHAR
}

// source finds the files at p and learns their columns.
func (d *DB) source(ctx context.Context, p string) (source, error) {
	s, err := list(p)
	if err != nil {
		return s, err
	}
	switch s.format {
	case csvFormat:
		err = s.readCSVHeaders()
	default:
		err = d.declared(ctx, &s)
	}
	return s, err
}

// list finds the data files at p. In a folder, names that start with a dot or
// an underscore are no data, as Spark and Hive have it.
func list(p string) (source, error) {
	s := source{path: p}
	info, err := stat(p)
	if err != nil {
		return s, err
	}
	abs, err := filepath.Abs(p)
	if err != nil {
		return s, fmt.Errorf("data: %w", err)
	}
	names := []string{filepath.Base(abs)}
	if info.IsDir() {
		if names, err = walk(p); err != nil {
			return s, err
		}
		names = slices.DeleteFunc(names, hidden)
		if len(names) == 0 {
			return s, invalid("folder %s has no data files; expected CSV, Parquet or JSON lines", p)
		}
	}
	for _, name := range names {
		f, known := extensions[strings.ToLower(path.Ext(name))]
		if !known {
			return s, invalid("%s: data files are read by extension: .csv, .tsv, .parquet, .pq, .jsonl, .ndjson or .json; rename or convert this one", name)
		}
		if s.format != "" && f != s.format {
			return s, invalid("folder %s mixes %s (%s) and %s (%s); keep files of one kind in it", p, s.format, s.names[0], f, name)
		}
		s.format = f
		s.names = append(s.names, name)
		file := abs
		if info.IsDir() {
			file = filepath.Join(abs, filepath.FromSlash(name))
		}
		s.files = append(s.files, file)
	}
	return s, nil
}

func hidden(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool {
		return strings.HasPrefix(part, ".") || strings.HasPrefix(part, "_")
	})
}

// readCSVHeaders takes the columns from the first file and wants every other
// to have the same.
func (s *source) readCSVHeaders() error {
	for i, file := range s.files {
		tabs := strings.EqualFold(filepath.Ext(file), ".tsv")
		delim, columns, err := csvHeader(file, s.names[i], tabs)
		if err != nil {
			return err
		}
		if i == 0 {
			s.delim, s.column = delim, columns
			continue
		}
		if len(columns) == 1 && len(s.column) == 1 {
			delim = s.delim
		}
		if delim != s.delim {
			return invalid("%s is delimited by %q and %s by %q; use one delimiter", s.names[0], string(s.delim), s.names[i], string(delim))
		}
		if err := sameColumns(s.names[0], s.column, s.names[i], columns); err != nil {
			return err
		}
	}
	s.types = slices.Repeat([]string{"VARCHAR"}, len(s.column))
	return nil
}

func sameColumns(a string, x []string, b string, y []string) error {
	for i := range max(len(x), len(y)) {
		switch {
		case i >= len(y):
			return invalid("%s has no column %q, which %s has; files of one dataset have the same columns", b, x[i], a)
		case i >= len(x):
			return invalid("%s has a column %q, which %s has not; files of one dataset have the same columns", b, y[i], a)
		case x[i] != y[i]:
			return invalid("column %d is %q in %s and %q in %s; files of one dataset have the same columns in the same order", i+1, x[i], a, y[i], b)
		}
	}
	return nil
}

// declared asks DuckDB for the columns of Parquet or JSON lines. For Parquet
// that reads footers; for JSON lines it reads everything once, so that the
// types hold for every row.
func (d *DB) declared(ctx context.Context, s *source) error {
	for i, file := range s.files {
		head, err := readHead(file, 4096)
		if err != nil {
			return err
		}
		text := bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
		switch {
		case len(text) == 0:
			return invalid("%s is empty; expected %s", s.names[i], s.format)
		case s.format == parquetFormat && !bytes.HasPrefix(head, []byte("PAR1")):
			return invalid("%s does not start as Parquet does; is it CSV under a wrong name?", s.names[i])
		case s.format == jsonFormat && text[0] == '[':
			return invalid("%s is one JSON array; expected one object a line (pandas: to_json(…, orient=\"records\", lines=True))", s.names[i])
		case s.format == jsonFormat && text[0] != '{':
			return invalid("%s:1: expected one JSON object a line, found %q", s.names[i], firstBytes(text))
		}
	}
	rows, err := d.db.QueryContext(ctx, "DESCRIBE SELECT * FROM "+s.reader())
	if err != nil {
		return s.explain(ctx, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values, err := scan(rows, len(names))
		if err != nil {
			return err
		}
		s.column = append(s.column, fmt.Sprint(values[0]))
		s.types = append(s.types, fmt.Sprint(values[1]))
	}
	if err := rows.Err(); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

func firstBytes(b []byte) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	return b[:min(len(b), 40)]
}

// reader is the table function call that reads the files as they are.
func (s *source) reader() string {
	files := make([]string, len(s.files))
	for i, f := range s.files {
		files[i] = globEscape.Replace(f)
	}
	list := literals(files)
	switch s.format {
	case csvFormat:
		columns := make([]string, len(s.column))
		for i := range columns {
			columns[i] = fmt.Sprintf("'c%d': 'VARCHAR'", i)
		}
		nulls := missing
		if len(s.column) == 1 {
			nulls = missing[1:] // see relation
		}
		return fmt.Sprintf(`read_csv(%s, auto_detect=false, columns={%s}, delim=%s, quote='"', escape='"', header=true, nullstr=%s, max_line_size=%d, hive_partitioning=false)`,
			list, strings.Join(columns, ", "), literal(string(s.delim)), literals(nulls), maxRecord)
	case parquetFormat:
		return fmt.Sprintf("read_parquet(%s, hive_partitioning=false)", list)
	}
	declared := ""
	if len(s.column) > 0 {
		types := make([]string, len(s.column))
		for i, name := range s.column {
			types[i] = literal(name) + ": " + literal(s.types[i])
		}
		declared = ", columns={" + strings.Join(types, ", ") + "}"
	}
	return fmt.Sprintf("read_json(%s, format='newline_delimited', sample_size=-1, hive_partitioning=false, maximum_object_size=%d%s)", list, 16<<20, declared)
}

// relation is the source as a table with columns c0, c1, ….
func (s *source) relation() string {
	names := make([]string, len(s.column))
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	rel := fmt.Sprintf("(SELECT * FROM %s) AS t(%s)", s.reader(), strings.Join(names, ", "))
	if s.format == csvFormat && len(s.column) == 1 {
		// A blank line of a one-column file is no row, as in every other file.
		return "(SELECT * FROM " + rel + " WHERE c0 IS NULL OR c0 <> '') AS t"
	}
	return rel
}

// index finds a column by name.
func (s *source) index(name string) (int, error) {
	if i := slices.Index(s.column, name); i >= 0 {
		return i, nil
	}
	return 0, invalid("%s has no column %q%s; it has: %s", filepath.Base(s.path), name, s.almost(name), listed(s.column))
}

func (s *source) indexes(names []string) ([]int, error) {
	list := make([]int, len(names))
	for i, name := range names {
		at, err := s.index(name)
		if err != nil {
			return nil, err
		}
		list[i] = at
	}
	return list, nil
}

// almost suggests a column whose name differs only in case or spaces.
func (s *source) almost(name string) string {
	for _, c := range s.column {
		if strings.EqualFold(strings.TrimSpace(c), strings.TrimSpace(name)) {
			return fmt.Sprintf(" (but %q)", c)
		}
	}
	return ""
}

// explain turns what DuckDB says about a file into what its owner has to do.
func (s *source) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	text := err.Error()
	if strings.Contains(text, "Out of Memory Error") {
		return ridgeline.Errorf(ridgeline.Unavailable, "%s: DuckDB ran out of its %s: %s", s.path, memoryLimit, firstLine(text))
	}
	switch s.format {
	case csvFormat:
		for i, file := range s.files {
			if found := diagnose(file, s.names[i], s.delim, len(s.column)); found != nil {
				return found
			}
		}
	case jsonFormat:
		for i, file := range s.files {
			if found := diagnoseJSON(file, s.names[i]); found != nil {
				return found
			}
		}
	case parquetFormat:
		for i, file := range s.files {
			if found := diagnoseParquet(file, s.names[i]); found != nil {
				return found
			}
		}
	}
	return invalid("%s cannot be read as %s: %s", s.path, s.format, firstLine(text))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
