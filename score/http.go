package score

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

const (
	notFound   = "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
	notAllowed = "The method is not allowed for the requested URL."

	bodyStall   = 30 * time.Second // without a byte of a request's body
	bodyTime    = 10 * time.Minute // for a whole body
	answerTime  = 5 * time.Minute  // for a client to take its answer
	headerTime  = 10 * time.Second
	idleTime    = 2 * time.Minute
	headerBytes = 64 << 10
)

// statusOf is the scoring surface's table from code to HTTP status. A full
// queue is 503 with Retry-After, not 429: the client did nothing wrong, and
// another copy may have room.
func statusOf(code ridgeline.Code) int {
	switch code {
	case ridgeline.Invalid:
		return http.StatusBadRequest
	case ridgeline.NotFound:
		return http.StatusNotFound
	case ridgeline.Conflict:
		return http.StatusConflict
	case ridgeline.Denied:
		return http.StatusForbidden
	case ridgeline.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// Handler answers the routes of the contract: /, /score, /healthz/live and
// /healthz/ready; anything else is a 404 in JSON.
//
// x-ms-server-version is our own name, not the reference's: a client that
// looks at it is told the truth. CORS is the standard's: an answer names an
// allowed origin only when the request came from it.
func (f *Front) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", only(f.index, "GET", "HEAD"))
	mux.HandleFunc("/score", only(f.handleScore, "GET", "HEAD", "POST", "OPTIONS"))
	mux.HandleFunc("/healthz/live", only(f.live, "GET", "HEAD"))
	mux.HandleFunc("/healthz/ready", only(f.ready, "GET", "HEAD"))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, notFound) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.draining.Load() {
			w.Header()["Connection"] = []string{"close"} // the next request shall go elsewhere
		}
		mux.ServeHTTP(w, r)
	})
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

func (f *Front) index(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = []string{"text/html; charset=utf-8"}
	write(w, http.StatusOK, []byte("Healthy"))
}

func (f *Front) live(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = jsonType
	write(w, http.StatusOK, []byte(`{"live": true}`))
}

// ready answers 200 only when a worker's init() has returned and the process
// is not about to stop; else 503 with the reason and what the interpreter said.
func (f *Front) ready(w http.ResponseWriter, _ *http.Request) {
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
	w.Header()["Content-Type"] = jsonType
	w.Header()["Cache-Control"] = []string{"no-store"}
	write(w, status, encode(answer))
}

func (f *Front) handleScore(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	f.cors(w, r)
	ids, err := identify(r.Header)
	ids.set(w.Header())
	if f.c.Version != "" {
		w.Header()["X-Ms-Server-Version"] = []string{f.c.Version}
	}
	if trace := r.Header["Traceid"]; trace != nil {
		w.Header()["Traceid"] = trace[:1]
	}
	var o outcome
	switch {
	case err != nil:
		o = outcome{Code: ridgeline.Invalid, Response: worker.Response{Status: http.StatusRequestHeaderFieldsTooLarge, Body: messageBody(err.Error())}}
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusOK)
		return
	case r.Method == http.MethodHead:
		refuse(w, http.StatusMethodNotAllowed, "Method not allowed")
		return
	default:
		request := worker.Request{Method: r.Method, Query: r.URL.RawQuery, ContentType: r.Header.Get("Content-Type"), Headers: titled(r)}
		if request.Body, err = f.body(w, r); err != nil {
			o = unread(err, f.c.BodyLimit)
		} else {
			o = f.score(r.Context(), request)
		}
	}
	if r.Context().Err() != nil { // nobody is there to read an answer, and nothing is wrong here
		f.c.Log.Debug("client left", "method", r.Method, "path", r.URL.Path, "request_id", ids.request)
		return
	}
	answer(w, o)
	if o.Status >= 400 || f.c.LogRequests {
		f.logRequest(r, ids, o, time.Since(began))
	}
}

func (f *Front) logRequest(r *http.Request, ids identity, o outcome, took time.Duration) {
	log := f.c.Log.Info
	if o.Status >= 500 {
		log = f.c.Log.Error
	}
	log("request", "method", r.Method, "path", r.URL.Path, "status", o.Status, "ms", float64(took.Microseconds())/1e3,
		"bytes", len(o.Body), "request_id", ids.request, "error", o.Error)
}

// body reads the whole body. A client that stalls or trickles is cut off, and
// one that waits for its answer is not.
func (f *Front) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost || r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > f.c.BodyLimit {
		w.Header().Set("Connection", "close") // rather than reading it all to keep the connection
		return nil, &http.MaxBytesError{Limit: f.c.BodyLimit}
	}
	control := http.NewResponseController(w)
	in := &steadyReader{from: http.MaxBytesReader(w, r.Body, f.c.BodyLimit), control: control, end: time.Now().Add(bodyTime)}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), 1<<20)) + bytes.MinRead) // a claimed length is not believed before it comes
	if _, err := b.ReadFrom(in); err != nil {
		return nil, err
	}
	_ = control.SetReadDeadline(time.Time{})
	return b.Bytes(), nil
}

// steadyReader moves the connection's read deadline along as bytes come.
type steadyReader struct {
	from    io.Reader
	control *http.ResponseController
	end     time.Time
}

func (s *steadyReader) Read(p []byte) (int, error) {
	deadline := time.Now().Add(bodyStall)
	if deadline.After(s.end) {
		deadline = s.end
	}
	_ = s.control.SetReadDeadline(deadline)
	return s.from.Read(p)
}

// unread says why a body could not be read.
func unread(err error, limit int64) outcome {
	status, message := http.StatusBadRequest, "The request's body could not be read to its end."
	var large *http.MaxBytesError
	var stalled interface{ Timeout() bool }
	switch {
	case errors.As(err, &large):
		status = http.StatusRequestEntityTooLarge
		message = "The request's body is larger than the limit of " + strconv.FormatInt(limit, 10) + " bytes (RIDGELINE_BODY_LIMIT)."
	case errors.As(err, &stalled) && stalled.Timeout():
		status, message = http.StatusRequestTimeout, "The request's body did not come in time."
	}
	return outcome{Code: ridgeline.Invalid, Response: worker.Response{Status: status, Error: err.Error(), Body: messageBody(message)}}
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

func answer(w http.ResponseWriter, o outcome) {
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
	if o.Code == ridgeline.Unavailable {
		h["Retry-After"] = []string{"1"}
	}
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
