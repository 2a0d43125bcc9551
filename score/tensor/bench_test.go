package tensor

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// ten is the signature of the diabetes model: ten columns of doubles.
func ten() *Signature {
	s := &Signature{Form: Table}
	for _, name := range []string{"age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"} {
		s.Inputs = append(s.Inputs, Field{Name: name, Type: Float64})
	}
	return s
}

// request is rows of that, with numbers as people's JSON has them: 17 digits.
func request(rows int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	lines := make([]string, rows)
	for i := range lines {
		values := make([]string, 10)
		for k := range values {
			values[k] = fmt.Sprint(rng.NormFloat64() / 20)
		}
		lines[i] = "[" + strings.Join(values, ", ") + "]"
	}
	return []byte(`{"dataframe_split": {"columns": ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"], "data": [` + strings.Join(lines, ", ") + `]}}`)
}

// BenchmarkReader_JSON beside what encoding/json takes for slices of the same
// numbers, unchecked.
func BenchmarkReader_JSON(b *testing.B) {
	for _, rows := range []int{1, 100} {
		body := request(rows)
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			r := NewReader(ten())
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.JSON(body, Split, Records, Instances, Inputs); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("rows=%d/encoding_json", rows), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var v struct {
					Split struct {
						Columns []string    `json:"columns"`
						Data    [][]float64 `json:"data"`
					} `json:"dataframe_split"`
				}
				if err := json.Unmarshal(body, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	batch, err := NewReader(ten()).JSON(request(100), Split)
	if err != nil {
		b.Fatal(err)
	}
	batch.Form = Array
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		if out, err = AppendJSON(out[:0], batch); err != nil {
			b.Fatal(err)
		}
	}
}
