package score

import (
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// A job is one request on its way. The first fields are its caller's; state
// and what decides it belong to the front's lock; the outcome to whoever ended it,
// until done.
type job struct {
	request  *worker.Request // for a script; nil for a model
	input    tensor.Batch    // for a model
	rows     int
	bytes    int
	deadline time.Time

	ended bool // it has, or is about to get, its outcome
	alone bool // not to be joined with others: it may be what made them fail

	response  worker.Response
	predicted worker.Predicted
	failure   *exchange.Failure
	sent      time.Time // zero: it never was
	together  int       // rows that were answered with it
	pid       int
	done      chan struct{} // holds one value once it has its outcome
}

func (f *Front) job() *job {
	if j, ok := f.jobs.Get().(*job); ok {
		return j
	}
	return &job{done: make(chan struct{}, 1)}
}

// release lets others have the job. Only its caller may, and only one that a
// worker has answered: in other ends, the front may not have forgotten it.
func (f *Front) release(j *job) {
	*j = job{done: j.done}
	f.jobs.Put(j)
}

// A group is what a worker is asked to do as one: one frame with the rows of
// several jobs, or a frame for each of several requests.
type group struct {
	id    uint64 // of its first frame
	jobs  []*job
	next  int // the first job without an answer
	rows  int
	bytes int
	sent  bool // whole
	one   bool // frame, and answer, for all; jobs that have their answer are not to be asked: they may be others' by now
}

// A lane is one worker and what is under way to it. It is the front lock's.
type lane struct {
	process
	hello    *worker.Hello
	flight   []*group  // in the order in which they are answered
	bytes    int       // of all groups in flight
	since    time.Time // when the first of them began
	lastID   uint64
	answered int           // requests
	sending  bool          // somebody writes to it: nobody else may
	closed   bool          // takes no more
	dropped  bool          // what it says does not count any more
	lost     error         // how it ended, until what was under way has been seen to
	gathers  int           // requests that have to wait before it takes them; see gather
	timer    *time.Timer   // ends that
	worn     chan struct{} // its keeper shall look whether it is
	empty    chan struct{} // closed when nothing is under way; nil unless somebody waits for it
	frames   worker.Frames // of the sender
	batches  []tensor.Batch
}

const (
	// A script that is quick gets its next requests before it has answered, so
	// that it need not wait for them. Behind a slow one they might wait while
	// another worker is idle.
	pipelined = 4
	quick     = 5 * time.Millisecond
	// Bytes that a socket's buffer holds for certain: so much can be written to a
	// worker that is busy writing its own answer.
	buffered = 64 << 10
)

// take moves what a free lane is to do next from the queue into its flight.
// There may be nothing to do.
func (f *Front) take(l *lane, now time.Time) []*group {
	switch {
	case l.hello.Kind == worker.KindModel:
		return f.takeBatch(l, now)
	case f.joins:
		return f.takeRequests(l, now, f.limit.rows())
	}
	var groups []*group
	for n := f.room(l); n > 0 && len(f.waiting) > 0; n-- {
		if len(l.flight) > 0 && l.bytes+f.waiting[0].bytes > buffered {
			break
		}
		groups = append(groups, f.takeRequests(l, now, 1)...)
	}
	return groups
}

// room is how many more groups a lane may be given now.
func (f *Front) room(l *lane) int {
	switch {
	case f.joins || l.hello.Kind == worker.KindModel:
		if len(f.waiting) < l.gathers && f.rows < f.limit.rows() {
			return 0
		}
	case f.pace > 0 && f.pace < quick:
		if len(l.flight) > pipelined/2 { // several at once cost little more than one
			return 0
		}
		return pipelined - len(l.flight)
	}
	return 1 - len(l.flight)
}

// takeRequests makes one group of up to n requests.
func (f *Front) takeRequests(l *lane, now time.Time, n int) []*group {
	n = min(n, len(f.waiting))
	g := &group{jobs: make([]*job, n)}
	copy(g.jobs, f.waiting)
	clear(f.waiting[:n])
	f.waiting = append(f.waiting[:0], f.waiting[n:]...)
	for _, j := range g.jobs {
		g.rows, g.bytes = g.rows+1, g.bytes+j.bytes
	}
	return []*group{f.begin(l, g, now)}
}

// takeBatch makes one group of the first job and all that can be joined with
// it, up to the limit.
func (f *Front) takeBatch(l *lane, now time.Time) []*group {
	first := f.waiting[0]
	limit := f.limit.rows()
	if first.alone || !f.joins {
		limit = 0
	}
	g := &group{one: true, jobs: make([]*job, 0, min(len(f.waiting), max(limit, 1)))}
	left := f.waiting[:0]
	for i, j := range f.waiting {
		switch {
		case i == 0 || !j.alone && g.rows+j.rows <= limit && g.bytes+j.bytes <= joinedBytes && j.input.SameLayout(first.input):
			g.jobs, g.rows, g.bytes = append(g.jobs, j), g.rows+j.rows, g.bytes+j.bytes
		default:
			left = append(left, j)
		}
		if g.rows >= limit {
			left = append(left, f.waiting[i+1:]...)
			break
		}
	}
	clear(f.waiting[len(left):])
	f.waiting = left
	return []*group{f.begin(l, g, now)}
}

const joinedBytes = 64 << 20 // of one batch; a larger request goes by itself

func (f *Front) begin(l *lane, g *group, now time.Time) *group {
	g.id = l.lastID + 1
	l.lastID += uint64(len(g.jobs))
	for _, j := range g.jobs {
		j.sent, j.together, j.pid = now, g.rows, l.hello.PID
		f.rows -= j.rows
	}
	if len(l.flight) == 0 {
		l.since = now
		f.arm(now.Add(f.runTimeout))
	}
	l.flight = append(l.flight, g)
	l.bytes += g.bytes
	return g
}

// encode writes a group's frames. The error is that of a single job.
func (l *lane) encode(g *group) error {
	if g.one {
		l.batches = l.batches[:0]
		for _, j := range g.jobs {
			l.batches = append(l.batches, j.input)
		}
		err := l.frames.Predict(g.id, l.batches)
		clear(l.batches)
		return err
	}
	for i, j := range g.jobs {
		together := 0
		if i == 0 {
			together = len(g.jobs)
		}
		if err := l.frames.Request(g.id+uint64(i), *j.request, *l.hello, together); err != nil {
			return err
		}
	}
	return nil
}

// pop takes the job or jobs that an answer is for out of the lane's flight. It
// is an error when the answer is for none: nothing the worker says can be
// believed then.
func (l *lane) pop(a worker.Answer) (ended []*job, whole *group, err error) {
	if len(l.flight) == 0 {
		return nil, nil, fmt.Errorf("the worker answered frame %d, and none was under way", a.ID)
	}
	g := l.flight[0]
	if want := g.id + uint64(g.next); a.ID != want {
		return nil, nil, fmt.Errorf("the worker answered frame %d instead of %d", a.ID, want)
	}
	if g.one {
		ended, g.next = g.jobs, len(g.jobs)
	} else {
		ended = g.jobs[g.next : g.next+1]
		g.next++
	}
	if g.next < len(g.jobs) {
		return ended, nil, nil
	}
	copy(l.flight, l.flight[1:])
	l.flight[len(l.flight)-1] = nil
	l.flight = l.flight[:len(l.flight)-1]
	l.bytes -= g.bytes
	return ended, g, nil
}

// look has the lane's keeper look whether its worker is worn out.
func (l *lane) look() {
	select {
	case l.worn <- struct{}{}:
	default:
	}
}
