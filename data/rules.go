package data

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseRules reads checks.yaml. Every mistake is reported, each with its line
// and column.
func parseRules(text []byte, name string) (rules, error) {
	p := ruleParser{file: name, rules: rules{alarms: defaultAlarms}}
	var doc yaml.Node
	if err := yaml.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &doc); err != nil {
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

func (p *ruleParser) root(n *yaml.Node) {
	p.mapping(n, "checks", rootKeys, func(key string, k, v *yaml.Node) {
		r := &p.rules
		switch key {
		case "rows":
			p.rowsRule(k, v)
		case "strict":
			r.strict = p.boolean(v, "strict")
		case "reference":
			r.reference = p.dataset(v, "reference")
		case "alarms":
			r.alarms = p.rate(v, "alarms")
		case "severity":
			r.severity = p.severities(v, "severity")
		case "unique":
			r.unique = p.keys(v)
		case "fresh":
			r.fresh = p.fresh(v)
		case "sql":
			r.sql = p.sql(v)
		case "columns":
			p.mapping(v, "columns", nil, func(key string, k, v *yaml.Node) { p.column(key, k, v) })
		}
	})
}

func (p *ruleParser) rowsRule(k, n *yaml.Node) {
	r := &p.rules.rows
	p.mapping(n, "rows", []string{"min", "max", "change", "against"}, func(key string, _, v *yaml.Node) {
		switch key {
		case "min":
			r.min = p.rows(v, "rows.min")
		case "max":
			r.max = p.rows(v, "rows.max")
		case "change":
			r.change, r.text = p.share(v, "rows.change", 0), v.Value
		case "against":
			r.against = p.dataset(v, "rows.against")
		}
	})
	if lo, hi := r.min, r.max; lo != nil && hi != nil && *lo > *hi {
		p.wrong(k, "rows: min %d is above max %d", *lo, *hi)
	}
}

// keys reads [a, b], a key of two columns, or [[a, b], {columns: [c, d]}].
func (p *ruleParser) keys(n *yaml.Node) []keyRule {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.wrong(n, "unique: expected columns such as [customer, day], or a list of such lists, found %s", describe(n))
		return nil
	}
	if !slices.ContainsFunc(n.Content, func(v *yaml.Node) bool { return resolve(v).Kind != yaml.ScalarNode }) {
		return []keyRule{{columns: p.texts(n, "unique")}}
	}
	var out []keyRule
	for _, v := range n.Content {
		k := keyRule{}
		if v = resolve(v); v.Kind != yaml.MappingNode {
			k.columns = p.texts(v, "unique")
		} else {
			p.mapping(v, "unique", []string{"columns", "severity"}, func(key string, _, v *yaml.Node) {
				if key == "columns" {
					k.columns = p.texts(v, "unique: columns")
				} else {
					k.severity = p.severity(v, "unique: severity")
				}
			})
		}
		if len(k.columns) == 0 {
			p.wrong(v, "unique: expected at least one column")
		}
		out = append(out, k)
	}
	return out
}

func (p *ruleParser) fresh(n *yaml.Node) *freshRule {
	f := &freshRule{}
	p.mapping(n, "fresh", []string{"column", "max_age"}, func(key string, _, v *yaml.Node) {
		if key == "column" {
			f.column = p.text(v, "fresh: column")
		} else {
			f.maxAge, f.text = p.duration(v, "fresh: max_age"), v.Value
		}
	})
	if n.Kind == yaml.MappingNode && (f.column == "" || f.maxAge == 0) {
		p.wrong(n, "fresh: expected both, such as {column: seen, max_age: 36h}")
	}
	return f
}

func (p *ruleParser) sql(n *yaml.Node) []sqlRule {
	if n.Kind != yaml.SequenceNode {
		p.wrong(n, "sql: expected a list of {name, query}, found %s", describe(n))
		return nil
	}
	var out []sqlRule
	for _, v := range n.Content {
		r := sqlRule{}
		v = resolve(v)
		p.mapping(v, "sql", []string{"name", "query", "severity"}, func(key string, _, v *yaml.Node) {
			switch key {
			case "name":
				r.name = p.text(v, "sql: name")
			case "query":
				r.query = strings.TrimRight(strings.TrimSpace(p.text(v, "sql: query")), "; \n")
			case "severity":
				r.severity = p.severity(v, "sql: severity")
			}
		})
		if v.Kind == yaml.MappingNode && (r.name == "" || r.query == "") {
			p.wrong(v, "sql: expected a name and a query, such as {name: no refunds, query: \"SELECT * FROM data WHERE amount < 0\"}")
		}
		out = append(out, r)
	}
	return out
}

func (p *ruleParser) column(name string, _, n *yaml.Node) {
	c := columnRules{name: name, nullable: true}
	defer func() { p.rules.columns = append(p.rules.columns, c) }()
	what := "column " + name
	if n.Tag == "!!null" {
		return // only that it is there
	}
	var at = map[string]*yaml.Node{}
	p.mapping(n, what, columnKeys, func(key string, _, v *yaml.Node) {
		at[key] = v
		p.columnRule(&c, key, v, what+": "+key)
	})
	p.bounds(&c, at, what)
	numeric := c.typ == "" || c.typ == "number" || c.typ == "integer"
	temporal := c.typ == "date" || c.typ == "timestamp"
	for _, key := range []string{"mean", "std", "quantiles"} {
		if at[key] != nil && !numeric {
			p.wrong(at[key], "%s: %s needs type number or integer, not %s", what, key, c.typ)
		}
	}
	if at["ks"] != nil && !numeric && !temporal {
		p.wrong(at["ks"], "%s: ks needs an order: type number, integer, date or timestamp, not %s; use psi, js, chi2 or categories", what, c.typ)
	}
}

