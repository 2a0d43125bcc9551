package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// chunk is how much of a log goes to the sink at a time.
const chunk = 256 << 10

// usedEvery is how often it is told, at most, what a task uses.
const usedEvery = 10 * time.Second

// A LogSink keeps the logs of tasks for good.
type LogSink interface {
	// Append adds p to the log of name, whose size is offset before.
	Append(ctx context.Context, name string, offset int64, p []byte) error
	// Size is how much of the log of name is there; 0 when nothing is.
	Size(ctx context.Context, name string) (int64, error)
	// Remove forgets the log of name. Absent is success.
	Remove(ctx context.Context, name string) error
}

// Follow says what to look at while a task runs.
type Follow struct {
	Logs      LogSink                                 // where the log goes; nil for nowhere
	Cancelled func(ctx context.Context) (bool, error) // whether somebody wants the task to end; nil for never
	Poll      time.Duration                           // how often both are looked at; 0 means 1 s
	Waits     func(ctx context.Context, why string)   // told what a task that has not begun waits for, when that changes; nil for nobody
	Secrets   func(ctx context.Context) []string      // what the log shows as asterisks, asked for once; nil for nothing
	// Used is told what a running task uses, when that is known to have gone on,
	// and each usedEvery at most; nil for nobody.
	Used func(ctx context.Context, course ridgeline.Course)
}

// Run takes a task to its end: it ensures it, ships its log as it comes and
// kills it when it is cancelled. Called again after a crash it goes on where
// the log's sink was; a task that went with the machine it was on begins anew,
// and its log too. The caller decides about a task that is Lost, and removes it
// when its end is written down.
//
// A host that cannot be reached now (Unavailable) is asked again for as long as
// nobody cancels the task: what runs there goes on meanwhile. When somebody
// does, the task is reported as Killed, and what is left of it there is to be
// removed when that can be.
//
// When ctx is done it returns ctx.Err() and leaves the task alone. A log that
// could not be shipped whole is an error beside the end that the task came to;
// Run again ships the rest. A task that was cancelled before anybody ensured
// it is not started and reported as Ended and Killed.
func Run(ctx context.Context, tasks Tasks, t Task, f Follow) (TaskState, error) {
	if f.Poll <= 0 {
		f.Poll = time.Second
	}
	cancelled := func() bool {
		if f.Cancelled == nil {
			return false
		}
		yes, err := f.Cancelled(ctx)
		return yes && err == nil // who cannot be asked now is asked again
	}
	tell := teller{to: f.Waits, course: f.Used}
	patiently := func(do func() (TaskState, error)) (TaskState, error) {
		for {
			st, err := do()
			if ridgeline.CodeOf(err) != ridgeline.Unavailable {
				return st, err
			}
			if cancelled() {
				return unreached(err), nil
			}
			tell.waits(ctx, err.Error())
			select {
			case <-ctx.Done():
				return TaskState{}, ctx.Err()
			case <-time.After(f.Poll):
			}
		}
	}
	if st, err := patiently(func() (TaskState, error) { return begin(ctx, tasks, t, f.Logs, cancelled) }); err != nil || st.Phase == Ended {
		return st, err
	}

	type result struct {
		state TaskState
		err   error
	}
	ended := make(chan result, 1)
	watch, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		st, err := patiently(func() (TaskState, error) { return tasks.Wait(watch, t.Name) })
		ended <- result{st, err}
	}()
	ship := shipper{tasks: tasks, name: t.Name, sink: f.Logs, offset: -1}
	if f.Secrets != nil {
		ship.mask = newMasker(f.Secrets(ctx))
	}
	var killing chan error // a kill may take its grace; the log goes on meanwhile
	tick := time.NewTicker(f.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return TaskState{}, ctx.Err()
		case r := <-ended:
			if r.err != nil {
				return TaskState{}, fmt.Errorf("wait for task %s: %w", t.Name, r.err)
			}
			err := ship.all(ctx, true)
			if err != nil && ctx.Err() == nil {
				err = ship.all(ctx, true) // once more: there is no later round to make up for it
			}
			if ctx.Err() != nil {
				return TaskState{}, ctx.Err()
			}
			return r.state, err
		case err := <-killing: // an error shows as a task that goes on: ask again
			if killing = nil; ridgeline.CodeOf(err) == ridgeline.Unavailable {
				return unreached(err), nil
			}
		case <-tick.C:
			_ = ship.all(ctx, false) // what does not go now goes with the next round
			if f.Waits != nil || f.Used != nil {
				if st, err := tasks.Observe(ctx, t.Name); err == nil && (st.Phase == Pending || st.Phase == Running) {
					tell.waits(ctx, st.Message)
					tell.used(ctx, st.Course)
				}
			}
			if killing == nil && cancelled() {
				killing = make(chan error, 1)
				go func(done chan<- error) { done <- tasks.Kill(watch, t.Name) }(killing)
			}
		}
	}
}

