package forge_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/forge"
	"github.com/ridgeline-mlops/ridgeline/git"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
	"github.com/ridgeline-mlops/ridgeline/vault"
)

const token, secret = "t0ken-of-a-forge", "correct horse battery staple"

// world is a hub on a real store, and a forge that keeps one repository,
// acme-iris, which opens with the token, and takes statuses.
type world struct {
	*forge.Hub
	hooks string // the hub's address
	forge string // the forge's address
	work  string // a working tree of the forge's repository

	mu       sync.Mutex
	log      strings.Builder
	statuses []string // "METHOD path: body", as they came
	refuse   int      // answer statuses with this
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{work: t.TempDir()}
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.log.Write(p)
	}), nil))
	metadata, err := store.Open(t.Context(), storetest.Address(t), nil)
	ok(t, err)
	t.Cleanup(func() { _ = metadata.Close() })
	blobs, err := blob.Open(t.Context(), t.TempDir())
	ok(t, err)
	t.Cleanup(func() { _ = blobs.Close() })
	sealed, err := vault.Open(t.TempDir())
	ok(t, err)
	builder := &build.Builder{Store: metadata, Blob: blobs, Log: log, Start: func(context.Context, string, string) error { return nil }}
	w.Hub = forge.New(forge.Options{
		Store: metadata, Blob: blobs, Builds: builder, Vault: sealed, Dir: filepath.Join(t.TempDir(), "fetched"), Known: filepath.Join(t.TempDir(), "known"),
		Temp: t.TempDir(), URL: "https://ridgeline.example", Log: log,
	})
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/projects/{project}/hooks/{name}", w)
	hooks := httptest.NewServer(mux)
	t.Cleanup(hooks.Close)
	w.hooks = hooks.URL

	repositories := &git.Server{Dir: filepath.Join(t.TempDir(), "git"), MaxPush: 1 << 30, Log: slog.New(slog.DiscardHandler)}
	elsewhere := httptest.NewServer(w.api(repositories.Handler()))
	t.Cleanup(elsewhere.Close)
	w.forge = elsewhere.URL
	ok(t, git.Ensure(t.Context(), filepath.Join(repositories.Dir, "acme-iris.git")))
	w.git(t, "init", "-q", "-b", "main")
	w.git(t, "remote", "add", "origin", filepath.Join(repositories.Dir, "acme-iris.git"))
	w.commit(t, "main", "Fit a ridge")
	return w
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// api is the forge: git below /git/ for who knows the token, statuses
// elsewhere.
func (w *world) api(repositories http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/git/") {
			if _, password, _ := r.BasicAuth(); password != token {
				out.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
				out.WriteHeader(http.StatusUnauthorized)
				return
			}
			repositories.ServeHTTP(out, r.WithContext(auth.With(r.Context(), auth.Principal{Name: "bot", Role: ridgeline.Viewer})))
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.refuse != 0 {
			out.WriteHeader(w.refuse)
			fmt.Fprintln(out, `{"message":"Bad credentials"}`)
			return
		}
		_, basic, _ := r.BasicAuth()
		if given := r.Header.Get("Authorization") + " " + r.Header.Get("PRIVATE-TOKEN") + " " + basic; !strings.Contains(given, token) {
			out.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.statuses = append(w.statuses, r.Method+" "+r.URL.RequestURI()+": "+string(body))
		out.WriteHeader(http.StatusCreated)
		fmt.Fprintln(out, "{}")
	})
}

