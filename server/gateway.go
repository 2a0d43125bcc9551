package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// Live is what the gateway has to know of endpoints.
type Live interface {
	Endpoint(ctx context.Context, p ridgeline.ProjectName, environment string) (ridgeline.Endpoint, error)
}

// Copies is what the gateway has to know of a host.
type Copies interface {
	Observe(ctx context.Context, id ridgeline.DeploymentID) (host.Observed, error)
}

// A Gateway sends each request of an endpoint to a ready copy of its live
// deployment. It is safe for concurrent use.
type Gateway struct {
	store    Live
	copies   Copies
	auth     *auth.Authenticator
	log      *slog.Logger
	mu       sync.RWMutex // held for reading from looking a route up until the request is counted in it
	routes   map[string]*route
	inflight map[ridgeline.DeploymentID]*atomic.Int64
	pools    sync.Map // address → connection pool
}

// NewGateway makes a gateway.
func NewGateway(store Live, copies Copies, a *auth.Authenticator, log *slog.Logger) *Gateway {
	return &Gateway{
		store: store, copies: copies, auth: a, log: log,
		routes: map[string]*route{}, inflight: map[ridgeline.DeploymentID]*atomic.Int64{},
	}
}

// route is what was last known of an endpoint.
type route struct {
	endpoint  ridgeline.Endpoint
	serving   ridgeline.DeploymentID // whose copies the addresses are
	addresses []string
	next      atomic.Uint32
	loaded    time.Time
}

// routeAge is how long a route is trusted before it is looked up again. A
// switch by this process's own releases takes effect at once; this is for
// copies that come and go, keys that rotate, and other servers' releases.
const routeAge = time.Second

// maxReplay is up to which size a request is kept, so that it can be sent
// again when the copy it was meant for went away before it took it.
const maxReplay = 1 << 20

// ServeHTTP answers /endpoints/{project}/{environment}/… .
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/endpoints/"), "/", 3)
	named := len(parts) == 3
	parts = append(parts, "", "")
	project, environment, rest := ridgeline.ProjectName(parts[0]), parts[1], "/"+parts[2]
	err := g.admit(r, project, environment)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.Denied:
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem(w, http.StatusUnauthorized, err.Error())
		return
	case !named:
		Problem(w, ridgeline.Errorf(ridgeline.NotFound, "expected /endpoints/PROJECT/ENVIRONMENT/score, got %s", r.URL.Path))
		return
	case err != nil:
		g.fail(w, r, err)
		return
	}
	body, replay, err := readBody(r)
	if err != nil {
		problem(w, http.StatusBadRequest, "the request's body broke off: "+err.Error())
		return
	}
	for attempt := 0; ; attempt++ {
		address, done, err := g.pick(r.Context(), project, environment, attempt > 0)
		if err != nil {
			g.fail(w, r, err)
			return
		}
		again := g.forward(w, r, address, rest, body(), replay && attempt < 50)
		done()
		if !again {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(min(10*time.Millisecond<<attempt, 200*time.Millisecond)):
		}
	}
}

func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	if ridgeline.CodeOf(err) == ridgeline.Internal {
		g.log.Error("gateway", "path", r.URL.Path, "error", err)
	}
	Problem(w, err)
}

// readBody keeps a small body, so that the request can be sent again.
func readBody(r *http.Request) (body func() io.Reader, replay bool, err error) {
	head, err := io.ReadAll(io.LimitReader(r.Body, maxReplay+1))
	if err != nil {
		return nil, false, err
	}
	if len(head) <= maxReplay {
		return func() io.Reader { return bytes.NewReader(head) }, true, nil
	}
	return func() io.Reader { return io.MultiReader(bytes.NewReader(head), r.Body) }, false, nil
}

// admit checks the endpoint's key, or a token of somebody who may release.
func (g *Gateway) admit(r *http.Request, p ridgeline.ProjectName, environment string) error {
	key, ok := bearer(r)
	if !ok {
		return ridgeline.Errorf(ridgeline.Denied, "no key: send Authorization: Bearer KEY (ridgeline endpoints shows the keys)")
	}
	rt, err := g.route(r.Context(), p, environment, false)
	if err == nil && g.auth.OpensEndpoint(rt.endpoint, key) {
		return nil
	}
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return err // whether the key opens is not known: no reason to throw it away
	}
	who, denied := g.auth.Principal(r.Context(), key, time.Now())
	if denied != nil || !who.Role.Allows(ridgeline.Writer) {
		return ridgeline.Errorf(ridgeline.Denied, "this key does not open %s/%s", p, environment)
	}
	return err // whoever may know that there is no such endpoint is told
}

