package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKill kills the server with -9 at random moments of the loop, starts it
// again, and looks whether the loop ended as if nothing had happened.
func TestKill(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 2
	}
	r := newRidgeline(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)

	// One undisturbed round tells how long the loop takes, so that the kills
	// fall into all of it; it also makes the environment and the base layer.
	started := time.Now()
	push(t, r, "kill-0", false)
	finished(t, r, "kill-0")
	loop := time.Since(started)
	started = time.Now()
	push(t, r, "kill-00", false)
	finished(t, r, "kill-00")
	loop = min(loop, time.Since(started))

	for i := 1; i <= rounds; i++ {
		name := fmt.Sprintf("kill-%d", i)
		push(t, r, name, true)
		pause := time.Duration(random.Float64() * float64(loop))
		time.Sleep(pause)
		r.kill()
		r.start()
		finished(t, r, name)
		t.Logf("killed after %s: promoted, one version, both endpoints answer", pause.Round(time.Millisecond))
	}
	leftOver(t, r, rounds+2)
}

// push hands a project over; detached, it returns once the server has
// acknowledged it.
func push(t *testing.T, r *ridgeline, name string, detached bool) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := mkProject(dir, name); err != nil {
		t.Fatal(err)
	}
	args := []string{"push"}
	if detached {
		args = append(args, "--detach")
	}
	r.must(dir, args...)
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// finished waits until the project's loop has ended, and checks what it must
// have come to.
func finished(t *testing.T, r *ridgeline, name string) {
	t.Helper()
	type run struct{ ID, Status, Verdict, Release string }
	type release struct{ Status string }
	type version struct {
		Name    string
		Version int
	}
	type endpoint struct {
		Environment string
		Version     int
		Ready       bool
	}
	var seen string
	defer func() {
		if t.Failed() {
			builds, _, _ := r.do(".", "builds", "--project", name, "--json")
			t.Logf("%s has come to\n%s\n%s", name, builds, seen)
		}
	}()
	eventually(t, 90*time.Second, name+" is released", func() bool {
		runs, releases := r.must(".", "runs", "--project", name, "--json"), r.must(".", "releases", "--project", name, "--json")
		seen = runs + releases
		rel := decode[[]release](t, releases)
		for _, bad := range decode[[]run](t, runs) {
			if bad.Status == "failed" || bad.Status == "cancelled" {
				t.Fatalf("%s: run %s %s\n%s", name, bad.ID, bad.Status, r.must(".", "run", bad.ID))
			}
		}
		return len(rel) > 0 && rel[0].Status != "queued" && rel[0].Status != "running"
	})
	runs := decode[[]run](t, r.must(".", "runs", "--project", name, "--json"))
	releases := decode[[]release](t, r.must(".", "releases", "--project", name, "--json"))
	if len(runs) != 1 || runs[0].Verdict != "promoted" || len(releases) != 1 || releases[0].Status != "succeeded" {
		t.Fatalf("%s: one promoted run and one release were expected:\n%s", name, seen)
	}
	count := 0
	for _, v := range decode[[]version](t, r.must(".", "models", "--json")) {
		if v.Name == name {
			count++
		}
	}
	if count != 1 {
		t.Fatalf("%s: %d versions are registered, expected 1", name, count)
	}
	// The endpoints may take a moment to be found ready after a restart.
	eventually(t, 20*time.Second, name+"'s endpoints are ready", func() bool {
		ready := 0
		for _, e := range decode[[]endpoint](t, r.must(".", "endpoints", "--project", name, "--json")) {
			if e.Ready && e.Version == 1 {
				ready++
			}
		}
		return ready == 2
	})
	for _, environment := range []string{"qa", "production"} {
		if out := r.must("testdata/mean", "score", name, environment, "smoke.json"); !strings.Contains(out, `"result"`) {
			t.Fatalf("%s/%s answered %s", name, environment, out)
		}
	}
}

// leftOver checks that nothing remains of work that has ended: no task, no
// working folder, no temporary file, no half upload, and one process tree per
// live copy.
func leftOver(t *testing.T, r *ridgeline, projects int) {
	t.Helper()
	for _, dir := range []string{"work", "tmp", "host/tasks"} {
		eventually(t, 20*time.Second, dir+" is empty", func() bool {
			entries, err := os.ReadDir(filepath.Join(r.dir, dir))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			n := 0
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), ".") { // locks and the like
					n++
				}
			}
			return n == 0
		})
	}
	err := filepath.WalkDir(r.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // it may go while we look
		}
		for _, half := range []string{".new", ".tmp", ".partial"} {
			if strings.HasSuffix(path, half) {
				t.Errorf("left over: %s", path)
			}
		}
		if d.IsDir() && d.Name() == "_uploads" {
			if entries, _ := os.ReadDir(path); len(entries) > 0 {
				t.Errorf("half uploads in %s", path)
			}
		}
		if d.IsDir() && (d.Name() == "envs" || d.Name() == "blob") {
			return filepath.SkipDir // packages have files of such names of their own
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Two copies per project: a supervisor, a scorer and its Python worker each.
	want := 2 * projects
	for _, kind := range []string{"/supervisor-", "ridgeline_worker"} {
		var found int
		eventually(t, 20*time.Second, fmt.Sprintf("%d processes of %s", want, kind), func() bool {
			found = processes(t, r.dir, kind)
			return found == want
		})
	}
}

// processes counts those whose command line has the word and that belong to
// the state folder, by command line or environment.
func processes(t *testing.T, dir, word string) int {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range found {
		line, err := os.ReadFile(filepath.Join(p, "cmdline"))
		if err != nil || !strings.Contains(string(line), word) {
			continue
		}
		env, _ := os.ReadFile(filepath.Join(p, "environ"))
		if strings.Contains(string(line), dir) || strings.Contains(string(env), dir) {
			n++
		}
	}
	return n
}

// TestStop: an interrupted server leaves nothing running, and the next one
// brings what was live back.
func TestStop(t *testing.T) {
	r := newRidgeline(t)
	push(t, r, "stop", false)
	finished(t, r, "stop")
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("the server did not end well: %v", err)
	}
	eventually(t, 5*time.Second, "no process is left", func() bool {
		return processes(t, r.dir, "/supervisor-")+processes(t, r.dir, "ridgeline_worker") == 0
	})
	r.start()
	finished(t, r, "stop")
}
