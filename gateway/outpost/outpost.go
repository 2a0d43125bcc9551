// Package outpost is the gateway as a process of its own, on a cluster: it
// answers an endpoint's requests there, and goes on when the Ridgeline server
// is away. It owns how such a process learns what it has to know, keeps it,
// reports, listens and drains; and the Desk, the server's side of that.
//
// How a request travels is package gateway's part; that the process runs in
// several copies, with a Service in front, is the cluster's (host/kube).
package outpost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
)

// Config says how an outpost works. Server and Token are required.
type Config struct {
	Server  string        // RIDGELINE_GATEWAY_SERVER: http(s)://host[:port] of the Ridgeline server
	Token   string        // RIDGELINE_GATEWAY_TOKEN
	Table   string        // RIDGELINE_GATEWAY_TABLE: file of the table that the cluster mounts; empty: none
	Keep    string        // RIDGELINE_GATEWAY_KEEP: file where the last good table is kept; empty: nowhere
	Listen  string        // RIDGELINE_LISTEN, default :8080: requests
	Probes  string        // RIDGELINE_PROBES, default :8081: /healthz/live, /healthz/ready, /metrics
	Copy    string        // RIDGELINE_COPY: tells the copies apart
	Drain   time.Duration // RIDGELINE_DRAIN_MS, default 5 s: requests are taken for so long after the signal to stop
	Version string
	Log     *slog.Logger // nil discards
}

// finishTime is how long requests under way may take when the process stops.
const finishTime = 30 * time.Second

// ConfigFromEnv reads the variables named above.
func ConfigFromEnv(getenv func(string) string, version string) (Config, error) {
	c := Config{
		Server: strings.TrimSuffix(getenv("RIDGELINE_GATEWAY_SERVER"), "/"), Token: getenv("RIDGELINE_GATEWAY_TOKEN"),
		Table: getenv("RIDGELINE_GATEWAY_TABLE"), Keep: getenv("RIDGELINE_GATEWAY_KEEP"),
		Listen: cmp.Or(getenv("RIDGELINE_LISTEN"), ":8080"), Probes: cmp.Or(getenv("RIDGELINE_PROBES"), ":8081"), Copy: getenv("RIDGELINE_COPY"), Version: version,
	}
	if u, err := url.Parse(c.Server); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return c, ridgeline.Errorf(ridgeline.Invalid, "RIDGELINE_GATEWAY_SERVER=%q: expected the server's address, http://host:port", c.Server)
	}
	if c.Token == "" {
		return c, ridgeline.Errorf(ridgeline.Invalid, "RIDGELINE_GATEWAY_TOKEN is missing: the server gives it to the gateways that it starts")
	}
	text := cmp.Or(getenv("RIDGELINE_DRAIN_MS"), "5000")
	ms, err := strconv.Atoi(text)
	if err != nil || ms < 0 || ms > 600_000 {
		return c, ridgeline.Errorf(ridgeline.Invalid, "RIDGELINE_DRAIN_MS=%q: expected 0 to 600000 milliseconds", text)
	}
	c.Drain = time.Duration(ms) * time.Millisecond
	return c, nil
}

// An outpost at work.
type process struct {
	Config
	known    *known
	gateway  *gateway.Gateway
	draining atomic.Bool
}

// Run answers until ctx is done, then drains: it is unready at once, goes on
// taking requests for Drain (telling each client to close its connection),
// finishes what is under way, and returns nil.
func Run(ctx context.Context, c Config) error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	defer listener.Close()
	probes, err := net.Listen("tcp", c.Probes)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.Probes, err)
	}
	defer probes.Close()
	return serve(ctx, c, listener, probes)
}

func serve(ctx context.Context, c Config, listener, probes net.Listener) error {
	tracer, err := tracing.New(ctx, c.Log, "ridgeline-gateway", "service.version", c.Version, "service.instance.id", c.Copy)
	if err != nil {
		return err
	}
	p := &process{Config: c, known: newKnown(c.Keep, c.Log)}
	p.gateway = gateway.New(p.known, p.known, p.known, tracer, c.Log)
	p.gateway.Wake = p.known.Wake
	r := &reporter{known: p.known, gateway: p.gateway, options: c, client: &http.Client{}, told: map[ridgeline.DeploymentID]ridgeline.Answers{}}
	p.known.labels = r.labels
	for _, file := range []string{c.Keep, c.Table} {
		if err := p.known.read(file); err != nil {
			c.Log.Warn("a table from before cannot be used", "file", file, "error", err)
		}
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	reported := make(chan struct{})
	go func() { defer close(reported); r.run(working) }()
	defer func() { stop(); <-reported }()

	requests := &http.Server{Handler: p.requests(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)}
	requests.Protocols.SetHTTP1(true)
	requests.Protocols.SetUnencryptedHTTP2(true) // gRPC
	health := &http.Server{Handler: p.probes(), ReadHeaderTimeout: 10 * time.Second}
	defer health.Close()
	failed := make(chan error, 2)
	go func() { failed <- requests.Serve(listener) }()
	go func() { failed <- health.Serve(probes) }()
	c.Log.Info("listening", "address", listener.Addr().String(), "server", c.Server)

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	p.draining.Store(true)
	c.Log.Info("draining", "delay", c.Drain)
	time.Sleep(c.Drain)
	finish, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	err = requests.Shutdown(finish)
	_ = tracer.Close(finish) // what is wrong with the collector was said
	if errors.Is(err, context.DeadlineExceeded) {
		c.Log.Warn("requests were cut off")
	}
	return nil
}

// requests are what clients get.
func (p *process) requests() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/endpoints/", p.gateway)
	mux.HandleFunc(gateway.GRPCService, p.gateway.ServeGRPC)
	mux.HandleFunc("GET /healthz", p.ready) // for load balancers that ask where they send to
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "there is nothing at "+r.URL.Path+": this is a gateway, with endpoints at /endpoints/PROJECT/ENVIRONMENT/score")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.draining.Load() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // the next request comes by another connection, to another copy
		}
		mux.ServeHTTP(w, r)
	})
}

// probes are what the cluster asks.
func (p *process) probes() http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(p.gateway, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz/live", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /healthz/ready", p.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

// ready says whether requests should come here: not without a table, which the
// cluster or the server gives within a second.
func (p *process) ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case p.draining.Load():
		refuse(w, http.StatusServiceUnavailable, "this gateway is stopping")
	case !p.known.ready():
		refuse(w, http.StatusServiceUnavailable, "no table of endpoints yet, neither from the server nor mounted")
	}
}
