package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/score/azureml"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// Handler puts the dialects side by side, with /healthz/live and
// /healthz/ready. Each request gets an exchange that is read when its answer
// is about to go.
func Handler(f *score.Front, c Config) http.Handler {
	c = c.withDefaults()
	mux := routes(f, c)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.Draining() {
			w.Header()["Connection"] = []string{"close"} // the next request shall go elsewhere
		}
		x := &exchange.Exchange{Began: time.Now()}
		r = r.WithContext(exchange.With(r.Context(), x))
		mux.ServeHTTP(&answering{ResponseWriter: w, x: x}, r)
		if x.Dialect != "" {
			observe(c, r, x)
		}
	})
}

func routes(f *score.Front, c Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", azureml.Handler(f, azureml.Options{BodyLimit: c.BodyLimit, CORSOrigins: c.CORSOrigins, Version: c.Version}))
	mux.HandleFunc("GET /healthz/live", live)
	mux.HandleFunc("GET /healthz/ready", func(w http.ResponseWriter, _ *http.Request) { ready(w, f) })
	return mux
}

// answering notes the status with which an answer goes.
type answering struct {
	http.ResponseWriter
	x *exchange.Exchange
}

func (a *answering) WriteHeader(status int) {
	a.x.Status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// observe logs failures, and every request where that is asked for.
func observe(c Config, r *http.Request, x *exchange.Exchange) {
	if r.Context().Err() != nil { // nobody is there to read an answer, and nothing is wrong here
		c.Log.Debug("client left", "method", r.Method, "path", r.URL.Path, "request_id", x.RequestID)
		return
	}
	if x.Status < 400 && !c.LogRequests {
		return
	}
	log := c.Log.Info
	if x.Status >= 500 {
		log = c.Log.Error
	}
	cause := ""
	if x.Failure != nil {
		cause = x.Failure.Error()
	}
	log("request", "method", r.Method, "path", r.URL.Path, "status", x.Status, "ms", float64(time.Since(x.Began).Microseconds())/1e3,
		"bytes", len(x.Answer), "request_id", x.RequestID, "error", cause)
}

func live(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, []byte(`{"live": true}`))
}

// ready answers 200 only when a worker's init() has returned and the process
// is not about to stop; else 503 with the reason and what the interpreter said.
func ready(w http.ResponseWriter, f *score.Front) {
	workers, err := f.Ready()
	answer := struct {
		Ready   bool     `json:"ready"`
		Workers int      `json:"workers"`
		Reason  string   `json:"reason,omitempty"`
		Detail  []string `json:"detail,omitempty"` // the last lines of the traceback, or of the output
	}{Ready: err == nil, Workers: workers}
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
