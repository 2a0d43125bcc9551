package data

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Check holds the dataset at path against checks, the text of a checks.yaml
// that checksName names in messages; docs/checks.md has all there is to write
// in it. Every rule gives one finding, kept or broken; missing values break
// nullable alone. An error means that the checks or the data could not be read
// at all; mistakes in the checks are reported together, each with its place.
//
// The data is read once; once or twice more for counts and examples when a rule is broken, and
// once for each rule of keys, of order and of SQL. References are read twice,
// a part of their rows and then all. Memory does not grow with the rows:
// what has to remember them (unique, in) spills to disk.
func (d *DB) Check(ctx context.Context, path string, checks []byte, checksName string, o CheckOptions) ([]Finding, error) {
	r, err := parseRules(checks, checksName)
	if err != nil {
		return nil, err
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	s, err := d.source(ctx, path)
	if err != nil {
		return nil, err
	}
	c := &checker{db: d, source: &s, rules: &r, file: checksName, options: o}
	if err := c.references(ctx); err != nil {
		return nil, err
	}
	c.plan()
	if err := c.measures.run(ctx, d, &s, s.relation()); err != nil {
		return nil, err
	}
	if err := c.again.run(ctx, d, &s, s.relation()); err != nil {
		return nil, err
	}
	c.calibrate()
	for _, later := range c.queries {
		if err := later(ctx); err != nil {
			return nil, err
		}
	}
	if err := c.examples(ctx); err != nil {
		return nil, err
	}
	return c.findings, nil
}

// A checker turns rules into one query and its answer into findings.
type checker struct {
	db      *DB
	source  *source
	rules   *rules
	file    string
	options CheckOptions

	compared map[string]*reference // by the name that rules give them
	findings []Finding
	measures batch
	again    batch // asked once the measures have shown what is broken
	rows     int64 // known once the measures are
	broken   []example
	shifted  []*shifted                        // to be judged once all counts are known
	queries  []func(ctx context.Context) error // rules that need a query of their own
}

// An example says how to find the rows that break a rule.
type example struct {
	finding int
	bad     string // SQL predicate; empty for unique
	text    string // SQL: the value as people see it; for unique, the value
}

// say adds a finding and returns its place.
func (c *checker) say(column *columnRules, f Finding) int {
	if column != nil {
		f.Column = column.name
	}
	if f.Severity == "" {
		f.Severity = c.rules.severityOf(column, f.Rule)
	}
	c.findings = append(c.findings, f)
	return len(c.findings) - 1
}

// add plans a rule that needs the measures.
func (c *checker) add(column *columnRules, f Finding, measures []string, ex example, complete func(f *Finding, values []any)) {
	ex.finding = c.say(column, f)
	c.measures.add(measures, func(values []any) {
		f := &c.findings[ex.finding]
		if complete(f, values); !f.OK && ex.text != "" {
			c.broken = append(c.broken, ex)
		}
	})
}

func (c *checker) plan() {
	c.planRows()
	c.planFresh()
	named := map[string]bool{}
	for i := range c.rules.columns {
		named[c.rules.columns[i].name] = true
		c.planColumn(&c.rules.columns[i])
	}
	if c.rules.strict {
		extra := slices.DeleteFunc(slices.Clone(c.source.column), func(name string) bool { return named[name] })
		f := Finding{Rule: "strict", Expected: "only the columns that " + c.file + " names", Found: "no other", OK: len(extra) == 0}
		if !f.OK {
			f.Found = "also " + listed(extra)
		}
		c.say(nil, f)
	}
	for _, key := range c.rules.unique {
		c.planKey(key)
	}
	c.planSQL()
}

// listed names columns, and counts those that would make a message unreadable.
func listed(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func (c *checker) planRows() {
	r := c.rules.rows
	lo, hi := int64(1), int64(math.MaxInt64)
	if r.min != nil {
		lo = *r.min
	}
	expected := "at least " + count(lo, "row")
	if r.max != nil {
		hi = *r.max
		expected = fmt.Sprintf("%d to %s", lo, count(hi, "row"))
	}
	c.add(nil, Finding{Rule: "rows", Expected: expected}, []string{"count(*)"}, example{}, func(f *Finding, v []any) {
		c.rows = v[0].(int64)
		f.Found, f.OK = count(c.rows, "row"), c.rows >= lo && c.rows <= hi
	})
	if r.change == nil {
		return
	}
	f := Finding{Rule: "rows", Expected: "at most " + r.text + " more or fewer rows than the reference"}
	ref := c.compared[r.against]
	if !ref.there {
		f.OK, f.Found = true, noReference(r.against)
		c.say(nil, f)
		return
	}
	c.add(nil, f, nil, example{}, func(f *Finding, _ []any) {
		change := float64(c.rows)/float64(max(ref.rows, 1)) - 1
		f.OK, f.Found = math.Abs(change) <= *r.change, fmt.Sprintf("%s where the reference has %d (%+.3g %%)", count(c.rows, "row"), ref.rows, 100*change)
	})
}

func noReference(name string) string {
	if name == "" {
		return "no accepted version to compare with yet"
	}
	return "no " + name + " to compare with yet"
}

func (c *checker) planFresh() {
	r := c.rules.fresh
	if r == nil {
		return
	}
	f := Finding{Column: r.column, Rule: "fresh", Expected: "a value of the last " + r.text}
	i := slices.Index(c.source.column, r.column)
	if i < 0 {
		f.Found = c.absent(r.column)
		c.say(nil, f)
		return
	}
	s := c.source.subject(i, c.source.types[i])
	c.add(nil, f, []string{"epoch_us(max(" + s.time + "))"}, example{}, func(f *Finding, v []any) {
		us, ok := v[0].(int64)
		if !ok {
			f.Found = "no date or timestamp"
			return
		}
		last := time.UnixMicro(us).UTC()
		age := c.options.Now.Sub(last)
		f.OK, f.Found = age <= r.maxAge, fmt.Sprintf("%s as the latest, %s old", last.Format("2006-01-02 15:04:05"), age.Round(time.Minute))
	})
}

// absent says that the data lacks a column.
func (c *checker) absent(name string) string {
	return fmt.Sprintf("no such column%s; %s has %s", c.source.almost(name), filepath.Base(c.source.path), listed(c.source.column))
}

// examples finds the first three rows that break each broken rule: one more
// reading for all of them, and one for each column with repeated values.
func (c *checker) examples(ctx context.Context) error {
	var b batch
	for _, ex := range c.broken {
		if ex.bad == "" {
			if err := c.repeats(ctx, ex); err != nil {
				return err
			}
			continue
		}
		b.add([]string{fmt.Sprintf("arg_min('row ' || n || ': ' || %s, n, 3) FILTER (WHERE %s)", ex.text, ex.bad)}, func(v []any) {
			rows, _ := v[0].([]any)
			for _, row := range rows {
				c.findings[ex.finding].Rows = append(c.findings[ex.finding].Rows, fmt.Sprint(row))
			}
		})
	}
	return b.run(ctx, c.db, c.source, c.numbered())
}

// numbered is the source with a column n that counts its rows from 1.
func (c *checker) numbered() string {
	return "(SELECT row_number() OVER () AS n, * FROM " + c.source.relation() + ")"
}

// repeats names the first values that occur more than once.
func (c *checker) repeats(ctx context.Context, ex example) error {
	query := fmt.Sprintf(
		`SELECT 'rows ' || array_to_string(min(n, 3), ', ') || ': ' || %s FROM (SELECT n, %s AS v FROM %s)
		 WHERE v IS NOT NULL GROUP BY v HAVING count(*) > 1 ORDER BY min(n) LIMIT 3`, shown("v"), ex.text, c.numbered())
	return c.rowsOf(ctx, ex.finding, query)
}

// rowsOf appends the texts that a query answers to a finding's examples.
func (c *checker) rowsOf(ctx context.Context, finding int, query string) error {
	rows, err := c.db.db.QueryContext(ctx, query)
	if err != nil {
		return c.source.explain(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return err
		}
		c.findings[finding].Rows = append(c.findings[finding].Rows, row)
	}
	if err := rows.Err(); err != nil {
		return c.source.explain(ctx, err)
	}
	return nil
}

// shown quotes a value for people, and shortens a long one.
func shown(text string) string {
	return fmt.Sprintf(`CASE WHEN length(%[1]s) > 60 THEN '"' || left(%[1]s, 60) || '…"' ELSE '"' || %[1]s || '"' END`, text)
}
