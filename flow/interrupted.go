package flow

import (
	"context"
	"errors"
)

// Interrupted reports whether err, which a step returned, came of this server
// rather than of the work: it stops, its database does not take the step's
// record, or another server has taken over. The flow goes on at the next
// Launch or elsewhere, so nothing of the error belongs into a row.
func Interrupted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, errUnrecorded)
}

var errUnrecorded = errors.New("the flow stands still here")
