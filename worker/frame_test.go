package worker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden frames")

const goldenDir = "../python/testdata/frames"

// golden describes a frame in a form that both languages read.
type golden struct {
	Type   FrameType       `json:"type,omitempty"`
	ID     uint64          `json:"id,omitempty"`
	Header json.RawMessage `json:"header,omitempty"`
	Body   string          `json:"body_base64,omitempty"`
	Bad    string          `json:"bad,omitempty"` // why the bytes are no frame
}

var goodFrames = map[string]Frame{
	"hello":          {FrameHello, 0, []byte(`{"protocol":2,"python":"3.11.7","pid":4711,"seconds":0.25,"kind":"script","headers":true,"schema":false}`), nil},
	"failed":         {FrameFailed, 0, []byte(`{"stage":"init","message":"ValueError: no model","traceback":"Traceback\n  …"}`), nil},
	"request":        {FrameRequest, 1, []byte(`{}`), []byte(`{"data":[[1,2],[3,4]]}`)},
	"request-get":    {FrameRequest, 1<<63 + 5, []byte(`{"method":"GET","query":"a=%5B1%5D","headers":{"X-Ms-Request-Id":"7"}}`), nil},
	"request-binary": {FrameRequest, 2, []byte(`{}`), []byte{0, 255, 10, 13, 0}},
	"response":       {FrameResponse, 1, []byte(`{"status":200,"ms":0.153}`), []byte(`{"result":[1.5,2.5]}`)},
	"hello-model":    {FrameHello, 0, []byte(`{"protocol":2,"python":"3.11.7","pid":4711,"seconds":0.25,"kind":"model","framework":"sklearn","joins":true,"signature":{"form":"table","inputs":[{"name":"a","type":"FP64"},{"name":"b","type":"TEXT"}]}}`), nil},
	"predict": {FramePredict, 3, []byte(`{"form":"table","rows":2,"columns":["a","b"],"tensors":[{"name":"","type":"FP64","shape":[2,2]}]}       `),
		[]byte{0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 8, 64, 0, 0, 0, 0, 0, 0, 248, 127}},
	"predict-framed": {FramePredict, 4, []byte(`{"form":"named","rows":2,"params":{"k":1},"tensors":[{"name":"t","type":"TEXT","shape":[2]},{"name":"n","type":"INT32","shape":[2]}]} `),
		[]byte{2, 0, 0, 0, 0xc3, 0xa9, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 254, 255, 255, 255}},
	"predicted":       {FramePredicted, 3, []byte(`{"form":"array","rows":2,"tensors":[{"name":"","type":"INT64","shape":[2]}],"ms":0.5}    `), []byte{1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255}},
	"predicted-error": {FramePredicted, 3, []byte(`{"reason":"raised","error":"ValueError: é"}     `), nil},
	"response-error":  {FrameResponse, 1<<64 - 1, []byte(`{"status":500,"failed":true,"error":"ValueError: é"}`), []byte(`{"message":"no"}`)},
}

var badFrames = map[string]struct {
	why   string
	bytes []byte
}{
	"bad-short-prefix":   {"ends within the prefix", []byte{0, 0, 0, 20, 3, 0}},
	"bad-short-body":     {"ends within the body", []byte{0, 0, 0, 20, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, '{', '}', 1}},
	"bad-length-small":   {"length below what is fixed", []byte{0, 0, 0, 12, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}},
	"bad-length-huge":    {"length above the limit", []byte{255, 255, 255, 255, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, '{', '}'}},
	"bad-header-too-big": {"header longer than the frame", []byte{0, 0, 0, 15, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, '{', '}', 1}},
	"bad-type":           {"unknown type", []byte{0, 0, 0, 15, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, '{', '}'}},
}

