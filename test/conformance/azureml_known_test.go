package conformance

import "github.com/ridgeline-mlops/ridgeline/test/conformance/harness"

// azuremlKnown is how we differ from azureml-inference-server-http, on purpose.
var azuremlKnown = []harness.Known{
	{
		Probes: []string{"*"}, What: []string{"X-Ms-Server-Version"},
		Theirs: "`x-ms-server-version: azmlinfsrv/1.5.1`", Ours: "`ridgeline/VERSION`; left out by the same variable",
		Why: "who looks at it is told the truth",
	},
	{
		Probes: []string{"*"}, What: []string{"Server"},
		Theirs: "`Server: gunicorn`", Ours: "no such header", Why: "it is their web server's",
	},
	{
		Probes: []string{"*: swagger, POST", "*: healthy, POST", "*: put", "*: delete", "*: patch", "*: head", "*: method of no standard"}, What: []string{"Allow"},
		Theirs: "405 without `Allow`", Ours: "with it", Why: "RFC 9110 asks for it",
	},
	{
		Probes: []string{"*: swagger, OPTIONS", "*: healthy, OPTIONS"}, What: []string{"Allow"},
		Theirs: "`Allow` in any order", Ours: "always `GET, HEAD, OPTIONS`", Why: "theirs changes from start to start",
	},
	{
		Probes: []string{"schema: null data", "schema: no frame", "schema: too wide", "schema: text in data", "schema: ragged", "schema: not rows", "schema: flat", "schema: no rows", "schema: scale of text", "schema: frame too narrow", "schema: nested of the wrong kind"},
		What:   []string{"status", "body", "Content-Length", functionFailed},
		Theirs: "500 when a value does not fit the sample of its `@input_schema`", Ours: "400 with the reason; `x-ms-run-function-failed: False`",
		Why: "the mistake is the client's, and he can read what it is",
	},
	{
		Probes: []string{"schema: not UTF-8", "schema: deep"}, What: []string{"status", "body", "Content-Length"},
		Theirs: "500 for JSON that is not UTF-8, or nested too deeply", Ours: "400 with the reason", Why: "the mistake is the client's",
	},
	{
		Probes: []string{"schema: NaN literal", "plain: NaN"}, What: []string{"status", "body", "Content-Length", functionTime},
		Theirs: "200 with `NaN` in the body when `run()` returns one", Ours: "500 that says so", Why: "JSON has no NaN: most clients fail on it, with a worse message",
	},
	{
		Probes: []string{"plain: numpy array"}, What: []string{"status", "body", "Content-Length", functionTime},
		Theirs: "500 when `run()` returns a numpy array", Ours: "200 with its values as lists; numpy's scalars likewise", Why: "there is only one thing that it can mean",
	},
	{
		Probes: []string{"plain: raises TimeoutError"}, What: []string{"body", "Content-Length"},
		Theirs: "“Scoring timeout” when `run()` itself raises `TimeoutError`", Ours: "as for any exception", Why: "nothing timed out",
	},
	{
		Probes: []string{"plain: a form", "plain: a multipart form"}, What: []string{"body", "Content-Length"},
		Theirs: "`run(raw_data)` gets an empty string for a form", Ours: "the body as it came", Why: "an empty input would be answered with 200 and nonsense",
	},
	{
		Probes: []string{"plain: empty ids", "plain: id of spaces"}, What: []string{requestID, legacyID},
		Theirs: "an empty `x-request-id` is taken, and none answered", Ours: "as if there were none: a new one", Why: "a request without an id cannot be found again",
	},
	{
		Probes: []string{"plain: exits"}, What: []string{"body", "Content-Length", "Content-Type", "Date", functionFailed, requestID, legacyID},
		Theirs: "`sys.exit()` in `run()` ends the worker; 500 in HTML", Ours: "500 as for any exception; the worker lives", Why: "one request must not cost the others their worker",
	},
	{
		Probes: []string{"headers: *"}, Not: []string{"headers: origin", "headers: another origin", "headers: *, origin", "headers: preflight*"}, What: []string{"Access-Control-Allow-Origin"},
		Theirs: "one allowed origin is named in every answer", Ours: "only when the request came from an allowed origin", Why: "CORS as the standard has it",
	},
	{
		Probes: []string{"schema: *"}, Not: []string{"schema: second origin", "schema: another origin", "schema: preflight"}, What: []string{"Access-Control-Allow-Origin"},
		Theirs: "the first of several allowed origins is named when the request has no `Origin`", Ours: "none", Why: "CORS as the standard has it",
	},
	{
		Probes: []string{"headers: *", "schema: *"}, What: []string{"Vary"},
		Theirs: "`Vary: Origin` only with several origins, and only in answers to one of them", Ours: "always, with CORS on", Why: "a cache must not give one origin's answer to another",
	},
	{
		Probes: []string{"headers: no id"}, What: []string{"body", "Content-Length"},
		Theirs: "`request_headers` has no `X-Ms-Request-Id` when the client sent none", Ours: "it has the one that the answer carries", Why: "Azure's gateway adds it there, and scripts log it",
	},
	{
		Probes: []string{"plain: header of 9 kB", "plain: 150 headers"},
		What:   []string{"status", "body", "Content-Length", "Content-Type", "Date", functionFailed, functionTime, requestID, legacyID},
		Theirs: "431 in HTML for a header of over 8,190 bytes, and for over 100 headers", Ours: "64 kB of headers in all, then 431", Why: "their web server's limits; clients behind proxies come near them",
	},
	{
		Probes: []string{"plain: twice a slash"}, What: []string{"status", "body", "Content-Length", "Content-Type", "Location", functionFailed, functionTime, requestID, legacyID},
		Theirs: "`//score` is `/score`", Ours: "307 to `/score`", Why: "Go's router; clients follow it with their body",
	},
}

const (
	functionFailed = "X-Ms-Run-Function-Failed"
	functionTime   = "X-Ms-Run-Fn-Exec-Ms"
	requestID      = "X-Request-Id"
	legacyID       = "X-Ms-Request-Id"
)
