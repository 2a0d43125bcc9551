package worker

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

func rows(from float64, n int) tensor.Batch {
	var numbers, texts []byte
	for i := range n {
		numbers = binary.LittleEndian.AppendUint64(numbers, math.Float64bits(from+float64(i)))
		texts = append(binary.LittleEndian.AppendUint32(texts, 3), "abc"...)
	}
	return tensor.Batch{Form: tensor.Named, Rows: n, Params: json.RawMessage(`{"k":[1]}`), Tensors: []tensor.Tensor{
		{Name: `a "name"`, Type: tensor.Text, Shape: []int{n}, Data: texts},
		{Name: "x", Type: tensor.Float64, Shape: []int{n, 1}, Data: numbers},
	}}
}

// What is sent in one frame for several, is read as what Join makes of them;
// blocks begin at multiples of eight bytes, whatever came before.
func TestFrames_Predict(t *testing.T) {
	for _, counts := range [][]int{{1}, {3, 1, 2}, {0, 5}, {copied, 1, copied / 4}} {
		var batches []tensor.Batch
		for i, n := range counts {
			batches = append(batches, rows(float64(1000*i), n))
		}
		want, ok := tensor.Join(batches)
		if !ok {
			t.Fatal("they do not join")
		}
		var f Frames
		for id := uint64(1); id <= 2; id++ { // the second shows that the first ended where it said
			if err := f.Predict(id, batches); err != nil {
				t.Fatal(err)
			}
		}
		size := f.Len()
		var b bytes.Buffer
		if n, err := f.WriteTo(&b); err != nil || int(n) != size || b.Len() != size {
			t.Fatalf("wrote %d bytes of %d, %v", n, size, err)
		}
		for id := uint64(1); id <= 2; id++ {
			frame, err := ReadFrame(&b)
			if err != nil || frame.ID != id || frame.Type != FramePredict || len(frame.Header)%blockAlign != 0 {
				t.Fatalf("%v: frame %+v, %v", counts, frame.ID, err)
			}
			got, err := decodePredicted(frame) // the answer's form is the same
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Output, want) {
				t.Errorf("%v: read %d rows %v, want %v", counts, got.Output.Rows, got.Output.Tensors[0].Shape, want.Tensors[0].Shape)
			}
		}
		if f.Reset(); f.Len() != 0 {
			t.Errorf("%d bytes after Reset", f.Len())
		}
	}
}

func TestFrames_refuses(t *testing.T) {
	var f Frames
	bad := rows(0, 1)
	bad.Params = json.RawMessage(`{"k":`)
	if err := f.Predict(1, []tensor.Batch{bad}); err == nil || f.Len() != 0 {
		t.Errorf("%d bytes for parameters that are no JSON, %v", f.Len(), err)
	}
	if err := f.Request(1, Request{Body: make([]byte, FrameLimit)}, Hello{}, 0); err == nil || f.Len() != 0 {
		t.Errorf("%d bytes for a request over the limit, %v", f.Len(), err)
	}
}
