package pyfunc

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

// A spelling is one failure in MLflow's words: the names are those of its
// databricks.proto and error_classification.py.
type spelling struct {
	status                int
	code, sqlstate, class string
}

// spellings is this contract's table from a failure to its answer. A raised
// exception is a 400, as in MLflow, whose server cannot tell whose fault it was.
var spellings = [...]spelling{
	exchange.Invalid:     {http.StatusBadRequest, "BAD_REQUEST", "KAM00", "INVALID_PARAMETER_VALUE"},
	exchange.TooLarge:    {http.StatusRequestEntityTooLarge, "BAD_REQUEST", "KAM00", "INVALID_PARAMETER_VALUE"},
	exchange.Stalled:     {http.StatusRequestTimeout, "BAD_REQUEST", "KAM00", "INVALID_PARAMETER_VALUE"},
	exchange.Cut:         {http.StatusBadRequest, "BAD_REQUEST", "KAM00", "INVALID_PARAMETER_VALUE"},
	exchange.Unsupported: {http.StatusUnsupportedMediaType, "", "", ""},
	exchange.Unserved:    {http.StatusNotFound, "ENDPOINT_NOT_FOUND", "KAM00", "RESOURCE_NOT_FOUND"},
	exchange.Shed:        {http.StatusTooManyRequests, "REQUEST_LIMIT_EXCEEDED", "", ""},
	exchange.Stopped:     {http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE", "XXM00", "CLIENT_INTERNAL_ERROR"},
	exchange.Timeout:     {http.StatusGatewayTimeout, "", "", ""},
	exchange.Raised:      {http.StatusBadRequest, "BAD_REQUEST", "KAM00", "INVALID_PARAMETER_VALUE"},
	exchange.Died:        {http.StatusInternalServerError, "INTERNAL_ERROR", "XXM00", "CLIENT_INTERNAL_ERROR"},
	exchange.Unusable:    {http.StatusInternalServerError, "INTERNAL_ERROR", "XXM00", "CLIENT_INTERNAL_ERROR"},
	exchange.Broken:      {http.StatusInternalServerError, "INTERNAL_ERROR", "XXM00", "CLIENT_INTERNAL_ERROR"},
}

// spell is the body of an answer that is none: plain text for a content type
// and for a timeout, else JSON. There is never a stack trace in it, which MLflow
// sends to whoever asks.
func spell(f *exchange.Failure) []byte {
	s, message := spellings[f.Reason], f.Message
	switch f.Reason {
	case exchange.Unsupported:
		return []byte(message)
	case exchange.Timeout:
		return []byte("Request processing time exceeded limit")
	case exchange.Raised:
		message = "Encountered an unexpected error while evaluating the model. Verify that the serialized input Dataframe is compatible with the model for inference."
	case exchange.Invalid:
		if f.Schema {
			s.code, s.sqlstate, s.class = "INVALID_PARAMETER_VALUE", "KAM01", "SCHEMA_ENFORCEMENT_FAILED"
			message = "Failed to enforce schema. Error: " + message
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(struct { // only strings: it cannot fail
		Code    string `json:"error_code"`
		Message string `json:"message"`
		State   string `json:"sqlstate,omitempty"`
		Class   string `json:"error_class,omitempty"`
	}{s.code, message, s.sqlstate, s.class})
	return bytes.TrimRight(b.Bytes(), "\n")
}
