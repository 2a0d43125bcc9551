package gateway

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A copy of a request is dropped when so many of one deployment are under way,
// and given up after so long: it must not cost the requests themselves.
const (
	maxMirroring  = 64
	mirrorTimeout = time.Minute
)

// mirror sends a copy of the request to each of the lanes and drops the
// answers. A request too large to be kept, and a gRPC one, are
// not copied.
func (g *Gateway) mirror(out *http.Request, c *call, lanes []*lane) {
	if len(lanes) > 0 && len(out.Header["X-Request-Id"]) == 0 {
		out.Header["X-Request-Id"] = []string{rand.Text()} // the same in both logs, so that their answers can be compared
	}
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
		twin.Header.Set(ridgeline.PurposeHeader, ridgeline.PurposeMirror)
		pool := g.pools.of(g.pools.next(l))
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
