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

func TestHeld_Advice(t *testing.T) {
	hour := func(cpu float64, peak int64) Used { return Used{Seconds: 3600, CPU: cpu, Peak: peak} }
	for name, test := range map[string]struct {
		held Held
		used Used
		want string
	}{
		"nobody saw it":       {Held{CPU: 4, Memory: 4e9}, Used{}, ""},
		"nothing asked for":   {Held{}, hour(1, 1), ""},
		"as much as is used":  {Held{CPU: 1, Memory: 1e9}, hour(3000, 800e6), ""},
		"far too much":        {Held{CPU: 4, Memory: 4e9}, hour(3600*0.7, 600e6), "asked for 4 GB of memory, used at most 600 MB; asked for 4 cores, used 0.7 on average"},
		"nearly too little":   {Held{Memory: 2e9}, hour(0, 1.95e9), "asked for 2 GB of memory, and used up to 1.9 GB: more would be safe"},
		"only cores too many": {Held{CPU: 0.5, Memory: 1e9}, hour(36, 700e6), "asked for 0.5 cores, used 0.01 on average"},
	} {
		if got := test.held.Advice(test.used); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestAttempt_Used(t *testing.T) {
	if u := (Attempt{Usage: Usage{WallSeconds: 3}}).Used(); u.Known() {
		t.Errorf("what nobody saw is known: %+v", u)
	}
	sum := Attempt{Usage: Usage{WallSeconds: 3, CPUSeconds: 6, PeakMemory: 9}}.Used().Plus(Used{Seconds: 1, Peak: 5})
	if want := (Used{Seconds: 4, CPU: 6, Peak: 9}); sum != want || sum.Cores() != 1.5 {
		t.Errorf("%+v, want %+v, and 1.5 cores", sum, want)
	}
}
