package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestPostgres is the loop on PostgreSQL, by one server, killed once on its way.
func TestPostgres(t *testing.T) {
	r := newRidgeline(t, "--database", pgtest.URL(t))
	push(t, r, "postgres", false)
	finished(t, r, "postgres")
	push(t, r, "postgres-killed", true)
	eventually(t, 60*time.Second, "a task runs", func() bool { return tasks(t, r) > 0 })
	r.kill()
	r.start()
	finished(t, r, "postgres-killed")
	leftOver(t, r, 2)
}

// tasks counts what the server's host knows of.
func tasks(t *testing.T, r *ridgeline) int {
	t.Helper()
	found, err := os.ReadDir(filepath.Join(r.dir, "host", "tasks"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return len(found)
}

// slowTrain makes the project's training take some seconds, which leaves time
// to kill its server.
func slowTrain(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "train.py")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	slow := strings.Replace(string(text), "def main():\n", "def main():\n    print(os.getpid(), flush=True)\n    __import__(\"time\").sleep(4)\n    print(os.getpid())\n", 1)
	if err := os.WriteFile(path, []byte(slow), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := commit(dir, "slow"); err != nil {
		t.Fatal(err)
	}
}

// TestServers: two servers share a database and a folder. Each takes pushes and
// answers endpoints; when the one that leads dies in the middle of a run, and
// its machine with it, the other one brings the run to the same end.
func TestServers(t *testing.T) {
	database, shared := pgtest.URL(t), t.TempDir()
	leader := newRidgeline(t, "--database", database, "--shared", shared)
	eventually(t, 20*time.Second, "the first server leads", func() bool { return strings.Contains(leader.log.String(), "this server leads") })
	follower := newRidgeline(t, "--database", database, "--shared", shared)

	// What the follower takes, the leader carries out.
	started := time.Now()
	push(t, follower, "taken", true)
	eventually(t, 10*time.Second, "the leader has taken the build up", func() bool {
		return !strings.Contains(leader.must(".", "builds", "--json"), `"queued"`)
	})
	t.Logf("a push to the follower began %s later", time.Since(started).Round(10*time.Millisecond))
	if tasks(t, follower) != 0 {
		t.Error("a server that does not lead runs tasks")
	}
	finished(t, leader, "taken")
	finished(t, follower, "taken") // its endpoints too, by copies of its own
	a, b := endpointOf(t, leader, "taken", "production"), endpointOf(t, follower, "taken", "production")
	if a.Primary != b.Primary || a.URL == b.URL || a.Version != b.Version {
		t.Errorf("the servers differ: %+v and %+v", a, b)
	}

	// Kill -9 in the middle of training; the machine never comes back.
	dir := filepath.Join(t.TempDir(), "moved")
	if err := mkProject(dir, "moved"); err != nil {
		t.Fatal(err)
	}
	slowTrain(t, dir)
	follower.must(dir, "push", "--detach")
	train := func(r *ridgeline) bool {
		found, _ := filepath.Glob(filepath.Join(r.dir, "host", "tasks", "run-*-train-1"))
		return len(found) > 0
	}
	eventually(t, 60*time.Second, "training runs", func() bool { return train(leader) })
	id := decode[[]struct{ ID string }](t, follower.must(".", "runs", "--project", "moved", "--json"))[0].ID
	eventually(t, 10*time.Second, "its log has begun", func() bool {
		text, _, _ := follower.do(".", "logs", id, "train")
		return text != ""
	})
	leader.kill()
	lost := leader.dir + "-lost"
	if err := os.Rename(leader.dir, lost); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			endAll(t, leader.dir)
		}
	})
	started = time.Now()

	// The live endpoint goes on meanwhile: the follower has copies of its own.
	if got := call(t, http.MethodPost, b.URL, "Bearer "+b.Primary, `{"data": [[1.0]]}`); got.status != http.StatusOK {
		t.Errorf("the endpoint at the other server, right after the kill: %d %s", got.status, got.body)
	}
	eventually(t, 30*time.Second, "the other server trains", func() bool { return train(follower) })
	t.Logf("the other server took over and trained again after %s", time.Since(started).Round(10*time.Millisecond))
	finished(t, follower, "moved")
	if lines := strings.Fields(follower.must(".", "logs", id, "train")); len(lines) != 2 || lines[0] != lines[1] {
		t.Errorf("the log is not that of the training that counts, from its beginning: process ids %v", lines)
	}

	// The lost machine comes back: its server follows, and clears up.
	if err := os.Rename(lost, leader.dir); err != nil {
		t.Fatal(err)
	}
	leader.start()
	finished(t, leader, "moved")
	leftOver(t, leader, 2)
	leftOver(t, follower, 2)
	follows(t, follower, leader)
}

// TestServers_Kill kills the server that leads at random moments of the loop.
// The other one takes over and ends the loop as if nothing had happened; then
// the killed one comes back, to follow.
func TestServers_Kill(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	database, shared := pgtest.URL(t), t.TempDir()
	leader := newRidgeline(t, "--database", database, "--shared", shared)
	eventually(t, 20*time.Second, "the first server leads", func() bool { return strings.Contains(leader.log.String(), "this server leads") })
	follower := newRidgeline(t, "--database", database, "--shared", shared)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	push(t, follower, "kill-0", false)
	finished(t, follower, "kill-0")
	started := time.Now()
	push(t, follower, "kill-00", false)
	loop := time.Since(started)

	for i := 1; i <= rounds; i++ {
		name := fmt.Sprintf("kill-%d", i)
		push(t, follower, name, true)
		pause := time.Duration(random.Float64() * float64(loop))
		time.Sleep(pause)
		leader.kill()
		finished(t, follower, name)
		t.Logf("killed after %s: promoted, one version, both endpoints answer", pause.Round(time.Millisecond))
		leader.start()
		leader, follower = follower, leader
	}
	for _, r := range []*ridgeline{leader, follower} {
		leftOver(t, r, rounds+2)
	}
}

// follows sees a release by the server that leads reach the one that does not:
// that one answers all the while, with the old version until its own copies of
// the new one are ready.
func follows(t *testing.T, leader, follower *ridgeline) {
	t.Helper()
	leader.must(projectDir(t, "taken"), "train", "--param", "factor=1.01")
	e := endpointOf(t, follower, "taken", "production")
	ask := func() answer { return call(t, http.MethodPost, e.URL, "Bearer "+e.Primary, `{"data": [[1.0]]}`) }
	old := ask().body
	leader.must(".", "release", "taken:2")
	sent, released := 0, time.Now()
	eventually(t, 30*time.Second, "the follower answers by version 2", func() bool {
		got := ask()
		if sent++; got.status != http.StatusOK {
			t.Fatalf("a request to the follower failed: %d %s", got.status, got.body)
		}
		return got.body != old
	})
	t.Logf("%d requests to the server that follows, none failed, until it had the release, %s later", sent, time.Since(released).Round(10*time.Millisecond))
}

// endAll ends what a killed server's supervisors still run.
func endAll(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		line, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if !strings.Contains(string(line), dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
}
