package data

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// rules are a checks.yaml that has no mistakes.
type rules struct {
	minRows, maxRows *int64
	strict           bool
	columns          []columnRules
}

type columnRules struct {
	name     string
	typ      string // one of ruleTypes, or empty
	nullable bool
	min, max *bound
	values   *valueSet
	pattern  string
	unique   bool
	mean     *shapeRule
	std      *shapeRule
}

// A bound is a number or a point in time.
type bound struct {
	text   string
	number float64
	time   string // as DuckDB reads it; empty for a number
}

// A valueSet is the values a column may have.
type valueSet struct {
	texts   []string
	numbers []float64
}

// A shapeRule bounds a moment of a column's distribution.
type shapeRule struct {
	reference, tolerance float64 // both in the column's unit
	text                 string  // as written: "26.4 ± 15%"
}

var ruleTypes = []string{"number", "integer", "string", "boolean", "date", "timestamp"}

// parseRules reads checks.yaml. Every mistake is reported, each with its line.
func parseRules(text []byte, name string) (rules, error) {
	p := ruleParser{file: name}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return rules{}, invalid("%s: %v", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return rules{}, invalid("%s is empty; expected rows, strict or columns", name)
	}
	p.root(doc.Content[0])
	if len(p.mistakes) > 0 {
		return rules{}, invalid("%s", strings.Join(p.mistakes, "\n"))
	}
	return p.rules, nil
}

type ruleParser struct {
	file     string
	rules    rules
	mistakes []string
}

func (p *ruleParser) wrong(n *yaml.Node, format string, args ...any) {
	p.mistakes = append(p.mistakes, fmt.Sprintf("%s:%d: ", p.file, n.Line)+fmt.Sprintf(format, args...))
}

// mapping calls f for each key of n, in order; unknown and doubled keys are mistakes.
func (p *ruleParser) mapping(n *yaml.Node, what string, known []string, f func(key string, k, v *yaml.Node)) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		expected := "a mapping"
		if known != nil {
			expected += " with " + strings.Join(known, ", ")
		}
		p.wrong(n, "%s: expected %s, found %s", what, expected, describe(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolve(n.Content[i+1])
		switch {
		case seen[k.Value]:
			p.wrong(k, "%s: %q is given twice", what, k.Value)
		case known != nil && !slices.Contains(known, k.Value):
			p.wrong(k, "%s: unknown key %q; known are %s", what, k.Value, strings.Join(known, ", "))
		default:
			f(k.Value, k, v)
		}
		seen[k.Value] = true
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return strconv.Quote(n.Value)
}

func (p *ruleParser) root(n *yaml.Node) {
	p.mapping(n, "checks", []string{"rows", "strict", "columns"}, func(key string, k, v *yaml.Node) {
		switch key {
		case "rows":
			p.mapping(v, "rows", []string{"min", "max"}, func(key string, _, v *yaml.Node) {
				if rows, ok := p.rows(v, "rows."+key); ok && key == "min" {
					p.rules.minRows = &rows
				} else if ok {
					p.rules.maxRows = &rows
				}
			})
			if lo, hi := p.rules.minRows, p.rules.maxRows; lo != nil && hi != nil && *lo > *hi {
				p.wrong(k, "rows: min %d is above max %d", *lo, *hi)
			}
		case "strict":
			p.rules.strict = p.boolean(v, "strict")
		case "columns":
			p.mapping(v, "columns", nil, func(key string, k, v *yaml.Node) { p.column(key, k, v) })
		}
	})
}

var columnKeys = []string{"type", "nullable", "min", "max", "values", "pattern", "unique", "mean", "std"}

func (p *ruleParser) column(name string, k, n *yaml.Node) {
	c := columnRules{name: name, nullable: true}
	defer func() { p.rules.columns = append(p.rules.columns, c) }()
	what := "column " + name
	if n.Tag == "!!null" {
		return // only that it is there
	}
	var at = map[string]*yaml.Node{}
	p.mapping(n, what, columnKeys, func(key string, _, v *yaml.Node) {
		at[key] = v
		what := what + ": " + key
		switch key {
		case "type":
			if c.typ = v.Value; v.Kind != yaml.ScalarNode || !slices.Contains(ruleTypes, v.Value) {
				p.wrong(v, "%s: expected one of %s, found %s", what, strings.Join(ruleTypes, ", "), describe(v))
				c.typ = ""
			}
		case "nullable":
			c.nullable = p.boolean(v, what)
		case "unique":
			c.unique = p.boolean(v, what)
		case "min":
			c.min = p.bound(v, what)
		case "max":
			c.max = p.bound(v, what)
		case "values":
			c.values = p.values(v, what)
		case "pattern":
			c.pattern = p.pattern(v, what)
		case "mean":
			c.mean = p.shape(v, what)
		case "std":
			c.std = p.shape(v, what)
		}
	})
	if c.min != nil && c.max != nil {
		switch {
		case (c.min.time == "") != (c.max.time == ""):
			p.wrong(at["min"], "%s: min %s and max %s are not of one kind; write two numbers or two dates", what, c.min.text, c.max.text)
		case c.min.time == "" && c.min.number > c.max.number, c.min.time > c.max.time:
			p.wrong(at["min"], "%s: min %s is above max %s", what, c.min.text, c.max.text)
		}
	}
	numeric := c.typ == "" || c.typ == "number" || c.typ == "integer"
	temporal := c.typ == "" || c.typ == "date" || c.typ == "timestamp"
	for _, key := range []string{"min", "max"} {
		b := map[string]*bound{"min": c.min, "max": c.max}[key]
		if b == nil {
			continue
		}
		if b.time == "" && !numeric || b.time != "" && !temporal {
			p.wrong(at[key], "%s: %s %s does not go with type %s", what, key, b.text, c.typ)
		}
	}
	for _, key := range []string{"mean", "std"} {
		if at[key] != nil && !numeric {
			p.wrong(at[key], "%s: %s needs type number or integer, not %s", what, key, c.typ)
		}
	}
}

func (p *ruleParser) rows(n *yaml.Node, what string) (int64, bool) {
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 {
		p.wrong(n, "%s: expected a number of rows, found %s", what, describe(n))
		return 0, false
	}
	return v, true
}

func (p *ruleParser) boolean(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		p.wrong(n, "%s: expected true or false, found %s", what, describe(n))
	}
	return strings.EqualFold(n.Value, "true")
}