func TestGoldenFrames(t *testing.T) {
	if *update {
		writeGoldens(t)
	}
	names, err := filepath.Glob(goldenDir + "/*.json")
	if err != nil || len(names) != len(goodFrames)+len(badFrames) {
		t.Fatalf("%d golden frames, %v; want %d (go test ./worker -run Golden -update)", len(names), err, len(goodFrames)+len(badFrames))
	}
	for _, name := range names {
		base := strings.TrimSuffix(filepath.Base(name), ".json")
		t.Run(base, func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var want golden
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(filepath.Join(goldenDir, base+".frame"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadFrame(bytes.NewReader(raw))
			if want.Bad != "" {
				if err == nil {
					t.Fatalf("read %+v from bytes that are no frame: %s", got, want.Bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := base64.StdEncoding.DecodeString(want.Body)
			if err != nil {
				t.Fatal(err)
			}
			var header, gotHeader bytes.Buffer // the description is indented, the frame's may be filled up
			if err := errors.Join(json.Compact(&header, want.Header), json.Compact(&gotHeader, got.Header)); err != nil {
				t.Fatal(err)
			}
			if got.Type != want.Type || got.ID != want.ID || gotHeader.String() != header.String() || !bytes.Equal(got.Body, body) {
				t.Errorf("read %+v, want %+v", got, want)
			}
			again, err := got.Append(nil)
			if err != nil || !bytes.Equal(again, raw) {
				t.Errorf("encoded again: %q, %v; want %q", again, err, raw)
			}
		})
	}
}

func writeGoldens(t *testing.T) {
	t.Helper()
	write := func(name string, g golden, raw []byte) {
		text, err := json.MarshalIndent(g, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(goldenDir, name+".json"), append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(goldenDir, name+".frame"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range goodFrames {
		raw, err := f.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		write(name, golden{Type: f.Type, ID: f.ID, Header: f.Header, Body: base64.StdEncoding.EncodeToString(f.Body)}, raw)
	}
	for name, f := range badFrames {
		write(name, golden{Bad: f.why}, f.bytes)
	}
}

func TestReadFrame(t *testing.T) {
	t.Run("a stream that ends between frames is EOF", func(t *testing.T) {
		if _, err := ReadFrame(strings.NewReader("")); err != io.EOF {
			t.Errorf("got %v, want io.EOF", err)
		}
	})
	t.Run("a stream that ends within is ErrUnexpectedEOF", func(t *testing.T) {
		raw, _ := goodFrames["request"].Append(nil)
		for n := 1; n < len(raw); n++ {
			if _, err := ReadFrame(bytes.NewReader(raw[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%d of %d bytes: got %v, want io.ErrUnexpectedEOF", n, len(raw), err)
			}
		}
	})
	t.Run("a large body survives", func(t *testing.T) {
		f := Frame{FrameResponse, 9, []byte(`{}`), bytes.Repeat([]byte("0123456789abcdef"), 1<<18)}
		raw, err := f.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadFrame(bytes.NewReader(raw))
		if err != nil || !bytes.Equal(got.Body, f.Body) {
			t.Errorf("got %d bytes, %v; want %d", len(got.Body), err, len(f.Body))
		}
	})
}

// FuzzReadFrame: whatever comes, no panic and no memory beyond what came; what
// is accepted encodes to the same bytes.
func FuzzReadFrame(f *testing.F) {
	for _, good := range goodFrames {
		raw, err := good.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, bad := range badFrames {
		f.Add(bad.bytes)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		frame, err := ReadFrame(r)
		if err != nil {
			return
		}
		used := raw[:len(raw)-r.Len()]
		again, err := frame.Append(nil)
		if err != nil || !bytes.Equal(again, used) {
			t.Errorf("read %q as %+v, which encodes as %q, %v", used, frame, again, err)
		}
		_, _ = decodeResponse(frame)
		if p, err := decodePredicted(frame); err == nil && p.Output.Rows > 0 {
			if parts := p.Output.Split([]int{1, p.Output.Rows - 1}); len(parts) != 2 || parts[1].Check() != nil {
				t.Errorf("%d rows were split into %+v", p.Output.Rows, parts)
			}
		}
	})
}
