package data

import "time"

// rules are a checks.yaml that has no mistakes.
type rules struct {
	rows      rowsRule
	strict    bool
	reference string  // what rules compare with that name nothing themselves
	alarms    float64 // the chance of an alarm in data like the reference, over all calibrated rules
	severity  severities
	unique    []keyRule
	fresh     *freshRule
	sql       []sqlRule
	columns   []columnRules
}

// defaultAlarms lets one of a hundred good deliveries raise an alarm.
const defaultAlarms = 0.01

// severities are a file's or a column's choice for its rules.
type severities struct {
	all  Severity // empty: what is above decides
	rule map[string]Severity
}

// of is the severity of a rule: the column's word, then the file's.
func (r *rules) severityOf(column *columnRules, rule string) Severity {
	levels := []severities{r.severity}
	if column != nil {
		levels = []severities{column.severity, r.severity}
	}
	for _, s := range levels {
		if one, ok := s.rule[rule]; ok {
			return one
		}
		if s.all != "" {
			return s.all
		}
	}
	return Fail
}

type rowsRule struct {
	min, max *int64
	change   *float64 // of the reference's rows, as a share
	text     string   // of change, as written
	against  string
}

type columnRules struct {
	name     string
	typ      string // one of ruleTypes, or empty
	optional bool   // the column may be absent
	nullable bool
	nulls    *amount // how many values may be missing
	min, max *bound
	values   *valueSet
	pattern  string
	length   *lengthRule
	unique   bool
	in       *inRule
	ordered  string // increasing, decreasing, strictly increasing, strictly decreasing, or empty
	bands    []bandRule
	shifts   []shiftRule
	severity severities
}

// An amount is a number of rows, or a share of them.
type amount struct {
	rows  int64
	share float64 // when positive
	text  string
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

type lengthRule struct{ min, max *int64 }

// An inRule wants every value among those of another dataset's column.
type inRule struct{ dataset, column string }

// A keyRule wants each combination of values once.
type keyRule struct {
	columns  []string
	severity Severity
}

type freshRule struct {
	column string
	maxAge time.Duration
	text   string
}

// A sqlRule is a query whose rows are violations.
type sqlRule struct {
	name, query string
	severity    Severity
}

// A bandRule bounds a figure of a column: its mean, its standard deviation or
// a quantile.
type bandRule struct {
	rule     string  // mean, std or quantiles
	quantile float64 // of quantiles
	label    string  // of quantiles, as written: 50%
	min, max *float64
	// reference is the figure as written; nil: that of the reference data.
	reference *float64
	tolerance float64 // in the column's unit, or a share of the figure where relative
	relative  bool
	text      string // of reference and tolerance: 26.4 ± 15%
	// calibrated allows as much as chance explains, at the rate alarms.
	calibrated bool
	alarms     float64 // 0: the file's
	against    string
}

// A shiftRule compares a column's distribution with the reference's.
type shiftRule struct {
	rule      string   // psi, js, ks, chi2 or categories
	max       *float64 // a fixed threshold instead of the calibrated one
	minEffect float64  // below it nothing is an alarm, however unlikely
	alarms    float64  // 0: the file's
	against   string
	// Of categories: the share of rows with new ones, and the number of
	// vanished ones, that are let pass; nil: calibrated; negative: any.
	fresh, vanished *float64
}

// calibrated reports whether the rule takes its part of the file's alarms.
func (s shiftRule) calibrated() bool {
	if s.rule == "categories" {
		return s.fresh == nil || s.vanished == nil
	}
	return s.max == nil
}

var (
	ruleTypes  = []string{"number", "integer", "string", "boolean", "date", "timestamp"}
	orders     = []string{"increasing", "decreasing", "strictly increasing", "strictly decreasing"}
	rootKeys   = []string{"rows", "strict", "reference", "alarms", "severity", "unique", "fresh", "sql", "columns"}
	columnKeys = []string{"type", "optional", "nullable", "min", "max", "values", "pattern", "length", "unique", "in", "ordered",
		"mean", "std", "quantiles", "psi", "js", "ks", "chi2", "categories", "severity"}
	// ruleNames are what a severity can be given for.
	ruleNames = []string{"rows", "strict", "present", "fresh", "sql", "type", "nullable", "min", "max", "values", "pattern", "length", "unique", "in",
		"ordered", "mean", "std", "quantiles", "psi", "js", "ks", "chi2", "categories"}
)
