package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// turn waits for the run's turn: runs of a project go one after the other, as
// two challengers judged at once against one champion could both be promoted,
// the worse one last. It returns the run as it then is, which has ended when it
// was cancelled or superseded while it waited.
func (r *Runner) turn(ctx context.Context, id ridgeline.RunID) (passage, error) {
	for {
		rung := r.ended.next() // before the look, so that no end falls between
		run, err := r.Store.TakeTurn(ctx, id, time.Now().UTC())
		if err != nil {
			return passage{}, err
		}
		if run.Status == ridgeline.Queued && run.CancelRequested {
			if err := r.Store.FinishRun(ctx, id, ridgeline.Cancelled, "cancelled", time.Now().UTC()); err != nil {
				return passage{}, err
			}
			continue
		}
		if run.Status != ridgeline.Queued {
			pipe, err := r.Store.Pipeline(ctx, run.Project, run.Pipeline)
			return passage{Run: run, Pipeline: pipe}, err
		}
		select {
		case <-ctx.Done():
			return passage{}, ctx.Err()
		case <-rung:
		case <-time.After(time.Second): // one that ended on another server, or was asked to
		}
	}
}

// A bell wakes all who wait for its next ring.
type bell struct {
	mu   sync.Mutex
	ring chan struct{}
}

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ring == nil {
		b.ring = make(chan struct{})
	}
	return b.ring
}

func (b *bell) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ring != nil {
		close(b.ring)
		b.ring = nil
	}
}
