package exchange

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

const answerTime = 5 * time.Minute // for a client to take its answer

// Answer sends a whole answer. A client that is gone, or does not take it
// within five minutes, gets none.
func Answer(w http.ResponseWriter, status int, contentType string, body []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

const idLimit = 100 // characters of a request's id

// Identify sets the exchange's RequestID to the client's x-request-id, or to a
// new one where there is none of at most 100 characters, and has the answer
// carry it: feedback refers to it.
func (x *Exchange) Identify(request, answer http.Header) {
	if given := request["X-Request-Id"]; len(given) == 1 && len(given[0]) <= idLimit && given[0] != "" {
		x.RequestID = given[0]
	} else {
		x.RequestID = NewID()
	}
	answer["X-Request-Id"] = []string{x.RequestID}
}

// NewID makes a random UUID (RFC 9562, version 4).
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[:8], b[:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
