// Package tracingtest is a collector for tests: it takes spans by OTLP over HTTP
// and says what came.
//
// What makes them is package tracing's part.
package tracingtest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Span is one that was sent. Ids are in hexadecimal.
type Span struct {
	Name, Trace, ID, Parent string
	From, To                time.Time
	Error                   string
	Service                 string // service.name of its source
	About                   map[string]string
}

// Collect starts a collector and sets the environment so that tracing.New sends
// there. What it returns says which spans have come, in the order of their
// beginnings.
func Collect(t *testing.T) func() []Span {
	t.Helper()
	var mu sync.Mutex
	var all []Span
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		sent := &collector.ExportTraceServiceRequest{}
		if err == nil {
			err = proto.Unmarshal(body, sent)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, spans(sent)...)
	}))
	t.Cleanup(s.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	return func() []Span {
		mu.Lock()
		defer mu.Unlock()
		out := slices.Clone(all)
		slices.SortStableFunc(out, func(a, b Span) int { return a.From.Compare(b.From) })
		return out
	}
}

func spans(sent *collector.ExportTraceServiceRequest) (out []Span) {
	for _, r := range sent.ResourceSpans {
		source := map[string]string{}
		for _, a := range r.Resource.Attributes {
			source[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				span := Span{
					Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
					From: time.Unix(0, int64(s.StartTimeUnixNano)), To: time.Unix(0, int64(s.EndTimeUnixNano)), //nolint:gosec // of this century
					Error: s.Status.GetMessage(), Service: source["service.name"], About: map[string]string{},
				}
				for _, a := range s.Attributes {
					span.About[a.Key] = strings.Trim(a.Value.String()[strings.IndexByte(a.Value.String(), ':')+1:], `" `)
				}
				for key, value := range source {
					span.About[key] = value
				}
				out = append(out, span)
			}
		}
	}
	return out
}
