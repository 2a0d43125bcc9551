package mlflow

import (
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// Answers are written by appending: histories and pages of runs are long, and
// reflection would take longer than reading them from the database.

// appendText writes a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == 0x7f {
			quoted, _ := json.Marshal(s) // cannot fail: it is a string
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendFloat writes a number as protobuf's JSON has it.
func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	case f == math.Trunc(f) && math.Abs(f) < 1e15:
		b = strconv.AppendFloat(b, f, 'f', 1, 64) // as Python writes it
		return b
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// An object writes the fields of a JSON object, in order.
type object struct {
	b     []byte
	first bool
}

func begin(b []byte) *object { return &object{b: append(b, '{'), first: true} }

func (o *object) end() []byte { return append(o.b, '}') }

func (o *object) name(name string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, value string) *object {
	o.name(name)
	o.b = appendText(o.b, value)
	return o
}

// some writes text that is not empty.
func (o *object) some(name, value string) *object {
	if value != "" {
		o.text(name, value)
	}
	return o
}

func (o *object) whole(name string, value int64) *object {
	o.name(name)
	o.b = strconv.AppendInt(o.b, value, 10)
	return o
}

func (o *object) float(name string, value float64) *object {
	o.name(name)
	o.b = appendFloat(o.b, value)
	return o
}

func (o *object) truth(name string, value bool) *object {
	o.name(name)
	o.b = strconv.AppendBool(o.b, value)
	return o
}

// raw writes a value that append writes.
func (o *object) raw(name string, write func(b []byte) []byte) *object {
	o.name(name)
	o.b = write(o.b)
	return o
}

// appendList writes an array, one value after the other.
func appendList[T any](b []byte, all []T, write func(b []byte, v T) []byte) []byte {
	b = append(b, '[')
	for i, v := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = write(b, v)
	}
	return append(b, ']')
}

// list writes a field with an array that is not empty: protobuf's JSON leaves
// empty ones out.
func list[T any](o *object, name string, all []T, write func(b []byte, v T) []byte) {
	if len(all) > 0 {
		o.name(name)
		o.b = appendList(o.b, all, write)
	}
}
