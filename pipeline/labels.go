package pipeline

import (
	"maps"
	"math"
	"slices"
)

// number reads a prediction or a target as a number; a label gets one of its
// own. A list of one element stands for that element.
func number(v any, labels map[string]float64) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case string:
		n, ok := labels[v]
		if !ok {
			n = float64(len(labels))
			labels[v] = n
		}
		return n, true
	case []any:
		if len(v) == 1 {
			return number(v[0], labels)
		}
	}
	return math.NaN(), false
}

// labelled numbers the labels among values in their sorted order, so that no
// and yes are 0 and 1 whichever comes first.
func labelled(values []any) map[string]float64 {
	labels := map[string]float64{}
	for _, v := range values {
		if list, ok := v.([]any); ok && len(list) == 1 {
			v = list[0]
		}
		if text, ok := v.(string); ok {
			labels[text] = 0
		}
	}
	for i, text := range slices.Sorted(maps.Keys(labels)) {
		labels[text] = float64(i)
	}
	return labels
}

// isLabel reports whether number reads v as a label.
func isLabel(v any) bool {
	if list, ok := v.([]any); ok && len(list) == 1 {
		return isLabel(list[0])
	}
	_, ok := v.(string)
	return ok
}
