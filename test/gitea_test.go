package test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
)

// gitea is a running Gitea and an administrator's token.
type gitea struct {
	url, token string
}

// startGitea runs the Gitea that `make test-gitea` has built, on a database of
// its own.
func startGitea(t *testing.T) gitea {
	t.Helper()
	home := os.Getenv("RIDGELINE_GITEA")
	if home == "" {
		t.Skip("no Gitea here: make test-gitea builds one, in some minutes, and runs this")
	}
	database, err := url.Parse(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(address)
	work := t.TempDir()
	password, _ := database.User.Password()
	host := database.Host
	if socket := database.Query().Get("host"); socket != "" {
		host = socket
	}
	config := filepath.Join(work, "app.ini")
	ini := strings.NewReplacer("@WORK@", work, "@PORT@", port, "@ADDRESS@", address, "@HOME@", home, "@DBHOST@", host, "@DBNAME@", strings.TrimPrefix(database.Path, "/"),
		"@DBUSER@", database.User.Username(), "@DBPASSWORD@", password).Replace(`
RUN_MODE = prod
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[database]
DB_TYPE = postgres
HOST = @DBHOST@
NAME = @DBNAME@
USER = @DBUSER@
PASSWD = @DBPASSWORD@
SSL_MODE = disable
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = @PORT@
ROOT_URL = http://@ADDRESS@/
STATIC_ROOT_PATH = @HOME@
DISABLE_SSH = true
OFFLINE_MODE = true
[repository]
ROOT = @WORK@/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = only-for-this-test
[webhook]
ALLOWED_HOST_LIST = loopback
[actions]
ENABLED = false
[log]
LEVEL = warn
`)
	if err := os.WriteFile(config, []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(home, "gitea"), append([]string{"--config", config, "--work-path", work}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+work, "USER="+os.Getenv("USER"))
		return cmd
	}
	if out, err := run("migrate").CombinedOutput(); err != nil {
		t.Fatalf("gitea migrate: %v\n%s", err, tail(string(out), 3000))
	}
	out, err := run("admin", "user", "create", "--admin", "--username", "ann", "--password", "a-long-password-1", "--email", "ann@localhost",
		"--must-change-password=false", "--access-token", "--access-token-scopes", "all").CombinedOutput()
	if err != nil {
		t.Fatalf("gitea admin user create: %v\n%s", err, tail(string(out), 3000))
	}
	_, after, _ := strings.Cut(string(out), "successfully created")
	fields := strings.Fields(after)
	g := gitea{url: "http://" + address}
	for _, f := range fields {
		if len(f) == 40 {
			g.token = f
		}
	}
	server, log := run("web"), &log{}
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("Gitea's log:\n%s", tail(log.String(), 4000))
		}
	})
	eventually(t, 60*time.Second, "Gitea is up", func() bool {
		res, err := http.Get(g.url + "/api/v1/version")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(res.Body)
			t.Fatalf("Gitea answers %s\n%s", res.Status, tail(string(text), 2000))
		}
		return true
	})
	return g
}

// ask calls Gitea's API.
func (g gitea) ask(t *testing.T, method, path string, in any) any {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+g.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	var out any
	if err := json.Unmarshal(text, &out); err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s\n%s", method, path, res.Status, tail(string(text), 2000))
	}
	return out
}

// TestGitea is a real forge: a private repository there, its webhook, a push,
// a pull request, and the statuses that come back.
func TestGitea(t *testing.T) {
	g := startGitea(t)
	r := newRidgeline(t)
	dir := t.TempDir()
	if err := meanProject(dir, "gitea"); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=story", "-c", "user.email=story@localhost"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	g.ask(t, "POST", "/user/repos", map[string]any{"name": "line", "private": true, "default_branch": "main"})
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(g.token), 0o600); err != nil {
		t.Fatal(err)
	}
	var remote struct{ Webhook, Secret string }
	added := r.must(dir, "remote", "add", "origin", "--forge", "gitea", "--url", g.url+"/ann/line.git", "--token-file", tokenFile, "--json")
	if err := json.Unmarshal([]byte(added), &remote); err != nil {
		t.Fatal(err)
	}
	g.ask(t, "POST", "/repos/ann/line/hooks", map[string]any{
		"type": "gitea", "active": true, "events": []string{"push", "pull_request", "pull_request_sync"},
		"config": map[string]string{"url": remote.Webhook, "content_type": "json", "secret": remote.Secret},
	})
	if out := r.must(dir, "remote", "test", "origin"); !strings.Contains(out, "ok fetch") || !strings.Contains(out, "ok statuses") {
		t.Error(out)
	}

	git("push", "-q", strings.Replace(g.url, "://", "://ann:"+g.token+"@", 1)+"/ann/line.git", "main")
	built := func(commit, pullRequest string) {
		t.Helper()
		eventually(t, 2*time.Minute, "Gitea shows the commit as a success", func() bool {
			all, _ := g.ask(t, "GET", "/repos/ann/line/statuses/"+commit, nil).([]any)
			return slices.ContainsFunc(all, func(s any) bool {
				one, _ := s.(map[string]any)
				return one["context"] == "ridgeline/gitea" && one["status"] == "success"
			})
		})
		var builds []struct {
			Commit, Cause, Status string
			PullRequest           string `json:"pull_request"`
		}
		if err := json.Unmarshal([]byte(r.must(dir, "builds", "--project", "gitea", "--json")), &builds); err != nil {
			t.Fatal(err)
		}
		if b := builds[0]; b.Commit != commit || b.Cause != "webhook gitea" || b.Status != "succeeded" || b.PullRequest != pullRequest {
			t.Errorf("built %+v, expected %s", b, commit)
		}
	}
	built(git("rev-parse", "HEAD"), "")

	git("checkout", "-q", "-b", "topic/readme")
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("a line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", "-A")
	git("commit", "-q", "-m", "say what it is")
	g.ask(t, "PATCH", "/repos/ann/line/hooks/1", map[string]any{"events": []string{"pull_request", "pull_request_sync"}}) // the branch alone tells nothing now
	git("push", "-q", strings.Replace(g.url, "://", "://ann:"+g.token+"@", 1)+"/ann/line.git", "topic/readme")
	g.ask(t, "POST", "/repos/ann/line/pulls", map[string]any{"title": "say what it is", "head": "topic/readme", "base": "main"})
	built(git("rev-parse", "HEAD"), "1")
	if out := r.must(dir, "remote", "show", "origin"); !strings.Contains(out, "#1 topic/readme") || !strings.Contains(out, "delivered") {
		t.Error(out)
	}
}
