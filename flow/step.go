package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// Step runs fn once its turn has come and keeps what it returned. It runs at
// least once: after a crash in the middle it begins again, so fn ensures
// rather than does. What it waits for goes on while this server is down: when
// ctx is done, fn leaves it alone and returns ctx.Err(). Nothing is recorded
// then, whatever fn returns, and the next Launch runs fn again.
//
// Result and error travel as JSON, in the first execution too: of T, what
// encoding/json keeps; of an error, its ridgeline.Code and its message. An
// error of fn is a result like any other: fn is not tried again.
func Step[T any](c *Context, name string, fn func(ctx context.Context) (T, error)) (T, error) {
	leave, err := c.enter(name)
	if err != nil {
		return *new(T), err
	}
	defer leave()
	raw, err := dbos.RunAsStep(c.dbos, step(c, name, fn), dbos.WithStepName(name))
	return result[T](c, name, raw, err)
}

// Tx runs fn in a transaction in which the step's result is recorded too: both
// are there, or neither is, and fn's rows are written exactly once. When fn
// returns an error its rows are undone and the error is recorded. fn may run
// more than once, as PostgreSQL may ask for another try.
//
// fn may use only q, never another handle of the same database: on SQLite
// there is one connection, and it is taken. It does nothing else that could
// wait; after a minute it is interrupted.
func Tx[T any](c *Context, name string, fn func(ctx context.Context, q sqlq.Querier) (T, error)) (T, error) {
	leave, err := c.enter(name)
	if err != nil {
		return *new(T), err
	}
	defer leave()
	raw, err := dbos.RunAsTransaction(c.dbos, c.engine.rows, func(ctx context.Context, tx dbos.Tx) (json.RawMessage, error) {
		ctx, cancel := context.WithTimeout(ctx, c.engine.patience)
		defer cancel()
		return step(c, name, func(ctx context.Context) (T, error) {
			v, err := fn(ctx, querier{tx})
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = ridgeline.Errorf(ridgeline.Internal, "transaction %s of flow %s took more than %s and was undone: inside it, only the transaction itself may be used: %w", name, c.flow, c.engine.patience, ctx.Err())
			}
			return v, err
		})(ctx)
	}, dbos.WithStepName(name))
	return result[T](c, name, raw, err)
}

// Parallel runs fn for i = 0 … n-1 at the same time: a Graph in which nobody
// needs another.
func Parallel[T any](c *Context, name string, n int, fn func(ctx context.Context, i int) (T, error)) ([]T, []error) {
	return Graph(c, name, make([][]int, n), func(ctx context.Context, i int, _ Results[T]) (T, error) { return fn(ctx, i) })
}

// step makes fn a DBOS step: result to JSON, error and panic to failure.
func step[T any](c *Context, name string, fn func(ctx context.Context) (T, error)) func(context.Context) (json.RawMessage, error) {
	run := func(ctx context.Context) (raw json.RawMessage, err error) {
		defer c.recovered("step "+name, &err)
		v, err := fn(ctx)
		if err != nil {
			return nil, err
		}
		if raw, err = json.Marshal(v); err != nil {
			return nil, ridgeline.Errorf(ridgeline.Internal, "the result of step %s of flow %s cannot be kept: %w", name, c.flow, err)
		}
		return raw, nil
	}
	return func(ctx context.Context) (json.RawMessage, error) {
		raw, err := run(ctx)
		if err != nil {
			return nil, newFailure(err)
		}
		return raw, nil
	}
}

// result is what the handler gets to see of a step.
func result[T any](c *Context, name string, raw json.RawMessage, err error) (v T, _ error) {
	if err := c.outcome(name, err); err != nil {
		return v, err
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return *new(T), c.stop(fmt.Errorf("%w: the result of step %s of flow %s is not a %T: %w", errHistory, name, c.flow, v, err))
	}
	return v, nil
}
