package serve

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

// metrics are an Observer of what requests took, and read the front's counters
// when they are asked for. Times are in seconds.
type metrics struct {
	front   *score.Front
	log     func() *logState // nil when none is kept
	handler http.Handler

	seconds *prometheus.HistogramVec // of everything, by dialect and status class
	queued  prometheus.Histogram
	model   prometheus.Histogram
	own     prometheus.Histogram
	batch   prometheus.Histogram
	rows    prometheus.Counter
	native  prometheus.Counter
}

// The server adds these up: see ridgeline.Histogram.
var (
	latencies = prometheus.ExponentialBuckets(ridgeline.LatencyFirst, 2, ridgeline.LatencyBuckets-1)
	batches   = prometheus.ExponentialBuckets(ridgeline.BatchFirst, 2, ridgeline.BatchBuckets-1)
)

func newMetrics(f *score.Front, log func() *logState) *metrics {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ridgeline_scorer_" + name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		front: f, log: log,
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ridgeline_scorer_request_duration_seconds", Help: "From a request's coming to the beginning of its answer.", Buckets: latencies,
		}, []string{"dialect", "status"}),
		queued: histogram("queue_seconds", "From having a request whole to its being sent to a worker.", latencies),
		model:  histogram("model_seconds", "In the model's predict() or run(), of the batch that a request was part of.", latencies),
		own:    histogram("server_seconds", "What a request took beyond the queue and the model: to read, check, hand over and spell.", latencies),
		batch:  histogram("batch_rows", "Rows that were answered together with a request, its own included; once for each request.", batches),
		rows:   prometheus.NewCounter(prometheus.CounterOpts{Name: "ridgeline_scorer_rows_total", Help: "Rows that the model answered; a request of a script is one."}),
		native: prometheus.NewCounter(prometheus.CounterOpts{Name: "ridgeline_scorer_native_rows_total", Help: "Of these, rows of linear models that the scorer answered by itself, without a worker."}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, m.seconds, m.queued, m.model, m.own, m.batch, m.rows, m.native,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

var statuses = [...]string{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"}

// Observe implements Observer.
func (m *metrics) Observe(x *exchange.Exchange, _ *http.Request) {
	took := time.Since(x.Began)
	m.seconds.WithLabelValues(x.Dialect, statuses[min(max(x.Status/100, 0), 5)]).Observe(took.Seconds())
	if x.Batch == 0 { // the model never had it
		return
	}
	m.queued.Observe(x.Queued.Seconds())
	m.model.Observe(x.Model.Seconds())
	m.own.Observe(max(0, took-x.Queued-x.Model).Seconds())
	m.batch.Observe(float64(x.Batch))
	if x.Failure == nil {
		m.rows.Add(float64(max(1, x.Input.Rows)))
	}
	if x.Worker == 0 {
		m.native.Add(float64(x.Input.Rows))
	}
}

// gauge is one of the figures that are read when they are asked for.
type gauge struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func figure(kind prometheus.ValueType, name, help string) gauge {
	return gauge{prometheus.NewDesc("ridgeline_scorer_"+name, help, nil, nil), kind}
}

var (
	inFlight = figure(prometheus.GaugeValue, "requests_in_flight", "Requests that a worker has.")
	waiting  = figure(prometheus.GaugeValue, "requests_waiting", "Requests that wait for a worker.")
	workers  = figure(prometheus.GaugeValue, "workers", "Workers that can answer.")
	idle     = figure(prometheus.GaugeValue, "workers_idle", "Workers with nothing to do.")
	limit    = figure(prometheus.GaugeValue, "batch_limit_rows", "Rows that are sent to a worker together at most, as learnt; 0 when requests are not joined.")
	shed     = figure(prometheus.CounterValue, "shed_total", "Requests that were refused for lack of room or time, or waited in vain.")
	hung     = figure(prometheus.CounterValue, "workers_hung_total", "Workers that were killed because a request took longer than it may.")
	restarts = figure(prometheus.CounterValue, "worker_restarts_total", "Workers that took the place of one that had ended.")
	recycled = figure(prometheus.CounterValue, "workers_recycled_total", "Workers that took the place of one that was worn out.")
	logBytes = figure(prometheus.GaugeValue, "log_pending_bytes", "Of the inference log, not yet in its storage.")
	logBehnd = figure(prometheus.GaugeValue, "log_behind_seconds", "Age of the oldest request that is not in the inference log's storage.")
	cpuUsed  = figure(prometheus.CounterValue, "cpu_seconds_total", "Processor time of the scorer and its workers.")
	memory   = figure(prometheus.GaugeValue, "memory_bytes", "Resident memory of the scorer and its workers, shared pages counted for each.")
	peak     = figure(prometheus.GaugeValue, "memory_peak_bytes", "The most that each of them has had, added up.")
	logLost  = figure(prometheus.CounterValue, "log_dropped_total", "Requests whose records were lost for lack of disk space.")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, g := range []gauge{inFlight, waiting, workers, idle, limit, shed, hung, restarts, recycled, cpuUsed, memory, peak, logBytes, logBehnd, logLost} {
		out <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	put := func(g gauge, v float64) { out <- prometheus.MustNewConstMetric(g.desc, g.kind, v) }
	s := m.front.Stats()
	put(inFlight, float64(s.InFlight))
	put(waiting, float64(s.Waiting))
	put(workers, float64(s.Workers))
	put(idle, float64(s.Idle))
	put(limit, float64(s.Limit))
	put(shed, float64(s.Shed))
	put(hung, float64(s.Hung))
	put(restarts, float64(s.Restarts))
	put(recycled, float64(s.Recycled))
	if u, ok := usedNow(); ok {
		put(cpuUsed, u.cpu)
		put(memory, float64(u.memory))
		put(peak, float64(u.peak))
	}
	if l := m.log(); l != nil {
		put(logBytes, float64(l.PendingBytes))
		put(logBehnd, l.BehindSeconds)
		put(logLost, float64(l.Dropped))
	}
}
