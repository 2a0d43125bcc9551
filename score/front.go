// Package score answers scoring requests: it keeps Python workers alive, lends
// one to each request, and speaks the HTTP contract of Azure ML's inference
// server (routes, statuses, messages, headers).
//
// Running the script is package worker's part; who may call, and which version
// answers, is decided by whoever stands in front.
package score

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// A Front is a scorer without a listener. Run keeps its workers; Handler
// answers as long as Run does.
type Front struct {
	c        Config
	pool     pool
	draining atomic.Bool

	mu      sync.Mutex
	workers map[*worker.Worker]struct{} // ready, or not known to be dead yet
	was     bool                        // one has been ready
	trouble error                       // why the last worker that failed did
	deaths  int                         // ends of workers in a row, without an answer between
}

// New makes a Front.
func New(c Config) *Front {
	c = c.withDefaults()
	return &Front{c: c, pool: pool{limit: c.Queue}, workers: map[*worker.Worker]struct{}{}}
}

// Run keeps the configured number of workers running until ctx is done; then
// it lets each finish its request, stops them and returns nil.
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
			if err := f.keep(ctx); err != nil {
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
	f.pool.close(ridgeline.Errorf(ridgeline.Unavailable, "The scorer has stopped."))
	return err
}

// keep keeps one worker running. Its error means that there is none left.
func (f *Front) keep(ctx context.Context) error {
	const (
		stable   = 10 * time.Second
		shortest = 100 * time.Millisecond
		longest  = 30 * time.Second
	)
	delay := shortest
	for {
		w, err := f.start(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if f.add(nil, err) == 0 {
				return err
			}
			f.c.Log.Error("worker did not start", "error", err, "next_try", delay)
		} else {
			f.add(w, nil)
			f.pool.give(w)
			began := time.Now()
			select {
			case <-w.Done():
			case <-ctx.Done():
				stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				w.Stop(stop)
				cancel()
				f.remove(w)
				return nil
			}
			f.remove(w)
			f.c.Log.Error("worker ended", "error", w.Err())
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

func (f *Front) start(ctx context.Context) (*worker.Worker, error) {
	limit, cancel := context.WithTimeout(ctx, f.c.StartTimeout)
	defer cancel()
	w, err := worker.Start(limit, f.c.Worker)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // stopped at the last moment
		w.Kill()
		return nil, ctx.Err()
	}
	h := w.Hello()
	f.c.Log.Info("worker ready", "pid", h.PID, "python", h.Python, "seconds", h.Seconds)
	return w, nil
}

// add notes how a start went and returns how many workers are ready.
func (f *Front) add(w *worker.Worker, err error) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w != nil {
		f.workers[w] = struct{}{}
		f.was = true
	} else {
		f.trouble = err
	}
	return f.healthy()
}

func (f *Front) remove(w *worker.Worker) {
	f.pool.forget(w)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.workers, w)
	f.trouble = w.Err()
	f.deaths++
}

// healthy counts the workers that can answer; the caller holds f.mu.
func (f *Front) healthy() int {
	n := 0
	for w := range f.workers {
		if w.Healthy() {
			n++
		}
	}
	return n
}

// Ready counts the workers that can answer, and says why when there is none or
// the front is about to stop.
func (f *Front) Ready() (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.healthy()
	switch {
	case f.draining.Load():
		return n, errors.New("draining: the process is about to stop")
	case n > 0:
		return n, nil
	case f.trouble != nil:
		return 0, f.trouble
	}
	return 0, errors.New("starting: init() of the scoring script has not returned yet")
}

// Drain makes the front unready. It goes on answering.
func (f *Front) Drain() { f.draining.Store(true) }

// An outcome is what a request came to, before HTTP.
type outcome struct {
	worker.Response
	Code ridgeline.Code // of the error; empty when the worker answered
}

// score sends one request to a worker and always comes back with an answer.
// The wait for a free worker ends with ctx; a run() that began is waited for to
// its own deadline, because its worker is busy until then anyway.
func (f *Front) score(ctx context.Context, request worker.Request) outcome {
	queued, cancel := context.WithTimeout(ctx, f.c.Timeout)
	defer cancel()
	for {
		w, err := f.pool.take(queued)
		if err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				err = ridgeline.Errorf(ridgeline.Unavailable, "No worker became free within %d ms.", f.c.Timeout.Milliseconds())
			}
			return refused(err)
		}
		running, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.c.Timeout)
		response, err := w.Score(running, request)
		cancel()
		switch {
		case err == nil:
			f.pool.give(w)
			f.mu.Lock()
			f.deaths = 0
			f.mu.Unlock()
			if response.Status < 200 || response.Status > 599 {
				return refused(fmt.Errorf("run() answered with status %d, which HTTP cannot end a request with", response.Status))
			}
			return outcome{Response: response}
		case errors.Is(err, worker.ErrNotSent):
			continue // it died while it was idle: the next one has not seen this request either
		case errors.Is(err, context.DeadlineExceeded):
			go w.Abort() // it takes a moment to write its stack into the log; its keeper replaces it
			return failed(fmt.Sprintf("Scoring timeout after %d ms", f.c.Timeout.Milliseconds()), "")
		case w.Healthy(): // the request's own fault, such as its size
			f.pool.give(w)
			return refused(err)
		default:
			// Not 503: this request may be what killed it, and must not be sent to every other copy.
			return failed("The worker process ended while it ran this request. Check the logs for more info.", err.Error())
		}
	}
}

func failed(message, cause string) outcome {
	if cause == "" {
		cause = message
	}
	return outcome{Code: ridgeline.Internal, Response: worker.Response{Status: 500, Failed: true, Error: cause, Body: messageBody(message)}}
}

func refused(err error) outcome {
	code := ridgeline.CodeOf(err)
	message := "An unexpected internal error occurred. Check the logs for more info."
	if code != ridgeline.Internal {
		message = err.Error()
	}
	return outcome{Code: code, Response: worker.Response{Status: statusOf(code), Error: err.Error(), Body: messageBody(message)}}
}
