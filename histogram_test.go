package ridgeline

import (
	"math"
	"testing"
)

func TestHistogram(t *testing.T) {
	count := func(values ...float64) Histogram {
		h := make(Histogram, BatchBuckets)
		for _, v := range values {
			h[Bucket(v, BatchFirst, BatchBuckets)]++
		}
		return h
	}
	for v, want := range map[float64]int{0: 0, 1: 0, 1.5: 1, 2: 1, 3: 2, 4: 2, 5: 3, 2048: 11, 2049: 12, 1e9: 12} {
		if got := Bucket(v, BatchFirst, BatchBuckets); got != want {
			t.Errorf("%v is in bucket %d, want %d", v, got, want)
		}
	}
	h := count(1, 1, 2, 4)
	if n := h.Count(); n != 4 {
		t.Errorf("%d values, want 4", n)
	}
	if m := h.Quantile(BatchFirst, 0.5); m != 1 {
		t.Errorf("the median is %v, want 1", m)
	}
	if m := h.Quantile(BatchFirst, 0.75); m != 2 {
		t.Errorf("three quarters are up to %v, want 2", m)
	}
	if m := count(1e9).Quantile(BatchFirst, 0.5); m != 2048 {
		t.Errorf("above all bounds is %v, want the last one", m)
	}
	if m := Histogram(nil).Quantile(BatchFirst, 0.5); !math.IsNaN(m) {
		t.Errorf("of nothing it is %v", m)
	}
	if more := h.Plus(count(1)).Since(h); more.Count() != 1 || more[0] != 1 {
		t.Errorf("one came, but %v", more)
	}
	if anew := count(1).Since(h); anew.Count() != 1 {
		t.Errorf("it began anew, but %v", anew)
	}
	if more := h.Since(nil); more.Count() != 4 {
		t.Errorf("all came, but %v", more)
	}
}
