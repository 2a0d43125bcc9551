package outpost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gateway"
)

var quiet = slog.New(slog.DiscardHandler)

// a world is a Ridgeline server with one endpoint, iris/qa, and its scorers.
type world struct {
	auth   *auth.Authenticator
	key    string
	desk   *Desk
	server *httptest.Server
	away   bool // under mu: the server answers nobody

	mu     sync.Mutex
	live   []ridgeline.Deployment
	at     map[ridgeline.DeploymentID]string
	asked  map[ridgeline.DeploymentID]time.Time
	labels []ridgeline.Feedback
}

func (w *world) TokenByHash(context.Context, string) (ridgeline.Token, error) {
	return ridgeline.Token{}, ridgeline.Errorf(ridgeline.NotFound, "no such token")
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{at: map[ridgeline.DeploymentID]string{}, asked: map[ridgeline.DeploymentID]time.Time{}}
	var err error
	if w.auth, err = auth.New(t.TempDir(), t.TempDir(), "managing", w); err != nil {
		t.Fatal(err)
	}
	e := ridgeline.Endpoint{Project: "iris", Environment: "qa", Live: "d-1"}
	w.key = w.auth.EndpointKey(e, auth.Primary)
	w.desk = &Desk{
		Endpoints: func(context.Context) ([]ridgeline.Endpoint, error) { return []ridgeline.Endpoint{e}, nil },
		Live: func(context.Context) ([]ridgeline.Deployment, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return append([]ridgeline.Deployment(nil), w.live...), nil
		},
		Keys: w.auth.EndpointKeys, Opens: w.auth.Gateways, Log: quiet,
		Address: func(d ridgeline.Deployment) (string, bool) { return w.at[d.ID], w.at[d.ID] != "" },
		Asked: func(_ context.Context, id ridgeline.DeploymentID, at time.Time) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked[id] = at
			return nil
		},
		Wake: func(_ context.Context, id ridgeline.DeploymentID) error {
			w.change(func() {
				for i := range w.live {
					if w.live[i].ID == id {
						w.live[i].Asleep = false
						w.at[id] = strings.Replace(w.at[id], "localhost.invalid", "127.0.0.1", 1)
					}
				}
			})
			return nil
		},
		Labels: func(_ context.Context, list []ridgeline.Feedback) error {
			w.change(func() { w.labels = append(w.labels, list...) })
			return nil
		},
	}
	w.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		away := w.away
		w.mu.Unlock()
		if away {
			panic(http.ErrAbortHandler)
		}
		w.desk.ServeHTTP(out, r)
	}))
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// scorer answers for a deployment of the version, which gets the weight.
func (w *world) scorer(t *testing.T, version, weight int, answer http.HandlerFunc) *ridgeline.Deployment {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	id := ridgeline.DeploymentID(fmt.Sprintf("d-%d", version))
	w.change(func() {
		w.live = append(w.live, ridgeline.Deployment{ID: id, Project: "iris", Environment: "qa", Version: version, Weight: weight})
		w.at[id] = strings.TrimPrefix(s.URL, "http://")
	})
	return &w.live[len(w.live)-1]
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// an outpost of a test.
type outpost struct {
	Config
	url, probes string
	stop        context.CancelFunc
	ended       chan error
}

// start starts an outpost that keeps its table in dir.
func (w *world) start(t *testing.T, dir string) *outpost {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	requests, probes := listen(), listen()
	ctx, cancel := context.WithCancel(context.Background())
	o := &outpost{
		Config: Config{Server: w.server.URL, Token: w.auth.GatewayToken(), Table: filepath.Join(dir, "mounted.json"), Keep: filepath.Join(dir, "kept.json"), Copy: "one", Log: quiet},
		url:    "http://" + requests.Addr().String() + "/endpoints/iris/qa", probes: "http://" + probes.Addr().String(), stop: cancel, ended: make(chan error, 1),
	}
	go func() { o.ended <- serve(ctx, o.Config, requests, probes) }()
	t.Cleanup(func() {
		cancel()
		if err := <-o.ended; err != nil {
			t.Error(err)
		}
		o.ended <- nil
	})
	return o
}

func (o *outpost) ask(t *testing.T, key string) (status int, body string, h http.Header) {
	t.Helper()
	return o.post(t, o.url+"/score", key, "{}")
}

func (o *outpost) post(t *testing.T, url, key, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
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

// until waits for what the outpost learns within a second or so.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func (o *outpost) ready() bool {
	res, err := http.Get(o.probes + "/healthz/ready")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (o *outpost) answers(t *testing.T, n int, key string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for range n {
		status, body, h := o.ask(t, key)
		if status != 200 || h.Get(gateway.DeploymentHeader) != body {
			t.Fatalf("got %d %s from %s", status, body, h.Get(gateway.DeploymentHeader))
		}
		seen[body]++
	}
	return seen
}

func TestOutpost_answers_while_the_server_is_away(t *testing.T) {
	w := newWorld(t)
	w.scorer(t, 1, 50, says("v1"))
	w.scorer(t, 2, 50, says("v2"))
	var mirrored sync.WaitGroup
	mirrored.Add(1)
	var once sync.Once
	w.scorer(t, 3, 0, func(out http.ResponseWriter, r *http.Request) {
		if r.Header.Get(ridgeline.PurposeHeader) == ridgeline.PurposeMirror {
			once.Do(mirrored.Done)
		}
	}).Mirror = 50
	dir := t.TempDir()
	o := w.start(t, dir)
	until(t, "it is ready", o.ready)
	o.answers(t, 5, w.key)
	w.change(func() { w.away = true })
	w.server.CloseClientConnections()
	if seen := o.answers(t, 100, w.key); seen["v1"] < 20 || seen["v2"] < 20 {
		t.Errorf("of 100 requests for two halves: %v", seen)
	}
	mirrored.Wait()
	if status, body, _ := o.ask(t, "wrong"); status != http.StatusUnauthorized {
		t.Errorf("a wrong key: %d %s", status, body)
	}
	if status, body, _ := o.ask(t, "managing"); status != http.StatusUnauthorized {
		t.Errorf("the server's own token: %d %s", status, body)
	}
	if status, body, _ := o.post(t, o.url+"/feedback", w.key, `{"request_id": "a", "label": 1}`); status != http.StatusServiceUnavailable || !strings.Contains(body, "send them again later") {
		t.Errorf("labels, without a server to keep them: %d %s", status, body)
	}
	// Another process of the same pod, and one of another pod with what the cluster mounts.
	kept, err := os.ReadFile(filepath.Join(dir, "kept.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(kept), w.key) {
		t.Error("the table has a key in it")
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "mounted.json"), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, other} {
		next := w.start(t, dir)
		until(t, "the next one is ready without the server", next.ready)
		next.answers(t, 10, w.key)
	}
}

func TestOutpost_learns(t *testing.T) {
	w := newWorld(t)
	w.scorer(t, 1, 100, says("v1"))
	w.scorer(t, 2, 0, says("v2"))
	first := &w.live[0]
	o := w.start(t, t.TempDir())
	until(t, "it is ready", o.ready)
	if seen := o.answers(t, 10, w.key); !maps.Equal(seen, map[string]int{"v1": 10}) {
		t.Errorf("got %v", seen)
	}
	until(t, "the server knows what was answered", func() bool { return w.desk.Answered("d-1").Succeeded == 10 })
	w.change(func() { first.Weight, w.live[1].Weight = 0, 100 })
	until(t, "the other version answers", func() bool { _, body, _ := o.ask(t, w.key); return body == "v2" })
	w.change(func() { w.live = w.live[1:] })
	until(t, "one that is gone is no more", func() bool {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, o.url+"/score", nil)
		req.Header.Set("Authorization", "Bearer "+w.key)
		req.Header.Set(gateway.DeploymentHeader, "v1")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode == http.StatusNotFound
	})
	if status, body, _ := o.post(t, o.url+"/feedback", w.key, `{"request_id": "a", "label": 1}`); status != http.StatusOK || len(w.labels) != 1 || w.labels[0].Project != "iris" {
		t.Errorf("labels: %d %s, and the server has %+v", status, body, w.labels)
	}
	if status, body, _ := o.post(t, strings.Replace(o.url, "iris", "else", 1)+"/score", w.key, "{}"); status != http.StatusUnauthorized {
		t.Errorf("an endpoint that is not here: %d %s", status, body)
	}
}

// Copies that rest come back for a request, which waits.
func TestOutpost_wakes(t *testing.T) {
	w := newWorld(t)
	d := w.scorer(t, 1, 100, says("v1"))
	w.change(func() {
		d.Idle, d.Asleep = time.Hour, true
		w.at[d.ID] = strings.Replace(w.at[d.ID], "127.0.0.1", "localhost.invalid", 1) // a name without addresses
	})
	o := w.start(t, t.TempDir())
	until(t, "it is ready", o.ready)
	o.answers(t, 1, w.key)
	until(t, "the server is told that somebody asks", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Since(w.asked[d.ID]) < time.Minute
	})
}

