package score

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A client that leaves gives up its place in the queue.
func TestPool_leave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool{limit: 1}
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan error, 1)
		go func() { _, err := p.take(ctx); gone <- err }()
		synctest.Wait()
		if _, waiting := p.load(); waiting != 1 {
			t.Fatalf("%d wait", waiting)
		}
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, waiting := p.load(); waiting != 0 {
			t.Errorf("%d wait", waiting)
		}
	})
}
