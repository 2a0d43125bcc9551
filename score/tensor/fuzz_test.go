package tensor

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

var signatures = []*Signature{three, mixed, unnamed, single, pixels, flat3, ab, nil,
	{Form: Table, Inputs: []Field{{Name: "h", Type: Float16}, {Name: "u", Type: Uint64, Shape: []int{2}}, {Name: "d", Type: Datetime}}, Params: []Param{{Name: "k", Type: Int8, List: true}}}}

// sound fails when a reader gave something that nobody may get.
func sound(t *testing.T, b Batch, err error) {
	t.Helper()
	if err != nil {
		if mismatch := new(Mismatch); !errors.As(err, &mismatch) || mismatch.Message == "" || !utf8.ValidString(mismatch.Message) || len(mismatch.Message) > 4000 {
			t.Fatalf("%T %q", err, err)
		}
		return
	}
	if err := b.Check(); err != nil || b.Rows == 0 {
		t.Fatalf("a broken batch of %d rows: %v", b.Rows, err)
	}
	for _, data := range b.Tensors {
		if text, err := data.AppendJSON(nil); err == nil && !json.Valid(text) {
			t.Fatalf("written as %s", text)
		}
	}
	if b.Params != nil && !json.Valid(b.Params) {
		t.Fatalf("parameters %s", b.Params)
	}
}

func FuzzReader_JSON(f *testing.F) {
	for _, body := range []string{
		`{"dataframe_split":{"columns":["a","b","c"],"index":[0],"data":[[1,2.5,-3e2]]}}`, `{"dataframe_split":{"data":[[1,2]],"columns":[0,"b"]},"params":{"k":[1]}}`,
		`{"dataframe_records":[{"a":1,"b":null,"c":true},{"text":"é\n\ud83d\ude00"}]}`, `{"inputs":{"a":[1,2],"b":[[1,2],[3,4]]}}`, `{"instances":[[[1,2],[3,4]]]}`,
		`{"data":[[1,2,3]]}`, `{"input_data":{"columns":["n"],"data":[[-1]]}}`, `{"inputs":"x"}`, `{"inputs":[NaN,-Infinity]}`, `{"data":[{"h":65520,"u":[1,2],"d":"2024-02-29"}]}`, `[`, ``,
	} {
		for which := range signatures {
			f.Add([]byte(body), uint8(which))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, which uint8) {
		r := NewReader(signatures[int(which)%len(signatures)])
		b, err := r.JSON(body, Split, Records, Instances, Inputs, Data, InputData)
		sound(t, b, err)
		if python := bytes.Contains(body, []byte("NaN")) || bytes.Contains(body, []byte("Infinity")); err == nil && !python && !json.Valid(body) {
			t.Fatalf("took what is no JSON: %s", body)
		}
	})
}

func FuzzReader_Inference(f *testing.F) {
	for _, body := range []string{
		`{"id":"1","inputs":[{"name":"x","shape":[2,3],"datatype":"FP64","data":[[1,2,3],[4,5,6]]}],"outputs":[{"name":"y"}]}`,
		`{"inputs":[{"data":["YQ==",null],"parameters":{"content_type":"base64"},"datatype":"BYTES","shape":[2],"name":"text"}]}`,
		`{"inputs":[{"name":"a","shape":[1],"datatype":"INT8","data":[1]},{"name":"b","shape":[1,2],"datatype":"FP16","data":[1,2]}]}`,
		`{"inputs":[{"name":"x","shape":[0,9223372036854775807],"datatype":"BOOL","data":[]}]}`,
	} {
		for which := range signatures {
			f.Add([]byte(body), uint8(which))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, which uint8) {
		in, err := NewReader(signatures[int(which)%len(signatures)]).Inference(body)
		sound(t, in.Batch, err)
		for i := range in.Batch.Tensors {
			if text, err := in.Batch.Tensors[i].AppendOutput(nil, in.ID); err == nil && !json.Valid(text) {
				t.Fatalf("written as %s", text)
			}
		}
	})
}

