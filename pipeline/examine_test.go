package pipeline

import (
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestSignatureChanges(t *testing.T) {
	const was = `{"form": "table", "inputs": [{"name": "age", "type": "FP64"}, {"name": "sex", "type": "TEXT"}], "outputs": [{"type": "FP64"}]}`
	for name, test := range map[string]struct{ is, want string }{
		"the same":          {was, ""},
		"an input gone":     {`{"form": "table", "inputs": [{"name": "age", "type": "FP64"}]}`, "input sex is gone"},
		"an input more":     {strings.Replace(was, `"inputs": [`, `"inputs": [{"name": "bmi", "type": "FP64"}, `, 1), "input bmi is new"},
		"one may be absent": {strings.Replace(was, `"inputs": [`, `"inputs": [{"name": "bmi", "type": "FP64", "optional": true}, `, 1), ""},
		"another type":      {strings.Replace(was, `"TEXT"`, `"INT64"`, 1), "input sex is INT64 and was TEXT"},
		"another output":    {strings.Replace(was, `"outputs": [{"type": "FP64"}]`, `"outputs": [{"type": "FP64", "shape": [2]}]`, 1), "output (nameless) is FP64 [2] and was FP64"},
		"another form": {
			`{"form": "array", "inputs": [{"type": "FP64", "shape": [2]}]}`,
			"its inputs are a nameless array and were a table; input (nameless) is new; input age is gone; input sex is gone",
		},
		"none any more": {"null", "the model does not tell its signature any more"},
		"a script":      {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(signatureChanges([]byte(was), []byte(test.is)), "; "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestExamined_notes(t *testing.T) {
	is := []byte(`{"form": "array", "inputs": [{"type": "FP64", "shape": [2]}]}`)
	champion := &ridgeline.ModelVersion{Signature: []byte(`{"form": "array", "inputs": [{"type": "FP64", "shape": [3]}]}`)}
	e := examined{Signature: is, Onnx: "converted to ONNX"}
	for name, test := range map[string]struct {
		champion *ridgeline.ModelVersion
		want     []string
	}{
		"the first model":        {nil, []string{"The model was converted to ONNX."}},
		"the champion is scored": {&ridgeline.ModelVersion{}, []string{"The model was converted to ONNX."}}, // by a script, which says nothing
		"another signature":      {champion, []string{"The model was converted to ONNX.", "FP64 [2] and was FP64 [3]"}},
	} {
		got := e.notes(test.champion)
		if len(got) != len(test.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], test.want[i]) {
				t.Errorf("%s: %q, want %q", name, got[i], test.want[i])
			}
		}
	}
}
