package data

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// DuckDB's time and memory for one query grow with the square of its
// aggregates, and each expression with a pattern keeps megabytes of its own.
// So a source of many columns is asked in pieces, and what is asked of every
// column alike is asked once, of columns laid under each other.
const (
	// wideColumns are those from which a source counts as wide.
	wideColumns = 200
	// wideGroup columns are taken from the files at a time.
	wideGroup = 1000
	// wideMeasures of different columns are asked together.
	wideMeasures = 50
)

func (d *DB) isWide(s *source) bool { return len(s.column) > d.wide }

// stacked is one column's name; what plan makes of it is asked of many at once.
const stacked = "v"

// stack asks the same of many columns in one query: they are laid under each
// other as (name, v), and grouped by name. plan adds what is to be measured of
// column i, in terms of stacked. Columns for which it adds the same texts are
// asked together. Without a row nothing is done.
func (d *DB) stack(ctx context.Context, s *source, from string, plan func(b *batch, i int)) error {
	plans := make([]batch, len(s.column))
	alike := map[string][]int{}
	var order []string
	for i := range plans {
		plan(&plans[i], i)
		if len(plans[i].measures) == 0 {
			continue
		}
		key := s.types[i] + "\n" + strings.Join(plans[i].measures, ", ")
		if alike[key] == nil {
			order = append(order, key)
		}
		alike[key] = append(alike[key], i)
	}
	for _, key := range order {
		for group := range slices.Chunk(alike[key], wideGroup) {
			if err := d.stackGroup(ctx, s, from, group, plans); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *DB) stackGroup(ctx context.Context, s *source, from string, group []int, plans []batch) error {
	names, numbers := make([]string, len(group)), make([]string, len(group))
	for at, i := range group {
		names[at], numbers[at] = fmt.Sprintf("c%d", i), strconv.Itoa(i)
	}
	measures := plans[group[0]].measures
	query := fmt.Sprintf("SELECT i, %s FROM (SELECT unnest([%s]) AS i, unnest([%s]) AS %s FROM %s) GROUP BY i",
		strings.Join(measures, ", "), strings.Join(numbers, ", "), strings.Join(names, ", "), stacked, from)
	rows, err := d.db.QueryContext(ctx, query)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		values, err := scan(rows, 1+len(measures))
		if err != nil {
			return err
		}
		i, _ := values[0].(int32)
		answer(plans[i].parts, values[1:])
	}
	if err := rows.Err(); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// columnRE finds the columns that a measure needs. What looks like one inside
// a text literal is taken too, which does no harm.
var columnRE = regexp.MustCompile(`\bc[0-9]+\b`)

// runWide asks measures that differ from column to column. Reading a wide file
// costs much before anything is measured, so a group of columns at a time is
// laid down as a table of its own.
func (b *batch) runWide(ctx context.Context, d *DB, s *source, from string) error {
	for len(b.parts) > 0 {
		needed := map[string]bool{}
		n := 0
		for ; n < len(b.parts) && len(needed) < wideGroup; n++ {
			p := b.parts[n]
			for _, measure := range b.measures[p.first : p.first+p.n] {
				for _, name := range columnRE.FindAllString(measure, -1) {
					if i, err := strconv.Atoi(name[1:]); err == nil && i < len(s.column) {
						needed[name] = true
					}
				}
			}
		}
		group := batch{measures: b.measures, parts: b.parts[:n]}
		if err := d.laid(ctx, s, from, needed, func(table string) error {
			return group.ask(ctx, d, s, table, wideMeasures)
		}); err != nil {
			return err
		}
		b.parts = b.parts[n:]
	}
	*b = batch{}
	return nil
}

// laid calls f with a table of the needed columns, which is gone afterwards.
// It is no TEMP table: those belong to one connection of several.
func (d *DB) laid(ctx context.Context, s *source, from string, needed map[string]bool, f func(table string) error) error {
	if len(needed) == 0 {
		return f(from)
	}
	names := []string{"n"} // the row's number, where from has one
	for name := range needed {
		names = append(names, name)
	}
	table := fmt.Sprintf("laid_%016x", rand.Uint64())
	create := fmt.Sprintf("CREATE TABLE %s AS SELECT COLUMNS('^(%s)$') FROM %s", table, strings.Join(names, "|"), from)
	if _, err := d.db.ExecContext(ctx, create); err != nil {
		return s.explain(ctx, err)
	}
	defer func() { _, _ = d.db.ExecContext(context.WithoutCancel(ctx), "DROP TABLE "+table) }()
	return f(table)
}
