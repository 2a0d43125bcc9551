package intake

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// Current is the version of a dataset that a run which begins now works on. It
// looks at the dataset's source, and waits for what is new there. When that
// cannot be used, or the source cannot be looked at, the version in use stays,
// and note says why; with none in use that is an error.
//
// What it takes in starts no other run: it is this run's.
func (i *Intake) Current(ctx context.Context, run ridgeline.Run, p ridgeline.Pipeline, d project.Dataset) (version int, note string, err error) {
	if d.Remote() {
		note, err = i.refresh(ctx, run, d)
	} else {
		err = i.adopt(ctx, p, d)
	}
	if ctx.Err() != nil {
		return 0, "", ctx.Err()
	}
	if err != nil {
		note = err.Error()
	}
	now, nowErr := i.Store.DatasetVersion(ctx, run.Project, d.Name, 0)
	switch {
	case nowErr == nil && note != "":
		return now.Version, fmt.Sprintf("%s; version %d is in use instead", note, now.Version), nil
	case nowErr == nil:
		return now.Version, "", nil
	case ridgeline.CodeOf(nowErr) != ridgeline.NotFound:
		return 0, "", nowErr
	case err != nil:
		return 0, "", err
	case note != "":
		return 0, "", ridgeline.Errorf(ridgeline.Invalid, "%s; no version was accepted before", note)
	}
	return 0, "", nowErr
}

// refresh takes in what is new at the dataset's source. The note tells of a
// delivery that is not in use.
func (i *Intake) refresh(ctx context.Context, run ridgeline.Run, d project.Dataset) (note string, err error) {
	a, found, err := i.Look(ctx, run.Project, d.Name, "run "+string(run.ID), run.Caller)
	if err != nil {
		return "", err
	}
	if found {
		if a, err = i.Wait(ctx, a.ID); err != nil {
			return "", err
		}
	}
	if !found || a.Status == ridgeline.Unchanged {
		if a, err = i.last(ctx, run.Project, d.Name, ridgeline.FromRemote); err != nil {
			return "", err
		}
	}
	switch a.Status {
	case ridgeline.Quarantined:
		return fmt.Sprintf("version %d of dataset %s is in quarantine: %s", a.Version, d.Name, a.Reason), nil
	case ridgeline.Lost:
		return "", ridgeline.Errorf(ridgeline.Unavailable, "dataset %s could not be fetched: %s", d.Name, a.Reason)
	}
	return "", nil
}

// adopt records the file that a pipeline's code has as the dataset's first
// version, when nothing has arrived at it: the pipeline was published before
// arrivals were recorded. Its build has checked the file.
func (i *Intake) adopt(ctx context.Context, p ridgeline.Pipeline, d project.Dataset) error {
	set, err := i.Store.Dataset(ctx, p.Project, d.Name)
	if err == nil && set.Current > 0 || err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return err
	}
	a, err := i.ofCommit(ctx, p.Commit, d)
	if err != nil {
		return err
	}
	a.Cause, a.Caller = fmt.Sprintf("build %s", p.Build), "ridgeline"
	if a, err = i.judge(ctx, a, d, nil); err != nil {
		return err
	}
	status, reason, findings := a.Status, a.Reason, a.Findings
	a.Status = ridgeline.Arriving
	if err := i.Store.CreateArrival(ctx, a); err != nil {
		return err
	}
	a.Status, a.Reason, a.Findings, a.Ended = status, reason, findings, time.Now().UTC()
	if _, _, err := i.Store.FinishArrival(ctx, a); err != nil {
		return err
	}
	if status == ridgeline.Quarantined {
		return ridgeline.Errorf(ridgeline.Invalid, "dataset %q: %s", d.Name, reason)
	}
	return nil
}
