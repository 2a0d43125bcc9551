package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// route is what was last known of an endpoint.
type route struct {
	endpoint ridgeline.Endpoint
	keys     auth.Keys
	limit    ridgeline.Limit // of the deployment that answers most
	lanes    []*lane         // to its live deployments
	waking   bool            // one that answers requests was asleep, and its copies come
	counts   *counts
	loaded   time.Time
	renewing atomic.Bool
}

// lane leads to the ready copies of one deployment.
type lane struct {
	id        ridgeline.DeploymentID
	name      string // v3
	weight    int    // percent of the requests
	mirror    int    // percent of which a copy is sent
	addresses []string
	next      atomic.Uint32
	counts    *counts
	seconds   prometheus.ObserverVec // time to answer, by status class
}

// address is that of the copy whose turn it is.
func (l *lane) address() string { return l.addresses[int(l.next.Add(1))%len(l.addresses)] }

// counts are what outlives a route: it is looked up again every second.
type counts struct {
	inflight  atomic.Int64
	mirroring atomic.Int64 // copies of requests under way
	answered  atomic.Int64 // with success
	failed    atomic.Int64 // with 500 or more
	latency   [ridgeline.LatencyBuckets]atomic.Int64
}

// add counts a request that was answered, or broke off, with that status.
func (c *counts) add(status int, seconds float64) {
	c.latency[ridgeline.Bucket(seconds, ridgeline.LatencyFirst, ridgeline.LatencyBuckets)].Add(1)
	switch status / 100 {
	case 2:
		c.answered.Add(1)
	case 5:
		c.failed.Add(1)
	}
}

// routeAge is how long a route is trusted before it is looked up again. A
// switch by this process's own releases takes effect at once; this is for
// copies that come and go, keys that rotate, and other servers' releases.
const routeAge = time.Second

// A way is where one request goes.
type way struct {
	lane    *lane
	address string
	mirrors []*lane // that get a copy of it
}

func (w way) done() { w.lane.counts.inflight.Add(-1) }

// pick chooses a ready copy of a live deployment and counts the request in it
// until done is called.
func (g *Gateway) pick(ctx context.Context, c *call, fresh bool) (way, error) {
	if _, err := g.route(ctx, c.endpoint, fresh); err != nil {
		return way{}, err
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	rt := g.routes[c.endpoint]
	if rt == nil || len(rt.lanes) == 0 {
		g.metrics.refuse(c.endpoint, "nothing deployed")
		return way{}, ridgeline.Errorf(ridgeline.Unavailable, "nothing is deployed to %s yet: ridgeline release MODEL", c.endpoint)
	}
	to, err := rt.choose(c)
	if err != nil {
		g.metrics.refuse(c.endpoint, "not ready")
		return way{}, err
	}
	out := way{lane: to, address: g.pools.next(to)}
	to.counts.inflight.Add(1)
	if c.lane == "" && !fresh {
		out.mirrors = rt.mirrors()
	}
	for _, l := range out.mirrors {
		l.counts.inflight.Add(1) // a copy counts as a request: what it is on its way to is not taken away
	}
	return out, nil
}

// choose returns a lane that has ready copies: the one asked for, else one by
// the weights.
func (rt *route) choose(c *call) (*lane, error) {
	if c.lane != "" {
		i := slices.IndexFunc(rt.lanes, func(l *lane) bool { return l.name == c.lane })
		if i < 0 {
			names := make([]string, len(rt.lanes))
			for i, l := range rt.lanes {
				names[i] = l.name
			}
			return nil, ridgeline.Errorf(ridgeline.NotFound, "%s has no deployment %q (%s): it has %s", c.endpoint, c.lane, DeploymentHeader, strings.Join(names, ", "))
		}
		if len(rt.lanes[i].addresses) == 0 {
			return nil, ridgeline.Errorf(ridgeline.Unavailable, "no copy of %s in %s is ready: see ridgeline endpoints", c.lane, c.endpoint)
		}
		return rt.lanes[i], nil
	}
	total, ready := 0, 0
	for _, l := range rt.lanes {
		if total += l.weight; len(l.addresses) > 0 {
			ready += l.weight
		}
	}
	switch {
	case total == 0:
		return nil, ridgeline.Errorf(ridgeline.Unavailable, "no deployment of %s gets requests: ridgeline traffic %s", c.endpoint, strings.Replace(c.endpoint, "/", " ", 1))
	case ready == 0 && rt.waking:
		return nil, fmt.Errorf("%w: no copy of %s is ready", errWaking, c.endpoint)
	case ready == 0:
		return nil, ridgeline.Errorf(ridgeline.Unavailable, "no copy of %s is ready: see ridgeline endpoints", c.endpoint)
	}
	var l *lane
	n := rand.IntN(ready)
	for _, l = range rt.lanes {
		if len(l.addresses) == 0 {
			continue
		}
		if n -= l.weight; n < 0 {
			break
		}
	}
	return l, nil
}

// mirrors draws the lanes that get a copy of a request.
func (rt *route) mirrors() (out []*lane) {
	for _, l := range rt.lanes {
		if l.mirror > 0 && len(l.addresses) > 0 && rand.IntN(100) < l.mirror {
			out = append(out, l)
		}
	}
	return out
}

// usable reports whether a copy of what has weight is ready.
func (rt *route) usable() bool {
	return slices.ContainsFunc(rt.lanes, func(l *lane) bool { return l.weight > 0 && len(l.addresses) > 0 })
}

// route returns the endpoint's route, looked up again when it is old, has no
// copy, or fresh is asked for.
func (g *Gateway) route(ctx context.Context, name string, fresh bool) (*route, error) {
	g.mu.RLock()
	rt := g.routes[name]
	g.mu.RUnlock()
	if rt != nil && !fresh && rt.usable() {
		switch age := time.Since(rt.loaded); {
		case age < routeAge:
			return rt, nil
		case age < 2*routeAge: // nobody waits for a look-up that probably changes nothing
			if rt.renewing.CompareAndSwap(false, true) {
				go func() {
					defer rt.renewing.Store(false)
					ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), routeAge)
					defer cancel()
					_, _ = g.renew(ctx, name, rt, false) // whoever comes when it is older sees the error
				}()
			}
			return rt, nil
		}
	}
	return g.renew(ctx, name, rt, fresh)
}

