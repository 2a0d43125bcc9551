package score

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

const (
	stable   = 10 * time.Second // a worker that lived so long is replaced at once
	shortest = 100 * time.Millisecond
	longest  = 30 * time.Second
	lookTime = time.Second     // between two looks at a worker's memory
	stopTime = 5 * time.Second // for what is under way when a worker is stopped
)

// Run keeps the configured number of workers running until ctx is done; then
// it lets each finish what it was sent, stops them and returns nil.
//
// A worker that ends is replaced, at once when it had lived a while, otherwise
// after a delay that doubles from 100 ms to 30 s. When one cannot start while no
// other is ready, Run gives up and returns the *worker.StartError: whoever
// supervises the process starts it again, and its log ends with the cause.
func (f *Front) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var keepers sync.WaitGroup
	for range f.c.Workers {
		keepers.Go(func() {
			if err := f.keep(ctx, &keepers); err != nil {
				cancel(err)
			}
		})
	}
	keepers.Wait()
	err := context.Cause(ctx)
	var start *worker.StartError
	if !errors.As(err, &start) {
		err = nil
	}
	f.close()
	return err
}

// close answers everyone who waits, and all who come.
func (f *Front) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.native.Store(nil)
	f.closed = &exchange.Failure{Reason: exchange.Stopped, Message: "The scorer has stopped.", RetryAfter: time.Second}
	fail(f.waiting, f.closed)
	f.waiting, f.rows = nil, 0
	if f.timer != nil {
		f.timer.Stop()
	}
	close(f.down)
}

// keep keeps one worker running. Its error means that there is none left.
func (f *Front) keep(ctx context.Context, others *sync.WaitGroup) error {
	delay := shortest
	for first := true; ; first = false {
		l, err := f.start(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if f.failed(err) == 0 {
				return err
			}
			f.c.Log.Error("worker did not start", "error", err, "next_try", delay)
		} else {
			if !first {
				f.count(func(s *Stats) { s.Restarts++ })
			}
			began := time.Now()
			if f.tend(ctx, l, others); ctx.Err() != nil {
				return nil
			}
			if time.Since(began) > stable {
				delay = shortest
				continue
			}
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil
		}
		delay = min(2*delay, longest)
	}
}

func (f *Front) count(change func(*Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.stats)
}

// failed notes why a worker did not start and returns how many are ready.
func (f *Front) failed(err error) int {
	n := f.Stats().Workers
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = err
	return n
}

// start starts a worker and opens a lane to it.
func (f *Front) start(ctx context.Context) (*lane, error) {
	limit, cancel := context.WithTimeout(ctx, f.c.StartTimeout)
	defer cancel()
	l := &lane{worn: make(chan struct{}, 1)}
	tried := make(chan worker.Predicted, 1)
	p, err := f.c.start(limit, f.c.Worker, func(a worker.Answer) {
		if a.ID == trialID {
			tried <- a.Predicted
			return
		}
		f.answered(l, a)
	})
	if err != nil {
		return nil, err
	}
	native := f.try(limit, p, tried)
	if ctx.Err() != nil { // stopped at the last moment
		p.Kill()
		return nil, ctx.Err()
	}
	hello := p.Hello()
	l.process, l.hello = p, &hello
	f.c.Log.Info("worker ready", "pid", hello.PID, "python", hello.Python, "seconds", hello.Seconds)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lanes = append(f.lanes, l)
	if f.model.CompareAndSwap(nil, &hello.Model) {
		f.native.Store(native)
		f.joins = hello.Joins && !f.c.Unjoined
		f.misled()
		close(f.up)
	} else if had := f.native.Load(); had != nil && !reflect.DeepEqual(had.from, hello.Linear) {
		f.c.Log.Warn("the model's numbers are not what they were when the scorer started: from now on it is asked for every answer", "pid", hello.PID)
		f.native.Store(nil)
	}
	go f.resume()
	return l, nil
}