func (w *world) git(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = w.work
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit is a new commit at the forge.
func (w *world) commit(t testing.TB, branch, message string) string {
	t.Helper()
	ok(t, os.WriteFile(filepath.Join(w.work, "ridgeline.yaml"), []byte("project: iris\n"), 0o600))
	ok(t, os.WriteFile(filepath.Join(w.work, "message.txt"), []byte(message), 0o600))
	w.git(t, "add", "-A")
	w.git(t, "commit", "-q", "-m", message)
	w.git(t, "push", "-q", "--force", "origin", "HEAD:refs/heads/"+branch)
	return w.git(t, "rev-parse", "HEAD")
}

// remote is the forge's repository under a name.
func (w *world) remote(t testing.TB, name string, change func(r *ridgeline.Remote, s *forge.Secrets)) ridgeline.Remote {
	t.Helper()
	r := ridgeline.Remote{Project: "iris", Name: name, Forge: ridgeline.GitHub, URL: w.forge + "/git/acme-iris.git", API: w.forge + "/api", Caller: "ann"}
	s := forge.Secrets{Webhook: secret, Token: token}
	if change != nil {
		change(&r, &s)
	}
	r, got, err := w.Add(t.Context(), r, s)
	ok(t, err)
	if got != s.Webhook {
		t.Fatalf("the secret became %q", got)
	}
	return r
}

// delivery is a signed push as GitHub sends it.
func delivery(t testing.TB, kind, hash, id string) (http.Header, []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", kind+".json"))
	ok(t, err)
	now := time.Now()
	body := strings.NewReplacer("5f9c1e0b7a4d4c0e9b1a2f3e4d5c6b7a8f9e0d1c", hash, "1795424400", strconv.FormatInt(now.Unix(), 10),
		"2026-11-23T09:20:00Z", now.UTC().Format(time.RFC3339)).Replace(string(text))
	event := "push"
	if strings.Contains(kind, "pull") {
		event = "pull_request"
	}
	h := http.Header{"Content-Type": {"application/json"}, "X-Github-Event": {event}, "X-Github-Delivery": {id}, "User-Agent": {"GitHub-Hookshot/044aadd"}}
	h.Set("X-Hub-Signature-256", "sha256="+sign(body))
	return h, []byte(body)
}

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// call delivers to a remote's webhook.
func (w *world) call(t testing.TB, path string, h http.Header, body []byte) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.hooks+path, strings.NewReader(string(body)))
	ok(t, err)
	q.Header = h
	res, err := http.DefaultClient.Do(q)
	ok(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ok(t, err)
	return res.StatusCode, string(text)
}

const hook = "/api/v1/projects/iris/hooks/hub"

