package data

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// suggestedSet is how many different values a column may have at most for
	// its set of values to be a rule; each has to be seen often enough to tell
	// that there are no others.
	suggestedSet = 20
	seenOften    = 20
	// suggestedKey rows make it unlikely that a column without a repeated value
	// is not meant to be a key.
	suggestedKey = 50
	// suggestedExact rows can be held against each other in the memory that
	// DuckDB is given; of more, only an estimate tells how many are different.
	suggestedExact = 5_000_000
	// comparableRows are needed for rules on a distribution.
	comparableRows = 100
)

// Suggest writes a first checks.yaml from the dataset at path: what holds in
// it, with room for the next delivery, and with what was seen as a comment.
// The dataset itself passes it.
func (d *DB) Suggest(ctx context.Context, path string) ([]byte, error) {
	p, err := d.Profile(ctx, path)
	if err != nil {
		return nil, err
	}
	keys, err := d.keys(ctx, path, p)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# What held in %s (%s). Tighten what you know better; leave out what may change.\n", filepath.Base(path), count(p.Rows, "row"))
	fmt.Fprintf(&b, "rows: {min: %d}\nstrict: true\n", max(1, p.Rows/10))
	for _, c := range p.Columns {
		if class(c.Type) == classTimestamp && c.Max != "" {
			fmt.Fprintf(&b, "# fresh: {column: %s, max_age: 7d}   # the latest is %s\n", yamlText(c.Name), c.Max)
			break
		}
	}
	b.WriteString("columns:\n")
	for _, c := range p.Columns {
		rules, seen := suggestColumn(c, p.Rows, slices.Contains(keys, c.Name))
		fmt.Fprintf(&b, "  %s: {%s}   # %s\n", yamlText(c.Name), strings.Join(rules, ", "), seen)
	}
	return b.Bytes(), nil
}

// likeKey reports whether a column looks like a key, as far as the estimate of
// its distinct values tells, which is a few per cent off.
func (c ColumnProfile) likeKey(rows int64) bool {
	kind := class(c.Type)
	return rows >= suggestedKey && c.Nulls == 0 && float64(c.Distinct) >= 0.8*float64(rows) && (kind == classInteger || kind == classText)
}

