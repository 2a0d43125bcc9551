package tensor

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// A Reader makes batches of what clients send to one model. It may be used by
// many at once. Errors of its methods are *Mismatch.
type Reader struct {
	s       *Signature // nil: what was sent says what it is
	matrix  Type       // of the one block that all inputs make; 0 when each has its own
	named   bool       // the inputs have names; else their order is all there is
	columns []string   // the names, when there is a matrix of columns
	index   map[string]int
	params  json.RawMessage // when a request has none
}

// NewReader makes the reader of a model with that signature; nil when it has
// none.
func NewReader(s *Signature) *Reader {
	r := &Reader{s: s}
	if s == nil {
		return r
	}
	r.matrix = uniform(s)
	r.named = len(s.Inputs) > 0 && s.Inputs[0].Name != ""
	if r.matrix != 0 && s.Form == Table {
		for i, f := range s.Inputs {
			if !r.named {
				f.Name = strconv.Itoa(i) // as pandas does
			}
			r.columns = append(r.columns, f.Name)
		}
	}
	if len(s.Inputs) > few {
		r.index = make(map[string]int, len(s.Inputs))
		for i := range s.Inputs {
			r.index[s.Inputs[i].Name] = i
		}
	}
	r.params, _ = r.parameters(nil) // what is there by default is right by definition
	return r
}

// Readers keeps the reader of the signature that was asked for last: a model's
// does not change while its process lives.
type Readers struct{ last atomic.Pointer[Reader] }

// For returns the reader of a signature, nil for none.
func (k *Readers) For(s *Signature) *Reader {
	if r := k.last.Load(); r != nil && r.s == s {
		return r
	}
	r := NewReader(s)
	k.last.Store(r)
	return r
}

// uniform is the type of all inputs when they are single numbers of one type
// and none may be left out; else 0.
func uniform(s *Signature) Type {
	if len(s.Inputs) == 0 || s.Form != Table {
		return 0
	}
	first := s.Inputs[0].Type
	if first.Framed() || first == Datetime {
		return 0
	}
	for i := range s.Inputs {
		if f := &s.Inputs[i]; f.Type != first || f.Shape != nil || f.Optional {
			return 0
		}
	}
	return first
}

// few inputs are found faster by looking at each.
const few = 16