// settled runs the hub until nothing is to be done any more, and returns the
// notices, newest first.
func (w *world) settled(t testing.TB) []ridgeline.Notice {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer cancel()
	var all []ridgeline.Notice
	eventually(t, "every notice was tried", func() bool {
		var err error
		all, err = w.Store.Notices(t.Context(), store.NoticeFilter{})
		ok(t, err)
		for _, n := range all {
			if !n.Status.Terminal() && n.Attempts == 0 {
				return false
			}
		}
		return true
	})
	return all
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func (w *world) builds(t testing.TB) []ridgeline.Build {
	t.Helper()
	all, err := w.Store.Builds(t.Context(), store.BuildFilter{})
	ok(t, err)
	return all
}

func TestHub_push(t *testing.T) {
	w := open(t)
	w.remote(t, "hub", nil)
	hash := w.git(t, "rev-parse", "HEAD")
	later := w.commit(t, "main", "moved on")
	h, body := delivery(t, "github-push", hash, "d-1")
	status, said := w.call(t, hook, h, body)
	var taken forge.Taken
	ok(t, json.Unmarshal([]byte(said), &taken))
	if status != http.StatusAccepted || taken.Status != "accepted" || len(taken.Notices) != 1 || taken.Notices[0].Commit != hash ||
		!strings.HasPrefix(taken.Notices[0].URL, "https://ridgeline.example/api/v1/projects/iris/notices/n-") {
		t.Fatalf("%d %s", status, said)
	}
	if len(w.builds(t)) != 0 {
		t.Error("built before it was fetched")
	}
	n := w.settled(t)[0]
	builds := w.builds(t)
	if n.Status != ridgeline.Succeeded || len(builds) != 1 || n.Build != builds[0].ID {
		t.Fatalf("%+v, %d builds\n%s", n, len(builds), w.log.String())
	}
	b := builds[0]
	if b.Cause != "webhook github" || b.Caller != "webhook hub" || b.Commit.Hash != hash || b.Commit.Branch != "main" || b.Commit.Message != "Fit a ridge" || b.PullRequest != "" {
		t.Errorf("built %+v", b)
	}
	dir := t.TempDir()
	ok(t, w.Blob.GetTree(t.Context(), b.Commit.Tree, filepath.Join(dir, "tree")))
	if text, err := os.ReadFile(filepath.Join(dir, "tree", "message.txt")); err != nil || string(text) != "Fit a ridge" {
		t.Errorf("built %q, %v", text, err)
	}

	t.Run("sent again it is known, and nothing is done twice", func(t *testing.T) {
		status, said := w.call(t, hook, h, body)
		if status != http.StatusOK || !strings.Contains(said, `"known"`) || !strings.Contains(said, string(n.ID)) {
			t.Errorf("%d %s", status, said)
		}
	})
	t.Run("replayed under another id it is refused", func(t *testing.T) {
		again := h.Clone()
		again.Set("X-Github-Delivery", "d-2")
		if status, said := w.call(t, hook, again, body); status != http.StatusConflict {
			t.Errorf("%d %s", status, said)
		}
	})
	t.Run("the next commit is fetched, too", func(t *testing.T) {
		h, body := delivery(t, "github-push", later, "d-3")
		if status, said := w.call(t, hook, h, body); status != http.StatusAccepted {
			t.Fatalf("%d %s", status, said)
		}
		if got := w.settled(t)[0]; got.Status != ridgeline.Succeeded || w.builds(t)[0].Commit.Hash != later {
			t.Errorf("%+v", got)
		}
	})
	t.Run("as a form", func(t *testing.T) {
		h, body := delivery(t, "github-push", w.commit(t, "main", "by form"), "d-4")
		form := "payload=" + strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", "\n", "%0A", " ", "+").Replace(string(body))
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		h.Set("X-Hub-Signature-256", "sha256="+sign(form))
		if status, said := w.call(t, hook, h, []byte(form)); status != http.StatusAccepted {
			t.Errorf("%d %s", status, said)
		}
	})
	if n := len(w.builds(t)); n != 2 {
		t.Errorf("%d builds, expected 2", n)
	}
}

func TestHub_refuses(t *testing.T) {
	w := open(t)
	w.remote(t, "hub", nil)
	hash := w.git(t, "rev-parse", "HEAD")
	h, body := delivery(t, "github-push", hash, "d-1")
	wrong := h.Clone()
	wrong.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("00", 32))
	unsigned := h.Clone()
	unsigned.Del("X-Hub-Signature-256")
	status, refusal := w.call(t, hook, wrong, body)
	if status != http.StatusUnauthorized || strings.Contains(refusal, "signature") {
		t.Errorf("%d %s", status, refusal)
	}
	if !strings.Contains(w.log.String(), "the signature is wrong: the secret here is not the forge's") || strings.Contains(w.log.String(), secret) {
		t.Errorf("the log does not say why, or says too much:\n%s", w.log.String())
	}
	for name, path := range map[string]string{"unsigned": hook, "no such remote": "/api/v1/projects/iris/hooks/other", "no such project": "/api/v1/projects/tulip/hooks/hub", "no such name": "/api/v1/projects/Iris!/hooks/%00"} {
		try := h
		if name == "unsigned" {
			try = unsigned
		}
		if status, said := w.call(t, path, try, body); status != http.StatusUnauthorized || said != refusal {
			t.Errorf("%s: %d %s: the same answer tells a stranger nothing", name, status, said)
		}
	}
	signed := func(text string) (http.Header, []byte) {
		h := h.Clone()
		h.Set("X-Hub-Signature-256", "sha256="+sign(text))
		return h, []byte(text)
	}
	for name, try := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"nonsense":  {"nonsense", http.StatusUnprocessableEntity, "not what github documents"},
		"old":       {reAged(t, string(body)), http.StatusUnprocessableEntity, "push again"},
		"too large": {strings.Repeat(" ", 25<<20) + string(body), http.StatusRequestEntityTooLarge, "at most 25 MiB"},
	} {
		h, body := signed(try.body)
		if status, said := w.call(t, hook, h, body); status != try.status || !strings.Contains(said, try.says) {
			t.Errorf("%s: %d %.300s", name, status, said)
		}
	}
	t.Run("another repository of the same forge", func(t *testing.T) {
		w.remote(t, "real", func(r *ridgeline.Remote, _ *forge.Secrets) { r.URL = "https://github.com/acme/tulip" })
		if status, said := w.call(t, "/api/v1/projects/iris/hooks/real", h, body); status != http.StatusUnprocessableEntity || !strings.Contains(said, "acme/iris") {
			t.Errorf("%d %s", status, said)
		}
	})
	t.Run("nothing to do", func(t *testing.T) {
		for kind, says := range map[string]string{"github-push-tag": "no branch", "github-push-deleted": "deleted", "github-pull-closed": "closed", "github-pull-fork": "--forks"} {
			h, body := delivery(t, kind, hash, "d-"+kind)
			if status, said := w.call(t, hook, h, body); status != http.StatusOK || !strings.Contains(said, says) {
				t.Errorf("%s: %d %s", kind, status, said)
			}
		}
	})
	if got := w.settled(t); len(got) != 0 || len(w.builds(t)) != 0 {
		t.Errorf("taken: %+v", got)
	}
}

