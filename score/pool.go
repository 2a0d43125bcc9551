package score

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// pool lends workers to requests, one request each, in order of arrival.
type pool struct {
	limit int // requests that may wait

	mu      sync.Mutex
	idle    []*worker.Worker
	waiting []chan *worker.Worker // each takes one worker, or is closed with the pool
	closed  error
}

// take returns a worker that is the caller's until he gives it back. It is
// an *exchange.Failure when too many wait already or the pool is closed, and
// ctx's error when that ends first.
func (p *pool) take(ctx context.Context) (*worker.Worker, error) {
	p.mu.Lock()
	if p.closed != nil {
		p.mu.Unlock()
		return nil, p.closed
	}
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return w, nil
	}
	if len(p.waiting) >= p.limit {
		p.mu.Unlock()
		return nil, &exchange.Failure{Reason: exchange.Shed, RetryAfter: time.Second,
			Message: fmt.Sprintf("%d requests wait for a worker already. Try again later, or raise RIDGELINE_WORKERS or the number of replicas.", p.limit)}
	}
	turn := make(chan *worker.Worker, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()

	select {
	case w, ok := <-turn:
		if !ok {
			return nil, p.closed // written before the close
		}
		return w, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	if i := slices.Index(p.waiting, turn); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	select { // it may have been our turn at the same moment
	case w, ok := <-turn:
		if ok {
			p.give(w)
		}
	default:
	}
	return nil, ctx.Err()
}

// give makes a worker available: a new one, or one that was taken. A broken
// one is forgotten.
func (p *pool) give(w *worker.Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !w.Healthy():
	case len(p.waiting) > 0:
		p.waiting[0] <- w
		p.waiting = slices.Delete(p.waiting, 0, 1)
	default:
		p.idle = append(p.idle, w)
	}
}

// forget drops a worker that ended while it was idle.
func (p *pool) forget(w *worker.Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.idle, w); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
}

// close answers everyone who waits, and all who come, with err.
func (p *pool) close(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return
	}
	p.closed = err
	for _, turn := range p.waiting {
		close(turn)
	}
	p.waiting, p.idle = nil, nil
}

func (p *pool) load() (idle, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle), len(p.waiting)
}
