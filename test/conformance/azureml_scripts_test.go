package conformance

import (
	"fmt"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

const jsonType = "application/json"

func post(name, path, contentType, body string, header ...string) harness.Probe {
	if contentType != "" {
		header = append(header, "Content-Type", contentType)
	}
	return harness.Probe{Name: name, Method: "POST", Path: path, Header: header, Body: body}
}

func ask(name, method, path string, header ...string) harness.Probe {
	return harness.Probe{Name: name, Method: method, Path: path, Header: header}
}

func azuremlScripts() map[string]script {
	return map[string]script{
		"plain":             {files: map[string]string{"score.py": plainScript}, env: []string{"SCORING_TIMEOUT_MS=1000"}, probes: plainProbes()},
		"headers":           {files: map[string]string{"score.py": headersScript}, env: []string{"AML_CORS_ORIGINS=https://a.example", "SERVER_VERSION_LOG_RESPONSE_ENABLED=false", "SERVICE_NAME=My \u00e9 service", "SERVICE_VERSION=2.5", "SERVICE_PATH_PREFIX=/api/v1/"}, probes: headersProbes()},
		"schema":            {files: map[string]string{"score.py": schemaScript}, env: []string{"AML_CORS_ORIGINS=https://a.example, https://b.example"}, probes: schemaProbes()},
		"one":               {files: map[string]string{"score.py": oneScript}, probes: oneProbes()},
		"own":               {files: map[string]string{"score.py": plainScript, "swagger.json": `{"swagger": "2.0", "info": {"title": "mine \u00e9"}}`, "swagger3.json": `{"openapi": "3.0.0"}`}, probes: swaggerProbes()},
		"raw":               {files: map[string]string{"score.py": rawScript}, probes: rawProbes()},
		"raw without Flask": {files: map[string]string{"score.py": rawScript}, bare: true, probes: rawProbes()},
	}
}

const plainScript = `
import json, os, sys, time
import numpy as np

def init():
    global model
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.json")) as f:
        model = json.load(f)

def run(raw_data):
    try:
        rows = json.loads(raw_data)["data"]
    except Exception:
        rows = None
    if isinstance(rows, list):
        return {"result": [sum(a * b for a, b in zip(row, model["weights"])) for row in rows]}
    kind, _, rest = raw_data.partition(" ")
    if kind == "none": return None
    if kind == "text": return rest
    if kind == "numpy": return np.array([[1, 2], [3, 4]]) if rest == "array" else np.float64(1.5)
    if kind == "nan": return {"result": [1.0, float("nan")]}
    if kind == "big": return "x" * int(rest)
    if kind == "bytes": return b"bytes"
    if kind == "set": return {1, 2}
    if kind == "keys": return {1: "a", None: "b", True: "c"}
    if kind == "tuple": return (1, "é", None, True, 1e300, -0.0, 12345678901234567890)
    if kind == "raise": raise ValueError("a detail that is nobody's business")
    if kind == "timeout": raise TimeoutError("mine")
    if kind == "exit": sys.exit(int(rest))
    if kind == "sleep": time.sleep(float(rest))
    if kind == "print": print("said", rest)
    return raw_data
`

func plainProbes() []harness.Probe {
	long := strings.Repeat("x", 101)
	probes := []harness.Probe{
		ask("healthy", "GET", "/"), ask("healthy, HEAD", "HEAD", "/"), ask("healthy, POST", "POST", "/"), ask("healthy, OPTIONS", "OPTIONS", "/"),
		ask("healthy, with ids", "GET", "/", "x-request-id", "A", "x-ms-request-id", "B", "TraceId", "T"),
		ask("healthy, id too long", "GET", "/", "x-request-id", long),
		post("rows", "/score", jsonType, `{"data": [[1, 2], [3, 4]]}`),
		post("no type", "/score", "", "anything"),
		post("text", "/score", "text/plain", "text héé"),
		post("empty", "/score", jsonType, ""),
		post("json is not asked for", "/score", jsonType, "not json"),
		post("none", "/score", "", "none"), post("numpy array", "/score", "", "numpy array"), post("numpy scalar", "/score", "", "numpy scalar"),
		post("NaN", "/score", "", "nan"), post("big answer", "/score", "", "big 3000000"), post("big request", "/score", "text/plain", "text "+strings.Repeat("y", 3_000_000)),
		post("bytes", "/score", "", "bytes"), post("set", "/score", "", "set"), post("keys", "/score", "", "keys"), post("tuple", "/score", "", "tuple"),
		post("raises", "/score", "", "raise"), post("raises TimeoutError", "/score", "", "timeout"), post("sleeps too long", "/score", "", "sleep 1.5"), post("prints", "/score", "", "print it"),
		post("not UTF-8", "/score", "text/plain", "a\xff"),
		post("a form", "/score", "application/x-www-form-urlencoded", "a=1&b=2"),
		post("a multipart form", "/score", "multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n"),
		ask("get", "GET", "/score?a=1&b=[1,2]&c=a&d=null"), ask("get, repeated", "GET", "/score?foo=bar1&foo=bar2&x=y"), ask("get, nothing", "GET", "/score"),
		ask("get, odd", "GET", "/score?a=%C3%A9+e&b=%22q%22&c=&d&a=2&e=NaN&f=%ff&g=1%262"),
		ask("get, rows", "GET", "/score?data=[[1,2]]"),
		ask("options", "OPTIONS", "/score"), ask("options, preflight", "OPTIONS", "/score", "Origin", "https://a.example", "Access-Control-Request-Method", "POST"),
		ask("put", "PUT", "/score"), ask("delete", "DELETE", "/score"), ask("patch", "PATCH", "/score"), ask("head", "HEAD", "/score"),
		ask("slash", "GET", "/score/"), ask("not found", "GET", "/nope"), post("not found, POST", "/score2", jsonType, "{}"), ask("in other case", "GET", "/Score"), ask("twice a slash", "GET", "//score"),
		ask("not found, with ids", "GET", "/nope", "x-request-id", "A", "x-ms-request-id", "B", "TraceId", "T"),
		post("query of a post", "/score?a=1", "", "x"), ask("path in other words", "GET", "/%73core"), ask("path with a NUL", "GET", "/score%00"), ask("method of no standard", "SCORE", "/score"),
		post("header of 9 kB", "/score", "", "x", "X-Long", strings.Repeat("y", 9000)), post("150 headers", "/score", "", "x", many(150)...),
		post("trace id", "/score", "", "x", "TraceId", "T"), post("trace ids", "/score", "", "x", "TraceId", "T", "TraceId", "U"),
		post("empty ids", "/score", "", "x", "x-request-id", "", "x-ms-request-id", ""),
		post("id of spaces", "/score", "", "x", "x-request-id", "  "),
		post("100 characters", "/score", "", "x", "x-request-id", long[1:], "x-ms-client-request-id", long[1:]),
		post("raises, with ids", "/score", "", "raise", "x-request-id", "A", "x-ms-client-request-id", "C", "TraceId", "T"),
		post("exits", "/score", "", "exit 0"), // last: their worker ends
	}
	for _, id := range []string{"x-request-id", "x-ms-request-id", "x-ms-client-request-id"} {
		probes = append([]harness.Probe{post("101 characters of "+id, "/score", "", "x", id, long, "TraceId", "T")}, probes...)
	}
	for _, ids := range [][3]string{{"", "", ""}, {"A", "", ""}, {"", "B", ""}, {"", "", "C"}, {"A", "B", "C"}, {"A", "B", ""}, {"A", "", "C"}, {"", "B", "C"}} {
		var header []string
		for i, name := range []string{"x-request-id", "x-ms-request-id", "x-ms-client-request-id"} {
			if ids[i] != "" {
				header = append(header, name, ids[i])
			}
		}
		probes = append([]harness.Probe{post("ids "+ids[0]+"-"+ids[1]+"-"+ids[2], "/score", "", "x", header...)}, probes...)
	}
	return append(swaggerProbes(), probes...)
}

// many is so many headers of names of their own.
func many(n int) (header []string) {
	for i := range n {
		header = append(header, fmt.Sprintf("X-Number-%d", i), "y")
	}
	return header
}

func swaggerProbes() []harness.Probe {
	probes := []harness.Probe{
		ask("swagger", "GET", "/swagger.json"), ask("swagger, HEAD", "HEAD", "/swagger.json"), ask("swagger, POST", "POST", "/swagger.json"), ask("swagger, OPTIONS", "OPTIONS", "/swagger.json"),
		ask("swagger, with ids", "GET", "/swagger.json", "x-request-id", "A", "x-ms-request-id", "B", "TraceId", "T"),
		ask("swagger, id too long", "GET", "/swagger.json", "x-request-id", strings.Repeat("x", 101)),
	}
	for _, version := range []string{"2", "2.0", "3", "3.0", "3.1", "9", "", "2&version=3", "%22%3C"} {
		probes = append(probes, ask("swagger "+version, "GET", "/swagger.json?version="+version))
	}
	return probes
}

const headersScript = `
def init(): pass

def run(request_headers, data):
    return [data, dict(sorted(request_headers.items())), type(request_headers).__name__]
`

func headersProbes() []harness.Probe {
	return append([]harness.Probe{
		post("headers", "/score", "text/plain", "x", "x-ms-request-id", "7", "TRACEPARENT", "00-1", "X-Odd_Name", "v"),
		post("repeated headers", "/score", "text/plain", "x", "x-ms-request-id", "7", "Accept", "a", "Accept", "b", "X-Two", "1", "X-Two", "2", "Cookie", "a=1", "Cookie", "b=2"),
		ask("headers, GET", "GET", "/score?a=1", "x-ms-request-id", "7"),
		post("no body", "/score", "", "", "x-ms-request-id", "7"),
		post("no id", "/score", "", ""),
		post("origin", "/score", "", "x", "x-ms-request-id", "7", "Origin", "https://a.example"), post("another origin", "/score", "", "x", "x-ms-request-id", "7", "Origin", "https://evil.example"), post("no origin", "/score", "", "x", "x-ms-request-id", "7"),
		ask("preflight", "OPTIONS", "/score", "Origin", "https://a.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type, x-ms-request-id"),
		ask("preflight, another origin", "OPTIONS", "/score", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"),
		ask("preflight, of DELETE", "OPTIONS", "/score", "Origin", "https://a.example", "Access-Control-Request-Method", "DELETE"),
		ask("healthy, origin", "GET", "/", "Origin", "https://a.example"), ask("swagger, origin", "GET", "/swagger.json", "Origin", "https://a.example"),
		ask("not found, origin", "GET", "/nope", "Origin", "https://a.example"),
	}, swaggerProbes()...)
}

const schemaScript = `
import datetime
import numpy as np
import pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

nested = StandardPythonParameterType({
    "frame": PandasParameterType(pd.DataFrame({"a": [1.5], "b": ["x"]})),
    "list": StandardPythonParameterType([NumpyParameterType(np.array([[1, 2]]))]),
    "when": StandardPythonParameterType(datetime.datetime(2026, 1, 2, 3, 4, 5)),
})

def init(): pass

@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("frame", PandasParameterType(pd.DataFrame({"n": [1], "t": pd.to_datetime(["2026-01-02"])}), orient="split"))
@input_schema("nested", nested)
@input_schema("scale", StandardPythonParameterType(1.0))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data, request_headers, frame=None, nested=None, scale=2.0):
    if data[0, 0] < 0:
        raise ValueError("run's own")
    result = {"sum": (data.sum(axis=1) * scale).tolist(), "dtype": str(data.dtype)}
    if frame is not None and not isinstance(frame, list):
        result["frame"] = [list(frame.columns), [str(t) for t in frame.dtypes], len(frame)]
    if nested is not None:
        result["nested"] = [list(nested["frame"].columns), nested["list"][0].tolist(), str(nested.get("when"))]
    return result
`

func schemaProbes() []harness.Probe {
	with := func(rest string) string {
		return `{"data": [[1, 2]], "frame": {"columns": ["n", "t"], "index": [0], "data": [[5, "2026-02-03"]]}, "nested": {"frame": [{"a": 1, "b": "y"}], "list": [[[1, 2]]], "when": "2026-01-02T03:04:05Z"}` + rest + "}"
	}
	at := func(name, body string) harness.Probe { return post(name, "/score", jsonType, body) }
	return append([]harness.Probe{
		at("all", with("")), at("extra", with(`, "more": 1`)), at("with scale", with(`, "scale": 3`)),
		post("type with charset", "/score", "application/json; charset=utf-8", with("")), post("vendor's type", "/score", "application/vnd.x+json", with("")), post("type in capitals", "/score", "Application/JSON", with("")),
		post("text", "/score", "text/plain", with("")), post("no type", "/score", "", with("")), post("text/json", "/score", "text/json", with("")), post("json of another tree", "/score", "image/svg+json", with("")),
		at("empty", ""), at("spaces", "  "), at("bad JSON", `{"data": [[1, 2]`), at("list", `[1]`), at("null", "null"), at("number", "1"),
		at("no data", `{"nested": null}`), at("null data", `{"data": null}`), at("no frame", `{"data": [[1, 2]]}`),
		at("too wide", strings.Replace(with(""), "[[1, 2]],", "[[1, 2, 3]],", 1)), at("text in data", strings.Replace(with(""), "[[1, 2]],", `[["x", 2]],`, 1)), at("ragged", strings.Replace(with(""), "[[1, 2]],", `[[1, 2], [1]],`, 1)),
		at("not rows", strings.Replace(with(""), "[[1, 2]],", `"rows",`, 1)), at("flat", strings.Replace(with(""), "[[1, 2]],", `[1, 2],`, 1)), at("no rows", strings.Replace(with(""), "[[1, 2]],", `[],`, 1)),
		at("scale of text", with(`, "scale": "big"`)), at("frame of other columns", strings.Replace(with(""), `"n", "t"`, `"n", "u"`, 1)), at("frame too narrow", strings.Replace(strings.Replace(with(""), `"n", "t"`, `"n"`, 1), `[5, "2026-02-03"]`, "[5]", 1)),
		at("nested of the wrong kind", with(`, "nested": 3`)), at("run raises", strings.Replace(with(""), "[[1, 2]],", "[[-1, 2]],", 1)), at("twice a key", with(`, "data": [[5, 5]]`)),
		at("NaN literal", strings.Replace(with(""), "[[1, 2]],", "[[NaN, 2]],", 1)), at("not UTF-8", "{\"data\": \"\xff\"}"), at("UTF-16", "\xff\xfe{\x00}\x00"), at("BOM", "\xef\xbb\xbf"+with("")),
		at("deep", strings.Repeat("[", 100_000)),
		ask("get", "GET", `/score?data=[[1,2]]&frame={"columns":["n","t"],"index":[0],"data":[[5,"2026-02-03"]]}&nested={"frame":[{"a":1,"b":"y"}],"list":[[[1,2]]],"when":"2026-01-02T03:04:05Z"}`),
		ask("get without data", "GET", "/score?scale=1"), ask("options", "OPTIONS", "/score"), ask("head", "HEAD", "/score"),
		post("second origin", "/score", "", "x", "Origin", "https://b.example"), post("another origin", "/score", "", "x", "Origin", "https://evil.example"), post("no origin", "/score", "", "x"),
		ask("preflight", "OPTIONS", "/score", "Origin", "https://b.example", "Access-Control-Request-Method", "POST"),
	}, swaggerProbes()...)
}

// one is MLOpsPython's score.py with a model of its own: one numpy
// parameter with the headers beside it.
const oneScript = `
import numpy
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType


def init():
    global weights
    weights = numpy.arange(10)


input_sample = numpy.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]])
output_sample = StandardPythonParameterType([[1, "mixed", 2.5]])


@input_schema("data", NumpyParameterType(input_sample))
@output_schema(output_sample)
def run(data, request_headers):
    result = data @ weights
    print(('{{"RequestId":"{0}", "TraceParent":"{1}", "NumberOfPredictions":{2}}}').format(
        request_headers.get("X-Ms-Request-Id", ""), request_headers.get("Traceparent", ""), len(result)))
    return {"result": result.tolist()}
`

func oneProbes() []harness.Probe {
	return append([]harness.Probe{
		post("two rows", "/score", jsonType, `{"data":[[1,2,3,4,5,6,7,8,9,10],[10,9,8,7,6,5,4,3,2,1]]}`),
		post("a float where the sample has whole numbers", "/score", jsonType, `{"data":[[1.9,2,3,4,5,6,7,8,9,10]]}`),
	}, swaggerProbes()...)
}

const rawScript = `
import json
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

def init(): pass

@rawhttp
def run(request):
    kind = request.args.get("kind", "")
    if kind == "image":
        return AMLResponse(b"\x89PNG\x00" + request.get_data(), 201, {"Content-Type": "image/png"})
    if kind == "busy": return AMLResponse({"message": "later"}, 503, {"Retry-After": "7"}, json_str=True)
    if kind == "failed": return AMLResponse("no", 200, {}, run_function_failed=True)
    if kind == "repeat": return AMLResponse("r", 200, {"X-A": "1, 2,3", "Set-Cookie": "a=1"})
    if kind == "none": return AMLResponse(None, 204)
    if kind == "teapot": return AMLResponse("tea", 418)
    if kind == "own": return AMLResponse("own", 200, {"x-request-id": "mine", "x-ms-request-id": "mine", "X-Own": "1"})
    if kind == "dict": return {"a": 1}
    if kind == "raise": raise ValueError("no")
    if kind == "form": return {"form": request.form.to_dict() if hasattr(request.form, "to_dict") else dict(request.form), "files": {k: [f.filename, f.read().decode("latin-1")] for k, f in request.files.items()}, "data": request.data.decode()}
    if kind == "json": return request.get_json()
    if kind == "silent": return [request.get_json(silent=True), request.is_json]
    return {"method": request.method, "body": request.get_data(as_text=True), "args": {k: request.args.getlist(k) for k in request.args},
            "type": request.content_type, "mime": request.mimetype, "id": request.headers.get("x-ms-request-id"), "has": "X-Ms-Request-Id" in request.headers,
            "path": request.path, "query": request.query_string.decode(), "length": request.content_length}
`

func rawProbes() []harness.Probe {
	form := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n\x00\r\n\xff\r\n--B--\r\n"
	probes := []harness.Probe{
		post("post", "/score?x=1&x=2&y=", jsonType, `{"a": "é"}`, "x-ms-request-id", "7"), ask("get", "GET", "/score?x=1", "x-ms-request-id", "7"), ask("head", "HEAD", "/score", "x-ms-request-id", "7"), ask("options", "OPTIONS", "/score", "x-ms-request-id", "7"), ask("put", "PUT", "/score"),
		{Name: "get with a body", Method: "GET", Path: "/score", Header: []string{"x-ms-request-id", "7"}, Body: "body"},
		post("image", "/score?kind=image", "image/png", "\x00\xff"), post("not UTF-8", "/score?kind=image", "text/plain", "\xff"),
		post("form", "/score?kind=form", "application/x-www-form-urlencoded", "a=1&b=%C3%A9"), post("multipart", "/score?kind=form", "multipart/form-data; boundary=B", form),
		post("broken multipart", "/score?kind=form", "multipart/form-data; boundary=B", form[:80]), post("multipart without a boundary", "/score?kind=form", "multipart/form-data", form),
		post("json", "/score?kind=json", jsonType, `[1, {"b": null}]`), post("bad json", "/score?kind=json", jsonType, "{"), post("json as text", "/score?kind=json", "text/plain", "{}"),
		post("bad json, silent", "/score?kind=silent", jsonType, "{"), post("text, silent", "/score?kind=silent", "text/plain", "{}"),
	}
	for _, kind := range []string{"busy", "failed", "repeat", "none", "teapot", "own", "dict", "raise"} {
		probes = append(probes, post(kind, "/score?kind="+kind, "", "x"))
	}
	return append(probes, ask("swagger", "GET", "/swagger.json"))
}
