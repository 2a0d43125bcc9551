package data

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Check holds the dataset at path against checks, the text of a checks.yaml
// that checksName names in messages:
//
//	rows: {min: 100, max: 1000000}     # min is 1 when absent
//	strict: true                       # no columns beyond those named
//	columns:
//	  age: {type: integer, nullable: false, min: 0, max: 120}
//	  bmi: {type: number, mean: {reference: 26.4, tolerance: 15%}, std: {reference: 4.4, tolerance: 1}}
//	  sex: {values: [1, 2]}
//	  id:  {unique: true, pattern: "[A-Z]{2}[0-9]+"}     # the whole value matches
//	  seen: {type: date, min: 2020-01-01}
//
// type is number, integer, string, boolean, date or timestamp. Every rule
// gives one finding, kept or broken; missing values break nullable alone. An
// error means that the checks or the data could not be read at all; mistakes
// in the checks are reported together, each with its line. The data is read
// once, and once more for examples when a rule is broken.
func (d *DB) Check(ctx context.Context, path string, checks []byte, checksName string, o CheckOptions) ([]Finding, error) {
	r, err := parseRules(checks, checksName)
	if err != nil {
		return nil, err
	}
	s, err := d.source(ctx, path)
	if err != nil {
		return nil, err
	}
	c := checker{source: &s, file: checksName}
	c.plan(r)
	if err := c.measure(ctx, d); err != nil {
		return nil, err
	}
	if err := c.examples(ctx, d); err != nil {
		return nil, err
	}
	for i := range c.findings {
		c.findings[i].Severity = Fail
	}
	return c.findings, nil
}

// A checker turns rules into one query and its answer into findings.
type checker struct {
	source   *source
	file     string
	findings []Finding
	measures []string // SQL aggregates
	judges   []judge
	broken   []example
}

// A judge completes findings[finding] from the values of its measures.
type judge struct {
	finding, first int
	complete       func(f *Finding, values []any)
	example        example
}

// An example says how to find the rows that break a rule.
type example struct {
	finding int
	bad     string // SQL predicate; empty for unique
	text    string // SQL: the value as people see it; for unique, the value
}

// add plans a rule that needs the measures.
func (c *checker) add(f Finding, measures []string, ex example, complete func(f *Finding, values []any)) {
	ex.finding = len(c.findings)
	c.judges = append(c.judges, judge{len(c.findings), len(c.measures), complete, ex})
	c.findings = append(c.findings, f)
	c.measures = append(c.measures, measures...)
}

func (c *checker) plan(r rules) {
	c.planRows(r)
	named := map[string]bool{}
	for _, rule := range r.columns {
		named[rule.name] = true
		c.planColumn(rule)
	}
	if r.strict {
		extra := slices.DeleteFunc(slices.Clone(c.source.column), func(name string) bool { return named[name] })
		f := Finding{Rule: "strict", Expected: "only the columns that " + c.file + " names", Found: "no other", OK: len(extra) == 0}
		if !f.OK {
			f.Found = "also " + strings.Join(extra, ", ")
		}
		c.findings = append(c.findings, f)
	}
}

func (c *checker) planRows(r rules) {
	lo, hi := int64(1), int64(math.MaxInt64)
	if r.minRows != nil {
		lo = *r.minRows
	}
	expected := "at least " + count(lo, "row")
	if r.maxRows != nil {
		hi = *r.maxRows
		expected = fmt.Sprintf("%d to %s", lo, count(hi, "row"))
	}
	c.add(Finding{Rule: "rows", Expected: expected}, []string{"count(*)"}, example{}, func(f *Finding, v []any) {
		n := v[0].(int64)
		f.Found, f.OK = count(n, "row"), n >= lo && n <= hi
	})
}