// begin ensures the task, unless it is new and not wanted any more: then it is
// Ended. In every other case the state says nothing.
func begin(ctx context.Context, tasks Tasks, t Task, logs LogSink, cancelled func() bool) (TaskState, error) {
	st, err := tasks.Observe(ctx, t.Name)
	if err != nil {
		return TaskState{}, err
	}
	if st.Phase == Absent && cancelled() {
		now := time.Now()
		return TaskState{Phase: Ended, Reason: Killed, Message: "cancelled before it began", Started: now, Ended: now}, nil
	}
	if st.Phase == Absent && logs != nil {
		if err := logs.Remove(ctx, t.Name); err != nil {
			return TaskState{}, err
		}
	}
	if err := tasks.Ensure(ctx, t); err != nil {
		return TaskState{}, fmt.Errorf("start task %s: %w", t.Name, err)
	}
	return TaskState{}, nil
}

// unreached is the end of a task that was cancelled while its host was away.
func unreached(err error) TaskState {
	now := time.Now()
	return TaskState{Phase: Ended, Reason: Killed, Message: "cancelled while its host could not be reached: " + err.Error(), Started: now, Ended: now}
}

// A teller says what a task waits for, and what it uses, when that changes.
type teller struct {
	to   func(ctx context.Context, why string)
	mu   sync.Mutex
	last string

	course func(ctx context.Context, course ridgeline.Course)
	length float64   // of the course that was told
	told   time.Time // when
}

// used is called by one goroutine alone.
func (t *teller) used(ctx context.Context, c ridgeline.Course) {
	if t.course == nil || !c.Worth() || c.Length() <= t.length || time.Since(t.told) < usedEvery {
		return
	}
	t.length, t.told = c.Length(), time.Now()
	t.course(ctx, c)
}

func (t *teller) waits(ctx context.Context, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.to != nil && why != t.last {
		t.last = why
		t.to(ctx, why)
	}
}

// shipper copies a task's log to its sink.
type shipper struct {
	tasks  Tasks
	name   string
	sink   LogSink
	offset int64 // -1: ask the sink
	mask   *masker
}

// all ships what there is now; ended says that no more will come.
func (s *shipper) all(ctx context.Context, ended bool) (err error) {
	if s.sink == nil {
		return nil
	}
	defer func() {
		if err != nil {
			s.offset = -1 // who knows how much of it arrived
			err = fmt.Errorf("ship the log of task %s: %w", s.name, err)
		}
	}()
	if s.offset < 0 {
		if s.offset, err = s.sink.Size(ctx, s.name); err != nil {
			return err
		}
	}
	log, err := s.tasks.Log(ctx, s.name, s.offset)
	if err != nil {
		return err
	}
	defer log.Close()
	buf, held := make([]byte, chunk), 0
	for {
		n, err := io.ReadFull(log, buf[held:])
		now := err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)
		p := buf[:held+n]
		if ready := s.mask.mask(p, ended && now); ready > 0 {
			if err := s.sink.Append(ctx, s.name, s.offset, p[:ready]); err != nil {
				return err
			}
			s.offset += int64(ready)
			p = p[ready:]
		}
		held = copy(buf, p)
		if now {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
