package score

import (
	"encoding/binary"
	"math"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// A linear is a model that the scorer asks by itself: the answer to a row costs
// less than telling a worker that there is one. It may be used by many at once.
//
// It answers as predict() does but for the order of the sums, which numpy leaves
// to its BLAS: sums differ by at most tolerance of their terms, labels not at all.
type linear struct {
	from    *worker.Linear
	form    tensor.Form // of the inputs
	columns int
	labels  [][]byte      // as they are in a block; nil for sums
	output  tensor.Tensor // of an answer: all but its rows
	answers tensor.Form
}

const (
	// tolerance is relative to the sum of a sum's absolute terms. A sum of n
	// terms is off by less than n · 2⁻⁵³ of that in any order (Higham, Accuracy and
	// Stability of Numerical Algorithms, 2nd ed., section 4.2), two differ by
	// twice that at most: it holds up to widest columns.
	tolerance = 1e-12
	widest    = 4096
	// nothing is what numbers too small for all their digits add to that.
	nothing = 1e-300
)

// answer is what predict() gives. It is false for what is not plain: another
// type or shape, NaN and infinity, a label on the edge.
func (l *linear) answer(in tensor.Batch) (tensor.Batch, bool) {
	if !l.takes(in) {
		return tensor.Batch{}, false
	}
	var few [32]float64
	x := few[:0]
	if l.columns > len(few) {
		x = make([]float64, 0, l.columns)
	}
	data := in.Tensors[0].Data
	out := make([]byte, 0, in.Rows*l.width())
	var ok bool
	for range in.Rows {
		if out, ok = l.row(out, l.scaled(x, data[:l.columns*8])); !ok {
			return tensor.Batch{}, false
		}
		data = data[l.columns*8:]
	}
	t := l.output
	t.Shape = append([]int{in.Rows}, l.output.Shape[1:]...)
	t.Data = out
	return tensor.Batch{Form: l.answers, Rows: in.Rows, Tensors: []tensor.Tensor{t}}, true
}

// takes reports whether a batch is one block of doubles with the model's
// columns.
func (l *linear) takes(in tensor.Batch) bool {
	if in.Form != l.form || in.Rows < 1 || in.Params != nil || len(in.Tensors) != 1 || in.Form == tensor.Table && len(in.Columns) != l.columns {
		return false
	}
	t := &in.Tensors[0]
	return t.Type == tensor.Float64 && len(t.Shape) == 2 && t.Shape[0] == in.Rows && t.Shape[1] == l.columns && len(t.Data) == in.Rows*l.columns*8
}

// each is the elements of an answer to a row.
func (l *linear) each() int {
	if l.labels != nil {
		return 1
	}
	return len(l.from.Weights)
}

// width is the bytes of most answers to a row.
func (l *linear) width() int {
	if l.labels != nil {
		return len(l.labels[0])
	}
	return 8 * len(l.from.Weights)
}

// scaled reads a row into x. Each operation is rounded by itself, as numpy does
// it, so that this part is the same to the last bit.
func (l *linear) scaled(x []float64, row []byte) []float64 {
	x = x[:l.columns]
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(row[8*i:]))
	}
	for _, s := range l.from.Scaling {
		by := s.By[:len(x)]
		switch s.Op {
		case "add":
			for i := range x {
				x[i] += by[i]
			}
		case "subtract":
			for i := range x {
				x[i] -= by[i]
			}
		case "multiply":
			for i := range x {
				x[i] *= by[i]
			}
		case "divide":
			for i := range x {
				x[i] /= by[i]
			}
		}
	}
	return x
}

// sum is an output's sum of products, and that of their absolute values. NaN or
// infinity anywhere in the row makes it one of them.
func (l *linear) sum(output int, x []float64) (sum, size float64) {
	weights := l.from.Weights[output][:len(x)]
	for i, w := range weights {
		term := w * x[i]
		sum += term
		size += math.Abs(term)
	}
	intercept := l.from.Intercepts[output]
	return sum + intercept, size + math.Abs(intercept)
}

func finite(v float64) bool { return v-v == 0 }

// row appends the answer to one row.
func (l *linear) row(out []byte, x []float64) ([]byte, bool) {
	if l.labels != nil {
		class, ok := l.class(x)
		if !ok {
			return out, false
		}
		return append(out, l.labels[class]...), true
	}
	for output := range l.from.Weights {
		sum, _ := l.sum(output, x)
		if !finite(sum) {
			return out, false
		}
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(sum))
	}
	return out, true
}

// class is the number of a row's label; false where sums in another order could
// have another.
func (l *linear) class(x []float64) (class int, ok bool) {
	best, size := l.sum(0, x)
	if len(l.from.Weights) == 1 {
		if best > 0 {
			class = 1
		}
		return class, finite(size) && math.Abs(best) > tolerance*size+nothing
	}
	second := math.Inf(-1)
	for output := 1; output < len(l.from.Weights); output++ {
		sum, terms := l.sum(output, x)
		size = max(size, terms)
		if sum > best {
			class, best, second = output, sum, best
		} else {
			second = max(second, sum)
		}
	}
	return class, finite(size) && best-second > 2*(tolerance*size+nothing)
}
