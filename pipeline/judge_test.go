package pipeline

import (
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
)

// TestUnchanged: what was promoted against one champion does not take over
// from another one that a person has put there meanwhile.
func TestUnchanged(t *testing.T) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(ctx, storetest.Address(t), nil)
	must(err)
	t.Cleanup(func() { _ = s.Close() })
	now := time.Now()
	_, err = s.EnsureProject(ctx, "iris", now)
	must(err)
	must(unchanged(ctx, s, "iris", nil))
	var versions []ridgeline.ModelVersion
	for _, id := range []ridgeline.RunID{"r-1", "r-2"} {
		must(s.CreateRun(ctx, ridgeline.Run{ID: id, Project: "iris", Status: ridgeline.Queued, Created: now}))
		n, err := s.ReserveVersion(ctx, "iris", id)
		must(err)
		v := ridgeline.ModelVersion{Model: "iris", Version: n, Project: "iris", Run: id, Verdict: ridgeline.Promoted, Created: now}
		if n == 2 {
			v.Verdict = ridgeline.Rejected
		}
		must(s.RegisterVersion(ctx, v))
		versions = append(versions, v)
	}
	must(unchanged(ctx, s, "iris", &versions[0]))
	if err := unchanged(ctx, s, "iris", nil); ridgeline.CodeOf(err) != ridgeline.Conflict {
		t.Errorf("a first model beside a champion: %v", err)
	}
	_, err = s.OverrideVersion(ctx, "iris", 2, ridgeline.Override{Who: "ann", At: now, Reason: "why"})
	must(err)
	if err := unchanged(ctx, s, "iris", &versions[0]); ridgeline.CodeOf(err) != ridgeline.Conflict {
		t.Errorf("after an override: %v", err)
	}
	must(unchanged(ctx, s, "iris", &versions[1]))
}
