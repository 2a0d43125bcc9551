package journal

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// exchange adds a request's rows.
func (t *table) exchange(x *logged) {
	in, out := t.framesOf(inputSide, &x.input), t.framesOf(outputSide, &x.output)
	for row := range max(1, x.input.rows, x.output.rows) {
		t.begin()
		t.time.set(parquet.Int64Value(x.time))
		t.requestID.text(x.request)
		t.row.int(row)
		t.rows.int(x.input.rows)
		t.clientID.text(x.client)
		t.traceID.text(x.trace)
		t.dialect.text(x.dialect)
		t.status.int(x.status)
		t.failure.text(x.failure)
		t.latency.ms(x.latency)
		t.queue.ms(x.queued)
		t.run.ms(x.model)
		t.batch.int(x.batch)
		t.worker.int(x.worker)
		t.purpose.text(x.purpose)
		if x.input.kind == payloadOmitted || x.output.kind == payloadOmitted {
			t.omitted.text([]byte(omitted(x)))
		}
		if row == 0 && len(x.inputParams) > 0 {
			t.named[columnParams].bytes(x.inputParams)
		}
		t.opaque(columnRequest, &x.input)
		t.opaque(columnResponse, &x.output)
		t.values(inputSide, &x.input, in, row)
		t.values(outputSide, &x.output, out, row)
		t.end()
	}
}

func omitted(x *logged) string {
	var parts []string
	for _, p := range []struct {
		what string
		of   *loggedPayload
	}{{"input", &x.input}, {"output", &x.output}} {
		if p.of.kind == payloadOmitted {
			parts = append(parts, fmt.Sprintf("%s of %d bytes", p.what, p.of.size))
		}
	}
	return strings.Join(parts, ", ")
}

func (t *table) opaque(name string, p *loggedPayload) {
	if p.kind == payloadBytes {
		t.text(name, p.bytes).bytes(p.bytes)
	}
}

// collected adds a row that the model's code collected.
func (t *table) collected(c collectedRow) {
	t.begin()
	t.time.set(parquet.Int64Value(c.time))
	t.requestID.text([]byte(c.requestID))
	t.row.int(c.row)
	t.collection.text([]byte(c.collection))
	t.purpose.text([]byte(c.purpose))
	t.named[columnData].bytes(c.data)
	t.end()
}

// begin starts a row; end gives every column without a value its null.
func (t *table) begin() {
	for _, c := range t.columns {
		c.mark = len(c.values)
	}
}

func (t *table) end() {
	for _, c := range t.columns {
		if len(c.values) == c.mark && c.always == nil {
			c.null()
		}
	}
	t.chunk++
}

// A placed layout knows the columns of its values on one side, input or
// output. A nil one takes nothing.
type placed struct {
	layout *layout
	cells  []cell
}

// A cell is what of a tensor's row goes into one column.
type cell struct {
	column   *column
	tensor   int
	at       int // the first element of the row
	elements int // 1 unless the column is a list
	stride   int // elements of the tensor in a row
}

const (
	inputSide = iota
	outputSide
)

var sideNames = [...]string{"input", "output"}

// settle makes the columns of the layouts that were met. A name that comes
// with several types has a column of what holds them all: float64 for
// numbers, else text.
func (t *table) settle(layouts []layout) {
	for side := range t.placed {
		t.placed[side] = make([]*placed, len(layouts))
		for n := range layouts {
			if !t.met[side][n] {
				continue
			}
			l := &layouts[n]
			p := &placed{layout: l}
			for i, f := range l.Tensors {
				stride := 1
				for _, d := range f.Shape {
					stride *= d
				}
				if len(l.Tensors) == 1 && len(l.Columns) == stride && stride > 0 {
					for at, name := range l.Columns {
						p.cells = append(p.cells, cell{t.settled(side, name, f.Type, false), i, at, 1, stride})
					}
					continue
				}
				p.cells = append(p.cells, cell{t.settled(side, f.Name, f.Type, stride != 1), i, 0, stride, stride})
			}
			t.placed[side][n] = p
		}
	}
	for _, c := range t.columns {
		if c.of != 0 {
			c.node = nodeOf(c.of)
		}
	}
}

// settled is the column of that name, made or widened so that it holds values
// of the type.
func (t *table) settled(side int, name string, of tensor.Type, list bool) *column {
	name = strings.TrimSuffix(sideNames[side]+"_"+name, "_")
	c := t.named[name]
	if c == nil {
		c = t.add(name, nil, list)
		c.of = of
		return c
	}
	c.list = c.list || list
	switch {
	case c.of == of:
	case c.of.Size() > 0 && of.Size() > 0 && c.of != tensor.Datetime && of != tensor.Datetime:
		c.of = tensor.Float64
	default:
		c.of = tensor.Text
	}
	return c
}

