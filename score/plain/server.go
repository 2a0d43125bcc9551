// Package plain is a net/http server that answers plain requests by itself:
// whole POST requests of HTTP/1.1 that a connection's next few bytes hold.
//
// Everything else on a connection, from its first byte that is not of such a
// request, is net/http's: all other methods and versions, chunks, Expect,
// upgrades, gRPC, what is large, slow or wrong. What is answered here is answered
// as net/http does, and a client that leaves is noticed, a few milliseconds later.
package plain

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Server serves the Handler of its http.Server, whose IdleTimeout,
// ReadHeaderTimeout and ErrorLog count here, too. The others of its settings are
// those of requests that are not plain.
type Server struct {
	*http.Server

	mu      sync.Mutex
	from    net.Listener
	conns   map[*conn]struct{} // on which nothing but plain requests has come
	closing bool
}

// Serve answers on a listener's connections until Shutdown or Close, and then
// returns http.ErrServerClosed. It is called once.
func (s *Server) Serve(l net.Listener) error {
	others := &handed{Listener: l, conns: make(chan net.Conn), down: make(chan struct{})}
	s.mu.Lock()
	s.from, s.conns = l, map[*conn]struct{}{}
	closing := s.closing
	s.mu.Unlock()
	if closing {
		return http.ErrServerClosed
	}
	go func() { _ = s.Server.Serve(others) }()
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		if err == nil {
			wait = 0
			s.take(c, others)
			continue
		}
		if s.isClosing() {
			return http.ErrServerClosed
		}
		if passing, ok := errors.AsType[net.Error](err); !ok || !passing.Temporary() { //nolint:staticcheck // what net/http asks: too many files
			_ = s.Close()
			return err
		}
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		s.logf("plain: accept: %v; trying again in %v", err, wait)
		time.Sleep(wait)
	}
}

func (s *Server) take(from net.Conn, others *handed) {
	c := &conn{Conn: from, s: s, remote: from.RemoteAddr().String()}
	c.ctx, c.leave = context.WithCancel(context.Background())
	s.mu.Lock()
	closing := s.closing
	if !closing {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if closing {
		_ = from.Close()
		return
	}
	go func() {
		rest, other := c.serve()
		c.leave()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		if other {
			others.hand(&begun{Conn: from, rest: rest})
		} else {
			_ = from.Close()
		}
	}()
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// Shutdown takes no more connections and requests, and waits until those under
// way have been answered, or for the end of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end(func(c *conn) { _ = c.SetReadDeadline(past) }) // whoever waits for a request gets up
	err := s.Server.Shutdown(ctx)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for err == nil {
		s.mu.Lock()
		n := len(s.conns)
		s.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return err
}

// Close cuts everything off.
func (s *Server) Close() error {
	s.end(func(c *conn) { c.leave(); _ = c.Close() })
	return s.Server.Close()
}

func (s *Server) end(each func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	if s.from != nil {
		_ = s.from.Close()
	}
	for c := range s.conns {
		each(c)
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
	}
}

// handed is the listener that net/http gets its connections from.
type handed struct {
	net.Listener
	conns chan net.Conn
	down  chan struct{}
	once  sync.Once
}

func (h *handed) hand(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.down:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.down:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handed) Close() error {
	h.once.Do(func() { close(h.down) })
	return nil
}

// begun is a connection of which something was read already.
type begun struct {
	net.Conn
	rest []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		b.rest = nil
	}
	return n, nil
}

// CloseWrite is what net/http looks for before it closes a connection on which
// something unread may be.
func (b *begun) CloseWrite() error { return closeWrite(b.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
