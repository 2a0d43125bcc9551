// Package oip is the Open Inference Protocol, version 2, over REST and over
// gRPC (GRPCInferenceService), side by side on one port.
//
// What tensors mean for a signature is package tensor's part, running the model
// that of whoever implements Model. The protocol's text is kept at
// github.com/kserve/open-inference-protocol; where it is silent the answers are
// those of MLServer 1.7, and docs/contracts.md says where they are not.
package oip

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
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

// Options are what the protocol leaves to whoever runs it.
type Options struct {
	BodyLimit int64  // bytes of a request's body
	Name      string // of the one model; "model"
	Version   string // of the model; "" when it has none
	Server    string // version of the server; "" is left out
}

type handler struct {
	model   Model
	o       Options
	readers tensor.Readers
}

const (
	jsonType = "application/json"

	// output is what a nameless output is called, as by MLServer's
	// scikit-learn runtime.
	output = "predict"
)

// statuses is this contract's table from a failure to its status over HTTP.
// Over gRPC it is codes'.
var statuses = [...]int{
	exchange.Invalid:     http.StatusBadRequest,
	exchange.TooLarge:    http.StatusRequestEntityTooLarge,
	exchange.Stalled:     http.StatusRequestTimeout,
	exchange.Cut:         http.StatusBadRequest,
	exchange.Unsupported: http.StatusUnsupportedMediaType,
	exchange.Unserved:    http.StatusNotFound,
	exchange.Shed:        http.StatusTooManyRequests,
	exchange.Stopped:     http.StatusServiceUnavailable,
	exchange.Timeout:     http.StatusGatewayTimeout,
	exchange.Raised:      http.StatusInternalServerError,
	exchange.Died:        http.StatusInternalServerError,
	exchange.Unusable:    http.StatusInternalServerError,
	exchange.Broken:      http.StatusInternalServerError,
}

// Handler answers /v2, what is below it, and /inference.GRPCInferenceService/.
func Handler(m Model, o Options) http.Handler {
	if o.Name == "" {
		o.Name = "model"
	}
	h := &handler{model: m, o: o}
	mux := http.NewServeMux()
	route := func(pattern string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := answer(r)
			if err != nil {
				refuse(w, exchange.FailureOf(err))
				return
			}
			status := http.StatusOK
			if s, ok := v.(state); ok && !s.ok() {
				status = http.StatusServiceUnavailable
			}
			body, _ := json.Marshal(v) // plain structs
			exchange.Answer(w, status, jsonType, body)
		})
	}
	route("/v2/{$}", func(*http.Request) (any, error) { return h.server(), nil })
	route("/v2", func(*http.Request) (any, error) { return h.server(), nil })
	route("/v2/health/live", func(*http.Request) (any, error) { return live{true}, nil })
	route("/v2/health/ready", func(*http.Request) (any, error) { return ready{Ready: h.ready()}, nil })
	for _, path := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		route(path, h.metadata)
		route(path+"/ready", func(r *http.Request) (any, error) {
			if err := h.named(r.PathValue("model"), r.PathValue("version")); err != nil {
				return nil, err
			}
			return ready{Name: h.o.Name, Ready: h.ready()}, nil
		})
		mux.HandleFunc(path+"/infer", h.infer)
	}
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &exchange.Failure{Reason: exchange.Unserved, Message: fmt.Sprintf("There is no %s %s.", r.Method, r.URL.Path)})
	})
	h.grpc(mux)
	return mux
}

// A state is an answer whose status tells it, too.
type state interface{ ok() bool }

type live struct {
	Live bool `json:"live"`
}

type ready struct {
	Name  string `json:"name,omitempty"`
	Ready bool   `json:"ready"`
}

func (l live) ok() bool  { return l.Live }
func (r ready) ok() bool { return r.Ready }

func (h *handler) ready() bool {
	_, err := h.model.Ready()
	return err == nil
}

type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version,omitempty"`
	Extensions []string `json:"extensions"`
}

func (h *handler) server() serverMetadata {
	return serverMetadata{Name: "ridgeline", Version: h.o.Server, Extensions: []string{}}
}

// named checks that a request means the one model there is.
func (h *handler) named(name, version string) error {
	switch {
	case name != h.o.Name:
		return &exchange.Failure{Reason: exchange.Unserved, Message: fmt.Sprintf("Model '%s' is not served here; '%s' is.", name, h.o.Name)}
	case version != "" && version != h.o.Version:
		return &exchange.Failure{Reason: exchange.Unserved, Message: fmt.Sprintf("Version '%s' of model '%s' is not served here; '%s' is.", version, name, h.o.Version)}
	}
	return nil
}

// served is the model, when it is one that takes tensors.
func (h *handler) served() (worker.Model, error) {
	m, known := h.model.Model()
	switch {
	case !known:
		_, err := h.model.Ready()
		return m, &exchange.Failure{Reason: exchange.Stopped, Message: fmt.Sprintf("The model is not ready: %v", err), RetryAfter: time.Second}
	case m.Kind != worker.KindModel:
		return m, &exchange.Failure{Reason: exchange.Unserved,
			Message: "This model is a scoring script, run(raw_data), which takes no tensors: it is asked at /score, with a body as the script wants it."}
	}
	return m, nil
}

