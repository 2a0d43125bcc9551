package main

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/pipeline"
	"github.com/ridgeline-mlops/ridgeline/release"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// sweep looks at every row that has not ended. One whose flow was never
// started (the server died between the two, or another server took the
// request) is started; one whose flow ended without giving it an end, which
// is a fault of ours, gets one.
func (n *node) sweep(ctx context.Context, engine *flow.Engine) error {
	const lost = "an unexpected error ended this; the server's log has it"
	builds, err := n.store.Builds(ctx, store.BuildFilter{Unfinished: true})
	if err != nil {
		return err
	}
	for _, b := range builds {
		err := n.ensure(ctx, engine, build.Kind, string(b.ID), func() error {
			return n.store.FinishBuild(ctx, b.ID, ridgeline.Failed, lost, time.Now().UTC())
		})
		if err != nil {
			return err
		}
	}
	runs, err := n.store.Runs(ctx, store.RunFilter{Unfinished: true})
	if err != nil {
		return err
	}
	for _, r := range runs {
		err := n.ensure(ctx, engine, pipeline.Kind, string(r.ID), func() error {
			return n.store.FinishRun(ctx, r.ID, ridgeline.Failed, lost, time.Now().UTC())
		})
		if err != nil {
			return err
		}
	}
	releases, err := n.store.Releases(ctx, store.ReleaseFilter{Unfinished: true})
	if err != nil {
		return err
	}
	for _, r := range releases {
		// A release that a run has only just made waits for that run's end, which
		// starts it; an orphan is taken up here.
		err := n.ensure(ctx, engine, release.Kind, string(r.ID), func() error {
			return n.store.FinishRelease(ctx, r.ID, ridgeline.Failed, lost, time.Now().UTC())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *node) ensure(ctx context.Context, engine *flow.Engine, kind, id string, fail func() error) error {
	state, err := engine.State(ctx, kind, id)
	if err != nil {
		return err
	}
	switch state {
	case flow.None:
		return n.start(ctx, kind, id)
	case flow.Done, flow.Failed:
		// Read before the flow's last transaction, the row may be stale: fail
		// refuses to touch a row that has ended meanwhile.
		if err := fail(); err != nil && ridgeline.CodeOf(err) != ridgeline.Conflict {
			return err
		}
	}
	return nil
}
