package flow

import (
	"context"
	"errors"
)

// Interrupted reports whether err came of this server stopping rather than of
// the work: the flow will go on at the next Launch, so nothing of the error
// belongs into a row.
func Interrupted(err error) bool { return errors.Is(err, context.Canceled) }
