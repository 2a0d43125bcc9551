package pipeline

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		body   string
		want   []any
		reason string
	}{
		"a list":                        {`[1, 2.5]`, []any{1.0, 2.5}, ""},
		"result":                        {`{"result": [1, 2]}`, []any{1.0, 2.0}, ""},
		"predictions":                   {`{"predictions": ["a", "b"]}`, []any{"a", "b"}, ""},
		"outputs":                       {`{"outputs": [[1], [2]]}`, []any{[]any{1.0}, []any{2.0}}, ""},
		"result before predictions":     {`{"predictions": [2], "result": [1]}`, []any{1.0}, ""},
		"dumped by the script":          {`"{\"result\": [1]}"`, []any{1.0}, ""},
		"a list dumped by the script":   {`"[1]"`, []any{1.0}, ""},
		"no rows":                       {`{"result": []}`, []any{}, ""},
		"a word":                        {`"broken"`, nil, "gave a string: broken"},
		"a number":                      {`7`, nil, "gave no list of predictions: 7"},
		"null":                          {`null`, nil, "gave no list of predictions: null"},
		"an error as an answer":         {`{"error": "ValueError"}`, nil, `gave no list under result, predictions or outputs: {"error": "ValueError"}`},
		"result is not a list":          {`{"result": 7}`, nil, "gave no list under result"},
		"a table's rows":                {`{"predictions": [{"y": 1}, {"y": 2}]}`, []any{1.0, 2.0}, ""},
		"a label beside probabilities":  {`{"predictions": [{"label": "a", "p": {"a": 1, "b": 0}}]}`, []any{"a"}, ""},
		"one named output":              {`{"predictions": {"variable": [[1], [2]]}}`, []any{[]any{1.0}, []any{2.0}}, ""},
		"named outputs":                 {`{"result": {"output_label": [1, 0], "output_probability": [{}, {}]}}`, []any{1.0, 0.0}, ""},
		"several and no telling":        {`{"result": {"a": [1], "b": [2]}}`, nil, "gave no list under result"},
		"a tensor":                      {`{"model_name": "m", "outputs": [{"name": "p", "shape": [2], "datatype": "FP64", "data": [1, 2]}]}`, []any{1.0, 2.0}, ""},
		"a tensor of one column":        {`{"outputs": [{"name": "p", "shape": [2, 1], "datatype": "FP64", "data": [1, 2]}]}`, []any{1.0, 2.0}, ""},
		"a tensor of two columns":       {`{"outputs": [{"name": "p", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}`, []any{[]any{1.0, 2.0}}, ""},
		"a tensor that is short":        {`{"outputs": [{"name": "p", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3]}]}`, nil, "gave no list"},
		"no JSON":                       {`<html>`, nil, "gave an answer that is not JSON: <html>"},
		"NaN, as Python would spell it": {`[NaN]`, nil, "gave an answer that is not JSON: [NaN]"},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason := answers([]byte(test.body))
			if !reflect.DeepEqual(got, test.want) || (test.reason == "") != (reason == "") || !strings.Contains(reason, test.reason) {
				t.Errorf("got %v, %q; want %v, %q", got, reason, test.want, test.reason)
			}
		})
	}
	if _, reason := answers([]byte(`"` + strings.Repeat("x", 1000) + `"`)); len(reason) > 400 {
		t.Errorf("a reason of %d bytes", len(reason))
	}
}

func TestNumber(t *testing.T) {
	labels := map[string]float64{}
	for _, test := range []struct {
		v    any
		want float64
		ok   bool
	}{
		{2.5, 2.5, true}, {int64(3), 3, true}, {true, 1, true}, {false, 0, true},
		{"setosa", 0, true}, {"virginica", 1, true}, {"setosa", 0, true},
		{[]any{4.0}, 4, true}, {[]any{"virginica"}, 1, true}, {[]any{[]any{5.0}}, 5, true},
		{nil, 0, false}, {[]any{}, 0, false}, {[]any{1.0, 2.0}, 0, false}, {map[string]any{"a": 1.0}, 0, false},
	} {
		got, ok := number(test.v, labels)
		if ok != test.ok || ok && got != test.want {
			t.Errorf("%v: got %v, %v; want %v, %v", test.v, got, ok, test.want, test.ok)
		}
		_, isText := test.v.(string)
		if list, nested := test.v.([]any); nested && len(list) == 1 {
			_, isText = list[0].(string)
		}
		if isLabel(test.v) != isText {
			t.Errorf("%v: a label is %v", test.v, isLabel(test.v))
		}
	}
}

