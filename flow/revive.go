package flow

import (
	"context"
	"fmt"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

func (e *Engine) setActive(flow string, active bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if active {
		e.active[flow] = true
		return
	}
	delete(e.active, flow)
}

// Active reports whether this process executes the flow at this moment.
func (e *Engine) Active(kind, id string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.active[flowID(kind, id)]
}

// Revive takes up a flow that is Running by the database and that nobody
// executes: its checkpoint could not be written, or a server that was losing
// its lead took it and ended. Finished steps are not repeated. Call it only
// where this server leads and the flow has not been Active for a while, as one
// that has just been started or recovered may wait for a second or two; an
// ended flow stays as it is.
func (e *Engine) Revive(ctx context.Context, kind, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := dbos.ResumeWorkflow[struct{}](e.root, flowID(kind, id)); err != nil {
		return fmt.Errorf("take up flow %s again: %w", flowID(kind, id), err)
	}
	return nil
}
