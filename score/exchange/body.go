package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/unread"
)

const (
	bodyStall = 30 * time.Second // without a byte of a request's body
	bodyTime  = 10 * time.Minute // for a whole body
	small     = 64 << 10         // bytes of a body that has no more time than a stall
)

// ReadBody reads a request's whole body of at most limit bytes. A client that
// stalls or trickles is cut off, and one that waits for its answer is not. An
// error is a *Failure; after TooLarge the rest is there to be dropped (package
// unread).
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		unread.Allow(w)
		return nil, unreadable(&http.MaxBytesError{Limit: limit}, limit)
	}
	control := http.NewResponseController(w)
	if 0 < r.ContentLength && r.ContentLength <= small { // most bodies: no more is allocated than they are
		_ = control.SetReadDeadline(time.Now().Add(bodyStall))
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, unreadable(err, limit)
		}
		_ = control.SetReadDeadline(time.Time{})
		return body, nil
	}
	in := &steadyReader{from: http.MaxBytesReader(w, r.Body, limit), control: control, end: time.Now().Add(bodyTime)}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), 1<<20)) + bytes.MinRead) // a claimed length is not believed before it comes
	if _, err := b.ReadFrom(in); err != nil {
		why := unreadable(err, limit)
		if why.Reason == TooLarge {
			unread.Allow(w)
		}
		return nil, why
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

// unreadable says why a body could not be read.
func unreadable(err error, limit int64) *Failure {
	var large *http.MaxBytesError
	var stalled interface{ Timeout() bool }
	switch {
	case errors.As(err, &large):
		return &Failure{Reason: TooLarge, Cause: err.Error(),
			Message: fmt.Sprintf("The request's body is larger than the limit of %d bytes (RIDGELINE_BODY_LIMIT).", limit)}
	case errors.As(err, &stalled) && stalled.Timeout():
		return &Failure{Reason: Stalled, Message: "The request's body did not come in time.", Cause: err.Error()}
	}
	return &Failure{Reason: Cut, Message: "The request's body could not be read to its end.", Cause: err.Error()}
}
