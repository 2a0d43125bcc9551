package project

import (
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// worsening reads how much worse slices may get: one amount for all, or a map
// from a column, or a column and its value, to an amount.
func (r *reader) worsening(n *yaml.Node, columns []string) map[string]Effect {
	const what = "pipeline.gate.tolerance"
	switch {
	case n == nil:
		return nil
	case len(columns) == 0:
		r.at(n, "%s: there are no slices that could get worse: add pipeline.gate.slices, for example `slices: [sex]`", what)
		return nil
	case n.Kind == yaml.ScalarNode:
		return map[string]Effect{"": r.effect(n, what, Effect{})}
	}
	return r.amounts(n, what, columns, func(name string) string { column, _, _ := strings.Cut(name, "="); return column })
}

// amounts reads a map from names that belong to slice columns to amounts.
func (r *reader) amounts(n *yaml.Node, what string, columns []string, columnOf func(string) string) map[string]Effect {
	out := map[string]Effect{}
	for _, e := range r.entries(n, what, "a map from a slice column to an amount, such as `sex: 5%`") {
		if !slices.Contains(columns, columnOf(e.name)) {
			r.at(e.key, "%s: %q is no slice column: add it to pipeline.gate.slices", what, clip(e.name, 60))
			continue
		}
		out[e.name] = r.effect(e.value, what+"."+clip(e.name, 60), Effect{})
	}
	return out
}

// baseline reads computed, none or a number.
func (r *reader) baseline(n *yaml.Node) Baseline {
	if n == nil || n.Value == "computed" {
		return Baseline{}
	}
	if n.Value == "none" {
		return Baseline{None: true}
	}
	v, ok := asNumber(n)
	if !ok {
		r.at(n, "pipeline.gate.baseline: expected computed, none, or the metric's value that a first model has to reach, got %s", found(n))
		return Baseline{}
	}
	return Baseline{Point: &v}
}

func (r *reader) limits(n *yaml.Node, columns []string) Limits {
	const what = "pipeline.gate.limits"
	var l Limits
	f := r.section(n, what, "p95_ms", "size", "prediction", "missing", "same_features", "gaps")
	ms := r.number(f.value("p95_ms"), what+".p95_ms", 0, 0.001, 3.6e6)
	l.P95 = time.Duration(math.Round(ms * float64(time.Millisecond)))
	l.Size = r.size(f.value("size"), what+".size")
	if p := f.value("prediction"); p != nil {
		pf := r.section(p, what+".prediction", "min", "max")
		l.Lowest, l.Highest = r.bound(pf.value("min"), what+".prediction.min"), r.bound(pf.value("max"), what+".prediction.max")
		if l.Lowest != nil && l.Highest != nil && *l.Lowest > *l.Highest {
			r.at(pf.value("max"), "%s.prediction: max %v is below min %v", what, *l.Highest, *l.Lowest)
		}
	}
	if m := f.value("missing"); m != nil {
		v, ok := percent(m)
		if !ok {
			v, ok = asNumber(m)
		}
		if !ok || v < 0 || v >= 1 {
			r.at(m, "%s.missing: expected the share of rows that may have no prediction, such as 0 or 1%%, got %s", what, found(m))
		} else {
			l.Missing = &v
		}
	}
	l.SameFeatures = r.truth(f.value("same_features"), what+".same_features", false)
	if g := f.value("gaps"); g != nil {
		l.Gaps = r.amounts(g, what+".gaps", columns, func(name string) string { return name })
	}
	return l
}

// bound reads a number that may be absent.
func (r *reader) bound(n *yaml.Node, what string) *float64 {
	if n == nil {
		return nil
	}
	v := r.number(n, what, 0, math.Inf(-1), math.Inf(1))
	return &v
}
