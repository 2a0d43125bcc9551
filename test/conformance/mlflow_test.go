package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// A linear model of three named columns, as scikit-learn pickles it, in a
// folder as MLflow saves one.
const (
	fit = `
import pickle, sys
import numpy as np, pandas as pd
from sklearn.linear_model import LinearRegression
X = pd.DataFrame({"age": [1.0, 2, 3, 4], "bmi": [2.0, 1, 4, 3], "sex": [0.0, 1, 0, 1]})
pickle.dump(LinearRegression().fit(X, np.array([1.0, 2, 3, 5])), open(sys.argv[1], "wb"))
`
	mlmodel = `
flavors:
  python_function: {loader_module: mlflow.sklearn, model_path: model.pkl, predict_fn: predict, python_version: "3.11"}
  sklearn: {code: null, pickled_model: model.pkl, serialization_format: pickle}
mlflow_version: 3.17.2
model_uuid: 12e844e09c424e028b654026c8badc83
signature:
  inputs: '[{"type": "double", "name": "age", "required": true}, {"type": "double", "name": "bmi", "required": true}, {"type": "double", "name": "sex", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
  params: null
utc_time_created: '2026-11-23 08:31:35.105090'
`
)

// linearModel is the folder of that model.
func linearModel(t *testing.T, python string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "model")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "MLmodel"), []byte(mlmodel), 0o644); err != nil {
		t.Fatal(err)
	}
	p := harness.Run(t, folder, nil, python, "-c", fit, filepath.Join(folder, "model.pkl"))
	if code := p.ExitCode(t); code != 0 {
		t.Fatalf("the model was not made:\n%s", p.Output())
	}
	return folder
}

// serveModel starts our scorer on a model's folder.
func serveModel(t *testing.T, python, folder string) (p *harness.Process, address string) {
	t.Helper()
	address = harness.Address(t)
	return harness.Run(t, t.TempDir(), []string{"AZUREML_MODEL_DIR=" + folder, "RIDGELINE_APP=" + t.TempDir(), "RIDGELINE_LISTEN=" + address,
		"RIDGELINE_PYTHON=" + python, "RIDGELINE_WORKER_PATH=" + workerFolder(t), "RIDGELINE_MODEL_NAME=linear", "RIDGELINE_MODEL_VERSION=7",
		"PYTHONDONTWRITEBYTECODE=1"}, harness.Scorer(t)), address
}

// apart makes each member of a JSON object in the body a thing of its own that
// may differ, as if it were a header in lower case.
func apart(r harness.Reply, prefix string) harness.Reply {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(r.Body), &members) != nil {
		return r
	}
	header := r.Header.Clone()
	for name, value := range members {
		var v any
		_ = json.Unmarshal(value, &v) // it was valid as part of the whole
		if list, ok := v.([]any); ok && len(list) == 1 && (name == "inputs" || name == "outputs") {
			if _, ok := list[0].(map[string]any); ok {
				inner, _ := json.Marshal(list[0])
				for name, values := range apart(harness.Reply{Body: string(inner)}, name+".").Header {
					header[name] = values
				}
				continue
			}
		}
		canonical, _ := json.Marshal(v)
		if header == nil {
			header = map[string][]string{}
		}
		header[prefix+name] = []string{string(canonical)}
	}
	r.Header, r.Body = header, ""
	return r
}

func untimed(name, value string) string {
	switch name {
	case "Date", "Content-Length":
		return "…"
	case "X-Request-Id":
		return "an id"
	}
	return value
}

const jsonHeader = "application/json"

func invoke(name, contentType, body string) harness.Probe {
	p := harness.Probe{Name: name, Method: "POST", Path: "/invocations", Body: body}
	if contentType != "" {
		p.Header = []string{"Content-Type", contentType}
	}
	return p
}

func split(rows string) string {
	return `{"dataframe_split":{"columns":["age","bmi","sex"],"data":` + rows + `}}`
}

