package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Import reads a pandera schema as YAML, or a Great Expectations suite of
// version 0.x or 1.x as JSON, and returns what a checks.yaml can say of it and,
// by name, what it cannot. name stands in messages and in the first comment.
//
// Formats: pandera.io.to_yaml; the expectation suite of Great Expectations as
// its stores write it ("expectations", each with "type", before 1.0
// "expectation_type", and "kwargs").
func Import(text []byte, name string) (checks []byte, left []string, err error) {
	im := importer{rows: map[string]string{}}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		var suite geSuite
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&suite); err != nil {
			return nil, nil, invalid("%s is not JSON: %v", name, err)
		}
		if suite.Expectations == nil {
			return nil, nil, invalid("%s has no list \"expectations\": expected a suite as Great Expectations writes it", name)
		}
		for _, e := range suite.Expectations {
			im.expectation(e)
		}
	} else {
		var schema paSchema
		if err := yaml.Unmarshal(text, &schema); err != nil {
			return nil, nil, invalid("%s is not YAML: %v", name, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if schema.Columns.Kind != yaml.MappingNode {
			return nil, nil, invalid("%s has no mapping \"columns\": expected a schema as pandera's to_yaml() writes it, or a suite of Great Expectations as JSON", name)
		}
		im.pandera(schema)
	}
	checks = im.text(name)
	if _, err := parseRules(checks, name); err != nil {
		return nil, nil, fmt.Errorf("what %s says does not go together: %w", name, err)
	}
	return checks, im.left, nil
}

// An importer gathers rules in the order in which it meets them.
type importer struct {
	columns []*imported
	rows    map[string]string
	strict  bool
	keys    [][]string
	sql     []sqlRule
	left    []string
}

// imported is a column and its rules as YAML.
type imported struct {
	name  string
	keys  []string
	value map[string]string
	warn  []string // rules that only warn
}

func (im *importer) column(name string) *imported {
	for _, c := range im.columns {
		if c.name == name {
			return c
		}
	}
	c := &imported{name: name, value: map[string]string{}}
	im.columns = append(im.columns, c)
	return c
}

// set gives a rule its value, unless it has another one already.
func (c *imported) set(key, value string) bool {
	if old, ok := c.value[key]; ok {
		return old == value
	}
	c.keys = append(c.keys, key)
	c.value[key] = value
	return true
}

func (im *importer) lose(format string, args ...any) {
	im.left = append(im.left, fmt.Sprintf(format, args...))
}

// assert adds a query whose rows are violations.
func (im *importer) assert(severity Severity, name, query string) {
	for i := 2; slices.ContainsFunc(im.sql, func(r sqlRule) bool { return r.name == name }); i++ {
		name = strings.TrimRight(name, "0123456789 ") + " " + strconv.Itoa(i)
	}
	im.sql = append(im.sql, sqlRule{name, query, severity})
}

// text is the checks.yaml.
func (im *importer) text(from string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# From %s.\n", strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, filepath.Base(from)))
	if len(im.rows) > 0 {
		var list []string
		for _, key := range []string{"min", "max"} {
			if v, ok := im.rows[key]; ok {
				list = append(list, key+": "+v)
			}
		}
		fmt.Fprintf(&b, "rows: {%s}\n", strings.Join(list, ", "))
	}
	if im.strict {
		b.WriteString("strict: true\n")
	}
	if len(im.keys) > 0 {
		b.WriteString("unique:\n")
		for _, key := range im.keys {
			fmt.Fprintf(&b, "  - [%s]\n", yamlTexts(key))
		}
	}
	if len(im.columns) > 0 {
		b.WriteString("columns:\n")
	}
	for _, c := range im.columns {
		var list []string
		for _, key := range c.keys {
			list = append(list, key+": "+c.value[key])
		}
		if len(c.warn) > 0 {
			list = append(list, "severity: {"+strings.Join(c.warn, ": warn, ")+": warn}")
		}
		fmt.Fprintf(&b, "  %s: {%s}\n", yamlText(c.name), strings.Join(list, ", "))
	}
	if len(im.sql) > 0 {
		b.WriteString("sql:\n")
	}
	for _, r := range im.sql {
		severity := ""
		if r.severity == Warn {
			severity = ", severity: warn"
		}
		fmt.Fprintf(&b, "  - {name: %s, query: %s%s}\n", yamlText(r.name), yamlQuoted(r.query), severity)
	}
	if len(im.rows) == 0 && !im.strict && len(im.keys)+len(im.columns)+len(im.sql) == 0 {
		b.WriteString("rows: {min: 1}\n")
	}
	return b.Bytes()
}

func yamlTexts(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = yamlText(s)
	}
	return strings.Join(out, ", ")
}