// A process that is told to stop takes requests for a while, has its clients
// leave, and finishes what it has.
func TestOutpost_drains(t *testing.T) {
	w := newWorld(t)
	begun, goOn := make(chan bool), make(chan bool)
	w.scorer(t, 1, 100, func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("slow") {
			begun <- true
			<-goOn
		}
		fmt.Fprint(out, "v1")
	})
	o := w.start(t, t.TempDir())
	until(t, "it is ready", o.ready)
	answered := make(chan string)
	go func() {
		_, body, _ := o.post(t, o.url+"/score?slow", w.key, "{}")
		answered <- body
	}()
	<-begun
	o.stop()
	goOn <- true
	if body := <-answered; body != "v1" {
		t.Errorf("a request under way got %q", body)
	}
	if err := <-o.ended; err != nil {
		t.Error(err)
	}
	o.ended <- nil
	if n := w.desk.Answered("d-1").Latency.Count(); n != 1 {
		t.Errorf("the server knows of %d requests, there was 1", n)
	}
}

func TestDesk_refuses(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct {
		method, path, token, body string
		status                    int
	}{
		"nobody":           {http.MethodPost, syncPath, "", "{}", 401},
		"an endpoint's":    {http.MethodPost, syncPath, w.key, "{}", 401},
		"another method":   {http.MethodGet, syncPath, w.auth.GatewayToken(), "", 405},
		"what is no JSON":  {http.MethodPost, syncPath, w.auth.GatewayToken(), "{", 422},
		"another path":     {http.MethodPost, Path + "other", w.auth.GatewayToken(), "{}", 404},
		"all that is well": {http.MethodPost, syncPath, w.auth.GatewayToken(), "{}", 200},
	} {
		req := httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
		req.Header.Set("Authorization", "Bearer "+test.token)
		rec := httptest.NewRecorder()
		w.desk.ServeHTTP(rec, req)
		if rec.Code != test.status {
			t.Errorf("%s: %d %s, want %d", name, rec.Code, rec.Body, test.status)
		}
	}
}

