package gateway

import (
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/ridgeline-mlops/ridgeline"
)

// figuresSpan is over how long a rate is told: long enough to be steady, short
// enough to be now.
const figuresSpan = 10 * time.Second

// mark is how many requests a deployment had answered at a moment.
type mark struct {
	at       time.Time
	requests uint64
}

// Figures are what the endpoint's deployments have answered since this server
// started, by their names. Rates are over the last seconds, from one call to
// another: who wants them keeps asking.
func (g *Gateway) Figures(p ridgeline.ProjectName, environment string) map[string]ridgeline.Figures {
	families := make(chan prometheus.Metric, 64)
	go func() {
		g.metrics.seconds.Collect(families)
		close(families)
	}()
	all := map[string]*dto.Histogram{}
	out := map[string]ridgeline.Figures{}
	for m := range families {
		var one dto.Metric
		if m.Write(&one) != nil {
			continue
		}
		labels := map[string]string{}
		for _, l := range one.Label {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["project"] != string(p) || labels["environment"] != environment {
			continue
		}
		name := labels["deployment"]
		f, n := out[name], one.Histogram.GetSampleCount()
		f.Requests += n
		if strings.HasPrefix(labels["status"], "5") {
			f.Errors += n
		}
		out[name] = f
		all[name] = sum(all[name], one.Histogram)
	}
	now := time.Now()
	for name, f := range out {
		f.P50, f.P95, f.P99 = quantile(all[name], 0.5), quantile(all[name], 0.95), quantile(all[name], 0.99)
		f.PerSecond = g.rate(string(p)+"/"+environment+"/"+name, f.Requests, now)
		out[name] = f
	}
	return out
}

// rate is how many requests a second have come since one of the last calls.
func (g *Gateway) rate(name string, requests uint64, now time.Time) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	marks := g.marks[name]
	if len(marks) == 0 || now.Sub(marks[len(marks)-1].at) >= time.Second {
		marks = append(marks, mark{now, requests})
	}
	for len(marks) > 2 && now.Sub(marks[1].at) > figuresSpan {
		marks = marks[1:]
	}
	g.marks[name] = marks
	if took := now.Sub(marks[0].at).Seconds(); took > 0 && took < 3*figuresSpan.Seconds() {
		return float64(requests-marks[0].requests) / took
	}
	return 0
}

// sum adds the buckets of one histogram to another of the same bounds.
func sum(to, one *dto.Histogram) *dto.Histogram {
	if to == nil {
		return one
	}
	count := to.GetSampleCount() + one.GetSampleCount()
	to.SampleCount = &count
	for i, b := range one.Bucket {
		n := to.Bucket[i].GetCumulativeCount() + b.GetCumulativeCount()
		to.Bucket[i].CumulativeCount = &n
	}
	return to
}

// quantile estimates as Prometheus' histogram_quantile does: linear within a
// bucket; above the last bound, that bound.
func quantile(h *dto.Histogram, q float64) float64 {
	rank := q * float64(h.GetSampleCount())
	if rank == 0 {
		return math.NaN()
	}
	low, below := 0.0, 0.0
	for _, b := range h.Bucket {
		n, bound := float64(b.GetCumulativeCount()), b.GetUpperBound()
		if n >= rank {
			return low + (bound-low)*(rank-below)/(n-below)
		}
		low, below = bound, n
	}
	return low
}
