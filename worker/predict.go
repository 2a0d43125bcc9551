package worker

import (
	"encoding/json"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// Predicted is a model's answer to one Predict frame.
type Predicted struct {
	Output       tensor.Batch
	Milliseconds float64 // how long predict() took
	// Reason says why there is no Output: "invalid", the input does not fit the
	// model; "raised", predict() raised; "unusable", what it gave cannot be sent.
	// Empty when there is one.
	Reason string
	Error  string // one line, when Reason is not empty
	Field  string // the input that Error is about, when it is known
}

// predictHeader describes the blocks that follow it: those of the tensors,
// one after the other, each filled up to a multiple of eight bytes. The header
// itself is filled up with spaces in the same way, so that every block is
// aligned within what a reader gets in one piece.
type predictHeader struct {
	Form    tensor.Form     `json:"form"`
	Rows    int             `json:"rows"`
	Columns []string        `json:"columns,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Tensors []tensorHeader  `json:"tensors"`

	MS     float64 `json:"ms,omitempty"` // from here on: answers only
	Reason string  `json:"reason,omitempty"`
	Error  string  `json:"error,omitempty"`
	Field  string  `json:"field,omitempty"`
}

type tensorHeader struct {
	Name  string      `json:"name"`
	Type  tensor.Type `json:"type"`
	Shape []int       `json:"shape"`
}

const blockAlign = 8

func padding(n int) int { return -n & (blockAlign - 1) }

var zeros [blockAlign]byte

// decodePredicted reads an answer; the tensors share the frame's memory.
func decodePredicted(f Frame) (Predicted, error) {
	var h predictHeader
	if err := json.Unmarshal(f.Header, &h); err != nil {
		return Predicted{}, ridgeline.Errorf(ridgeline.Internal, "answer of the worker: %w", err)
	}
	p := Predicted{Milliseconds: h.MS, Reason: h.Reason, Error: h.Error, Field: h.Field}
	if p.Reason != "" {
		return p, nil
	}
	p.Output = tensor.Batch{Form: h.Form, Rows: h.Rows, Columns: h.Columns, Params: h.Params, Tensors: make([]tensor.Tensor, len(h.Tensors))}
	rest := f.Body
	for i, t := range h.Tensors {
		used, err := p.Output.Tensors[i].Take(t.Name, t.Type, t.Shape, rest)
		if err != nil {
			return Predicted{}, ridgeline.Errorf(ridgeline.Internal, "answer of the worker: %w", err)
		}
		rest = rest[min(used+padding(used), len(rest)):]
	}
	if len(rest) > 0 {
		return Predicted{}, ridgeline.Errorf(ridgeline.Internal, "answer of the worker: %d bytes after the last of %d tensors", len(rest), len(h.Tensors))
	}
	if err := p.Output.Check(); err != nil {
		return Predicted{}, ridgeline.Errorf(ridgeline.Internal, "answer of the worker: %w", err)
	}
	return p, nil
}
