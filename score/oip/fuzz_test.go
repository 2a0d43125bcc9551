package oip

import (
	"bytes"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// No message breaks the server, and one that was understood is the same when
// it is written and read again.
func FuzzMessage(f *testing.F) {
	f.Add((&inferRequest{which: which{"m", "1"}, id: "7", outputs: []string{"y"}, inputs: []inferInput{
		{tensorMetadata{"x", "FP64", []int{1, 2}}, appendContents(nil, &tensor.Tensor{Type: tensor.Float64, Data: fp64(1, 2)})},
		{tensorMetadata{"s", "BYTES", []int{1}}, appendContents(nil, &tensor.Tensor{Type: tensor.Text, Data: tensor.AppendFrame(nil, []byte("ä"))})}}}).appendTo(nil))
	f.Add((&inferRequest{inputs: []inferInput{{tensorMetadata{"x", "BOOL", []int{2}}, nil}}, raw: [][]byte{{0, 7}}}).appendTo(nil))
	f.Add([]byte{0x2a, 0x05, 0x1a, 0x03, 0xff, 0xff, 0xff})
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var r inferRequest
		if r.parse(wire) != nil {
			return
		}
		var again inferRequest
		if err := again.parse(r.appendTo(nil)); err != nil || !bytes.Equal(r.appendTo(nil), again.appendTo(nil)) {
			t.Fatalf("%+v\nbecame %+v: %v", r, again, err)
		}
		given, err := r.tensors()
		if err != nil {
			return
		}
		for _, s := range []*tensor.Signature{nil, {Form: tensor.Table, Inputs: []tensor.Field{{Name: "x", Type: tensor.Float64}, {Name: "s", Type: tensor.JSON}}},
			{Form: tensor.Array, Inputs: []tensor.Field{{Type: tensor.Float32, Shape: []int{-1}}}}} {
			b, err := tensor.NewReader(s).Tensors(given)
			if err != nil {
				continue
			}
			if err := b.Check(); err != nil || b.Rows == 0 {
				t.Fatalf("a broken batch of %d rows: %v", b.Rows, err)
			}
			response := inferResponse{outputs: b.Outputs("y")}
			var read inferResponse
			if err := read.parse(response.appendTo(nil)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
