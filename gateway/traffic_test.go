package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing"
	"github.com/ridgeline-mlops/ridgeline/internal/tracing/tracingtest"
)

// beside places two deployments, v1 and v2, that answer with their names.
func (f *fixture) beside(t *testing.T, one, two ridgeline.Deployment) {
	t.Helper()
	for i, d := range []*ridgeline.Deployment{&one, &two} {
		d.Version = i + 1
		d.ID = ridgeline.DeploymentID("d-" + d.Name())
		at, _ := scorer(t, says(d.Name()))
		f.place(d.ID, at)
	}
	f.share(one, two)
	if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) ask(t *testing.T, header ...string) (status int, answer string, h http.Header) {
	t.Helper()
	return send(t, http.MethodPost, f.url+"/score", f.key, strings.NewReader(`{"data":[1]}`), header...)
}

// asked counts who answered n requests.
func (f *fixture) asked(t *testing.T, n int, header ...string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for range n {
		status, answer, h := f.ask(t, header...)
		if status != 200 || h.Get(gateway.DeploymentHeader) != answer {
			t.Fatalf("got %d %q from %q", status, answer, h.Get(gateway.DeploymentHeader))
		}
		seen[answer]++
	}
	return seen
}

func TestGateway_weights(t *testing.T) {
	f := newFixture(t)
	f.beside(t, ridgeline.Deployment{Weight: 90}, ridgeline.Deployment{Weight: 10})
	// 100 of 1000 expected with a standard deviation of 9.5: 6 of them either way.
	if seen := f.asked(t, 1000); seen["v2"] < 43 || seen["v2"] > 157 {
		t.Errorf("of 1000 requests %v; want about 10 %% for v2", seen)
	}
	f.beside(t, ridgeline.Deployment{Weight: 100}, ridgeline.Deployment{})
	if seen := f.asked(t, 50); !maps.Equal(seen, map[string]int{"v1": 50}) {
		t.Errorf("%v; want all from v1", seen)
	}
	if seen := f.asked(t, 20, gateway.DeploymentHeader, "v2"); !maps.Equal(seen, map[string]int{"v2": 20}) {
		t.Errorf("%v; want all from v2, which was asked for", seen)
	}
	if status, answer, _ := f.ask(t, gateway.DeploymentHeader, "v7"); status != 404 || !strings.Contains(answer, `no deployment \"v7\"`) || !strings.Contains(answer, "v1, v2") {
		t.Errorf("got %d %s", status, answer)
	}
	f.place("d-v1") // its copies are gone for a moment
	f.beside(t, ridgeline.Deployment{Weight: 90}, ridgeline.Deployment{Weight: 10})
	f.place("d-v1", host.Copy{})
	if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
		t.Fatal(err)
	}
	if seen := f.asked(t, 20); seen["v2"] != 20 {
		t.Errorf("%v; want the answers of what is ready", seen)
	}
	if status, answer, _ := f.ask(t, gateway.DeploymentHeader, "v1"); status != 503 || !strings.Contains(answer, "no copy of v1 in iris/qa is ready") {
		t.Errorf("got %d %s", status, answer)
	}
	f.beside(t, ridgeline.Deployment{}, ridgeline.Deployment{})
	if status, answer, _ := f.ask(t); status != 503 || !strings.Contains(answer, "no deployment of iris/qa gets requests: ridgeline traffic iris qa") {
		t.Errorf("got %d %s", status, answer)
	}
}

// A mirror that hangs costs the caller nothing; what is on its way to it is
// waited for before it goes.
func TestGateway_mirror(t *testing.T) {
	f := newFixture(t)
	f.beside(t, ridgeline.Deployment{Weight: 100}, ridgeline.Deployment{Mirror: 50})
	var copies atomic.Int64
	release := make(chan struct{})
	at, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == `{"data":[1]}` && r.Header.Get(ridgeline.PurposeHeader) == ridgeline.PurposeMirror && r.Header.Get("Authorization") == "" {
			copies.Add(1)
		}
		<-release
	})
	f.place("d-v2", at)
	if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
		t.Fatal(err)
	}
	f.asked(t, 20, gateway.DeploymentHeader, "v1") // what names its deployment is not copied
	if seen := f.asked(t, 60); seen["v1"] != 60 {
		t.Errorf("%v; want all from v1", seen)
	}
	// 30 of 60 expected with a standard deviation of 3.9.
	eventually(t, "about half is copied", func() bool { return copies.Load() >= 10 })
	f.beside(t, ridgeline.Deployment{Weight: 100}, ridgeline.Deployment{})
	f.share(ridgeline.Deployment{ID: "d-v1", Version: 1, Weight: 100})
	if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.gateway.Drained(ctx, "d-v2"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained while copies are under way: %v", err)
	}
	close(release)
	if err := f.gateway.Drained(t.Context(), "d-v2"); err != nil {
		t.Error(err)
	}
	if n := copies.Load(); n > 50 {
		t.Errorf("%d of 60 requests were copied; want about half", n)
	}
}