func (p *ruleParser) number(n *yaml.Node, what string) (float64, bool) {
	v, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		p.wrong(n, "%s: expected a number, found %s", what, describe(n))
		return 0, false
	}
	return v, true
}

func (p *ruleParser) bound(n *yaml.Node, what string) *bound {
	if n.Kind == yaml.ScalarNode {
		for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.RFC3339} {
			if t, err := time.Parse(layout, n.Value); err == nil {
				return &bound{text: n.Value, time: t.UTC().Format("2006-01-02 15:04:05")}
			}
		}
		if v, err := strconv.ParseFloat(n.Value, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			return &bound{text: n.Value, number: v}
		}
	}
	p.wrong(n, "%s: expected a number or a date such as 2026-01-31, found %s", what, describe(n))
	return nil
}

func (p *ruleParser) values(n *yaml.Node, what string) *valueSet {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.wrong(n, "%s: expected a list such as [a, b], found %s", what, describe(n))
		return nil
	}
	set := &valueSet{}
	for _, v := range n.Content {
		v = resolve(v)
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" || strings.ContainsRune(v.Value, 0) {
			p.wrong(v, "%s: expected texts and numbers, found %s; for missing values use nullable", what, describe(v))
			continue
		}
		set.texts = append(set.texts, v.Value)
		if f, err := strconv.ParseFloat(v.Value, 64); err == nil && (v.Tag == "!!int" || v.Tag == "!!float") && !math.IsNaN(f) {
			set.numbers = append(set.numbers, f)
		}
	}
	return set
}

// pattern wants RE2's syntax, which Go and DuckDB share.
func (p *ruleParser) pattern(n *yaml.Node, what string) string {
	_, err := regexp.Compile(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || n.Value == "" || strings.ContainsRune(n.Value, 0):
		p.wrong(n, "%s: expected a regular expression, found %s", what, describe(n))
	case err != nil:
		p.wrong(n, "%s: %v", what, err)
	}
	return n.Value
}

func (p *ruleParser) shape(n *yaml.Node, what string) *shapeRule {
	var s shapeRule
	var reference, tolerance *yaml.Node
	p.mapping(n, what, []string{"reference", "tolerance"}, func(key string, _, v *yaml.Node) {
		if key == "reference" {
			reference = v
		} else {
			tolerance = v
		}
	})
	if n.Kind != yaml.MappingNode {
		return nil
	}
	if reference == nil || tolerance == nil {
		p.wrong(n, "%s: expected both, such as {reference: 26.4, tolerance: 15%%}", what)
		return nil
	}
	var ok bool
	if s.reference, ok = p.number(reference, what+": reference"); !ok {
		return nil
	}
	percent, isPercent := strings.CutSuffix(tolerance.Value, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
	if tolerance.Kind != yaml.ScalarNode || err != nil || !(v > 0) || math.IsInf(v, 0) {
		p.wrong(tolerance, "%s: tolerance: expected a positive number or percentage such as 15%%, found %s", what, describe(tolerance))
		return nil
	}
	if s.tolerance = v; isPercent {
		if s.reference == 0 {
			p.wrong(tolerance, "%s: tolerance: a percentage of reference 0 is nothing; write an absolute tolerance", what)
			return nil
		}
		s.tolerance = v / 100 * math.Abs(s.reference)
	}
	s.text = fmt.Sprintf("%s ± %s", reference.Value, tolerance.Value)
	return &s
}
