package project

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

// MaxInstances is how many instances of one step a matrix or a sweep may make.
const MaxInstances = 1000

// axes reads a map from parameters to the values that they take.
func (r *reader) axes(n *yaml.Node, what string, params []Param) []Axis {
	if n == nil {
		return nil
	}
	var list []Axis
	total := 1
	for _, e := range r.entries(n, what, "a map from a parameter's name to a list of values") {
		if !r.paramName(e.key, what, e.name) {
			continue
		}
		a := Axis{Param: e.name, Values: r.axisValues(e, what, params)}
		if len(a.Values) > 0 {
			list = append(list, a)
			total *= len(a.Values)
		}
		if total > MaxInstances {
			r.at(n, "%s: more than %d combinations: leave out values", what, MaxInstances)
			return nil
		}
	}
	if len(list) == 0 && len(n.Content) == 0 && n.Kind == yaml.MappingNode {
		r.at(n, "%s is empty: add for example `alpha: [0.1, 1, 10]`", what)
	}
	return list
}

// axisValues reads the values of one axis. A declared parameter's values are
// of its type; another's are taken as they are written.
func (r *reader) axisValues(e entry, what string, params []Param) []string {
	what += "." + e.name
	if e.value.Kind != yaml.SequenceNode || len(e.value.Content) == 0 {
		r.at(e.value, "%s: expected a list of values, such as [0.1, 1, 10], got %s", what, found(e.value))
		return nil
	}
	var values []string
	i := slices.IndexFunc(params, func(q Param) bool { return q.Name == e.name })
	for _, one := range r.items(e.value) {
		var text string
		var ok bool
		if i >= 0 {
			text, ok = r.valueOf(params[i], one, what)
		} else {
			text, _, ok = r.plain(one, what)
		}
		switch {
		case !ok:
		case slices.Contains(values, text):
			r.at(one, "%s: %q stands here twice: remove one", what, clip(text, 60))
		default:
			values = append(values, text)
		}
	}
	return values
}

func (r *reader) sweep(n *yaml.Node, what string, params []Param) *Sweep {
	if n == nil {
		return nil
	}
	f := r.section(n, what, "grid", "random", "count", "seed", "metric", "better", "parallel")
	if n.Kind != yaml.MappingNode {
		return nil
	}
	s := &Sweep{Metric: r.text(f.value("metric"), what+".metric", "mse"), Parallel: r.whole(f.value("parallel"), what+".parallel", 0, 1, MaxInstances)}
	if !f.has("metric") {
		r.at(n, "%s: metric is missing: name the one by which the best try goes on, for example `metric: mse`", what)
	}
	s.Better = r.better(f, what, s.Metric)
	switch {
	case f.has("grid") && f.has("random"):
		r.at(f.at["random"].key, "%s: a sweep has a grid or is random: remove one", what)
	case f.has("grid"):
		s.Grid = r.axes(f.value("grid"), what+".grid", params)
		for _, name := range []string{"count", "seed"} {
			if f.has(name) {
				r.at(f.at[name].key, "%s.%s belongs to a random sweep: a grid tries every combination; remove it", what, name)
			}
		}
	case f.has("random"):
		r.random(f, s, what, params)
	default:
		r.at(n, "%s: add what to try, for example `grid: {alpha: [0.1, 1, 10]}` or `random: {alpha: {low: 0.001, high: 10, log: true}}` with a count", what)
	}
	return s
}

// random reads the part of a sweep that draws its tries.
func (r *reader) random(f fields, s *Sweep, what string, params []Param) {
	if !f.has("count") {
		r.at(f.at["random"].key, "%s: count is missing: say how many tries, for example `count: 20`", what)
	}
	s.Count = r.whole(f.value("count"), what+".count", 1, 1, MaxInstances)
	s.Seed = uint64(r.whole(f.value("seed"), what+".seed", 1, 0, math.MaxInt32))
	n := f.value("random")
	entries := r.entries(n, what+".random", "a map from a parameter's name to where its values are drawn from")
	if len(entries) == 0 && n.Kind == yaml.MappingNode {
		r.at(n, "%s.random is empty: add for example `alpha: {low: 0.001, high: 10, log: true}`", what)
	}
	combinations := 1
	for _, e := range entries {
		if !r.paramName(e.key, what+".random", e.name) {
			continue
		}
		one := r.drawn(e, what+".random", params)
		s.Random = append(s.Random, one)
		if combinations *= max(len(one.Values), 1); len(one.Values) == 0 || combinations > MaxInstances {
			combinations = MaxInstances + 1 // as many as anybody draws
		}
	}
	if f.has("count") && len(entries) > 0 && s.Count > combinations {
		r.at(f.value("count"), "%s.count: there are only %d combinations: use a grid, which tries each once", what, combinations)
	}
}

// drawn reads where one parameter's values come from.
func (r *reader) drawn(e entry, what string, params []Param) Range {
	one := Range{Param: e.name}
	if e.value.Kind != yaml.MappingNode {
		one.Values = r.axisValues(e, what, params)
		return one
	}
	what += "." + e.name
	f := r.section(e.value, what, "low", "high", "log", "int")
	for _, name := range []string{"low", "high"} {
		if !f.has(name) {
			r.at(e.key, "%s: %s is missing: add for example `{low: 0.001, high: 10}`, or a list of values", what, name)
		}
	}
	one.Low = r.number(f.value("low"), what+".low", 0, math.Inf(-1), math.Inf(1))
	one.High = r.number(f.value("high"), what+".high", one.Low+1, math.Inf(-1), math.Inf(1))
	one.Log, one.Int = r.truth(f.value("log"), what+".log", false), r.truth(f.value("int"), what+".int", false)
	if one.High <= one.Low {
		r.at(f.value("high"), "%s: high %v is not above low %v", what, one.High, one.Low)
	}
	if one.Log && one.Low <= 0 {
		r.at(f.value("low"), "%s: low has to be above 0, because log draws its logarithm", what)
	}
	if one.Int && (one.Low != math.Trunc(one.Low) || one.High != math.Trunc(one.High)) {
		r.at(e.value, "%s: low and high have to be whole numbers, because int is true", what)
	}
	if i := slices.IndexFunc(params, func(q Param) bool { return q.Name == e.name }); i >= 0 {
		r.drawnFor(e, what, &one, params[i])
	}
	return one
}

// drawnFor looks whether a declared parameter can take what is drawn.
func (r *reader) drawnFor(e entry, what string, one *Range, q Param) {
	switch {
	case q.Type == ParamInt:
		one.Int = true
	case q.Type != ParamFloat || len(q.Choices) > 0:
		r.at(e.value, "%s: pipeline.params.%s takes %s: list the values to draw from", what, q.Name, q.Wants())
		return
	}
	if q.Min != nil && one.Low < *q.Min || q.Max != nil && one.High > *q.Max {
		r.at(e.value, "%s: pipeline.params.%s takes %s", what, q.Name, q.Wants())
	}
}

// better reads which way a metric improves.
func (r *reader) better(f fields, what, metric string) string {
	if f.has("better") || metric == "" {
		return r.word(f.value("better"), what+".better", "", "lower", "higher")
	}
	if b, ok := betterOf[metric]; ok {
		return b
	}
	if strings.HasPrefix(metric, "quantile_") {
		return "lower"
	}
	hint := ""
	if k, near := words.Nearest(metric, betterNames()); near {
		hint = fmt.Sprintf("did you mean %s? If not, ", k)
	}
	r.at(f.value("metric"), "%s.metric: whether %q should be low or high is not known: %sadd `better: lower` or `better: higher`", what, clip(metric, 60), hint)
	return ""
}
