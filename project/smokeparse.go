package project

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// ParseSmoke reads a smoke test file: one case, or a list of cases.
//
//	{
//	  "name": "two patients",                  // optional, for messages
//	  "path": "/invocations",                  // optional: where it is sent, when the body does not tell
//	  "request": {"data": [[59, 2], [48, 1]]}, // the body that is sent, any JSON
//	  "expect": {                              // optional: then any answer with status 200 will do
//	    "status": 200,
//	    "path": "result",                      // where to look: keys and indices joined by dots, "outputs.0.data"
//	    "shape": [2],                          // lengths of the nested lists there; -1 is any length, [] is not a list
//	    "values": [152.1, 98.6],               // what is there: numbers within the tolerance, all else equal; maps may hold more keys
//	    "tolerance": 0.1                       // absolute; "5%" is relative; {"absolute": 0.1, "relative": "5%"} allows their sum
//	  },
//	  "max_latency_ms": 500                    // optional
//	}
//
// Without a tolerance numbers may differ by a millionth, relative. The error is
// a *Mistakes with all that is wrong, each with line and column.
func ParseSmoke(name string, text []byte) ([]SmokeCase, error) {
	r := &reader{name: name}
	root, spans := r.jsonDocument(text)
	if root == nil {
		return nil, r.err()
	}
	if root.Kind != yaml.MappingNode && root.Kind != yaml.SequenceNode || len(root.Content) == 0 {
		r.at(root, `expected a case, such as {"request": {"data": []}, "expect": {"path": "result"}}, or a list of cases, got %s`, emptyOr(root))
		return nil, r.err()
	}
	var cases []SmokeCase
	for i, n := range r.items(root) {
		cases = append(cases, r.smokeCase(n, fmt.Sprintf("case %d", i+1), spans))
	}
	return cases, r.err()
}

func emptyOr(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode && len(n.Content) == 0 {
		return "an empty one"
	}
	return found(n)
}

func (r *reader) smokeCase(n *yaml.Node, what string, spans map[*yaml.Node][]byte) SmokeCase {
	c := SmokeCase{Name: what, Expect: Expect{Status: 200, Tolerance: Tolerance{Relative: 1e-6}}}
	f := r.section(n, what, "name", "path", "request", "expect", "max_latency_ms")
	if n.Kind != yaml.MappingNode {
		return c
	}
	if f.has("name") {
		c.Name = r.text(f.value("name"), what+".name", `"two rows"`)
	}
	if p := f.value("path"); p != nil {
		c.Path = r.text(p, what+".path", `"/invocations"`)
		if c.Path != "" && !strings.HasPrefix(c.Path, "/") {
			r.at(p, `%s.path: expected a path from the endpoint on, such as "/invocations", got %q`, what, clip(c.Path, 60))
		}
	}
	if !f.has("request") {
		r.at(n, `%s: request is missing: add the body to send, for example "request": {"data": [[1, 2]]}`, what)
	}
	c.Request = spans[f.value("request")]
	if l := f.value("max_latency_ms"); l != nil {
		ms := r.number(l, what+".max_latency_ms", 0, 0.001, 3.6e6)
		c.MaxLatency = time.Duration(math.Round(ms * float64(time.Millisecond)))
	}
	e := f.value("expect")
	if e == nil {
		return c
	}
	ef := r.section(e, what+".expect", "status", "path", "shape", "values", "tolerance")
	c.Expect.Status = r.whole(ef.value("status"), what+".expect.status", 200, 100, 599)
	c.Expect.Path = r.text(ef.value("path"), what+".expect.path", `"result"`)
	if s := ef.value("shape"); s != nil {
		c.Expect.Shape = r.shape(s, what+".expect.shape")
	}
	c.Expect.Values = spans[ef.value("values")]
	if t := ef.value("tolerance"); t != nil {
		c.Expect.Tolerance = r.tolerance(t, what+".expect.tolerance")
		if !ef.has("values") {
			r.at(t, "%s.expect.tolerance: there are no values that it could apply to: add values, or remove it", what)
		}
	}
	return c
}

