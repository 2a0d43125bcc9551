package azureml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

// described is what a worker says of a script's input and output:
// python/ridgeline_worker/schema.py.
type described struct {
	Input    json.RawMessage            `json:"input"`
	Output   json.RawMessage            `json:"output"`
	Versions []string                   `json:"versions"` // that can express the two
	Own      map[string]json.RawMessage `json:"own"`      // the project's own documents, by version
}

// Service is what the descriptions of a service call it.
type Service struct {
	Name    string // "ML service"
	Version string // "1.0"
	Prefix  string // of its paths, such as "/api/v1/service/iris"
}

var aliases = map[string]string{"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}

func (h *handler) swagger(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) {
	if r.Method == http.MethodOptions {
		options(w)
		return
	}
	model, known := h.model.Model()
	if !known {
		h.starting(w, x)
		return
	}
	d := described{Input: anything, Output: anything, Versions: []string{"2", "3", "3.1"}}
	if model.OpenAPI != nil {
		d = described{}
		if err := json.Unmarshal(model.OpenAPI, &d); err != nil {
			fail(w, x, fmt.Errorf("the worker's description of its script: %w", err))
			return
		}
	} else if model.Signature != nil {
		d.Input, d.Output = schemas(*model.Signature)
	}
	document, problem := h.o.Service.document(d, r.URL.Query()["version"])
	if problem != "" {
		x.Failure = &exchange.Failure{Reason: exchange.Invalid, Message: problem}
		refuse(w, http.StatusNotFound, problem)
		return
	}
	w.Header()["Content-Type"] = jsonType
	w.Header()[functionFailed] = pythonNot
	x.Answer = document
	write(w, http.StatusOK, document)
}

var anything = json.RawMessage(`{"type":"object","example":{}}`)

// document is the description of the wanted version; problem says why there is
// none. A project's own document takes the place of a made one.
func (s Service) document(d described, wanted []string) (document []byte, problem string) {
	asked := "2"
	if len(wanted) > 0 {
		asked = wanted[0]
	}
	supported := slices.Concat(d.Versions, slices.Collect(maps.Keys(d.Own)))
	slices.Sort(supported)
	list := strings.Join(slices.Compact(supported), ", ")
	version, valid := aliases[asked]
	switch {
	case !valid:
		return nil, fmt.Sprintf("Swagger version [%s] is not valid. Supported versions: [%s].", asked, list)
	case d.Own[version] != nil:
		return d.Own[version], ""
	case !slices.Contains(d.Versions, version):
		return nil, fmt.Sprintf("Swagger version [%s] is not supported for the scoring script. Supported swagger versions: [%s].", asked, list)
	}
	return s.render(version, d.Input, d.Output), ""
}

// render fills the description of the contract's three routes in.
func (s Service) render(version string, input, output json.RawMessage) []byte {
	name, number := s.Name, s.Version
	if name == "" {
		name = "ML service"
	}
	if number == "" {
		number = "1.0"
	}
	prefix := strings.Trim(s.Prefix, "/")
	if prefix != "" {
		prefix = "/" + prefix
	}
	text, openapi := swagger3, "3.0.3"
	switch version {
	case "2":
		text = swagger2
	case "3.1":
		openapi = "3.1.0"
	}
	inner := func(s string) string { // of a JSON string
		quoted := encode(s)
		return string(quoted[1 : len(quoted)-1])
	}
	filled := strings.NewReplacer("$OPENAPI", openapi, "$NAME", inner(name), "$VERSION", inner(number), "$PREFIX", inner(prefix),
		`"$INPUT"`, string(input), `"$OUTPUT"`, string(output)).Replace(text)
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(filled)); err != nil {
		panic(err) // the templates are constants, and what they are filled with is JSON
	}
	return b.Bytes()
}

