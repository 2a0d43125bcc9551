package release_test

import (
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Copies follow the requests that they have, and what was found is kept for
// the next server.
func TestReleaser_Scale(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	f.register(t, "one")
	f.release(t)
	e, err := f.Store.Endpoint(t.Context(), f.project, "production")
	check(t, err)
	qa, err := f.Store.Endpoint(t.Context(), f.project, "qa")
	check(t, err)
	begun := time.Now()
	seen := map[ridgeline.DeploymentID]*ridgeline.Demand{}
	for _, step := range []struct{ after, busy, want int }{
		{0, 0, 1}, {2, 3, 1}, {14, 3, 2}, {16, 40, 3}, {50, 0, 3}, {90, 0, 3}, {120, 0, 3}, {155, 0, 1},
	} {
		f.scorers.mu.Lock()
		f.busy = step.busy
		f.scorers.mu.Unlock()
		check(t, f.Scale(t.Context(), seen, begun.Add(time.Duration(step.after)*time.Second)))
		f.scorers.mu.Lock()
		if got := f.copies[e.Live]; got != step.want {
			t.Errorf("after %d s, with %d requests: %d copies, want %d", step.after, step.busy, got, step.want)
		}
		if got := f.copies[qa.Live]; got != 1 {
			t.Errorf("an environment that says nothing of it has %d copies", got)
		}
		f.scorers.mu.Unlock()
		if step.after == 50 {
			seen = map[ridgeline.DeploymentID]*ridgeline.Demand{} // another server leads, and has seen nothing
		}
	}
	d, err := f.Store.Deployment(t.Context(), e.Live)
	check(t, err)
	if d.Scaled != 1 {
		t.Errorf("kept: %d", d.Scaled)
	}
}
