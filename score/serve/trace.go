package serve

import (
	"context"
	"net/http"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

// lastSpans is how long the last spans may take to get to their collector when
// the process stops.
const lastSpans = 2 * time.Second

// trace makes the tracer that the environment asks for; its second result ends
// it.
func (c *Config) trace(ctx context.Context) (func(), error) {
	t, err := tracing.New(ctx, c.Log, "ridgeline-scorer", c.About...)
	if err != nil {
		return nil, err
	}
	c.tracer = t
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
		defer cancel()
		_ = t.Close(ctx) // what is wrong with the collector was said
	}, nil
}

// begin begins the span of a request, which the model's own spans then are
// below: it finds the request's traceparent among its headers.
func (c *Config) begin(r *http.Request, x *exchange.Exchange) *tracing.Span {
	if c.tracer == nil {
		return nil
	}
	span := c.tracer.Serve(r.Header, "score", x.Began)
	x.TraceID = span.Trace()
	return span
}

// end ends the span, with what the request spent in the queue and in the model
// below it.
func end(span *tracing.Span, x *exchange.Exchange, r *http.Request) {
	if span == nil {
		return
	}
	if !x.Sent.IsZero() {
		span.Child("queue", x.Sent.Add(-x.Queued), x.Sent)
		span.Child("model", x.Sent, x.Sent.Add(x.Model), "ridgeline.batch_rows", x.Batch, "process.pid", x.Worker)
	}
	cause := ""
	if x.Failure != nil {
		cause = x.Failure.Error()
	}
	span.End(x.Status, cause, "http.request.method", r.Method, "url.path", r.URL.Path, "ridgeline.dialect", x.Dialect, "ridgeline.request_id", x.RequestID)
}