func TestP95(t *testing.T) {
	upTo := func(n int) []float64 {
		ms := make([]float64, n)
		for i := range ms {
			ms[i] = float64(n - i) // the slowest first
		}
		return ms
	}
	for _, test := range []struct {
		n    int
		want time.Duration
	}{{0, 0}, {1, 1}, {2, 2}, {19, 19}, {20, 19}, {100, 95}, {101, 96}} {
		if got := p95(upTo(test.n)); got != test.want*time.Millisecond {
			t.Errorf("of 1 to %d ms: got %v, want %d ms", test.n, got, test.want)
		}
	}
	if got := p95([]float64{0.25}); got != 250*time.Microsecond {
		t.Errorf("got %v, want 250 µs", got)
	}
}

func TestRequestBody(t *testing.T) {
	columns := []ridgeline.Column{{Name: "age", Type: "BIGINT"}, {Name: "sex", Type: "VARCHAR"}}
	rows := [][]any{{int64(40), "f"}, {nil, "m"}}
	for format, want := range map[string]string{
		"data":              `{"data": [[40, "f"], [null, "m"]]}`,
		"inputs":            `{"inputs": [[40, "f"], [null, "m"]]}`,
		"dataframe_split":   `{"dataframe_split": {"columns": ["age", "sex"], "data": [[40, "f"], [null, "m"]]}}`,
		"dataframe_records": `{"dataframe_records": [{"age": 40, "sex": "f"}, {"age": null, "sex": "m"}]}`,
		"v2": `{"inputs": [{"name": "age", "shape": [2], "datatype": "FP64", "data": [40, null]},
			{"name": "sex", "shape": [2], "datatype": "BYTES", "data": ["f", "m"]}]}`,
	} {
		t.Run(format, func(t *testing.T) {
			got, err := requestBody(format, nil, columns, rows)
			if err != nil {
				t.Fatal(err)
			}
			var have, expected any
			if err := json.Unmarshal(got, &have); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(want), &expected); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(have, expected) || strings.Contains(string(got), "\n") {
				t.Errorf("got %s, want %s on one line", got, want)
			}
		})
	}
}

