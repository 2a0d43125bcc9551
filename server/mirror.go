package server

import (
	"context"
	"io"
	"net/http"
	"time"
)

// A copy of a request is dropped when so many of one deployment are under way,
// and given up after so long: it must not cost the requests themselves.
const (
	maxMirroring  = 64
	mirrorTimeout = time.Minute
)

// MirrorHeader marks a copy of a request, whose answer nobody gets.
const MirrorHeader = "X-Ridgeline-Mirror"

// mirror sends a copy of the request to each of the lanes and drops the
// answers. A request too large to be kept, and a gRPC one, are
// not copied.
func (g *Gateway) mirror(out *http.Request, c *call, lanes []*lane) {
	for _, l := range lanes {
		if c.grpc || c.body.rest != nil || l.counts.mirroring.Load() >= maxMirroring {
			l.counts.inflight.Add(-1)
			g.metrics.copied(c.endpoint, l.name, "dropped")
			continue
		}
		l.counts.mirroring.Add(1)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(out.Context()), mirrorTimeout)
		twin := out.Clone(ctx)
		twin.Body = c.body.reader()
		twin.Header.Set(MirrorHeader, "true")
		pool := g.pools.of(l.address())
		twin.URL.Scheme, twin.URL.Host, twin.Host = pool.base.Scheme, pool.base.Host, pool.base.Host
		go func() {
			defer l.counts.inflight.Add(-1)
			defer l.counts.mirroring.Add(-1)
			defer cancel()
			status := "failed"
			if res, err := pool.transport(c).RoundTrip(twin); err == nil {
				if _, err := io.Copy(io.Discard, res.Body); err == nil {
					status = class(res.StatusCode)
				}
				res.Body.Close()
			}
			g.metrics.copied(c.endpoint, l.name, status)
		}()
	}
}
