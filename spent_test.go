package ridgeline

import (
	"testing"
	"time"
)

func TestAttempt_Spent(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	used := Usage{WallSeconds: 10, CPUSeconds: 4, PeakMemory: 1000}
	for name, test := range map[string]struct {
		try  Attempt
		want Spent
	}{
		"what it used, when it asked for nothing": {Attempt{Usage: used}, Spent{CPU: 4, Memory: 10_000}},
		"what it asked for":                       {Attempt{Usage: used, Held: Held{CPU: 2, Memory: 5000, GPU: 1}}, Spent{CPU: 20, Memory: 50_000, GPU: 10}},
		"what it used beyond that":                {Attempt{Usage: used, Held: Held{CPU: 0.1, Memory: 10}}, Spent{CPU: 4, Memory: 10_000}},
		"its time, when it was cut off":           {Attempt{Started: start, Ended: start.Add(5 * time.Second), Held: Held{CPU: 2}}, Spent{CPU: 10}},
		"nothing, while it runs":                  {Attempt{Started: start, Held: Held{CPU: 2}}, Spent{}},
	} {
		if got := test.try.Spent(); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
