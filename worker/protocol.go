package worker

import (
	"encoding/json"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// protocol is the version of what the frames' headers mean.
const protocol = 2

// Hello is what a worker says once its model is loaded, or its script's init()
// has returned.
type Hello struct {
	Protocol int     `json:"protocol"`
	Python   string  `json:"python"` // the interpreter's version
	PID      int     `json:"pid"`
	Seconds  float64 `json:"seconds"` // import and init() together
	Model
}

// The kinds of models.
const (
	KindScript = "script" // init() and run(); takes requests as they came (Request)
	KindModel  = "model"  // takes tensors (tensor.Batch)
)

// A Model is what a worker says of what it runs.
type Model struct {
	Kind      string            `json:"kind"`
	Framework string            `json:"framework"`           // of a model: "sklearn", "xgboost", "onnx"…
	Signature *tensor.Signature `json:"signature,omitempty"` // nil when it is not known
	Linear    *Linear           `json:"linear,omitempty"`    // nil unless that is all that predict() is
	Joins     bool              `json:"joins"`               // requests may be answered together: their rows are independent
	Headers   bool              `json:"headers"`             // run() takes request_headers
	Schema    bool              `json:"schema"`              // run() is decorated with @input_schema
	Raw       bool              `json:"raw"`                 // run() is decorated with @rawhttp
	OpenAPI   json.RawMessage   `json:"openapi,omitempty"`   // of a script: what its input and output look like, see score/azureml
}

// Linear is a model whose predict() is a sum of products for each output: the
// row, after its Scaling, by the output's Weights, plus its Intercept. All numbers
// are finite.
type Linear struct {
	Weights    [][]float64 `json:"weights"` // of each output, a number for each column
	Intercepts []float64   `json:"intercepts"`
	Scaling    []Scaling   `json:"scaling"`
	Labels     *Labels     `json:"labels,omitempty"` // of a classifier; nil: the sums are the answer
}

// Scaling is done to each row before, column by column, in the order of the
// list.
type Scaling struct {
	Op string    `json:"op"` // "add", "subtract", "multiply", "divide"
	By []float64 `json:"by"`
}

// Labels are a classifier's answers, as the block of a tensor. With one sum the
// second is right above zero and the first is else; otherwise that of the
// greatest sum.
type Labels struct {
	Type tensor.Type `json:"type"`
	Data []byte      `json:"data"`
}

// A Request is one call of run(). Headers are only sent to a worker whose
// Hello asks for them (Headers or Raw, Schema).
type Request struct {
	Method      string // GET or POST; any that a raw script is to see
	Query       string // raw; for GET, and for raw scripts
	ContentType string
	Headers     map[string]string // names in Title-Case
	Purpose     string            // why it is made when no client asked it; or empty
	Body        []byte
}

type requestHeader struct {
	Method      string            `json:"method,omitempty"`
	Query       string            `json:"query,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Purpose     string            `json:"purpose,omitempty"`
	Together    int               `json:"together,omitempty"`
}

// A Response is the answer to one Request: what an HTTP client is to get,
// before the contract's own headers.
type Response struct {
	Status       int
	Body         []byte
	Failed       bool        // the script is to blame: it raised, or answered 5xx itself
	TimedOut     bool        // run() was interrupted, because it took too long
	Returned     bool        // run() returned, after Milliseconds
	Milliseconds float64     // how long run() took
	Error        string      // one line for logs and reports; not for the client
	Headers      [][2]string // chosen by run(), when it returned a flask.Response; otherwise the body is JSON
}

type responseHeader struct {
	Status  int         `json:"status"`
	Failed  bool        `json:"failed"`
	Timeout bool        `json:"timeout"`
	MS      *float64    `json:"ms"`
	Error   string      `json:"error"`
	Headers [][2]string `json:"headers"`
}

// A StartError tells why a worker never became ready.
type StartError struct {
	Stage     string // "process": it could not be run, or died without a word; "import", "init" of a script; "load" of a model; "timeout"
	Message   string // one line
	Traceback string // what the interpreter said, when it is import, init or load
	Output    []string
}

// Error is one line.
func (e *StartError) Error() string {
	switch e.Stage {
	case "import":
		return "the scoring script could not be loaded: " + e.Message
	case "load":
		return "the model could not be loaded: " + e.Message
	case "init":
		return "init() of the scoring script failed: " + e.Message
	}
	return e.Message
}

// Detail is what to show below the message: the traceback, or else the last
// lines that the process wrote.
func (e *StartError) Detail() []string {
	if e.Traceback != "" {
		return lines(e.Traceback)
	}
	return e.Output
}

// An Answer is what a worker says to one frame.
type Answer struct {
	ID        uint64    // the frame's
	Response  Response  // to a Request
	Predicted Predicted // to a Predict
}

func decodeAnswer(f Frame) (Answer, error) {
	a := Answer{ID: f.ID}
	var err error
	switch f.Type {
	case FrameResponse:
		a.Response, err = decodeResponse(f)
	case FramePredicted:
		a.Predicted, err = decodePredicted(f)
	default:
		err = ridgeline.Errorf(ridgeline.Internal, "the worker sent a frame of type %d instead of an answer", f.Type)
	}
	return a, err
}

func decodeResponse(f Frame) (Response, error) {
	var h responseHeader
	if err := json.Unmarshal(f.Header, &h); err != nil {
		return Response{}, ridgeline.Errorf(ridgeline.Internal, "response header of the worker: %w", err)
	}
	if h.Status < 100 || h.Status > 999 {
		return Response{}, ridgeline.Errorf(ridgeline.Internal, "the worker answered with HTTP status %d", h.Status)
	}
	r := Response{Status: h.Status, Body: f.Body, Failed: h.Failed, TimedOut: h.Timeout, Error: h.Error, Headers: h.Headers}
	if h.MS != nil {
		r.Returned, r.Milliseconds = true, *h.MS
	}
	return r, nil
}