type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions,omitempty"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
}

type tensorMetadata struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

func (h *handler) metadata(r *http.Request) (any, error) {
	return h.describe(r.PathValue("model"), r.PathValue("version"))
}

func (h *handler) describe(name, version string) (modelMetadata, error) {
	if err := h.named(name, version); err != nil {
		return modelMetadata{}, err
	}
	m, err := h.served()
	if err != nil {
		return modelMetadata{}, err
	}
	described := modelMetadata{Name: h.o.Name, Platform: m.Framework, Inputs: []tensorMetadata{}, Outputs: []tensorMetadata{}}
	if h.o.Version != "" {
		described.Versions = []string{h.o.Version}
	}
	if s := m.Signature; s != nil {
		described.Inputs, described.Outputs = fields(s.Inputs, "input"), fields(s.Outputs, output)
	}
	return described, nil
}

func fields(in []tensor.Field, otherwise string) []tensorMetadata {
	out := make([]tensorMetadata, len(in))
	for i, f := range in {
		out[i] = tensorMetadata{Name: f.Name, Datatype: f.Type.Datatype(), Shape: append([]int{-1}, f.Shape...)}
		if f.Name == "" {
			out[i].Name = otherwise
			if len(in) > 1 {
				out[i].Name = fmt.Sprintf("%s-%d", otherwise, i)
			}
		}
	}
	return out
}

func (h *handler) infer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header()["Allow"] = []string{http.MethodPost}
		exchange.Answer(w, http.StatusMethodNotAllowed, jsonType, []byte(`{"error":"The method is not allowed here: send a POST."}`))
		return
	}
	x := exchange.From(r.Context())
	x.Dialect = "oip"
	x.Identify(r.Header, w.Header())
	answer, err := h.rest(w, r, x)
	if err != nil {
		x.Failure = exchange.FailureOf(err)
		refuse(w, x.Failure)
		return
	}
	x.Answer = answer
	exchange.Answer(w, http.StatusOK, jsonType, answer)
}

func (h *handler) rest(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) ([]byte, error) {
	if err := h.named(r.PathValue("model"), r.PathValue("version")); err != nil {
		return nil, err
	}
	m, err := h.served()
	if err != nil {
		return nil, err
	}
	body, err := exchange.ReadBody(w, r, h.o.BodyLimit)
	if err != nil {
		return nil, err
	}
	in, err := h.readers.For(m.Signature).Inference(body)
	if err != nil {
		return nil, err
	}
	x.Input = in.Batch
	outputs, err := h.predict(r.Context(), x, m, in.Outputs)
	if err != nil {
		return nil, err
	}
	answer := append(make([]byte, 0, 200+24*x.Output.Rows), `{"model_name":`...)
	answer = appendJSON(answer, h.o.Name)
	if h.o.Version != "" {
		answer = appendJSON(append(answer, `,"model_version":`...), h.o.Version)
	}
	if in.ID != "" {
		answer = appendJSON(append(answer, `,"id":`...), in.ID)
	}
	answer = append(answer, `,"outputs":[`...)
	for i := range outputs {
		if i > 0 {
			answer = append(answer, ',')
		}
		if answer, err = outputs[i].AppendOutput(answer, outputs[i].Name); err != nil {
			return nil, &exchange.Failure{Reason: exchange.Unusable, Message: err.Error()}
		}
	}
	return append(answer, "]}"...), nil
}

// predict answers x.Input and returns the wanted outputs, all when none is
// named.
func (h *handler) predict(ctx context.Context, x *exchange.Exchange, m worker.Model, wanted []string) ([]tensor.Tensor, error) {
	var err error
	if x.Output, err = h.model.Predict(ctx, x.Input); err != nil {
		return nil, err
	}
	otherwise := output
	if m.Signature != nil && len(m.Signature.Outputs) == 1 && m.Signature.Outputs[0].Name != "" {
		otherwise = m.Signature.Outputs[0].Name
	}
	outputs := x.Output.Outputs(otherwise)
	if wanted == nil {
		return outputs, nil
	}
	chosen := make([]tensor.Tensor, 0, len(wanted))
	for _, name := range wanted {
		i := slices.IndexFunc(outputs, func(t tensor.Tensor) bool { return t.Name == name })
		if i < 0 {
			return nil, &exchange.Failure{Reason: exchange.Invalid, Message: fmt.Sprintf("The model has no output '%s'.", name), Field: name}
		}
		chosen = append(chosen, outputs[i])
	}
	return chosen, nil
}

func refuse(w http.ResponseWriter, f *exchange.Failure) {
	f.RetryHeader(w.Header())
	body := append(appendJSON([]byte(`{"error":`), f.Message), '}')
	exchange.Answer(w, statuses[f.Reason], jsonType, body)
}

func appendJSON(dst []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // a string has no error
	return append(dst, quoted...)
}
