package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// node is one place in the graph of a run: a step of the project, an instance
// of one that has a matrix or a sweep, or what gathers such instances.
type node struct {
	Step    project.Step
	Name    string            // of its row
	Label   string            // of an instance: the subfolder that it is for others
	Number  int               // of an instance, from 1
	Own     map[string]string // an instance's own parameters
	Params  map[string]string // the run's, and its own in their place
	Direct  []int             // places of the steps that it says it needs
	Needs   []int             // places of all steps that come before it
	Gathers []int             // places of the instances
}

// graphOf lays the project's steps out, each place after all that it needs. It
// follows from its arguments alone, as a flow that is taken up again has to
// find the same places.
func graphOf(p project.Pipeline, params map[string]string) []node {
	var nodes []node
	place := map[string]int{}
	places := func(names []string) (list []int) {
		for _, name := range names {
			if i, ok := place[name]; ok {
				list = append(list, i)
			}
		}
		slices.Sort(list)
		return list
	}
	for _, step := range p.Order() {
		if step.Name == evaluate { // judges the packed model, after all of these
			continue
		}
		n := node{Step: step, Name: step.Name, Params: params, Direct: places(step.Needs), Needs: places(p.Before(step.Name))}
		if len(step.Matrix) > 0 || step.Sweep != nil {
			plain := n
			for i, instance := range step.Instances(params) {
				one := plain
				one.Name, one.Label, one.Number, one.Own, one.Params = instance.Name, instance.Label, i+1, instance.Values, instance.Params
				n.Gathers = append(n.Gathers, len(nodes))
				nodes = append(nodes, one)
			}
		}
		place[step.Name] = len(nodes)
		nodes = append(nodes, n)
	}
	return nodes
}

// waits is what flow has to know of the graph.
func waits(nodes []node) [][]int {
	needs := make([][]int, len(nodes))
	for i, n := range nodes {
		needs[i] = slices.Concat(n.Needs, n.Gathers)
	}
	return needs
}

// rows are the steps as people see them: one with instances before these, and
// what the pipeline does itself at the end.
func rows(nodes []node, builtIn []string) []ridgeline.Step {
	var list []ridgeline.Step
	for _, n := range nodes {
		if n.Number > 0 {
			continue
		}
		list = append(list, ridgeline.Step{Name: n.Name})
		for _, i := range n.Gathers {
			list = append(list, ridgeline.Step{Name: nodes[i].Name, Parent: n.Name, Params: nodes[i].Own})
		}
	}
	for _, name := range builtIn {
		list = append(list, ridgeline.Step{Name: name})
	}
	return list
}

// task is the node's part of a task's name, which has no brackets.
func (n node) task() string {
	if n.Number > 0 {
		return fmt.Sprintf("%s.%d", n.Step.Name, n.Number)
	}
	return n.Step.Name
}

// seen are the parameters that the step sees.
func (n node) seen() map[string]string {
	out := map[string]string{}
	for name, value := range n.Params {
		if _, own := n.Own[name]; own || n.Step.In.SeesParam(name) {
			out[name] = value
		}
	}
	return out
}

// conclude says how the project's own steps ended as a whole, and what each
// step left.
func conclude(nodes []node, outcomes []outcome, errs []error) (ending, map[string]outcome, error) {
	left := map[string]outcome{}
	var failed []string
	var cancelled, skipped string
	for i, n := range nodes {
		o := outcomes[i]
		switch {
		case errs[i] != nil:
			return ending{}, nil, fmt.Errorf("step %s: %w", n.Name, errs[i])
		case n.Number > 0: // what gathers it speaks for it
			continue
		case o.Status == ridgeline.Failed:
			failed = append(failed, o.Reason)
		case o.Status == ridgeline.Cancelled && o.Asked:
			cancelled = o.Reason
		case o.Status == ridgeline.Skipped && n.Name == train:
			skipped = "there is no model: train was skipped: " + o.Reason
		}
		left[n.Name] = o
	}
	switch {
	case cancelled != "":
		return ending{ridgeline.Cancelled, "cancelled"}, left, nil
	case len(failed) > 0:
		return ending{ridgeline.Failed, strings.Join(failed, "\n")}, left, nil
	}
	return ending{ridgeline.Succeeded, skipped}, left, nil
}

// together are the run's parameters, with those that a sweep of train found in
// their place.
func together(params map[string]string, trained outcome) map[string]string {
	out := maps.Clone(params)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, trained.Result.Best)
	return out
}
