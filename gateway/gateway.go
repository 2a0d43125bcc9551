// Package gateway sends an endpoint's requests to ready copies of its
// deployments: keys, weights, mirrors, limits, and the wait for copies that
// rest. It owns how a request travels, in HTTP and gRPC.
//
// What there is (endpoints, deployments, copies, keys) it asks others: the
// server's store and hosts, or, on a cluster, package gateway/outpost.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
	"github.com/ridgeline-mlops/ridgeline/internal/unread"
)

// Live is what the gateway has to know of endpoints.
type Live interface {
	// Serving returns the endpoint and its live deployments, newest first.
	Serving(ctx context.Context, p ridgeline.ProjectName, environment string) (ridgeline.Endpoint, []ridgeline.Deployment, error)
	// SaveFeedback keeps labels for what the endpoint has answered.
	SaveFeedback(ctx context.Context, list []ridgeline.Feedback) error
	// Asked notes that somebody asked a deployment that rests when nobody does.
	Asked(ctx context.Context, id ridgeline.DeploymentID, at time.Time) error
}

// Copies is what the gateway has to know of a host.
type Copies interface {
	Observe(ctx context.Context, id ridgeline.DeploymentID) (host.Observed, error)
}

// Doors is what the gateway has to know of keys and tokens.
type Doors interface {
	// EndpointKeys are what opens the endpoint.
	EndpointKeys(e ridgeline.Endpoint) auth.Keys
	// Principal is whose token the secret is; Denied when it is nobody's.
	Principal(ctx context.Context, secret string, now time.Time) (auth.Principal, error)
}

// A Gateway sends each request of an endpoint to a ready copy of one of its
// live deployments, by their weights. It is safe for concurrent use.
type Gateway struct {
	store   Live
	copies  Copies
	doors   Doors
	tracer  *tracing.Tracer
	log     *slog.Logger
	metrics gatewayMetrics
	pools   pools

	// Wake brings back the copies of a deployment that is asleep, without waiting
	// for them. It is set before the first request.
	Wake func(ctx context.Context, id ridgeline.DeploymentID) error

	mu     sync.RWMutex // held for reading from looking a route up until the request is counted in it
	routes map[string]*route
	counts map[string]*counts                 // of endpoints, by the same names
	lanes  map[ridgeline.DeploymentID]*counts // of deployments
	marks  map[string][]mark                  // of deployments by endpoint and name, for their rates
}

// New makes a gateway. The tracer may be nil.
func New(store Live, copies Copies, doors Doors, tracer *tracing.Tracer, log *slog.Logger) *Gateway {
	return &Gateway{
		store: store, copies: copies, doors: doors, tracer: tracer, log: log, metrics: newGatewayMetrics(),
		routes: map[string]*route{}, counts: map[string]*counts{}, lanes: map[ridgeline.DeploymentID]*counts{}, marks: map[string][]mark{},
	}
}

// DeploymentHeader is Azure ML's header by which a request chooses its
// deployment, whatever the weights, and an answer says whose it is.
const DeploymentHeader = "azureml-model-deployment"

// A call is one request on its way.
type call struct {
	endpoint string // PROJECT/ENVIRONMENT
	path     string // behind the endpoint
	lane     string // the deployment asked for by name, or empty
	began    time.Time
	body     body
	grpc     bool
}

// ServeHTTP answers /endpoints/{project}/{environment}/… .
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{lane: r.Header.Get(DeploymentHeader), began: time.Now()}
	rest := strings.TrimPrefix(r.URL.Path, "/endpoints/")
	first := strings.IndexByte(rest, '/')
	second := strings.IndexByte(rest[first+1:], '/')
	if c.endpoint = rest; first >= 0 && second >= 0 {
		c.endpoint, c.path = rest[:first+1+second], rest[first+1+second:]
	}
	a := &answerer{ResponseWriter: w, problem: problem}
	if 0 <= r.ContentLength && r.ContentLength <= smallBody {
		g.answer(a, r, c)
		return
	}
	unread.Allow(w)
	g.answer(a, r, c)
	if !c.body.came() {
		unread.Drop(w, r)
	}
}

// smallBody is what net/http reads by itself of a body that nobody has read.
const smallBody = 256 << 10

