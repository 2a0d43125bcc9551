// Package tracing makes OpenTelemetry spans of requests and sends them by
// OTLP over HTTP, where OpenTelemetry's own environment variables say where to.
//
// What is worth a span is its callers' business.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A Tracer makes spans. The nil Tracer makes none, which costs nothing.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// Wanted reports whether the environment asks for traces: with
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, unless
// OTEL_SDK_DISABLED is true or OTEL_TRACES_EXPORTER is none.
func Wanted(getenv func(string) string) bool {
	return (getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "") &&
		!strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") && getenv("OTEL_TRACES_EXPORTER") != "none"
}

// Variables are the environment's variables of OpenTelemetry, KEY=value, for
// processes that are to send their traces to the same place.
func Variables(environ []string) []string {
	var out []string
	for _, v := range environ {
		if strings.HasPrefix(v, "OTEL_") && !strings.HasPrefix(v, "OTEL_SERVICE_NAME=") {
			out = append(out, v)
		}
	}
	return out
}

// New makes a Tracer as the environment wants it, nil where it wants none.
// service names the process where OTEL_SERVICE_NAME does not; about is what
// else tells it from others, in pairs. Spans are sent in the background: a
// collector that is away costs spans, and no request.
func New(ctx context.Context, log *slog.Logger, service string, about ...string) (*Tracer, error) {
	if !Wanted(os.Getenv) {
		return nil, nil
	}
	if p := os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
		log.Warn("traces are sent as http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL", p)
	}
	exporter, err := newExporter(os.Getenv)
	if err != nil {
		return nil, err
	}
	attributes := []attribute.KeyValue{attribute.String("service.name", service)}
	for i := 0; i < len(about); i += 2 {
		if about[i+1] != "" {
			attributes = append(attributes, attribute.String(about[i], about[i+1]))
		}
	}
	// The environment's OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME come last and win.
	res, err := resource.New(ctx, resource.WithAttributes(attributes...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the traces' source: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are not sent", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	return &Tracer{provider, provider.Tracer("github.com/ridgeline-mlops/ridgeline")}, nil
}

// Flush sends what there is now.
func (t *Tracer) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }

// Close sends what is left, for as long as ctx allows.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// A Span is one under way. The nil Span is none.
type Span struct {
	span   trace.Span
	tracer trace.Tracer
	ctx    context.Context
}

// Serve begins the span of a request that came in, below the caller's if it
// says so by W3C Trace Context, and makes it the one that h tells others.
func (t *Tracer) Serve(h http.Header, name string, began time.Time) *Span {
	if t == nil {
		return nil
	}
	var w3c propagation.TraceContext
	ctx := w3c.Extract(context.Background(), propagation.HeaderCarrier(h))
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(began))
	w3c.Inject(ctx, propagation.HeaderCarrier(h))
	return &Span{span, t.tracer, ctx}
}

// Trace is the span's trace, 32 hexadecimal digits.
func (s *Span) Trace() string { return s.span.SpanContext().TraceID().String() }

// Child adds a span that is over already, with attributes in pairs.
func (s *Span) Child(name string, from, to time.Time, about ...any) {
	if s == nil || !s.span.IsRecording() {
		return
	}
	_, child := s.tracer.Start(s.ctx, name, trace.WithTimestamp(from), trace.WithAttributes(pairs(about)...))
	child.End(trace.WithTimestamp(to))
}

// End ends the span with an HTTP status; from 500 on it is an error, which
// cause explains.
func (s *Span) End(status int, cause string, about ...any) {
	if s == nil {
		return
	}
	if s.span.IsRecording() {
		s.span.SetAttributes(attribute.Int("http.response.status_code", status))
		s.span.SetAttributes(pairs(about)...)
		if status >= 500 {
			s.span.SetStatus(codes.Error, cause)
		}
	}
	s.span.End()
}

func pairs(about []any) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(about)/2)
	for i := 0; i < len(about); i += 2 {
		key := about[i].(string)
		switch v := about[i+1].(type) {
		case string:
			if v != "" {
				out = append(out, attribute.String(key, v))
			}
		case int:
			out = append(out, attribute.Int(key, v))
		}
	}
	return out
}
