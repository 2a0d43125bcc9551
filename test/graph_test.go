package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKillGraph kills the server with -9 at random moments of a run whose steps
// run side by side, fan out and are tried again, and looks whether each of them
// did its work as often as it should, and what came out of it.
func TestKillGraph(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	r := newRidgeline(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	did := filepath.Join(t.TempDir(), "did")
	write("requirements.txt", "# nothing\n")
	// One line each, in one write: what runs side by side does not mix.
	write("work.sh", fmt.Sprintf(`echo $RIDGELINE_RUN_ID $1 >> %s
sleep 0.$(( $$ %% 3 ))
echo $1 > $RIDGELINE_OUT/name
[ $1 != flaky ] || [ $(grep -c "$RIDGELINE_RUN_ID flaky" %s) = 2 ]
`, did, did))
	write("ridgeline.yaml", `project: graph
python: requirements.txt
pipeline:
  params: {fold: 0}
  steps:
    left: {run: sh work.sh left, needs: []}
    flaky: {run: sh work.sh flaky, needs: [], retries: {count: 1, backoff: 300ms}}
    folds: {run: sh work.sh fold$RIDGELINE_PARAM_FOLD, needs: [left], matrix: {fold: [1, 2, 3]}}
    last: {run: 'sh work.sh last; echo got $(cat $RIDGELINE_IN_FOLDS/*/name $RIDGELINE_IN_FLAKY/name)', needs: [folds, flaky]}
`)
	if err := commit(dir, "graph"); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	r.must(dir, "push")
	loop := time.Since(started)

	type run struct{ ID, Status string }
	for i := range rounds {
		id := decode[run](t, r.must(dir, "train", "--no-cache", "--detach")).ID
		pause := time.Duration(random.Float64() * float64(loop))
		time.Sleep(pause) // the moment is what the test is about
		r.kill()
		r.start()
		var got run
		eventually(t, 60*time.Second, "run "+id+" has ended", func() bool {
			got = decode[run](t, r.must(".", "run", id, "--json"))
			return got.Status != "queued" && got.Status != "running"
		})
		if got.Status != "succeeded" {
			t.Fatalf("killed after %s:\n%s", pause, r.must(".", "run", id))
		}
		if out := r.must(".", "logs", id, "last"); !strings.Contains(out, "got fold1 fold2 fold3 flaky") {
			t.Errorf("killed after %s: last wrote %q", pause, out)
		}
		text, err := os.ReadFile(did)
		if err != nil {
			t.Fatal(err)
		}
		var works []string
		for _, line := range strings.Split(string(text), "\n") {
			if work, of := strings.CutPrefix(line, id+" "); of {
				works = append(works, work)
			}
		}
		slices.Sort(works)
		if got := strings.Join(works, " "); got != "flaky flaky fold1 fold2 fold3 last left" {
			t.Errorf("round %d, killed after %s: the steps did %s", i, pause, got)
		}
	}
}