func (c *checker) planColumn(r columnRules) {
	i := slices.Index(c.source.column, r.name)
	f := Finding{Column: r.name, Rule: "present", Expected: "a column named " + strconv.Quote(r.name), Found: "it", OK: true}
	if i < 0 {
		f.OK, f.Found = false, fmt.Sprintf("no such column%s; %s has %s", c.source.almost(r.name), filepath.Base(c.source.path), strings.Join(c.source.column, ", "))
		c.findings = append(c.findings, f)
		return
	}
	c.findings = append(c.findings, f)
	s := c.source.subject(i, c.source.types[i])
	if r.typ != "" {
		c.none(Finding{Column: r.name, Rule: "type", Expected: r.typ}, s, s.misfit(r.typ), c.declaredAs(i))
	}
	if !r.nullable {
		c.add(Finding{Column: r.name, Rule: "nullable", Expected: "a value in every row"}, []string{"count(*) FILTER (WHERE " + s.null + ")"},
			example{bad: s.null, text: "'no value'"}, func(f *Finding, v []any) {
				n := v[0].(int64)
				f.OK, f.Found = n == 0, count(n, "missing value")
			})
	}
	if r.min != nil {
		c.limit(r.name, "min", s, r.min, "<", "min")
	}
	if r.max != nil {
		c.limit(r.name, "max", s, r.max, ">", "max")
	}
	if r.values != nil {
		bad := s.text + " NOT IN (" + strings.Trim(literals(r.values.texts), "[]") + ")"
		if len(r.values.numbers) > 0 {
			list := make([]string, len(r.values.numbers))
			for i, v := range r.values.numbers {
				list[i] = double(v)
			}
			bad = "(" + bad + " AND coalesce(" + s.number + " NOT IN (" + strings.Join(list, ", ") + "), true))"
		}
		c.none(Finding{Column: r.name, Rule: "values", Expected: "one of " + strings.Join(r.values.texts, ", ")}, s, bad, "")
	}
	if r.pattern != "" {
		c.none(Finding{Column: r.name, Rule: "pattern", Expected: "all values to match " + r.pattern}, s, "NOT regexp_full_match("+s.text+", "+literal(r.pattern)+")", "")
	}
	if r.unique {
		present := "CASE WHEN NOT " + s.null + " THEN " + s.text + " END"
		c.add(Finding{Column: r.name, Rule: "unique", Expected: "each value once"},
			[]string{"count(" + present + ")", "count(DISTINCT " + present + ")"}, example{text: present}, func(f *Finding, v []any) {
				n, distinct := v[0].(int64), v[1].(int64)
				f.OK, f.Found = n == distinct, fmt.Sprintf("%s, %d of them different", count(n, "value"), distinct)
			})
	}
	// Values that are no finite number have no part in a moment: type, min and max catch them.
	finite := s.finite()
	if r.mean != nil {
		c.moment(r.name, "mean", "avg("+finite+")", r.mean)
	}
	if r.std != nil {
		c.moment(r.name, "std", "stddev_samp("+finite+")", r.std)
	}
}

// declaredAs tells the type of a column whose file declares types.
func (c *checker) declaredAs(i int) string {
	if c.source.format == csvFormat {
		return ""
	}
	return "; the file declares " + c.source.types[i]
}

// none plans a rule that no value may break.
func (c *checker) none(f Finding, s subject, bad, note string) {
	bad = "NOT (" + s.null + ") AND (" + bad + ")"
	c.add(f, []string{"count(*) FILTER (WHERE " + bad + ")", "count(*) FILTER (WHERE NOT (" + s.null + "))"}, example{bad: bad, text: shown(s.text)}, func(f *Finding, v []any) {
		n, all := v[0].(int64), v[1].(int64)
		if f.OK = n == 0; f.OK {
			f.Found = "that in " + count(all, "value")
		} else {
			f.Found = fmt.Sprintf("%d of %s otherwise%s", n, count(all, "value"), note)
		}
	})
}

// limit plans a min or a max. A value that is neither number nor time cannot
// keep it.
func (c *checker) limit(name, rule string, s subject, b *bound, beyond, extreme string) {
	value, edge := s.number, double(b.number)
	if b.time != "" {
		value, edge = s.time, "TIMESTAMP "+literal(b.time)
	}
	word := map[string]string{"min": "at least ", "max": "at most "}[rule]
	bad := fmt.Sprintf("NOT (%s) AND coalesce((%s) %s %s, true)", s.null, value, beyond, edge)
	seen := fmt.Sprintf("CAST(%s(CASE WHEN NOT (%s) THEN %s END) AS VARCHAR)", extreme, s.null, value)
	c.add(Finding{Column: name, Rule: rule, Expected: word + b.text}, []string{"count(*) FILTER (WHERE " + bad + ")", seen}, example{bad: bad, text: shown(s.text)}, func(f *Finding, v []any) {
		n := v[0].(int64)
		f.OK = n == 0
		f.Found = map[string]string{"min": "lowest ", "max": "highest "}[rule] + "none"
		if v[1] != nil {
			f.Found = strings.Replace(f.Found, "none", strings.TrimSuffix(fmt.Sprint(v[1]), ".0"), 1)
		}
		if n > 0 {
			f.Found += ", " + count(n, "value") + " beyond or not comparable"
		}
	})
}

