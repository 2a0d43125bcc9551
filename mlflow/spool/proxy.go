package spool

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

var errAway = errors.New("the tracking server does not answer")

// keepable are the writes whose answer says nothing but that it was done.
// runs/update is among them because what it answers can be told from the run.
var keepable = regexp.MustCompile(`^POST /api/2\.0/mlflow/(runs/(log-metric|log-parameter|log-batch|set-tag|delete-tag|log-inputs|outputs|log-model|update)|` +
	`experiments/set-experiment-tag|logged-models/[^/]+/params)$|^PUT /api/2\.0/mlflow-artifacts/artifacts/.+$`)

const updateRun = "/api/2.0/mlflow/runs/update"

// ServeHTTP answers the script.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	long := r.ContentLength < 0 || r.ContentLength > inMemory
	keeps := keepable.MatchString(r.Method+" "+r.URL.Path) && p.ours(r)
	if long && keeps && (p.journal.waiting() > 0 || !p.there(r.Context())) {
		p.keepLong(w, r)
		return
	}
	if long {
		p.stream(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", fmt.Sprintf("the request ended before its body was whole: %v", err))
		return
	}
	if keeps {
		p.write(w, r, body)
		return
	}
	p.insist(w, r, body)
}

// ours reports whether a request has the step's own token. What others send
// passes through, and is theirs to repeat.
func (p *Proxy) ours(r *http.Request) bool {
	given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		_, given, _ = r.BasicAuth()
	}
	return p.options.Token != "" && subtle.ConstantTimeCompare([]byte(given), []byte(p.options.Token)) == 1
}

// write passes a write through, or keeps it: when the server does not take it
// now, and when others are kept that came before it.
func (p *Proxy) write(w http.ResponseWriter, r *http.Request, body []byte) {
	answer := []byte("{}")
	if r.URL.Path == updateRun {
		if answer = p.memory.updated(body); answer == nil {
			p.insist(w, r, body) // a run that we know nothing of
			return
		}
	}
	if p.journal.waiting() == 0 {
		ctx, cancel := context.WithTimeout(r.Context(), takes)
		defer cancel()
		if err := p.pass(ctx, w, r, bytes.NewReader(body), int64(len(body))); err == nil || r.Context().Err() != nil {
			return
		}
	}
	p.keep(w, r, entry{Body: body}, answer)
}

// keepLong keeps a long body in a file of its own.
func (p *Proxy) keepLong(w http.ResponseWriter, r *http.Request) {
	name, err := p.journal.store(r.Body)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE", err.Error())
		return
	}
	p.keep(w, r, entry{File: name}, []byte("{}"))
}

func (p *Proxy) keep(w http.ResponseWriter, r *http.Request, e entry, answer []byte) {
	e.Method, e.Path, e.Type = r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type")
	if err := p.journal.append(e); err != nil {
		refuse(w, http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE", err.Error())
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// insist passes through what needs the server's answer. It waits for a server
// that is away, and for what is kept to be delivered, so that a script reads
// what it wrote.
func (p *Proxy) insist(w http.ResponseWriter, r *http.Request, body []byte) {
	known, began := memorable(r.Method, r.URL), time.Now()
	patience := p.options.Patience * 5 / 6
	for time.Since(began) < patience {
		away := p.delivery.away.Load()
		if p.journal.waiting() == 0 {
			err := p.pass(r.Context(), w, r, bytes.NewReader(body), int64(len(body)))
			if err == nil {
				return
			}
			away = true
		}
		if answer, ok := p.memory.find(known); ok && away {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer)
			return
		}
		p.remind(r, time.Since(began))
		select {
		case <-r.Context().Done():
			return
		case <-time.After(look):
		}
	}
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE", errAway.Error()+fmt.Sprintf(" for %v: what was logged is kept, and this request may be repeated", patience))
}

// remind tells the log now and then what a script waits for, that nobody takes
// it for dead.
func (p *Proxy) remind(r *http.Request, waited time.Duration) {
	last, now := p.reminded.Load(), time.Now().UnixNano()
	if waited < p.options.Remind || time.Duration(now-last) < p.options.Remind || !p.reminded.CompareAndSwap(last, now) {
		return
	}
	why := "the tracking server does not answer"
	if n := p.journal.waiting(); n > 0 {
		why += fmt.Sprintf(" (%d writes are kept for it)", n)
	}
	p.delivery.say("%s %s has waited for %v: %s; the step goes on when it is back", r.Method, r.URL.Path, waited.Round(time.Second), why)
}

// stream passes a long body through. It cannot be sent twice, so it is the
// client who repeats it, and then it may be kept.
func (p *Proxy) stream(w http.ResponseWriter, r *http.Request) {
	if err := p.pass(r.Context(), w, r, r.Body, r.ContentLength); err == nil || r.Context().Err() != nil {
		return
	}
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE", errAway.Error()+": repeat the request")
}

// there asks whether the server answers.
func (p *Proxy) there(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, takes)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.options.Server+"/health", http.NoBody)
	if err != nil {
		return false
	}
	w, err := p.delivery.client.Do(r)
	if err != nil {
		return false
	}
	defer w.Body.Close()
	return !isAway(w.StatusCode)
}

// pass sends the request to the server, and its answer back. An error means
// that nothing was answered yet.
func (p *Proxy) pass(ctx context.Context, w http.ResponseWriter, r *http.Request, body io.Reader, size int64) error {
	out, err := http.NewRequestWithContext(ctx, r.Method, p.options.Server+r.URL.RequestURI(), body)
	if err != nil {
		return err
	}
	out.ContentLength = size
	if size == 0 {
		out.Body = http.NoBody
	}
	for name, values := range r.Header {
		if !hop[name] {
			out.Header[name] = values
		}
	}
	in, err := p.delivery.client.Do(out)
	if err != nil {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	defer in.Body.Close()
	if isAway(in.StatusCode) {
		return errAway
	}
	known := memorable(r.Method, r.URL)
	var text []byte
	if known != "" && in.StatusCode == http.StatusOK && in.ContentLength <= longest {
		if text, err = io.ReadAll(in.Body); err != nil {
			return fmt.Errorf("%w: %w", errAway, err)
		}
		p.memory.keep(known, text)
	}
	for name, values := range in.Header {
		if !hop[name] {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(in.StatusCode)
	_, _ = w.Write(text)
	if _, err := io.Copy(w, in.Body); err != nil {
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	return nil
}

// hop are the headers that are between two neighbours. Of what is compressed we
// could remember nothing.
var hop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Accept-Encoding": true,
}

// refuse answers as MLflow's clients read it.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error_code": code, "message": message})
}