// pick chooses a ready copy of the live deployment and counts the request in
// it until done is called.
func (g *Gateway) pick(ctx context.Context, p ridgeline.ProjectName, environment string, fresh bool) (address string, done func(), err error) {
	if _, err := g.route(ctx, p, environment, fresh); err != nil {
		return "", nil, err
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	rt := g.routes[routeKey(p, environment)]
	if rt == nil || rt.endpoint.Live == "" {
		return "", nil, ridgeline.Errorf(ridgeline.Unavailable, "nothing is deployed to %s/%s yet: ridgeline release MODEL", p, environment)
	}
	if len(rt.addresses) == 0 {
		return "", nil, ridgeline.Errorf(ridgeline.Unavailable, "no copy of %s/%s is ready: see ridgeline endpoints", p, environment)
	}
	count := g.inflight[rt.serving]
	count.Add(1)
	n := int(rt.next.Add(1))
	return rt.addresses[n%len(rt.addresses)], func() { count.Add(-1) }, nil
}

func routeKey(p ridgeline.ProjectName, environment string) string {
	return string(p) + "/" + environment
}

// route returns the endpoint's route, looked up again when it is old, has no
// copy, or fresh is asked for.
func (g *Gateway) route(ctx context.Context, p ridgeline.ProjectName, environment string, fresh bool) (*route, error) {
	g.mu.RLock()
	rt := g.routes[routeKey(p, environment)]
	g.mu.RUnlock()
	if rt != nil && !fresh && len(rt.addresses) > 0 && time.Since(rt.loaded) < routeAge {
		return rt, nil
	}
	asked := time.Now() // before the look-up: see below
	e, err := g.store.Endpoint(ctx, p, environment)
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound && !fresh && rt != nil && len(rt.addresses) > 0 {
		// The store is away, the copies are not: answering goes on as before.
		g.log.Warn("an endpoint could not be looked up; its last known copies answer", "project", p, "environment", environment, "error", err)
		return rt, nil
	}
	if err != nil {
		return nil, err
	}
	loaded := &route{endpoint: e, loaded: asked}
	if e.Live != "" {
		if err := g.serve(ctx, loaded, e.Live); err != nil {
			return nil, err
		}
		// A server that does not lead brings up its own copies a moment after the
		// leader's release: until then it answers with those it has.
		if len(loaded.addresses) == 0 && rt != nil && rt.serving != "" && rt.serving != e.Live {
			if err := g.serve(ctx, loaded, rt.serving); err != nil {
				return nil, err
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// A slower look-up must not put an older state over a newer one.
	if now := g.routes[routeKey(p, environment)]; now != nil && now.loaded.After(loaded.loaded) {
		return now, nil
	}
	g.routes[routeKey(p, environment)] = loaded
	if g.inflight[loaded.serving] == nil {
		g.inflight[loaded.serving] = &atomic.Int64{}
	}
	return loaded, nil
}

// serve points the route at the deployment's ready copies.
func (g *Gateway) serve(ctx context.Context, r *route, id ridgeline.DeploymentID) error {
	seen, err := g.copies.Observe(ctx, id)
	if err != nil {
		return err
	}
	r.serving = id
	for _, c := range seen.Copies {
		if c.Ready {
			r.addresses = append(r.addresses, c.Address)
		}
	}
	return nil
}

// Switched implements release.Traffic.
func (g *Gateway) Switched(ctx context.Context, p ridgeline.ProjectName, environment string) error {
	_, err := g.route(ctx, p, environment, true)
	return err
}

// drainTimeout bounds how long a retired deployment is kept for a request
// that does not end.
const drainTimeout = 30 * time.Second

// Drained implements release.Traffic.
func (g *Gateway) Drained(ctx context.Context, id ridgeline.DeploymentID) error {
	deadline := time.Now().Add(drainTimeout)
	for time.Now().Before(deadline) {
		g.mu.Lock()
		count := g.inflight[id]
		if count == nil || count.Load() == 0 {
			if !g.used(id) {
				delete(g.inflight, id)
			}
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	g.log.Warn("requests did not end in time; retiring their deployment all the same", "deployment", id)
	return nil
}

// used reports whether a route still leads to the deployment.
func (g *Gateway) used(id ridgeline.DeploymentID) bool {
	for _, rt := range g.routes {
		if rt.serving == id {
			return true
		}
	}
	return false
}

// Ready reports how many copies of the endpoint's live deployment answer.
func (g *Gateway) Ready(ctx context.Context, e ridgeline.Endpoint) (int, error) {
	if e.Live == "" {
		return 0, nil
	}
	seen, err := g.copies.Observe(ctx, e.Live)
	return seen.Ready(), err
}

// forward sends the request to one copy. It returns true when the copy was
// not there to take it, nothing was answered yet, and it may be sent again.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, address, path string, body io.Reader, replay bool) (again bool) {
	target, transport := g.transport(address)
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.URL.Path, p.Out.URL.RawPath = target.Scheme, target.Host, path, ""
			p.Out.Host = target.Host
			p.Out.Header.Del("Authorization") // the key is the gateway's business
			p.SetXForwarded()
			p.Out.Body = io.NopCloser(body)
		},
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return
			}
			if replay && notTaken(err) {
				again = true
				return
			}
			g.log.Warn("a copy did not answer", "address", address, "error", err)
			problem(w, http.StatusBadGateway, fmt.Sprintf("the model's server broke off before it answered: %v", err))
		},
	}
	proxy.ServeHTTP(w, r)
	return again
}

// notTaken reports whether the connection was refused, or closed before a
// byte of an answer came: the copy is going or gone and has not taken the
// request.
func notTaken(err error) bool {
	var op *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		(errors.As(err, &op) && op.Op == "dial") || strings.Contains(err.Error(), "server closed idle connection")
}

// transport is the connection pool for one copy's address.
func (g *Gateway) transport(address string) (*url.URL, http.RoundTripper) {
	type pool struct {
		base      *url.URL
		transport *http.Transport
	}
	if p, ok := g.pools.Load(address); ok {
		return p.(pool).base, p.(pool).transport
	}
	transport, base := host.Transport(address)
	target, err := url.Parse(base)
	if err != nil { // a host's own address; it has always parsed
		target = &url.URL{Scheme: "http", Host: "invalid"}
	}
	p, _ := g.pools.LoadOrStore(address, pool{target, transport})
	return p.(pool).base, p.(pool).transport
}
