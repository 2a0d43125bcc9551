package score

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// enqueue takes a job in, and gives it to a worker at once when one is free:
// the caller's goroutine writes the frame itself.
func (f *Front) enqueue(j *job) *exchange.Failure {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil {
		return f.closed
	}
	if !f.fits(j) {
		return broken(errors.New("a script was sent tensors, or a model a script's request"))
	}
	if failure := f.refuse(); failure != nil {
		f.stats.Shed++
		return failure
	}
	j.deadline = now.Add(f.c.Timeout)
	f.arm(j.deadline)
	f.waiting = append(f.waiting, j)
	f.rows += j.rows
	f.pump(nil, nil, now)
	return nil
}

// refuse says why one more request cannot wait; nil when it can, or need not.
func (f *Front) refuse() *exchange.Failure {
	if len(f.waiting) == 0 {
		return nil
	}
	wait := f.expected()
	switch {
	case len(f.waiting) >= f.c.Queue:
		return &exchange.Failure{Reason: exchange.Shed, RetryAfter: max(wait/2, time.Second), Message: fmt.Sprintf(
			"%d requests wait for a worker already. Try again later, or raise RIDGELINE_WORKERS or the number of replicas.", len(f.waiting))}
	case wait > f.c.QueueTime:
		return &exchange.Failure{Reason: exchange.Shed, RetryAfter: max(wait-f.c.QueueTime, time.Second), Message: fmt.Sprintf(
			"This request would wait for about %d ms, and at most %d ms make sense. Try again later, or raise RIDGELINE_WORKERS or the number of replicas.",
			wait.Milliseconds(), f.c.QueueTime.Milliseconds())}
	}
	return nil
}

// expected is about how long a request that comes now would wait for a worker.
func (f *Front) expected() time.Duration {
	groups, lanes := len(f.waiting), 0
	if f.joins {
		groups = (f.rows + f.limit.rows() - 1) / f.limit.rows()
	}
	for _, l := range f.lanes {
		if !l.closed {
			groups += len(l.flight)
			lanes++
		}
	}
	if lanes == 0 {
		return 0 // nobody knows how long a start takes: the deadline decides
	}
	return time.Duration(groups) * f.pace / time.Duration(lanes)
}

// free is an open lane that can take something now: one without anything, else
// the one with the least.
func (f *Front) free() *lane {
	var best *lane
	for _, l := range f.lanes {
		if l.closed || l.sending || f.room(l) <= 0 {
			continue
		}
		if best == nil || len(l.flight) < len(best.flight) {
			best = l
		}
	}
	return best
}

// pump sends what waits to lanes that are free, or to the one given. It is
// called with the lock, and returns with it; meanwhile it is open. What is done
// is told as late as it can be without waiting for the worker's next answer:
// first the worker gets its next rows, then those who have their answer take the
// processor away.
func (f *Front) pump(only *lane, done *outcomes, now time.Time) {
	for len(f.waiting) > 0 {
		l := only
		if l == nil {
			l = f.free()
		}
		if l == nil || l.closed || l.sending || f.room(l) <= 0 {
			return
		}
		groups := f.take(l, now)
		if len(groups) == 0 {
			return
		}
		l.sending = true
		f.mu.Unlock()
		err := f.send(l, groups, done)
		f.mu.Lock()
		l.sending = false
		if err == nil {
			for _, g := range groups {
				g.sent = true
			}
		} else {
			l.closed = true // its end is its keeper's to see
		}
		if l.lost != nil {
			f.inter(l)
		}
	}
}

func (f *Front) send(l *lane, groups []*group, done *outcomes) error {
	size := 0
	for _, g := range groups {
		if err := l.encode(g); err != nil {
			return err
		}
		size += g.bytes
	}
	if size > buffered {
		done.tell()
	}
	err := l.Send(&l.frames)
	l.frames.Reset()
	return err
}

// again has jobs wait for a worker once more, before all others.
func (f *Front) again(jobs []*job) {
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.ended })
	for _, j := range jobs {
		j.sent = time.Time{}
		f.rows += j.rows
	}
	f.waiting = slices.Insert(f.waiting, 0, jobs...)
}

