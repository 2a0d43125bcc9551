package tracing_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing/tracingtest"
)

func TestTracer(t *testing.T) {
	sent := tracingtest.Collect(t)
	tracer, err := tracing.New(t.Context(), slog.New(slog.DiscardHandler), "scorer", "ridgeline.project", "iris", "nothing", "")
	if err != nil {
		t.Fatal(err)
	}
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	h := http.Header{"Traceparent": {"00-" + trace + "-" + caller + "-01"}}
	began := time.Unix(1000, 0)
	span := tracer.Serve(h, "score", began)
	if now := h.Get("Traceparent"); span.Trace() != trace || !strings.HasPrefix(now, "00-"+trace+"-") || strings.Contains(now, caller) {
		t.Errorf("others are told %s", now)
	}
	span.Child("model", began.Add(time.Second), began.Add(2*time.Second), "ridgeline.batch_rows", 3)
	span.End(500, "it raised", "url.path", "/score", "empty", "")
	unsampled := http.Header{"Traceparent": {"00-" + trace + "-" + caller + "-00"}}
	not := tracer.Serve(unsampled, "score", began)
	not.Child("model", began, began)
	not.End(200, "")
	if now := unsampled.Get("Traceparent"); !strings.HasSuffix(now, "-00") {
		t.Errorf("what the caller does not sample is told on as %s", now)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := sent()
	if len(all) != 2 {
		t.Fatalf("got %v; want two spans", all)
	}
	score, model := all[0], all[1]
	if _, has := score.About["nothing"]; has || score.Service != "scorer" || score.About["ridgeline.project"] != "iris" {
		t.Errorf("about %v", score.About)
	}
	if score.Name != "score" || score.Trace != trace || score.Parent != caller || score.Error != "it raised" || score.About["url.path"] != "/score" {
		t.Errorf("got %+v", score)
	}
	if model.Name != "model" || model.Parent != score.ID || !model.From.Equal(began.Add(time.Second)) || !model.To.Equal(began.Add(2*time.Second)) || model.About["ridgeline.batch_rows"] != "3" {
		t.Errorf("got %+v", model)
	}
}

func TestTracer_off(t *testing.T) {
	for _, set := range [][2]string{{"OTEL_SDK_DISABLED", "true"}, {"OTEL_TRACES_EXPORTER", "none"}, {"OTEL_EXPORTER_OTLP_ENDPOINT", ""}} {
		t.Run(set[0], func(t *testing.T) {
			tracingtest.Collect(t)
			t.Setenv(set[0], set[1])
			tracer, err := tracing.New(t.Context(), slog.New(slog.DiscardHandler), "scorer")
			if err != nil || tracer != nil {
				t.Fatalf("got %v, %v; want none", tracer, err)
			}
			h := http.Header{"Traceparent": {"as it came"}}
			tracer.Serve(h, "score", time.Now()).End(200, "")
			if h.Get("Traceparent") != "as it came" || tracer.Close(context.Background()) != nil {
				t.Errorf("got %v", h)
			}
		})
	}
}

func TestVariables(t *testing.T) {
	got := tracing.Variables([]string{"HOME=/", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "OTEL_SERVICE_NAME=server", "OTEL_TRACES_SAMPLER=always_on"})
	if want := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "OTEL_TRACES_SAMPLER=always_on"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
