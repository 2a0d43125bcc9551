// Package azureml is the HTTP contract of Azure ML's inference server
// (azureml-inference-server-http 1.5.1): routes, statuses, messages, headers.
// What run() is given and what it gave is spelled by the Python worker.
package azureml

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
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
	case exchange.Unserved:
		return http.StatusNotFound, false
	case exchange.Shed, exchange.Stopped:
		return http.StatusServiceUnavailable, false
	case exchange.Timeout, exchange.Raised, exchange.Died:
		return http.StatusInternalServerError, true
	default:
		return http.StatusInternalServerError, false
	}
}

// A Model is what answers: a scoring script or a model without one.
type Model interface {
	// Model says what it is; false before it is known.
	Model() (worker.Model, bool)
	// Ready's error says why nothing is answered now.
	Ready() (workers int, err error)
	// Call asks a script. Its error is an *exchange.Failure.
	Call(ctx context.Context, r worker.Request) (worker.Response, error)
	// Predict asks a model without a script. Its error is an *exchange.Failure.
	Predict(ctx context.Context, input tensor.Batch) (tensor.Batch, error)
}

// Options are what the contract leaves to whoever runs it.
type Options struct {
	BodyLimit   int64    // bytes of a request's body
	CORSOrigins []string // origins whose pages may read answers; "*" for all
	Version     string   // value of x-ms-server-version; the header is left out when empty
	Service     Service
}

const dialect = "azureml"

type handler struct {
	model   Model
	o       Options
	readers tensor.Readers
}

// Handler answers the routes of the contract: /, /score and /swagger.json;
// anything else is a 404 in JSON.
//
// x-ms-server-version is our own name, not the reference's: a client that
// looks at it is told the truth. CORS is the standard's: an answer names an
// allowed origin only when the request came from it.
func Handler(m Model, o Options) http.Handler {
	h := &handler{model: m, o: o}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", only(h.greeted(h.index), "GET", "HEAD", "OPTIONS"))
	mux.HandleFunc("/score", only(h.greeted(h.score), "GET", "HEAD", "POST", "OPTIONS"))
	mux.HandleFunc("/swagger.json", only(h.greeted(h.swagger), "GET", "HEAD", "OPTIONS"))
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

// greeted answers the ids of a request, and one whose ids are too long, before
// next sees it.
func (h *handler) greeted(next func(http.ResponseWriter, *http.Request, *exchange.Exchange)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		if r.URL.Path != "/" { // a probe of its health is nothing to remember
			x.Dialect = dialect
		}
		h.cors(w, r)
		ids, err := identify(r.Header)
		ids.set(w.Header())
		x.RequestID, x.ClientID = ids.request, ids.client
		if h.o.Version != "" {
			w.Header()[serverVersion] = []string{h.o.Version}
		}
		if trace := r.Header[traceID]; trace != nil {
			w.Header()[traceID] = []string{strings.Join(trace, ",")}
		}
		if err != nil {
			x.Failure = &exchange.Failure{Reason: exchange.Invalid, Message: err.Error()}
			refuse(w, http.StatusRequestHeaderFieldsTooLarge, err.Error())
			return
		}
		next(w, r, x)
	}
}

// The contract's own headers, in net/http's spelling.
const (
	functionFailed = "X-Ms-Run-Function-Failed"
	functionTime   = "X-Ms-Run-Fn-Exec-Ms"
	serverVersion  = "X-Ms-Server-Version"
	traceID        = "Traceid"
	requestID      = "X-Request-Id"
	legacyID       = "X-Ms-Request-Id"
	clientID       = "X-Ms-Client-Request-Id"
)

func (h *handler) index(w http.ResponseWriter, r *http.Request, _ *exchange.Exchange) {
	w.Header()["Content-Type"] = htmlType
	if r.Method == http.MethodOptions {
		options(w)
		return
	}
	write(w, http.StatusOK, []byte("Healthy"))
}

// options answers OPTIONS of a route that can only be read.
func options(w http.ResponseWriter) {
	w.Header()["Content-Type"] = htmlType
	w.Header()["Allow"] = []string{"GET, HEAD, OPTIONS"}
	write(w, http.StatusOK, nil)
}

