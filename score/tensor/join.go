package tensor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// null is the length of a framed element that is null.
const null = math.MaxUint32

// SameLayout reports whether the two can be joined: the same tensors with
// elements of the same type and shape, and the same parameters.
func (b Batch) SameLayout(o Batch) bool {
	if b.Form != o.Form || len(b.Tensors) != len(o.Tensors) || !same(b.Columns, o.Columns) || !bytes.Equal(b.Params, o.Params) {
		return false
	}
	for i := range b.Tensors {
		t, u := &b.Tensors[i], &o.Tensors[i]
		if t.Type != u.Type || t.Name != u.Name || len(t.Shape) != len(u.Shape) || len(t.Shape) == 0 || !slices.Equal(t.Shape[1:], u.Shape[1:]) {
			return false
		}
	}
	return true
}

// same is slices.Equal that sees at once that two are one: the names of a
// signature's columns are shared by all batches made from it.
func same(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// Join makes one batch of the rows of several, in order. It is false when
// their layouts differ or there are none. The blocks of more than one batch are
// copied.
func Join(batches []Batch) (Batch, bool) {
	if len(batches) == 0 {
		return Batch{}, false
	}
	if len(batches) == 1 {
		return batches[0], true
	}
	joined := batches[0]
	joined.Rows = 0
	for _, b := range batches {
		if !b.SameLayout(batches[0]) {
			return Batch{}, false
		}
		joined.Rows += b.Rows
	}
	joined.Tensors = slices.Clone(joined.Tensors)
	for i := range joined.Tensors {
		t, size := &joined.Tensors[i], 0
		for _, b := range batches {
			size += len(b.Tensors[i].Data)
		}
		t.Data = make([]byte, 0, size)
		for _, b := range batches {
			t.Data = append(t.Data, b.Tensors[i].Data...)
		}
		t.Shape = slices.Clone(t.Shape)
		t.Shape[0] = joined.Rows
	}
	return joined, true
}

// Split cuts a batch into batches of so many rows each, which share its
// blocks. It is nil when the batch does not have exactly that many rows.
func (b Batch) Split(rows []int) []Batch {
	total, names := 0, len(b.Tensors)
	for _, n := range rows {
		total += n
	}
	if total != b.Rows || b.Check() != nil {
		return nil
	}
	parts := make([]Batch, len(rows))
	tensors := make([]Tensor, len(rows)*names)
	for i, n := range rows {
		parts[i] = Batch{Form: b.Form, Rows: n, Columns: b.Columns, Params: b.Params, Tensors: tensors[i*names : (i+1)*names : (i+1)*names]}
	}
	for k, t := range b.Tensors {
		each := elements(t.Shape[1:])
		at := 0
		for i, n := range rows {
			end := at + n*each*t.Type.Size()
			if t.Type.Framed() {
				end = at + framed(t.Data[at:], n*each)
			}
			shape := slices.Clone(t.Shape)
			shape[0] = n
			parts[i].Tensors[k] = Tensor{Name: t.Name, Type: t.Type, Shape: shape, Data: t.Data[at:end:end]}
			at = end
		}
	}
	return parts
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// framed is the bytes of the first n framed elements, or -1 when there are
// fewer.
func framed(data []byte, n int) int {
	at := 0
	for range n {
		if len(data)-at < 4 {
			return -1
		}
		length := binary.LittleEndian.Uint32(data[at:])
		at += 4
		if length == null {
			continue
		}
		if uint64(length) > uint64(len(data)-at) {
			return -1
		}
		at += int(length)
	}
	return at
}

// Check says what is wrong with a batch that came from outside: shapes that
// do not fit the rows, blocks that do not fit the shapes.
func (b Batch) Check() error {
	if b.Rows < 0 {
		return fmt.Errorf("%d rows", b.Rows)
	}
	if len(b.Tensors) == 0 {
		return errors.New("no tensor")
	}
	for i := range b.Tensors {
		if err := b.Tensors[i].check(b.Rows); err != nil {
			return fmt.Errorf("tensor %q: %w", b.Tensors[i].Name, err)
		}
	}
	if b.Columns != nil && (len(b.Tensors) != 1 || len(b.Tensors[0].Shape) != 2 || b.Tensors[0].Shape[1] != len(b.Columns)) {
		return fmt.Errorf("%d columns are named, and there is no single matrix of that many", len(b.Columns))
	}
	return nil
}

func (t *Tensor) check(rows int) error {
	if len(t.Shape) == 0 || t.Shape[0] != rows {
		return fmt.Errorf("shape %v does not begin with the %d rows of its batch", t.Shape, rows)
	}
	want, err := t.length(t.Data)
	if err == nil && want != len(t.Data) {
		err = fmt.Errorf("%d bytes, expected the %d of shape %v and type %s", len(t.Data), want, t.Shape, t.Type)
	}
	return err
}

// Take makes t the tensor whose block data begins with, and returns the
// block's length.
func (t *Tensor) Take(name string, typ Type, shape []int, data []byte) (int, error) {
	*t = Tensor{Name: name, Type: typ, Shape: shape}
	n, err := t.length(data)
	if err != nil {
		return 0, fmt.Errorf("tensor %q: %w", name, err)
	}
	t.Data = data[:n:n]
	return n, nil
}

// length is the bytes of the tensor's block, of which data has to hold at
// least so many.
func (t *Tensor) length(data []byte) (int, error) {
	if !t.Type.Valid() {
		return 0, fmt.Errorf("there is no %s", t.Type)
	}
	n := 1
	for _, d := range t.Shape {
		if d < 0 || (d > 0 && n > math.MaxInt32/d) {
			return 0, fmt.Errorf("impossible shape %v", t.Shape)
		}
		n *= d
	}
	length := n * t.Type.Size()
	if t.Type.Framed() {
		length = framed(data, n)
	}
	if length < 0 || length > len(data) {
		return 0, fmt.Errorf("%d bytes are too few for shape %v and type %s", len(data), t.Shape, t.Type)
	}
	return length, nil
}