// imports has the types of numpy, pandas, SQL and Spark by how they begin.
var importedTypes = []struct{ prefix, typ string }{
	{"int", "integer"}, {"uint", "integer"}, {"bigint", "integer"}, {"smallint", "integer"}, {"long", "integer"}, {"short", "integer"}, {"byte", "integer"},
	{"float", "number"}, {"double", "number"}, {"decimal", "number"}, {"numeric", "number"}, {"real", "number"},
	{"bool", "boolean"}, {"datetime", "timestamp"}, {"timestamp", "timestamp"}, {"date", "date"},
	{"str", "string"}, {"object", "string"}, {"varchar", "string"}, {"text", "string"}, {"char", "string"},
}

func importedType(name string) (string, bool) {
	for _, t := range importedTypes {
		if strings.HasPrefix(strings.ToLower(name), t.prefix) {
			return t.typ, true
		}
	}
	return "", false
}

// pattern makes a Python expression one for the whole value, if Go and DuckDB
// can read it. A column's second pattern is a query.
func (im *importer) pattern(c *imported, severity Severity, before, expression, after string) bool {
	whole := before + "(?:" + expression + ")" + after
	if _, err := regexp.Compile(whole); err != nil {
		return false
	}
	if !c.set("pattern", yamlQuoted(whole)) {
		im.assert(severity, "pattern of "+c.name, fmt.Sprintf("SELECT %s FROM data WHERE NOT regexp_full_match(%[1]s, %s)", identifier(c.name), literal(whole)))
	}
	return true
}

const anything = "(?s:.*)"

// A paSchema is what pandera.io.to_yaml writes of a DataFrameSchema.
type paSchema struct {
	Columns yaml.Node
	Checks  map[string]any
	Index   []map[string]any
	Strict  any
	Unique  any
	Ordered bool
}

// paKnown are a column's keys that are no checks, and how they are read.
var paKnown = []string{"title", "description", "dtype", "nullable", "unique", "coerce", "required", "regex", "checks", "metadata", "default", "report_duplicates", "name"}

func (im *importer) pandera(s paSchema) {
	for i := 0; i+1 < len(s.Columns.Content); i += 2 {
		im.paColumn(s.Columns.Content[i].Value, s.Columns.Content[i+1])
	}
	im.strict = s.Strict == true
	if text, ok := s.Strict.(string); ok {
		im.lose("strict: %s", text)
	}
	switch unique := s.Unique.(type) {
	case string:
		im.keys = append(im.keys, []string{unique})
	case []any:
		var key []string
		for _, c := range unique {
			key = append(key, fmt.Sprint(c))
		}
		if len(key) > 0 {
			im.keys = append(im.keys, key)
		}
	}
	for name := range s.Checks {
		im.lose("the table's check %s", name)
	}
	slices.Sort(im.left)
	for _, index := range s.Index {
		im.lose("the index %v of type %v: files have none", index["name"], index["dtype"])
	}
	if s.Ordered {
		im.lose("ordered: the order of the columns")
	}
}

func (im *importer) paColumn(name string, n *yaml.Node) {
	var props map[string]yaml.Node
	if n.Decode(&props) != nil {
		im.lose("column %s: expected a mapping", name)
		return
	}
	flag := func(key string, missing bool) bool {
		v, ok := props[key]
		if !ok || v.Tag == "!!null" {
			return missing
		}
		return v.Value == "true"
	}
	if flag("regex", false) {
		im.lose("column %s: a pattern of names", name)
		return
	}
	c := im.column(name)
	if !flag("required", true) {
		c.set("optional", "true")
	}
	if dtype := props["dtype"]; dtype.Value != "" && dtype.Tag != "!!null" {
		if typ, ok := importedType(dtype.Value); ok {
			c.set("type", typ)
		} else {
			im.lose("column %s: dtype %s", name, dtype.Value)
		}
	}
	if !flag("nullable", false) {
		c.set("nullable", "false")
	}
	if flag("unique", false) {
		c.set("unique", "true")
	}
	// Checks stand beside the other keys; before pandera 0.24, below "checks".
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i].Value, n.Content[i+1]
		switch {
		case key == "checks" && v.Kind == yaml.MappingNode:
			for j := 0; j+1 < len(v.Content); j += 2 {
				im.paCheck(c, v.Content[j].Value, v.Content[j+1])
			}
		case key == "checks" && v.Kind == yaml.SequenceNode:
			for range v.Content {
				im.lose("column %s: a check without a name", name)
			}
		case !slices.Contains(paKnown, key):
			im.paCheck(c, key, v)
		}
	}
}