func nodeOf(of tensor.Type) parquet.Node {
	switch of {
	case tensor.Bool:
		return parquet.Leaf(parquet.BooleanType)
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		return parquet.Uint(8 * of.Size())
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return parquet.Int(8 * of.Size())
	case tensor.Float16, tensor.Float32:
		return parquet.Leaf(parquet.FloatType)
	case tensor.Float64:
		return parquet.Leaf(parquet.DoubleType)
	case tensor.Datetime:
		return parquet.Timestamp(parquet.Nanosecond)
	case tensor.Binary:
		return parquet.Leaf(parquet.ByteArrayType)
	case tensor.JSON:
		return parquet.JSON()
	}
	return parquet.String()
}

// values gives the row of a payload its values. Data that is shorter than its
// shape says leaves its columns empty.
func (t *table) values(side int, p *loggedPayload, frames [][][]byte, row int) {
	if p.kind != payloadTensors || row >= p.rows {
		return
	}
	of := t.placed[side][p.layout]
	for _, c := range of.cells {
		if len(c.column.values) > c.column.mark {
			continue // two tensors of one name
		}
		typ := of.layout.Tensors[c.tensor].Type
		element := func(i int) parquet.Value {
			n := row*c.stride + c.at + i
			if width := typ.Size(); width > 0 {
				if data := p.data[c.tensor]; (n+1)*width <= len(data) {
					return number(typ, c.column.of, data[n*width:(n+1)*width])
				}
			} else if list := frames[c.tensor]; n < len(list) && list[n] != nil {
				return parquet.ByteArrayValue(list[n])
			}
			return parquet.NullValue()
		}
		if c.column.list {
			t.list = t.list[:0]
			for i := range c.elements {
				t.list = append(t.list, element(i))
			}
			c.column.elements(t.list)
		} else if v := element(0); !v.IsNull() {
			c.column.set(v)
		}
	}
}

// framesOf splits the payload's framed tensors; a null is nil.
func (t *table) framesOf(side int, p *loggedPayload) (all [][][]byte) {
	if p.kind != payloadTensors {
		return nil
	}
	tensors := t.placed[side][p.layout].layout.Tensors
	if !slices.ContainsFunc(tensors, func(f field) bool { return f.Type.Size() == 0 }) {
		return nil
	}
	for i, f := range tensors {
		var list [][]byte
		if data := p.data[i]; f.Type.Size() == 0 {
			for len(data) >= 4 {
				n := binary.LittleEndian.Uint32(data)
				data = data[4:]
				if n == math.MaxUint32 {
					list = append(list, nil)
					continue
				}
				if uint64(n) > uint64(len(data)) {
					break
				}
				list = append(list, data[:n:n])
				data = data[n:]
			}
		}
		all = append(all, list)
	}
	return all
}

// number is a value of a fixed width, as a column of type as holds it. A NaN,
// which is also how a null number travels, and "not a time" are null.
func number(of, as tensor.Type, b []byte) parquet.Value {
	var bits uint64
	for i, x := range b {
		bits |= uint64(x) << (8 * i)
	}
	signed := int64(bits<<(64-8*len(b))) >> (64 - 8*len(b))
	var float float64
	switch of {
	case tensor.Float16:
		float = half(uint16(bits))
	case tensor.Float32:
		float = float64(math.Float32frombits(uint32(bits)))
	case tensor.Float64:
		float = math.Float64frombits(bits)
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, tensor.Datetime:
		float = float64(signed)
	default:
		float = float64(bits)
	}
	switch {
	case math.IsNaN(float) || of == tensor.Datetime && signed == math.MinInt64:
		return parquet.NullValue()
	case as == tensor.Float64:
		return parquet.DoubleValue(float)
	case as == tensor.Text:
		return parquet.ByteArrayValue([]byte(written(of, bits, signed, float)))
	}
	switch of {
	case tensor.Bool:
		return parquet.BooleanValue(bits != 0)
	case tensor.Float16, tensor.Float32:
		return parquet.FloatValue(float32(float))
	case tensor.Int64, tensor.Datetime:
		return parquet.Int64Value(signed)
	case tensor.Uint64:
		return parquet.Int64Value(int64(bits))
	case tensor.Int8, tensor.Int16, tensor.Int32:
		return parquet.Int32Value(int32(signed))
	}
	return parquet.Int32Value(int32(uint32(bits)))
}

// written is a value as text, for a column that holds texts as well.
func written(of tensor.Type, bits uint64, signed int64, float float64) string {
	switch of {
	case tensor.Bool:
		return strconv.FormatBool(bits != 0)
	case tensor.Float16, tensor.Float32, tensor.Float64:
		return strconv.FormatFloat(float, 'g', -1, 64)
	case tensor.Datetime:
		return time.Unix(0, signed).UTC().Format(time.RFC3339Nano)
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		return strconv.FormatUint(bits, 10)
	}
	return strconv.FormatInt(signed, 10)
}

// half is an IEEE 754 binary16.
func half(b uint16) float64 {
	sign, exponent, fraction := 1-2*float64(b>>15), int(b>>10&31), float64(b&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