// The documents say what azureml-inference-server-http 1.5.1 says: clients are
// generated from them.
const (
	swagger2 = `{
"swagger": "2.0",
"info": {"title": "$NAME", "description": "API specification for the Azure Machine Learning service $NAME", "version": "$VERSION"},
"schemes": ["https"],
"consumes": ["application/json"],
"produces": ["application/json"],
"securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}},
"paths": {
  "$PREFIX/": {"get": {
    "operationId": "ServiceHealthCheck",
    "description": "Simple health check endpoint to ensure the service is up at any given point.",
    "responses": {
      "200": {"description": "If service is up and running, this response will be returned with the content 'Healthy'",
        "schema": {"type": "string"}, "examples": {"application/json": "Healthy"}},
      "default": {"description": "The service failed to execute due to an error.", "schema": {"$ref": "#/definitions/ErrorResponse"}}}}},
  "$PREFIX/score": {"post": {
    "operationId": "RunMLService",
    "description": "Run web service's model and get the prediction output",
    "security": [{"Bearer": []}],
    "parameters": [{"name": "serviceInputPayload", "in": "body",
      "description": "The input payload for executing the real-time machine learning service.",
      "schema": {"$ref": "#/definitions/ServiceInput"}}],
    "responses": {
      "200": {"description": "The service processed the input correctly and provided a result prediction, if applicable.",
        "schema": {"$ref": "#/definitions/ServiceOutput"}},
      "default": {"description": "The service failed to execute due to an error.", "schema": {"$ref": "#/definitions/ErrorResponse"}}}}},
  "$PREFIX/swagger.json": {"get": {
    "operationId": "GetSwaggerSpec",
    "description": "Get the Swagger specification.",
    "parameters": [{"name": "version", "in": "query", "required": false, "type": "integer", "enum": [2, 3]}],
    "responses": {
      "200": {"description": "The Swagger specification.", "schema": {"type": "string"}},
      "default": {"description": "The service failed to execute due to an error.", "schema": {"$ref": "#/definitions/ErrorResponse"}}}}}},
"definitions": {
  "ServiceInput": "$INPUT",
  "ServiceOutput": "$OUTPUT",
  "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}}}
}`

	swagger3 = `{
"openapi": "$OPENAPI",
"info": {"title": "$NAME", "description": "API specification for the Azure Machine Learning service $NAME", "version": "$VERSION"},
"security": [{"Bearer": []}],
"paths": {
  "$PREFIX/": {"get": {
    "operationId": "ServiceHealthCheck",
    "description": "Simple health check endpoint to ensure the service is up at any given point.",
    "responses": {
      "200": {"description": "If service is up and running, this response will be returned with the content 'Healthy'",
        "content": {"text/plain": {"schema": {"type": "string", "example": "Healthy"}}}},
      "default": {"description": "The service failed to execute due to an error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}}}}},
  "$PREFIX/score": {"post": {
    "operationId": "RunMLService",
    "description": "Run web service's model and get the prediction output",
    "security": [{"Bearer": []}],
    "requestBody": {"description": "The input payload for executing the real-time machine learning service.",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ServiceInput"}}}},
    "responses": {
      "200": {"description": "The service processed the input correctly and provided a result prediction, if applicable.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ServiceOutput"}}}},
      "default": {"description": "The service failed to execute due to an error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}}}}},
  "$PREFIX/swagger.json": {"get": {
    "operationId": "GetSwaggerSpec",
    "description": "Get the Swagger specification.",
    "parameters": [{"name": "version", "in": "query", "required": false, "schema": {"type": "integer", "enum": [2, 3]}}],
    "responses": {
      "200": {"description": "The Swagger specification.", "content": {"text/plain": {"schema": {"type": "string"}}}},
      "default": {"description": "The service failed to execute due to an error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}}}}}},
"components": {
  "schemas": {
    "ServiceInput": "$INPUT",
    "ServiceOutput": "$OUTPUT",
    "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}}},
  "securitySchemes": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}}}
}`
)
