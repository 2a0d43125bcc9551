package ui

import (
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

func TestHourOf(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 2, 30, 0, time.UTC)
	slot := func(at string, version int, requests, failed int64) store.Slot {
		begins, err := time.Parse("15:04", at)
		if err != nil {
			t.Fatal(err)
		}
		return store.Slot{
			Version: version, At: time.Date(2026, 3, 1, begins.Hour(), begins.Minute(), 0, 0, time.UTC),
			Answers: ridgeline.Answers{Succeeded: requests - failed, Failed: failed, Latency: ridgeline.Histogram{requests}},
		}
	}
	if got := hourOf(nil, now); got != nil {
		t.Errorf("nothing asked: %+v", got)
	}
	if got := hourOf([]store.Slot{slot("11:30", 3, 0, 0)}, now); got != nil {
		t.Errorf("copies that nobody asked: %+v", got)
	}

	// Two versions share the requests of 57 minutes and a half.
	got := hourOf([]store.Slot{slot("11:05", 3, 600, 0), slot("11:05", 4, 100, 0), slot("12:00", 4, 2750, 69)}, now)
	if got == nil || got.Requests() != 3450 || got.PerSecond != 1 || got.ErrorShare() != 0.02 {
		t.Fatalf("got %+v, want 3450 requests, 1 a second, 2 %% failed", got)
	}
	if len(got.Course) != 12 || got.Course[0].Label != "11:05 UTC: 700" || got.Course[11].Label != "12:00 UTC: 2750" || got.Course[5].Height != "0.0" {
		t.Errorf("the course: %+v", got.Course)
	}
}