// moment plans a mean or std rule.
func (c *checker) moment(name, rule, measure string, r *shapeRule) {
	c.add(Finding{Column: name, Rule: rule, Expected: r.text}, []string{measure}, example{}, func(f *Finding, v []any) {
		x, ok := v[0].(float64)
		if !ok {
			f.Found = "too few numbers to tell"
			return
		}
		f.OK = math.Abs(x-r.reference) <= r.tolerance
		f.Found = strconv.FormatFloat(x, 'g', 6, 64)
		if !f.OK && r.reference != 0 {
			f.Found += fmt.Sprintf(" (%+.3g %%)", 100*(x-r.reference)/math.Abs(r.reference))
		}
	})
}

func double(v float64) string {
	return "CAST('" + strconv.FormatFloat(v, 'g', -1, 64) + "' AS DOUBLE)"
}

// measure reads the data once and completes the findings.
func (c *checker) measure(ctx context.Context, d *DB) error {
	values, err := d.row(ctx, "SELECT "+strings.Join(c.measures, ", ")+" FROM "+c.source.relation())
	if err != nil {
		return c.source.explain(ctx, err)
	}
	for _, j := range c.judges {
		f := &c.findings[j.finding]
		j.complete(f, values[j.first:])
		if !f.OK && j.example.text != "" {
			c.broken = append(c.broken, j.example)
		}
	}
	return nil
}

// examples finds the first three rows that break each broken rule: one more
// reading for all of them, and one for each column with repeated values.
func (c *checker) examples(ctx context.Context, d *DB) error {
	var list []string
	var of []int
	for _, ex := range c.broken {
		if ex.bad == "" {
			if err := c.repeats(ctx, d, ex); err != nil {
				return err
			}
			continue
		}
		list = append(list, fmt.Sprintf("arg_min('row ' || n || ': ' || %s, n, 3) FILTER (WHERE %s)", ex.text, ex.bad))
		of = append(of, ex.finding)
	}
	if len(list) == 0 {
		return nil
	}
	values, err := d.row(ctx, fmt.Sprintf("SELECT %s FROM (SELECT row_number() OVER () AS n, * FROM %s)", strings.Join(list, ", "), c.source.relation()))
	if err != nil {
		return c.source.explain(ctx, err)
	}
	for i, v := range values {
		rows, _ := v.([]any)
		for _, row := range rows {
			c.findings[of[i]].Rows = append(c.findings[of[i]].Rows, fmt.Sprint(row))
		}
	}
	return nil
}

// repeats names the first values that occur more than once.
func (c *checker) repeats(ctx context.Context, d *DB, ex example) error {
	rows, err := d.db.QueryContext(ctx, fmt.Sprintf(
		`SELECT 'rows ' || array_to_string(min(n, 3), ', ') || ': ' || %s FROM (SELECT row_number() OVER () AS n, %s AS v FROM %s)
		 WHERE v IS NOT NULL GROUP BY v HAVING count(*) > 1 ORDER BY min(n) LIMIT 3`, shown("v"), ex.text, c.source.relation()))
	if err != nil {
		return c.source.explain(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return err
		}
		c.findings[ex.finding].Rows = append(c.findings[ex.finding].Rows, row)
	}
	return rows.Err()
}

// shown quotes a value for people, and shortens a long one.
func shown(text string) string {
	return fmt.Sprintf(`CASE WHEN length(%[1]s) > 60 THEN '"' || left(%[1]s, 60) || '…"' ELSE '"' || %[1]s || '"' END`, text)
}
