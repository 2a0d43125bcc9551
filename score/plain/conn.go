package plain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

const (
	patience  = 50 * time.Millisecond // after which a waiting client is watched
	bodyTime  = time.Second           // for the rest of a body; then it is a slow one
	writeTime = 5 * time.Minute       // for a client to take its answer
	coarse    = 20 * time.Second      // a deadline is moved along in steps of so much
	linger    = 500 * time.Millisecond
	firstRoom = 2 << 10 // bytes that are read at once
)

var past = time.Unix(1, 0) // a deadline that wakes

// A conn is one connection. All but SetReadDeadline, Close and leave is its own
// goroutine's.
type conn struct {
	net.Conn
	s      *Server
	remote string
	ctx    context.Context // of its requests; ends when the client has left
	leave  context.CancelFunc

	in         []byte
	have       int       // bytes of in
	readUntil  time.Time // the deadlines that are set
	writeUntil time.Time
	watcher
}

// serve answers plain requests until there is none: then other is true, and
// rest what has come of something else; else the connection is over.
func (c *conn) serve() (rest []byte, other bool) {
	c.in = make([]byte, firstRoom)
	timeout := c.s.ReadHeaderTimeout
	for {
		if c.have == 0 {
			if !c.await(timeout) {
				return nil, false
			}
			timeout = c.s.IdleTimeout
		}
		r, head := parse(c.in[:c.have])
		if head == 0 || !c.whole(head+int(r.ContentLength)) {
			_ = c.SetReadDeadline(time.Time{})
			return slices.Clone(c.in[:c.have]), true
		}
		end := head + int(r.ContentLength)
		if !c.answer(r, c.in[head:end]) {
			return nil, false
		}
		c.have = copy(c.in, c.in[end:c.have])
	}
}

// await reads the beginning of a request; false when there will be none.
func (c *conn) await(timeout time.Duration) bool {
	if cap(c.in) > longest/4 { // one large request was no reason to keep as much
		c.in = make([]byte, firstRoom)
	}
	if now := time.Now(); timeout > 0 && (c.readUntil.Sub(now) < timeout || timeout < coarse) {
		c.readUntil = now.Add(timeout)
		if timeout > coarse {
			c.readUntil = c.readUntil.Add(coarse)
		}
		_ = c.SetReadDeadline(c.readUntil)
	}
	if c.s.isClosing() { // after the deadline was set: who closes sets one that is over
		return false
	}
	n, err := c.Read(c.in)
	c.have = n
	return n > 0 || err == nil
}

// whole reads until there are so many bytes; false when they do not come soon.
func (c *conn) whole(end int) bool {
	if c.have >= end {
		return true
	}
	if end > len(c.in) {
		c.in = append(make([]byte, 0, end), c.in[:c.have]...)[:end]
	}
	c.readUntil = time.Now().Add(bodyTime)
	_ = c.SetReadDeadline(c.readUntil)
	n, err := io.ReadAtLeast(c, c.in[c.have:], end-c.have)
	c.have += n
	return err == nil
}

// body is a request's, which is all there.
type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

// answer has one request answered; false ends the connection.
func (c *conn) answer(r *http.Request, text []byte) (more bool) {
	held := &body{}
	held.Reset(text)
	r.Body, r.RemoteAddr = held, c.remote
	a := &answer{c: c, header: make(http.Header, 8)}
	defer func() {
		if err := recover(); err != nil {
			more = false
			if err != http.ErrAbortHandler { //nolint:errorlint // it is thrown as it is
				c.s.logf("plain: panic serving %s: %v\n%s", c.remote, err, debug.Stack())
			}
		}
	}()
	c.begin()
	defer c.end()
	c.s.Handler.ServeHTTP(a, r.WithContext(c.ctx))
	if !a.finish() {
		return false
	}
	if a.last {
		_ = closeWrite(c.Conn)
		_ = c.SetReadDeadline(time.Now().Add(linger)) // what it sends yet must not reset the answer
		_, _ = io.Copy(io.Discard, c.Conn)
	}
	return !a.last
}

// A watcher looks whether the client is still there, once its request takes
// long. Most do not, which is why they need none.
type watcher struct {
	timer *time.Timer
	mu    sync.Mutex
	ended bool          // the request
	done  chan struct{} // holds a value when watch is over
	early [1]byte       // what it read
	read  bool          // whether it did
}

func (c *conn) begin() {
	if c.timer == nil {
		c.done = make(chan struct{}, 1)
		c.timer = time.AfterFunc(patience, c.watch)
		return
	}
	c.ended = false
	c.timer.Reset(patience)
}

// watch reads on: a byte is the next request's, an end the client's.
func (c *conn) watch() {
	defer func() { c.done <- struct{}{} }()
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	c.mu.Unlock()
	n, err := c.Read(c.early[:])
	c.read = n == 1
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.leave()
	}
}

// end ends the watch, if there is one, and keeps what it read.
func (c *conn) end() {
	if c.timer.Stop() {
		return
	}
	c.mu.Lock()
	c.ended = true
	_ = c.SetReadDeadline(past)
	c.mu.Unlock()
	<-c.done
	c.readUntil = time.Time{}
	_ = c.SetReadDeadline(c.readUntil)
	if !c.read {
		return
	}
	c.read = false
	if c.have == len(c.in) {
		c.in = append(c.in, make([]byte, firstRoom)...)
	}
	c.in[c.have] = c.early[0]
	c.have++
}
