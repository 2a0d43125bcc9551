package pipeline

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
)

// answers finds the predictions in an answer: a list, or an object whose
// result, predictions or outputs is one.
func answers(body []byte) (list []any, reason string) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, "gave an answer that is not JSON: " + clip(string(body), 300)
	}
	if s, ok := v.(string); ok { // json.dumps by the script itself
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			return nil, "gave a string: " + clip(s, 300)
		}
	}
	if object, ok := v.(map[string]any); ok {
		for _, key := range []string{"result", "predictions", "outputs"} {
			if inner, ok := object[key].([]any); ok {
				return inner, ""
			}
		}
		return nil, "gave no list under result, predictions or outputs: " + clip(string(body), 300)
	}
	if list, ok := v.([]any); ok {
		return list, ""
	}
	return nil, "gave no list of predictions: " + clip(string(body), 300)
}

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