// reAged is a delivery of a push four days ago.
func reAged(t testing.TB, body string) string {
	t.Helper()
	i := strings.Index(body, `"pushed_at": `) + len(`"pushed_at": `)
	return body[:i] + strconv.FormatInt(time.Now().Add(-96*time.Hour).Unix(), 10) + body[i+10:]
}

func TestHub_pullRequest(t *testing.T) {
	w := open(t)
	w.remote(t, "hub", func(r *ridgeline.Remote, _ *forge.Secrets) { r.Forks = true })
	hash := w.commit(t, "topic/ridge", "A better ridge")
	h, body := delivery(t, "github-pull", hash, "d-1")
	if status, said := w.call(t, hook, h, body); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, said)
	}
	w.settled(t)
	b := w.builds(t)[0]
	if b.PullRequest != "7" || b.Commit.Branch != "topic/ridge" || b.Commit.Hash != hash {
		t.Errorf("built %+v", b)
	}
	t.Run("an event without a new commit", func(t *testing.T) {
		h, body := delivery(t, "github-pull", hash, "d-2")
		other := strings.Replace(string(body), `"synchronize"`, `"reopened"`, 1)
		h.Set("X-Hub-Signature-256", "sha256="+sign(other))
		if status, said := w.call(t, hook, h, []byte(other)); status != http.StatusOK || !strings.Contains(said, "taken before") {
			t.Errorf("%d %s", status, said)
		}
	})
	t.Run("of a fork, where that is allowed", func(t *testing.T) {
		h, body := delivery(t, "github-pull-fork", w.commit(t, "topic/ridge", "from elsewhere"), "d-3")
		if status, said := w.call(t, hook, h, body); status != http.StatusAccepted {
			t.Errorf("%d %s", status, said)
		}
	})
}

