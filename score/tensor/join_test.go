package tensor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func floats(rows, columns int, from float64) Tensor {
	t := Tensor{Name: "x", Type: Float64, Shape: []int{rows, columns}}
	for i := range rows * columns {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(from+float64(i)))
	}
	return t
}

func texts(name string, values ...any) Tensor {
	t := Tensor{Name: name, Type: Text, Shape: []int{len(values)}}
	for _, v := range values {
		if s, ok := v.(string); ok {
			t.Data = append(binary.LittleEndian.AppendUint32(t.Data, uint32(len(s))), s...)
		} else {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, null)
		}
	}
	return t
}

// What is joined and split again is what it was, whatever its rows.
func TestJoin_and_split(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var batches []Batch
		var rows []int
		for n := range 1 + rng.IntN(6) {
			r := rng.IntN(5)
			words := make([]any, r)
			for i := range words {
				if rng.IntN(4) > 0 {
					words[i] = string(bytes.Repeat([]byte("ä"), rng.IntN(4)))
				}
			}
			batches = append(batches, Batch{Form: Named, Rows: r, Tensors: []Tensor{floats(r, 3, float64(n*100)), texts("w", words...)}})
			rows = append(rows, r)
		}
		joined, ok := Join(batches)
		if !ok || joined.Check() != nil {
			t.Fatalf("joined %+v: %v", joined, joined.Check())
		}
		for i, part := range joined.Split(rows) {
			want := batches[i]
			if part.Rows != want.Rows || part.Check() != nil {
				t.Fatalf("part %d: %+v", i, part)
			}
			for k := range part.Tensors {
				if !bytes.Equal(part.Tensors[k].Data, want.Tensors[k].Data) || !reflect.DeepEqual(part.Tensors[k].Shape, want.Tensors[k].Shape) {
					t.Fatalf("part %d tensor %d: %+v, want %+v", i, k, part.Tensors[k], want.Tensors[k])
				}
			}
		}
		if joined.Split(append(rows, 1)) != nil {
			t.Fatal("split into more rows than there are")
		}
	}
}

func TestBatch_SameLayout(t *testing.T) {
	base := func() Batch {
		return Batch{Form: Table, Rows: 2, Columns: []string{"a", "b"}, Tensors: []Tensor{floats(2, 2, 0)}}
	}
	more := base()
	more.Rows, more.Tensors[0] = 5, floats(5, 2, 0)
	if !base().SameLayout(more) {
		t.Error("the number of rows is no part of the layout")
	}
	for name, change := range map[string]func(*Batch){
		"form":    func(b *Batch) { b.Form = Array },
		"columns": func(b *Batch) { b.Columns = []string{"b", "a"} },
		"params":  func(b *Batch) { b.Params = json.RawMessage(`{"k":1}`) },
		"type":    func(b *Batch) { b.Tensors[0].Type = Int64 },
		"name":    func(b *Batch) { b.Tensors[0].Name = "y" },
		"width":   func(b *Batch) { b.Tensors[0] = floats(2, 3, 0) },
		"number":  func(b *Batch) { b.Tensors = append(b.Tensors, texts("w", "1", "2")) },
		"scalar":  func(b *Batch) { b.Tensors[0].Shape = nil },
	} {
		other := base()
		change(&other)
		if base().SameLayout(other) {
			t.Errorf("a different %s is the same layout", name)
		}
		if _, ok := Join([]Batch{base(), other}); ok {
			t.Errorf("a different %s was joined", name)
		}
	}
}

func TestBatch_Check(t *testing.T) {
	for name, b := range map[string]Batch{
		"no tensor":    {Form: Array},
		"rows":         {Form: Array, Rows: 3, Tensors: []Tensor{floats(2, 2, 0)}},
		"short block":  {Form: Array, Rows: 2, Tensors: []Tensor{{Type: Float64, Shape: []int{2}, Data: make([]byte, 15)}}},
		"short frame":  {Form: Array, Rows: 1, Tensors: []Tensor{{Type: Text, Shape: []int{1}, Data: []byte{9, 0, 0, 0, 'a'}}}},
		"frames left":  {Form: Array, Rows: 1, Tensors: []Tensor{texts("", "a", "b")}[:1]},
		"overflow":     {Form: Array, Rows: 1 << 30, Tensors: []Tensor{{Type: Text, Shape: []int{1 << 30, 1 << 30, 1 << 30}}}},
		"negative":     {Form: Array, Rows: 1, Tensors: []Tensor{{Type: Int8, Shape: []int{1, -1}}}},
		"no type":      {Form: Array, Rows: 1, Tensors: []Tensor{{Shape: []int{1}}}},
		"column names": {Form: Table, Rows: 2, Columns: []string{"a"}, Tensors: []Tensor{floats(2, 2, 0)}},
	} {
		if b.Check() == nil {
			t.Errorf("%s: nothing was found wrong", name)
		}
	}
}

func TestType_text(t *testing.T) {
	for _, typ := range Types() {
		text, err := json.Marshal(Field{Type: typ})
		if err != nil {
			t.Fatal(err)
		}
		var back Field
		if err := json.Unmarshal(text, &back); err != nil || back.Type != typ {
			t.Errorf("%s came back as %v, %v", text, back.Type, err)
		}
		if typ.Framed() != (typ.Size() == 0) {
			t.Errorf("%s: framed %v and %d bytes", typ, typ.Framed(), typ.Size())
		}
	}
	var s Signature
	if err := json.Unmarshal([]byte(`{"form":"table","inputs":[{"name":"a","type":"FP64"}]}`), &s); err != nil || s.Form != Table || s.Inputs[0].Type != Float64 {
		t.Errorf("%+v, %v", s, err)
	}
	if json.Unmarshal([]byte(`{"form":"heap"}`), &s) == nil || json.Unmarshal([]byte(`{"inputs":[{"type":"FP7"}]}`), &s) == nil {
		t.Error("unknown names were accepted")
	}
}
