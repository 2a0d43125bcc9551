package oip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// The messages of open_inference_grpc.proto (package inference), as far as a
// server reads and writes them. They are written by hand on protowire because
// tensors go straight from the wire into blocks and back; generated code would
// hold each of them once more as a slice of numbers. Numbers in the code are the
// proto's field numbers.

// A message knows its protobuf form.
type message interface {
	parse(wire []byte) error
	appendTo(wire []byte) []byte
}

// codec is how connect sees them.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(m any) ([]byte, error) { return m.(message).appendTo(nil), nil }

func (codec) Unmarshal(wire []byte, m any) error { return m.(message).parse(wire) }

// A field is one of a message: bytes when it has a length, else a number.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bytes  []byte
	value  uint64
}

// each goes through a message's fields.
func each(wire []byte, visit func(f field) error) error {
	for len(wire) > 0 {
		var f field
		var n int
		if f.number, f.kind, n = protowire.ConsumeTag(wire); n < 0 {
			return protowire.ParseError(n)
		}
		wire = wire[n:]
		switch f.kind {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(wire)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(wire)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(wire)
			f.value = uint64(v)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(wire)
		default:
			n = protowire.ConsumeFieldValue(f.number, f.kind, wire)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		wire = wire[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// varints goes through a repeated field's numbers, packed or not.
func (f field) varints(visit func(v uint64) error) error {
	if f.kind == protowire.VarintType {
		return visit(f.value)
	}
	for wire := f.bytes; len(wire) > 0; {
		v, n := protowire.ConsumeVarint(wire)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := visit(v); err != nil {
			return err
		}
		wire = wire[n:]
	}
	return nil
}

func appendText(wire []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return wire
	}
	return protowire.AppendString(protowire.AppendTag(wire, number, protowire.BytesType), text)
}

func appendBytes(wire []byte, number protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(wire, number, protowire.BytesType), b)
}

// nothing is a request without content.
type nothing struct{}

func (nothing) parse(wire []byte) error { return each(wire, func(field) error { return nil }) }

func (nothing) appendTo(wire []byte) []byte { return wire }

// yes is an answer of one boolean.
type yes struct{ value bool }

func (y *yes) parse(wire []byte) error {
	return each(wire, func(f field) error { y.value = y.value || f.number == 1 && f.value != 0; return nil })
}

func (y *yes) appendTo(wire []byte) []byte {
	if !y.value {
		return wire
	}
	return protowire.AppendVarint(protowire.AppendTag(wire, 1, protowire.VarintType), 1)
}

// which names a model.
type which struct{ name, version string }

func (w *which) parse(wire []byte) error {
	return each(wire, func(f field) error {
		switch f.number {
		case 1:
			w.name = string(f.bytes)
		case 2:
			w.version = string(f.bytes)
		}
		return nil
	})
}

func (w *which) appendTo(wire []byte) []byte {
	return appendText(appendText(wire, 1, w.name), 2, w.version)
}

func (s *serverMetadata) parse(wire []byte) error {
	return each(wire, func(f field) error {
		switch f.number {
		case 1:
			s.Name = string(f.bytes)
		case 2:
			s.Version = string(f.bytes)
		case 3:
			s.Extensions = append(s.Extensions, string(f.bytes))
		}
		return nil
	})
}

func (s *serverMetadata) appendTo(wire []byte) []byte {
	wire = appendText(appendText(wire, 1, s.Name), 2, s.Version)
	for _, extension := range s.Extensions {
		wire = appendText(wire, 3, extension)
	}
	return wire
}

func (m *modelMetadata) parse(wire []byte) error {
	return each(wire, func(f field) (err error) {
		var t tensorMetadata
		switch f.number {
		case 1:
			m.Name = string(f.bytes)
		case 2:
			m.Versions = append(m.Versions, string(f.bytes))
		case 3:
			m.Platform = string(f.bytes)
		case 4:
			err = t.parse(f.bytes)
			m.Inputs = append(m.Inputs, t)
		case 5:
			err = t.parse(f.bytes)
			m.Outputs = append(m.Outputs, t)
		}
		return err
	})
}

func (m *modelMetadata) appendTo(wire []byte) []byte {
	wire = appendText(wire, 1, m.Name)
	for _, version := range m.Versions {
		wire = appendText(wire, 2, version)
	}
	wire = appendText(wire, 3, m.Platform)
	for i := range m.Inputs {
		wire = appendBytes(wire, 4, m.Inputs[i].appendTo(nil))
	}
	for i := range m.Outputs {
		wire = appendBytes(wire, 5, m.Outputs[i].appendTo(nil))
	}
	return wire
}

func (t *tensorMetadata) parse(wire []byte) error {
	return each(wire, func(f field) (err error) {
		switch f.number {
		case 1:
			t.Name = string(f.bytes)
		case 2:
			t.Datatype = string(f.bytes)
		case 3:
			err = f.varints(func(v uint64) error { t.Shape = append(t.Shape, int(int64(v))); return nil })
		}
		return err
	})
}

func (t *tensorMetadata) appendTo(wire []byte) []byte {
	return appendShape(appendText(appendText(wire, 1, t.Name), 2, t.Datatype), t.Shape)
}

func appendShape(wire []byte, shape []int) []byte {
	var packed []byte
	for _, d := range shape {
		packed = protowire.AppendVarint(packed, uint64(int64(d)))
	}
	return appendBytes(wire, 3, packed)
}

// inferRequest is ModelInferRequest. Its inputs are tensors only when tensors
// has been called: what is wrong with them is an answer, not a broken message.
type inferRequest struct {
	which
	id      string
	inputs  []inferInput
	outputs []string
	raw     [][]byte
}

type inferInput struct {
	tensorMetadata
	contents []byte
}

// parse keeps the message: connect takes its buffer back.
func (r *inferRequest) parse(wire []byte) error {
	return each(bytes.Clone(wire), func(f field) (err error) {
		switch f.number {
		case 1:
			r.name = string(f.bytes)
		case 2:
			r.version = string(f.bytes)
		case 3:
			r.id = string(f.bytes)
		case 5:
			var in inferInput
			if err = in.parse(f.bytes); err == nil {
				err = each(f.bytes, func(f field) error {
					if f.number == 5 {
						in.contents = f.bytes
					}
					return nil
				})
			}
			r.inputs = append(r.inputs, in)
		case 6:
			err = each(f.bytes, func(f field) error {
				if f.number == 1 {
					r.outputs = append(r.outputs, string(f.bytes))
				}
				return nil
			})
		case 7:
			r.raw = append(r.raw, f.bytes)
		}
		return err
	})
}

// appendTo is what a client sends.
func (r *inferRequest) appendTo(wire []byte) []byte {
	wire = appendText(r.which.appendTo(wire), 3, r.id)
	for i := range r.inputs {
		in := r.inputs[i].appendTo(nil)
		if r.inputs[i].contents != nil {
			in = appendBytes(in, 5, r.inputs[i].contents)
		}
		wire = appendBytes(wire, 5, in)
	}
	for _, name := range r.outputs {
		wire = appendBytes(wire, 6, appendText(nil, 1, name))
	}
	for _, block := range r.raw {
		wire = appendBytes(wire, 7, block)
	}
	return wire
}

// inferResponse is ModelInferResponse.
type inferResponse struct {
	which
	id      string
	outputs []tensor.Tensor
	raw     bool // the blocks apart, as they are
}

func (r *inferResponse) appendTo(wire []byte) []byte {
	wire = appendText(r.which.appendTo(wire), 3, r.id)
	for i := range r.outputs {
		t := &r.outputs[i]
		about := tensorMetadata{t.Name, t.Type.Datatype(), t.Shape}
		out := about.appendTo(nil)
		if !r.raw {
			out = appendBytes(out, 5, appendContents(nil, t))
		}
		wire = appendBytes(wire, 5, out)
	}
	for i := range r.outputs {
		if r.raw {
			block := r.outputs[i].Data
			if r.outputs[i].Type.Datatype() == "BYTES" {
				block = r.outputs[i].Bytes()
			}
			wire = appendBytes(wire, 6, block)
		}
	}
	return wire
}

// parse is for clients: tests.
func (r *inferResponse) parse(wire []byte) error {
	var blocks [][]byte
	err := each(bytes.Clone(wire), func(f field) (err error) {
		switch f.number {
		case 1:
			r.name = string(f.bytes)
		case 2:
			r.version = string(f.bytes)
		case 3:
			r.id = string(f.bytes)
		case 5:
			var in inferInput
			if err = in.parse(f.bytes); err != nil {
				return err
			}
			err = each(f.bytes, func(f field) error {
				if f.number == 5 {
					in.contents = f.bytes
				}
				return nil
			})
			t := tensor.Tensor{Name: in.Name, Shape: in.Shape}
			t.Type, _ = tensor.OfDatatype(in.Datatype)
			if in.contents != nil && err == nil {
				t.Data, err = readContents(in.contents, t.Type)
			}
			r.outputs = append(r.outputs, t)
		case 6:
			blocks = append(blocks, f.bytes)
		}
		return err
	})
	for i := range blocks {
		if i < len(r.outputs) {
			r.raw, r.outputs[i].Data = true, blocks[i]
		}
	}
	return err
}

// The fields of InferTensorContents.
const (
	boolContents protowire.Number = iota + 1
	intContents
	int64Contents
	uintContents
	uint64Contents
	fp32Contents
	fp64Contents
	bytesContents
)

// contentsOf is the field that a type's elements travel in; 0 for FP16, which
// only travels raw.
func contentsOf(t tensor.Type) protowire.Number {
	switch t {
	case tensor.Bool:
		return boolContents
	case tensor.Int8, tensor.Int16, tensor.Int32:
		return intContents
	case tensor.Int64:
		return int64Contents
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		return uintContents
	case tensor.Uint64:
		return uint64Contents
	case tensor.Float32:
		return fp32Contents
	case tensor.Float64:
		return fp64Contents
	case tensor.Float16:
		return 0
	}
	return bytesContents
}

// readContents makes a block of InferTensorContents.
func readContents(wire []byte, t tensor.Type) ([]byte, error) {
	want := contentsOf(t)
	var block []byte
	err := each(wire, func(f field) error {
		if f.number != want {
			return fmt.Errorf("%s does not travel in field %d of its contents", t.Datatype(), f.number)
		}
		switch {
		case want == bytesContents && f.kind == protowire.BytesType:
			block = tensor.AppendFrame(block, f.bytes)
		case (want == fp32Contents || want == fp64Contents) && f.kind == protowire.BytesType: // packed is how blocks are
			if len(f.bytes)%t.Size() != 0 {
				return fmt.Errorf("%d bytes are not a whole number of %s", len(f.bytes), t.Datatype())
			}
			block = append(block, f.bytes...)
		case want == fp32Contents && f.kind == protowire.Fixed32Type:
			block = binary.LittleEndian.AppendUint32(block, uint32(f.value))
		case want == fp64Contents && f.kind == protowire.Fixed64Type:
			block = binary.LittleEndian.AppendUint64(block, f.value)
		case want < fp32Contents && (f.kind == protowire.VarintType || f.kind == protowire.BytesType):
			return f.varints(func(v uint64) (err error) { block, err = appendWhole(block, t, v); return err })
		default:
			return fmt.Errorf("field %d has the wire type %d", f.number, f.kind)
		}
		return nil
	})
	return block, err
}

func appendWhole(block []byte, t tensor.Type, v uint64) ([]byte, error) {
	signed, unsigned := int64(v), v
	fits := true
	switch t {
	case tensor.Bool:
		if v != 0 {
			v = 1
		}
		return append(block, byte(v)), nil
	case tensor.Int8:
		fits = signed == int64(int8(signed))
	case tensor.Int16:
		fits = signed == int64(int16(signed))
	case tensor.Int32:
		fits = signed == int64(int32(signed))
	case tensor.Uint8:
		fits = unsigned <= math.MaxUint8
	case tensor.Uint16:
		fits = unsigned <= math.MaxUint16
	case tensor.Uint32:
		fits = unsigned <= math.MaxUint32
	}
	if !fits {
		return block, fmt.Errorf("a number is beyond what %s holds", t)
	}
	switch t.Size() {
	case 1:
		return append(block, byte(v)), nil
	case 2:
		return binary.LittleEndian.AppendUint16(block, uint16(v)), nil
	case 4:
		return binary.LittleEndian.AppendUint32(block, uint32(v)), nil
	}
	return binary.LittleEndian.AppendUint64(block, v), nil
}

// appendContents is the other way.
func appendContents(wire []byte, t *tensor.Tensor) []byte {
	number := contentsOf(t.Type)
	switch number {
	case fp32Contents, fp64Contents:
		return appendBytes(wire, number, t.Data)
	case bytesContents:
		tensor.Frames(t.Bytes(), func(element []byte) { wire = appendBytes(wire, bytesContents, element) })
		return wire
	}
	var packed []byte
	for data := t.Data; len(data) > 0; data = data[t.Type.Size():] {
		var v uint64
		switch t.Type {
		case tensor.Bool, tensor.Uint8:
			v = uint64(data[0])
		case tensor.Int8:
			v = uint64(int64(int8(data[0])))
		case tensor.Int16:
			v = uint64(int64(int16(binary.LittleEndian.Uint16(data))))
		case tensor.Uint16:
			v = uint64(binary.LittleEndian.Uint16(data))
		case tensor.Int32:
			v = uint64(int64(int32(binary.LittleEndian.Uint32(data))))
		case tensor.Uint32:
			v = uint64(binary.LittleEndian.Uint32(data))
		default:
			v = binary.LittleEndian.Uint64(data)
		}
		packed = protowire.AppendVarint(packed, v)
	}
	return appendBytes(wire, number, packed)
}
