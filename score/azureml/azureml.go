// Package azureml is the HTTP contract of Azure ML's inference server
// (azureml-inference-server-http 1.5.1): routes, statuses, messages, headers.
// What run() is given and what it gave is spelled by the Python worker.
package azureml

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

const (
	notFound   = "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
	notAllowed = "The method is not allowed for the requested URL."

	answerTime = 5 * time.Minute // for a client to take its answer
)

// statusOf is this contract's table from a failure to its HTTP status, and
// whether the script is to blame. A full queue is 503 with Retry-After, not 429:
// that is how Azure spells it.
func statusOf(r exchange.Reason) (status int, failed bool) {
	switch r {
	case exchange.Invalid, exchange.Cut:
		return http.StatusBadRequest, false
	case exchange.TooLarge:
		return http.StatusRequestEntityTooLarge, false
	case exchange.Stalled:
		return http.StatusRequestTimeout, false
	case exchange.Unsupported:
		return http.StatusUnsupportedMediaType, false
	case exchange.Shed, exchange.Stopped:
		return http.StatusServiceUnavailable, false
	case exchange.Timeout, exchange.Raised, exchange.Died:
		return http.StatusInternalServerError, true
	default:
		return http.StatusInternalServerError, false
	}
}

// A Script answers requests as they came.
type Script interface {
	// Call's error is an *exchange.Failure.
	Call(ctx context.Context, r worker.Request) (worker.Response, error)
}

// Options are what the contract leaves to whoever runs it.
type Options struct {
	BodyLimit   int64    // bytes of a request's body
	CORSOrigins []string // origins whose pages may read answers; "*" for all
	Version     string   // value of x-ms-server-version; the header is left out when empty
}

type handler struct {
	script Script
	o      Options
}

// Handler answers the routes of the contract: / and /score; anything else is a
// 404 in JSON.
//
// x-ms-server-version is our own name, not the reference's: a client that
// looks at it is told the truth. CORS is the standard's: an answer names an
// allowed origin only when the request came from it.
func Handler(s Script, o Options) http.Handler {
	h := &handler{s, o}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", only(h.index, "GET", "HEAD"))
	mux.HandleFunc("/score", only(h.score, "GET", "HEAD", "POST", "OPTIONS"))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, notFound) })
	return mux
}

func only(next http.HandlerFunc, methods ...string) http.HandlerFunc {
	allow := strings.Join(methods, ", ")
	return func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", allow)
			refuse(w, http.StatusMethodNotAllowed, notAllowed)
			return
		}
		next(w, r)
	}
}

func (h *handler) index(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = []string{"text/html; charset=utf-8"}
	write(w, http.StatusOK, []byte("Healthy"))
}

func (h *handler) score(w http.ResponseWriter, r *http.Request) {
	x := exchange.From(r.Context())
	x.Dialect = "azureml"
	h.cors(w, r)
	ids, err := identify(r.Header)
	ids.set(w.Header())
	x.RequestID, x.ClientID = ids.request, ids.client
	if h.o.Version != "" {
		w.Header()["X-Ms-Server-Version"] = []string{h.o.Version}
	}
	if trace := r.Header["Traceid"]; trace != nil {
		w.Header()["Traceid"] = trace[:1]
	}
	switch {
	case err != nil:
		x.Failure = &exchange.Failure{Reason: exchange.Invalid, Message: err.Error()}
		refuse(w, http.StatusRequestHeaderFieldsTooLarge, err.Error())
		return
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusOK)
		return
	case r.Method == http.MethodHead:
		refuse(w, http.StatusMethodNotAllowed, "Method not allowed")
		return
	}
	request := worker.Request{Method: r.Method, Query: r.URL.RawQuery, ContentType: r.Header.Get("Content-Type"), Headers: titled(r)}
	if r.Method == http.MethodPost {
		request.Body, err = exchange.ReadBody(w, r, h.o.BodyLimit)
	}
	var response worker.Response
	if err == nil {
		x.Body = request.Body
		response, err = h.script.Call(r.Context(), request)
	}
	if err != nil {
		fail(w, x, err)
		return
	}
	if response.Error != "" {
		reason := exchange.Unusable
		switch {
		case response.Failed:
			reason = exchange.Raised
		case response.Status < 500:
			reason = exchange.Invalid
		}
		x.Failure = &exchange.Failure{Reason: reason, Message: response.Error}
	}
	answer(w, x, response)
}

// fail spells why there is no answer.
func fail(w http.ResponseWriter, x *exchange.Exchange, err error) {
	var f *exchange.Failure
	if !errors.As(err, &f) {
		f = &exchange.Failure{Reason: exchange.Broken, Message: "An unexpected internal error occurred. Check the logs for more info.", Cause: err.Error()}
	}
	x.Failure = f
	if f.RetryAfter > 0 {
		w.Header()["Retry-After"] = []string{strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds())))}
	}
	status, failed := statusOf(f.Reason)
	answer(w, x, worker.Response{Status: status, Failed: failed, Body: messageBody(f.Message)})
}

// titled is the headers as run() gets them: names in Title-Case, repeated ones
// joined by a comma, as in any WSGI server.
func titled(r *http.Request) map[string]string {
	h := make(map[string]string, len(r.Header)+1)
	for name, values := range r.Header {
		h[name] = strings.Join(values, ",")
	}
	h["Host"] = r.Host
	return h
}

var (
	jsonType   = []string{"application/json"}
	pythonTrue = []string{"True"}
	pythonNot  = []string{"False"}
)

func answer(w http.ResponseWriter, x *exchange.Exchange, o worker.Response) {
	h := w.Header()
	h["Content-Type"] = jsonType
	for i, pair := range o.Headers {
		name := http.CanonicalHeaderKey(pair[0])
		switch name {
		case "Content-Length", "Connection", "Transfer-Encoding", "X-Ms-Run-Function-Failed":
			continue // ours to say
		}
		if slices.ContainsFunc(o.Headers[:i], func(p [2]string) bool { return strings.EqualFold(p[0], name) }) {
			h.Add(name, pair[1])
		} else {
			h.Set(name, pair[1])
		}
	}
	h["X-Ms-Run-Function-Failed"] = pythonNot
	if o.Failed {
		h["X-Ms-Run-Function-Failed"] = pythonTrue
	}
	if o.Returned {
		h["X-Ms-Run-Fn-Exec-Ms"] = []string{strconv.FormatFloat(o.Milliseconds, 'f', 3, 64)}
	}
	x.Answer = o.Body
	write(w, o.Status, o.Body)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header()["Content-Type"] = jsonType
	w.Header()["X-Ms-Run-Function-Failed"] = pythonNot
	write(w, status, messageBody(message))
}

func write(w http.ResponseWriter, status int, body []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left needs no answer
}

func messageBody(message string) []byte {
	return encode(struct {
		Message string `json:"message"`
	}{message})
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
