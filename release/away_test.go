package release_test

import (
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/release"
)

var errAway = ridgeline.Errorf(ridgeline.Unavailable, "the cluster's API server does not answer")

func (s *scorers) reach(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = !yes
}

// A host that cannot be reached for a while holds a release up, no more.
func TestReleaser_host_away(t *testing.T) {
	t.Parallel()
	f := open(t, "none")
	f.register(t, "one")
	f.reach(false)
	row, err := f.Submit(t.Context(), release.Request{Model: "iris", Cause: "test", Caller: "ann"})
	check(t, err)
	f.until(t, row.ID, "waiting for its host", func(r ridgeline.Release) bool {
		return strings.Contains(r.Environments[0].Message, "API server does not answer")
	})
	f.reach(true)
	if row := f.end(t, row.ID); row.Status != ridgeline.Succeeded || f.live(t, "production") != 1 {
		t.Fatalf("got %+v", row)
	}

	// One that does not come up, and whose copies cannot be removed now, is
	// retired all the same.
	f.register(t, "starting")
	row, err = f.Submit(t.Context(), release.Request{Model: "iris", Cause: "test", Caller: "ann"})
	check(t, err)
	started := f.until(t, row.ID, "under way", func(r ridgeline.Release) bool { return r.Environments[0].Message == "starting" })
	f.reach(false)
	check(t, f.Store.RequestReleaseCancel(t.Context(), row.ID))
	if row := f.end(t, row.ID); row.Status != ridgeline.Cancelled {
		t.Errorf("got %+v", row)
	}
	if d, err := f.Store.Deployment(t.Context(), started.Environments[0].Deployment); err != nil || d.State != ridgeline.DeploymentRetired {
		t.Errorf("its deployment is %s, %v", d.State, err)
	}
	f.reach(true)
}
