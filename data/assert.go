package data

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// assertionTime bounds one query of a project.
	assertionTime = 5 * time.Minute
	// assertionSpill bounds what it may put on disk.
	assertionSpill = "20GB"
)

// namesReference reports whether a query reads the table reference.
var namesReference = regexp.MustCompile(`(?i)\breference\b`)

// planSQL plans the project's own queries. They run in a DuckDB of their own
// that can read the files of the data and of the reference and nothing else:
// it has no other file, no network, no extension, and its settings are locked.
// DuckDB's function query takes one SELECT and refuses anything else.
func (c *checker) planSQL() {
	if len(c.rules.sql) == 0 {
		return
	}
	first := len(c.findings)
	for _, r := range c.rules.sql {
		c.say(nil, Finding{Rule: "sql " + r.name, Expected: "no row", Severity: c.severityOfSQL(r)})
	}
	c.queries = append(c.queries, func(ctx context.Context) error {
		ref := c.compared[c.rules.reference]
		tables := map[string]*source{"data": c.source}
		if ref != nil && ref.there {
			tables["reference"] = &ref.source
		}
		box, err := c.db.sandbox(ctx, tables)
		if err != nil {
			return err
		}
		defer box.Close()
		for i, r := range c.rules.sql {
			f := &c.findings[first+i]
			if namesReference.MatchString(r.query) && tables["reference"] == nil {
				f.OK, f.Found = true, noReference(c.rules.reference)
				continue
			}
			if err := box.assert(ctx, r, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *checker) severityOfSQL(r sqlRule) Severity {
	if r.severity != "" {
		return r.severity
	}
	return c.rules.severityOf(nil, "sql")
}

// sandbox opens a DuckDB that sees the sources as tables and nothing else.
func (d *DB) sandbox(ctx context.Context, tables map[string]*source) (*DB, error) {
	box, err := Open()
	if err != nil {
		return nil, err
	}
	var files, views []string
	for name, s := range tables {
		files = append(files, s.files...)
		view, err := d.view(ctx, name, s)
		if err != nil {
			return nil, errors.Join(err, box.Close())
		}
		views = append(views, view)
	}
	views = append(views, "SET max_temp_directory_size="+literal(assertionSpill), "SET allowed_paths="+literals(files),
		"SET enable_external_access=false", "SET lock_configuration=true")
	for _, statement := range views {
		if _, err := box.db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare the data for SQL: %w", err), box.Close())
		}
	}
	return box, nil
}

// view is the statement that makes a source a table with its own names and
// types.
func (d *DB) view(ctx context.Context, name string, s *source) (string, error) {
	_, columns, err := d.shape(ctx, s)
	if err != nil {
		return "", err
	}
	var list, folded []string
	for i, c := range columns {
		if slices.Contains(folded, strings.ToLower(c.Name)) {
			return "", invalid("sql rules cannot tell columns apart that differ in case only: %q; rename one", c.Name)
		}
		folded = append(folded, strings.ToLower(c.Name))
		value := fmt.Sprintf("c%d", i)
		if s.format == csvFormat && c.Type != "VARCHAR" {
			value = fmt.Sprintf("CAST(trim(%s) AS %s)", value, c.Type)
		}
		list = append(list, value+" AS "+identifier(c.Name))
	}
	return "CREATE VIEW " + name + " AS SELECT " + strings.Join(list, ", ") + " FROM " + s.relation(), nil
}

// assert counts the rows that a query answers, and shows three of them.
func (d *DB) assert(ctx context.Context, r sqlRule, f *Finding) error {
	limited, cancel := context.WithTimeout(ctx, assertionTime)
	defer cancel()
	values, err := d.row(limited, "SELECT count(*) FROM query("+literal(r.query)+")")
	if err == nil {
		n := values[0].(int64)
		if f.OK, f.Found = n == 0, "none"; f.OK {
			return nil
		}
		f.Found = count(n, "row")
		err = d.show(limited, r.query, f)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		f.OK, f.Found = false, fmt.Sprintf("no answer within %s", assertionTime)
	case err != nil:
		f.OK, f.Found = false, "a query that does not run: "+reason(err)
	}
	return nil
}

// reason is what DuckDB says without the excerpt of our own wrapping.
func reason(err error) string { return strings.TrimSpace(firstLine(err.Error())) }

func (d *DB) show(ctx context.Context, query string, f *Finding) error {
	rows, err := d.db.QueryContext(ctx, "SELECT * FROM query("+literal(query)+") LIMIT 3")
	if err != nil {
		return err
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
		var parts []string
		for i, v := range values {
			if i == 8 {
				parts = append(parts, "…")
				break
			}
			parts = append(parts, names[i]+" "+shownValue(v))
		}
		f.Rows = append(f.Rows, strings.Join(parts, ", "))
	}
	return rows.Err()
}

func shownValue(v any) string {
	text := []rune(fmt.Sprint(v))
	switch v := v.(type) {
	case nil:
		return "none"
	case time.Time:
		text = []rune(v.UTC().Format("2006-01-02 15:04:05"))
	}
	if len(text) > 60 {
		return string(text[:60]) + "…"
	}
	return string(text)
}

// sqlCompares says that a project's query names the reference; see references.
func (c *checker) sqlCompares() bool {
	return slices.ContainsFunc(c.rules.sql, func(r sqlRule) bool { return namesReference.MatchString(r.query) })
}