func TestConfigFromEnv(t *testing.T) {
	env := map[string]string{"RIDGELINE_GATEWAY_SERVER": "http://ridgeline:8470/", "RIDGELINE_GATEWAY_TOKEN": "t"}
	get := func(name string) string { return env[name] }
	if c, err := ConfigFromEnv(get, "1"); err != nil || c.Server != "http://ridgeline:8470" || c.Listen != ":8080" || c.Drain != 5*time.Second {
		t.Errorf("got %+v, %v", c, err)
	}
	for name, wrong := range map[string]string{"RIDGELINE_GATEWAY_SERVER": "ridgeline", "RIDGELINE_GATEWAY_TOKEN": "", "RIDGELINE_DRAIN_MS": "soon"} {
		before := env[name]
		env[name] = wrong
		if _, err := ConfigFromEnv(get, "1"); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s=%q: %v", name, wrong, err)
		}
		env[name] = before
	}
}

// A file that is older than what is known changes nothing, and neither does one
// that is broken.
func TestKnown_read(t *testing.T) {
	k := newKnown("", quiet)
	file := filepath.Join(t.TempDir(), "table.json")
	for _, step := range []struct{ text, version string }{
		{`{"made": 2, "endpoints": [{"project": "a", "environment": "x"}]}`, "a"},
		{`{"made": 1, "endpoints": [{"project": "b", "environment": "x"}]}`, "a"},
		{`{"made": 3`, "a"},
		{`{"made": 3, "endpoints": [{"project": "c", "environment": "x"}]}`, "c"},
	} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := k.read(file)
		if broken := !strings.HasSuffix(step.text, "}"); broken != (err != nil) {
			t.Errorf("%s: %v", step.text, err)
		}
		if _, _, err := k.Serving(t.Context(), ridgeline.ProjectName(step.version), "x"); err != nil {
			t.Errorf("after %s: %v", step.text, err)
		}
	}
	if err := k.read(filepath.Join(t.TempDir(), "none")); err != nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