// answer admits the request and has it answered by a copy.
func (g *Gateway) answer(w *answerer, r *http.Request, c *call) {
	rt, err := g.admit(r, c.endpoint)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.Denied:
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.problem(w, http.StatusUnauthorized, err.Error())
		return
	case c.path == "":
		g.fail(w, r, ridgeline.Errorf(ridgeline.NotFound, "expected /endpoints/PROJECT/ENVIRONMENT/score, got %s", r.URL.Path))
		return
	case err != nil:
		g.fail(w, r, err)
		return
	case c.path == feedbackPath && !c.grpc:
		g.feedback(w, r, c.endpoint)
		return
	}
	if span := g.tracer.Serve(r.Header, "gateway", c.began); span != nil {
		defer func() {
			span.End(w.status, "", "http.request.method", r.Method, "url.path", r.URL.Path, "ridgeline.endpoint", c.endpoint, "ridgeline.deployment", w.Header().Get(DeploymentHeader))
		}()
	}
	under := rt.counts
	if n := under.inflight.Add(1); rt.limit.Concurrent > 0 && n > int64(rt.limit.Concurrent) {
		under.inflight.Add(-1)
		g.metrics.refuse(c.endpoint, "limit")
		w.Header().Set("Retry-After", "1")
		w.problem(w, http.StatusTooManyRequests, fmt.Sprintf("%s takes %d requests at once (limit.concurrent), and as many are under way: try again in a moment", c.endpoint, rt.limit.Concurrent))
		return
	}
	defer under.inflight.Add(-1)
	ctx, cancel := patience(r, rt.limit.Timeout)
	defer cancel()
	if c.body, err = readBody(w, r, c.grpc); err != nil {
		w.problem(w, http.StatusBadRequest, "the request's body broke off: "+err.Error())
		return
	}
	for attempt := 0; ; attempt++ {
		way, err := g.pick(ctx, c, attempt > 0)
		if errors.Is(err, errWaking) && time.Since(c.began) < wakeTime {
			select {
			case <-ctx.Done():
				g.overdue(ctx, w, c)
				return
			case <-time.After(wakePoll):
			}
			attempt--
			continue
		}
		if err != nil {
			g.fail(w, r, err)
			return
		}
		again := g.forward(ctx, w, r, c, way, attempt < 50)
		way.done()
		if !again {
			return
		}
		select {
		case <-ctx.Done():
			g.overdue(ctx, w, c)
			return
		case <-time.After(min(10*time.Millisecond<<attempt, 200*time.Millisecond)):
		}
	}
}

// halfClosed is how long an answer is still waited for when its client seems to
// have gone: one that only said that it has nothing more to send looks the
// same.
const halfClosed = time.Second

// patience is the context of a request on its way to a copy: it ends some time
// after the client's, and at the endpoint's time limit.
func patience(r *http.Request, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if r.ProtoMajor == 1 {
		ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
		giveUp := cancel
		stop := context.AfterFunc(r.Context(), func() { time.AfterFunc(halfClosed, giveUp) })
		cancel = func() { stop(); giveUp() }
	}
	if limit == 0 {
		return ctx, cancel
	}
	bounded, end := context.WithTimeout(ctx, limit)
	return bounded, func() { end(); cancel() }
}

// overdue answers for a request whose context is done.
func (g *Gateway) overdue(ctx context.Context, w *answerer, c *call) {
	if context.Cause(ctx) != context.DeadlineExceeded { //nolint:errorlint // never wrapped
		g.metrics.refuse(c.endpoint, "client left")
		return
	}
	g.metrics.refuse(c.endpoint, "timeout")
	w.problem(w, http.StatusGatewayTimeout, "no answer within the endpoint's limit, after "+time.Since(c.began).Round(time.Millisecond).String())
}

func (g *Gateway) fail(w *answerer, r *http.Request, err error) {
	code, message := ridgeline.CodeOf(err), err.Error()
	if code == ridgeline.Internal {
		g.log.Error("gateway", "path", r.URL.Path, "error", err)
		message = internalError
	}
	w.problem(w, statuses[code], message)
}

// admit checks the endpoint's key, or a token of somebody who may release.
func (g *Gateway) admit(r *http.Request, endpoint string) (*route, error) {
	key, ok := auth.Bearer(r.Header.Get("Authorization"))
	if !ok {
		return nil, ridgeline.Errorf(ridgeline.Denied, "no key: send Authorization: Bearer KEY (ridgeline endpoints shows the keys)")
	}
	rt, err := g.route(r.Context(), endpoint, false)
	if err == nil && rt.keys.Open(key) {
		return rt, nil
	}
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return nil, err // whether the key opens is not known: no reason to throw it away
	}
	who, denied := g.doors.Principal(r.Context(), key, time.Now())
	mine := who.Project == "" || who.Scoped() && strings.HasPrefix(endpoint, string(who.Project)+"/")
	if denied != nil || !who.Role.Allows(ridgeline.Writer) || !mine {
		g.metrics.refuse("", "key")
		return nil, ridgeline.Errorf(ridgeline.Denied, "this key does not open %s", endpoint)
	}
	return rt, err // whoever may know that there is no such endpoint is told
}

// answerer spells errors for one kind of client.
type answerer struct {
	http.ResponseWriter
	problem func(w http.ResponseWriter, status int, detail string)
	status  int
}

func (a *answerer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answerer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Answered implements release.Traffic.
func (g *Gateway) Answered(id ridgeline.DeploymentID) ridgeline.Answers {
	g.mu.RLock()
	defer g.mu.RUnlock()
	c := g.lanes[id]
	if c == nil {
		return ridgeline.Answers{}
	}
	out := ridgeline.Answers{Succeeded: c.answered.Load(), Failed: c.failed.Load(), Latency: make(ridgeline.Histogram, ridgeline.LatencyBuckets)}
	for i := range c.latency {
		out.Latency[i] = c.latency[i].Load()
	}
	return out
}

// statuses spell the codes of errors.
var statuses = map[ridgeline.Code]int{
	ridgeline.Invalid: http.StatusUnprocessableEntity, ridgeline.NotFound: http.StatusNotFound, ridgeline.Conflict: http.StatusConflict,
	ridgeline.Denied: http.StatusForbidden, ridgeline.Unavailable: http.StatusServiceUnavailable, ridgeline.Internal: http.StatusInternalServerError,
}

const internalError = "an unexpected error occurred; the log has it"

// problem answers with an error in RFC 9457's form.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
