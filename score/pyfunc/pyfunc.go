// Package pyfunc is the HTTP contract of MLflow's scoring server (mlflow
// 3.17): /ping, /health, /version and /invocations, their content types, JSON
// forms, statuses and errors.
//
// What the forms mean for a signature is package tensor's part, running the
// model that of whoever implements Model. Where it differs from MLflow on
// purpose stands in docs/contracts.md.
package pyfunc

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/parquet"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// A Model answers batches.
type Model interface {
	// Model is what is served; false until a worker has said so.
	Model() (worker.Model, bool)
	// Ready is an error that says why nothing is answered now.
	Ready() (workers int, err error)
	// Predict's error is an *exchange.Failure.
	Predict(ctx context.Context, input tensor.Batch) (tensor.Batch, error)
}

// Options are what the contract leaves to whoever runs it.
type Options struct {
	BodyLimit int64  // bytes of a request's body
	Version   string // what /version answers
}

type handler struct {
	model   Model
	o       Options
	readers tensor.Readers
	parquet parquet.Reader
}

const jsonType = "application/json"

// Handler answers /ping, /health, /version and /invocations, and nothing else.
// A method that a route does not know gets what FastAPI, under MLflow's server,
// answers.
func Handler(m Model, o Options) http.Handler {
	h := &handler{model: m, o: o, parquet: parquet.NewReader()}
	mux := http.NewServeMux()
	mux.HandleFunc("/ping", only("GET", h.ping))
	mux.HandleFunc("/health", only("GET", h.ping))
	mux.HandleFunc("/version", only("GET", h.version))
	mux.HandleFunc("/invocations", only("POST", h.invocations))
	return mux
}

func only(method string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header()["Allow"] = []string{method}
			exchange.Answer(w, http.StatusMethodNotAllowed, jsonType, []byte(`{"detail":"Method Not Allowed"}`))
			return
		}
		next(w, r)
	}
}

func (h *handler) ping(w http.ResponseWriter, _ *http.Request) {
	if _, err := h.model.Ready(); err != nil {
		f := &exchange.Failure{Reason: exchange.Stopped, Message: err.Error()}
		exchange.Answer(w, http.StatusServiceUnavailable, jsonType, spell(f))
		return
	}
	exchange.Answer(w, http.StatusOK, jsonType, []byte("\n"))
}

func (h *handler) version(w http.ResponseWriter, _ *http.Request) {
	exchange.Answer(w, http.StatusOK, jsonType, []byte(h.o.Version))
}

func (h *handler) invocations(w http.ResponseWriter, r *http.Request) {
	x := exchange.From(r.Context())
	x.Dialect = "pyfunc"
	x.Identify(r.Header, w.Header())
	answer, err := h.invoke(w, r, x)
	if err == nil {
		x.Answer = answer
		exchange.Answer(w, http.StatusOK, jsonType, answer)
		return
	}
	f := exchange.FailureOf(err)
	x.Failure = f
	f.RetryHeader(w.Header())
	status, contentType := spellings[f.Reason].status, jsonType
	if status == http.StatusUnsupportedMediaType {
		contentType = "text/plain; charset=utf-8"
	}
	exchange.Answer(w, status, contentType, spell(f))
}

func (h *handler) invoke(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) ([]byte, error) {
	model, known := h.model.Model()
	switch {
	case !known:
		_, err := h.model.Ready()
		return nil, &exchange.Failure{Reason: exchange.Stopped, Message: fmt.Sprintf("The model is not ready: %v", err), RetryAfter: 1e9}
	case model.Kind != worker.KindModel:
		return nil, errScript
	}
	read, err := h.reader(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	body, err := exchange.ReadBody(w, r, h.o.BodyLimit)
	if err != nil {
		return nil, err
	}
	if x.Input, err = read(r.Context(), h.readers.For(model.Signature), body); err != nil {
		return nil, err
	}
	if x.Output, err = h.model.Predict(r.Context(), x.Input); err != nil {
		return nil, err
	}
	answer := append(make([]byte, 0, 32+24*x.Output.Rows), `{"predictions": `...)
	if answer, err = tensor.AppendJSON(answer, x.Output); err != nil {
		return nil, &exchange.Failure{Reason: exchange.Unusable, Message: err.Error()}
	}
	return append(answer, '}'), nil
}

// errScript: what an opaque script takes is its own affair.
var errScript = &exchange.Failure{Reason: exchange.Unserved,
	Message: "This model is a scoring script, run(raw_data), and no MLflow model: it is asked at /score, with a body as the script wants it."}

type reading func(context.Context, *tensor.Reader, []byte) (tensor.Batch, error)

func readJSON(_ context.Context, r *tensor.Reader, body []byte) (tensor.Batch, error) {
	return r.JSON(body, tensor.Split, tensor.Records, tensor.Instances, tensor.Inputs)
}

func readCSV(_ context.Context, r *tensor.Reader, body []byte) (tensor.Batch, error) {
	return r.CSV(body)
}

func (h *handler) readParquet(ctx context.Context, r *tensor.Reader, body []byte) (tensor.Batch, error) {
	columns, err := h.parquet.Read(ctx, body)
	if err != nil {
		return tensor.Batch{}, err
	}
	return r.Columns(columns)
}

// reader chooses by the content type; the messages are MLflow's.
func (h *handler) reader(contentType string) (reading, error) {
	if contentType == jsonType {
		return readJSON, nil
	}
	refuse := func(format string, args ...any) (reading, error) {
		return nil, &exchange.Failure{Reason: exchange.Unsupported, Message: fmt.Sprintf(format, args...)}
	}
	mime, rest, _ := strings.Cut(contentType, ";")
	var unknown []string
	for parameter := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		switch {
		case name == "charset" && !strings.EqualFold(value, "utf-8"):
			return refuse("The scoring server only supports UTF-8")
		case name != "charset" && name != "":
			unknown = append(unknown, name)
		}
	}
	if unknown != nil {
		return refuse("Unrecognized content type parameters: %s.", strings.Join(unknown, ", "))
	}
	switch strings.ToLower(strings.TrimSpace(mime)) {
	case jsonType:
		return readJSON, nil
	case "text/csv":
		return readCSV, nil
	case "application/vnd.apache.parquet":
		return h.readParquet, nil
	}
	return refuse("This predictor only supports the following content types: Types: ['text/csv', 'application/json', 'application/vnd.apache.parquet']. Got '%s'.", contentType)
}
