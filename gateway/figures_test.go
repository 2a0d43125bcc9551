package gateway

import (
	"math"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestGateway_Figures(t *testing.T) {
	g := New(nil, nil, nil, nil, nil)
	seconds := g.metrics.of(ridgeline.Endpoint{Project: "iris", Environment: "qa"}, "v1")
	for range 98 {
		seconds.WithLabelValues("2xx").Observe(0.001)
	}
	seconds.WithLabelValues("4xx").Observe(0.001)
	seconds.WithLabelValues("5xx").Observe(100)
	g.metrics.of(ridgeline.Endpoint{Project: "iris", Environment: "production"}, "v1").WithLabelValues("2xx").Observe(1)
	all := g.Figures("iris", "qa")
	f := all["v1"]
	if len(all) != 1 || f.Requests != 100 || f.Errors != 1 {
		t.Errorf("%+v", all)
	}
	// The bounds of the bucket that 1 ms falls into are 0.5 and 1.25 ms.
	if f.P50 < 0.0005 || f.P50 > 0.00125 || f.P95 < f.P50 || f.P99 > 0.00125 {
		t.Errorf("%+v", f)
	}
	if none := g.Figures("iris", "elsewhere"); len(none) != 0 {
		t.Errorf("%+v", none)
	}
}

func TestGateway_rate(t *testing.T) {
	g, at := New(nil, nil, nil, nil, nil), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if r := g.rate("v1", 1000, at); r != 0 {
		t.Errorf("at first %v", r)
	}
	if r := g.rate("v1", 1050, at.Add(5*time.Second)); r != 10 {
		t.Errorf("%v, want 10", r)
	}
	// What was long ago says nothing about now.
	if r := g.rate("v1", 1050, at.Add(time.Hour)); math.IsNaN(r) || r != 0 {
		t.Errorf("after an hour %v", r)
	}
}

func TestStatuses(t *testing.T) {
	for _, code := range ridgeline.Codes() {
		if statuses[code] < 400 {
			t.Errorf("%s has no status", code)
		}
	}
}
