package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// maxReplay is up to which size a request is kept, so that it can be sent
// again when the copy it was meant for went away before it took it, and so that
// a copy of it can be sent elsewhere.
const maxReplay = 1 << 20

// bodyStall is how long a client may pause within its request's body.
const bodyStall = 30 * time.Second

// body is a request's: its beginning, kept, and what is still to come.
type body struct {
	head []byte
	rest *steadyReader // nil when head is all
	size int64         // -1: not known
	read bool          // it was, as far as head goes
}

// readBody keeps a small body whole. One of gRPC is passed on as it comes,
// because it may be a conversation.
func readBody(w http.ResponseWriter, r *http.Request, grpc bool) (body, error) {
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return body{read: true}, nil
	}
	in := &steadyReader{from: r.Body, control: http.NewResponseController(w)}
	if grpc {
		return body{rest: in, size: -1, read: true}, nil
	}
	var head bytes.Buffer
	head.Grow(int(min(max(r.ContentLength, 0), maxReplay)) + bytes.MinRead)
	n, err := head.ReadFrom(io.LimitReader(in, maxReplay+1))
	switch {
	case err != nil:
		return body{read: true}, err
	case n <= maxReplay:
		_ = in.control.SetReadDeadline(time.Time{})
		return body{head: head.Bytes(), size: n, read: true}, nil
	}
	in.begun.Store(false)
	return body{head: head.Bytes(), rest: in, size: r.ContentLength, read: true}, nil
}

// came reports whether the client has sent all of it.
func (b *body) came() bool { return b.read && (b.rest == nil || b.rest.ended.Load()) }

// again reports whether the body can be sent again.
func (b *body) again() bool { return b.rest == nil || !b.rest.begun.Load() }

func (b *body) reader() io.ReadCloser {
	switch {
	case b.size == 0:
		return http.NoBody
	case b.rest == nil:
		return io.NopCloser(bytes.NewReader(b.head))
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.head), b.rest))
}

// steadyReader moves the connection's read deadline along as bytes come.
type steadyReader struct {
	from    io.Reader
	control *http.ResponseController
	begun   atomic.Bool
	ended   atomic.Bool // it has come, or never will
}

