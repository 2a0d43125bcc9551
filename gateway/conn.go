package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// sockets are kept connections to a copy on this machine. A request is written
// and its answer read by the goroutine that has the request, where
// http.Transport hands both to two others (see BenchmarkGateway).
//
// Over a Unix socket it is known whether a request was taken: one that a copy
// closed before reading it ends with EPIPE or ECONNRESET, and only that.
type sockets struct {
	path string
	mu   sync.Mutex
	idle []*socket // the one used last comes last
	trim *time.Timer
}

type socket struct {
	net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	idle time.Time
}

// How many connections are kept to a copy, and for how long; a scorer closes
// them after two minutes.
const (
	maxIdle  = 256
	idleTime = 30 * time.Second
)

// RoundTrip implements http.RoundTripper for requests whose body is in memory.
func (s *sockets) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	c, kept, err := s.take(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err = r.Write(c.out)
	if err == nil {
		err = c.out.Flush()
	}
	// A copy may answer and close before it has read a whole body: its answer counts.
	res, unread := http.ReadResponse(c.in, r)
	for unread == nil && res.StatusCode < 200 { // 100 Continue
		res, unread = http.ReadResponse(c.in, r)
	}
	if unread != nil {
		stop()
		c.Close()
		if kept {
			s.clear() // a copy that went took all of them with it
		}
		return nil, errors.Join(err, unread)
	}
	res.Body = &answerBody{from: res.Body, whole: res.ContentLength == 0, end: func(whole bool) {
		if stop() && whole && err == nil && !res.Close {
			s.give(c)
		} else {
			c.Close()
		}
	}}
	return res, nil
}

// answerBody gives the connection back once it is read to its end.
type answerBody struct {
	from  io.ReadCloser
	whole bool
	end   func(whole bool)
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.whole = b.whole || errors.Is(err, io.EOF)
	return n, err
}

func (b *answerBody) Close() error {
	if b.end != nil {
		b.end(b.whole)
		b.end = nil
	}
	return nil
}

func (s *sockets) take(ctx context.Context) (c *socket, kept bool, err error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		c, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	s.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", s.path)
	if err != nil {
		return nil, false, err
	}
	return &socket{Conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}, false, nil
}

func (s *sockets) give(c *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) >= maxIdle || c.in.Buffered() > 0 {
		c.Close()
		return
	}
	c.idle = time.Now()
	s.idle = append(s.idle, c)
	if s.trim == nil {
		s.trim = time.AfterFunc(idleTime, s.sweep)
	}
}

// sweep closes what nobody has used for a while.
func (s *sockets) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := 0
	for old < len(s.idle) && time.Since(s.idle[old].idle) >= idleTime {
		s.idle[old].Close()
		old++
	}
	s.idle = append(s.idle[:0], s.idle[old:]...)
	if s.trim = nil; len(s.idle) > 0 {
		s.trim = time.AfterFunc(idleTime, s.sweep)
	}
}

func (s *sockets) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.idle {
		c.Close()
	}
	s.idle = nil
}
