package flow

import (
	"context"
	"errors"
	"log/slog"
)

// quiet passes on warnings and errors. What DBOS tells of its ordinary life is
// noise beside our own log, and so is that its pollers were interrupted by
// Shutdown, which they report as errors.
type quiet struct{ slog.Handler }

// Enabled holds back what is below a warning.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// Handle passes a record on unless it only reports an interruption.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	interrupted := false
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		interrupted = ok && errors.Is(err, context.Canceled)
		return !interrupted
	})
	if interrupted {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs keeps the handler quiet.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup keeps the handler quiet.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
