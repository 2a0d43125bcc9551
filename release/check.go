package release

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// The checks of every environment; each smoke test's case is one more.
const (
	checkApproval = "approval"
	checkReady    = "ready"
	checkSwitch   = "switch"
)

// check has something looked at in an environment, and keeps what came of it:
// the evidence, or the reason why the version cannot stay. What an error broke
// off stays under way; whoever goes on looks again.
func (r *Releaser) check(ctx context.Context, id ridgeline.ReleaseID, environment, name string,
	look func() (reason, evidence string, err error),
) (reason string, err error) {
	c := ridgeline.ReleaseCheck{Environment: environment, Name: name, Status: ridgeline.Running, Started: time.Now().UTC()}
	if err := r.Store.SaveReleaseCheck(ctx, id, c); err != nil {
		return "", err
	}
	reason, evidence, err := look()
	if err != nil {
		return "", err
	}
	c.Status, c.Message, c.Ended = ridgeline.Succeeded, evidence, time.Now().UTC()
	if reason != "" {
		c.Status, c.Message = ridgeline.Failed, reason
	}
	return reason, r.Store.SaveReleaseCheck(ctx, id, c)
}