func TestHub_fetchFails(t *testing.T) {
	for name, try := range map[string]struct {
		change func(r *ridgeline.Remote, s *forge.Secrets)
		hash   string
		status ridgeline.Status
		says   string
	}{
		"no token":           {func(_ *ridgeline.Remote, s *forge.Secrets) { s.Token = "" }, "", ridgeline.Queued, "asks for a token"},
		"a wrong token":      {func(_ *ridgeline.Remote, s *forge.Secrets) { s.Token = "t0ken-of-another" }, "", ridgeline.Queued, "the token does not open the repository"},
		"no such repository": {func(r *ridgeline.Remote, _ *forge.Secrets) { r.URL = strings.Replace(r.URL, "iris", "tulip", 1) }, "", ridgeline.Queued, "no such repository"},
		"no such commit":     {nil, strings.Repeat("ab", 20), ridgeline.Failed, "commit abababab"},
		"nobody answers":     {func(r *ridgeline.Remote, _ *forge.Secrets) { r.URL = "http://127.0.0.1:1/acme/iris" }, "", ridgeline.Queued, "unable to access"},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.remote(t, "hub", try.change)
			hash := try.hash
			if hash == "" {
				hash = w.git(t, "rev-parse", "HEAD")
			}
			h, body := delivery(t, "github-push", hash, "d-1")
			if status, said := w.call(t, hook, h, body); status != http.StatusAccepted {
				t.Fatalf("%d %s", status, said)
			}
			n := w.settled(t)[0]
			if n.Status != try.status || !strings.Contains(n.Reason, try.says) {
				t.Errorf("%s: %s", n.Status, n.Reason)
			}
			if try.status == ridgeline.Queued && (n.Attempts != 1 || !n.Next.After(time.Now())) {
				t.Errorf("not to be tried again: %+v", n)
			}
			if text := n.Reason + w.log.String(); strings.Contains(text, "t0ken") || strings.Contains(text, secret) {
				t.Errorf("a secret is in %s", text)
			}
			if left, err := os.ReadDir(w.Temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
	t.Run("removed meanwhile", func(t *testing.T) {
		w := open(t)
		w.remote(t, "hub", nil)
		h, body := delivery(t, "github-push", w.git(t, "rev-parse", "HEAD"), "d-1")
		w.call(t, hook, h, body)
		ok(t, w.Store.RemoveRemote(t.Context(), "iris", "hub"))
		if n := w.settled(t)[0]; n.Status != ridgeline.Failed || !strings.Contains(n.Reason, "was removed") {
			t.Errorf("%+v", n)
		}
		if status, _ := w.call(t, hook, h, body); status != http.StatusUnauthorized {
			t.Errorf("still taken: %d", status)
		}
	})
}

// TestHub_killed is a server that dies while it fetches: what it has
// acknowledged, the next one does.
func TestHub_killed(t *testing.T) {
	w := open(t)
	w.remote(t, "hub", nil)
	h, body := delivery(t, "github-push", w.git(t, "rev-parse", "HEAD"), "d-1")
	w.call(t, hook, h, body)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		w.Run(ctx)
		cancel()
	}
	n := w.settled(t)[0]
	if n.Status != ridgeline.Succeeded || n.Attempts != 0 || len(w.builds(t)) != 1 {
		t.Errorf("%+v, %d builds", n, len(w.builds(t)))
	}
}

func TestHub_test(t *testing.T) {
	w := open(t)
	found := func(r ridgeline.Remote) map[string]forge.Trial {
		t.Helper()
		all, err := w.Test(t.Context(), r)
		ok(t, err)
		out := map[string]forge.Trial{}
		for _, f := range all {
			out[f.Name] = f
		}
		return out
	}
	good := found(w.remote(t, "hub", nil))
	if !good["fetch"].OK || !good["statuses"].OK || good["webhook"].OK || !strings.Contains(good["webhook"].Message, hook) {
		t.Errorf("%+v", good)
	}
	bad := found(w.remote(t, "hub", func(_ *ridgeline.Remote, s *forge.Secrets) { s.Token = "t0ken-of-another" }))
	if bad["fetch"].OK || bad["statuses"].OK || strings.Contains(fmt.Sprint(bad), "t0ken") {
		t.Errorf("%+v", bad)
	}
	none := found(w.remote(t, "hub", func(_ *ridgeline.Remote, s *forge.Secrets) { s.Token = "" }))
	if none["fetch"].OK || !strings.Contains(none["statuses"].Message, "no token") {
		t.Errorf("%+v", none)
	}
}

func TestHub_Add(t *testing.T) {
	w := open(t)
	r, made, err := w.Add(t.Context(), ridgeline.Remote{Project: "iris", Name: "hub", Forge: ridgeline.GitHub, URL: "https://github.com/acme/iris"}, forge.Secrets{Token: token})
	ok(t, err)
	if len(made) < 40 {
		t.Errorf("made the secret %q", made)
	}
	kept, err := w.Store.Remote(t.Context(), "iris", "hub")
	ok(t, err)
	if kept.Secret != r.Secret || strings.Contains(fmt.Sprint(kept), token) || strings.Contains(fmt.Sprint(kept), made) {
		t.Errorf("kept %+v", kept)
	}
	for name, try := range map[string]struct {
		r ridgeline.Remote
		s forge.Secrets
	}{
		"a short secret":          {ridgeline.Remote{Project: "iris", Name: "hub", Forge: ridgeline.GitHub, URL: "https://github.com/acme/iris"}, forge.Secrets{Webhook: "short"}},
		"known hosts without key": {ridgeline.Remote{Project: "iris", Name: "hub", Forge: ridgeline.GitHub, URL: "https://github.com/acme/iris", KnownHosts: "x"}, forge.Secrets{}},
		"the server's own files":  {ridgeline.Remote{Project: "iris", Name: "hub", Forge: ridgeline.GitHub, URL: "file:///etc"}, forge.Secrets{}},
		"no project":              {ridgeline.Remote{Name: "hub", Forge: ridgeline.GitHub, URL: "https://github.com/acme/iris"}, forge.Secrets{}},
	} {
		if _, _, err := w.Add(t.Context(), try.r, try.s); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
