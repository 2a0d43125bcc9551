package azureml

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// sums is a model of two numbers that gives their sum, in this process.
type sums struct {
	form     tensor.Form
	names    []string
	starting bool
	raw      json.RawMessage // of a script: its description
}

func (m sums) Model() (worker.Model, bool) {
	if m.raw != nil {
		return worker.Model{Kind: worker.KindScript, OpenAPI: m.raw}, true
	}
	s := &tensor.Signature{Form: m.form, Outputs: []tensor.Field{{Type: tensor.Float64}}}
	for _, name := range m.names {
		s.Inputs = append(s.Inputs, tensor.Field{Name: name, Type: tensor.Float64})
	}
	return worker.Model{Kind: worker.KindModel, Framework: "sums", Signature: s}, !m.starting
}

func (m sums) Ready() (int, error) {
	if m.starting {
		return 0, errors.New("it is being loaded")
	}
	return 1, nil
}

func (m sums) Call(context.Context, worker.Request) (worker.Response, error) {
	return worker.Response{}, &exchange.Failure{Reason: exchange.Broken, Message: "a model is not called"}
}

func (m sums) Predict(_ context.Context, b tensor.Batch) (tensor.Batch, error) {
	out := tensor.Batch{Form: tensor.Array, Rows: b.Rows, Tensors: []tensor.Tensor{{Type: tensor.Float64, Shape: []int{b.Rows}}}}
	t := b.Tensors[0]
	for row := range b.Rows {
		var sum float64
		for column := range t.Shape[1] {
			sum += math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*(row*t.Shape[1]+column):]))
		}
		if sum < 0 {
			return tensor.Batch{}, &exchange.Failure{Reason: exchange.Raised, Message: "The model raised.", Cause: "ValueError"}
		}
		out.Tensors[0].Data = binary.LittleEndian.AppendUint64(out.Tensors[0].Data, math.Float64bits(sum))
	}
	return out, nil
}

var table = sums{form: tensor.Table, names: []string{"a", "b"}}

func ask(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w
}

