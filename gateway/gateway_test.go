package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/host"
)

var quiet = slog.New(slog.DiscardHandler)

// world is what the gateway asks about: endpoints, copies and tokens.
type world struct {
	mu        sync.Mutex
	endpoints map[string]ridgeline.Endpoint
	shares    []ridgeline.Deployment // what is live in every endpoint
	copies    map[ridgeline.DeploymentID]host.Observed
	tokens    map[string]ridgeline.Token
	labels    []ridgeline.Feedback
	broken    error
}

func (w *world) Asked(_ context.Context, id ridgeline.DeploymentID, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, d := range w.shares {
		if d.ID == id {
			w.shares[i].Asked, w.shares[i].Asleep = at, false
		}
	}
	return nil
}

func (w *world) SaveFeedback(_ context.Context, list []ridgeline.Feedback) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.labels = append(w.labels, list...)
	return w.broken
}

func (w *world) Serving(_ context.Context, p ridgeline.ProjectName, environment string) (ridgeline.Endpoint, []ridgeline.Deployment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.endpoints[string(p)+"/"+environment]
	if !ok {
		return e, nil, ridgeline.Errorf(ridgeline.NotFound, "no endpoint %s/%s", p, environment)
	}
	return e, slices.Clone(w.shares), w.broken
}

func (w *world) Observe(_ context.Context, id ridgeline.DeploymentID) (host.Observed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.copies[id], nil
}

func (w *world) TokenByHash(_ context.Context, hash string) (ridgeline.Token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.tokens[hash]
	if !ok {
		return t, ridgeline.Errorf(ridgeline.NotFound, "no such token")
	}
	return t, w.broken
}

// set changes the endpoint iris/qa.
func (w *world) set(change func(e *ridgeline.Endpoint)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.endpoints["iris/qa"]
	change(&e)
	w.endpoints["iris/qa"] = e
}

// place says where the copies of a deployment answer.
func (w *world) place(id ridgeline.DeploymentID, copies ...host.Copy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.copies[id] = host.Observed{Copies: copies}
}

type fixture struct {
	*world
	gateway *gateway.Gateway
	auth    *auth.Authenticator
	url     string // of the endpoint iris/qa
	key     string // its primary key
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	w := &world{
		endpoints: map[string]ridgeline.Endpoint{"iris/qa": {Project: "iris", Environment: "qa", PrimaryGeneration: 1, SecondaryGeneration: 1}},
		copies:    map[ridgeline.DeploymentID]host.Observed{},
		tokens: map[string]ridgeline.Token{
			auth.Hash("viewing"): {Name: "dashboard", Role: ridgeline.Viewer},
			auth.Hash("writing"): {Name: "ci", Role: ridgeline.Writer},
		},
	}
	dir := t.TempDir()
	a, err := auth.New(dir, dir, "managing", w)
	if err != nil {
		t.Fatal(err)
	}
	g := gateway.New(w, w, a, nil, quiet)
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	return &fixture{world: w, gateway: g, auth: a, url: s.URL + "/endpoints/iris/qa", key: a.EndpointKey(w.endpoints["iris/qa"], auth.Primary)}
}

// scorer answers on a Unix socket, as copies on this machine do.
func scorer(t testing.TB, handle http.HandlerFunc) (at host.Copy, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw") // a socket's path may have 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handle}
	go func() { _ = s.Serve(l) }()
	stop = func() { s.Close(); os.RemoveAll(dir) }
	t.Cleanup(stop)
	return host.Copy{Address: "unix://" + socket, Ready: true}, stop
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, text)
	}
}

func post(t *testing.T, url, key string, body io.Reader) (status int, answer string, header http.Header) {
	t.Helper()
	return send(t, http.MethodPost, url, key, body)
}

