package data

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

func (c *checker) planColumn(r *columnRules) {
	i := slices.Index(c.source.column, r.name)
	if i < 0 && r.optional {
		c.say(r, Finding{Rule: "present", Expected: "a column or none", Found: "none", OK: true})
		return
	}
	if i < 0 {
		c.say(r, Finding{Rule: "present", Expected: "a column named " + strconv.Quote(r.name), Found: c.absent(r.name)})
		return
	}
	c.say(r, Finding{Rule: "present", Expected: "a column named " + strconv.Quote(r.name), Found: "it", OK: true})
	s := c.source.subject(i, c.source.types[i])
	if r.typ != "" {
		c.none(r, Finding{Rule: "type", Expected: r.typ}, s, s.misfit(r.typ), c.declaredAs(i))
	}
	c.planNulls(r, s)
	if r.min != nil {
		c.limit(r, "min", s, r.min, "<", "min")
	}
	if r.max != nil {
		c.limit(r, "max", s, r.max, ">", "max")
	}
	if r.values != nil {
		c.none(r, Finding{Rule: "values", Expected: "one of " + listed(r.values.texts)}, s, r.values.outside(s), "")
	}
	if r.pattern != "" {
		c.none(r, Finding{Rule: "pattern", Expected: "all values to match " + r.pattern}, s, "NOT regexp_full_match("+s.text+", "+literal(r.pattern)+")", "")
	}
	if r.length != nil {
		c.planLength(r, s)
	}
	if r.unique {
		present := s.present(s.native())
		c.add(r, Finding{Rule: "unique", Expected: "each value once"},
			[]string{"count(" + present + ")", "count(DISTINCT " + present + ")"}, example{text: s.present(s.text)}, func(f *Finding, v []any) {
				n, distinct := v[0].(int64), v[1].(int64)
				f.OK, f.Found = n == distinct, fmt.Sprintf("%s, %d of them different", count(n, "value"), distinct)
			})
	}
	if r.in != nil {
		c.planIn(r, s)
	}
	if r.ordered != "" {
		c.planOrder(r, s)
	}
	for _, b := range r.bands {
		c.planBand(r, s, b)
	}
	for _, shift := range r.shifts {
		c.planShift(r, s, shift)
	}
}

// outside is the predicate for a value that is not in the set.
func (v *valueSet) outside(s subject) string {
	bad := s.text + " NOT IN (" + strings.Trim(literals(v.texts), "[]") + ")"
	if len(v.numbers) == 0 {
		return bad
	}
	list := make([]string, len(v.numbers))
	for i, n := range v.numbers {
		list[i] = double(n)
	}
	if s.isNumber() && len(v.numbers) == len(v.texts) {
		return s.number + " NOT IN (" + strings.Join(list, ", ") + ")"
	}
	return "(" + bad + " AND coalesce(" + s.number + " NOT IN (" + strings.Join(list, ", ") + "), true))"
}

func (c *checker) planNulls(r *columnRules, s subject) {
	if r.nullable {
		return
	}
	allowed, expected := amount{}, "a value in every row"
	if r.nulls != nil {
		allowed = *r.nulls
		expected = "at most " + allowed.text + " without a value"
	}
	c.add(r, Finding{Rule: "nullable", Expected: expected}, []string{"count(*) - count(" + s.present(s.native()) + ")", "count(*)"},
		example{bad: s.null, text: "'no value'"}, func(f *Finding, v []any) {
			n, all := v[0].(int64), v[1].(int64)
			f.OK, f.Found = n == 0 || float64(n) <= math.Max(float64(allowed.rows), allowed.share*float64(all)), count(n, "missing value")
			if r.nulls != nil && all > 0 {
				f.Found += fmt.Sprintf(" in %s (%.3g %%)", count(all, "row"), 100*float64(n)/float64(all))
			}
		})
}

