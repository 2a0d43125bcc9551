package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// A model that answers with what it got and of which type, one column of each
// of MLflow's types, none required, and a parameter.
const (
	echoModel = `
flavors:
  python_function: {loader_module: echo_loader, code: code, python_version: "3.11"}
mlflow_version: 3.17.2
model_uuid: 12e844e09c424e028b654026c8badc84
signature:
  inputs: '[{"type": "boolean", "name": "boolean", "required": false}, {"type": "integer", "name": "integer", "required": false}, {"type": "long", "name": "long", "required": false}, {"type": "float", "name": "float", "required": false}, {"type": "double", "name": "double", "required": false}, {"type": "string", "name": "string", "required": false}, {"type": "binary", "name": "binary", "required": false}, {"type": "datetime", "name": "datetime", "required": false}, {"type": "array", "items": {"type": "long"}, "name": "array", "required": false}]'
  outputs: null
  params: '[{"name": "k", "type": "long", "default": 1, "shape": null}, {"name": "words", "type": "string", "default": ["a"], "shape": [-1]}]'
utc_time_created: '2026-11-23 08:31:35.105090'
`
	echoLoader = `
class Echo:
    def predict(self, frame, params=None):
        out = frame.copy()
        for name in frame.columns:
            out[name + " is"] = str(frame[name].map(type).iloc[0].__name__) if frame[name].dtype.kind in "OTU" or str(frame[name].dtype) == "str" else str(frame[name].dtype)
            if name == "binary":
                out[name] = frame[name].map(bytes.hex)
            elif name == "datetime":
                out[name] = frame[name].map(lambda t: t.isoformat())
        out["k"] = params["k"]
        out["words"] = ",".join(params["words"])
        return out


def _load_pyfunc(path):
    return Echo()
`
)

func echo(name, rows string, more ...string) harness.Probe {
	return invoke(name, jsonHeader, `{"dataframe_records":[`+rows+`]`+strings.Join(more, "")+`}`)
}

func typeProbes() []harness.Probe {
	return []harness.Probe{
		echo("typed: boolean", `{"boolean":true},{"boolean":false}`),
		echo("typed: integer", `{"integer":-2147483648},{"integer":2147483647}`),
		echo("typed: long", `{"long":-9223372036854775808},{"long":9007199254740993}`),
		echo("typed: float", `{"float":0.1},{"float":2},{"float":1e-30}`),
		echo("typed: double", `{"double":0.1},{"double":2},{"double":1e300},{"double":-0.0},{"double":123456789012345678}`),
		echo("typed: string", `{"string":"é\ud83d\ude00\n\"\\"},{"string":""}`),
		echo("typed: binary", `{"binary":"AP8="},{"binary":""}`),
		echo("typed: a date", `{"datetime":"2024-02-29"}`),
		echo("typed: a time", `{"datetime":"2024-02-29T12:34:56.123456789"}`),
		echo("typed: a time with a blank", `{"datetime":"2024-02-29 12:34:56"}`),
		echo("typed: array", `{"array":[1,2]},{"array":[]}`),
		echo("typed: several", `{"double":1,"string":"x","long":3},{"long":4,"string":"y","double":2.5}`),
		invoke("arrays: by column", jsonHeader, `{"inputs":{"double":[1,2.5],"boolean":[true,false],"long":[1,2],"string":["x","y"]}}`),
		invoke("arrays: csv", "text/csv", "double,long,string,boolean\n1,2,x,True\n2.5,3,\"y,z\",False\n"),
		echo("params: given", `{"long":1}`, `,"params":{"k":7,"words":["x","y"],"unknown":1}`),
		echo("params: none", `{"long":1}`, `,"params":{}`),
		echo("params: of another type", `{"long":1}`, `,"params":{"k":"7"}`),
		echo("params: no list", `{"long":1}`, `,"params":{"words":"x"}`),
		echo("params: no object", `{"long":1}`, `,"params":[1]`),
		echo("lossy: a fraction as integer", `{"integer":1.5}`),
		echo("lossy: beyond integer", `{"integer":2147483648}`),
		echo("lossy: a text as double", `{"double":"1.5"}`),
		echo("lossy: a number as boolean", `{"boolean":2}`),
		echo("lossy: a number as string", `{"string":5}`),
		echo("lossy: a number as datetime", `{"datetime":1709208000000000000}`),
		echo("unfit: null as long", `{"long":null},{"long":1}`),
		echo("unfit: a text as long", `{"long":"x"}`),
		echo("unfit: a number as binary", `{"binary":5}`),
		echo("unfit: no time", `{"datetime":"soon"}`),
	}
}

var typeKnown = []harness.Known{
	{Probes: []string{"*"}, What: []string{"Server", "X-Request-Id"}, Theirs: "`Server: uvicorn`, no id", Ours: "no `Server`, `X-Request-Id`", Why: "as above"},
	{Probes: []string{"lossy*"}, What: []string{"status", "predictions", "error_code", "message", "sqlstate", "error_class"}, Theirs: "1.5 is 1 in a column of integers, 2147483648 is −2147483648, `\"1.5\"` is 1.5, 2 is true, 5 stays a number among texts", Ours: "400, by name and row", Why: "what a client got wrong shall not show in the model's answers only"},
	{Probes: []string{"unfit*"}, What: []string{"error_code", "message", "sqlstate", "error_class", "stack_trace"}, Theirs: "`BAD_REQUEST`", Ours: "`SCHEMA_ENFORCEMENT_FAILED`, with column and row", Why: "it is the schema that it does not fit; 400 in both"},
	{Probes: []string{"arrays: by column"}, What: []string{"message"}, Theirs: "the message repeats all rows", Ours: "the reason alone", Why: "as above; a signature with an Array takes `inputs` for one row, in both"},
	{Probes: []string{"arrays: csv"}, What: []string{"status", "predictions", "error_code", "message", "sqlstate", "error_class", "stack_trace"}, Theirs: "no CSV at all once the signature has an Array", Ours: "its other columns are read", Why: "nothing speaks against it"},
	{Probes: []string{"params: of*", "params: no*"}, What: []string{"error_code", "message", "sqlstate", "error_class"}, Theirs: "`INVALID_PARAMETER_VALUE` with Python's words", Ours: "`SCHEMA_ENFORCEMENT_FAILED` in ours", Why: "one rule for all that a signature says; 400 in both"},
}

// TestMLflow_types holds how each of MLflow's types is read to how its own
// server reads it.
func TestMLflow_types(t *testing.T) {
	t.Parallel()
	python := harness.Python(t, "mlflow")
	folder := filepath.Join(t.TempDir(), "model")
	for name, text := range map[string]string{"MLmodel": echoModel, "code/echo_loader.py": echoLoader} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	theirs, ours := bothMLflow(t, python, folder)
	var all []harness.Difference
	for _, p := range typeProbes() {
		all = append(all, harness.Compare(p, apart(harness.Ask(t, theirs, p), ""), apart(harness.Ask(t, ours, p), ""), untimed)...)
	}
	harness.Check(t, all, typeKnown)
	harness.Document(t, "mlflow types", typeKnown)
}
