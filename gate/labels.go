package gate

import "slices"

// TakesLabels reports whether the metric asks only which labels are the same
// (for f1, which is 1). Of distances or probabilities nothing can be computed
// from the numbers that stand for labels.
func TakesLabels(metric string) bool {
	return slices.Contains([]string{"accuracy", "error_rate", "f1"}, metric)
}
