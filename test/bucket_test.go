package test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/cloudtest"
	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
)

// keys makes the files that servers without a common folder are given.
func keys(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": "of-these-servers-alone", "vault-key": strings.Repeat("0123456789abcdef", 4)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// gitURL is a project's repository at a server.
func gitURL(t *testing.T, r *ridgeline, project string) string {
	t.Helper()
	address, err := os.ReadFile(filepath.Join(r.dir, "url"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(strings.TrimSpace(string(address)), "://", "://me:"+os.Getenv("RIDGELINE_ADMIN_TOKEN")+"@", 1) + "/git/" + project + ".git"
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestBucket: two servers have a database and a bucket in common, and no folder.
// What one has taken and made, the other one shows, serves and goes on with when
// the first one is killed and its machine is gone.
func TestBucket(t *testing.T) {
	cloudtest.Use(t)
	t.Setenv("RIDGELINE_ADMIN_TOKEN", "rl_the_same_everywhere")
	database, address := pgtest.URL(t), cloudtest.S3(t).Address("ridgeline/team")
	server := func() *ridgeline {
		return newRidgeline(t, "--database", database, "--blob", address, "--keys", keys(t))
	}
	leader := server()
	eventually(t, 20*time.Second, "the first server leads", func() bool { return strings.Contains(leader.log.String(), "this server leads") })
	follower := server()

	// The follower takes it, the leader makes it, both serve it.
	push(t, follower, "taken", true)
	finished(t, leader, "taken")
	finished(t, follower, "taken")
	b := endpointOf(t, follower, "taken", "production")
	if a := endpointOf(t, leader, "taken", "production"); a.Primary != b.Primary {
		t.Error("the servers have different keys")
	}
	eventually(t, 30*time.Second, "what endpoints answered is in the bucket", func() bool {
		return strings.Contains(follower.must(".", "predictions", "taken", "--json"), `"environment"`)
	})

	// A push with git goes to one, and is fetched from the others. (A tag is not built.)
	code := projectDir(t, "taken")
	pushed := gitIn(t, code, "rev-parse", "HEAD")
	gitIn(t, code, "push", "-q", gitURL(t, leader, "taken"), "HEAD:refs/tags/v1")

	// Kill -9 in the middle of training; the machine never comes back.
	dir := filepath.Join(t.TempDir(), "moved")
	if err := mkProject(dir, "moved"); err != nil {
		t.Fatal(err)
	}
	slowTrain(t, dir)
	follower.must(dir, "push", "--detach")
	eventually(t, 60*time.Second, "training runs", func() bool {
		found, _ := filepath.Glob(filepath.Join(leader.dir, "host", "tasks", "run-*-train-1"))
		return len(found) > 0
	})
	leader.kill()
	t.Cleanup(func() { endAll(t, leader.dir) })
	if err := os.Rename(leader.dir, leader.dir+"-lost"); err != nil {
		t.Fatal(err)
	}
	if got := call(t, http.MethodPost, b.URL, "Bearer "+b.Primary, `{"data": [[1.0]]}`); got.status != http.StatusOK {
		t.Errorf("the endpoint at the other server, right after the kill: %d %s", got.status, got.body)
	}
	finished(t, follower, "moved")

	// A machine that was never there before serves all of it, as soon as it has
	// the environment.
	third := server()
	run := decode[[]struct{ ID string }](t, follower.must(".", "runs", "--project", "moved", "--json"))[0].ID
	if ours, theirs := follower.must(".", "logs", run, "train"), third.must(".", "logs", run, "train"); ours == "" || ours != theirs {
		t.Errorf("the log is %q at one server, %q at the other", ours, theirs)
	}
	eventually(t, 3*time.Minute, "the third server answers", func() bool {
		e := endpointOf(t, third, "moved", "production")
		return call(t, http.MethodPost, e.URL, "Bearer "+b.Primary, `{"data": [[1.0]]}`).status == http.StatusUnauthorized &&
			call(t, http.MethodPost, e.URL, "Bearer "+e.Primary, `{"data": [[1.0]]}`).status == http.StatusOK
	})
	if got := gitIn(t, t.TempDir(), "ls-remote", gitURL(t, third, "taken"), "refs/tags/v1"); !strings.HasPrefix(got, pushed) {
		t.Errorf("git shows %s, pushed was %s", got, pushed)
	}
	if out := third.must(".", "gc", "--json"); !strings.Contains(out, `"missing": []`) {
		t.Errorf("gc: %s", out)
	}

	if out := third.must(".", "doctor", "--blob", address); !strings.Contains(out, "an object was written, listed, read and deleted in s3://data/ridgeline/team") {
		t.Errorf("doctor: %s", out)
	}
	if out, _, ok := third.do(".", "doctor", "--blob", strings.Replace(address, "s3://data/", "s3://nowhere/", 1)); ok || !strings.Contains(out, "FAILS bucket") {
		t.Errorf("doctor of a bucket that is not there: %s", out)
	}

	// Servers of another secret are not let in.
	stranger := &ridgeline{t: t, bin: binary(t), dir: t.TempDir()}
	if _, refused, ok := stranger.do(".", "up", "--listen", "127.0.0.1:0", "--blob", address); ok || !strings.Contains(refused, "another secret") {
		t.Errorf("a server with another secret: %s", refused)
	}
}
