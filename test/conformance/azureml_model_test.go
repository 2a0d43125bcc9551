package conformance

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// A model without a script answers at /score what it answers at /invocations.
func TestAzureML_model(t *testing.T) {
	python := harness.Python(t, "mlflow")
	p, at := serveModel(t, python, linearModel(t, python))
	base := "http://" + at
	p.Await(t, base+"/healthz/ready")
	var there struct{ Predictions json.RawMessage }
	if r := harness.Ask(t, base, invoke("", jsonHeader, split(`[[1,2,0],[2,1,1]]`))); json.Unmarshal([]byte(r.Body), &there) != nil || r.Status != 200 {
		t.Fatalf("/invocations: %d %s", r.Status, r.Body)
	}
	predictions := string(there.Predictions)
	for _, c := range []struct{ name, body, want string }{
		{"rows in the signature's order", `{"data": [[1,2,0],[2,1,1]]}`, `{"result": ` + predictions + `}`},
		{"rows by name", `{"data": [{"sex":0,"age":1,"bmi":2},{"age":2,"bmi":1,"sex":1}]}`, `{"result": ` + predictions + `}`},
		{"as Azure ML's own script takes a frame", `{"input_data": {"columns": ["age","sex","bmi"], "index": [0,1], "data": [[1,0,2],[2,1,1]]}}`, predictions},
		{"as it takes records", `{"input_data": [{"sex":0,"age":1,"bmi":2},{"age":2,"bmi":1,"sex":1}]}`, predictions},
		{"as it takes rows", `{"input_data": [[1,2,0],[2,1,1]]}`, predictions},
		{"as it takes columns", `{"input_data": {"age":[1,2],"bmi":[2,1],"sex":[0,1]}}`, predictions},
	} {
		if r := harness.Ask(t, base, post("", "/score", jsonType, c.body)); r.Status != 200 || r.Body != c.want || r.Header.Get(functionTime) == "" {
			t.Errorf("%s: %d %s, expected %s", c.name, r.Status, r.Body, c.want)
		}
	}
	for name, c := range map[string]struct{ body, says string }{
		"a column is missing": {`{"data": [{"age":1,"sex":0}]}`, "Model is missing inputs ['bmi']"},
		"a row is too short":  {`{"data": [[1,2]]}`, "3"},
		"a text":              {`{"data": [[1,"x",0]]}`, "bmi"},
	} {
		if r := harness.Ask(t, base, post("", "/score", jsonType, c.body)); r.Status != 400 || !strings.Contains(r.Body, c.says) || r.Header.Get(functionFailed) != "False" {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	if r := harness.Ask(t, base, ask("", "GET", "/swagger.json?version=3")); r.Status != 200 || !strings.Contains(r.Body, `"required":["age","bmi","sex"]`) {
		t.Errorf("the description does not name the inputs: %d %s", r.Status, r.Body)
	}
}
