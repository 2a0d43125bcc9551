package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// mlserver starts MLServer on the linear model, by its scikit-learn runtime,
// and returns its addresses.
func mlserver(t *testing.T, python, folder string) (p *harness.Process, rest, grpc string) {
	t.Helper()
	home := t.TempDir()
	rest, grpc = harness.Address(t), harness.Address(t)
	port := func(address string) string { _, port, _ := strings.Cut(address, ":"); return port }
	for name, text := range map[string]string{
		"settings.json": fmt.Sprintf(`{"host": "127.0.0.1", "http_port": %s, "grpc_port": %s, "metrics_port": %s, "parallel_workers": 0}`, port(rest), port(grpc), port(harness.Address(t))),
		"model-settings.json": fmt.Sprintf(`{"name": "linear", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": %q, "version": "7"},
			"inputs": [{"name": "predict", "datatype": "FP64", "shape": [-1, 3]}]}`, filepath.Join(folder, "model.pkl")),
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p = harness.Run(t, home, nil, python, "-c", "from mlserver.cli.main import main; main()", "start", home)
	return p, rest, grpc
}

func infer(name, inputs string, more ...string) harness.Probe {
	return harness.Probe{Name: name, Method: "POST", Path: "/v2/models/linear/infer", Header: []string{"Content-Type", jsonHeader},
		Body: `{"id":"7","inputs":[` + inputs + `]` + strings.Join(more, "") + `}`}
}

func matrix(shape, datatype, data string) string {
	return fmt.Sprintf(`{"name":"predict","shape":%s,"datatype":%q,"data":%s}`, shape, datatype, data)
}

const threeColumns = `{"name":"age","shape":[1],"datatype":"FP64","data":[1]},{"name":"bmi","shape":[1],"datatype":"FP64","data":[2]},{"name":"sex","shape":[1],"datatype":"INT64","data":[0]}`

func oipProbes() []harness.Probe {
	var probes []harness.Probe
	for _, path := range []string{"", "/", "/health/live", "/health/ready", "/models/linear", "/models/linear/versions/7", "/models/linear/ready", "/models/linear/versions/7/ready",
		"/models/other", "/models/linear/versions/8", "/models/other/ready", "/models/linear/infer", "/nothing"} {
		probes = append(probes, harness.Probe{Method: "GET", Path: "/v2" + path})
	}
	versioned := infer("infer: a version", matrix("[1,3]", "FP64", "[1,2,0]"))
	versioned.Path = "/v2/models/linear/versions/7/infer"
	elsewhere := infer("other model", matrix("[1,3]", "FP64", "[1,2,0]"))
	elsewhere.Path = "/v2/models/other/infer"
	another := infer("other version", matrix("[1,3]", "FP64", "[1,2,0]"))
	another.Path = "/v2/models/linear/versions/8/infer"
	body := func(name, body string) harness.Probe { p := infer(name, ""); p.Body = body; return p }
	return append(probes,
		infer("infer: nested", matrix("[2,3]", "FP64", "[[1,2,0],[2,1,1]]")),
		infer("infer: flat", matrix("[2,3]", "FP64", "[1,2,0,2,1,1]")),
		infer("infer: INT32", matrix("[1,3]", "INT32", "[1,2,0]")),
		infer("infer: FP32", matrix("[1,3]", "FP32", "[1,2,0]")),
		infer("infer: another name", `{"name":"x","shape":[1,3],"datatype":"FP64","data":[1,2,0]}`),
		infer("infer: an output by name", matrix("[1,3]", "FP64", "[1,2,0]"), `,"outputs":[{"name":"predict"}]`),
		infer("infer: columns as a frame", threeColumns, `,"parameters":{"content_type":"pd"}`),
		versioned,
		body("infer: no id", `{"inputs":[`+matrix("[1,3]", "FP64", "[1,2,0]")+`]}`),
		infer("columns", threeColumns),
		elsewhere, another,
		infer("refused: an output of another name", matrix("[1,3]", "FP64", "[1,2,0]"), `,"outputs":[{"name":"z"}]`),
		body("refused: no inputs", `{"inputs":[]}`),
		infer("wrong: too little data", matrix("[1,3]", "FP64", "[1,2]")),
		infer("wrong: too few columns", matrix("[1,2]", "FP64", "[1,2]")),
		infer("wrong: no rows", matrix("[3]", "FP64", "[1,2,3]")),
		infer("wrong: texts", matrix("[1,3]", "FP64", `["a","b","c"]`)),
		infer("raises: null", matrix("[1,3]", "FP64", "[1,null,0]")),
		infer("form: a datatype of nobody's", matrix("[1,3]", "FP63", "[1,2,0]")),
		infer("form: no datatype", `{"name":"x","shape":[1,3],"data":[1,2,0]}`),
		body("form: an empty object", `{}`), body("form: truncated", `{`), body("form: a list", `[]`), body("form: nothing", ``),
	)
}

var oipKnown = []harness.Known{
	{Probes: []string{"*"}, What: []string{"Server"}, Theirs: "`Server: uvicorn`", Ours: "no such header", Why: "clients have no use for it, attackers have"},
	{Probes: []string{"GET /v2", "GET /v2/"}, What: []string{"name", "version"}, Theirs: "`mlserver`", Ours: "`ridgeline`", Why: "the truth about who answers"},
	{Probes: []string{"GET /v2/"}, What: []string{"status", "Location", "Content-Type", "extensions"}, Theirs: "`/v2/` leads to `/v2`", Ours: "answers as `/v2`", Why: "the protocol's OpenAPI file has it with the slash, its text without"},
	{Probes: []string{"GET /v2/health/*", "GET /v2/models/linear/ready", "GET /v2/models/linear/versions/7/ready"}, What: []string{"live", "ready", "name", "Content-Type", "body"}, Theirs: "an empty body", Ours: "`{\"live\":true}`, `{\"ready\":true}`, with the model's name", Why: "the protocol's text has it; the status is the same"},
	{Probes: []string{"GET /v2/models/linear", "GET /v2/models/linear/versions/7"}, What: []string{"versions", "platform", "inputs.name", "inputs.shape", "inputs", "outputs", "outputs.name", "outputs.datatype", "outputs.shape", "inputs.datatype", "parameters"},
		Theirs: "what `model-settings.json` says, no versions, no platform", Ours: "the model's signature, its version and framework", Why: "the signature is what requests are checked against"},
	{Probes: []string{"GET /v2/models/other*", "GET /v2/models/linear/versions/8", "other*", "refused*"}, What: []string{"error"}, Theirs: "its own words", Ours: "what is served instead", Why: "a message says what to do next"},
	{Probes: []string{"GET /v2/models/linear/infer", "GET /v2/nothing"}, What: []string{"detail", "error"}, Theirs: "FastAPI's `{\"detail\"}`", Ours: "`{\"error\"}`", Why: "the protocol knows no other form of an error"},
	{Probes: []string{"infer*", "columns", "other*", "refused*", "wrong*", "raises*", "form*"}, What: []string{"X-Request-Id"}, Theirs: "no id", Ours: "`X-Request-Id`, the client's or a new one", Why: "feedback and the inference log refer to it"},
	{Probes: []string{"infer*"}, What: []string{"parameters", "outputs.parameters", "Ce-Endpoint", "Ce-Id", "Ce-Inferenceservicename", "Ce-Modelid", "Ce-Namespace", "Ce-Requestid", "Ce-Source", "Ce-Specversion", "Ce-Type"}, Theirs: "empty `parameters`, and `content_type` of its codec", Ours: "none", Why: "both are optional; the datatype says it"},
	{Probes: []string{"infer*"}, What: []string{"outputs.shape"}, Theirs: "`[n,1]` for predictions of shape `[n]`", Ours: "`[n]`", Why: "the shape that the model gave"},
	{Probes: []string{"infer: no id"}, What: []string{"id"}, Theirs: "an id of its own", Ours: "none", Why: "`id` is echoed if given; `X-Request-Id` is there always"},
	{Probes: []string{"columns"}, What: []string{"status", "error", "model_name", "model_version", "id", "outputs.name", "outputs.shape", "outputs.datatype", "outputs.data"}, Theirs: "400 unless `content_type` is `pd`", Ours: "an input for each column of the signature, without further words", Why: "the signature says that it is a table"},
	{Probes: []string{"wrong*"}, What: []string{"status", "body", "error", "Content-Type"}, Theirs: "500, `Internal Server Error`", Ours: "400, by name and row", Why: "it is the client's mistake"},
	{Probes: []string{"raises*"}, What: []string{"body", "error", "Content-Type"}, Theirs: "500 as plain text", Ours: "500, `{\"error\"}`", Why: "the protocol knows no other form of an error"},
	{Probes: []string{"form*"}, What: []string{"status", "detail", "error"}, Theirs: "422, FastAPI's `{\"detail\"}`", Ours: "400, `{\"error\"}`", Why: "the protocol knows no other form of an error, and 400 for it"},
}

// TestOIP holds our /v2 to that of MLServer, the version in
// environments/mlflow.txt, and has grpcio's client ask both for the same.
func TestOIP(t *testing.T) {
	t.Parallel()
	python := harness.Python(t, "mlflow")
	folder := linearModel(t, python)
	reference, at, grpc := mlserver(t, python, folder)
	scorer, us := serveModel(t, python, folder)
	scorer.Await(t, "http://"+us+"/v2/health/ready")
	reference.Await(t, "http://"+at+"/v2/health/ready")

	t.Run("REST", func(t *testing.T) {
		var all []harness.Difference
		for _, p := range oipProbes() {
			theirs, ours := harness.Ask(t, "http://"+at, p), harness.Ask(t, "http://"+us, p)
			all = append(all, harness.Compare(p, apart(theirs, ""), apart(ours, ""), untimed)...)
		}
		harness.Check(t, all, oipKnown)
		harness.Document(t, "oip", oipKnown)
	})
	t.Run("gRPC", func(t *testing.T) {
		theirs, ours := askGRPC(t, python, grpc), askGRPC(t, python, us)
		var all []harness.Difference
		for _, c := range calls {
			a, b := harness.Reply{Header: theirs[c.Name]}, harness.Reply{Header: ours[c.Name]}
			if a.Header == nil || b.Header == nil {
				t.Fatalf("%s was not asked: %v, %v", c.Name, theirs, ours)
			}
			all = append(all, harness.Compare(harness.Probe{Name: c.Name}, a, b, nil)...)
		}
		harness.Check(t, all, grpcKnown)
		harness.Document(t, "grpc", grpcKnown)
	})
}

// A call is one of a method of GRPCInferenceService, with its message as
// protobuf's JSON.
type call struct {
	Name, Method string
	Message      string
}

const rawRow = "AAAAAAAA8D8AAAAAAAAAQAAAAAAAAAAA" // 1, 2 and 0 as FP64

var calls = []call{
	{"live", "ServerLive", `{}`}, {"ready", "ServerReady", `{}`}, {"server", "ServerMetadata", `{}`},
	{"model ready", "ModelReady", `{"name":"linear"}`}, {"version ready", "ModelReady", `{"name":"linear","version":"7"}`},
	{"model", "ModelMetadata", `{"name":"linear"}`},
	{"other: ready", "ModelReady", `{"name":"other"}`}, {"other: metadata", "ModelMetadata", `{"name":"other"}`}, {"other: version", "ModelMetadata", `{"name":"linear","version":"8"}`},
	{"other: infer", "ModelInfer", `{"model_name":"other","inputs":[]}`},
	{"infer: contents", "ModelInfer", `{"model_name":"linear","id":"7","inputs":[{"name":"predict","datatype":"FP64","shape":[2,3],"contents":{"fp64_contents":[1,2,0,2,1,1]}}]}`},
	{"infer: INT32", "ModelInfer", `{"model_name":"linear","model_version":"7","id":"7","inputs":[{"name":"predict","datatype":"INT32","shape":[1,3],"contents":{"int_contents":[1,2,0]}}]}`},
	{"infer: FP32", "ModelInfer", `{"model_name":"linear","id":"7","inputs":[{"name":"predict","datatype":"FP32","shape":[1,3],"contents":{"fp32_contents":[1,2,0]}}],"outputs":[{"name":"predict"}]}`},
	{"raw", "ModelInfer", `{"model_name":"linear","id":"7","inputs":[{"name":"predict","datatype":"FP64","shape":[1,3]}],"raw_input_contents":["` + rawRow + `"]}`},
	{"refused: no inputs", "ModelInfer", `{"model_name":"linear","id":"7"}`},
	{"refused: an output of another name", "ModelInfer", `{"model_name":"linear","inputs":[{"name":"predict","datatype":"FP64","shape":[1,3],"contents":{"fp64_contents":[1,2,0]}}],"outputs":[{"name":"z"}]}`},
	{"wrong: too little data", "ModelInfer", `{"model_name":"linear","inputs":[{"name":"predict","datatype":"FP64","shape":[1,3],"contents":{"fp64_contents":[1,2]}}]}`},
	{"wrong: a datatype of nobody's", "ModelInfer", `{"model_name":"linear","inputs":[{"name":"predict","datatype":"FP63","shape":[1,3],"contents":{"fp64_contents":[1,2,0]}}]}`},
}

// grpcClient asks by grpcio, with the messages that MLServer's package has.
const grpcClient = `
import json, sys
import grpc
from google.protobuf import json_format
from mlserver.grpc import dataplane_pb2 as pb, dataplane_pb2_grpc as service

stub = service.GRPCInferenceServiceStub(grpc.insecure_channel(sys.argv[1]))
answers = {}
for call in json.loads(sys.argv[2]):
    request = getattr(pb, call["Method"] + "Request")()
    json_format.ParseDict(json.loads(call["Message"]), request)
    try:
        answer = getattr(stub, call["Method"])(request, timeout=30)
        found = json_format.MessageToDict(answer, preserving_proto_field_name=True)
        for output in found.pop("outputs", []):
            found.update({"outputs." + k: v for k, v in output.items()})
        found["code"] = "OK"
    except grpc.RpcError as e:
        found = {"code": e.code().name, "details": e.details()}
    answers[call["Name"]] = {k: [json.dumps(v, sort_keys=True)] for k, v in found.items()}
print(json.dumps(answers))
`

func askGRPC(t *testing.T, python, address string) map[string]map[string][]string {
	t.Helper()
	asked, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	p := harness.Run(t, t.TempDir(), []string{"GRPC_VERBOSITY=ERROR"}, python, "-c", grpcClient, address, string(asked))
	code := p.ExitCode(t)
	lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
	var answers map[string]map[string][]string
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &answers); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, p.Output())
	}
	return answers
}

