package flow

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Context is one execution of a flow. It belongs to its handler's goroutine.
type Context struct {
	engine *Engine
	dbos   dbos.Context
	flow   string

	mu     sync.Mutex
	inside string // the step in progress
	broken error  // why nothing can be recorded any more
}

// run is the DBOS workflow of every flow.
func (e *Engine) run(ctx dbos.Context, in input) (struct{}, error) {
	c := &Context{engine: e, dbos: ctx, flow: flowID(in.Kind, in.ID)}
	e.setActive(c.flow, true)
	defer e.setActive(c.flow, false)
	err := c.call(in)
	switch broken := c.stopped(); {
	case ctx.Err() != nil:
		return struct{}{}, ctx.Err() // Shutdown: DBOS leaves the flow to the next Launch
	case errors.Is(broken, dbos.ErrConflictingWorkflowID):
		// Another server has taken the flow over.
		return struct{}{}, broken
	case errors.Is(broken, errHistory):
		e.log.Error("a flow's code does not fit its history", "flow", c.flow, "error", broken)
		return struct{}{}, &failure{Code: ridgeline.Internal, Message: broken.Error()}
	case broken != nil:
		return struct{}{}, c.park(broken)
	case errors.Is(err, errNoHandler):
		return struct{}{}, c.park(err)
	case err != nil:
		e.log.Error("a flow failed", "flow", c.flow, "code", ridgeline.CodeOf(err), "error", err)
		return struct{}{}, newFailure(err)
	}
	return struct{}{}, nil
}

var (
	errNoHandler = errors.New("this version has no handler for it")
	errHistory   = errors.New("the steps it takes now are not the ones on record: where a flow's code changes, ask Context.Patch")
)

// call runs the handler and makes its panic an error.
func (c *Context) call(in input) (err error) {
	h := c.engine.handler(in.Kind)
	if h == nil {
		return errNoHandler
	}
	defer c.recovered("handler", &err)
	return h(c, in.ID)
}

// park leaves the flow as it is for the next Launch, because nothing that the
// handler did is at fault. To DBOS, an execution that has lost its claim is the
// one that ends without an outcome.
func (c *Context) park(cause error) error {
	c.engine.log.Error("a flow cannot go on; restart the server once the cause is gone", "flow", c.flow, "error", cause)
	return fmt.Errorf("%w: %w", dbos.ErrConflictingWorkflowID, cause)
}

// recovered turns the panic of user code into an Internal error.
func (c *Context) recovered(where string, err *error) {
	if p := recover(); p != nil {
		c.engine.log.Error("a flow panicked", "flow", c.flow, "in", where, "panic", p, "stack", string(debug.Stack()))
		*err = ridgeline.Errorf(ridgeline.Internal, "panic in %s of flow %s: %v", where, c.flow, p)
	}
}

// Patch reports whether new code may run where old code stood. A flow that had
// passed this place before the patch was known gets false, also when it is
// replayed; all others get true. Ask at the same place each time:
//
//	patched, err := c.Patch("evaluate-by-slice")
//
// The old way can be deleted once no flow that began before it is running.
func (c *Context) Patch(name string) (bool, error) {
	leave, err := c.enter("patch " + name)
	if err != nil {
		return false, err
	}
	defer leave()
	patched, err := dbos.Patch(c.dbos, name)
	return patched, c.outcome("patch "+name, err)
}

// enter begins a step. It refuses once the flow has been interrupted, so that
// what a handler does about an error cannot run unrecorded; and it refuses a
// step inside another, which would be recorded in an accidental order.
func (c *Context) enter(step string) (leave func(), err error) {
	if err := c.dbos.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return nil, c.broken
	}
	if c.inside != "" {
		return nil, ridgeline.Errorf(ridgeline.Internal, "step %s of flow %s began inside step %s: a handler takes its steps one after the other, or with Parallel", step, c.flow, c.inside)
	}
	c.inside = step
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inside = ""
	}, nil
}

func (c *Context) stopped() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// outcome sorts what DBOS returned for a step: the step's own error, as it is
// on record, or the reason why there is no record.
func (c *Context) outcome(step string, err error) error {
	if err == nil {
		return nil
	}
	if interrupted := c.dbos.Err(); interrupted != nil {
		return interrupted
	}
	// Not errors.As: DBOS joins the step's error to its own when it could not
	// record it.
	if f, ok := err.(*failure); ok { //nolint:errorlint // see above
		return ridgeline.Errorf(f.Code, "%s", f.Message)
	}
	err = fmt.Errorf("record step %s of flow %s: %w", step, c.flow, err)
	if errors.Is(err, errUnexpectedStep) || errors.Is(err, dbos.ErrStepNondeterminism) {
		return c.stop(fmt.Errorf("%w: %w", errHistory, err))
	}
	return c.stop(fmt.Errorf("%w: %w", errUnrecorded, err))
}

var errUnexpectedStep = &dbos.Error{Code: dbos.ErrorCodeUnexpectedStep}

// stop makes every later step refuse.
func (c *Context) stop(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = err
	}
	return err
}

// A failure is a step's or a flow's error as it is kept. What cannot be kept,
// an error's type and identity, the first execution loses as well as the
// replayed ones, so that they cannot differ.
type failure struct {
	Code    ridgeline.Code
	Message string
	cause   error // lets DBOS see that a transaction is worth another try
}

func newFailure(err error) error {
	return &failure{Code: ridgeline.CodeOf(err), Message: err.Error(), cause: err}
}

func (f *failure) Error() string { return f.Message }
func (f *failure) Unwrap() error { return f.cause }