// find is the input of that name, -1 when there is none. Where it stands is
// guessed first: most clients keep the order.
func (r *Reader) find(name []byte, guess int) int {
	if guess < len(r.s.Inputs) && r.s.Inputs[guess].Name == string(name) {
		return guess
	}
	if r.index != nil {
		if i, ok := r.index[string(name)]; ok {
			return i
		}
		return -1
	}
	for i := range r.s.Inputs {
		if r.s.Inputs[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// The fields that JSON can find its rows in, and what each may hold. The first
// four are MLflow's (its docs/…/serving), with the meaning that its scoring
// server 3.17 gives them; the others are Azure ML's.
const (
	Split     = "dataframe_split"   // {"columns": […], "index": […], "data": [[…]]}
	Records   = "dataframe_records" // [{column: value}]
	Instances = "instances"         // a list of rows, or of objects with a row's inputs
	Inputs    = "inputs"            // a list of rows, or an object with each input's list
	Data      = "data"              // any of these; rows without names are in the signature's order
	InputData = "input_data"        // the same
)

// JSON reads an object that has exactly one of fields, and perhaps "params".
// Anything else in it is ignored, as MLflow does.
func (r *Reader) JSON(body []byte, fields ...string) (Batch, error) {
	if !utf8.Valid(body) {
		return Batch{}, malformed("The body is not UTF-8.")
	}
	c := cursor{in: body}
	if c.next() != '{' {
		if c.at >= len(body) {
			return Batch{}, malformed("The body is empty: expected %s.", expected(fields))
		}
		if _, err := c.skip(); err != nil {
			return Batch{}, err
		}
		return Batch{}, malformed("Expected %s. Received %s.", expected(fields), (&cursor{in: body}).kind())
	}
	var b Batch
	var found, others []string
	var params []byte
	err := c.object(func(name []byte) (err error) {
		for _, field := range fields {
			if string(name) == field {
				found = append(found, field)
				if len(found) > 1 {
					_, err = c.skip()
					return err
				}
				b, err = r.field(&c, field)
				return err
			}
		}
		raw, err := c.skip()
		switch {
		case string(name) != "params":
			others = append(others, string(name))
		case params != nil:
			return malformed("The field \"params\" is there twice.")
		default:
			params = raw
		}
		return err
	})
	if err == nil {
		err = c.end()
	}
	if err != nil && len(found) == 1 { // a second field is the greater mistake
		found, others = present(body, fields), nil
	}
	switch {
	case err != nil && len(found) < 2:
		return Batch{}, err
	case len(found) == 0 && slices.ContainsFunc(others, ofLanguage):
		return Batch{}, malformed("The fields %s are a request to a language model, and this endpoint's model takes rows of values: expected %s. "+
			"A model that takes messages or prompts is served by a scoring script (release.score).", quoted(others), expected(fields))
	case len(found) != 1:
		return Batch{}, malformed("Expected %s. Received an object with the fields %s.", expected(fields), quoted(append(found, others...)))
	}
	b.Params = r.params
	if params != nil {
		if b.Params, err = r.parameters(params); err != nil {
			return Batch{}, err
		}
	}
	return b, nil
}

// ofLanguage reports whether a field is one by which MLflow's scoring server
// knows requests to language models: of its chat, completions and embeddings.
func ofLanguage(field string) bool {
	return field == "messages" || field == "prompt" || field == "input"
}

// present lists which of fields an object has, as far as it can be read.
func present(body []byte, fields []string) (found []string) {
	c := cursor{in: body}
	_ = c.object(func(name []byte) error {
		if slices.Contains(fields, string(name)) {
			found = append(found, string(name))
		}
		_, err := c.skip()
		return err
	})
	return found
}

func expected(fields []string) string {
	if len(fields) == 1 {
		return "a JSON object with the field '" + fields[0] + "'"
	}
	return "a JSON object with exactly one of the fields '" + strings.Join(fields, "', '") + "'"
}

// field reads the rows of one field.
func (r *Reader) field(c *cursor, field string) (Batch, error) {
	if r.s == nil {
		s, err := infer(*c, field)
		if err != nil {
			return Batch{}, err
		}
		r = NewReader(s)
	}
	switch field {
	case Split:
		return r.split(c)
	case Records:
		return r.records(c)
	case Instances, Inputs:
		return r.inputs(c, false)
	}
	if c.next() == '{' && looksSplit(*c) {
		return r.split(c)
	}
	return r.inputs(c, true)
}

// looksSplit tells {"columns": …, "data": …} from an object of inputs by its
// first name.
func looksSplit(c cursor) bool {
	c.at++
	if c.next() != '"' {
		return false
	}
	name, err := c.text()
	return err == nil && (string(name) == "columns" || string(name) == "index" || string(name) == "data")
}

// parameters checks "params" and adds what is not there. Names that the
// signature does not know are ignored. The result is the same text for the
// same values, so that requests can be joined.
func (r *Reader) parameters(raw []byte) (json.RawMessage, error) {
	if r.s == nil || len(r.s.Params) == 0 {
		return nil, nil
	}
	given := make(map[string][]byte, len(r.s.Params))
	if c := (cursor{in: raw}); raw != nil {
		if c.next() != '{' && !c.literal("null") {
			return nil, unfit("params", "Parameters must be an object, found %s.", c.kind())
		} else if c.next() == '{' {
			err := c.object(func(name []byte) (err error) {
				given[string(name)], err = c.skip()
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	out := []byte{'{'}
	for i, p := range r.s.Params {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendText(out, p.Name)
		out = append(out, ':')
		value, ok := given[p.Name]
		if !ok {
			value = p.Default
			if len(value) == 0 {
				value = []byte("null")
			}
		} else if err := p.check(value); err != nil {
			return nil, err
		}
		out = append(out, value...)
	}
	return append(out, '}'), nil
}

func (p *Param) check(value []byte) error {
	c := cursor{in: value}
	if c.literal("null") {
		return nil
	}
	if !json.Valid(value) { // NaN, which would not reach the worker
		return unfit(p.Name, "Invalid parameters found: '%s' is to be %s, found no finite number.", short(p.Name), p.Type.words())
	}
	var element [8]byte
	one := func() error {
		before := c
		var err error
		if p.Type.Framed() {
			_, err = c.framed(nil, p.Type, place{})
		} else {
			err = c.fixed(element[:p.Type.Size()], p.Type, place{})
		}
		if err != nil {
			return unfit(p.Name, "Invalid parameters found: '%s' is to be %s, found %s.", short(p.Name), p.Type.words(), before.kind())
		}
		return nil
	}
	if !p.List {
		return one()
	}
	if c.next() != '[' {
		return unfit(p.Name, "Invalid parameters found: '%s' is to be a list, found %s.", short(p.Name), c.kind())
	}
	return c.list(func(int) error { return one() })
}