// answered is what a lane's worker calls with each answer.
func (f *Front) answered(l *lane, a worker.Answer) {
	now := time.Now()
	f.mu.Lock()
	if l.dropped { // too late
		f.mu.Unlock()
		return
	}
	ended, whole, err := l.pop(a)
	if err != nil {
		l.closed, l.dropped = true, true
		f.mu.Unlock()
		f.c.Log.Error("worker talks nonsense", "pid", l.hello.PID, "error", err)
		go l.Kill()
		return
	}
	if l.answered += len(ended); f.c.MaxRequests > 0 && l.answered >= f.c.MaxRequests {
		l.look()
	}
	f.deaths = 0
	if whole != nil {
		f.learn(whole, now.Sub(l.since))
		l.since = now
		if len(l.flight) > 0 {
			f.arm(now.Add(f.runTimeout))
		}
	}
	done := &outcomes{answer: a}
	if f.repeat(ended, a.Predicted) {
		go f.resume()
	} else {
		for _, j := range ended {
			if !j.ended {
				j.ended = true
				done.jobs = append(done.jobs, j)
			} else {
				done.jobs = append(done.jobs, nil) // its rows are in the answer all the same
			}
			done.rows = append(done.rows, j.rows)
		}
	}
	if whole != nil && f.joins {
		f.gather(l, len(whole.jobs))
	}
	f.pump(l, done, now)
	if l.closed && len(l.flight) == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
	f.mu.Unlock()
	done.tell()
}

const (
	crowd      = 4                // as many requests, answered together, have likely as many successors
	gatherTime = time.Millisecond // that these have to come
)

// gather leaves a lane that has just answered a crowd idle for a moment, until
// as many requests wait as were there before. Without it, under load, the worker
// would always run with the few that were first to come back, and most of a
// processor that all share would go into calls of predict() for a handful of
// rows. Fewer than a crowd never wait.
func (f *Front) gather(l *lane, answered int) {
	l.gathers = 0
	if answered < crowd || len(f.lanes) > 1 && f.free() != nil {
		return
	}
	l.gathers = answered + len(f.waiting)
	if l.timer == nil {
		l.timer = time.AfterFunc(gatherTime, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			l.gathers = 0
			f.pump(l, nil, time.Now())
		})
	} else {
		l.timer.Reset(gatherTime)
	}
}

// repeat has each of several jobs answered by itself when the model failed on
// all of them, or when nobody can say whose its answers are.
func (f *Front) repeat(together []*job, p worker.Predicted) bool {
	if len(together) < 2 {
		return false
	}
	if p.Reason == "" {
		rows := 0
		for _, j := range together {
			rows += j.rows
		}
		if rows == p.Output.Rows {
			return false
		}
		f.joins = false
		f.c.Log.Warn("the model's answer to several requests does not have a row for each of theirs: from now on each is answered by itself",
			"rows", rows, "answered", p.Output.Rows)
	}
	for _, j := range together {
		j.alone = true
	}
	f.again(together)
	return true
}

// learn takes in how long a worker took for a group.
func (f *Front) learn(g *group, took time.Duration) {
	if f.joins {
		f.limit.learn(g.rows, took)
	}
	if f.pace == 0 {
		f.pace = took
	} else {
		f.pace += (took - f.pace) / 8
	}
}

// outcomes are jobs whose answer has come.
type outcomes struct {
	answer worker.Answer
	jobs   []*job
	rows   []int
	told   bool
}

// tell gives them their answers.
func (o *outcomes) tell() {
	if o == nil || o.told {
		return
	}
	o.told = true
	if len(o.jobs) == 0 {
		return
	}
	var parts []tensor.Batch
	if len(o.jobs) > 1 {
		parts = o.answer.Predicted.Output.Split(o.rows)
	}
	for i, j := range o.jobs {
		if j == nil {
			continue
		}
		j.response, j.predicted = o.answer.Response, o.answer.Predicted
		if parts != nil {
			j.predicted.Output = parts[i]
		}
		j.done <- struct{}{}
	}
}

// fail ends jobs without an answer. It needs the lock.
func fail(jobs []*job, why *exchange.Failure) {
	for _, j := range jobs {
		if !j.ended {
			j.ended, j.failure = true, why
			j.done <- struct{}{}
		}
	}
}