func (h *handler) score(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) {
	model, known := h.model.Model()
	switch {
	case model.Raw:
	case r.Method == http.MethodOptions:
		answer(w, x, worker.Response{Status: http.StatusOK, Headers: [][2]string{{"Content-Type", htmlType[0]}, {functionFailed, "False"}}})
		return
	case r.Method == http.MethodHead:
		refuse(w, http.StatusMethodNotAllowed, "Method not allowed")
		return
	}
	var body []byte
	if r.Method == http.MethodPost || model.Raw {
		var err error
		if body, err = exchange.ReadBody(w, r, h.o.BodyLimit); err != nil {
			fail(w, x, err)
			return
		}
	}
	if !known {
		h.starting(w, x)
		return
	}
	if model.Kind == worker.KindModel {
		h.predict(w, r, x, model, body)
		return
	}
	h.call(w, r, x, model, body)
}

// starting answers while nothing is known of the model.
func (h *handler) starting(w http.ResponseWriter, x *exchange.Exchange) {
	f := &exchange.Failure{Reason: exchange.Stopped, Message: "The model is not ready.", RetryAfter: time.Second}
	if _, err := h.model.Ready(); err != nil {
		f.Message = "The model is not ready: " + err.Error()
	}
	fail(w, x, f)
}

// call has a script answer.
func (h *handler) call(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, model worker.Model, body []byte) {
	request := worker.Request{Method: r.Method, Query: r.URL.RawQuery, ContentType: r.Header.Get("Content-Type"), Purpose: x.Purpose, Body: body}
	if model.Headers || model.Raw {
		request.Headers = titled(r, w.Header()[legacyID])
	}
	x.Body = body
	response, err := h.model.Call(r.Context(), request)
	if err != nil {
		fail(w, x, err)
		return
	}
	if response.Error != "" {
		reason := exchange.Unusable
		switch {
		case response.TimedOut:
			reason = exchange.Timeout
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
	f := exchange.FailureOf(err)
	x.Failure = f
	f.RetryHeader(w.Header())
	status, failed := statusOf(f.Reason)
	answer(w, x, worker.Response{Status: status, Failed: failed, Body: messageBody(f.Message)})
}

// titled is the headers as run() gets them: names in Title-Case, repeated ones
// joined by a comma, as in any WSGI server; and without names that have an
// underscore, because a WSGI script could not tell them from those with a hyphen.
// X-Ms-Request-Id is always there, as it is behind Azure's own gateway: scripts
// write it into their logs.
func titled(r *http.Request, id []string) map[string]string {
	h := make(map[string]string, len(r.Header)+2)
	if len(id) > 0 {
		h[legacyID] = id[0]
	}
	for name, values := range r.Header {
		if !strings.Contains(name, "_") && name != legacyID {
			h[name] = strings.Join(values, ",")
		}
	}
	h["Host"] = r.Host
	return h
}

var (
	jsonType   = []string{"application/json"}
	htmlType   = []string{"text/html; charset=utf-8"}
	pythonTrue = []string{"True"}
	pythonNot  = []string{"False"}
)

func answer(w http.ResponseWriter, x *exchange.Exchange, o worker.Response) {
	h := w.Header()
	h["Content-Type"] = jsonType
	// A response that the script made itself says so itself, or says nothing.
	failed, said := o.Failed, o.Headers == nil || o.Failed
	for i, pair := range o.Headers {
		name := http.CanonicalHeaderKey(pair[0])
		switch name {
		case "Content-Length", "Connection", "Transfer-Encoding", functionTime, serverVersion, traceID, requestID, legacyID, clientID:
			continue // ours to say
		case functionFailed:
			failed, said = failed || strings.EqualFold(pair[1], "true"), true
			continue
		}
		if slices.ContainsFunc(o.Headers[:i], func(p [2]string) bool { return strings.EqualFold(p[0], name) }) {
			h.Add(name, pair[1])
		} else {
			h.Set(name, pair[1])
		}
	}
	if said {
		h[functionFailed] = pythonNot
		if failed {
			h[functionFailed] = pythonTrue
		}
	}
	if o.Returned {
		h[functionTime] = []string{strconv.FormatFloat(o.Milliseconds, 'f', 3, 64)}
	}
	x.Answer = o.Body
	write(w, o.Status, o.Body)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header()["Content-Type"] = jsonType
	w.Header()[functionFailed] = pythonNot
	write(w, status, messageBody(message))
}

func write(w http.ResponseWriter, status int, body []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left needs no answer
}

// messageBody is spelled as Python's json does.
func messageBody(message string) []byte {
	return append(append([]byte(`{"message": `), encode(message)...), '}')
}

// encode is s as JSON, in ASCII.
func encode(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string can be encoded
	}
	var ascii []byte
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		switch {
		case r < utf8.RuneSelf:
			ascii = append(ascii, byte(r))
		case r < 0x10000:
			ascii = fmt.Appendf(ascii, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			ascii = fmt.Appendf(ascii, `\u%04x\u%04x`, high, low)
		}
	}
	return ascii
}