// send has pairs of a header's name and value after the body.
func send(t *testing.T, method, url, key string, body io.Reader, header ...string) (status int, answer string, answered http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

// live gives all requests to one deployment.
func (f *fixture) live(id ridgeline.DeploymentID) {
	f.share(ridgeline.Deployment{ID: id, Version: 1, Weight: 100})
}

// share makes these the live deployments; the first is the endpoint's.
func (f *fixture) share(all ...ridgeline.Deployment) {
	f.set(func(e *ridgeline.Endpoint) { e.Live = all[0].ID })
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	f.shares = all
}

func TestGateway_keys(t *testing.T) {
	f := newFixture(t)
	at, _ := scorer(t, says("scored"))
	f.place("d-1", at)
	f.live("d-1")
	e := f.endpoints["iris/qa"]
	other := e
	other.Environment = "production"
	for name, test := range map[string]struct {
		path, key string
		want      int
	}{
		"none":                       {"/score", "", 401},
		"a wrong one":                {"/score", "guessed", 401},
		"primary":                    {"/score", f.key, 200},
		"secondary":                  {"/score", f.auth.EndpointKey(e, auth.Secondary), 200},
		"of another environment":     {"/score", f.auth.EndpointKey(other, auth.Primary), 401},
		"a viewer's token":           {"/score", "viewing", 401},
		"a writer's token":           {"/score", "writing", 200},
		"the admin's token":          {"/score", "managing", 200},
		"unknown endpoint, no key":   {"/../nothing/score", "", 401},
		"unknown endpoint, a key":    {"/../nothing/score", f.key, 401},
		"unknown endpoint, a writer": {"/../nothing/score", "writing", 404},
		"no path behind it":          {"", "managing", 404},
	} {
		t.Run(name, func(t *testing.T) {
			url := strings.Replace(f.url+test.path, "qa/../", "", 1)
			status, answer, header := post(t, url, test.key, strings.NewReader("{}"))
			if status != test.want {
				t.Fatalf("got %d, want %d: %s", status, test.want, answer)
			}
			if status == 200 {
				if answer != "scored" {
					t.Errorf("got %q", answer)
				}
				return
			}
			if header.Get("Content-Type") != "application/problem+json" || (status == 401) != (header.Get("WWW-Authenticate") == "Bearer") {
				t.Errorf("header %v", header)
			}
			if strings.Contains(answer, f.key) {
				t.Error("the answer repeats a key")
			}
		})
	}
	t.Run("rotated", func(t *testing.T) { // here or by another server: known within a second or so
		f.set(func(e *ridgeline.Endpoint) { e.PrimaryGeneration++ })
		fresh := f.auth.EndpointKey(f.endpoints["iris/qa"], auth.Primary)
		eventually(t, "the old key closes and the new one opens", func() bool {
			old, _, _ := post(t, f.url+"/score", f.key, nil)
			now, _, _ := post(t, f.url+"/score", fresh, nil)
			return old == 401 && now == 200
		})
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestGateway_forwards(t *testing.T) {
	f := newFixture(t)
	at, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Model", "iris")
		w.WriteHeader(http.StatusTeapot)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"uri": r.RequestURI, "body": string(body), "length": r.ContentLength, "key": r.Header.Get("Authorization"),
			"type": r.Header.Get("Content-Type"), "for": r.Header.Get("X-Forwarded-For") != "",
		})
	})
	f.place("d-1", at)
	f.live("d-1")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/v2/models/iris/infer?verbose=1", strings.NewReader(`{"data":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "bearer "+f.key) // the scheme's case does not matter
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got map[string]any
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"uri": "/v2/models/iris/infer?verbose=1", "body": `{"data":[1]}`, "length": 12.0, "key": "", "type": "application/json", "for": true,
	}
	if res.StatusCode != http.StatusTeapot || res.Header.Get("X-Model") != "iris" || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %d %v, want %v: the copy's own answer, and a request without its key", res.StatusCode, got, want)
	}
}

func TestGateway_nothing_ready(t *testing.T) {
	f := newFixture(t)
	ask := func(want int, text string) {
		t.Helper()
		if status, answer, _ := post(t, f.url+"/score", f.key, nil); status != want || !strings.Contains(answer, text) {
			t.Errorf("got %d %s; want %d and %q", status, answer, want, text)
		}
	}
	ask(503, "nothing is deployed to iris/qa yet")
	at, _ := scorer(t, says("scored"))
	starting := at
	starting.Ready = false
	f.place("d-1", starting)
	f.live("d-1")
	ask(503, "no copy of iris/qa is ready")
	f.place("d-1", at)
	ask(200, "scored") // at once: that nothing is ready is not remembered
}

// A store that is away does not take down what is live; what was never looked
// up fails, without its cause.
func TestGateway_store_away(t *testing.T) {
	f := newFixture(t)
	at, _ := scorer(t, says("scored"))
	f.place("d-1", at)
	f.live("d-1")
	if status, answer, _ := post(t, f.url+"/score", f.key, nil); status != 200 {
		t.Fatalf("got %d %s", status, answer)
	}
	f.world.mu.Lock()
	f.broken = errors.New("disk on fire")
	f.world.mu.Unlock()
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); { // beyond the age at which a route is looked up again
		if status, answer, _ := post(t, f.url+"/score", f.key, nil); status != 200 || answer != "scored" {
			t.Fatalf("got %d %s; want the last known copy's answer", status, answer)
		}
	}
	fresh := newFixture(t)
	fresh.world.mu.Lock()
	fresh.broken = errors.New("disk on fire")
	fresh.world.mu.Unlock()
	if status, answer, _ := post(t, fresh.url+"/score", fresh.key, nil); status != 500 || strings.Contains(answer, "fire") {
		t.Errorf("got %d %s; want 500 without the cause", status, answer)
	}
}

// Copies take turns.
func TestGateway_copies(t *testing.T) {
	f := newFixture(t)
	a, _ := scorer(t, says("a"))
	b, _ := scorer(t, says("b"))
	f.place("d-1", a, b, host.Copy{Address: "unix:///nowhere", Ready: false})
	f.live("d-1")
	seen := map[string]int{}
	for range 10 {
		_, answer, _ := post(t, f.url+"/score", f.key, nil)
		seen[answer]++
	}
	if seen["a"] != 5 || seen["b"] != 5 {
		t.Errorf("answers %v, want 5 from each copy that is ready", seen)
	}
	if n, err := f.gateway.Ready(t.Context(), "d-1"); err != nil || n != 2 {
		t.Errorf("%d copies are ready, %v; want 2", n, err)
	}
}