func mlflowProbes() []harness.Probe {
	return []harness.Probe{
		{Method: "GET", Path: "/ping"}, {Method: "GET", Path: "/health"}, {Method: "GET", Path: "/version"},
		{Method: "POST", Path: "/ping"}, {Method: "HEAD", Path: "/ping"}, {Method: "GET", Path: "/invocations"}, {Method: "DELETE", Path: "/version"},
		invoke("split", jsonHeader, split(`[[1,2,0],[2,1,1]]`)),
		invoke("split in another order", jsonHeader, `{"dataframe_split":{"columns":["sex","x","bmi","age"],"index":[5],"data":[[0,"?",2,1]]}}`),
		invoke("split, data first", jsonHeader, `{"dataframe_split":{"data":[[1,2,0]],"columns":["age","bmi","sex"]}}`),
		invoke("records", jsonHeader, `{"dataframe_records":[{"age":1,"bmi":2,"sex":0},{"sex":1,"age":1,"bmi":3,"x":1}]}`),
		invoke("inputs", jsonHeader, `{"inputs":{"age":[1,2],"bmi":[2,3],"sex":[0,1]}}`),
		invoke("inputs of one row", jsonHeader, `{"inputs":{"age":1,"bmi":2,"sex":0}}`),
		invoke("instances", jsonHeader, `{"instances":[{"age":1,"bmi":2,"sex":0}]}`),
		invoke("params of a model without", jsonHeader, `{"inputs":{"age":[1],"bmi":[2],"sex":[0]},"params":{"a":1}}`),
		invoke("a field more", jsonHeader, `{"inputs":{"age":[1],"bmi":[2],"sex":[0]},"extra":1}`),
		invoke("charset", jsonHeader+"; charset=utf-8", split(`[[1,2,0]]`)),
		invoke("csv", "text/csv", "age,bmi,sex\n1,2,0\n2,1,1\n"),
		invoke("csv with a column more", "text/csv", "x,bmi,age,sex\na,2,1,0\n"),

		invoke("raises: null", jsonHeader, split(`[[1,null,0]]`)),
		invoke("raises: NaN", jsonHeader, split(`[[1,NaN,0]]`)),
		invoke("raises: csv with a hole", "text/csv", "age,bmi,sex\n1,,0\n"),
		invoke("no rows", jsonHeader, split(`[]`)),
		invoke("converts: a text", jsonHeader, split(`[[1,"2",0]]`)),
		invoke("converts: a truth value", jsonHeader, split(`[[1,true,0]]`)),
		invoke("refused: inputs as rows", jsonHeader, `{"inputs":[[1,2,0]]}`),
		invoke("refused: instances as rows", jsonHeader, `{"instances":[[1,2,0]]}`),
		invoke("refused: records without a column", jsonHeader, `{"dataframe_records":[{"age":1,"bmi":2}]}`),
		invoke("refused: csv without a column", "text/csv", "age,bmi\n1,2\n"),
		invoke("refused: split without columns", jsonHeader, `{"dataframe_split":{"data":[[1,2,0]]}}`),
		invoke("refused: a column twice", jsonHeader, `{"dataframe_split":{"columns":["age","age","bmi","sex"],"data":[[1,1,2,0]]}}`),
		invoke("a value: a short row", jsonHeader, split(`[[1,2]]`)),
		invoke("a value: a text that is no number", jsonHeader, split(`[[1,"x",0]]`)),
		invoke("a value: a list", jsonHeader, split(`[[1,[2],0]]`)),
		invoke("a value: csv with a text", "text/csv", "age,bmi,sex\n1,x,0\n"),
		invoke("broken: a list", jsonHeader, `[1]`),
		invoke("broken: a number", jsonHeader, `5`),
		invoke("broken: truncated", jsonHeader, `{"a":`),
		invoke("broken: nothing", jsonHeader, ``),
		invoke("broken: no field", jsonHeader, `{}`),
		invoke("broken: two fields", jsonHeader, `{"inputs":{"age":[1],"bmi":[2],"sex":[0]},"instances":[]}`),
		invoke("broken: two fields, the first unfit", jsonHeader, `{"inputs":{},"instances":[]}`),
		invoke("broken: split as a list", jsonHeader, `{"dataframe_split":[1]}`),
		invoke("broken: split of something else", jsonHeader, `{"dataframe_split":{"rows":[1]}}`),
		invoke("broken: records as an object", jsonHeader, `{"dataframe_records":{"a":1}}`),
		invoke("broken: not UTF-8", jsonHeader, "{\"\xff\":1}"),
		invoke("broken: empty csv", "text/csv", ""),
		invoke("broken: parquet", "application/vnd.apache.parquet", "PAR1PAR1PAR1"),
		invoke("another charset", jsonHeader+"; charset=latin-1", `{}`),
		invoke("a parameter", jsonHeader+"; a=b", `{}`),
		invoke("another type", "text/plain", `{}`),
		invoke("no type", "", `{}`),
	}
}