func (p *ruleParser) columnRule(c *columnRules, key string, v *yaml.Node, what string) {
	switch key {
	case "type":
		c.typ = p.choice(v, what, ruleTypes)
	case "nullable":
		c.nullable, c.nulls = p.nullable(v, what)
	case "optional":
		c.optional = p.boolean(v, what)
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
	case "length":
		c.length = p.length(v, what)
	case "in":
		c.in = p.in(v, what)
	case "ordered":
		c.ordered = p.choice(v, what, orders)
	case "mean", "std":
		if b, ok := p.band(v, what); ok {
			b.rule = key
			c.bands = append(c.bands, b)
		}
	case "quantiles":
		c.bands = append(c.bands, p.quantiles(v, what)...)
	case "psi", "js", "ks", "chi2":
		if s, ok := p.shift(v, what); ok {
			s.rule = key
			c.shifts = append(c.shifts, s)
		}
	case "categories":
		if s, ok := p.categories(v, what); ok {
			s.rule = key
			c.shifts = append(c.shifts, s)
		}
	case "severity":
		c.severity = p.severities(v, what)
	}
}

// bounds holds min and max against each other and against the type.
func (p *ruleParser) bounds(c *columnRules, at map[string]*yaml.Node, what string) {
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
		if b != nil && (b.time == "" && !numeric || b.time != "" && !temporal) {
			p.wrong(at[key], "%s: %s %s does not go with type %s", what, key, b.text, c.typ)
		}
	}
}

func (p *ruleParser) in(n *yaml.Node, what string) *inRule {
	r := &inRule{}
	p.mapping(n, what, []string{"dataset", "column"}, func(key string, _, v *yaml.Node) {
		if key == "dataset" {
			r.dataset = p.dataset(v, what+": dataset")
		} else {
			r.column = p.text(v, what+": column")
		}
	})
	if n.Kind == yaml.MappingNode && (r.dataset == "" || r.column == "") {
		p.wrong(n, "%s: expected both, such as {dataset: customers, column: id}", what)
	}
	return r
}

func (p *ruleParser) length(n *yaml.Node, what string) *lengthRule {
	l := &lengthRule{}
	if n.Kind == yaml.ScalarNode {
		l.min = p.count(n, what, "characters")
		l.max = l.min
		return l
	}
	p.mapping(n, what, []string{"min", "max"}, func(key string, _, v *yaml.Node) {
		if key == "min" {
			l.min = p.count(v, what+": min", "characters")
		} else {
			l.max = p.count(v, what+": max", "characters")
		}
	})
	if l.min != nil && l.max != nil && *l.min > *l.max {
		p.wrong(n, "%s: min %d is above max %d", what, *l.min, *l.max)
	}
	return l
}

// nullable reads true, false or {max: 5%}.
func (p *ruleParser) nullable(n *yaml.Node, what string) (bool, *amount) {
	if n.Kind != yaml.MappingNode {
		return p.boolean(n, what), nil
	}
	var a *amount
	p.mapping(n, what, []string{"max"}, func(_ string, _, v *yaml.Node) {
		text, percent := strings.CutSuffix(v.Value, "%")
		f, ok := p.float(text)
		switch {
		case v.Kind != yaml.ScalarNode || !ok || f < 0 || percent && f > 100 || !percent && f > 1 && f != float64(int64(f)):
			p.wrong(v, "%s: max: expected a share such as 5%%, or a number of rows, found %s", what, describe(v))
		case percent:
			a = &amount{share: f / 100, text: v.Value}
		case f > 0 && f < 1:
			a = &amount{share: f, text: v.Value}
		default:
			a = &amount{rows: int64(f), text: count(int64(f), "row")}
		}
	})
	if a == nil {
		a = &amount{}
	}
	return false, a
}

// severities reads warn, fail, or a mapping from rules (and default) to them.
func (p *ruleParser) severities(n *yaml.Node, what string) severities {
	if n.Kind == yaml.ScalarNode {
		return severities{all: p.severity(n, what)}
	}
	s := severities{rule: map[string]Severity{}}
	p.mapping(n, what, append([]string{"default"}, ruleNames...), func(key string, _, v *yaml.Node) {
		if one := p.severity(v, what+": "+key); key == "default" {
			s.all = one
		} else {
			s.rule[key] = one
		}
	})
	return s
}

func (p *ruleParser) severity(n *yaml.Node, what string) Severity {
	return Severity(p.choice(n, what, []string{string(Fail), string(Warn)}))
}

func (p *ruleParser) dataset(n *yaml.Node, what string) string {
	name := p.text(n, what)
	base, version, versioned := strings.Cut(name, ":")
	if f, ok := p.float(version); name != "" && (base == "" || versioned && (!ok || f < 1 || f != float64(int64(f)))) {
		p.wrong(n, "%s: expected a dataset such as sales or sales:4, found %s", what, describe(n))
		return ""
	}
	return name
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
			p.wrong(k, "%s: %s", what, unknownKey(k.Value, known))
		case strings.ContainsRune(k.Value, 0):
			p.wrong(k, "%s: %q holds a zero byte", what, k.Value)
		default:
			f(k.Value, k, v)
		}
		seen[k.Value] = true
	}
}

func (p *ruleParser) wrong(n *yaml.Node, format string, args ...any) {
	p.mistakes = append(p.mistakes, fmt.Sprintf("%s:%d:%d: ", p.file, n.Line, n.Column)+fmt.Sprintf(format, args...))
}

type ruleParser struct {
	file     string
	rules    rules
	mistakes []string
}
