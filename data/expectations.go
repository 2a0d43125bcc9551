package data

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A geSuite is an expectation suite of Great Expectations.
type geSuite struct {
	Expectations []geExpectation `json:"expectations"`
}

type geExpectation struct {
	Type     string         `json:"type"`             // since 1.0
	Old      string         `json:"expectation_type"` // before
	Kwargs   map[string]any `json:"kwargs"`
	Severity string         `json:"severity"` // critical, warning or info, since 1.5
}

// expectation maps one expectation, or lists it with what it says.
func (im *importer) expectation(e geExpectation) {
	if e.Type == "" {
		e.Type = e.Old
	}
	a := geArgs{e.Kwargs}
	severity := Fail
	if e.Severity == "warning" || e.Severity == "info" {
		severity = Warn
	}
	name := a.text("column")
	lost := func(why string) {
		what := e.Type
		if name != "" {
			what += " of " + name
		}
		im.lose("%s%s", what, why)
	}
	if a.has("row_condition") {
		lost(": row_condition")
		return
	}
	if mostly := a.number("mostly"); mostly != "" && mostly != "1" && mostly != "1.0" && e.Type != "expect_column_values_to_not_be_null" {
		lost(": mostly " + mostly)
		return
	}
	if name == "" {
		if !im.tableExpectation(e.Type, a, severity) {
			lost("")
		}
		return
	}
	c := im.column(name)
	rules := len(c.keys)
	ok := im.columnExpectation(c, e.Type, a, severity) || im.assertExpectation(c, e.Type, a, severity)
	if !ok {
		lost("")
	}
	if severity == Warn {
		c.warn = append(c.warn, c.keys[rules:]...)
	}
}

// geArgs are an expectation's arguments as YAML.
type geArgs struct{ kwargs map[string]any }

func (a geArgs) has(key string) bool { return a.kwargs[key] != nil }

func (a geArgs) text(key string) string {
	s, _ := a.kwargs[key].(string)
	return s
}

func (a geArgs) number(key string) string {
	switch v := a.kwargs[key].(type) {
	case json.Number:
		return v.String()
	case string: // a date
		return yamlText(v)
	}
	return ""
}

// whole is a number without the fraction that Python's writing may have.
func (a geArgs) whole(key string) string {
	v := a.number(key)
	if f, err := strconv.ParseFloat(v, 64); err == nil && f == float64(int64(f)) {
		return strconv.FormatInt(int64(f), 10)
	}
	return v
}

func (a geArgs) flag(key string) bool { return a.kwargs[key] == true }

func (a geArgs) texts(key string) []string {
	list, _ := a.kwargs[key].([]any)
	var out []string
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// values is a list as a YAML node.
func (a geArgs) values(key string) *yaml.Node {
	list, _ := a.kwargs[key].([]any)
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, v := range list {
		tag := "!!str"
		switch v.(type) {
		case json.Number:
			tag = "!!float"
		case bool:
			tag = "!!bool"
		case nil:
			continue
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: fmt.Sprint(v)})
	}
	return n
}

func (im *importer) tableExpectation(typ string, a geArgs, severity Severity) bool {
	switch typ {
	case "expect_table_row_count_to_be_between":
		for key, arg := range map[string]string{"min": "min_value", "max": "max_value"} {
			if v := a.whole(arg); v != "" {
				im.rows[key] = v
			}
		}
	case "expect_table_row_count_to_equal":
		im.rows["min"], im.rows["max"] = a.whole("value"), a.whole("value")
	case "expect_table_columns_to_match_set", "expect_table_columns_to_match_ordered_list":
		for _, name := range append(a.texts("column_set"), a.texts("column_list")...) {
			im.column(name)
		}
		im.strict = a.kwargs["exact_match"] != false
		if a.has("column_list") {
			im.lose("%s: the order of the columns", typ)
		}
	case "expect_compound_columns_to_be_unique", "expect_multicolumn_values_to_be_unique":
		im.keys = append(im.keys, a.texts("column_list"))
	case "expect_column_pair_values_a_to_be_greater_than_b":
		compare := "<="
		if a.flag("or_equal") {
			compare = "<"
		}
		im.pair(a, severity, compare)
	case "expect_column_pair_values_to_be_equal":
		im.pair(a, severity, "IS DISTINCT FROM")
	case "unexpected_rows_expectation":
		query := a.text("unexpected_rows_query")
		if query == "" {
			return false
		}
		im.assert(severity, "unexpected rows", strings.ReplaceAll(query, "{batch}", "data"))
	default:
		return false
	}
	return true
}

func (im *importer) pair(a geArgs, severity Severity, compare string) {
	x, y := a.text("column_A"), a.text("column_B")
	im.assert(severity, x+" "+compare+" "+y, fmt.Sprintf("SELECT %[1]s, %[2]s FROM data WHERE %[1]s %[3]s %[2]s", identifier(x), identifier(y), compare))
}