// The endpoint goes from one deployment to the next and back, each stopped as
// soon as it is drained; no request fails, and none comes to the old one once
// the switch is done.
func TestGateway_switch_under_load(t *testing.T) {
	f := newFixture(t)
	var ok, failed atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	at, stopOld := scorer(t, says("0"))
	f.place("d-0", at)
	f.live("d-0")
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, answer, _ := post(t, f.url+"/score", f.key, strings.NewReader(`{"data":[[1]]}`))
				if status != 200 {
					failed.Add(1)
					t.Errorf("got %d: %s", status, answer)
				}
				ok.Add(1)
			}
		})
	}
	for n := 1; n <= 20; n++ {
		old, next := ridgeline.DeploymentID(fmt.Sprintf("d-%d", n-1)), ridgeline.DeploymentID(fmt.Sprintf("d-%d", n))
		at, stopNext := scorer(t, says(fmt.Sprint(n)))
		f.place(next, at)
		f.live(next)
		if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
			t.Fatal(err)
		}
		if _, answer, _ := post(t, f.url+"/score", f.key, nil); answer != fmt.Sprint(n) {
			t.Errorf("after the switch to %d, %s answers", n, answer)
		}
		if err := f.gateway.Drained(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		stopOld()
		f.place(old)
		stopOld = stopNext
		before := ok.Load()
		eventually(t, "some more requests", func() bool { return ok.Load() > before+10 })
	}
	close(stop)
	clients.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), ok.Load())
	}
}

func TestGateway_Drained(t *testing.T) {
	f := newFixture(t)
	arrived, answer := make(chan struct{}), make(chan struct{})
	at, _ := scorer(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-answer
		fmt.Fprint(w, "late")
	})
	f.place("d-1", at)
	f.live("d-1")
	got := make(chan string, 1)
	go func() {
		_, text, _ := post(t, f.url+"/score", f.key, nil)
		got <- text
	}()
	<-arrived
	f.live("d-2")
	if err := f.gateway.Switched(t.Context(), "iris", "qa"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.gateway.Drained(ctx, "d-1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained while a request is under way: %v", err)
	}
	drained := make(chan error, 1)
	go func() { drained <- f.gateway.Drained(t.Context(), "d-1") }()
	close(answer)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if text := <-got; text != "late" {
		t.Errorf("the request under way got %q", text)
	}
	for _, id := range []ridgeline.DeploymentID{"d-1", "d-never"} { // twice, or never used, is harmless
		if err := f.gateway.Drained(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
}

func TestGateway_copy_goes(t *testing.T) {
	t.Run("before it took the request: another one answers", func(t *testing.T) {
		f := newFixture(t)
		old, stop := scorer(t, says("old"))
		f.place("d-1", old)
		f.live("d-1")
		if _, answer, _ := post(t, f.url+"/score", f.key, nil); answer != "old" {
			t.Fatalf("got %q", answer)
		}
		next, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "next: %s", body)
		})
		stop()
		f.place("d-1", next) // but the gateway still trusts its route
		if status, answer, _ := post(t, f.url+"/score", f.key, strings.NewReader("body")); status != 200 || answer != "next: body" {
			t.Errorf("got %d %q, want the next copy's answer to the whole body", status, answer)
		}
	})
	t.Run("in the middle: once and no more", func(t *testing.T) {
		f := newFixture(t)
		var taken atomic.Int32
		at, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			taken.Add(1)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		})
		f.place("d-1", at)
		f.live("d-1")
		status, answer, _ := post(t, f.url+"/score", f.key, strings.NewReader("body"))
		if status != 502 || taken.Load() != 1 || !strings.Contains(answer, "broke off") {
			t.Errorf("got %d %s after %d tries; want 502 after one", status, answer, taken.Load())
		}
	})
}

// A big body is passed on while it comes in, and arrives whole.
func TestGateway_big_body(t *testing.T) {
	f := newFixture(t)
	begun := make(chan struct{})
	at, _ := scorer(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		_, _ = io.CopyN(sum, r.Body, 1<<20)
		close(begun)
		_, _ = io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%x", sum.Sum(nil))
	})
	f.place("d-1", at)
	f.live("d-1")
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	whole := sha256.New()
	r, w := io.Pipe()
	go func() {
		for i := range 16 {
			if i == 8 {
				<-begun // the copy reads already, though half is still to come
			}
			whole.Write(chunk)
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		w.Close()
	}()
	status, answer, _ := post(t, f.url+"/score", f.key, r)
	if want := fmt.Sprintf("%x", whole.Sum(nil)); status != 200 || answer != want {
		t.Errorf("got %d %s, want %s", status, answer, want)
	}
}