var mlflowKnown = []harness.Known{
	{Probes: []string{"*"}, What: []string{"Server"}, Theirs: "`Server: uvicorn`", Ours: "no such header", Why: "clients have no use for it, attackers have"},
	{Probes: []string{"split*", "records", "inputs*", "instances", "params*", "a field*", "charset", "csv*", "parquet", "raises*", "no rows", "converts*", "refused*", "a value*", "broken*", "another*", "a parameter", "no type"},
		What: []string{"X-Request-Id"}, Theirs: "no id", Ours: "`X-Request-Id`, the client's or a new one", Why: "feedback and the inference log refer to it"},
	{Probes: []string{"GET /version"}, What: []string{"body"}, Theirs: "MLflow's version", Ours: "ours", Why: "the truth about who answers"},
	{Probes: []string{"raises*", "broken: empty csv", "broken: parquet", "a value: csv*", "no rows"}, What: []string{"stack_trace"}, Theirs: "the stack trace, with the server's paths", Ours: "none; it is in the log", Why: "it tells strangers about the inside"},
	{Probes: []string{"no rows"}, What: []string{"error_code", "sqlstate", "error_class", "message"}, Theirs: "whatever the model makes of an empty frame", Ours: "`SCHEMA_ENFORCEMENT_FAILED`, \"There are no rows.\"", Why: "no framework has an answer to nothing"},
	{Probes: []string{"converts*"}, What: []string{"status", "predictions", "error_code", "sqlstate", "error_class", "message"}, Theirs: "`\"2\"` is 2 and `true` is 1 in a column of doubles", Ours: "400, by name and row", Why: "a mistake of the client's that would show in the model's answers only"},
	{Probes: []string{"refused*"}, What: []string{"message"}, Theirs: "the message repeats all rows", Ours: "the reason alone, in MLflow's words", Why: "data belongs in no error, and a request may be large"},
	{Probes: []string{"a value*"}, What: []string{"error_code", "sqlstate", "error_class", "message"}, Theirs: "`BAD_REQUEST` for a value that does not fit its column", Ours: "`SCHEMA_ENFORCEMENT_FAILED`, with column, row, what was expected and what came", Why: "it is the schema that it does not fit; 400 in both"},
	{Probes: []string{"broken*"}, What: []string{"message"}, Theirs: "Python's own message, with the whole body", Ours: "what was expected, at which byte", Why: "as above"},
	{Probes: []string{"a parameter"}, What: []string{"body"}, Theirs: "a paragraph about MLflow 2.0", Ours: "its first sentence", Why: "nobody comes from MLflow 1 to us"},
	{Probes: []string{"no type"}, What: []string{"status", "body", "Content-Type"}, Theirs: "500 without `Content-Type`", Ours: "415, as for any other that is not known", Why: "it is the client's mistake"},
}

// bothMLflow starts MLflow's server and ours on a model's folder.
func bothMLflow(t *testing.T, python, folder string) (theirs, ours string) {
	t.Helper()
	at := harness.Address(t)
	host, port, _ := strings.Cut(at, ":")
	reference := harness.Run(t, t.TempDir(), []string{"PATH=" + filepath.Dir(python) + ":" + os.Getenv("PATH"), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true"},
		python, "-m", "mlflow", "models", "serve", "--model-uri", folder, "--env-manager", "local", "--host", host, "--port", port)
	scorer, us := serveModel(t, python, folder)
	scorer.Await(t, "http://"+us+"/healthz/ready")
	reference.Await(t, "http://"+at+"/ping")
	return "http://" + at, "http://" + us
}

// pandasParquet is rows as pandas writes them, with one column of lists and
// an index that nobody asked for.
func pandasParquet(t *testing.T, python string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.parquet")
	p := harness.Run(t, t.TempDir(), nil, python, "-c", `
import sys, pandas as pd
frame = pd.DataFrame({"sex": [0.0, 1.0], "age": [1, 2], "lists": [[1], []], "bmi": [2.0, 1.0]}, index=["a", "b"])
frame.astype({"age": "int32"}).to_parquet(sys.argv[1])
`, path)
	if code := p.ExitCode(t); code != 0 {
		t.Fatalf("no Parquet was made:\n%s", p.Output())
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

// TestMLflow holds our /ping, /health, /version and /invocations to those of
// `mlflow models serve`, the version in environments/mlflow.txt.
func TestMLflow(t *testing.T) {
	t.Parallel()
	python := harness.Python(t, "mlflow")
	folder := linearModel(t, python)
	theirs, ours := bothMLflow(t, python, folder)
	var all []harness.Difference
	for _, p := range append(mlflowProbes(), invoke("parquet", "application/vnd.apache.parquet", pandasParquet(t, python))) {
		all = append(all, harness.Compare(p, apart(harness.Ask(t, theirs, p), ""), apart(harness.Ask(t, ours, p), ""), untimed)...)
	}
	harness.Check(t, all, mlflowKnown)
	harness.Document(t, "mlflow", mlflowKnown)
}
