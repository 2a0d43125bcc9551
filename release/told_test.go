package release

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// What a scorer tells is read from its own kind of answer.
func TestReleaser_listen(t *testing.T) {
	batch := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ridgeline_scorer_batch_rows", Buckets: prometheus.ExponentialBuckets(ridgeline.BatchFirst, 2, ridgeline.BatchBuckets-1)})
	other := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ridgeline_scorer_model_seconds", Buckets: []float64{1, 2}})
	registry := prometheus.NewRegistry()
	registry.MustRegister(batch, other)
	for _, rows := range []float64{1, 2, 2, 5000} {
		batch.Observe(rows)
	}
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	at := host.Observed{Copies: []host.Copy{{Address: server.URL, Ready: true}, {Address: "http://127.0.0.1:1", Ready: true}, {Address: "http://nobody", Ready: false}}}
	r := &Releaser{Log: slog.New(slog.DiscardHandler)}
	all := r.listen(context.Background(), at, nil)
	got, ok := all[server.URL]
	if !ok || len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	if want := (ridgeline.Histogram{1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}); len(got.batch) != len(want) || got.batch[0] != 1 || got.batch[1] != 2 || got.batch[12] != 1 {
		t.Errorf("batches %v, want %v", got.batch, want)
	}
	if got.model != nil {
		t.Errorf("other bounds are read as %v", got.model)
	}
	// One that says nothing now is what it was.
	server.Close()
	if again := r.listen(context.Background(), at, all); again[server.URL].batch[1] != 2 {
		t.Errorf("%+v", again)
	}
}
