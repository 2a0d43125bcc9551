package ui

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/storage"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// site is the pages on a store of their own, and a browser without scripts.
type site struct {
	t   *testing.T
	ui  *UI
	url string
	*http.Client
}

func open(t *testing.T) *site {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	s, err := store.Open(ctx, storetest.Address(t), nil)
	ok(t, err)
	t.Cleanup(func() { s.Close() })
	blobs, err := blob.Open(ctx, filepath.Join(dir, "blob"))
	ok(t, err)
	access, err := auth.New(dir, dir, "managing", s)
	ok(t, err)
	u := &UI{
		Store: s, Bills: bill.Ledger{Store: s}, Blob: blobs, Auth: access, Sessions: &auth.Sessions{Auth: access, Store: s}, Door: &auth.Door{Trail: s, Log: slog.New(slog.DiscardHandler)}, Storage: &storage.Meter{}, Version: "test", Dev: true, Log: slog.New(slog.DiscardHandler),
		Ready: func(context.Context, ridgeline.DeploymentID) (int, error) { return 1, nil },
	}
	u.Figures = func(ridgeline.ProjectName, string) map[string]ridgeline.Figures { return nil }
	ok(t, u.Open())
	server := httptest.NewServer(u.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(u.Stop)
	jar, err := cookiejar.New(nil)
	ok(t, err)
	return &site{t: t, ui: u, url: server.URL, Client: &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// signIn signs in as the one whose token it is.
func (s *site) signIn(token string) *site {
	s.t.Helper()
	if status, text := s.post("/sign-in", "token", token); status != http.StatusOK || !strings.Contains(text, "Sign out") {
		s.t.Fatalf("sign in: %d %s", status, text)
	}
	return s
}

func (s *site) answer(res *http.Response, err error) (int, string) {
	s.t.Helper()
	ok(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ok(s.t, err)
	return res.StatusCode, string(text)
}

func (s *site) get(path string) (int, string) {
	s.t.Helper()
	return s.ask(http.MethodGet, path, nil)
}

// ask asks as a browser does.
func (s *site) ask(method, path string, form url.Values) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(form.Encode()))
	ok(s.t, err)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return s.answer(s.Do(r))
}

func (s *site) post(path string, pairs ...string) (int, string) {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return s.ask(http.MethodPost, path, form)
}

// shows wants a page with the texts in it.
func (s *site) shows(path string, want int, texts ...string) string {
	s.t.Helper()
	status, text := s.get(path)
	if status != want {
		s.t.Fatalf("%s: %d, want %d: %s", path, status, want, text)
	}
	for _, w := range texts {
		if !strings.Contains(text, w) {
			s.t.Errorf("%s does not say %q:\n%s", path, w, text)
		}
	}
	return text
}

func TestSignIn(t *testing.T) {
	s := open(t)
	s.shows("/models?project=iris", http.StatusOK, "Sign in", `value="/models?project=iris"`)
	if status, text := s.answer(s.Get(s.url + "/models")); status != http.StatusUnauthorized || !strings.Contains(text, "not signed in") {
		t.Errorf("a program: %d %s", status, text)
	}
	if status, text := s.post("/sign-in", "token", "guessed"); status != http.StatusForbidden || !strings.Contains(text, "not known here") {
		t.Errorf("a wrong token: %d %s", status, text)
	}
	code, err := s.ui.Sessions.AdminLink(t.Context(), time.Now())
	ok(t, err)
	link := "/sign-in?code=" + code + "&next=" + url.QueryEscape("/models?project=iris")
	guess, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+link, nil)
	guess.Header.Set("Sec-Purpose", "prefetch;prerender")
	if status, _ := s.answer(s.Do(guess)); status != http.StatusServiceUnavailable {
		t.Errorf("a browser that only guesses used the link up: %d", status)
	}
	s.shows(link, http.StatusOK, "<h1>Models</h1>", "admin")
	s.shows(link, http.StatusOK, "<h1>Models</h1>") // used, by the one who is in
	other := &site{t: t, ui: s.ui, url: s.url, Client: &http.Client{}}
	other.shows(link, http.StatusForbidden, "used already")

	at, _ := url.Parse(s.url)
	for _, c := range s.Jar.Cookies(at) {
		if strings.HasPrefix(c.Value, auth.Secret) && c.Name != "ridgeline"+at.Port() {
			t.Errorf("a server on another port would take the cookie %s for its own", c.Name)
		}
	}
	if _, text := s.post("/sign-out"); !strings.Contains(text, "Paste") && !strings.Contains(text, "paste a token") {
		t.Errorf("signed out: %s", text)
	}
	s.shows("/models", http.StatusOK, "paste a token")
}

// Where to go next is never another site.
func TestLocal(t *testing.T) {
	for address, want := range map[string]string{
		"/runs?project=a": "/runs?project=a", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "": "/", "runs": "/", "javascript:alert(1)": "/",
	} {
		if got := local(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

// What another site's page makes a browser send changes nothing.
func TestCrossOrigin(t *testing.T) {
	s := open(t).signIn("managing")
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/sign-out", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if status, _ := s.answer(s.Do(r)); status != http.StatusForbidden {
		t.Errorf("taken: %d", status)
	}
	s.shows("/models", http.StatusOK, "Sign out")
}

// Every sample page is made, carries the policy, and has nothing in it that
// the policy forbids.
func TestSamples(t *testing.T) {
	s := open(t).signIn("managing")
	for _, one := range samples() {
		t.Run(one.Name, func(t *testing.T) {
			res, err := s.Get(s.url + "/_gallery/" + one.Name)
			ok(t, err)
			policy := res.Header.Get("Content-Security-Policy")
			status, text := s.answer(res, nil)
			if status != http.StatusOK || !strings.HasSuffix(strings.TrimSpace(text), "</html>") {
				t.Fatalf("%d: %s", status, text)
			}
			if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("policy %q", policy)
			}
			for _, forbidden := range []string{" style=", "<style", " onclick=", " onload=", "javascript:", "<b onmouseover", "ZgotmplZ", "%!"} {
				if strings.Contains(text, forbidden) {
					t.Errorf("there is %q in it", forbidden)
				}
			}
		})
	}
	s.shows("/_gallery", http.StatusOK, "Buttons and actions")
	s.shows("/_gallery/nothing", http.StatusNotFound, "no sample")
}

// A stream sends the page when it is not the one that is shown, and ends with
// the server.
func TestLive(t *testing.T) {
	s := open(t).signIn("managing")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/models?_live=old", nil)
	res, err := s.Do(r)
	ok(t, err)
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		t.Fatalf("%s", kind)
	}
	heard := func(want string) {
		t.Helper()
		var text strings.Builder
		part := make([]byte, 4096)
		for !strings.Contains(text.String(), want) {
			n, err := res.Body.Read(part)
			text.Write(part[:n])
			if err != nil {
				t.Fatalf("no %q: %v: %s", want, err, text.String())
			}
		}
	}
	heard("event: main\ndata: <main")
	s.ui.Stop()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Errorf("it did not end when the server stops: %v", err)
	}
}
