package flow

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/ridgeline-mlops/ridgeline"
)

// Results gives result and error of the place j of a graph, as they are on
// record. It may be asked only for what the asking place needs.
type Results[T any] func(j int) (T, error)

// Graph runs fn for each place i of needs, each as a step of its own, once the
// steps that it needs have ended: needs[i] are smaller places, and fn decides
// what their errors mean to i. It returns when all have ended: result and error
// of i at place i, both slices as long as needs.
//
// After a crash only those run again that had not ended, and they get what the
// others returned then. How many may run at once is for whatever they run on to
// say, or for fn.
func Graph[T any](c *Context, name string, needs [][]int, fn func(ctx context.Context, i int, of Results[T]) (T, error)) ([]T, []error) {
	results, errs := make([]T, len(needs)), make([]error, len(needs))
	leave, err := c.enter(name)
	if err == nil {
		err = ordered(name, needs)
	}
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return results, errs
	}
	defer leave()
	ended := make([]chan struct{}, len(needs))
	for i := range ended {
		ended[i] = make(chan struct{})
	}
	of := func(j int) (T, error) { return results[j], errs[j] }
	for i := range needs {
		each := fmt.Sprintf("%s-%d", name, i)
		// Go takes the step's number before it starts the goroutine, so the order
		// in which they begin and end does not matter: all are begun at once, and
		// one that needs others waits inside of its step.
		outcome, err := dbos.Go(c.dbos, step(c, each, func(ctx context.Context) (T, error) {
			for _, j := range needs[i] {
				select {
				case <-ended[j]:
				case <-ctx.Done():
					return *new(T), ctx.Err()
				}
				if Interrupted(errs[j]) {
					// There is no record of j, so there must be none of i.
					<-ctx.Done()
					return *new(T), ctx.Err()
				}
			}
			return fn(ctx, i, of)
		}), dbos.WithStepName(each))
		if err != nil {
			errs[i] = c.outcome(each, err)
			close(ended[i])
			continue
		}
		go func() {
			defer close(ended[i])
			results[i], errs[i] = await[T](c, each, needs[i], ended, errs, outcome)
		}()
	}
	for _, e := range ended {
		<-e
	}
	return results, errs
}

// await takes a step's outcome. A step that needs another which left no record
// never ends by itself: that other one's error is its own.
func await[T any](c *Context, name string, needs []int, ended []chan struct{}, errs []error, outcome <-chan dbos.StepOutcome[json.RawMessage]) (T, error) {
	for _, j := range needs {
		select {
		case o := <-outcome: // on record from an earlier execution, or interrupted
			return result[T](c, name, o.Result, o.Err)
		case <-ended[j]:
			if Interrupted(errs[j]) {
				return *new(T), errs[j]
			}
		}
	}
	o := <-outcome
	return result[T](c, name, o.Result, o.Err)
}

// ordered says whether every place needs only such as come before it.
func ordered(name string, needs [][]int) error {
	for i, of := range needs {
		for _, j := range of {
			if j < 0 || j >= i {
				return ridgeline.Errorf(ridgeline.Internal, "graph %s: place %d needs %d, which does not come before it", name, i, j)
			}
		}
	}
	return nil
}
