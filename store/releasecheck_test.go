package store

import (
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func testReleaseChecks(t *testing.T, s *Store) {
	ctx := t.Context()
	must(s.EnsureProject(ctx, "iris", at(1)))(t)
	ok(t, s.CreateRelease(ctx, ridgeline.Release{ID: "l-1", Project: "iris", Model: "iris", Version: 1, Status: ridgeline.Queued, Created: at(1)}))
	ready := ridgeline.ReleaseCheck{Environment: "qa", Name: "ready", Status: ridgeline.Running, Started: at(2)}
	smoke := ridgeline.ReleaseCheck{Environment: "qa", Name: "smoke.json 1", Status: ridgeline.Succeeded, Message: "200 in 3 ms\x00", Started: at(4), Ended: at(5)}
	ok(t, s.SaveReleaseCheck(ctx, "l-1", ready))
	ok(t, s.SaveReleaseCheck(ctx, "l-1", smoke))
	ready.Status, ready.Message, ready.Ended = ridgeline.Succeeded, "1 copy", at(3)
	again := ready
	again.Started = at(9) // a second time: the first beginning counts
	ok(t, s.SaveReleaseCheck(ctx, "l-1", again))
	smoke.Message = cleanText(smoke.Message)
	same(t, must(s.ReleaseChecks(ctx, "l-1"))(t), []ridgeline.ReleaseCheck{ready, smoke})
	refused(t, s.SaveReleaseCheck(ctx, "l-9", ready), ridgeline.NotFound, "no release l-9")
	same(t, len(must(s.ReleaseChecks(ctx, "l-9"))(t)), 0)
}