// A model whose columns have no names takes them as one tensor.
func TestRequestBody_nameless(t *testing.T) {
	columns := []ridgeline.Column{{Name: "a", Type: "DOUBLE"}, {Name: "b", Type: "BIGINT"}}
	got, err := requestBody("v2", []byte(`{"form": "array", "inputs": [{"type": "FP64", "shape": [2]}]}`), columns, [][]any{{1.5, int64(2)}, {nil, int64(4)}})
	if want := `{"inputs":[{"name":"rows","shape":[2,2],"datatype":"FP64","data":[1.5,2,null,4]}]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestReadHoldout(t *testing.T) {
	path := file(t, "holdout.csv", "id,age,sex,progression\n7,40,f,1.5\n8,,m,2\n")
	d := project.Dataset{Name: "diabetes", Target: "progression", Holdout: project.Holdout{Key: []string{"id"}}}
	h, err := readHoldout(t.Context(), path, d, []string{"sex"})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.features) != 2 || h.features[0].Name != "age" || h.features[1].Name != "sex" {
		t.Errorf("a model is shown %v, want age and sex, and neither key nor target", h.features)
	}
	if want := [][]any{{int64(40), "f"}, {nil, "m"}}; !reflect.DeepEqual(h.rows, want) {
		t.Errorf("rows %v, want %v", h.rows, want)
	}
	if !reflect.DeepEqual(h.target, []any{1.5, 2.0}) || !slices.Equal(h.slices["sex"], []string{"f", "m"}) {
		t.Errorf("target %v, slices %v", h.target, h.slices)
	}
	if h, err := readHoldout(t.Context(), file(t, "nan.csv", "age,progression\n1.5,2\nNaN,3\n"), project.Dataset{Target: "progression"}, nil); err != nil || !reflect.DeepEqual(h.rows, [][]any{{1.5}, {nil}}) {
		t.Errorf("what is no number is %v, %v; want it missing", h.rows, err)
	}
	for name, change := range map[string]func(*project.Dataset, *[]string){
		"no such target": func(d *project.Dataset, _ *[]string) { d.Target = "nothing" },
		"no such slice":  func(_ *project.Dataset, s *[]string) { *s = []string{"nothing"} },
	} {
		t.Run(name, func(t *testing.T) {
			d, sliced := d, []string{"sex"}
			change(&d, &sliced)
			_, err := readHoldout(t.Context(), path, d, sliced)
			if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), `"nothing"`) {
				t.Errorf("got %v, want Invalid and the column's name", err)
			}
		})
	}
}

// Every row is asked for once in batches, and the first ones again one by one.
func TestHoldout_write(t *testing.T) {
	for _, test := range []struct{ rows, batches, lines int }{
		{1, 1, 2}, {batchRows, 1, 1 + latencyRows}, {batchRows + 1, 2, 2 + latencyRows},
	} {
		h := holdout{features: []ridgeline.Column{{Name: "x"}}}
		for i := range test.rows {
			h.rows = append(h.rows, []any{int64(i)})
		}
		path := filepath.Join(t.TempDir(), "requests.jsonl")
		batches, at, err := h.write(path, project.Config{Model: "iris", Release: project.Release{Request: "data"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if at != "/score" || batches != test.batches || len(lines) != test.lines {
			t.Errorf("%d rows: %d batches in %d lines, want %d in %d", test.rows, batches, len(lines), test.batches, test.lines)
		}
		asked := 0
		for i, line := range lines {
			var body struct{ Data [][]any }
			if err := json.Unmarshal([]byte(line), &body); err != nil {
				t.Fatal(err)
			}
			if i < batches {
				asked += len(body.Data)
			} else if len(body.Data) != 1 {
				t.Errorf("%d rows: line %d asks for %d rows, want 1", test.rows, i+1, len(body.Data))
			}
		}
		if asked != test.rows {
			t.Errorf("%d rows: the batches ask for %d", test.rows, asked)
		}
	}
}

func TestHoldout_scored(t *testing.T) {
	numbers := holdout{target: []any{1.0, int64(2), 3.0}, slices: map[string][]string{"sex": {"f", "m", "f"}}}
	labels := holdout{target: []any{"a", "b", "c"}}
	for name, test := range map[string]struct {
		h         holdout
		responses string
		batches   int
		missing   bool
		want      []float64
		p95       time.Duration
		reason    string
	}{
		"numbers": {h: numbers, batches: 2, want: []float64{1.5, 2, 3}, p95: 4 * time.Millisecond,
			responses: `{"status":200,"body":{"result":[1.5,2]},"ms":900}` + "\n" + `{"status":200,"body":{"result":[3]},"ms":800}` + "\n" +
				`{"status":200,"body":{"result":[1.5]},"ms":4}` + "\n" + `{"status":200,"body":{"result":[2]},"ms":2}` + "\n"},
		"no line end at the end":    {h: numbers, batches: 1, want: []float64{1, 2, 3}, responses: `{"status":200,"body":[1,2,3],"ms":1}`},
		"one column of predictions": {h: numbers, batches: 1, want: []float64{1, 2, 3}, responses: `{"status":200,"body":[[1],[2],[3]],"ms":1}`},
		// Label numbers come from the target alone: c is 2, whoever predicts it first.
		"labels":                   {h: labels, batches: 1, want: []float64{2, 1, 0}, responses: `{"status":200,"body":["c","b","a"],"ms":1}`},
		"a label never seen":       {h: labels, batches: 1, want: []float64{3, 1, 2}, responses: `{"status":200,"body":["z","b","c"],"ms":1}`},
		"too few":                  {h: numbers, batches: 1, reason: "gave 2 predictions for 3 rows", responses: `{"status":200,"body":[1,2],"ms":1}`},
		"too many":                 {h: numbers, batches: 1, reason: "gave 4 predictions for 3 rows", responses: `{"status":200,"body":[1,2,3,4],"ms":1}`},
		"none":                     {h: numbers, batches: 1, reason: "gave 0 predictions for 3 rows"},
		"a scoring error":          {h: numbers, batches: 1, reason: `status 500: {"message":"ValueError"}`, responses: `{"status":500,"body":{"message":"ValueError"},"ms":1}`},
		"a list of two":            {h: numbers, batches: 1, reason: "answered row 1 with [1 2], where the target is a number", responses: `{"status":200,"body":[[1,2],[2,3],[3,4]],"ms":1}`},
		"null":                     {h: numbers, batches: 1, reason: "answered row 2 with <nil>", responses: `{"status":200,"body":[1,null,3],"ms":1}`},
		"a label for a number":     {h: numbers, batches: 1, reason: "answered row 1 with one, where the target is a number", responses: `{"status":200,"body":["one","two","three"],"ms":1}`},
		"a class number, no label": {h: labels, batches: 1, reason: "answered row 1 with 0, where the target is a label", responses: `{"status":200,"body":[0,1,2],"ms":1}`},
		"no target": {h: holdout{target: []any{1.0, nil}}, batches: 1, reason: "row 2 of the holdout has no target",
			responses: `{"status":200,"body":[1,2],"ms":1}`},
		"one alone fails": {h: numbers, batches: 1, reason: "status 503",
			responses: `{"status":200,"body":[1,2,3],"ms":1}` + "\n" + `{"status":503,"body":"busy","ms":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.h.scored(file(t, "responses.jsonl", test.responses), test.batches, test.missing)
			if err != nil {
				t.Fatal(err)
			}
			if test.reason != "" {
				if !strings.Contains(got.Reason, test.reason) || got.Scores.Has {
					t.Errorf("got %q, want %q and no scores", got.Reason, test.reason)
				}
				return
			}
			if got.Reason != "" || !slices.Equal(got.Scores.Prediction, test.want) || len(got.Scores.Y) != len(test.want) {
				t.Errorf("got %+v, want %v", got, test.want)
			}
			if test.p95 != 0 && got.P95 != test.p95 {
				t.Errorf("p95 %v, want %v: batches do not count", got.P95, test.p95)
			}
		})
	}
	for name, text := range map[string]string{"a line cut off": `{"status":200,"bo`, "not JSON": "hello\n"} {
		t.Run(name, func(t *testing.T) {
			if _, err := numbers.scored(file(t, "responses.jsonl", text), 1, false); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Two models that answer differently are still compared with the same truth.
func TestHoldout_scored_same_truth_for_both(t *testing.T) {
	h := holdout{target: []any{"a", "b", "c"}}
	var y [2][]float64
	for i, body := range []string{`["c","c","c"]`, `["a","b","c"]`} {
		got, err := h.scored(file(t, "responses.jsonl", `{"status":200,"body":`+body+`,"ms":1}`), 1, false)
		if err != nil || got.Reason != "" {
			t.Fatal(err, got.Reason)
		}
		y[i] = got.Scores.Y
	}
	if !slices.Equal(y[0], y[1]) {
		t.Errorf("y is %v for one and %v for the other", y[0], y[1])
	}
}

func TestHoldout_scored_missing(t *testing.T) {
	h := holdout{target: []any{1.0, 2.0, 3.0}}
	path := file(t, "responses.jsonl", `{"status":200,"body":[1,null,3],"ms":1}`)
	got, err := h.scored(path, 1, true)
	if err != nil || got.Reason != "" {
		t.Fatal(err, got.Reason)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Errorf("a checkpoint is JSON: %v", err)
	}
	if p := got.scores().Prediction; p[0] != 1 || !math.IsNaN(p[1]) || p[2] != 3 {
		t.Errorf("predictions %v", p)
	}
	if got, err = h.scored(path, 1, false); err != nil || !strings.Contains(got.Reason, "answered row 2 with") {
		t.Errorf("%v, %q", err, got.Reason)
	}
}

func TestLabelled(t *testing.T) {
	got := labelled([]any{"yes", "no", []any{"maybe"}, 3.0, nil, "yes"})
	if want := map[string]float64{"maybe": 0, "no": 1, "yes": 2}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
