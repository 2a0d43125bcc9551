package ridgeline_test

import (
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestDemand(t *testing.T) {
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	second := func(n int) time.Time { return begun.Add(time.Duration(n) * time.Second) }
	var d ridgeline.Demand
	if n := d.Copies(4, 1, 5, 3); n != 3 {
		t.Errorf("nothing seen: %d, want the 3 that there are", n)
	}
	now := 1
	for at := range 200 {
		load := 0.0
		switch {
		case at < 60:
			load = 10 // three copies of four each
		case at < 70:
			load = 100 // more than five can take
		}
		d.See(load, second(at))
		now = d.Copies(4, 1, 5, now)
		for when, want := range map[int]int{0: 3, 59: 3, 65: 5, 69: 5, 100: 5, 129: 5, 145: 1, 199: 1} {
			if at == when && now != want {
				t.Errorf("after %d s: %d copies, want %d", at, now, want)
			}
		}
	}
	var one ridgeline.Demand
	for at := range 80 { // a request now and then is no reason for another copy
		load := 0.0
		if at%10 == 0 {
			load = 8
		}
		one.See(load, second(at))
	}
	if n := one.Copies(4, 1, 5, 1); n > 2 {
		t.Errorf("a short peak now and then: %d copies", n)
	}
}
