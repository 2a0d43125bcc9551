package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/store"
)

// Who was kept out, and what was pushed to the registry or deleted there, is in
// the audit trail: without the secret, and the same only once.
func TestServer_audit(t *testing.T) {
	known, url := serve(t)
	ask := func(method, path, token string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			bearer(token)(r)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res
	}
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/api/v1/runs", "", 401},
		{"GET", "/api/v1/runs", "wrong secret", 401},
		{"POST", "/git/iris.git/git-receive-pack", "wrong again", 401},
		{"GET", "/api/v1/runs", "other wrong secret", 401},
		{"GET", "/api/v1/runs", "revoked", 401},
		{"POST", "/api/v1/projects/wine/runs", "narrow", 404},
		{"POST", "/api/v1/gc", "narrow", 403},
		{"POST", "/api/v1/projects/iris/runs", "narrow", 200},
		{"PUT", "/v2/iris/manifests/1.0", "viewing", 403},
		{"PUT", "/v2/iris/manifests/1.0", "writing", 201},
		{"PUT", "/v2/iris/blobs/uploads/u-1", "writing", 200},
		{"POST", "/v2/iris/blobs/uploads/", "writing", 200},
		{"GET", "/v2/iris/manifests/1.0", "writing", 201},
		{"DELETE", "/v2/iris/manifests/absent", "writing", 404},
		{"DELETE", "/v2/iris/blobs/sha256:0123", "managing", 200},
	} {
		if res := ask(c.method, c.path, c.token); res.StatusCode != c.want {
			t.Errorf("%s %s: %s, want %d", c.method, c.path, res.Status, c.want)
		}
	}
	events, err := known.trail.AuditEvents(t.Context(), store.AuditFilter{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, e := range events {
		if e.Address != "127.0.0.1" || strings.Contains(fmt.Sprint(e), "wrong") {
			t.Errorf("the trail has %+v", e)
		}
		got[strings.Join([]string{e.Who, e.Via, e.Action, e.Subject, string(e.Outcome), string(e.Code), e.Reason}, " ")] = true
	}
	want := []string{
		"stranger api sign-in tokens refused denied this token is not known here", "stranger git sign-in tokens refused denied this token is not known here",
		`old api sign-in tokens refused denied token "old" was revoked`,
		"iris-ci api enter projects/wine/runs refused denied POST with a token of project iris", "iris-ci api enter gc refused denied POST with a token of project iris",
		"dashboard registry enter v2/iris/manifests/1.0 refused denied dashboard is a viewer; this needs a writer",
		"ci registry push-image images/iris done  1.0 sha256:0123", "ci registry delete-image images/iris failed not_found absent", "admin registry delete-layer images/iris done  sha256:0123",
	}
	for _, event := range want {
		if !got[event] {
			t.Errorf("the trail lacks %q", event)
		}
		delete(got, event)
	}
	if len(got) > 0 {
		t.Errorf("the trail has more than it should: %v", got)
	}
}

// Whose tokens are wrong too often is not asked further; who was in before is.
func TestServer_too_many(t *testing.T) {
	_, url := serve(t)
	if status, _, _ := get(t, url+"/api/v1/runs", bearer("viewing")); status != http.StatusOK {
		t.Fatal(status)
	}
	for i := range 1000 {
		status, body, headers := get(t, url+"/api/v1/runs", bearer(fmt.Sprint("guess ", i)))
		if status == http.StatusUnauthorized {
			continue
		}
		if status != http.StatusTooManyRequests || headers.Get("Retry-After") == "" || headers.Get("WWW-Authenticate") != "" || !strings.Contains(body, "try again in") {
			t.Errorf("%d %s %v", status, body, headers)
		}
		if status, body, _ := get(t, url+"/api/v1/runs", bearer("writing")); status != http.StatusTooManyRequests {
			t.Errorf("another secret is looked at: %d %s", status, body)
		}
		if status, body, _ := get(t, url+"/api/v1/runs", bearer("viewing")); status != http.StatusOK {
			t.Errorf("who was in before is kept out: %d %s", status, body)
		}
		return
	}
	t.Error("a thousand guesses, and none refused")
}
