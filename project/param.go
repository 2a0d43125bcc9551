package project

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

// The types of parameters.
const (
	ParamString = "string"
	ParamInt    = "int"
	ParamFloat  = "float"
	ParamBool   = "bool"
)

var paramRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,59}$`)

// Params turns what somebody gives for a run into the value of every
// parameter, in the spelling that steps see: whole numbers in decimal, true
// and false, other numbers as short as they can be read back. All that is
// wrong is in one error. A project that declares no parameters takes any.
func (c Config) Params(given map[string]string) (map[string]string, error) {
	values, wrong := c.Pipeline.values(given)
	if len(wrong) > 0 {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s", strings.Join(wrong, "; "))
	}
	return values, nil
}

func (p Pipeline) values(given map[string]string) (map[string]string, []string) {
	values, wrong := map[string]string{}, []string(nil)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		text, err := given[name], error(nil)
		switch i := slices.IndexFunc(p.Params, func(q Param) bool { return q.Name == name }); {
		case i >= 0:
			text, err = p.Params[i].Value(text)
		case len(p.Params) > 0:
			err = fmt.Errorf("the pipeline has no parameter %q: %s", clip(name, 60), words.DidYouMean(name, paramNames(p.Params)))
		case !paramRE.MatchString(name):
			err = fmt.Errorf("parameter %q: use letters, digits and underscores, starting with a letter", clip(name, 60))
		case strings.ContainsRune(text, 0):
			err = fmt.Errorf("parameter %s: holds a zero byte", name)
		}
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		values[name] = text
	}
	for _, q := range p.Params {
		if _, ok := given[q.Name]; ok {
			continue
		}
		if q.Default == nil {
			wrong = append(wrong, fmt.Sprintf("parameter %s has no default: give it a value, %s", q.Name, q.Wants()))
			continue
		}
		values[q.Name] = *q.Default
	}
	return values, wrong
}

func paramNames(params []Param) []string {
	names := make([]string, len(params))
	for i, q := range params {
		names[i] = q.Name
	}
	return names
}

// Wants says in words what values the parameter takes.
func (q Param) Wants() string {
	switch {
	case len(q.Choices) > 0:
		return "one of " + words.OrList(q.Choices)
	case q.Type == ParamBool:
		return "true or false"
	case q.Type == ParamInt, q.Type == ParamFloat:
		low, high := math.Inf(-1), math.Inf(1)
		if q.Min != nil {
			low = *q.Min
		}
		if q.Max != nil {
			high = *q.Max
		}
		kind := map[bool]string{true: "a whole number", false: "a number"}[q.Type == ParamInt]
		if math.IsInf(low, -1) && math.IsInf(high, 1) {
			return kind
		}
		return kind + " " + between(low, high)
	}
	return "a text"
}

// Value checks a value and returns it in its one spelling.
func (q Param) Value(text string) (string, error) {
	value, ok := canonical(q.Type, text)
	if ok && (q.Type == ParamInt || q.Type == ParamFloat) {
		v, err := strconv.ParseFloat(value, 64)
		ok = err == nil && (q.Min == nil || v >= *q.Min) && (q.Max == nil || v <= *q.Max)
	}
	if !ok || len(q.Choices) > 0 && !slices.Contains(q.Choices, value) {
		return "", fmt.Errorf("parameter %s: expected %s, got %q", q.Name, q.Wants(), clip(text, 60))
	}
	return value, nil
}

// canonical is the one spelling of a value of the type.
func canonical(kind, text string) (string, bool) {
	switch kind {
	case ParamInt:
		v, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		return strconv.FormatInt(v, 10), err == nil
	case ParamFloat:
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		return decimal(v), err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
	case ParamBool:
		v := strings.ToLower(strings.TrimSpace(text))
		return v, v == "true" || v == "false"
	}
	return text, !strings.ContainsRune(text, 0)
}

// decimal writes a number as JSON does: without an exponent where it can be
// read without one, since shells and R read those best.
func decimal(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// plain reads a scalar as the text of a parameter's value, and says which type
// it looks like.
func (r *reader) plain(n *yaml.Node, what string) (text, kind string, ok bool) {
	if n.Kind == yaml.ScalarNode {
		switch n.ShortTag() {
		case "!!str":
			return n.Value, ParamString, !strings.ContainsRune(n.Value, 0) || r.refuse(n, "%s: holds a zero byte", what)
		case "!!bool":
			return strings.ToLower(n.Value), ParamBool, true
		case "!!int":
			var v int64
			if n.Decode(&v) == nil {
				return strconv.FormatInt(v, 10), ParamInt, true
			}
		case "!!float":
			if v, finite := asNumber(n); finite {
				return decimal(v), ParamFloat, true
			}
		}
	}
	return "", "", r.refuse(n, "%s: expected a number, true, false or a text, got %s", what, found(n))
}

// refuse reports a mistake and is false.
func (r *reader) refuse(n *yaml.Node, format string, args ...any) bool {
	r.at(n, format, args...)
	return false
}

// params reads the parameters that a run takes.
func (r *reader) params(n *yaml.Node) []Param {
	if n == nil {
		return nil
	}
	var list []Param
	variables := map[string]string{}
	for _, e := range r.entries(n, "pipeline.params", "a map from a parameter's name to its default") {
		if !r.paramName(e.key, "pipeline.params", e.name) {
			continue
		}
		if first, ok := variables[strings.ToUpper(e.name)]; ok {
			r.at(e.key, "pipeline.params: %s and %s would be one variable for the steps, RIDGELINE_PARAM_%s: rename one", first, e.name, strings.ToUpper(e.name))
			continue
		}
		variables[strings.ToUpper(e.name)] = e.name
		list = append(list, r.param(e))
	}
	return list
}

func (r *reader) paramName(n *yaml.Node, what, name string) bool {
	return paramRE.MatchString(name) || r.refuse(n, "%s: %q: a parameter's name has letters, digits and underscores and starts with a letter", what, clip(name, 60))
}

func (r *reader) param(e entry) Param {
	what := "pipeline.params." + e.name
	q := Param{Name: e.name, Type: ParamString}
	if e.value.Kind != yaml.MappingNode {
		text, kind, ok := r.plain(e.value, what)
		if q.Default = &text; ok {
			q.Type = kind
		}
		return q
	}
	f := r.section(e.value, what, "type", "default", "choices", "min", "max", "description")
	q.Type = r.word(f.value("type"), what+".type", r.guess(f, what), ParamString, ParamInt, ParamFloat, ParamBool)
	q.Description = r.text(f.value("description"), what+".description", "what it does")
	q.Min, q.Max = r.bound(f.value("min"), what+".min"), r.bound(f.value("max"), what+".max")
	numeric := q.Type == ParamInt || q.Type == ParamFloat
	switch {
	case q.Min != nil && !numeric:
		r.at(f.at["min"].key, "%s.min: only an int or a float has a least value, this is a %s", what, q.Type)
		q.Min = nil
	case q.Max != nil && !numeric:
		r.at(f.at["max"].key, "%s.max: only an int or a float has a greatest value, this is a %s", what, q.Type)
		q.Max = nil
	case q.Min != nil && q.Max != nil && *q.Min > *q.Max:
		r.at(f.value("max"), "%s: max %v is below min %v", what, *q.Max, *q.Min)
		q.Min, q.Max = nil, nil
	}
	choices := q
	for _, one := range r.items(f.value("choices")) {
		if text, ok := r.valueOf(choices, one, what+".choices"); ok {
			q.Choices = append(q.Choices, text)
		}
	}
	if f.has("choices") && len(r.items(f.value("choices"))) == 0 {
		r.at(f.value("choices"), "%s.choices is empty: list what may be chosen, or remove it", what)
	}
	if d := f.value("default"); d != nil {
		text, _ := r.valueOf(q, d, what+".default")
		q.Default = &text
	}
	return q
}

// guess is the type of a parameter that does not say: that of its default, or
// of its first choice.
func (r *reader) guess(f fields, what string) string {
	for _, n := range append(r.items(f.value("default")), r.items(f.value("choices"))...) {
		quiet := &reader{}
		if _, kind, ok := quiet.plain(n, what); ok {
			return kind
		}
	}
	return ParamString
}

// valueOf reads a value of the parameter.
func (r *reader) valueOf(q Param, n *yaml.Node, what string) (string, bool) {
	text, kind, ok := r.plain(n, what)
	if !ok {
		return "", false
	}
	if q.Type == ParamString && kind != ParamString {
		return "", r.refuse(n, "%s: expected text, got the value %s: put it in quotes", what, clip(n.Value, 60))
	}
	if kind == ParamString && q.Type != ParamString {
		return "", r.refuse(n, "%s: expected %s, got %s", what, q.Wants(), found(n))
	}
	value, err := q.Value(text)
	if err != nil {
		return "", r.refuse(n, "%s: expected %s, got %s", what, q.Wants(), found(n))
	}
	return value, true
}

// given reads the values that a trigger hands to the runs it starts.
func (r *reader) given(n *yaml.Node, what string, params []Param) map[string]string {
	if n == nil {
		return nil
	}
	values := map[string]string{}
	for _, e := range r.entries(n, what, "a map from a parameter's name to its value") {
		q := Param{Name: e.name}
		switch i := slices.IndexFunc(params, func(q Param) bool { return q.Name == e.name }); {
		case i >= 0:
			q = params[i]
		case len(params) > 0:
			r.at(e.key, "%s: pipeline.params has no %q: %s", what, clip(e.name, 60), words.DidYouMean(e.name, paramNames(params)))
			continue
		case !r.paramName(e.key, what, e.name):
			continue
		}
		if q.Type == "" { // of no declared type: as it is written
			if text, _, ok := r.plain(e.value, what+"."+e.name); ok {
				values[e.name] = text
			}
		} else if text, ok := r.valueOf(q, e.value, what+"."+e.name); ok {
			values[e.name] = text
		}
	}
	return values
}

// unfilled reports parameters without a default that something which starts
// the pipeline by itself leaves open: its runs could not begin.
func (r *reader) unfilled(f fields, p Pipeline) {
	for _, q := range p.Params {
		if q.Default != nil {
			continue
		}
		var who []string
		if p.On.Push {
			who = append(who, "a green build (pipeline.on.push)")
		}
		if len(p.On.Data) > 0 {
			who = append(who, "new data (pipeline.on.data)")
		}
		if slices.ContainsFunc(p.On.Schedules, func(s Schedule) bool { _, ok := s.Params[q.Name]; return !ok }) {
			who = append(who, "a schedule (pipeline.on.schedule)")
		}
		if slices.ContainsFunc(p.On.Events, func(e EventFilter) bool { _, ok := e.Params[q.Name]; return !ok }) {
			who = append(who, "an event (pipeline.on.events)")
		}
		if len(who) > 0 {
			r.at(f.keyOf("params", q.Name), "pipeline.params.%s has no default, but %s starts the pipeline without a value for it: give it a default, or a value there", q.Name, strings.Join(who, " and "))
		}
	}
}
