// Package exchange is one scoring request and its answer as everything but its
// dialect sees them: what came, what went, how long each part took.
//
// Dialects and the front fill it in; the inference log, the metrics, the traces
// and the access log read it when the answer is about to go.
package exchange

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// An Exchange is one request under way. It belongs to the request's goroutine
// until its answer has gone; nobody may keep it, or what its slices point at,
// longer.
type Exchange struct {
	Began     time.Time
	Dialect   string // "azureml", "pyfunc", "oip", "grpc"
	RequestID string // x-request-id, given or made up
	ClientID  string // x-ms-client-request-id
	TraceID   string // 32 hexadecimal digits of traceparent, or empty
	SpanID    string // the caller's span, 16 hexadecimal digits, or empty

	Purpose string // why it is made when no client asked it (ridgeline.PurposeHeader), or empty

	Body   []byte       // as it came, when the model takes it as it is
	Input  tensor.Batch // else what was read from it
	Answer []byte       // as it goes, when the model made it as it is
	Output tensor.Batch // else what the model gave

	Status  int           // HTTP's; a gRPC answer has its HTTP equivalent
	Failure *Failure      // nil when the model answered
	Sent    time.Time     // to the model; zero: it never was
	Queued  time.Duration // from having the request whole to its being sent to a worker
	Model   time.Duration // in predict() or run(); of the whole batch that it was part of
	Batch   int           // rows that were answered together with it, its own included; 0 when none was
	Worker  int           // process id, 0 when none had it: with a Batch, the scorer answered by itself
}

type key struct{}

// With returns a context that carries x.
func With(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, key{}, x)
}

// From returns the context's exchange, or an empty one that nobody reads.
func From(ctx context.Context) *Exchange {
	if x, ok := ctx.Value(key{}).(*Exchange); ok {
		return x
	}
	return &Exchange{}
}
