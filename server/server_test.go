package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/gateway"
	"github.com/ridgeline-mlops/ridgeline/scope"
	"github.com/ridgeline-mlops/ridgeline/server"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

// tokens are those that the server knows, until broken.
type tokens struct {
	all    map[string]ridgeline.Token
	broken atomic.Pointer[error]
	leave  func() // has the server leave
	trail  *store.Store
}

func (k *tokens) TokenByHash(_ context.Context, hash string) (ridgeline.Token, error) {
	if err := k.broken.Load(); err != nil {
		return ridgeline.Token{}, *err
	}
	if token, ok := k.all[hash]; ok {
		return token, nil
	}
	return ridgeline.Token{}, ridgeline.Errorf(ridgeline.NotFound, "no such token")
}

// nowhere is a store without endpoints.
type nowhere struct{ gateway.Live }

func (nowhere) Serving(context.Context, ridgeline.ProjectName, string) (ridgeline.Endpoint, []ridgeline.Deployment, error) {
	return ridgeline.Endpoint{}, nil, ridgeline.Errorf(ridgeline.NotFound, "no endpoint")
}

// serve starts a server whose API and registry say who asks.
func serve(t *testing.T) (*tokens, string) {
	t.Helper()
	known := &tokens{all: map[string]ridgeline.Token{
		auth.Hash("viewing"): {Name: "dashboard", Role: ridgeline.Viewer},
		auth.Hash("writing"): {Name: "ci", Role: ridgeline.Writer},
		auth.Hash("narrow"):  {Name: "iris-ci", Role: ridgeline.Writer, Project: "iris"},
		auth.Hash("revoked"): {Name: "old", Role: ridgeline.Writer, Revoked: time.Now()},
	}}
	dir := t.TempDir()
	access, err := auth.New(dir, dir, "managing", known)
	if err != nil {
		t.Fatal(err)
	}
	if known.trail, err = store.Open(t.Context(), storetest.Address(t), quiet); err != nil {
		t.Fatal(err)
	}
	who := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/iris/manifests/1.0":
			w.Header().Set("Docker-Content-Digest", "sha256:0123")
			w.WriteHeader(http.StatusCreated)
			return
		case "/v2/iris/manifests/absent":
			http.Error(w, "no such manifest", http.StatusNotFound)
			return
		case "/api/v1/panic":
			panic("secret detail")
		case "/api/v1/abort":
			panic(http.ErrAbortHandler)
		}
		p := auth.From(r.Context())
		fmt.Fprintf(w, "%s is a %s", p.Name, p.Role)
	}
	door := &auth.Door{Trail: known.trail, Log: quiet}
	s := server.New(server.Options{Auth: access, Door: door, Scope: scope.New(scope.Owners{}), API: http.HandlerFunc(who), Registry: http.HandlerFunc(who), Git: http.HandlerFunc(who), Hooks: http.HandlerFunc(who), Gateway: gateway.New(nowhere{}, nil, access, nil, quiet), Log: quiet,
		Ready: func(context.Context) error {
			if err := known.broken.Load(); err != nil {
				return *err
			}
			return nil
		},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	known.leave = s.Leave
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		door.Close()
		if err := known.trail.Close(); err != nil {
			t.Error(err)
		}
	})
	return known, "http://" + l.Addr().String()
}