var grpcKnown = []harness.Known{
	{Probes: []string{"server"}, What: []string{"name", "version"}, Theirs: "`mlserver`", Ours: "`ridgeline`", Why: "the truth about who answers"},
	{Probes: []string{"model"}, What: []string{"inputs", "outputs.name", "outputs.datatype", "outputs.shape", "platform", "versions"}, Theirs: "what `model-settings.json` says, no versions, no platform", Ours: "the model's signature, its version and framework", Why: "the signature is what requests are checked against"},
	{Probes: []string{"other*", "refused*"}, What: []string{"details"}, Theirs: "its own words", Ours: "what is served instead", Why: "a message says what to do next"},
	{Probes: []string{"other: ready"}, What: []string{"code"}, Theirs: "`UNKNOWN`", Ours: "`NOT_FOUND`, as for the other methods", Why: "an exception of theirs that nobody caught"},
	{Probes: []string{"infer*", "raw"}, What: []string{"outputs.parameters", "outputs.shape"}, Theirs: "`[n,1]` for predictions of shape `[n]`, with `content_type`", Ours: "`[n]`, without", Why: "the shape that the model gave"},
	{Probes: []string{"raw"}, What: []string{"outputs.contents"}, Theirs: "an empty `contents` beside `raw_output_contents`", Ours: "none", Why: "the protocol wants one of the two"},
	{Probes: []string{"wrong*"}, What: []string{"code", "details"}, Theirs: "`INTERNAL`", Ours: "`INVALID_ARGUMENT`, by name", Why: "it is the client's mistake"},
}
