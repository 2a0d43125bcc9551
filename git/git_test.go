package git_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/git"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// remote is the server's git remote on a real store; what would be built is
// only noted.
type remote struct {
	*git.Server
	url     string // with the role as the user's password
	mu      sync.Mutex
	started []string
}

// modes runs a test on repositories in a folder, and on kept ones.
func modes(t *testing.T, test func(t *testing.T, r *remote)) {
	t.Run("folder", func(t *testing.T) { test(t, serve(t)) })
	t.Run("kept", func(t *testing.T) { test(t, servers(t, 1)[0]) })
}

func serve(t *testing.T) *remote {
	t.Helper()
	return served(t, &git.Server{Dir: filepath.Join(t.TempDir(), "git")})
}

// servers have a database and a blob store in common, and no folder.
func servers(t *testing.T, n int) []*remote {
	t.Helper()
	all := []*remote{served(t, &git.Server{Dir: filepath.Join(t.TempDir(), "git"), Kept: true})}
	for len(all) < n {
		all = append(all, served(t, &git.Server{Dir: filepath.Join(t.TempDir(), "git"), Kept: true, Store: all[0].Store, Blob: all[0].Blob}))
	}
	return all
}

func served(t *testing.T, s *git.Server) *remote {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r := &remote{Server: s}
	if s.Store == nil {
		metadata, err := store.Open(t.Context(), storetest.Address(t), log)
		ok(t, err)
		t.Cleanup(func() { _ = metadata.Close() })
		blobs, err := blob.Open(t.Context(), t.TempDir())
		ok(t, err)
		t.Cleanup(func() { _ = blobs.Close() })
		s.Store, s.Blob = metadata, blobs
	}
	start := func(_ context.Context, kind, id string) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.started = append(r.started, kind+" "+id)
		return nil
	}
	s.Builds = &build.Builder{Store: s.Store, Blob: s.Blob, Start: start, Log: log}
	s.Temp, s.URL, s.MaxPush, s.Log = t.TempDir(), "http://ridgeline.example", 4<<20, log
	handler := r.Handler()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { // the server's part: who is it
		_, password, found := q.BasicAuth()
		if !found {
			w.Header().Set("WWW-Authenticate", `Basic realm="ridgeline"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, q.WithContext(auth.With(q.Context(), auth.Principal{Name: "ann", Role: ridgeline.Role(password)})))
	}))
	t.Cleanup(web.Close)
	r.url = web.URL
	return r
}

// at is the address of a project's repository for a role.
func (r *remote) at(role ridgeline.Role, project string) string {
	return strings.Replace(r.url, "://", "://any:"+string(role)+"@", 1) + "/git/" + project + ".git"
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs git as a user would, with a fixed name and time.
func run(t testing.TB, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	ok(t, os.MkdirAll(filepath.Dir(path), 0o700))
	ok(t, os.WriteFile(path, []byte(text), 0o600))
}

// project is a repository with one commit on main.
func project(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, dir, "init", "-q", "-b", "main")
	write(t, dir, "ridgeline.yaml", "project: "+name+"\n")
	commit(t, dir, "Fit a ridge")
	return dir
}

func commit(t testing.TB, dir, message string) string {
	t.Helper()
	must(t, dir, "add", "-A")
	must(t, dir, "commit", "-q", "--allow-empty", "-m", message)
	return must(t, dir, "rev-parse", "HEAD")
}

func (r *remote) builds(t testing.TB) []ridgeline.Build {
	t.Helper()
	all, err := r.Store.Builds(t.Context(), store.BuildFilter{})
	ok(t, err)
	return all
}

func TestServer_push(t *testing.T) { modes(t, serverPush) }

func serverPush(t *testing.T, r *remote) {
	dir := project(t, "iris")
	first := must(t, dir, "rev-parse", "HEAD")
	out := must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main")
	builds := r.builds(t)
	if len(builds) != 1 {
		t.Fatalf("%d builds of one push:\n%s", len(builds), out)
	}
	b := builds[0]
	if b.Cause != "git" || b.Caller != "ann" || b.Commit.Hash != first || b.Commit.Branch != "main" || b.Commit.Message != "Fit a ridge" || b.Commit.Author != "Ann" || b.Commit.Dirty {
		t.Errorf("built %+v", b)
	}
	for _, word := range []string{"remote: main: build " + string(b.ID), "http://ridgeline.example/api/v1/builds/" + string(b.ID)} {
		if !strings.Contains(out, word) {
			t.Errorf("the pusher is not told %q:\n%s", word, out)
		}
	}
	if len(r.started) != 1 || r.started[0] != "build "+string(b.ID) {
		t.Errorf("started %v", r.started)
	}

	t.Run("nothing new builds nothing", func(t *testing.T) {
		must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main")
		if n := len(r.builds(t)); n != 1 {
			t.Errorf("%d builds", n)
		}
	})
	t.Run("each changed branch is built, a tag is not", func(t *testing.T) {
		write(t, dir, "a.txt", "a")
		commit(t, dir, "second")
		must(t, dir, "branch", "topic/a")
		must(t, dir, "tag", "-a", "v1", "-m", "v1")
		must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main", "topic/a", "v1")
		branches := map[string]int{}
		for _, b := range r.builds(t) {
			branches[b.Commit.Branch]++
		}
		if fmt.Sprint(branches) != "map[main:2 topic/a:1]" {
			t.Errorf("built %v", branches)
		}
	})
	t.Run("a forced push is built", func(t *testing.T) {
		must(t, dir, "reset", "-q", "--hard", first)
		write(t, dir, "b.txt", "b")
		hash := commit(t, dir, "other")
		if _, err := run(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main"); err == nil {
			t.Error("taken without force")
		}
		must(t, dir, "push", "--force", r.at(ridgeline.Writer, "iris"), "main")
		if got := r.builds(t)[0]; got.Commit.Hash != hash || got.Commit.Branch != "main" {
			t.Errorf("built %+v", got.Commit)
		}
	})
	t.Run("a deleted branch is forgotten, and built when it comes back", func(t *testing.T) {
		before := len(r.builds(t))
		must(t, dir, "push", r.at(ridgeline.Writer, "iris"), ":topic/a")
		rows, err := r.Store.Branches(t.Context(), "iris")
		ok(t, err)
		if len(rows) != 1 || rows[0].Name != "main" || len(r.builds(t)) != before {
			t.Errorf("got %+v", rows)
		}
		must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "topic/a")
		if len(r.builds(t)) != before+1 {
			t.Error("not built")
		}
	})
	t.Run("who pushed what is in the audit trail", func(t *testing.T) {
		events, err := r.Store.AuditEvents(t.Context(), store.AuditFilter{Action: "push"})
		ok(t, err)
		var got []string
		for _, e := range events {
			if e.Who != "ann" || e.Subject != "projects/iris" || e.Outcome != ridgeline.AuditDone {
				t.Errorf("the trail has %+v", e)
			}
			got = append(got, e.Reason)
		}
		topic := must(t, dir, "rev-parse", "topic/a")
		if len(got) != 5 || got[0] != "topic/a "+topic || got[1] != "topic/a removed" || got[4] != "main "+first ||
			got[3] != fmt.Sprintf("main %s, topic/a %s, tags/v1 %s", topic, topic, must(t, dir, "rev-parse", "v1")) {
			t.Errorf("the trail tells of %q", got)
		}
	})
	t.Run("what was pushed can be cloned", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		must(t, ".", "clone", "-q", r.at(ridgeline.Viewer, "iris"), clone)
		if text, err := os.ReadFile(filepath.Join(clone, "b.txt")); err != nil || string(text) != "b" {
			t.Errorf("got %q, %v", text, err)
		}
	})
}

func TestServer_refuses(t *testing.T) { modes(t, serverRefuses) }

func serverRefuses(t *testing.T, r *remote) {
	dir := project(t, "iris")
	must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main")
	before := len(r.builds(t))
	for name, try := range map[string]struct {
		args []string
		says string
	}{
		"a viewer's push":      {[]string{"push", r.at(ridgeline.Viewer, "iris"), "main:other"}, "pushing needs a writer"},
		"nobody's fetch":       {[]string{"ls-remote", strings.Replace(r.at(ridgeline.Viewer, "iris"), "any:viewer@", "", 1)}, "could not read Username"},
		"an unknown project":   {[]string{"ls-remote", r.at(ridgeline.Viewer, "tulip")}, "nobody has pushed to project tulip"},
		"a wrong name":         {[]string{"push", r.at(ridgeline.Writer, "Iris_2"), "main"}, "lower-case letters"},
		"a way out":            {[]string{"ls-remote", r.url + "/git/..%2f..%2fetc.git"}, ""},
		"no .git":              {[]string{"ls-remote", strings.TrimSuffix(r.at(ridgeline.Viewer, "iris"), ".git")}, "/git/PROJECT.git"},
		"another kind of ref":  {[]string{"push", r.at(ridgeline.Writer, "iris"), "main:refs/notes/x"}, "hidden ref"},
		"a tree as a branch":   {[]string{"push", r.at(ridgeline.Writer, "iris"), "main^{tree}:refs/heads/tree"}, ""},
		"the checked out head": {[]string{"push", r.at(ridgeline.Writer, "iris"), ":main"}, "deletion of the current branch prohibited"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, dir, try.args...)
			if err == nil || !strings.Contains(out, try.says) {
				t.Errorf("got %v, expected %q in\n%s", err, try.says, out)
			}
		})
	}
	if len(r.builds(t)) != before {
		t.Error("something was built")
	}
	refused, err := r.Store.AuditEvents(t.Context(), store.AuditFilter{Outcome: ridgeline.AuditRefused})
	ok(t, err)
	failed, err := r.Store.AuditEvents(t.Context(), store.AuditFilter{Outcome: ridgeline.AuditFailed, Action: "push"})
	ok(t, err)
	if len(refused) != 1 || len(failed) < 2 || failed[0].Code != ridgeline.Conflict {
		t.Errorf("the trail has %d refused pushes and %+v", len(refused), failed)
	}
}

func TestServer_large(t *testing.T) { modes(t, serverLarge) }

func serverLarge(t *testing.T, r *remote) {
	dir := project(t, "iris")
	noise := make([]byte, 3<<20)
	state := uint32(1)
	for i := range noise { // does not compress
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	ok(t, os.WriteFile(filepath.Join(dir, "three.bin"), noise, 0o600))
	commit(t, dir, "within")
	must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main")
	for i := range noise {
		noise[i] ^= byte(i) | 1
	}
	ok(t, os.WriteFile(filepath.Join(dir, "again.bin"), append(noise, noise[:2<<20]...), 0o600))
	commit(t, dir, "too much")
	out, err := run(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main")
	if err == nil || !strings.Contains(out, "remote: this server takes pushes of up to 4 MiB") {
		t.Errorf("got %v\n%s", err, out)
	}
	if n := len(r.builds(t)); n != 1 {
		t.Errorf("%d builds", n)
	}
	if left, _ := filepath.Glob(filepath.Join(r.Dir, "iris.git", "objects", "*incoming*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestServer_noHookRuns(t *testing.T) {
	r := serve(t)
	dir := project(t, "iris")
	must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main")
	ran := filepath.Join(t.TempDir(), "ran")
	hooks := filepath.Join(r.Dir, "iris.git", "hooks")
	ok(t, os.MkdirAll(hooks, 0o700))
	for _, name := range []string{"pre-receive", "update", "post-receive", "post-update", "reference-transaction"} {
		ok(t, os.WriteFile(filepath.Join(hooks, name), []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o700)) //nolint:gosec // it has to be executable to prove anything
	}
	commit(t, dir, "again")
	must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main")
	if _, err := os.Stat(ran); err == nil {
		t.Error("a hook ran")
	}
}

// TestServer_lostBuild is a server killed after git took the push, and before
// its build was written down.
func TestServer_lostBuild(t *testing.T) {
	r := serve(t)
	dir := project(t, "iris")
	bare := filepath.Join(r.Dir, "iris.git")
	ok(t, git.Ensure(t.Context(), bare))
	must(t, dir, "push", bare, "main", "main:topic") // past the server

	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { r.Run(ctx) })
	for deadline := time.Now().Add(30 * time.Second); len(r.builds(t)) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not built")
		}
	}
	cancel()
	done.Wait()
	rows, err := r.Store.Branches(t.Context(), "iris")
	ok(t, err)
	if len(rows) != 2 || rows[0].Build == "" || rows[1].Build == "" {
		t.Errorf("got %+v", rows)
	}
	again, err := r.Sync(t.Context(), "iris", "")
	if err != nil || len(again) != 0 || len(r.builds(t)) != 2 {
		t.Errorf("built again: %+v, %v", again, err)
	}
}

// TestServer_concurrent is several servers on one repository.
func TestServer_concurrent(t *testing.T) {
	r := serve(t)
	dir := project(t, "iris")
	bare := filepath.Join(r.Dir, "iris.git")
	ok(t, git.Ensure(t.Context(), bare))
	must(t, dir, "push", bare, "main", "main:topic", "main:other")
	var all sync.WaitGroup
	for range 4 {
		other := &git.Server{Store: r.Store, Blob: r.Blob, Builds: r.Builds, Dir: r.Dir, Temp: r.Temp, MaxPush: r.MaxPush, Log: r.Log}
		all.Go(func() {
			if _, err := other.Sync(t.Context(), "iris", ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(r.builds(t)); n != 3 {
		t.Errorf("%d builds of 3 branches", n)
	}
}

func TestServer_mirror(t *testing.T) { modes(t, serverMirror) }

func serverMirror(t *testing.T, r *remote) {
	dir := project(t, "iris")
	for i := range 25 {
		must(t, dir, "branch", fmt.Sprintf("b%02d", i))
	}
	out := must(t, dir, "push", "--all", r.at(ridgeline.Writer, "iris"))
	rows, err := r.Store.Branches(t.Context(), "iris")
	ok(t, err)
	if len(r.builds(t)) != 20 || len(rows) != 26 {
		t.Errorf("%d builds of %d branches", len(r.builds(t)), len(rows))
	}
	if !strings.Contains(out, "not built: this push changed more than 20 branches") {
		t.Error(out)
	}
}

func TestServer_oldClients(t *testing.T) { modes(t, serverOldClients) }

func serverOldClients(t *testing.T, r *remote) {
	dir := project(t, "iris")
	must(t, dir, "push", r.at(ridgeline.Writer, "iris"), "main")
	for _, version := range []string{"0", "1", "2"} {
		if out := must(t, dir, "-c", "protocol.version="+version, "ls-remote", r.at(ridgeline.Viewer, "iris")); !strings.Contains(out, "refs/heads/main") {
			t.Errorf("version %s: %s", version, out)
		}
	}
	for path, want := range map[string]int{
		"/git/iris.git/info/refs":                          http.StatusNotFound, // the dumb protocol
		"/git/iris.git/HEAD":                               http.StatusNotFound,
		"/git/iris.git/info/refs?service=git-upload-pack":  http.StatusOK,
		"/git/iris.git/info/refs?service=git-receive-pack": http.StatusForbidden,
		"/git/iris.git/info/refs?service=git-shell":        http.StatusNotFound,
	} {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
		ok(t, err)
		q.SetBasicAuth("any", "viewer")
		res, err := http.DefaultClient.Do(q)
		ok(t, err)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, expected %d", path, res.StatusCode, want)
		}
	}
	t.Run("nonsense in the body", func(t *testing.T) {
		for _, body := range []string{"", "0000", "zzzz", "ffff", "0004", "003fshort", strings.Repeat("0005a", 100)} {
			for service, role := range map[string]string{"git-upload-pack": "viewer", "git-receive-pack": "writer"} {
				q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/git/iris.git/"+service, bytes.NewReader([]byte(body)))
				ok(t, err)
				q.SetBasicAuth("any", role)
				q.Header.Set("Content-Type", "application/x-"+service+"-request")
				res, err := http.DefaultClient.Do(q)
				ok(t, err)
				res.Body.Close()
			}
		}
		if n := len(r.builds(t)); n != 1 {
			t.Errorf("%d builds", n)
		}
	})
}