func (c *checker) planLength(r *columnRules, s subject) {
	length, l := "length("+s.text+")", r.length
	bad, expected := "false", ""
	switch {
	case l.min != nil && l.max != nil && *l.min == *l.max:
		bad, expected = fmt.Sprintf("%s <> %d", length, *l.min), count(*l.min, "character")
	case l.min != nil && l.max != nil:
		bad, expected = fmt.Sprintf("%s NOT BETWEEN %d AND %d", length, *l.min, *l.max), fmt.Sprintf("%d to %s", *l.min, count(*l.max, "character"))
	case l.min != nil:
		bad, expected = fmt.Sprintf("%s < %d", length, *l.min), "at least "+count(*l.min, "character")
	case l.max != nil:
		bad, expected = fmt.Sprintf("%s > %d", length, *l.max), "at most "+count(*l.max, "character")
	}
	c.none(r, Finding{Rule: "length", Expected: expected}, s, bad, "")
}

// declaredAs tells the type of a column whose file declares types.
func (c *checker) declaredAs(i int) string {
	if c.source.format == csvFormat {
		return ""
	}
	return "; the file declares " + c.source.types[i]
}

// none plans a rule that no value may break.
func (c *checker) none(r *columnRules, f Finding, s subject, bad, note string) {
	broken := "0::BIGINT"
	if bad != "false" { // a declared type needs no look at the values
		bad = "NOT (" + s.null + ") AND (" + bad + ")"
		broken = "count(*) FILTER (WHERE " + bad + ")"
	}
	c.add(r, f, []string{broken, "count(" + s.present(s.native()) + ")"}, example{bad: bad, text: shown(s.text)}, func(f *Finding, v []any) {
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
func (c *checker) limit(r *columnRules, rule string, s subject, b *bound, beyond, extreme string) {
	value, edge := s.number, double(b.number)
	if b.time != "" {
		value, edge = s.time, "TIMESTAMP "+literal(b.time)
	}
	word := map[string]string{"min": "at least ", "max": "at most "}[rule]
	bad := s.beyond(value, beyond, edge)
	broken := "count(*) FILTER (WHERE " + bad + ")"
	extremeValue := extreme + "(" + s.present(value) + ")"
	if b.time == "" && s.isNumber() || b.time != "" && s.isTime() {
		// The extreme tells whether there is anything to count, at half the price.
		extremeValue = extreme + "(" + s.present(s.native()) + ")"
		broken = "CASE WHEN " + extremeValue + " " + beyond + " " + edge + " THEN 1 ELSE 0 END"
	}
	at := len(c.findings)
	complete := func(f *Finding, n int64, seen any) {
		f.OK = n == 0
		f.Found = map[string]string{"min": "lowest ", "max": "highest "}[rule] + "none"
		if seen != nil {
			f.Found = strings.Replace(f.Found, "none", strings.TrimSuffix(fmt.Sprint(seen), ".0"), 1)
		}
		if n > 0 {
			f.Found += ", " + count(n, "value") + " beyond or not comparable"
		}
	}
	c.add(r, Finding{Rule: rule, Expected: word + b.text}, []string{"CAST(" + broken + " AS BIGINT)", "CAST(" + extremeValue + " AS VARCHAR)"}, example{bad: bad, text: shown(s.text)}, func(f *Finding, v []any) {
		complete(f, v[0].(int64), v[1])
		if f.OK || !strings.HasPrefix(broken, "CASE") {
			return
		}
		c.again.add([]string{"count(*) FILTER (WHERE " + bad + ")"}, func(n []any) {
			complete(&c.findings[at], n[0].(int64), v[1])
		})
	})
}

func double(v float64) string {
	return "CAST('" + strconv.FormatFloat(v, 'g', -1, 64) + "' AS DOUBLE)"
}

// planKey plans that each combination of values is there once.
func (c *checker) planKey(key keyRule) {
	f := Finding{Rule: "unique", Expected: "each " + strings.Join(key.columns, " with ") + " once", Severity: key.severity}
	var texts []string
	for _, name := range key.columns {
		i := slices.Index(c.source.column, name)
		if i < 0 {
			f.Found = c.absent(name)
			c.say(nil, f)
			return
		}
		texts = append(texts, fmt.Sprintf("CAST(c%d AS VARCHAR)", i))
	}
	at := c.say(nil, f)
	c.queries = append(c.queries, func(ctx context.Context) error {
		// A missing value is a value of the key: two rows without one are the same.
		repeated := fmt.Sprintf("(SELECT min(n, 3) AS n, %s AS v, count(*) AS k FROM %s GROUP BY %s HAVING count(*) > 1)",
			"concat_ws(', ', "+joined(texts, "coalesce(%s, 'no value')")+")", c.numbered(), strings.Join(texts, ", "))
		values, err := c.db.row(ctx, "SELECT count(*), coalesce(sum(k), 0)::BIGINT FROM "+repeated)
		if err != nil {
			return c.source.explain(ctx, err)
		}
		f := &c.findings[at]
		keys, rows := values[0].(int64), values[1].(int64)
		if f.OK, f.Found = keys == 0, "that in "+count(c.rows, "row"); f.OK {
			return nil
		}
		f.Found = fmt.Sprintf("%s more than once, in %s", count(keys, "combination"), count(rows, "row"))
		return c.rowsOf(ctx, at, "SELECT 'rows ' || array_to_string(n, ', ') || ': ' || "+shown("v")+" FROM "+repeated+" ORDER BY n[1] LIMIT 3")
	})
}

func joined(list []string, format string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf(format, s)
	}
	return strings.Join(out, ", ")
}

// planIn plans that each value is one of another dataset's column.
func (c *checker) planIn(r *columnRules, s subject) {
	f := Finding{Rule: "in", Expected: fmt.Sprintf("a %s of %s", r.in.column, r.in.dataset)}
	ref := c.compared[r.in.dataset]
	if !ref.there {
		f.OK, f.Found = true, noReference(r.in.dataset)
		c.say(r, f)
		return
	}
	i := slices.Index(ref.source.column, r.in.column)
	if i < 0 {
		f.Found = fmt.Sprintf("no column %q in %s%s", r.in.column, r.in.dataset, ref.source.almost(r.in.column))
		c.say(r, f)
		return
	}
	at := c.say(r, f)
	c.queries = append(c.queries, func(ctx context.Context) error {
		orphans := fmt.Sprintf("(SELECT n, v FROM (SELECT n, %s AS v FROM %s) AS a ANTI JOIN (SELECT DISTINCT CAST(c%d AS VARCHAR) AS v FROM %s) AS b USING (v) WHERE v IS NOT NULL)",
			s.present(s.text), c.numbered(), i, ref.source.relation())
		values, err := c.db.row(ctx, "SELECT count(*) FROM "+orphans)
		if err != nil {
			return c.source.explain(ctx, err)
		}
		f := &c.findings[at]
		n := values[0].(int64)
		if f.OK, f.Found = n == 0, "that in "+count(c.rows, "row"); f.OK {
			return nil
		}
		f.Found = count(n, "value") + " without one"
		return c.rowsOf(ctx, at, "SELECT 'row ' || n || ': ' || "+shown("v")+" FROM "+orphans+" ORDER BY n LIMIT 3")
	})
}

// planOrder plans that a column's values follow each other in order; missing
// ones are passed over.
func (c *checker) planOrder(r *columnRules, s subject) {
	value := s.text
	switch {
	case s.isTime() || r.typ == "date" || r.typ == "timestamp":
		value = s.time
	case s.isNumber() || r.typ == "number" || r.typ == "integer":
		value = s.number
	}
	compare := map[string]string{"increasing": "<", "strictly increasing": "<=", "decreasing": ">", "strictly decreasing": ">="}[r.ordered]
	at := c.say(r, Finding{Rule: "ordered", Expected: r.ordered + " values"})
	c.queries = append(c.queries, func(ctx context.Context) error {
		steps := fmt.Sprintf("(SELECT n, t, v, lag(t) OVER () AS before, lag(v) OVER () AS past FROM (SELECT n, %s AS t, %s AS v FROM %s) WHERE v IS NOT NULL)",
			s.text, s.present(value), c.numbered())
		values, err := c.db.row(ctx, fmt.Sprintf("SELECT count(*), arg_min('row ' || n || ': ' || %s || ' after ' || %s, n, 3) FROM %s WHERE v %s past",
			shown("t"), shown("before"), steps, compare))
		if err != nil {
			return c.source.explain(ctx, err)
		}
		f := &c.findings[at]
		n := values[0].(int64)
		if f.OK, f.Found = n == 0, "that in "+count(c.rows, "row"); f.OK {
			return nil
		}
		f.Found = count(n, "value") + " out of order"
		rows, _ := values[1].([]any)
		for _, row := range rows {
			f.Rows = append(f.Rows, fmt.Sprint(row))
		}
		return nil
	})
}
