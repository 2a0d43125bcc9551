package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/build"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/intake"
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
	arrivals, err := n.store.Arrivals(ctx, store.ArrivalFilter{Unfinished: true})
	if err != nil {
		return err
	}
	for _, a := range arrivals {
		err := n.ensure(ctx, engine, intake.Kind, string(a.ID), func() error {
			a.Status, a.Reason, a.Ended = ridgeline.Lost, lost, time.Now().UTC()
			_, _, err := n.store.FinishArrival(ctx, a)
			return err
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

// values writes down what runs are sorted and chosen by, as they end. A database
// of an older program is caught up with, some hundred runs at a time.
func (n *node) values(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := n.store.ValueRuns(ctx)
		if err != nil && ctx.Err() == nil {
			n.options.Log.Error("write down the values of runs", "error", err)
		}
		if !more {
			sleep(ctx, time.Second)
		}
	}
}

// bills is what months have cost, by the server's settings.
func (n *node) bills() bill.Ledger {
	return bill.Ledger{Store: n.store, Prices: n.options.Settings.Prices, Budget: n.options.Settings.Budget}
}

// budgets looks every few seconds whether the month has cost more than it may.
func (n *node) budgets(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.bills().Watch(ctx, time.Now().UTC()); err != nil && ctx.Err() == nil {
			n.options.Log.Error("look for budgets that are exceeded", "error", err)
		}
		sleep(ctx, 5*time.Second)
	}
}

// tidy removes tasks and working folders of builds and runs that have ended.
// One that this server began while it led, another one may have ended.
func (n *node) tidy(ctx context.Context) error {
	tasks := map[string][]string{} // by pool
	for name, pool := range n.runs.Pools {
		list, err := pool.Tasks.Tasks(ctx)
		if err != nil && name != pipeline.Local {
			n.options.Log.Warn("a compute pool cannot be asked for its tasks now", "pool", name, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		tasks[name] = list
	}
	folders, err := os.ReadDir(n.path("work"))
	if err != nil || len(folders) == 0 && !slices.ContainsFunc(slices.Collect(maps.Values(tasks)), func(l []string) bool { return len(l) > 0 }) {
		return err
	}
	// Asked after the look around: what begins meanwhile is not in the lists.
	open := map[string]string{} // id → how the names of its tasks begin
	builds, err := n.store.Builds(ctx, store.BuildFilter{Unfinished: true})
	if err != nil {
		return err
	}
	for _, b := range builds {
		open[string(b.ID)] = "build-" + string(b.ID) + "-"
	}
	runs, err := n.store.Runs(ctx, store.RunFilter{Unfinished: true})
	if err != nil {
		return err
	}
	for _, r := range runs {
		open[string(r.ID)] = "run-" + string(r.ID) + "-"
	}
	for name, list := range tasks {
		for _, task := range list {
			ended := true
			for _, prefix := range open {
				ended = ended && !strings.HasPrefix(task, prefix)
			}
			if ended {
				if err := n.runs.Pools[name].Tasks.Remove(ctx, task); err != nil {
					return err
				}
			}
		}
	}
	for _, folder := range folders {
		if open[folder.Name()] == "" {
			if err := os.RemoveAll(n.path("work", folder.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// tidyPools removes what runs that have ended left in pools that could not be
// reached when they did.
func (n *node) tidyPools(ctx context.Context) error {
	for name, pool := range n.runs.Pools {
		if name == pipeline.Local {
			continue
		}
		tasks, err := pool.Tasks.Tasks(ctx)
		if err != nil || len(tasks) == 0 {
			continue // a pool that is still away is asked again
		}
		runs, err := n.store.Runs(ctx, store.RunFilter{Unfinished: true}) // after the look around, as above
		if err != nil {
			return err
		}
		for _, task := range tasks {
			if slices.ContainsFunc(runs, func(r ridgeline.Run) bool { return strings.HasPrefix(task, "run-"+string(r.ID)+"-") }) {
				continue
			}
			if err := pool.Tasks.Remove(ctx, task); err != nil {
				n.options.Log.Warn("what is left of a run is removed later", "pool", name, "task", task, "error", err)
			}
		}
	}
	return nil
}

// idleFlow is how long a flow that has not ended may be executed by nobody
// before it is taken up again. A fresh one waits a second or two.
const idleFlow = 15 * time.Second

func (n *node) ensure(ctx context.Context, engine *flow.Engine, kind, id string, fail func() error) error {
	state, err := engine.State(ctx, kind, id)
	if err != nil {
		return err
	}
	if state != flow.Running || engine.Active(kind, id) {
		delete(n.idle, id)
	}
	switch state {
	case flow.None:
		return n.start(ctx, kind, id)
	case flow.Running:
		if engine.Active(kind, id) {
			return nil
		}
		since, seen := n.idle[id]
		if !seen {
			n.idle[id] = time.Now()
		} else if time.Since(since) > idleFlow {
			delete(n.idle, id)
			n.options.Log.Warn("a flow that nobody executes is taken up again", "flow", kind, "id", id)
			return engine.Revive(ctx, kind, id)
		}
	case flow.Done, flow.Failed:
		// Read before the flow's last transaction, the row may be stale: fail
		// refuses to touch a row that has ended meanwhile.
		if err := fail(); err != nil && ridgeline.CodeOf(err) != ridgeline.Conflict {
			return err
		}
	}
	return nil
}
