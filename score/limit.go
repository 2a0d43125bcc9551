package score

import "time"

// limit learns how many rows to send to a worker together.
//
// It is Clipper's scheme (Crankshaw et al., NSDI'17, section 4.3.1): a full
// batch that kept to the target raises it by a fixed amount, one that did not
// lowers it by a tenth. What a model needs for its smallest batches anyway is not
// held against the larger ones: the target is at least twice that.
type limit struct {
	max    int
	target time.Duration

	now  float64
	base time.Duration // of an answer to few rows
}

const (
	firstLimit = 32
	limitStep  = 8
	baseDrift  = 32 // answers until a base that is too low has about gone
	fewRows    = 8  // times fewer than the limit
)

func newLimit(highest int, target time.Duration) limit {
	return limit{max: highest, target: target, now: float64(min(firstLimit, highest))}
}

func (l *limit) rows() int { return int(l.now) }

// learn takes in that an answer to so many rows took so long.
func (l *limit) learn(rows int, took time.Duration) {
	switch {
	case l.base == 0 || took < l.base:
		l.base = took
	case rows <= max(1, l.rows()/fewRows):
		l.base += (took - l.base) / baseDrift
	}
	within := took <= max(l.target, 2*l.base)
	switch {
	case rows <= 1: // says nothing about joining
	case within && rows >= l.rows():
		l.now = min(l.now+limitStep, float64(l.max))
	case !within && 2*rows > l.rows(): // a small one was slow for another reason
		l.now = max(l.now*0.9, 1)
	}
}