// keys are the columns in which no value is repeated. Each is asked by itself:
// all its values have to be held in memory.
func (d *DB) keys(ctx context.Context, path string, p Profile) ([]string, error) {
	s, err := d.source(ctx, path)
	if err != nil || p.Rows > suggestedExact {
		return nil, err
	}
	var keys []string
	for i, c := range p.Columns {
		if !c.likeKey(p.Rows) {
			continue
		}
		var b batch
		b.add([]string{fmt.Sprintf("count(DISTINCT c%d)", i), "count(*)"}, func(v []any) {
			if v[0] == v[1] {
				keys = append(keys, c.Name)
			}
		})
		if err := b.run(ctx, d, &s, s.relation()); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// suggestColumn returns a column's rules and what was seen of it.
func suggestColumn(c ColumnProfile, rows int64, key bool) (rules []string, seen string) {
	kind := class(c.Type)
	name := map[typeClass]string{classBoolean: "boolean", classInteger: "integer", classNumber: "number", classDate: "date", classTimestamp: "timestamp", classText: "string"}[kind]
	notes := []string{count(c.Nulls, "missing value")}
	if c.Nulls == rows {
		return nil, "no value at all"
	}
	if name != "" {
		rules = append(rules, "type: "+name)
	}
	if c.Nulls == 0 {
		rules = append(rules, "nullable: false")
	} else if most, ok := suggestNulls(c.Nulls, rows); ok {
		rules = append(rules, "nullable: {max: "+most+"}")
	}
	set := c.complete(rows) && len(c.Top) <= suggestedSet && c.Top[len(c.Top)-1].Rows >= seenOften
	switch kind {
	case classInteger, classNumber:
		// Numbers that are codes, such as 1 and 2.
		if set = set && len(c.Top) <= 5; !set {
			rules = append(rules, suggestRange(c, kind)...)
		}
		if c.Mean != nil {
			notes = append(notes, fmt.Sprintf("%s to %s, mean %s", c.Min, c.Max, formatNumber(*c.Mean)))
		}
	case classDate, classTimestamp:
		rules = append(rules, "min: "+c.Min[:10])
		notes = append(notes, c.Min+" to "+c.Max)
	}
	if set && kind != classBoolean {
		values := make([]string, len(c.Top))
		for i, v := range c.Top {
			values[i] = yamlText(v.Value)
			if kind == classInteger || kind == classNumber {
				values[i] = v.Value
			}
		}
		slices.Sort(values)
		rules = append(rules, "values: ["+strings.Join(values, ", ")+"]")
	}
	if key {
		rules = append(rules, "unique: true")
		return rules, strings.Join(append(notes, "no value twice"), ", ")
	}
	notes = append(notes, fmt.Sprintf("about %s", count(c.Distinct, "different value")))
	if rows > suggestedExact && c.likeKey(rows) {
		notes = append(notes, "too many to tell whether one is there twice: add unique: true if it is a key")
	}
	switch {
	case rows-c.Nulls < comparableRows || c.Distinct < 2:
	case kind == classInteger, kind == classNumber, kind == classBoolean, kind == classText && set:
		rules = append(rules, "psi: true")
	case kind == classText && c.Distinct <= maxCategories/2 && c.Distinct <= rows/seenOften:
		rules = append(rules, "psi: true", "categories: true")
	}
	return rules, strings.Join(notes, ", ")
}

// suggestNulls leaves room for chance: twice the share, and five standard
// errors more.
func suggestNulls(nulls, rows int64) (string, bool) {
	p, n := float64(nulls)/float64(rows), float64(rows)
	most := math.Ceil(100 * (2*p + 5*math.Sqrt(2*p*(1-p)/n)))
	return fmt.Sprintf("%g%%", most), most < 100
}

// suggestRange is the range seen with half as much again on each side, but not
// beyond zero where nothing was.
func suggestRange(c ColumnProfile, kind typeClass) []string {
	lo, errLo := strconv.ParseFloat(c.Min, 64)
	hi, errHi := strconv.ParseFloat(c.Max, 64)
	if errLo != nil || errHi != nil || math.IsInf(lo, 0) || math.IsInf(hi, 0) || math.IsInf(hi-lo, 0) {
		return nil
	}
	margin := (hi - lo) / 2
	from, to := roundOut(lo-margin, margin, -1), roundOut(hi+margin, margin, 1)
	if kind == classInteger {
		from, to = math.Floor(from), math.Ceil(to)
	}
	if lo >= 0 {
		from = math.Max(0, from)
	}
	if hi <= 0 {
		to = math.Min(0, to)
	}
	format := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	if math.Abs(from) > 1e15 || math.Abs(to) > 1e15 {
		format = func(v float64) string { return strconv.FormatFloat(v, 'e', -1, 64) }
	}
	return []string{"min: " + format(from), "max: " + format(to)}
}

// roundOut rounds away from the range, to a digit that is small beside it.
func roundOut(v, scale, direction float64) float64 {
	if scale <= 0 {
		return v
	}
	unit := math.Pow(10, math.Floor(math.Log10(scale)))
	if direction < 0 {
		return math.Floor(v/unit) * unit
	}
	return math.Ceil(v/unit) * unit
}

var (
	plainRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*( [A-Za-z0-9_.-]+)*$`)
	wordsRE = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n|nan|inf)$`)
)

// yamlText writes a text so that YAML reads the same text, in a flow mapping too.
func yamlText(s string) string {
	if plainRE.MatchString(s) && !wordsRE.MatchString(s) {
		return s
	}
	return yamlQuoted(s)
}

// yamlQuoted is a JSON string, which is a double-quoted YAML text.
func yamlQuoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // cannot fail for a string
	return strings.TrimSpace(b.String())
}