// columnExpectation maps what is a rule of a column.
func (im *importer) columnExpectation(c *imported, typ string, a geArgs, severity Severity) bool {
	switch typ {
	case "expect_column_to_exist":
		return true
	case "expect_column_values_to_not_be_null":
		mostly, err := strconv.ParseFloat(a.number("mostly"), 64)
		if err != nil || mostly >= 1 {
			return c.set("nullable", "false")
		}
		return c.set("nullable", fmt.Sprintf("{max: %.6g%%}", 100*(1-mostly)))
	case "expect_column_values_to_be_unique":
		return c.set("unique", "true")
	case "expect_column_values_to_be_between":
		ok := true
		for _, end := range []struct{ key, arg, strict, beyond string }{{"min", "min_value", "strict_min", "<="}, {"max", "max_value", "strict_max", ">="}} {
			switch v := a.number(end.arg); {
			case v == "":
			case a.flag(end.strict):
				im.beyond(c, severity, v, end.beyond)
			default:
				ok = c.set(end.key, v) && ok
			}
		}
		return ok
	case "expect_column_values_to_be_in_set", "expect_column_distinct_values_to_be_in_set":
		list := a.values("value_set")
		return len(list.Content) > 0 && c.set("values", "["+nodeTexts(list)+"]")
	case "expect_column_values_to_match_regex":
		return im.pattern(c, severity, anything, a.text("regex"), anything)
	case "expect_column_values_to_be_of_type":
		t, ok := importedType(a.text("type_"))
		return ok && c.set("type", t)
	case "expect_column_values_to_be_in_type_list":
		var found string
		for _, name := range a.texts("type_list") {
			t, ok := importedType(name)
			if !ok || found != "" && found != t {
				return false
			}
			found = t
		}
		return found != "" && c.set("type", found)
	case "expect_column_value_lengths_to_be_between":
		return c.set("length", span(a.whole("min_value"), a.whole("max_value")))
	case "expect_column_value_lengths_to_equal":
		return c.set("length", a.whole("value"))
	case "expect_column_mean_to_be_between":
		return c.set("mean", span(a.number("min_value"), a.number("max_value")))
	case "expect_column_stdev_to_be_between":
		return c.set("std", span(a.number("min_value"), a.number("max_value")))
	case "expect_column_median_to_be_between":
		return c.addQuantiles("50%: " + span(a.number("min_value"), a.number("max_value")))
	case "expect_column_quantile_values_to_be_between":
		return c.setQuantiles(a)
	case "expect_column_values_to_be_increasing", "expect_column_values_to_be_decreasing":
		order := strings.TrimPrefix(typ, "expect_column_values_to_be_")
		if a.flag("strictly") {
			order = "strictly " + order
		}
		return c.set("ordered", order)
	}
	return false
}

func (c *imported) setQuantiles(a geArgs) bool {
	ranges, _ := a.kwargs["quantile_ranges"].(map[string]any)
	at := geArgs{ranges}.texts("quantiles")
	bounds, _ := ranges["value_ranges"].([]any)
	var list []string
	for i, q := range at {
		if i >= len(bounds) {
			return false
		}
		pair, _ := bounds[i].([]any)
		if len(pair) != 2 || pair[0] == nil && pair[1] == nil {
			return false
		}
		ends := geArgs{map[string]any{"min": pair[0], "max": pair[1]}}
		list = append(list, q+": "+span(ends.number("min"), ends.number("max")))
	}
	return len(list) > 0 && c.addQuantiles(strings.Join(list, ", "))
}

// addQuantiles puts bands beside those that other expectations gave.
func (c *imported) addQuantiles(list string) bool {
	if old, ok := c.value["quantiles"]; ok {
		c.value["quantiles"] = strings.TrimSuffix(old, "}") + ", " + list + "}"
		return true
	}
	return c.set("quantiles", "{"+list+"}")
}

// assertExpectation maps what a query can say.
func (im *importer) assertExpectation(c *imported, typ string, a geArgs, severity Severity) bool {
	col := identifier(c.name)
	name := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(typ, "expect_"), "column_"), "_", " ") + " of " + c.name
	switch typ {
	case "expect_column_values_to_be_null":
		im.assert(severity, name, fmt.Sprintf("SELECT %s FROM data WHERE %[1]s IS NOT NULL", col))
		return true
	case "expect_column_values_to_not_be_in_set":
		im.forbid(c, severity, a.values("value_set"))
		return true
	case "expect_column_values_to_not_match_regex":
		im.assert(severity, name, fmt.Sprintf("SELECT %s FROM data WHERE regexp_matches(%[1]s, %s)", col, literal(a.text("regex"))))
		return true
	}
	aggregates := map[string]string{
		"expect_column_min_to_be_between":                           "min(" + col + ")",
		"expect_column_max_to_be_between":                           "max(" + col + ")",
		"expect_column_sum_to_be_between":                           "sum(" + col + ")",
		"expect_column_unique_value_count_to_be_between":            "count(DISTINCT " + col + ")",
		"expect_column_proportion_of_unique_values_to_be_between":   "count(DISTINCT " + col + ") / count(" + col + ")",
		"expect_column_proportion_of_non_null_values_to_be_between": "count(" + col + ") / count(*)",
		"expect_column_non_null_value_proportion_to_be_between":     "count(" + col + ") / count(*)",
	}
	figure, known := aggregates[typ]
	if !known {
		return false
	}
	var broken []string
	for _, end := range []struct{ arg, strict, beyond, orEqual string }{{"min_value", "strict_min", "<", "<="}, {"max_value", "strict_max", ">", ">="}} {
		if v := a.number(end.arg); v != "" {
			compare := end.beyond
			if a.flag(end.strict) {
				compare = end.orEqual
			}
			broken = append(broken, figure+" "+compare+" "+sqlValue(v))
		}
	}
	if len(broken) > 0 {
		im.assert(severity, name, fmt.Sprintf("SELECT %s AS found FROM data HAVING %s", figure, strings.Join(broken, " OR ")))
	}
	return true
}