func (s *steadyReader) Read(p []byte) (int, error) {
	s.begun.Store(true)
	_ = s.control.SetReadDeadline(time.Now().Add(bodyStall))
	n, err := s.from.Read(p)
	if err != nil {
		s.ended.Store(true)
		_ = s.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// forward sends the request to one copy and its answer back. It returns true
// when the copy was not there to take it or its machine is gone, nothing was
// answered yet, and it may be sent again.
func (g *Gateway) forward(ctx context.Context, w *answerer, r *http.Request, c *call, to way, again bool) bool {
	pool := g.pools.of(to.address)
	out := pool.request(ctx, r, c)
	g.mirror(out, c, to.mirrors)
	res, err := pool.transport(c).RoundTrip(out)
	if err != nil {
		gone := ctx.Err() == nil && silent(err)
		if gone {
			pool.silentUntil.Store(time.Now().Add(silence).UnixNano())
		}
		switch {
		case ctx.Err() != nil:
			if r.Context().Err() == nil { // else the client left
				to.lane.counts.add(http.StatusGatewayTimeout, time.Since(c.began).Seconds())
			}
			g.overdue(ctx, w, c)
		case again && c.body.again() && (gone || notTaken(err)):
			return true
		default:
			g.log.Warn("a copy did not answer", "address", to.address, "error", err)
			g.metrics.refuse(c.endpoint, "broke off")
			to.lane.counts.add(http.StatusBadGateway, time.Since(c.began).Seconds())
			w.problem(w, http.StatusBadGateway, fmt.Sprintf("the model's server broke off before it answered: %v", err))
		}
		return false
	}
	defer res.Body.Close()
	if pool.silentUntil.Load() != 0 {
		pool.silentUntil.Store(0)
	}
	h := w.Header()
	for name, values := range res.Header {
		if !hop[name] {
			h[name] = values
		}
	}
	h[deploymentHeader] = []string{to.lane.name}
	if !c.grpc {
		g.metrics.answered(to.lane, res.StatusCode, c.began)
	}
	w.WriteHeader(res.StatusCode)
	if err := pass(w, res); err != nil {
		// The answer has begun: only breaking it off tells the client that it is not whole.
		panic(http.ErrAbortHandler)
	}
	for name, values := range res.Trailer {
		h[http.TrailerPrefix+name] = values
	}
	if c.grpc {
		g.metrics.answered(to.lane, grpcStatus(res), c.began)
	}
	return false
}

var (
	deploymentHeader = http.CanonicalHeaderKey(DeploymentHeader)
	buffers          = sync.Pool{New: func() any { return new([32 << 10]byte) }}
)

// pass copies an answer's body. One whose length is not known goes as it comes.
func pass(w http.ResponseWriter, res *http.Response) error {
	if res.ContentLength == 0 {
		return nil
	}
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := res.Body.Read(buffer[:])
		if n > 0 {
			if _, broken := w.Write(buffer[:n]); broken != nil {
				return nil // the client left: nobody is there to be told
			}
			if res.ContentLength < 0 {
				_ = http.NewResponseController(w).Flush()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// hop are the headers of one connection (RFC 9110, 7.6.1), which go no further,
// in either direction.
var hop = map[string]bool{
	"Connection": true, "Proxy-Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// request is what a copy gets: the client's headers without those of its
// connection and without its key, which is the gateway's business.
func (p *pool) request(ctx context.Context, r *http.Request, c *call) *http.Request {
	h := make(http.Header, len(r.Header)+3)
	for name, values := range r.Header {
		if !hop[name] && name != "Authorization" && name != "Expect" && name != "Forwarded" && name != deploymentHeader && name != ridgeline.PurposeHeader {
			h[name] = values
		}
	}
	for _, list := range r.Header["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			delete(h, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	if c.grpc {
		h["Te"] = []string{"trailers"}
	}
	if ip, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		h["X-Forwarded-For"] = []string{ip} // what the client says of itself is not believed
	}
	h["X-Forwarded-Host"] = []string{r.Host}
	h["X-Forwarded-Proto"] = []string{"http"}
	out := &http.Request{
		Method: r.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: p.base.Host, Header: h,
		URL:  &url.URL{Scheme: p.base.Scheme, Host: p.base.Host, Path: c.path, RawQuery: r.URL.RawQuery},
		Body: c.body.reader(), ContentLength: c.body.size,
	}
	return out.WithContext(ctx)
}

// notTaken reports whether the connection was refused, or closed before a
// byte of an answer came: the copy is going or gone and has not taken the
// request.
func notTaken(err error) bool {
	var op *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		(errors.As(err, &op) && op.Op == "dial") || strings.Contains(err.Error(), "server closed idle connection")
}

// silent reports whether nothing came from the copy's machine, not even an
// acknowledgement: it is gone, and so is whatever it may have answered.
func silent(err error) bool {
	var network net.Error
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || (errors.As(err, &network) && network.Timeout())
}

// silence is how long a copy whose machine is silent gets no requests while
// others can have them; then a single one is tried.
const silence = 5 * time.Second

// pools are the connections to copies, by address.
type pools struct{ all sync.Map }

type pool struct {
	base  *url.URL
	near  *sockets // nil: the copy is not on this machine
	plain *http.Transport
	grpc  *http.Transport // HTTP/2 without TLS

	silentUntil atomic.Int64 // Unix time in ns; 0: it answers
}

// avoided says whether requests should go elsewhere. When the time is over the
// first who asks may try.
func (p *pool) avoided(now time.Time) bool {
	until := p.silentUntil.Load()
	return until != 0 && (now.UnixNano() < until || !p.silentUntil.CompareAndSwap(until, now.Add(silence).UnixNano()))
}

// next is the address of the copy whose turn it is, but of one on a silent
// machine only when there is no other.
func (p *pools) next(l *lane) string {
	now := time.Now()
	for range l.addresses {
		if a := l.address(); !p.of(a).avoided(now) {
			return a
		}
	}
	return l.address()
}

// transport is what serves the request best.
func (p *pool) transport(c *call) http.RoundTripper {
	switch {
	case c.grpc:
		return p.grpc
	case p.near != nil && c.body.rest == nil:
		return p.near
	}
	return p.plain
}

func (p *pools) of(address string) *pool {
	if known, ok := p.all.Load(address); ok {
		return known.(*pool)
	}
	plain, base := host.Transport(address)
	grpc, _ := host.Transport(address)
	grpc.Protocols = new(http.Protocols)
	grpc.Protocols.SetUnencryptedHTTP2(true)
	target, err := url.Parse(base)
	if err != nil { // a host's own address; it has always parsed
		target = &url.URL{Scheme: "http", Host: "invalid"}
	}
	made := &pool{base: target, plain: plain, grpc: grpc}
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		made.near = &sockets{path: path}
	}
	known, _ := p.all.LoadOrStore(address, made)
	return known.(*pool)
}