func TestGateway_limits(t *testing.T) {
	f := newFixture(t)
	arrived, answer := make(chan struct{}, 10), make(chan struct{})
	at, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	})
	f.place("d-1", at)
	f.share(ridgeline.Deployment{ID: "d-1", Version: 1, Weight: 100, Limit: ridgeline.Limit{Concurrent: 2}})
	var held sync.WaitGroup
	for range 2 {
		held.Go(func() {
			if status, text, _ := f.ask(t); status != 200 {
				t.Errorf("got %d %s", status, text)
			}
		})
		<-arrived
	}
	status, text, h := f.ask(t)
	if status != 429 || h.Get("Retry-After") != "1" || !strings.Contains(text, "iris/qa takes 2 requests at once") {
		t.Errorf("got %d %v %s", status, h, text)
	}
	close(answer)
	held.Wait()
	if status, text, _ := f.ask(t); status != 200 {
		t.Errorf("once there is room: got %d %s", status, text)
	}

	answer = make(chan struct{})
	f.share(ridgeline.Deployment{ID: "d-1", Version: 1, Weight: 100, Limit: ridgeline.Limit{Timeout: 20 * time.Millisecond}})
	if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
		t.Fatal(err)
	}
	if status, text, _ := f.ask(t); status != 504 || !strings.Contains(text, "no answer within the endpoint's limit") {
		t.Errorf("got %d %s", status, text)
	}
}

// Weights change, deployments come and go, and no request fails.
func TestGateway_traffic_under_load(t *testing.T) {
	f := newFixture(t)
	var done atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	f.beside(t, ridgeline.Deployment{Weight: 100}, ridgeline.Deployment{})
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, answer, _ := post(t, f.url+"/score", f.key, strings.NewReader(`{"data":[[1]]}`)); status != 200 {
					t.Errorf("got %d: %s", status, answer)
				}
				done.Add(1)
			}
		})
	}
	one := ridgeline.Deployment{ID: "d-v1", Version: 1}
	for n := 2; n < 12; n++ {
		next := ridgeline.Deployment{Version: n}
		next.ID = ridgeline.DeploymentID("d-" + next.Name())
		at, stopNext := scorer(t, says(next.Name()))
		f.place(next.ID, at)
		for _, weights := range [][3]int{{100, 0, 0}, {90, 10, 0}, {0, 100, 0}, {100, 0, 50}} {
			one.Weight, next.Weight, next.Mirror = weights[0], weights[1], weights[2]
			f.share(one, next)
			if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
				t.Fatal(err)
			}
			before := done.Load()
			eventually(t, "some more requests", func() bool { return done.Load() > before+10 })
		}
		f.share(ridgeline.Deployment{ID: one.ID, Version: 1, Weight: 100})
		if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
			t.Fatal(err)
		}
		if err := f.gateway.Drained(t.Context(), next.ID); err != nil {
			t.Fatal(err)
		}
		stopNext()
	}
	close(stop)
	clients.Wait()
}

// raw sends bytes on a connection of its own and returns what comes back.
func (f *fixture) raw(t *testing.T, then func(c *net.TCPConn), text string) *bufio.Reader {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(f.url, "/endpoints/iris/qa"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, strings.ReplaceAll(text, "\n", "\r\n"), f.key)
	if then != nil {
		then(c.(*net.TCPConn))
	}
	return bufio.NewReader(c)
}