func FuzzReader_CSV(f *testing.F) {
	for _, body := range []string{"a,b,c\n1,2,3\n", "a,b,c\r\n\"1\",NA, 3 \r\n", "text\nx\n\"a\"\"b\"\n", "n,x,ok,s,bin,at,any\n1,2,True,x,aGk=,2024-01-01,[1]\n", "\ufeffa,b\n1,\n", "a,a\n", "\"", ""} {
		for which := range signatures {
			f.Add([]byte(body), uint8(which))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, which uint8) {
		b, err := NewReader(signatures[int(which)%len(signatures)]).CSV(body)
		sound(t, b, err)
	})
}

// Numbers and texts are what encoding/json reads.
func FuzzValues(f *testing.F) {
	for _, value := range []string{"0", "-0", "1.5", "1e22", "1e23", "-9007199254740993", "123456789012345678901234567890", "0.1e-400", "1e309", "5e-324", "0.038075906433423026", "01", "1.", ".5", "+1", "1e", "--1",
		`"a"`, `"\u00e9\ud83d\ude00"`, `"\ud800"`, `"\/\b"`, "\"\x01\"", "18446744073709551615", "1.0e3", "true", "null", "4.50000000000000000000000000000001", "3.0000000000000000000000"} {
		f.Add(value)
	}
	number, text := NewReader(&Signature{Form: Table, Inputs: []Field{{Name: "v", Type: Float64}}}), NewReader(single)
	whole := NewReader(&Signature{Form: Table, Inputs: []Field{{Name: "v", Type: Int64}}})
	f.Fuzz(func(t *testing.T, value string) {
		trimmed := strings.Trim(value, " \t\r\n")
		body := []byte(`{"inputs":{"v":[` + value + `],"text":[` + value + `]}}`)
		if strings.Contains(value, "NaN") || strings.Contains(value, "Infinity") || trimmed == "null" || !utf8.ValidString(value) {
			return
		}
		if json.Valid(body) && !json.Valid([]byte(value)) {
			return // more than one value
		}
		var want float64
		wrong := json.Unmarshal([]byte(value), &want)
		b, err := number.JSON(body, Inputs)
		if (wrong == nil) != (err == nil) {
			t.Fatalf("%s: %v, encoding/json says %v", value, err, wrong)
		}
		if err == nil {
			if got := toFloat(getUint(b.Tensors[0].Data, 8), Float64); math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("%s: %v, want %v", value, got, want)
			}
		}
		var integer int64
		if b, err := whole.JSON(body, Inputs); json.Unmarshal([]byte(value), &integer) == nil {
			if err != nil || int64(getUint(b.Tensors[0].Data, 8)) != integer {
				t.Fatalf("%s: %v", value, err)
			}
		} else if err == nil { // with a point or an exponent, and whole
			if got := int64(getUint(b.Tensors[0].Data, 8)); strconv.FormatFloat(want, 'g', -1, 64) != strconv.FormatFloat(float64(got), 'g', -1, 64) && want != 0 {
				t.Fatalf("%s: %d", value, got)
			}
		}
		var words string
		if b, err := text.JSON(body, Inputs); err == nil {
			element, _ := nextFrame(b.Tensors[0].Data)
			if json.Unmarshal([]byte(value), &words) != nil || words != string(element) {
				t.Fatalf("%s: %q, want %q", value, element, words)
			}
		} else if json.Unmarshal([]byte(value), &words) == nil && !strings.Contains(words, "\ufffd") {
			t.Fatalf("%s: %v", value, err)
		}
	})
}

// Every half-precision number survives, and doubles between two of them go to
// the nearer one.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		f := fromHalf(uint16(h))
		if math.IsNaN(f) {
			if got := toHalf(f); got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
				t.Fatalf("%#x: NaN became %#x", h, got)
			}
			continue
		}
		if got := toHalf(f); got != uint16(h) {
			t.Fatalf("%#x is %v, which became %#x", h, f, got)
		}
		if next := fromHalf(uint16(h) + 1); h&0x7fff < 0x7bff {
			middle := (f + next) / 2
			if got := toHalf(middle); got != uint16(h)+uint16(h&1) { // ties to even
				t.Fatalf("between %v and %v: %#x", f, next, got)
			}
			if got := toHalf(math.Nextafter(middle, next)); got != uint16(h)+1 {
				t.Fatalf("just above the middle of %v and %v: %#x", f, next, got)
			}
		}
	}
}
