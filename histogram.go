package ridgeline

import "math"

// A Histogram counts values by bounds that double: its first bucket has those
// up to some first bound, the next those up to twice that, and so on; the last
// has all above. Which bound is the first is for whoever counts to say. Nil has
// counted nothing.
type Histogram []int64

// What latencies and batches are counted by, wherever they are: in seconds, from
// 100 µs to 26 s, since a row through a small model takes a few hundred µs; and
// in rows, from 1 to 2,048.
const (
	LatencyFirst   = 0.0001
	LatencyBuckets = 20
	BatchFirst     = 1.0
	BatchBuckets   = 13
)

// Bucket is which of so many buckets a value belongs to.
func Bucket(v, first float64, buckets int) int {
	if !(v > first) {
		return 0
	}
	return min(int(math.Ceil(math.Log2(v/first))), buckets-1)
}

// Count is how many values there are.
func (h Histogram) Count() (n int64) {
	for _, c := range h {
		n += c
	}
	return n
}

// Plus is both together.
func (h Histogram) Plus(o Histogram) Histogram {
	out := make(Histogram, max(len(h), len(o)))
	copy(out, h)
	for i, n := range o {
		out[i] += n
	}
	return out
}

// Since is what has come since before. What has fewer than before has begun
// anew, and all of it has come.
func (h Histogram) Since(before Histogram) Histogram {
	out := make(Histogram, len(h))
	copy(out, h)
	for i, n := range before {
		if i >= len(h) || h[i] < n {
			copy(out, h)
			return out
		}
		out[i] -= n
	}
	return out
}

// Quantile estimates, for q from 0 to 1, as Prometheus' histogram_quantile
// does: linear within a bucket; above the last bound, that bound. Of nothing it
// is NaN.
func (h Histogram) Quantile(first, q float64) float64 {
	rank, below := q*float64(h.Count()), 0.0
	if rank == 0 {
		return math.NaN()
	}
	low, high := 0.0, first
	for i, n := range h {
		if i == len(h)-1 {
			break
		}
		if below+float64(n) >= rank {
			return low + (high-low)*(rank-below)/float64(n)
		}
		below += float64(n)
		low, high = high, high*2
	}
	return low
}

// Answers are what a deployment has answered, up to some moment.
type Answers struct {
	Succeeded int64     // with a status of 200 to 299
	Failed    int64     // with 500 or more
	Latency   Histogram // of all, from a request's coming to the beginning of its answer
}

// Plus is both together.
func (a Answers) Plus(o Answers) Answers {
	return Answers{Succeeded: a.Succeeded + o.Succeeded, Failed: a.Failed + o.Failed, Latency: a.Latency.Plus(o.Latency)}
}

// Since is what has come since before.
func (a Answers) Since(before Answers) Answers {
	return Answers{Succeeded: a.Succeeded - before.Succeeded, Failed: a.Failed - before.Failed, Latency: a.Latency.Since(before.Latency)}
}