// renew looks the endpoint up. rt is what was known until now, or nil.
func (g *Gateway) renew(ctx context.Context, name string, rt *route, fresh bool) (*route, error) {
	asked := time.Now() // before the look-up: see below
	project, environment, _ := strings.Cut(name, "/")
	e, live, err := g.store.Serving(ctx, ridgeline.ProjectName(project), environment)
	if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound && !fresh && rt != nil && rt.usable() {
		// The store is away, the copies are not: answering goes on as before.
		g.log.Warn("an endpoint could not be looked up; its last known copies answer", "endpoint", name, "error", err)
		return rt, nil
	}
	if err != nil {
		return nil, err
	}
	loaded := &route{endpoint: e, keys: g.doors.EndpointKeys(e), loaded: asked}
	for _, d := range live {
		if err := g.open(ctx, loaded, d); err != nil {
			return nil, err
		}
		if d.Idle > 0 && d.Weight > 0 {
			if err := g.asked(ctx, loaded, d); err != nil {
				return nil, err
			}
		}
		if d.ID == e.Live {
			loaded.limit = d.Limit
		}
	}
	// A server that does not lead brings up its own copies a moment after the
	// leader's release: until then it answers with those it has.
	if rt != nil && len(live) > 0 && !loaded.usable() {
		for _, l := range rt.lanes {
			if !slices.ContainsFunc(live, func(d ridgeline.Deployment) bool { return d.ID == l.id }) {
				if err := g.open(ctx, loaded, l.deployment(e)); err != nil {
					return nil, err
				}
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// A slower look-up must not put an older state over a newer one.
	if now := g.routes[name]; now != nil && now.loaded.After(loaded.loaded) {
		return now, nil
	}
	g.routes[name] = loaded
	loaded.counts = counted(g.counts, name)
	for _, l := range loaded.lanes {
		l.counts = counted(g.lanes, l.id)
	}
	return loaded, nil
}

// errWaking is why a request is held for a while.
var errWaking = ridgeline.Errorf(ridgeline.Unavailable, "the copies that nobody had asked for come back")

// How long a request is held for copies that come back, and how often they are
// looked at.
const (
	wakeTime = 2 * time.Minute
	wakePoll = 100 * time.Millisecond
)

// asked notes, now and then, that a deployment that rests is asked, and wakes
// it. A route is only looked up for a request.
func (g *Gateway) asked(ctx context.Context, r *route, d ridgeline.Deployment) error {
	r.waking = r.waking || len(r.lanes[len(r.lanes)-1].addresses) == 0
	if d.Asleep {
		return g.Wake(ctx, d.ID)
	}
	if now := time.Now(); now.Sub(d.Asked) > min(d.Idle/4, 30*time.Second) {
		return g.store.Asked(ctx, d.ID, now.UTC())
	}
	return nil
}

func counted[K comparable](all map[K]*counts, key K) *counts {
	if all[key] == nil {
		all[key] = &counts{}
	}
	return all[key]
}

// open adds the lane to the deployment's ready copies.
func (g *Gateway) open(ctx context.Context, r *route, d ridgeline.Deployment) error {
	seen, err := g.copies.Observe(ctx, d.ID)
	if err != nil {
		return err
	}
	l := &lane{id: d.ID, name: d.Name(), weight: d.Weight, mirror: d.Mirror}
	for _, c := range seen.Copies {
		if c.Ready {
			l.addresses = append(l.addresses, c.Address)
		}
	}
	l.seconds = g.metrics.of(r.endpoint, l.name)
	r.lanes = append(r.lanes, l)
	return nil
}

// deployment is what the lane led to, for as long as nothing else answers.
func (l *lane) deployment(e ridgeline.Endpoint) ridgeline.Deployment {
	version, _ := ridgeline.VersionNamed(l.name)
	return ridgeline.Deployment{ID: l.id, Project: e.Project, Environment: e.Environment, Version: version, Weight: l.weight}
}

// Switched implements release.Traffic.
func (g *Gateway) Switched(ctx context.Context, p ridgeline.ProjectName, environment string) error {
	_, err := g.route(ctx, string(p)+"/"+environment, true)
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
		under := g.lanes[id]
		if under == nil || under.inflight.Load() == 0 {
			if !g.used(id) {
				delete(g.lanes, id)
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
		if slices.ContainsFunc(rt.lanes, func(l *lane) bool { return l.id == id }) {
			return true
		}
	}
	return false
}

// Ready reports how many copies of the deployment answer.
func (g *Gateway) Ready(ctx context.Context, id ridgeline.DeploymentID) (int, error) {
	seen, err := g.copies.Observe(ctx, id)
	return seen.Ready(), err
}
