package pipeline

import (
	"context"
	"sync"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// atOnce is how many places of one run are made ready at the same time. The
// host's slots decide how many of them run; this bounds what lies on the disk
// for those that wait.
const atOnce = 64

// places bounds how much of a run is under way. What ran already when this
// server took the run up keeps its place.
type places struct {
	once  sync.Once
	err   error
	begun map[string]bool // names of nodes that have their place
	whole chan struct{}
	of    map[string]chan struct{} // by the name of a step with a bound of its own
}

// open gives those their places that have begun before a crash.
func (p *places) open(ctx context.Context, s *store.Store, run ridgeline.RunID, nodes []node) error {
	p.once.Do(func() {
		p.begun, p.whole, p.of = map[string]bool{}, make(chan struct{}, atOnce), map[string]chan struct{}{}
		rows, err := s.Steps(ctx, run)
		if err != nil {
			p.err = err
			return
		}
		for _, row := range rows {
			p.begun[row.Name] = len(row.Attempts) > 0 && !row.Status.Terminal()
		}
		for _, n := range nodes {
			if s := n.Step.Sweep; s != nil && s.Parallel > 0 && p.of[n.Step.Name] == nil {
				p.of[n.Step.Name] = make(chan struct{}, s.Parallel)
			}
			for _, c := range p.wanted(n) {
				if p.begun[n.Name] {
					c <- struct{}{} // as many as could begin then find a place now
				}
			}
		}
	})
	return p.err
}

// wanted are the bounds that a node keeps, the narrower one first.
func (p *places) wanted(n node) []chan struct{} {
	if own := p.of[n.Step.Name]; own != nil {
		return []chan struct{}{own, p.whole}
	}
	return []chan struct{}{p.whole}
}

// take waits for a place; done gives it back.
func (p *places) take(ctx context.Context, n node) (done func(), err error) {
	var held []chan struct{}
	done = func() {
		for _, c := range held {
			<-c
		}
	}
	for _, c := range p.wanted(n) {
		if !p.begun[n.Name] {
			select {
			case c <- struct{}{}:
			case <-ctx.Done():
				done()
				return nil, ctx.Err()
			}
		}
		held = append(held, c)
	}
	return done, nil
}
