// Package score has scoring requests answered: it keeps Python workers alive,
// lends them to requests, and says why one has no answer.
//
// Running a model is package worker's part. How requests and answers are
// spelled is that of the dialects (score/azureml and its neighbours), the
// listener score/serve's; who may call, and which version answers, is decided
// by whoever stands in front.
package score

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// A Front is a scorer without a listener. Run keeps its workers; Handler
// answers as long as Run does.
type Front struct {
	c        Config
	pool     pool
	draining atomic.Bool
	model    atomic.Pointer[worker.Model]

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
	f.pool.close(&exchange.Failure{Reason: exchange.Stopped, Message: "The scorer has stopped.", RetryAfter: time.Second})
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
	f.model.CompareAndSwap(nil, &h.Model)
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
	return 0, errors.New("starting: init() of the scoring script has not returned, or the model is not loaded yet")
}

// Drain makes the front unready. It goes on answering.
func (f *Front) Drain() { f.draining.Store(true) }

// Draining reports whether Drain was called.
func (f *Front) Draining() bool { return f.draining.Load() }

// Deaths counts the ends of workers in a row, without an answer between them,
// and says why the last one ended. Was reports whether one has ever been ready.
func (f *Front) Deaths() (deaths int, last error, was bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.deaths, f.trouble, f.was
}

// Load counts the workers without a request and the requests without a worker.
func (f *Front) Load() (idle, waiting int) { return f.pool.load() }

// Await waits until a worker can take a request.
func (f *Front) Await(ctx context.Context) error {
	w, err := f.pool.take(ctx)
	if err != nil {
		return err
	}
	f.pool.give(w)
	return nil
}

// Call sends one request to a scoring script. The wait for a free worker ends
// with ctx; a run() that began is waited for to its own deadline, because its
// worker is busy until then anyway. The error is an *exchange.Failure.
func (f *Front) Call(ctx context.Context, request worker.Request) (worker.Response, error) {
	var response worker.Response
	err := f.lend(ctx, func(ctx context.Context, w *worker.Worker) (err error) {
		response, err = w.Score(ctx, request)
		return err
	})
	if err != nil {
		return worker.Response{}, err
	}
	if response.Status < 200 || response.Status > 599 {
		return worker.Response{}, broken(fmt.Errorf("run() answered with status %d, which HTTP cannot end a request with", response.Status))
	}
	exchange.From(ctx).Model = time.Duration(response.Milliseconds * 1e6)
	return response, nil
}

// Predict has a model without a script answer some rows. The answer has as
// many. The error is an *exchange.Failure.
func (f *Front) Predict(ctx context.Context, input tensor.Batch) (tensor.Batch, error) {
	var answer worker.Predicted
	err := f.lend(ctx, func(ctx context.Context, w *worker.Worker) (err error) {
		answer, err = w.Predict(ctx, input)
		return err
	})
	if err != nil {
		return tensor.Batch{}, err
	}
	exchange.From(ctx).Model = time.Duration(answer.Milliseconds * 1e6)
	switch answer.Reason {
	case "":
		return answer.Output, nil
	case "invalid":
		return tensor.Batch{}, &exchange.Failure{Reason: exchange.Invalid, Message: answer.Error, Field: answer.Field}
	case "unusable":
		return tensor.Batch{}, &exchange.Failure{Reason: exchange.Unusable, Message: "The model's answer cannot be sent: " + answer.Error}
	}
	return tensor.Batch{}, &exchange.Failure{Reason: exchange.Raised, Cause: answer.Error,
		Message: "The model raised an exception. Check the logs for more info."}
}

// Model is what the first ready worker said of what it runs; false before.
func (f *Front) Model() (worker.Model, bool) {
	if m := f.model.Load(); m != nil {
		return *m, true
	}
	return worker.Model{}, false
}

func (f *Front) lend(ctx context.Context, run func(context.Context, *worker.Worker) error) error {
	x := exchange.From(ctx)
	began := time.Now()
	queued, cancel := context.WithTimeout(ctx, f.c.Timeout)
	defer cancel()
	for {
		w, err := f.pool.take(queued)
		if err != nil {
			return f.notBegun(ctx, err)
		}
		x.Queued, x.Worker, x.Batch = time.Since(began), w.Hello().PID, 1
		running, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.c.Timeout)
		err = run(running, w)
		cancel()
		switch {
		case err == nil:
			f.pool.give(w)
			f.mu.Lock()
			f.deaths = 0
			f.mu.Unlock()
			return nil
		case errors.Is(err, worker.ErrNotSent):
			continue // it died while it was idle: the next one has not seen this request either
		case errors.Is(err, context.DeadlineExceeded):
			go w.Abort() // it takes a moment to write its stack into the log; its keeper replaces it
			return &exchange.Failure{Reason: exchange.Timeout, Message: fmt.Sprintf("Scoring timeout after %d ms", f.c.Timeout.Milliseconds())}
		case w.Healthy(): // the request's own fault, such as its size
			f.pool.give(w)
			return broken(err)
		default:
			// Not Shed: this request may be what killed it, and must not be sent to every other copy.
			return &exchange.Failure{Reason: exchange.Died, Cause: err.Error(),
				Message: "The worker process ended while it ran this request. Check the logs for more info."}
		}
	}
}

// notBegun says why no worker took the request.
func (f *Front) notBegun(ctx context.Context, err error) *exchange.Failure {
	var known *exchange.Failure
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return &exchange.Failure{Reason: exchange.Shed, RetryAfter: time.Second,
			Message: fmt.Sprintf("No worker became free within %d ms.", f.c.Timeout.Milliseconds())}
	}
	return broken(err)
}

// broken is an error that is the request's own when it has a code, and ours
// when it has none.
func broken(err error) *exchange.Failure {
	if ridgeline.CodeOf(err) == ridgeline.Invalid {
		return &exchange.Failure{Reason: exchange.Invalid, Message: err.Error()}
	}
	return &exchange.Failure{Reason: exchange.Broken, Message: "An unexpected internal error occurred. Check the logs for more info.", Cause: err.Error()}
}
