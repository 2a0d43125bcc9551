// Package score has scoring requests answered: it keeps Python workers alive,
// gives them what waits, as many rows together as is good, and says why a request
// has no answer.
//
// Running a model is package worker's part. How requests and answers are
// spelled is that of the dialects (score/azureml and its neighbours), the
// listener score/serve's; who may call, and which version answers, is decided
// by whoever stands in front.
package score

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// A Front is a scorer without a listener. Run keeps its workers; Call and
// Predict answer as long as Run does.
//
// One lock guards the queue and what is under way. Nobody holds it while
// something is encoded, written or told.
type Front struct {
	c          Config
	runTimeout time.Duration // after which a worker hangs
	draining   atomic.Bool
	model      atomic.Pointer[worker.Model]
	native     atomic.Pointer[linear] // answers by itself; nil: workers do
	up         chan struct{}          // closed when the first worker is ready
	down       chan struct{}          // closed when Run is over
	jobs       sync.Pool              // *job

	mu      sync.Mutex
	waiting []*job // in the order in which they came
	rows    int    // of all that waits
	lanes   []*lane
	closed  *exchange.Failure // why nothing is taken any more
	joins   bool              // what waits may be answered together
	limit   limit
	pace    time.Duration // about how long a worker takes for a group
	timer   *time.Timer   // calls expire
	armed   time.Time     // when; zero: never
	trouble error         // why the last worker that failed did
	deaths  int           // ends of workers in a row, without an answer between
	stats   Stats
}

// A process is what a front needs of a worker; see worker.Worker.
type process interface {
	Hello() worker.Hello
	Send(*worker.Frames) error
	Healthy() bool
	Done() <-chan struct{}
	Err() error
	Stop(context.Context)
	Abort()
	Kill()
}

// New makes a Front.
func New(c Config) *Front {
	c = c.withDefaults()
	return &Front{
		c: c, runTimeout: hangs(c), limit: newLimit(c.BatchMax, c.BatchTarget),
		up: make(chan struct{}), down: make(chan struct{}),
	}
}

// hangs is how long a worker may be at one group. It is given the time to end
// a run() by itself, which spares it.
func hangs(c Config) time.Duration {
	const grace = 500 * time.Millisecond
	if c.RunTimeout == 0 {
		return c.Timeout
	}
	return min(c.Timeout, c.RunTimeout+grace)
}

// Stats are counters and gauges.
type Stats struct {
	Workers  int // that can answer
	Idle     int // of them, those with nothing to do
	Waiting  int // requests without a worker
	InFlight int // requests with one
	Limit    int // rows that are sent together at most; 0 when they are not joined

	Shed     uint64 // requests that were refused, or waited in vain
	Hung     uint64 // workers that were killed for it
	Restarts uint64 // workers that took the place of one that had ended
	Recycled uint64 // workers that took the place of one that was worn out
}

// Stats says how things are.
func (f *Front) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Waiting = len(f.waiting)
	if f.joins {
		s.Limit = f.limit.rows()
	}
	for _, l := range f.lanes {
		if l.closed || !l.Healthy() {
			continue
		}
		s.Workers++
		if len(l.flight) == 0 {
			s.Idle++
		}
		for _, g := range l.flight {
			s.InFlight += len(g.jobs) - g.next
		}
	}
	return s
}

// Load counts the workers without a request and the requests without a worker.
func (f *Front) Load() (idle, waiting int) {
	s := f.Stats()
	return s.Idle, s.Waiting
}

// Ready counts the workers that can answer, and says why when there is none or
// the front is about to stop.
func (f *Front) Ready() (int, error) {
	n := f.Stats().Workers
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.draining.Load():
		return n, errors.New("draining: the process is about to stop")
	case n > 0:
		return n, nil
	case f.trouble != nil:
		return 0, f.trouble
	}
	return 0, errors.New("starting: init() of the scoring script has not returned, or the model is not loaded yet")
}

// Drain makes the front unready. It goes on answering.
func (f *Front) Drain() { f.draining.Store(true) }

// Draining reports whether Drain was called.
func (f *Front) Draining() bool { return f.draining.Load() }

// Deaths counts the ends of workers in a row, without an answer between them,
// and says why the last one ended. Was reports whether one has ever been ready.
func (f *Front) Deaths() (deaths int, was bool, last error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.deaths, f.model.Load() != nil, f.trouble
}

// Model is what the first ready worker said of what it runs; false before.
func (f *Front) Model() (worker.Model, bool) {
	if m := f.model.Load(); m != nil {
		return *m, true
	}
	return worker.Model{}, false
}

// Await waits until a first worker has been ready. It is an *exchange.Failure
// when none will be.
func (f *Front) Await(ctx context.Context) error {
	select {
	case <-f.up:
		return nil
	case <-f.down:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.closed
	case <-ctx.Done():
		return ctx.Err()
	}
}
