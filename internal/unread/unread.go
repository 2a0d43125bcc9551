// Package unread ends requests that were answered before their body had come,
// so that a client that is still sending can read why. It drops what comes, up
// to a bound; which requests those are, and what they are told, is others'.
//
// Without it, net/http closes the connection half a second after the answer,
// and what the client sends then resets it: many lose the answer with it.
package unread

import (
	"net/http"
	"time"
)

const (
	most  = 1 << 30          // bytes that are dropped
	stall = 5 * time.Second  // without one of them: a client that stopped waits for nothing
	whole = 10 * time.Minute // as long as a wanted body may take
)

// Allow lets a handler answer a request of HTTP/1 whose body it has not read:
// net/http would read some of it first, or give up. It has to be called before
// the answer begins.
func Allow(w http.ResponseWriter) {
	_ = http.NewResponseController(w).EnableFullDuplex() // there is none where none is needed
}

// Drop sends the answer that was written, and reads what is left of the body.
// A client that was never asked to send it (Expect: 100-continue), and HTTP/2,
// where a stream ends by itself, are left alone.
func Drop(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 || r.Header["Expect"] != nil {
		return
	}
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return
	}
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	end := time.Now().Add(whole)
	buffer := make([]byte, 32<<10)
	for left := most; left > 0; {
		deadline := time.Now().Add(stall)
		if deadline.After(end) {
			deadline = end
		}
		_ = control.SetReadDeadline(deadline)
		n, err := r.Body.Read(buffer)
		if left -= n; err != nil {
			return
		}
	}
}