func TestGateway_connections(t *testing.T) {
	f := newFixture(t)
	at, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Keep-Alive", "timeout=1")
		fmt.Fprintf(w, "%s %s secret=%q hop=%q expect=%q", r.Method, body, r.Header.Get("X-Secret"), r.Header.Get("Keep-Alive"), r.Header.Get("Expect"))
	})
	closed := make(chan struct{})
	slow, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-closed
		fmt.Fprint(w, "late")
	})
	f.place("d-1", at)
	f.live("d-1")
	read := func(r *bufio.Reader) (string, http.Header) {
		t.Helper()
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %s", res.Status, body), res.Header
	}
	t.Run("headers of one connection go no further", func(t *testing.T) {
		got, h := read(f.raw(t, nil, "POST /endpoints/iris/qa/score HTTP/1.1\nHost: x\nAuthorization: Bearer %s\nConnection: close, X-Secret\nX-Secret: 1\nKeep-Alive: 1\nContent-Length: 2\n\n{}"))
		if got != `200 OK POST {} secret="" hop="" expect=""` || h.Get("Keep-Alive") != "" {
			t.Errorf("got %s, %v", got, h)
		}
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		if got, _ := read(f.raw(t, nil, "GET /endpoints/iris/qa/score HTTP/1.0\nAuthorization: Bearer %s\n\n")); !strings.HasPrefix(got, "200 OK GET ") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("Expect: 100-continue", func(t *testing.T) {
		var c *net.TCPConn
		r := f.raw(t, func(conn *net.TCPConn) { c = conn }, "POST /endpoints/iris/qa/score HTTP/1.1\nHost: x\nAuthorization: Bearer %s\nExpect: 100-continue\nContent-Length: 2\n\n")
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
			t.Fatalf("got %q, %v", line, err)
		}
		_, _ = r.ReadString('\n')
		fmt.Fprint(c, "{}")
		if got, _ := read(r); got != `200 OK POST {} secret="" hop="" expect=""` {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a client that has nothing more to send gets its answer", func(t *testing.T) {
		f.place("d-1", slow)
		if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
			t.Fatal(err)
		}
		r := f.raw(t, func(c *net.TCPConn) { _ = c.CloseWrite(); close(closed) }, "POST /endpoints/iris/qa/score HTTP/1.1\nHost: x\nAuthorization: Bearer %s\nContent-Length: 2\n\n{}")
		if got, _ := read(r); got != "200 OK late" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a body that breaks off", func(t *testing.T) {
		r := f.raw(t, func(c *net.TCPConn) { _ = c.CloseWrite() }, "POST /endpoints/iris/qa/score HTTP/1.1\nHost: x\nAuthorization: Bearer %s\nContent-Length: 9\n\n{}")
		if got, _ := read(r); !strings.HasPrefix(got, "400 ") || !strings.Contains(got, "body broke off") {
			t.Errorf("got %s", got)
		}
	})
}

