package tracing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// exporter sends spans by OTLP over HTTP as protobuf: the messages and field
// numbers are those of opentelemetry-proto 1.x (trace/v1, collector/trace/v1),
// the variables those of OpenTelemetry's specification, "OTLP exporter".
type exporter struct {
	url     string
	headers http.Header
	client  http.Client
}

func newExporter(getenv func(string) string) (*exporter, error) {
	e := &exporter{url: getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), headers: http.Header{"Content-Type": {"application/x-protobuf"}}}
	if e.url == "" {
		e.url = strings.TrimSuffix(getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), "/") + "/v1/traces"
	}
	if u, err := url.Parse(e.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: expected a collector's address, such as http://localhost:4318, got %q", e.url)
	}
	for _, list := range []string{getenv("OTEL_EXPORTER_OTLP_HEADERS"), getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS")} { // the second wins
		for pair := range strings.SplitSeq(list, ",") {
			name, value, ok := strings.Cut(pair, "=")
			value, err := url.PathUnescape(strings.TrimSpace(value))
			if name = strings.TrimSpace(name); ok && err == nil && name != "" {
				e.headers.Set(name, value)
			}
		}
	}
	e.client.Timeout = 10 * time.Second
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"} {
		if ms, err := strconv.Atoi(getenv(name)); err == nil && ms > 0 {
			e.client.Timeout = time.Duration(ms) * time.Millisecond
		}
	}
	return e, nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exporter) Shutdown(context.Context) error { return nil }

// ExportSpans implements sdktrace.SpanExporter. A collector that says that it
// cannot now is asked again twice.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body := encode(spans)
	for wait := time.Second; ; wait *= 2 {
		again, err := e.send(ctx, body)
		if !again || wait > 2*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

func (e *exporter) send(ctx context.Context, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header = e.headers
	res, err := e.client.Do(req)
	if err != nil {
		return ctx.Err() == nil, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
	switch res.StatusCode {
	case http.StatusOK:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return again, fmt.Errorf("%s answered %s: %.200s", e.url, res.Status, text)
}

// encode writes an ExportTraceServiceRequest with one ResourceSpans, since all
// spans of one process have one source.
func encode(spans []sdktrace.ReadOnlySpan) []byte {
	var resource, scope, all []byte
	for _, a := range spans[0].Resource().Attributes() {
		resource = put(resource, 1, keyValue(a))
	}
	scope = put(scope, 1, []byte(spans[0].InstrumentationScope().Name))
	all = put(all, 1, scope)
	for _, s := range spans {
		all = put(all, 2, encodeSpan(s))
	}
	source := put(nil, 1, resource)
	source = put(source, 2, all)
	return put(nil, 1, source)
}

func encodeSpan(s sdktrace.ReadOnlySpan) (b []byte) {
	at, parent := s.SpanContext(), s.Parent()
	trace, span := at.TraceID(), at.SpanID()
	b = put(b, 1, trace[:])
	b = put(b, 2, span[:])
	if state := at.TraceState().String(); state != "" {
		b = put(b, 3, []byte(state))
	}
	if id := parent.SpanID(); parent.IsValid() {
		b = put(b, 4, id[:])
	}
	b = put(b, 5, []byte(s.Name()))
	b = number(b, 6, uint64(s.SpanKind())) //nolint:gosec // the same numbers as SpanKind's, 0 to 5
	b = moment(b, 7, s.StartTime())
	b = moment(b, 8, s.EndTime())
	for _, a := range s.Attributes() {
		b = put(b, 9, keyValue(a))
	}
	if status := s.Status(); status.Code != codes.Unset {
		code := map[codes.Code]uint64{codes.Ok: 1, codes.Error: 2}[status.Code]
		b = put(b, 15, number(put(nil, 2, []byte(status.Description)), 3, code))
	}
	return b
}

// keyValue is a KeyValue; what is neither text nor a whole number is spelled as
// text.
func keyValue(a attribute.KeyValue) []byte {
	value := put(nil, 1, []byte(a.Value.String()))
	if a.Value.Type() == attribute.INT64 {
		value = number(nil, 3, uint64(a.Value.AsInt64())) //nolint:gosec // how protobuf writes an int64
	}
	return put(put(nil, 1, []byte(a.Key)), 2, value)
}

func put(b []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func number(b []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), value)
}

func moment(b []byte, field protowire.Number, at time.Time) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), uint64(at.UnixNano())) //nolint:gosec // after 1970
}
