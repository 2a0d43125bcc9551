package plain

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An answer is the http.ResponseWriter of one request. It is written in one
// piece: at once when its length was said before, else at its end.
type answer struct {
	c      *conn
	header http.Header
	status int
	body   []byte // what was written before its length is known
	sent   bool
	failed bool // it could not be written
	last   bool // of the connection
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. An informational status is not
// sent: nobody waits for one here.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	switch length := a.header["Content-Length"]; {
	case a.sent:
		return 0, http.ErrContentLength
	case a.body == nil && len(length) == 1 && length[0] == strconv.Itoa(len(p)):
		a.send(p)
	default:
		a.body = append(a.body, p...)
	}
	return len(p), nil
}

// SetReadDeadline is for http.ResponseController: the body is all there.
func (a *answer) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is for http.ResponseController: an answer has its time in
// any case.
func (a *answer) SetWriteDeadline(time.Time) error { return nil }

// Flush is for http.ResponseController: an answer goes whole.
func (a *answer) Flush() {}

// finish sends what was not; false when the client did not get it.
func (a *answer) finish() bool {
	if !a.sent {
		a.WriteHeader(http.StatusOK)
		a.send(a.body)
	}
	return !a.failed
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const (
	copied = 16 << 10 // a body up to this size is copied rather than written as a piece of its own
	kept   = 64 << 10 // of a buffer for the next answers
)

func (a *answer) send(body []byte) {
	a.sent = true
	now := time.Now()
	bodiless := a.status == http.StatusNoContent || a.status == http.StatusNotModified
	h := a.header
	switch {
	case bodiless:
		delete(h, "Content-Length")
		body = nil
	default:
		if h["Content-Type"] == nil && len(body) > 0 && h["Content-Encoding"] == nil {
			h["Content-Type"] = []string{http.DetectContentType(body)}
		}
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	delete(h, "Transfer-Encoding")
	for _, v := range h["Connection"] {
		a.last = a.last || strings.EqualFold(v, "close")
	}
	b, _ := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= kept {
			b.Reset()
			buffers.Put(b)
		}
	}()
	line := append(b.AvailableBuffer(), "HTTP/1.1 "...)
	line = strconv.AppendInt(line, int64(a.status), 10)
	line = append(append(append(line, ' '), http.StatusText(a.status)...), "\r\n"...)
	if h["Date"] == nil {
		line = append(now.UTC().AppendFormat(append(line, "Date: "...), http.TimeFormat), "\r\n"...)
	}
	b.Write(line)
	_ = h.Write(b) // a Buffer takes everything; what is no header is left out, and line ends in values are blanks
	b.WriteString("\r\n")
	if c := a.c; c.writeUntil.Sub(now) < writeTime {
		c.writeUntil = now.Add(writeTime + coarse)
		_ = c.SetWriteDeadline(c.writeUntil)
	}
	var err error
	if len(body) <= copied {
		b.Write(body)
		_, err = a.c.Write(b.Bytes())
	} else {
		_, err = (&net.Buffers{b.Bytes(), body}).WriteTo(a.c.Conn)
	}
	a.failed = err != nil
}
