package release

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// environment places the version in one environment. It returns why it did
// not stay there; then everything is as it was before.
func (r *Releaser) environment(c *flow.Context, p passage, e ridgeline.ReleaseEnvironment) (reason string, err error) {
	set := settings(p.Config, e.Name)
	if set.Approval == "required" && p.Release.Cause != "rollback" {
		if reason, err = flow.Step(c, "approval "+e.Name, func(ctx context.Context) (string, error) {
			return r.check(ctx, p.Release.ID, e.Name, checkApproval, func() (string, string, error) { return r.approval(ctx, p, e) })
		}); err != nil || reason != "" {
			return reason, err
		}
	}
	deployment, err := flow.Tx(c, "deploy "+e.Name, func(ctx context.Context, q sqlq.Querier) (ridgeline.Deployment, error) {
		return r.deploy(ctx, q, p, e, set)
	})
	if err != nil {
		return "", err
	}
	reason, err = flow.Step(c, "ready "+e.Name, func(ctx context.Context) (string, error) {
		return r.check(ctx, p.Release.ID, e.Name, checkReady, func() (string, string, error) {
			reason, err := r.ready(ctx, deployment)
			return reason, fmt.Sprintf("%d of %d copies answer", deployment.Replicas, deployment.Replicas), err
		})
	})
	if err == nil && reason == "" {
		reason, err = flow.Step(c, "smoke "+e.Name, func(ctx context.Context) (string, error) {
			return r.smoke(ctx, p, deployment, set.Checks)
		})
	}
	if flow.Interrupted(err) {
		return "", err
	}
	if err != nil {
		reason = err.Error()
	}
	if reason != "" {
		return fmt.Sprintf("%s: %s", e.Name, reason), r.undo(c, deployment, e, reason)
	}
	_, err = flow.Tx(c, "switch "+e.Name, func(ctx context.Context, q sqlq.Querier) (ridgeline.DeploymentID, error) {
		s, now := r.Store.With(q), time.Now().UTC()
		become, message := s.SwitchDeployment, fmt.Sprintf("version %d is live", p.Release.Version)
		if p.Release.Beside {
			become, message = s.StandBeside, fmt.Sprintf("version %d stands beside what is live", p.Release.Version)
		}
		if err := become(ctx, deployment.ID, now); err != nil {
			return "", err
		}
		row, err := current(ctx, r, q, p.Release.ID, e.Name)
		if err != nil {
			return "", err
		}
		row.Status, row.Ended, row.Message = ridgeline.Succeeded, now, message+"; "+row.Message
		done := ridgeline.ReleaseCheck{Environment: e.Name, Name: checkSwitch, Status: ridgeline.Succeeded, Message: message, Started: now, Ended: now}
		if err := s.SaveReleaseCheck(ctx, p.Release.ID, done); err != nil {
			return "", err
		}
		return deployment.ID, s.SaveReleaseEnvironment(ctx, p.Release.ID, row)
	})
	if err != nil {
		return "", err
	}
	_, err = flow.Step(c, "retire "+e.Name, func(ctx context.Context) (struct{}, error) {
		if err := r.Traffic.Switched(ctx, p.Release.Project, e.Name); err != nil {
			return struct{}{}, err
		}
		replaced, err := r.Store.Deployments(ctx, store.DeploymentFilter{Successor: deployment.ID})
		if err != nil {
			return struct{}{}, err
		}
		for _, old := range replaced {
			if err := r.leave(ctx, old.ID); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return "", err
}

// leave takes the copies of a retired deployment away once their last request
// has ended.
func (r *Releaser) leave(ctx context.Context, id ridgeline.DeploymentID) error {
	if err := r.Traffic.Drained(ctx, id); err != nil {
		return err
	}
	return r.remove(ctx, id)
}

// remove takes a deployment's copies away. What its host does not let go now,
// because it cannot be reached or asked, Reconcile removes later: the store
// knows that it is retired.
func (r *Releaser) remove(ctx context.Context, id ridgeline.DeploymentID) error {
	err := r.Services.Remove(ctx, id)
	if err != nil && ctx.Err() == nil {
		r.Log.Warn("the copies of a deployment that is not wanted any more are removed later", "deployment", id, "error", err)
		return nil
	}
	return err
}

// current is a release's row for one environment.
func current(ctx context.Context, r *Releaser, q sqlq.Querier, id ridgeline.ReleaseID, name string) (ridgeline.ReleaseEnvironment, error) {
	row, err := r.Store.With(q).Release(ctx, id)
	if err != nil {
		return ridgeline.ReleaseEnvironment{}, err
	}
	for _, e := range row.Environments {
		if e.Name == name {
			return e, nil
		}
	}
	return ridgeline.ReleaseEnvironment{}, ridgeline.Errorf(ridgeline.Internal, "release %s has no environment %s", id, name)
}

// deploy records the deployment; nothing runs yet.
func (r *Releaser) deploy(ctx context.Context, q sqlq.Querier, p passage, e ridgeline.ReleaseEnvironment, set project.Environment) (ridgeline.Deployment, error) {
	s, now := r.Store.With(q), time.Now().UTC()
	id, err := ridgeline.NewID("d", now, rand.Read)
	if err != nil {
		return ridgeline.Deployment{}, err
	}
	d := ridgeline.Deployment{
		ID: ridgeline.DeploymentID(id), Project: p.Release.Project, Environment: e.Name, Release: p.Release.ID,
		Model: p.Release.Model, Version: p.Release.Version, Image: p.Version.Image, Host: set.Host, Replicas: max(1, set.MinReplicas), Idle: set.Idle, Hours: set.Hours,
		Limit: set.Limit, State: ridgeline.DeploymentStarting, Created: now,
	}
	if err := s.CreateDeployment(ctx, d); err != nil {
		return ridgeline.Deployment{}, err
	}
	e.Status, e.Deployment, e.Started, e.Message = ridgeline.Running, d.ID, now, "starting"
	return d, s.SaveReleaseEnvironment(ctx, p.Release.ID, e)
}

// How long a version may take until it answers, how often it may fall over
// meanwhile, how long it may stand still for a reason that only a person can
// mend, and how much of its log tells why it did not.
const (
	readyTimeout = 5 * time.Minute
	maxRestarts  = 2
	stuckTimeout = time.Minute
	logTail      = 2048
)

// ready starts the copies and waits until all of them answer. What keeps them
// is said in the release meanwhile.
func (r *Releaser) ready(ctx context.Context, d ridgeline.Deployment) (string, error) {
	w, err := r.workload(ctx, d)
	if err != nil {
		return "", err
	}
	deadline := time.NewTimer(readyTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	applied, said, stuck, asked := false, "", time.Time{}, time.Now()
	for {
		seen, err := r.bring(ctx, w, &applied)
		if err != nil {
			return "", err
		}
		if seen.Ready() >= d.Replicas {
			return "", nil
		}
		late := ""
		for _, c := range seen.Copies {
			if c.Restarts > maxRestarts {
				return r.withLog(ctx, d, fmt.Sprintf("version %d never became ready", d.Version), c.Message), nil
			}
			if c.Stuck && late == "" {
				late = c.Message
			}
		}
		switch {
		case late == "":
			stuck = time.Time{}
		case stuck.IsZero():
			stuck = time.Now()
		case time.Since(stuck) > stuckTimeout:
			return fmt.Sprintf("version %d cannot start: %s", d.Version, late), nil
		}
		if time.Since(asked) >= time.Second {
			asked = time.Now()
			row, err := r.Store.Release(ctx, d.Release)
			if err == nil && row.CancelRequested {
				return "cancelled", nil
			}
			said = r.say(ctx, row, d, seen, said)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-deadline.C:
			return r.withLog(ctx, d, fmt.Sprintf("version %d was not ready within %s", d.Version, readyTimeout), why(seen)), nil
		case <-tick.C:
		}
	}
}

// bring applies what is not applied yet and looks what came of it. While the
// host cannot be reached there is one copy, which waits for that.
func (r *Releaser) bring(ctx context.Context, w host.Workload, applied *bool) (seen host.Observed, err error) {
	if !*applied {
		err = r.Services.Apply(ctx, w)
		*applied = err == nil
	}
	if err == nil {
		seen, err = r.Services.Observe(ctx, w.ID)
	}
	if ridgeline.CodeOf(err) != ridgeline.Unavailable {
		return seen, err
	}
	select {
	case <-ctx.Done():
		return seen, ctx.Err()
	case <-time.After(time.Second):
		return host.Observed{Copies: []host.Copy{{Message: err.Error()}}}, nil
	}
}

// why is what a host says of the first copy that is not ready.
func why(seen host.Observed) string {
	for _, c := range seen.Copies {
		if !c.Ready && c.Message != "" {
			return c.Message
		}
	}
	return ""
}

// say writes what keeps the copies into the release, when it is something else
// than before, and returns it. It is for people only: an error changes nothing.
func (r *Releaser) say(ctx context.Context, row ridgeline.Release, d ridgeline.Deployment, seen host.Observed, before string) string {
	now := host.LastLines(why(seen), 1)
	if now == before {
		return before
	}
	for _, e := range row.Environments {
		if e.Name == d.Environment {
			e.Message = strings.TrimSuffix("starting: "+now, ": ")
			_ = r.Store.SaveReleaseEnvironment(ctx, row.ID, e)
		}
	}
	return now
}

// withLog adds a scorer's last words to a reason, or else what its host says.
func (r *Releaser) withLog(ctx context.Context, d ridgeline.Deployment, reason, otherwise string) string {
	text, err := r.lastWords(ctx, d)
	switch {
	case err == nil && text != "":
		reason += "; its scorer's last lines:\n" + host.LastLines(text, 12)
	case otherwise != "":
		reason += ": " + otherwise
	}
	return reason
}

// lastWords reads the end of a scorer's log once it has stood still for a
// moment: a traceback comes through a pipe of its own, and may arrive after
// the answer that it explains.
func (r *Releaser) lastWords(ctx context.Context, d ridgeline.Deployment) (string, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for range 10 {
		tail, err := r.Services.Log(ctx, d.ID, logTail)
		text := strings.TrimSpace(string(tail))
		if err != nil || (text != "" && text == last) {
			return text, err
		}
		last = text
		select {
		case <-ctx.Done():
			return text, ctx.Err()
		case <-tick.C:
		}
	}
	return last, nil
}

// undo takes a deployment that did not make it away again.
func (r *Releaser) undo(c *flow.Context, d ridgeline.Deployment, e ridgeline.ReleaseEnvironment, reason string) error {
	_, err := flow.Step(c, "undo "+e.Name, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.remove(ctx, d.ID)
	})
	if err != nil {
		return err
	}
	_, err = flow.Tx(c, "undone "+e.Name, func(ctx context.Context, q sqlq.Querier) (struct{}, error) {
		s, now := r.Store.With(q), time.Now().UTC()
		if err := s.RetireDeployment(ctx, d.ID, now); err != nil {
			return struct{}{}, err
		}
		row, err := current(ctx, r, q, d.Release, e.Name)
		if err != nil {
			return struct{}{}, err
		}
		row.Status, row.Message, row.Ended = ridgeline.Failed, reason, now
		return struct{}{}, s.SaveReleaseEnvironment(ctx, d.Release, row)
	})
	return err
}

// Reconcile makes the host agree with the store: what is live or starting
// runs, what is retired or unknown does not. Called at start and now and then,
// it mends what a reboot or a crash between two steps left.
func (r *Releaser) Reconcile(ctx context.Context) error {
	live, err := r.Store.Deployments(ctx, store.DeploymentFilter{States: []ridgeline.DeploymentState{ridgeline.DeploymentLive}})
	if err != nil {
		return err
	}
	for _, d := range live {
		w, err := r.workload(ctx, d)
		if err == nil {
			err = r.Services.Apply(ctx, w)
		}
		if err != nil {
			r.Log.Error("start a live deployment again", "deployment", d.ID, "error", err)
		}
	}
	there, err := r.Services.Workloads(ctx)
	if err != nil {
		return err
	}
	for _, id := range there {
		if gone, err := r.gone(ctx, id); err != nil {
			return err
		} else if !gone {
			continue
		}
		if err := r.Services.Remove(ctx, id); err != nil {
			r.Log.Error("remove what is not deployed any more", "deployment", id, "error", err)
		}
	}
	return nil
}

// gone tells whether nothing should run of a deployment. Asked anew for each:
// releases start some while Reconcile looks around. A release that is still under way retires its predecessor itself, with its requests drained
// first, and has a minute for it.
func (r *Releaser) gone(ctx context.Context, id ridgeline.DeploymentID) (bool, error) {
	d, err := r.Store.Deployment(ctx, id)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return true, nil
	}
	return d.State == ridgeline.DeploymentRetired && time.Since(d.Ended) > time.Minute, err
}