// paCheck maps one of pandera's built-in checks.
func (im *importer) paCheck(c *imported, check string, n *yaml.Node) {
	args := map[string]yaml.Node{}
	scalar := *n
	if n.Kind == yaml.MappingNode {
		_ = n.Decode(&args) // of a mapping, cannot fail
		if v, ok := args["value"]; ok {
			scalar = v
		}
	}
	arg := func(name string) string { v := args[name]; return nodeText(&v) }
	done := true
	switch value := nodeText(&scalar); check {
	case "greater_than_or_equal_to", "ge":
		done = c.set("min", value)
	case "less_than_or_equal_to", "le":
		done = c.set("max", value)
	case "greater_than", "gt":
		im.beyond(c, Fail, value, "<=")
	case "less_than", "lt":
		im.beyond(c, Fail, value, ">=")
	case "in_range":
		im.inRange(c, arg("min_value"), arg("max_value"), arg("include_min") == "false", arg("include_max") == "false")
	case "isin":
		list := &scalar
		if v, ok := args["allowed_values"]; ok {
			list = &v
		}
		done = list.Kind == yaml.SequenceNode && c.set("values", "["+nodeTexts(list)+"]")
	case "equal_to", "eq":
		done = c.set("values", "["+value+"]")
	case "notin", "not_equal_to", "ne":
		list := &scalar
		if v, ok := args["forbidden_values"]; ok {
			list = &v
		}
		if list.Kind != yaml.SequenceNode {
			list = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{&scalar}}
		}
		im.forbid(c, Fail, list)
	case "str_matches":
		done = im.pattern(c, Fail, "", scalarOf(args, "pattern", scalar), anything)
	case "str_contains":
		done = im.pattern(c, Fail, anything, scalarOf(args, "pattern", scalar), anything)
	case "str_startswith":
		done = im.pattern(c, Fail, "", regexp.QuoteMeta(scalarOf(args, "string", scalar)), anything)
	case "str_endswith":
		done = im.pattern(c, Fail, anything, regexp.QuoteMeta(scalarOf(args, "string", scalar)), "")
	case "str_length":
		if exact := arg("exact_value"); exact != "" {
			done = c.set("length", exact)
		} else {
			done = c.set("length", span(arg("min_value"), arg("max_value")))
		}
	default:
		done = false
	}
	if !done {
		im.lose("column %s: %s", c.name, check)
	}
}

func scalarOf(args map[string]yaml.Node, key string, scalar yaml.Node) string {
	if v, ok := args[key]; ok {
		return v.Value
	}
	return scalar.Value
}

// nodeText is a scalar as YAML; empty for none.
func nodeText(n *yaml.Node) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		return ""
	case n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool" || n.Tag == "!!timestamp":
		return n.Value
	}
	return yamlText(n.Value)
}

func nodeTexts(n *yaml.Node) string {
	var out []string
	for _, v := range n.Content {
		out = append(out, nodeText(v))
	}
	return strings.Join(out, ", ")
}

func span(min, max string) string {
	var list []string
	if min != "" {
		list = append(list, "min: "+min)
	}
	if max != "" {
		list = append(list, "max: "+max)
	}
	return "{" + strings.Join(list, ", ") + "}"
}

// inRange sets min and max, the open ends as queries.
func (im *importer) inRange(c *imported, lo, hi string, openLo, openHi bool) {
	for _, end := range []struct {
		key, value, beyond string
		open               bool
	}{{"min", lo, "<=", openLo}, {"max", hi, ">=", openHi}} {
		switch {
		case end.value == "":
		case end.open:
			im.beyond(c, Fail, end.value, end.beyond)
		case !c.set(end.key, end.value):
			im.lose("column %s: a second %s, %s", c.name, end.key, end.value)
		}
	}
}

// beyond forbids values that compare so, as a query: checks.yaml's own bounds
// belong to the range.
func (im *importer) beyond(c *imported, severity Severity, value, compare string) {
	im.assert(severity, c.name+" "+compare+" "+strings.Trim(value, `"`), fmt.Sprintf("SELECT %s FROM data WHERE %[1]s %s %s", identifier(c.name), compare, sqlValue(value)))
}

// sqlValue is a YAML scalar as SQL.
func sqlValue(text string) string {
	if _, err := strconv.ParseFloat(text, 64); err == nil || text == "true" || text == "false" {
		return text
	}
	var s string
	if yaml.Unmarshal([]byte(text), &s) != nil {
		s = text
	}
	return literal(s)
}

func (im *importer) forbid(c *imported, severity Severity, list *yaml.Node) {
	var values []string
	for _, v := range list.Content {
		values = append(values, sqlValue(nodeText(v)))
	}
	im.assert(severity, c.name+" not in a set", fmt.Sprintf("SELECT %s FROM data WHERE %[1]s IN (%s)", identifier(c.name), strings.Join(values, ", ")))
}
