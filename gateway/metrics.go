package gateway

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ridgeline-mlops/ridgeline"
)

// gatewayMetrics are the figures of endpoints, by project, environment and
// deployment.
type gatewayMetrics struct {
	seconds *prometheus.HistogramVec
	refused *prometheus.CounterVec
	mirrors *prometheus.CounterVec
}

func newGatewayMetrics() gatewayMetrics {
	return gatewayMetrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ridgeline_endpoint_request_duration_seconds", Help: "From a request's coming to the beginning of its answer, by deployment and status class.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12),
		}, []string{"project", "environment", "deployment", "status"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ridgeline_endpoint_refused_total", Help: "Requests that no copy answered, by why: limit is the endpoint's own, which the server enforces.",
		}, []string{"project", "environment", "reason"}),
		mirrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ridgeline_endpoint_mirrored_total", Help: "Copies of requests sent to a mirrored deployment, by what came of them.",
		}, []string{"project", "environment", "deployment", "status"}),
	}
}

// of are the histograms of one deployment.
func (m gatewayMetrics) of(e ridgeline.Endpoint, deployment string) prometheus.ObserverVec {
	return m.seconds.MustCurryWith(prometheus.Labels{"project": string(e.Project), "environment": e.Environment, "deployment": deployment})
}

func (m gatewayMetrics) answered(l *lane, status int, began time.Time) {
	took := time.Since(began).Seconds()
	l.seconds.WithLabelValues(class(status)).Observe(took)
	l.counts.add(status, took)
}

func (m gatewayMetrics) refuse(endpoint, reason string) {
	project, environment, _ := strings.Cut(endpoint, "/")
	m.refused.WithLabelValues(project, environment, reason).Inc()
}

func (m gatewayMetrics) copied(endpoint, deployment, status string) {
	project, environment, _ := strings.Cut(endpoint, "/")
	m.mirrors.WithLabelValues(project, environment, deployment, status).Inc()
}

var classes = [...]string{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"}

func class(status int) string { return classes[min(max(status/100, 0), 5)] }

var inFlight = prometheus.NewDesc("ridgeline_endpoint_requests_in_flight", "Requests under way.", []string{"project", "environment"}, nil)

// Describe implements prometheus.Collector.
func (g *Gateway) Describe(out chan<- *prometheus.Desc) {
	g.metrics.seconds.Describe(out)
	g.metrics.refused.Describe(out)
	g.metrics.mirrors.Describe(out)
	out <- inFlight
}

// Collect implements prometheus.Collector.
func (g *Gateway) Collect(out chan<- prometheus.Metric) {
	g.metrics.seconds.Collect(out)
	g.metrics.refused.Collect(out)
	g.metrics.mirrors.Collect(out)
	g.mu.RLock()
	defer g.mu.RUnlock()
	for name, under := range g.counts {
		project, environment, _ := strings.Cut(name, "/")
		out <- prometheus.MustNewConstMetric(inFlight, prometheus.GaugeValue, float64(under.inflight.Load()), project, environment)
	}
}
