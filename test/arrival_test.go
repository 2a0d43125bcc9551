package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKill_arrival kills the server with -9 at random moments of an arrival,
// and looks whether each delivery came to exactly one version and one run.
func TestKill_arrival(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	r := newRidgeline(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	source := filepath.Join(t.TempDir(), "lake")
	deliver := func(n int) {
		t.Helper()
		var text strings.Builder
		text.WriteString("id,amount\n")
		for i := range 100_000 {
			fmt.Fprintf(&text, "%d,%d\n", n*1_000_000+i, random.IntN(100))
		}
		for part := range 4 {
			path := filepath.Join(source, fmt.Sprintf("%03d-%d.csv", n, part))
			if err := os.WriteFile(path+".tmp", []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".tmp", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(source, 0o700); err != nil {
		t.Fatal(err)
	}
	deliver(1)
	dir := filepath.Join(t.TempDir(), "lake")
	if err := mkProject(dir, "lake"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ridgeline.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "data:\n", "data:\n  lake: {path: \""+source+"/*.csv\"}\n", 1)
	config = strings.Replace(config, "pipeline:\n", "pipeline:\n  on: {data: lake}\n", 1)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := commit(dir, "lake"); err != nil {
		t.Fatal(err)
	}
	r.must(dir, "push")

	type state struct {
		Name        string
		Current     int
		Quarantined int
	}
	type arrival struct {
		Version int
		Status  string
		Run     string
	}
	type run struct{ Cause, Status string }
	for n := 2; n <= rounds+1; n++ {
		deliver(n)
		look := exec.Command(r.bin, "data", "watch", "lake", "--now")
		look.Dir, look.Env = dir, append(os.Environ(), "RIDGELINE_DIR="+r.dir)
		if err := look.Start(); err != nil {
			t.Fatal(err)
		}
		pause := time.Duration(random.Float64() * float64(1500*time.Millisecond))
		time.Sleep(pause) // the moment of the kill, which is the test's subject
		r.kill()
		_ = look.Wait() // with the server gone, or before
		r.start()
		// Joins what goes on, or finds that all is done, or that nothing began.
		r.must(dir, "data", "watch", "lake", "--now")
		for _, d := range decode[[]state](t, r.must(dir, "data", "list", "--json")) {
			if d.Name == "lake" && (d.Current != n || d.Quarantined != 0) {
				t.Fatalf("after delivery %d, killed after %s: %+v", n, pause, d)
			}
		}
		count := 0
		for _, a := range decode[[]arrival](t, r.must(dir, "data", "list", "lake", "--json")) {
			if a.Version == n {
				count++
				if a.Status != "accepted" || a.Run == "" {
					t.Fatalf("delivery %d, killed after %s: %+v", n, pause, a)
				}
			}
		}
		runs := 0
		for _, one := range decode[[]run](t, r.must(dir, "runs", "--project", "lake", "--json")) {
			if one.Cause == fmt.Sprintf("data lake:%d", n) {
				runs++
			}
		}
		if count != 1 || runs != 1 {
			t.Fatalf("delivery %d, killed after %s: %d arrivals and %d runs, expected one of each", n, pause, count, runs)
		}
		t.Logf("killed after %s: one version, one run", pause.Round(time.Millisecond))
	}
	entries, err := os.ReadDir(filepath.Join(r.dir, "arriving"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "nothing is left of what arrived", func() bool {
		entries, err = os.ReadDir(filepath.Join(r.dir, "arriving"))
		return err == nil && len(entries) == 0
	})
}