// misled refuses those who asked before it was known what they ask.
func (f *Front) misled() {
	f.waiting = slices.DeleteFunc(f.waiting, func(j *job) bool {
		if f.fits(j) {
			return false
		}
		f.rows -= j.rows
		fail([]*job{j}, &exchange.Failure{Reason: exchange.Stopped, RetryAfter: time.Second, Message: "The model has only just become ready. Ask again."})
		return true
	})
}

// fits reports whether a job is one for what the workers run, or whether that
// is not known yet: a worker takes the wrong frame for the end of all sense.
func (f *Front) fits(j *job) bool {
	m := f.model.Load()
	return m == nil || (m.Kind == worker.KindModel) == (j.request == nil)
}

// tend waits for the end of a lane's worker, or of ctx. A worker that is worn
// out is followed by another without anybody noticing: the new one is ready before
// the old one gets its last request.
func (f *Front) tend(ctx context.Context, l *lane, others *sync.WaitGroup) {
	type started struct {
		lane *lane
		err  error
	}
	look := time.NewTicker(lookTime)
	defer look.Stop()
	var successor chan started
	var patience time.Time // until when a successor that did not start is not tried again
	for {
		select {
		case <-ctx.Done():
			f.retire(ctx, l)
			if successor != nil {
				if s := <-successor; s.lane != nil {
					f.retire(ctx, s.lane)
				}
			}
			return
		case <-l.Done():
			f.ended(l)
			if successor == nil {
				return
			}
			s := <-successor
			if s.lane == nil {
				return
			}
			l, successor = s.lane, nil
		case s := <-successor:
			successor = nil
			if s.err != nil {
				if ctx.Err() == nil {
					f.c.Log.Error("the worker that should replace a worn one did not start; the old one goes on", "error", s.err, "next_try", longest)
				}
				patience = time.Now().Add(longest)
				continue
			}
			f.count(func(s *Stats) { s.Recycled++ })
			old := l
			others.Go(func() { f.retire(ctx, old) })
			l = s.lane
		case <-l.worn:
		case <-look.C:
		}
		if successor != nil || time.Now().Before(patience) {
			continue
		}
		if why := f.worn(l); why != "" {
			f.c.Log.Info("worker is being replaced", "pid", l.hello.PID, "reason", why)
			next := make(chan started, 1)
			successor = next
			others.Go(func() {
				lane, err := f.start(ctx)
				next <- started{lane, err}
			})
		}
	}
}

// worn says why a worker should be replaced; empty when it should not.
func (f *Front) worn(l *lane) string {
	f.mu.Lock()
	answered := l.answered
	f.mu.Unlock()
	if most := f.c.MaxRequests; most > 0 && answered >= most {
		return fmt.Sprintf("it has answered %d requests (RIDGELINE_MAX_REQUESTS is %d)", answered, most)
	}
	if most := f.c.MaxMemory; most > 0 && answered > 0 {
		if has := resident(l.hello.PID); has > most {
			return fmt.Sprintf("it has %d MB of memory (RIDGELINE_MAX_MEMORY is %d MB)", has>>20, most>>20)
		}
	}
	return ""
}

// resident is the bytes of a process that are in memory; 0 where nobody knows
// (proc_pid_statm(5): the second number, in pages).
func resident(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// retire gives a worker nothing more, waits until it has answered what it has,
// and ends it. At the end of ctx it has little time left.
func (f *Front) retire(ctx context.Context, l *lane) {
	f.mu.Lock()
	l.closed = true
	empty := make(chan struct{})
	if len(l.flight) == 0 {
		close(empty)
	} else {
		l.empty = empty
	}
	f.mu.Unlock()
	select {
	case <-empty:
	case <-l.Done(): // what hangs is killed at its deadline
	case <-ctx.Done(): // Stop lets it answer, too, but not for long
	}
	stop, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	l.Stop(stop)
	<-l.Done()
	f.bury(l)
}

// ended takes note of a worker that has ended by itself.
func (f *Front) ended(l *lane) {
	f.c.Log.Error("worker ended", "pid", l.hello.PID, "error", l.Err())
	f.mu.Lock()
	f.trouble = l.Err()
	f.deaths++
	f.mu.Unlock()
	f.bury(l)
}
