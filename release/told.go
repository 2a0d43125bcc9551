package release

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// told is what a copy's scorer says of itself, since it began.
type told struct {
	inFlight float64 // requests that it has now, waiting ones too

	model ridgeline.Histogram // seconds in the model
	batch ridgeline.Histogram // rows answered together

	measured bool    // it says what it takes: scorers of older images do not
	cpu      float64 // seconds
	memory   float64 // bytes, now
	peak     int64   // bytes
}

// listenTime bounds how long all copies are asked for their figures.
const listenTime = 2 * time.Second

// listen asks every ready copy at once. Of one that does not say, what it told
// before still holds.
func (r *Releaser) listen(ctx context.Context, o host.Observed, before map[string]told) map[string]told {
	ctx, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	all := map[string]told{}
	var mu sync.Mutex
	var copies sync.WaitGroup
	for _, c := range o.Copies {
		if t, ok := before[c.Address]; ok {
			all[c.Address] = t
		}
	}
	for _, c := range o.Copies {
		if !c.Ready {
			continue
		}
		copies.Go(func() {
			t, err := figures(ctx, c.Address)
			if err != nil {
				r.Log.Debug("a copy does not tell its figures", "address", c.Address, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[c.Address] = t
		})
	}
	copies.Wait()
	return all
}

func figures(ctx context.Context, address string) (t told, err error) {
	transport, url := host.Transport(address)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return t, err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return t, err
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return t, err
	}
	used := families["ridgeline_scorer_cpu_seconds_total"]
	return told{
		measured: used != nil, cpu: counter(used), memory: gauge(families["ridgeline_scorer_memory_bytes"]), peak: int64(gauge(families["ridgeline_scorer_memory_peak_bytes"])),

		inFlight: gauge(families["ridgeline_scorer_requests_in_flight"]) + gauge(families["ridgeline_scorer_requests_waiting"]),

		model: buckets(families["ridgeline_scorer_model_seconds"], ridgeline.LatencyBuckets),
		batch: buckets(families["ridgeline_scorer_batch_rows"], ridgeline.BatchBuckets),
	}, nil
}

// buckets are the counts of a histogram without labels, each bucket's own. Of
// another number of buckets, which another version of the scorer may have,
// there are none.
func buckets(family *dto.MetricFamily, want int) ridgeline.Histogram {
	if family == nil || len(family.GetMetric()) != 1 {
		return nil
	}
	h := family.GetMetric()[0].GetHistogram()
	if len(h.GetBucket()) != want { // the last one is +Inf
		return nil
	}
	out, below := make(ridgeline.Histogram, want), uint64(0)
	for i, b := range h.GetBucket() {
		out[i] = int64(b.GetCumulativeCount() - below)
		below = b.GetCumulativeCount()
	}
	return out
}

func gauge(f *dto.MetricFamily) (sum float64) {
	for _, m := range f.GetMetric() {
		sum += m.GetGauge().GetValue()
	}
	return sum
}

func counter(f *dto.MetricFamily) (sum float64) {
	for _, m := range f.GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	return sum
}
