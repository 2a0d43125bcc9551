package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Command { // started again to read a file
		os.Exit(Main(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

type row struct {
	Double  float64   `parquet:"double"`
	Single  *float32  `parquet:"single,optional"`
	Whole   *int32    `parquet:"whole,optional"`
	Small   int8      `parquet:"small"`
	Large   uint64    `parquet:"large"`
	Truth   bool      `parquet:"truth"`
	Text    *string   `parquet:"text,optional,snappy,dict"`
	Bytes   []byte    `parquet:"bytes,zstd"`
	When    time.Time `parquet:"when,timestamp(millisecond)"`
	Many    []string  `parquet:"many"`
	Skipped int64     `parquet:"__index_level_0__"`
}

func file(t testing.TB) []byte {
	t.Helper()
	single, whole, text := float32(0.5), int32(-7), "ä"
	var out bytes.Buffer
	when := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	if err := parquet.Write(&out, []row{
		{1.5, &single, &whole, -1, 1 << 63, true, &text, []byte{0, 255}, when, []string{"a"}, 0},
		{2.5, nil, nil, 2, 3, false, nil, nil, when.Add(time.Millisecond), nil, 1},
	}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRead(t *testing.T) {
	got, err := NewReader().Read(context.Background(), file(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"double": "FP64 [1.5,2.5]", "single": "FP32 [0.5,null]", "whole": "FP64 [-7.0,null]", "small": "INT8 [-1,2]", "large": "UINT64 [9223372036854775808,3]",
		"truth": "BOOL [true,false]", "text": `TEXT ["ä",null]`, "bytes": `BINARY ["AP8=",""]`, "when": `DATETIME ["2024-02-29T12:00:00","2024-02-29T12:00:00.001"]`, "many": "nothing",
	}
	shown := map[string]string{}
	for i := range got {
		shown[got[i].Name] = "nothing"
		if got[i].Type != 0 {
			values, err := got[i].AppendJSON(nil)
			if err != nil {
				t.Fatal(err)
			}
			shown[got[i].Name] = got[i].Type.String() + " " + string(values)
		}
	}
	if !reflect.DeepEqual(shown, want) {
		t.Errorf("got  %v\nwant %v", shown, want)
	}
	s := &tensor.Signature{Form: tensor.Table, Inputs: []tensor.Field{{Name: "small", Type: tensor.Float64}, {Name: "double", Type: tensor.Float64}}}
	if b, err := tensor.NewReader(s).Columns(got); err != nil || !reflect.DeepEqual(b.Columns, []string{"small", "double"}) || b.Rows != 2 {
		t.Errorf("%+v %v", b, err)
	}
	s.Inputs[1] = tensor.Field{Name: "many", Type: tensor.JSON}
	if _, err := tensor.NewReader(s).Columns(got); err == nil || !strings.Contains(err.Error(), "'many' is a column of lists") {
		t.Error(err)
	}
}

// What a stranger sends is an error of his, whatever it claims to hold.
func TestRead_broken(t *testing.T) {
	whole := file(t)
	huge := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(huge[len(huge)-8:], 0xff0001f9) // a footer of four gigabytes
	for name, body := range map[string][]byte{
		"empty": nil, "short": []byte("PAR1"), "no footer": []byte("PAR1\x00\x00\x00\x00PAR1"), "truncated": whole[:len(whole)/2], "a huge footer": huge, "no Parquet": bytes.Repeat([]byte("x"), 1000),
	} {
		_, err := NewReader().Read(context.Background(), body)
		if mismatch := new(tensor.Mismatch); !errors.As(err, &mismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewReader().Read(gone, whole); !errors.Is(err, context.Canceled) {
		t.Errorf("after the client left: %v", err)
	}
}

// Read goes through a process each time, so this is slow and worth it: what
// ends that process must not end this one.
func FuzzRead(f *testing.F) {
	f.Add(file(f))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := NewReader().Read(t.Context(), body)
		if mismatch := new(tensor.Mismatch); err != nil && !errors.As(err, &mismatch) {
			t.Fatal(err)
		}
		for _, s := range []*tensor.Signature{nil, {Form: tensor.Table, Inputs: []tensor.Field{{Name: "double", Type: tensor.Float64}}}} {
			if b, err := tensor.NewReader(s).Columns(got); err == nil && b.Check() != nil {
				t.Fatal(b.Check())
			}
		}
	})
}