func get(t *testing.T, url string, prepare func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(req)
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

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// Who routes requests is told in time, and a stranger no more than that; a
// database that is away does not get the server killed.
// One that is about to stop answers, and ends the connection with the answer.
func TestServer_Leave(t *testing.T) {
	known, url := serve(t)
	for _, leaving := range []bool{false, true} {
		if leaving {
			known.leave()
		}
		for _, path := range []string{"/healthz", "/endpoints/nobody/production/score"} {
			res, err := http.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.Close != leaving {
				t.Errorf("%s, leaving %t: the answer ends the connection: %t", path, leaving, res.Close)
			}
		}
	}
}

func TestServer_ready(t *testing.T) {
	known, url := serve(t)
	away := errors.New("the database at 10.1.2.3 is away")
	known.broken.Store(&away)
	if status, body, _ := get(t, url+"/healthz/ready", nil); status != http.StatusServiceUnavailable || strings.Contains(body, "10.1.2.3") {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, body, _ := get(t, url+"/healthz/live", nil); status != http.StatusOK {
		t.Errorf("alive: %d %s", status, body)
	}
	known.broken.Store(nil)
	if status, body, _ := get(t, url+"/healthz/ready", nil); status != http.StatusOK {
		t.Errorf("ready again: %d %s", status, body)
	}
}

func TestServer_signed_in(t *testing.T) {
	_, url := serve(t)
	basic := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
	}
	for name, test := range map[string]struct {
		path string
		with func(*http.Request)
		want int
		says string
	}{
		"health needs nothing":            {"/healthz", nil, 200, `"ok"`},
		"so does whether it is alive":     {"/healthz/live", nil, 200, `"ok"`},
		"and whether it is ready":         {"/healthz/ready", nil, 200, `"ok"`},
		"nobody, API":                     {"/api/v1/runs", nil, 401, "no token"},
		"nobody, registry":                {"/v2/", nil, 401, "no token"},
		"nobody, git":                     {"/git/iris.git/info/refs", nil, 401, "no token"},
		"viewer, git":                     {"/git/iris.git/info/refs", basic("viewing"), 200, "dashboard is a viewer"},
		"nobody, reading a webhook":       {"/api/v1/projects/iris/hooks/hub", nil, 401, "no token"},
		"nobody, metrics":                 {"/metrics", nil, 401, "no token"},
		"nobody, index":                   {"/", nil, 401, "no token"},
		"nobody, elsewhere":               {"/admin", nil, 401, "no token"},
		"nobody, endpoint":                {"/endpoints/iris/qa/score", nil, 401, "no key"},
		"a wrong token":                   {"/api/v1/runs", bearer("guessed"), 401, "not known here"},
		"another scheme":                  {"/api/v1/runs", func(r *http.Request) { r.Header.Set("Authorization", "Digest viewing") }, 401, "no token"},
		"a token in the address":          {"/api/v1/runs?token=viewing", nil, 401, "no token"},
		"a token for events":              {"/api/v1/events?access_token=viewing", nil, 200, "dashboard is a viewer"},
		"an events token elsewhere":       {"/api/v1/runs?access_token=viewing", nil, 401, "no token"},
		"viewer, API":                     {"/api/v1/runs", bearer("viewing"), 200, "dashboard is a viewer"},
		"viewer, by password":             {"/api/v1/runs", basic("viewing"), 200, "dashboard is a viewer"},
		"a wrong password":                {"/v2/", basic("guessed"), 401, "not known here"},
		"viewer, registry":                {"/v2/", basic("viewing"), 403, "dashboard is a viewer; this needs a writer"},
		"writer, registry":                {"/v2/", basic("writing"), 200, "ci is a writer"},
		"admin, registry":                 {"/v2/", bearer("managing"), 200, "admin is a admin"},
		"viewer, metrics":                 {"/metrics", bearer("viewing"), 200, "process_open_fds"},
		"viewer, index":                   {"/", bearer("viewing"), 200, "/api/v1/openapi.json"},
		"viewer, elsewhere":               {"/admin", bearer("viewing"), 404, "there is nothing at /admin"},
		"a panic is answered, not told":   {"/api/v1/panic", bearer("viewing"), 500, "an unexpected error occurred"},
		"a scheme in lower case will do":  {"/api/v1/runs", func(r *http.Request) { r.Header.Set("Authorization", "bearer viewing") }, 200, "viewer"},
		"blanks around a token will do":   {"/api/v1/runs", bearer("  viewing "), 200, "viewer"},
		"an endpoint's token is no scope": {"/endpoints/iris/qa/score", bearer("viewing"), 401, "does not open"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text, header := get(t, url+test.path, test.with)
			if status != test.want || !strings.Contains(text, test.says) {
				t.Errorf("got %d %s; want %d and %q", status, text, test.want, test.says)
			}
			if strings.Contains(text, "secret detail") || strings.Contains(text, "guessed") {
				t.Errorf("the answer tells too much: %s", text)
			}
			if status == 401 && header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate: registry clients would not send what they have")
			}
			if status >= 400 && header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("a problem comes as %s", header.Get("Content-Type"))
			}
		})
	}
}

// TestServer_metrics: a request is counted once it is over, which its client
// may know before the server does.
func TestServer_metrics(t *testing.T) {
	_, url := serve(t)
	get(t, url+"/healthz", nil)
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, text, _ := get(t, url+"/metrics", bearer("viewing"))
		if strings.Contains(text, `ridgeline_http_request_duration_seconds_count{`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the request is not among the metrics:\n%s", text)
		}
	}
}

// TestServer_webhooks: a forge has no token; what it calls checks its signature.
func TestServer_webhooks(t *testing.T) {
	_, url := serve(t)
	for path, want := range map[string]int{"/api/v1/projects/iris/hooks/hub": 200, "/api/v1/projects/iris/hooks/hub/x": 401, "/api/v1/projects/iris/runs": 401} {
		res, err := http.Post(url+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, expected %d", path, res.StatusCode, want)
		}
	}
}

func TestServer_broken_store(t *testing.T) {
	known, url := serve(t)
	broken := errors.New("disk on fire")
	known.broken.Store(&broken)
	if status, text, _ := get(t, url+"/api/v1/runs", bearer("viewing")); status != 500 || strings.Contains(text, "fire") {
		t.Errorf("got %d %s; want 500 without the cause", status, text)
	}
	if status, text, _ := get(t, url+"/api/v1/runs", bearer("managing")); status != 200 { // its token is on file
		t.Errorf("the admin got %d %s", status, text)
	}
}

// A handler that gives up on purpose cuts the connection, so that the client
// does not take half an answer for a whole one.
func TestServer_abort(t *testing.T) {
	_, url := serve(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/abort", nil)
	if err != nil {
		t.Fatal(err)
	}
	bearer("viewing")(req)
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		t.Errorf("got %s", res.Status)
	}
}

func TestProblem(t *testing.T) {
	for _, code := range ridgeline.Codes() {
		t.Run(string(code), func(t *testing.T) {
			w := httptest.NewRecorder()
			server.Problem(w, fmt.Errorf("outer: %w", ridgeline.Errorf(code, "the reason")))
			var got struct {
				Title, Detail string
				Status        int
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != api.Status(code) || got.Status != w.Code || got.Title != http.StatusText(w.Code) || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %d, %+v", w.Code, got)
			}
			if told := strings.Contains(got.Detail, "the reason"); told == (code == ridgeline.Internal) {
				t.Errorf("detail %q", got.Detail)
			}
		})
	}
	w := httptest.NewRecorder()
	server.Problem(w, errors.New("pq: password authentication failed"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "password") {
		t.Errorf("an unclassified error: %d %s", w.Code, w.Body)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8470": true, "127.8.8.8:1": true, "[::1]:8470": true, "localhost:8470": true,
		"0.0.0.0:8470": false, "[::]:8470": false, ":8470": false, "10.0.0.1:8470": false, "example.com:80": false, "127.0.0.1": false, "": false,
	} {
		if got := server.Loopback(address); got != want {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
}