func TestModel(t *testing.T) {
	h := Handler(table, Options{BodyLimit: 1000})
	for _, c := range []struct {
		name, body string
		status     int
		want       string // the whole answer, or a part of its message
	}{
		{"data: rows", `{"data": [[1, 2], [3, 4]]}`, 200, `{"result": [3.0,7.0]}`},
		{"data: records", `{"data": [{"b": 2, "a": 1}]}`, 200, `{"result": [3.0]}`},
		{"input_data: rows", `{"input_data": [[1, 2]]}`, 200, `[3.0]`},
		{"input_data: split", `{"input_data": {"columns": ["b", "a"], "index": [0], "data": [[1, 2]]}}`, 200, `[3.0]`},
		{"input_data: named lists", `{"input_data": {"a": [1, 2], "b": [3, 4]}}`, 200, `[4.0,6.0]`},
		{"input_data in other words", `{"input\u005fdata": [[1, 2]]}`, 200, `[3.0]`},
		{"its name in params", `{"data": [[1, 2]], "more": "input_data"}`, 200, `{"result": [3.0]}`},
		{"too wide", `{"data": [[1, 2, 3]]}`, 400, ""},
		{"text", `{"data": [["x", 2]]}`, 400, "a"},
		{"no column", `{"data": [{"a": 1}]}`, 400, "Model is missing inputs ['b']"},
		{"both", `{"data": [[1, 2]], "input_data": [[1, 2]]}`, 400, "exactly one"},
		{"neither", `{"rows": [[1, 2]]}`, 400, "'rows'"},
		{"empty", ``, 400, "The body is empty"},
		{"cut", `{"data": [[1, 2`, 400, ""},
		{"too large", `{"data": [[1, 2]]}` + strings.Repeat(" ", 1000), 413, "larger than the limit"},
		{"raises", `{"data": [[-1, -2]]}`, 500, "The model raised."},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(h, "POST", "/score", c.body)
			if w.Code != c.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if c.status == 200 {
				if w.Body.String() != c.want || w.Header().Get(functionTime) == "" || w.Header().Get(functionFailed) != "False" {
					t.Errorf("got %s with %v, want %s", w.Body, w.Header(), c.want)
				}
				return
			}
			var e struct{ Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || !strings.Contains(e.Message, c.want) || e.Message == "" {
				t.Errorf("got %s, expected a message with %q", w.Body, c.want)
			}
			if failed := w.Header().Get(functionFailed); (failed == "True") != (c.status == 500) {
				t.Errorf("%s: %s", functionFailed, failed)
			}
		})
	}
	t.Run("get", func(t *testing.T) {
		if w := ask(h, "GET", "/score?data=[[1,2]]&more=x", ""); w.Code != 200 || w.Body.String() != `{"result": [3.0]}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("while it is being loaded", func(t *testing.T) {
		h := Handler(sums{starting: true}, Options{BodyLimit: 1000})
		for _, path := range []string{"/score", "/swagger.json"} {
			if w := ask(h, "GET", path, ""); w.Code != 503 || !strings.Contains(w.Body.String(), "it is being loaded") || w.Header().Get("Retry-After") != "1" {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}

func TestModel_swagger(t *testing.T) {
	var d struct {
		Definitions map[string]struct {
			Required   []string
			Properties map[string]struct {
				Type  string
				Items struct {
					Type       string
					Required   []string
					Properties map[string]struct{ Type string }
				}
			}
		}
	}
	w := ask(Handler(table, Options{}), "GET", "/swagger.json", "")
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	row := d.Definitions["ServiceInput"].Properties["data"].Items
	if row.Type != "object" || strings.Join(row.Required, " ") != "a b" || row.Properties["b"].Type != "number" {
		t.Errorf("the input is described as %+v", d.Definitions["ServiceInput"])
	}
	if d.Definitions["ServiceOutput"].Properties["result"].Items.Type != "number" {
		t.Errorf("the output is described as %+v", d.Definitions["ServiceOutput"])
	}
}

// Whatever comes, a model's route answers in JSON, with a status of its table.
func FuzzModel(f *testing.F) {
	for _, body := range []string{`{"data": [[1, 2]]}`, `{"input_data": {"columns": ["a", "b"], "data": [[1, null]]}}`, `{"data": [[1e999, 2]]}`, "{", "[", "\xff", `{"data": []}`, `{"input\u005fdata": [{"a": NaN}]}`} {
		f.Add("", body)
		f.Add("data=[[1,2]]&a=%ff", body)
	}
	h := Handler(table, Options{BodyLimit: 1 << 20})
	f.Fuzz(func(t *testing.T, query, body string) {
		for _, method := range []string{"POST", "GET"} {
			r := httptest.NewRequest(method, "/score", strings.NewReader(body))
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			code := w.Code
			text, _ := io.ReadAll(w.Body)
			if code != 200 && code != 400 && code != 500 || !json.Valid(text) {
				t.Errorf("%s %q %q: %d %s", method, query, body, code, text)
			}
		}
	})
}

// holds finds what encoding/json finds.
func FuzzHolds(f *testing.F) {
	for _, object := range []string{`{"input_data": 1}`, `{"a": "input_data"}`, `{"a": {"input_data": 1}}`, `{"\u0069nput_data": [1]}`, `{}`, `{"a": [1, {"b": null}], "input_data": {}}`} {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object string) {
		var all map[string]json.RawMessage
		if json.Unmarshal([]byte(object), &all) != nil || all == nil {
			return
		}
		if _, want := all["input_data"]; holds([]byte(object), "input_data") != want {
			t.Errorf("%q: found %v, want %v", object, !want, want)
		}
	})
}

// A description is JSON whatever it is filled with.
func FuzzRender(f *testing.F) {
	f.Add("ML service", "1.0", "/api/v1/", "2")
	f.Add("a \"quoted\" $INPUT \U0001f600", "\\", "//$NAME", "3.1")
	f.Fuzz(func(t *testing.T, name, version, prefix, wanted string) {
		s := Service{Name: name, Version: version, Prefix: prefix}
		document, problem := s.document(described{Input: anything, Output: anyArray, Versions: []string{"2", "3", "3.1"}}, []string{wanted})
		if _, known := aliases[wanted]; known != (problem == "") || known && !json.Valid(document) {
			t.Errorf("%q: %s%s", wanted, document, problem)
		}
	})
}
