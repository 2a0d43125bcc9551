package score

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

const (
	trialID   = 0 // of its frame; those of requests begin with 1
	trialRows = 256
)

// try has a worker and the scorer answer the same rows, and returns what may
// answer natively from now on: nil where the model is no linear one, where it is
// not wanted, or where the two do not agree. The worker has nothing else to do.
func (f *Front) try(ctx context.Context, p process, tried <-chan worker.Predicted) *linear {
	hello := p.Hello()
	if f.c.NoNative || hello.Linear == nil || f.model.Load() != nil {
		return nil
	}
	refuse := func(err error) *linear {
		f.c.Log.Warn("a linear model's answers are left to its worker", "error", err)
		return nil
	}
	l, err := newLinear(&hello.Model)
	if err != nil {
		return refuse(err)
	}
	rows := l.trial(hello.Signature)
	var frames worker.Frames
	if err := frames.Predict(trialID, []tensor.Batch{rows}); err != nil {
		return refuse(err)
	}
	if err := p.Send(&frames); err != nil {
		return refuse(err)
	}
	select {
	case given := <-tried:
		if given.Reason != "" {
			return refuse(errors.New(given.Error))
		}
		if err := l.agree(rows, given.Output); err != nil {
			return refuse(err)
		}
		return l
	case <-p.Done():
		return refuse(p.Err())
	case <-ctx.Done():
		return refuse(ctx.Err())
	}
}

// newLinear takes what a worker says of its model, if it is of one piece.
func newLinear(m *worker.Model) (*linear, error) {
	n := m.Linear
	l := &linear{from: n}
	if len(n.Weights) == 0 || len(n.Intercepts) != len(n.Weights) {
		return nil, fmt.Errorf("%d outputs and %d intercepts", len(n.Weights), len(n.Intercepts))
	}
	l.columns = len(n.Weights[0])
	lists := [][]float64{}
	lists = append(lists, n.Weights...)
	for _, s := range n.Scaling {
		switch s.Op {
		case "add", "subtract", "multiply", "divide":
		default:
			return nil, fmt.Errorf("an unknown operation %q", s.Op)
		}
		lists = append(lists, s.By)
	}
	for _, list := range lists {
		if len(list) != l.columns || l.columns < 1 || l.columns > widest {
			return nil, fmt.Errorf("%d numbers for %d columns, of which there may be 1 to %d", len(list), l.columns, widest)
		}
	}
	if !describes(m.Signature, l.columns) {
		return nil, errors.New("the signature is not that of as many columns of doubles")
	}
	l.form = m.Signature.Form
	if n.Labels != nil {
		if l.labels = n.Labels.Type.Cut(n.Labels.Data, max(len(n.Weights), 2)); l.labels == nil {
			return nil, fmt.Errorf("too few labels for %d outputs", len(n.Weights))
		}
	}
	return l, nil
}

// describes reports whether all that fits a signature comes as one block of
// doubles with so many columns.
func describes(s *tensor.Signature, columns int) bool {
	if s == nil || len(s.Params) > 0 {
		return false
	}
	if s.Form == tensor.Array {
		return len(s.Inputs) == 1 && s.Inputs[0].Type == tensor.Float64 && len(s.Inputs[0].Shape) == 1 && s.Inputs[0].Shape[0] == columns
	}
	for _, f := range s.Inputs {
		if f.Type != tensor.Float64 || f.Shape != nil || f.Optional {
			return false
		}
	}
	return s.Form == tensor.Table && len(s.Inputs) == columns
}

// trial is rows of several sizes, the same at every start.
func (l *linear) trial(s *tensor.Signature) tensor.Batch {
	draw := rand.New(rand.NewPCG(1, 2))
	var data []byte
	for row := range trialRows {
		scale := [...]float64{1, 1e-3, 1e3, 1e6}[row%4]
		for range l.columns {
			v := draw.NormFloat64() * scale
			if row < 2 {
				v = float64(row)
			}
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
		}
	}
	b := tensor.Batch{Form: s.Form, Rows: trialRows, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{trialRows, l.columns}, Data: data}}}
	if s.Form == tensor.Table {
		for _, f := range s.Inputs {
			b.Columns = append(b.Columns, f.Name)
		}
	}
	return b
}

// agree compares a worker's answers to the trial with the scorer's own, which
// take their form from it. Labels on the edge, which the scorer leaves to a
// worker, are not compared, but most have to be.
func (l *linear) agree(rows, given tensor.Batch) error {
	if given.Rows != rows.Rows || len(given.Tensors) != 1 || given.Columns != nil || given.Params != nil || given.Form != tensor.Array {
		return fmt.Errorf("predict() gave %d rows in %d tensors for %d", given.Rows, len(given.Tensors), rows.Rows)
	}
	t := given.Tensors[0]
	if l.labels != nil {
		if t.Type != l.from.Labels.Type || len(t.Shape) != 1 {
			return fmt.Errorf("predict() gave labels of shape %v and type %s", t.Shape, t.Type)
		}
	} else if t.Type != tensor.Float64 || len(t.Shape) > 2 || len(t.Data) != 8*rows.Rows*len(l.from.Weights) {
		return fmt.Errorf("predict() gave numbers of shape %v and type %s", t.Shape, t.Type)
	}
	elements := t.Type.Cut(t.Data, rows.Rows*l.each())
	l.answers, l.output = given.Form, tensor.Tensor{Name: t.Name, Type: t.Type, Shape: t.Shape}
	undecided := 0
	for row := range rows.Rows {
		x := l.scaled(make([]float64, l.columns), rows.Tensors[0].Data[row*l.columns*8:][:l.columns*8])
		if l.labels == nil {
			if err := l.near(x, elements[row*len(l.from.Weights):]); err != nil {
				return fmt.Errorf("row %d: %w", row, err)
			}
			continue
		}
		class, ok := l.class(x)
		if !ok {
			undecided++
		} else if !bytes.Equal(l.labels[class], elements[row]) {
			return fmt.Errorf("row %d: predict() gave another label than the scorer", row)
		}
	}
	if undecided > rows.Rows/4 {
		return fmt.Errorf("%d of %d labels are on the edge", undecided, rows.Rows)
	}
	return nil
}

// near compares the sums of one row.
func (l *linear) near(x []float64, given [][]byte) error {
	for output := range l.from.Weights {
		sum, size := l.sum(output, x)
		want := math.Float64frombits(binary.LittleEndian.Uint64(given[output]))
		if !(math.Abs(sum-want) <= tolerance*size+nothing) {
			return fmt.Errorf("predict() gave %v, the scorer %v", want, sum)
		}
	}
	return nil
}
