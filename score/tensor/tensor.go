// Package tensor is what models take and give, whatever dialect a request came
// in: rows of named values in contiguous blocks that numpy sees without a copy,
// and the signature that says which.
//
// It reads and writes the dialects' JSON, CSV and Parquet; whom a block is sent
// to is package score's part.
package tensor

import (
	"encoding/json"
)

// A Type is the type of a tensor's elements.
type Type uint8

// The element types: those of the Open Inference Protocol, and what tables
// have besides.
const (
	Bool  Type = iota + 1 // one byte, 0 or 1
	Uint8                 // also the rest: little-endian
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	Float16
	Float32
	Float64
	Datetime // int64, nanoseconds since 1970 in UTC; math.MinInt64 is "not a time", as in numpy
	Text     // UTF-8; framed, see Tensor.Data
	Binary   // any bytes; framed
	JSON     // a JSON value, for what has no type of its own (lists of any length, objects); framed
)

// A Tensor is a block of elements of one type.
type Tensor struct {
	Name  string // "" where a model takes one nameless array
	Type  Type
	Shape []int // the first dimension is the rows
	// Data holds the elements in row-major order. An element of a framed type is
	// its length as a little-endian u32 and its bytes; length 0xFFFFFFFF is null.
	// A null number is NaN.
	Data []byte
}

// A Form says as what the model's predict() gets its tensors.
type Form uint8

// The forms.
const (
	Table Form = iota + 1 // a pandas.DataFrame: a column for each tensor, or Columns of one matrix
	Array                 // one nameless numpy.ndarray
	Named                 // a dict of numpy.ndarrays
)

// A Batch is some rows of a model's inputs, or of its outputs. Its tensors
// have the same number of rows.
type Batch struct {
	Form    Form
	Rows    int
	Tensors []Tensor
	// Columns names the columns of a Table whose values are all of one type and
	// travel as a single matrix of shape [rows, columns]. Otherwise nil.
	Columns []string
	Params  json.RawMessage // an object of inference parameters; nil when there are none
}

// A Signature says what a model takes and gives.
type Signature struct {
	Form    Form    `json:"form"` // of the inputs
	Inputs  []Field `json:"inputs"`
	Outputs []Field `json:"outputs,omitempty"` // nil when not known
	Params  []Param `json:"params,omitempty"`
}

// A Field is one input or output.
type Field struct {
	Name     string `json:"name,omitempty"`
	Type     Type   `json:"type"`
	Shape    []int  `json:"shape,omitempty"` // of one row's element; nil: a single value; -1: any length
	Optional bool   `json:"optional,omitempty"`
}

// A Param is an inference parameter.
type Param struct {
	Name    string          `json:"name"`
	Type    Type            `json:"type"`
	Default json.RawMessage `json:"default"`
	List    bool            `json:"list,omitempty"` // a list of values of the type, of any length
}