func (r *reader) shape(n *yaml.Node, what string) []int {
	shape := []int{}
	if n.Kind != yaml.SequenceNode {
		r.at(n, "%s: expected a list of lengths, such as [2], got %s", what, found(n))
		return shape
	}
	for _, one := range n.Content {
		shape = append(shape, r.whole(one, what, 0, -1, math.MaxInt32))
	}
	return shape
}

func (r *reader) tolerance(n *yaml.Node, what string) Tolerance {
	var t Tolerance
	if n.Kind == yaml.MappingNode {
		f := r.section(n, what, "absolute", "relative")
		t.Absolute = r.number(f.value("absolute"), what+".absolute", 0, 0, math.MaxFloat64)
		if rel := f.value("relative"); rel != nil {
			t.Relative = r.tolerance1(rel, what+".relative", true).Relative
		}
		return t
	}
	return r.tolerance1(n, what, false)
}

// tolerance1 reads one figure; a plain number is a share where only a share
// makes sense.
func (r *reader) tolerance1(n *yaml.Node, what string, relative bool) Tolerance {
	if p, ok := percent(n); ok && p >= 0 {
		return Tolerance{Relative: p}
	}
	v, ok := asNumber(n)
	switch {
	case !ok || v < 0:
		r.at(n, `%s: expected a number, such as 0.1, or a share, such as "5%%", got %s`, what, found(n))
	case relative:
		return Tolerance{Relative: v}
	default:
		return Tolerance{Absolute: v}
	}
	return Tolerance{}
}

// jsonDocument parses JSON into nodes as the YAML parser makes them, so that
// one reader serves both, and the text of each node. encoding/json alone
// forgets where things stood.
func (r *reader) jsonDocument(text []byte) (*yaml.Node, map[*yaml.Node][]byte) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	start := &yaml.Node{Line: 1, Column: 1}
	switch {
	case len(text) > 16*maxText:
		r.at(start, "the file has %d bytes, more than the %d that a smoke test may have", len(text), 16*maxText)
		return nil, nil
	case !utf8.Valid(text):
		r.at(invalidUTF8(text), "this is not UTF-8: save the file as UTF-8")
		return nil, nil
	case len(bytes.TrimSpace(text)) == 0:
		r.at(start, `the file is empty: expected a case, such as {"request": {"data": []}}`)
		return nil, nil
	}
	var all json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil { // also limits the depth
		at := start
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = position(text, max(int(syntax.Offset)-1, 0))
		}
		r.at(at, "not JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
		return nil, nil
	}
	t := &jsonTree{text: text, decoder: json.NewDecoder(bytes.NewReader(text)), spans: map[*yaml.Node][]byte{}}
	t.decoder.UseNumber()
	root, err := t.node()
	if err != nil {
		r.at(start, "not JSON: %s", err)
		return nil, nil
	}
	return root, t.spans
}

// A jsonTree builds nodes from the tokens of valid JSON.
type jsonTree struct {
	text    []byte
	decoder *json.Decoder
	spans   map[*yaml.Node][]byte
	counted int // bytes up to which line and column are known
	line    int // both from 0
	column  int
}

func (t *jsonTree) node() (*yaml.Node, error) {
	begin := int(t.decoder.InputOffset())
	begin += len(t.text[begin:]) - len(bytes.TrimLeft(t.text[begin:], " \t\r\n,:"))
	for ; t.counted < begin; t.counted++ {
		if b := t.text[t.counted]; b == '\n' {
			t.line, t.column = t.line+1, 0
		} else if utf8.RuneStart(b) {
			t.column++
		}
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: t.line + 1, Column: t.column + 1}
	token, err := t.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		n.Kind = yaml.MappingNode
		if v == '[' {
			n.Kind = yaml.SequenceNode
		}
		for t.decoder.More() {
			child, err := t.node()
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if _, err := t.decoder.Token(); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	case string:
		n.Tag, n.Value = "!!str", v
	case json.Number:
		n.Tag, n.Value = "!!float", v.String()
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(v)
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	t.spans[n] = t.text[begin:t.decoder.InputOffset()]
	return n, nil
}

// position turns an offset into line and column.
func position(text []byte, offset int) *yaml.Node {
	before := text[:min(offset, len(text))]
	return &yaml.Node{
		Line:   bytes.Count(before, []byte("\n")) + 1,
		Column: utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1,
	}
}
