package ridgeline

import (
	"math"
	"time"
)

// What a Demand remembers: a few seconds even out single requests, and copies
// are taken away only when they were not needed for a minute (Kubernetes' own
// autoscaler waits for five).
const (
	demandMean = 10 * time.Second
	demandKept = time.Minute
)

// A Demand is how busy a deployment's copies have been lately. The zero value
// has seen nothing.
type Demand struct {
	samples []demanded
	since   time.Time // of the first sample there ever was
}

type demanded struct {
	at       time.Time
	inFlight float64
}

// See notes how many requests all copies have, under way and waiting.
func (d *Demand) See(inFlight float64, at time.Time) {
	if d.since.IsZero() {
		d.since = at
	}
	d.samples = append(d.samples, demanded{at, inFlight})
	for at.Sub(d.samples[0].at) > demandKept {
		d.samples = d.samples[1:]
	}
}

// Copies is how many there should be for each to have about per requests, from
// least to most, when there are now copies: more at once, fewer when no more
// were needed for a minute.
func (d *Demand) Copies(per, least, most, now int) int {
	want, sum, first := 0, 0.0, 0
	for i, s := range d.samples {
		sum += s.inFlight
		for s.at.Sub(d.samples[first].at) > demandMean {
			sum -= d.samples[first].inFlight
			first++
		}
		mean := sum / float64(i-first+1)
		want = max(want, int(math.Ceil(mean/float64(per)-1e-9)))
	}
	if n := len(d.samples); n == 0 || d.samples[n-1].at.Sub(d.since) < demandKept {
		want = max(want, now) // too early to say that fewer do
	}
	return min(max(want, least), most)
}
