package pipeline

import (
	"fmt"
	"math"

	"github.com/ridgeline-mlops/ridgeline"
)

// gather makes one result of a step's instances: of a matrix all of them, each
// in a subfolder; of a sweep the best one.
func gather(n node, nodes []node, of func(int) (outcome, error)) outcome {
	var failed, skipped []string
	var ended []int
	for _, j := range n.Gathers {
		o, err := of(j)
		switch {
		case err != nil:
			failed = append(failed, fmt.Sprintf("%s: %v", nodes[j].Name, err))
		case o.Status == ridgeline.Cancelled && o.Asked:
			return outcome{Status: ridgeline.Cancelled, Reason: "cancelled", Asked: true}
		case o.Status == ridgeline.Skipped:
			skipped = append(skipped, o.Reason)
		case o.Status == ridgeline.Succeeded:
			ended = append(ended, j)
		default:
			failed = append(failed, o.Reason)
		}
	}
	switch {
	case len(skipped) == len(n.Gathers):
		return outcome{Status: ridgeline.Skipped, Reason: skipped[0]}
	case n.Step.Sweep != nil:
		return best(n, nodes, of, ended, failed)
	case len(failed) > 0:
		return outcome{Status: ridgeline.Failed, Reason: fmt.Sprintf("%s: %d of %d instances failed; the first: %s", n.Name, len(failed), len(n.Gathers), failed[0])}
	}
	parts := map[string]string{}
	for _, j := range ended {
		o, _ := of(j)
		parts[nodes[j].Label] = o.Result.Output
	}
	return outcome{Status: ridgeline.Succeeded, Result: ridgeline.Result{Parts: parts}, Says: fmt.Sprintf("%d instances", len(parts))}
}

// best chooses among a sweep's tries. One that failed, or whose metric is not a
// finite number, loses against every other.
func best(n node, nodes []node, of func(int) (outcome, error), ended []int, failed []string) outcome {
	sweep := n.Step.Sweep
	chosen, value := -1, math.NaN()
	for _, j := range ended {
		o, _ := of(j)
		v, ok := o.Result.Metrics[sweep.Metric]
		if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		if chosen < 0 || sweep.Better == "higher" && v > value || sweep.Better != "higher" && v < value {
			chosen, value = j, v
		}
	}
	if chosen < 0 {
		reason := fmt.Sprintf("%s: none of its %d tries left a finite %s in metrics.json, so there is no best one", n.Name, len(n.Gathers), sweep.Metric)
		if len(failed) > 0 {
			reason += fmt.Sprintf("; %d failed, the first: %s", len(failed), failed[0])
		}
		return outcome{Status: ridgeline.Failed, Reason: reason}
	}
	o, _ := of(chosen)
	o.Result.Best = nodes[chosen].Own
	return outcome{
		Status: ridgeline.Succeeded, Result: o.Result,
		Says: fmt.Sprintf("best of %d: %s, %s %.6g%s", len(n.Gathers), nodes[chosen].Label, sweep.Metric, value, but(failed)),
	}
}

// but says how many tries failed, if any did.
func but(failed []string) string {
	if len(failed) == 0 {
		return ""
	}
	return fmt.Sprintf("; %d failed", len(failed))
}