// leave forgets a job whose caller does not wait any more, and reports
// whether it did: not when it has its outcome, nor, where it has begun, for a
// caller who only may have left.
func (f *Front) leave(j *job, maybe bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if j.ended || maybe && !slices.Contains(f.waiting, j) {
		return false
	}
	j.ended = true
	if i := slices.Index(f.waiting, j); i >= 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
		f.rows -= j.rows
	}
	return true
}

// arm has expire called no later than at.
func (f *Front) arm(at time.Time) {
	if !f.armed.IsZero() && !at.Before(f.armed) {
		return
	}
	f.armed = at
	if f.timer == nil {
		f.timer = time.AfterFunc(time.Until(at), f.expire)
	} else {
		f.timer.Reset(time.Until(at))
	}
}

// expire ends what is past its deadline, and workers that hang.
func (f *Front) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.armed = time.Time{}
	next := time.Time{}
	soonest := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	f.waiting = slices.DeleteFunc(f.waiting, func(j *job) bool {
		if j.deadline.After(now) {
			soonest(j.deadline)
			return false
		}
		f.rows -= j.rows
		f.stats.Shed++
		fail([]*job{j}, &exchange.Failure{Reason: exchange.Shed, RetryAfter: max(f.expected(), time.Second),
			Message: fmt.Sprintf("No worker became free within %d ms.", f.c.Timeout.Milliseconds())})
		return true
	})
	for _, l := range f.lanes {
		hangs := len(l.flight) > 0 && !l.since.Add(f.runTimeout).After(now)
		if hangs {
			f.hung(l)
		}
		for _, g := range l.flight {
			for _, j := range g.jobs[g.next:] {
				if j.ended {
					continue
				}
				if !j.deadline.After(now) {
					fail([]*job{j}, f.tooLate(f.c.Timeout))
				} else {
					soonest(j.deadline)
				}
			}
		}
		if len(l.flight) > 0 && !hangs {
			soonest(l.since.Add(f.runTimeout))
		}
	}
	if !next.IsZero() {
		f.arm(next)
	}
	if len(f.waiting) > 0 {
		go f.resume() // not here: a write may have to wait, and deadlines do not
	}
}

// resume sends what waits to whoever is free.
func (f *Front) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pump(nil, nil, time.Now())
}

// hung gives a worker up that has been at the same group for too long. What is
// behind that group in its pipe has not begun, and never will.
func (f *Front) hung(l *lane) {
	l.closed, l.dropped = true, true
	head := l.flight[0]
	limit := f.c.Timeout
	if f.c.RunTimeout > 0 {
		limit = min(limit, f.c.RunTimeout)
	}
	fail(head.jobs[head.next:], f.tooLate(limit))
	f.stats.Hung++
	go l.Abort() // it takes a moment to write its stack into the log; its keeper replaces it
	for n := len(l.flight) - 1; n > 0; n-- {
		f.again(l.flight[n].jobs)
	}
	l.flight = l.flight[:0]
}

func (f *Front) tooLate(limit time.Duration) *exchange.Failure {
	return &exchange.Failure{Reason: exchange.Timeout, Message: fmt.Sprintf("Scoring timeout after %d ms", limit.Milliseconds())}
}

// bury ends what was under way to a worker that is gone.
func (f *Front) bury(l *lane) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.closed, l.dropped, l.lost = true, true, l.Err()
	f.lanes = slices.DeleteFunc(f.lanes, func(other *lane) bool { return other == l })
	if !l.sending { // else whoever sends knows in a moment how far he got
		f.inter(l)
	}
}

func (f *Front) inter(l *lane) {
	for n := len(l.flight) - 1; n >= 0; n-- {
		g := l.flight[n]
		if n > 0 || !g.sent {
			f.again(g.jobs[g.next:]) // it has not begun
			continue
		}
		// Not Shed: this request may be what killed it, and must not be sent to every other copy.
		fail(g.jobs[g.next:], &exchange.Failure{Reason: exchange.Died, Cause: l.lost.Error(),
			Message: "The worker process ended while it ran this request. Check the logs for more info."})
	}
	l.flight, l.lost = nil, nil
	if len(f.waiting) > 0 {
		go f.resume()
	}
}