// gRPC needs HTTP/2 end to end and its trailers; the endpoint and the key come
// as metadata.
func TestGateway_gRPC(t *testing.T) {
	f := newFixture(t)
	h2c := func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	model := h2c(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.WriteHeader(200)
		fmt.Fprintf(w, "%s %s %s te=%s", r.Proto, r.URL.Path, body, r.Header.Get("Te"))
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}))
	f.place("d-1", host.Copy{Address: model.URL, Ready: true})
	f.live("d-1")
	front := h2c(http.HandlerFunc(f.gateway.ServeGRPC))
	client := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
	client.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	call := func(header ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+"/inference.GRPCInferenceService/ModelInfer", io.MultiReader(strings.NewReader("message")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	res, body := call("Authorization", "Bearer "+f.key, gateway.EndpointHeader, "iris/qa")
	if want := "HTTP/2.0 /inference.GRPCInferenceService/ModelInfer message te=trailers"; body != want || res.Trailer.Get("Grpc-Status") != "0" || res.Header.Get(gateway.DeploymentHeader) != "v1" {
		t.Errorf("got %q, %v, %v; want %q", body, res.Header, res.Trailer, want)
	}
	for name, c := range map[string]struct {
		header []string
		code   string
		text   string
	}{
		"no key":           {[]string{gateway.EndpointHeader, "iris/qa"}, "16", "no%20key"},
		"a wrong key":      {[]string{"Authorization", "Bearer no", gateway.EndpointHeader, "iris/qa"}, "16", "does%20not%20open"},
		"no endpoint":      {[]string{"Authorization", "Bearer " + f.key}, "3", "ridgeline-endpoint"},
		"unknown endpoint": {[]string{"Authorization", "Bearer managing", gateway.EndpointHeader, "iris/none"}, "5", "iris"},
		"no deployment":    {[]string{"Authorization", "Bearer " + f.key, gateway.EndpointHeader, "iris/qa", gateway.DeploymentHeader, "v9"}, "5", "v9"},
	} {
		res, _ := call(c.header...)
		if got := res.Header.Get("Grpc-Status"); res.StatusCode != 200 || got != c.code || !strings.Contains(res.Header.Get("Grpc-Message"), c.text) {
			t.Errorf("%s: got %d, status %s, %s; want %s and %s", name, res.StatusCode, got, res.Header.Get("Grpc-Message"), c.code, c.text)
		}
	}
}

func TestGateway_metrics(t *testing.T) {
	f := newFixture(t)
	f.beside(t, ridgeline.Deployment{Weight: 100}, ridgeline.Deployment{})
	for _, key := range []string{f.key, f.key, "wrong"} {
		post(t, f.url+"/score", key, strings.NewReader("{}"))
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(f.gateway)
	page := httptest.NewRecorder()
	promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := page.Body.String()
	for _, want := range []string{
		`ridgeline_endpoint_request_duration_seconds_count{deployment="v1",environment="qa",project="iris",status="2xx"} 2`,
		`ridgeline_endpoint_requests_in_flight{environment="qa",project="iris"} 0`,
		`ridgeline_endpoint_refused_total{environment="",project="",reason="key"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// A request's span in the gateway is below its client's, and above the
// scorer's.
func TestGateway_traces(t *testing.T) {
	sent := tracingtest.Collect(t)
	tracer, err := tracing.New(t.Context(), quiet, "ridgeline")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	g := gateway.New(f.world, f.world, f.auth, tracer, quiet)
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	f.url = front.URL + "/endpoints/iris/qa"
	at, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Traceparent")) })
	f.place("d-1", at)
	f.live("d-1")
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	_, told, _ := f.ask(t, "Traceparent", "00-"+trace+"-"+caller+"-01")
	eventually(t, "the span is sent", func() bool {
		if err := tracer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(sent()) > 0
	})
	span := sent()[0]
	if span.Name != "gateway" || span.Trace != trace || span.Parent != caller || span.About["ridgeline.endpoint"] != "iris/qa" ||
		span.About["ridgeline.deployment"] != "v1" || span.About["http.response.status_code"] != "200" || told != "00-"+trace+"-"+span.ID+"-01" {
		t.Errorf("got %+v, and the scorer was told %s", span, told)
	}
}

// Connections to a copy are kept, and none of them is trusted longer than the
// copy lives.
func TestGateway_kept_connections(t *testing.T) {
	f := newFixture(t)
	var opened atomic.Int64
	dir := t.TempDir()
	start := func(says string) (stop func()) {
		t.Helper()
		l, err := net.Listen("unix", dir+"/s")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{
			ConnState: func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					opened.Add(1)
				}
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/unread": // it answers before it has read a body, and closes
					http.Error(w, "too large", http.StatusRequestEntityTooLarge)
				case "/pieces":
					for range 3 {
						fmt.Fprint(w, "piece ")
						_ = http.NewResponseController(w).Flush()
					}
				default:
					_, _ = io.Copy(io.Discard, r.Body)
					fmt.Fprint(w, says)
				}
			}),
		}
		go func() { _ = s.Serve(l) }()
		return func() { s.Close() }
	}
	stop := start("first")
	f.place("d-1", host.Copy{Address: "unix://" + dir + "/s", Ready: true})
	f.live("d-1")
	ask := func(path, body string) string {
		t.Helper()
		status, answer, _ := post(t, f.url+path, f.key, strings.NewReader(body))
		return fmt.Sprint(status, " ", strings.TrimSpace(answer))
	}
	for range 5 {
		if got := ask("/score", "{}"); got != "200 first" {
			t.Errorf("got %s", got)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for five requests, one after the other", n)
	}
	if got := ask("/pieces", "{}"); got != "200 piece piece piece" {
		t.Errorf("got %s", got)
	}
	if got := ask("/unread", strings.Repeat("x", 900_000)); got != "413 too large" {
		t.Errorf("got %s", got)
	}
	if got := ask("/score", "{}"); got != "200 first" {
		t.Errorf("after that: got %s", got)
	}
	stop()
	stop = start("second") // in its place, where the gateway still has a connection to the first
	defer stop()
	if got := ask("/score", "{}"); got != "200 second" {
		t.Errorf("got %s", got)
	}
}
