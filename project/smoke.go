package project

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A SmokeCase is one request to a freshly placed model and what a sound answer
// looks like.
type SmokeCase struct {
	Name       string // for messages; default "case 1", …
	Path       string // where it is sent, such as /invocations; empty: where the body belongs, see Release.Path
	Request    []byte // the body, as it stands in the file
	Expect     Expect
	MaxLatency time.Duration // 0: any
}

// Expect describes a sound answer.
type Expect struct {
	Status    int    // default 200
	Path      string // where in the answer to look: keys and list indices, joined by dots; empty: all of it
	Shape     []int  // lengths of the nested lists there, outermost first; -1 is any; nil: any shape, empty: not a list
	Values    []byte // JSON that must be there; nil: any
	Tolerance Tolerance
}

// Tolerance is how far a number may be off: |got - expected| ≤ Absolute +
// Relative × |expected|, as numpy.allclose has it.
type Tolerance struct {
	Absolute float64
	Relative float64
}

// Allows reports whether got is near enough to want.
func (t Tolerance) Allows(want, got float64) bool {
	return want == got || math.Abs(got-want) <= t.Absolute+t.Relative*math.Abs(want)
}

func (t Tolerance) String() string {
	var parts []string
	if t.Absolute != 0 {
		parts = append(parts, "± "+number(t.Absolute))
	}
	if t.Relative != 0 {
		parts = append(parts, "± "+strconv.FormatFloat(t.Relative*100, 'g', 6, 64)+" %")
	}
	if parts == nil {
		return "exactly"
	}
	return strings.Join(parts, " ")
}

// Check compares an answer with what was expected. It is a pure function; its
// error is one line per difference, each with what was expected and what came.
func (c SmokeCase) Check(status int, body []byte, latency time.Duration) error {
	var wrong []string
	switch {
	case status != c.Expect.Status:
		wrong = append(wrong, fmt.Sprintf("expected status %d, got %d: %s", c.Expect.Status, status, oneLine(body)))
	case c.Expect.Path != "" || c.Expect.Shape != nil || c.Expect.Values != nil:
		wrong = append(wrong, c.checkBody(body)...)
	}
	if c.MaxLatency > 0 && latency > c.MaxLatency {
		wrong = append(wrong, fmt.Sprintf("expected an answer within %s, it took %s", c.MaxLatency, latency.Round(time.Millisecond/10)))
	}
	if wrong == nil {
		return nil
	}
	return ridgeline.Errorf(ridgeline.Invalid, "%s: %s", c.Name, strings.Join(wrong, "\n"))
}

func (c SmokeCase) checkBody(body []byte) []string {
	var answer any
	if err := json.Unmarshal(body, &answer); err != nil {
		return []string{fmt.Sprintf("expected JSON, got %s (%s)", oneLine(body), err)}
	}
	// A script that ends with `return json.dumps(…)` answers JSON inside a
	// JSON string. It is common, and clients of such a script decode twice.
	if s, ok := answer.(string); ok {
		var inner any
		if json.Unmarshal([]byte(s), &inner) == nil {
			answer = inner
		}
	}
	at, problem := walk(answer, c.Expect.Path)
	if problem != "" {
		return []string{problem + ": the answer is " + oneLine(body)}
	}
	if c.Expect.Shape != nil {
		shape, problem := shapeOf(at)
		if problem != "" {
			return []string{place(c.Expect.Path) + problem}
		}
		if !sameShape(c.Expect.Shape, shape) {
			return []string{fmt.Sprintf("%sexpected shape %s, got %s", place(c.Expect.Path), showShape(c.Expect.Shape), showShape(shape))}
		}
	}
	if c.Expect.Values == nil {
		return nil
	}
	var want any
	if err := json.Unmarshal(c.Expect.Values, &want); err != nil {
		return []string{fmt.Sprintf("the expected values are not JSON: %s", err)}
	}
	d := differ{tolerance: c.Expect.Tolerance}
	d.compare(c.Expect.Path, want, at)
	if d.more > 0 {
		d.list = append(d.list, fmt.Sprintf("and %d more", d.more))
	}
	return d.list
}

// walk follows a dotted path into a decoded answer.
func walk(v any, path string) (any, string) {
	if path == "" {
		return v, ""
	}
	done := ""
	for _, part := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[part]
			if !ok {
				return nil, fmt.Sprintf("%sexpected a key %q, there is none", place(done), part)
			}
			v = next
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return nil, fmt.Sprintf("%sexpected an element %s, got a list of %d", place(done), part, len(at))
			}
			v = at[i]
		default:
			return nil, fmt.Sprintf("%sexpected a map with %q, got %s", place(done), part, show(v))
		}
		done = join(done, part)
	}
	return v, ""
}

// shapeOf is numpy's shape of nested lists. Lists side by side of different
// lengths have none.
func shapeOf(v any) ([]int, string) {
	list, ok := v.([]any)
	if !ok {
		return []int{}, ""
	}
	shape := []int{len(list)}
	for i, one := range list {
		inner, problem := shapeOf(one)
		if problem != "" {
			return nil, problem
		}
		if i == 0 {
			shape = append(shape, inner...)
		} else if !sameShape(shape[1:], inner) {
			return nil, fmt.Sprintf("expected lists of one shape, but element 0 has %s and element %d has %s", showShape(shape[1:]), i, showShape(inner))
		}
	}
	return shape, ""
}

func sameShape(want, got []int) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && want[i] != -1 {
			return false
		}
	}
	return true
}

func showShape(shape []int) string { return strings.ReplaceAll(fmt.Sprint(shape), " ", ", ") }

// A differ collects the first differences between two decoded values.
type differ struct {
	tolerance Tolerance
	list      []string
	more      int
}

func (d *differ) note(path, format string, args ...any) {
	if len(d.list) == 3 {
		d.more++
		return
	}
	d.list = append(d.list, place(path)+fmt.Sprintf(format, args...))
}

// compare asks that got holds what want holds. A map may hold more: an answer
// can grow a key without breaking those who read the others.
func (d *differ) compare(path string, want, got any) {
	switch w := want.(type) {
	case float64:
		g, ok := got.(float64)
		if !ok || !d.tolerance.Allows(w, g) {
			d.note(path, "expected %s %s, got %s", number(w), d.tolerance, show(got))
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			d.note(path, "expected a list of %d, got %s", len(w), show(got))
			return
		}
		for i := range w {
			d.compare(join(path, strconv.Itoa(i)), w[i], g[i])
		}
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			d.note(path, "expected a map, got %s", show(got))
			return
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			v, there := g[key]
			if !there {
				d.note(path, "expected a key %q, there is none", key)
				continue
			}
			d.compare(join(path, key), w[key], v)
		}
	default:
		if want != got {
			d.note(path, "expected %s, got %s", show(want), show(got))
		}
	}
}

func place(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

func join(path, part string) string {
	if path == "" {
		return part
	}
	return path + "." + part
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// show prints a decoded value on one short line.
func show(v any) string {
	if list, ok := v.([]any); ok && len(list) > 4 {
		return fmt.Sprintf("a list of %d", len(list))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return clip(string(text), 80)
}

func oneLine(body []byte) string {
	text := strings.Join(strings.Fields(clip(strings.ToValidUTF8(string(body), "�"), 300)), " ")
	if text == "" {
		return "an empty body"
	}
	return text
}
