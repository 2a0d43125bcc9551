package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

// State is how far a flow has come.
type State string

// The states. None: it was never started, or Retain has forgotten it.
const (
	None    State = "none"
	Running State = "running" // or waiting for a Launch to take it up
	Done    State = "done"    // its handler returned nil
	Failed  State = "failed"  // its handler returned an error or panicked
)

// state maps DBOS's statuses. The ones that only its own tools can set are
// ends which no handler has seen, hence Failed.
var state = map[dbos.WorkflowStatusType]State{
	dbos.WorkflowStatusPending:                     Running,
	dbos.WorkflowStatusEnqueued:                    Running,
	dbos.WorkflowStatusDelayed:                     Running,
	dbos.WorkflowStatusSuccess:                     Done,
	dbos.WorkflowStatusError:                       Failed,
	dbos.WorkflowStatusCancelled:                   Failed,
	dbos.WorkflowStatusMaxRecoveryAttemptsExceeded: Failed,
}

// State reports on one flow, for those who sweep up what a crash between a row
// and its Start, or a handler that failed, has left.
func (e *Engine) State(ctx context.Context, kind, id string) (State, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	found, err := dbos.ListWorkflows(e.root, dbos.WithFilterWorkflowIDs(flowID(kind, id)),
		dbos.WithFilterLoadInput(false), dbos.WithFilterLoadOutput(false), dbos.WithFilterLimit(1))
	if err != nil {
		return "", fmt.Errorf("look up flow %s: %w", flowID(kind, id), err)
	}
	if len(found) == 0 {
		return None, nil
	}
	s, ok := state[found[0].Status]
	if !ok {
		return "", fmt.Errorf("flow %s has the unknown status %q", flowID(kind, id), found[0].Status)
	}
	return s, nil
}

// retainBatch keeps one deletion to a few milliseconds of the writer.
const retainBatch = 100

// Retain forgets up to 100 flows that ended before the given time, and returns
// how many; call it until it returns 0. A flow that has not ended is never
// touched, however old it is.
func (e *Engine) Retain(ctx context.Context, before time.Time) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	// DeleteWorkflows would delete running ones as well, so the choice is here:
	// an ended flow never runs again, hence nothing can come between.
	var ended []dbos.WorkflowStatusType
	for status, s := range state {
		if s == Done || s == Failed {
			ended = append(ended, status)
		}
	}
	found, err := dbos.ListWorkflows(e.root, dbos.WithFilterStatus(ended...), dbos.WithFilterCompletedBefore(before),
		dbos.WithFilterLoadInput(false), dbos.WithFilterLoadOutput(false), dbos.WithFilterLimit(retainBatch))
	if err != nil {
		return 0, fmt.Errorf("list ended flows: %w", err)
	}
	if len(found) == 0 {
		return 0, nil
	}
	ids := make([]string, len(found))
	for i, w := range found {
		ids[i] = w.ID
	}
	if err := dbos.DeleteWorkflows(e.root, ids); err != nil {
		return 0, fmt.Errorf("delete %d ended flows: %w", len(ids), err)
	}
	return len(ids), nil
}
