package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// outcome is what a step came to.
type outcome struct {
	Status ridgeline.Status
	Reason string // why it did not succeed
	Says   string // for people, when it succeeded
	Asked  bool   // cancelled because somebody asked for it, not because it was not reached
	Result ridgeline.Result
}

// node takes one place of the graph to its end. All that it rests on is in the
// step's row and its attempts, so that it may be entered again after a crash: a
// row that has ended is not touched, a task is found by its name, and a wait
// goes on until the moment it began with.
func (r *Runner) node(ctx context.Context, p *passage, plan plan, nodes []node, i int, of func(int) (outcome, error)) (outcome, error) {
	n := nodes[i]
	row, err := r.Store.Step(ctx, p.Run.ID, n.Name)
	if err != nil {
		return outcome{}, err
	}
	if row.Status.Terminal() {
		return outcome{Status: row.Status, Reason: row.Message, Asked: row.Status == ridgeline.Cancelled && !row.Started.IsZero(), Result: row.Result}, nil
	}
	before := map[string]outcome{}
	for _, j := range n.Needs {
		if o, err := of(j); err == nil {
			before[nodes[j].Name] = o
		}
	}
	if o := held(n, nodes, of); o.Status != "" {
		return r.end(ctx, row, o)
	}
	if n.Gathers != nil {
		return r.end(ctx, row, gather(n, nodes, of))
	}
	if o, err := r.asked(p, n, before); err != nil || o.Status != "" {
		if err != nil {
			o = outcome{Status: ridgeline.Failed, Reason: err.Error()}
		}
		return r.end(ctx, row, o)
	}
	if err := p.places.open(ctx, r.Store, p.Run.ID, nodes); err != nil {
		return outcome{}, err
	}
	done, err := p.places.take(ctx, n)
	if err != nil {
		return outcome{}, err
	}
	defer done()
	inputs := map[string]ridgeline.Result{}
	for name, o := range before {
		if o.Status == ridgeline.Succeeded {
			inputs[name] = o.Result
		}
	}
	w := work{node: n, Plan: plan, Inputs: inputs}
	if len(row.Attempts) == 0 {
		hit, err := r.recall(ctx, p, w, &row)
		if err != nil {
			return outcome{}, err
		}
		if hit {
			return r.end(ctx, row, outcome{Status: ridgeline.Succeeded, Result: row.Result})
		}
	}
	return r.attempts(ctx, p, w, row)
}

// work is one node with all that it works on.
type work struct {
	node
	Plan   plan
	Inputs map[string]ridgeline.Result // of the steps before it that succeeded
}

// held says why a node cannot run because of what came before it; an empty
// status when it can. What needs a skipped step is skipped too, unless it has a
// condition of its own, which then decides.
func held(n node, nodes []node, of func(int) (outcome, error)) outcome {
	var skipped string
	for _, j := range n.Direct {
		o, err := of(j)
		switch {
		case err != nil || o.Status == ridgeline.Failed || o.Status == ridgeline.Cancelled:
			return outcome{Status: ridgeline.Cancelled, Reason: fmt.Sprintf("not reached: it needs %s, which did not succeed", nodes[j].Name)}
		case o.Status == ridgeline.Skipped:
			skipped = nodes[j].Name
		}
	}
	if skipped != "" && n.Step.When == "" {
		return outcome{Status: ridgeline.Skipped, Reason: fmt.Sprintf("it needs %s, which was skipped", skipped)}
	}
	return outcome{}
}

// asked puts the step's condition; an empty status when the step is to run.
func (r *Runner) asked(p *passage, n node, before map[string]outcome) (outcome, error) {
	facts := project.Facts{Params: n.Params, Cause: p.Run.Cause, Branch: p.Pipeline.Commit.Branch, Metrics: map[string]map[string]float64{}}
	for name, o := range before {
		facts.Metrics[name] = o.Result.Metrics
	}
	yes, err := p.Config.Pipeline.When(n.Step, facts)
	if err != nil || yes {
		return outcome{}, err
	}
	return outcome{Status: ridgeline.Skipped, Reason: fmt.Sprintf("its condition does not hold: %s", clip(n.Step.When, 200))}, nil
}

// end writes the step's end.
func (r *Runner) end(ctx context.Context, row ridgeline.Step, o outcome) (outcome, error) {
	finish(&row, o)
	return o, r.Store.SaveStep(ctx, row)
}

func finish(row *ridgeline.Step, o outcome) {
	now := time.Now().UTC()
	row.Status, row.Message, row.Result, row.Ended = o.Status, o.Reason, o.Result, now
	if row.Started.IsZero() && (o.Status == ridgeline.Succeeded || o.Status == ridgeline.Failed) {
		row.Started = now
	}
	if o.Status == ridgeline.Succeeded {
		row.Message = cmp.Or(o.Says, describe(o.Result.Metrics))
	}
}
