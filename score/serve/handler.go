package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/unread"
	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/score/azureml"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/oip"
	"github.com/ridgeline-mlops/ridgeline/score/pyfunc"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// An Observer is shown each request of a dialect when its answer is about to
// go: nothing of it has been sent yet, so what an observer keeps is kept before
// the client can know. It runs in the request's goroutine and must cost a few
// microseconds at most; neither the exchange nor what its slices point at may
// be kept after it returns. Called from many goroutines at once.
type Observer interface {
	Observe(x *exchange.Exchange, r *http.Request)
}

// Handler puts the dialects side by side, with /healthz/live, /healthz/ready
// and /metrics. Each request gets an exchange, which c.Observers see when its
// answer is about to go.
func Handler(f *score.Front, c Config) http.Handler {
	c = c.withDefaults()
	figures := newMetrics(f, c.Journal.state)
	mux := routes(f, c)
	observers := append(slices.Clone(c.Observers), figures, &failureLog{c.Log})
	if c.LogRequests {
		observers = append(observers, &azureml.AccessLog{To: c.Access})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			figures.handler.ServeHTTP(w, r)
			return
		}
		if f.Draining() {
			w.Header()["Connection"] = []string{"close"} // the next request shall go elsewhere
		}
		x := &exchange.Exchange{Began: time.Now()}
		x.TraceID, x.SpanID = traceparent(r.Header)
		if purpose := r.Header[ridgeline.PurposeHeader]; purpose != nil {
			x.Purpose = purpose[0]
		}
		span := c.begin(r, x)
		r = r.WithContext(exchange.With(r.Context(), x))
		a := &answering{ResponseWriter: w, x: x, r: r, observers: observers}
		mux.ServeHTTP(a, r)
		a.observe(http.StatusOK) // what net/http sends for a handler that wrote nothing
		if x.Failure != nil && x.Failure.Reason == exchange.TooLarge {
			unread.Drop(w, r)
		}
		if x.Dialect != "" {
			end(span, x, r)
		}
	})
}

func routes(f *score.Front, c Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", azureml.Handler(f, azureml.Options{BodyLimit: c.BodyLimit, CORSOrigins: c.CORSOrigins, Version: c.Version, Service: c.Service}))
	mlflow := pyfunc.Handler(f, pyfunc.Options{BodyLimit: c.BodyLimit, Version: c.Version})
	for _, path := range []string{"/ping", "/health", "/version", "/invocations"} {
		mux.Handle(path, mlflow)
	}
	inference := oip.Handler(f, oip.Options{BodyLimit: c.BodyLimit, Name: c.ModelName, Version: c.ModelVersion, Server: c.Version})
	for _, path := range []string{"/v2", "/v2/", "/inference.GRPCInferenceService/"} {
		mux.Handle(path, inference)
	}
	mux.HandleFunc("GET /healthz/live", live)
	mux.HandleFunc("GET /healthz/ready", func(w http.ResponseWriter, _ *http.Request) { ready(w, f, c.Journal.state()) })
	return mux
}

// traceparent reads W3C Trace Context's header (version 00, and what later
// versions begin with): the trace and the caller's span, in lower-case
// hexadecimal, or two empty strings.
func traceparent(h http.Header) (trace, span string) {
	const shape = "00-00000000000000000000000000000000-0000000000000000-00"
	v := h["Traceparent"]
	if len(v) != 1 || len(v[0]) < len(shape) || v[0][:2] == "ff" || len(v[0]) > len(shape) && (v[0][:2] == "00" || v[0][len(shape)] != '-') {
		return "", ""
	}
	for i, c := range []byte(v[0][:len(shape)]) {
		if dash := shape[i] == '-'; dash != (c == '-') || !dash && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return "", ""
		}
	}
	trace, span = v[0][3:35], v[0][36:52]
	if trace == shape[3:35] || span == shape[36:52] { // all zeros: invalid
		return "", ""
	}
	return trace, span
}

// answering shows the exchange to the observers before the first byte of its
// answer goes.
type answering struct {
	http.ResponseWriter
	x         *exchange.Exchange
	r         *http.Request
	observers []Observer
	observed  bool
}

func (a *answering) WriteHeader(status int) {
	a.observe(status)
	a.ResponseWriter.WriteHeader(status)
}

func (a *answering) Write(p []byte) (int, error) {
	a.observe(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

// Flush is what gRPC asks of a ResponseWriter.
func (a *answering) Flush() {
	a.observe(http.StatusOK)
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// observe shows the exchange once. A dialect whose status is not HTTP's has set
// it before it writes.
func (a *answering) observe(status int) {
	if a.observed || status < 200 { // 100 Continue is no answer
		return
	}
	a.observed = true
	if a.x.Status == 0 {
		a.x.Status = status
	}
	if a.x.Dialect == "" {
		return
	}
	for _, o := range a.observers {
		o.Observe(a.x, a.r)
	}
}

// failureLog is an Observer that logs requests that failed, and why.
type failureLog struct{ log *slog.Logger }

func (l *failureLog) Observe(x *exchange.Exchange, r *http.Request) {
	if r.Context().Err() != nil { // nobody is there to read an answer, and nothing is wrong here
		l.log.Debug("client left", "method", r.Method, "path", r.URL.Path, "request_id", x.RequestID)
		return
	}
	if x.Status < 400 {
		return
	}
	log := l.log.Info
	if x.Status >= 500 {
		log = l.log.Error
	}
	cause := ""
	if x.Failure != nil {
		cause = x.Failure.Error()
	}
	log("request", "method", r.Method, "path", r.URL.Path, "status", x.Status, "ms", float64(time.Since(x.Began).Microseconds())/1e3,
		"bytes", len(x.Answer), "request_id", x.RequestID, "trace_id", x.TraceID, "error", cause)
}

func live(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, []byte(`{"live": true}`))
}

// ready answers 200 only when a worker's init() has returned and the process
// is not about to stop; else 503 with the reason and what the interpreter said.
func ready(w http.ResponseWriter, f *score.Front, log *logState) {
	workers, err := f.Ready()
	answer := struct {
		Ready   bool      `json:"ready"`
		Workers int       `json:"workers"`
		Reason  string    `json:"reason,omitempty"`
		Detail  []string  `json:"detail,omitempty"` // the last lines of the traceback, or of the output
		Log     *logState `json:"log,omitempty"`
	}{Ready: err == nil, Workers: workers, Log: log}
	status := http.StatusOK
	if err != nil {
		status = http.StatusServiceUnavailable
		answer.Reason = err.Error()
		var start *worker.StartError
		if errors.As(err, &start) {
			answer.Detail = start.Detail()
			answer.Detail = answer.Detail[max(0, len(answer.Detail)-20):]
		}
	}
	w.Header()["Cache-Control"] = []string{"no-store"}
	write(w, status, encode(answer))
}

func write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left needs no answer
}

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // only strings, numbers and booleans are encoded here
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
