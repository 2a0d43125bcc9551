package ridgeline

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Metrics are numbers by name. JSON has no NaN and no infinity, and a training
// that diverged reports them: in JSON those are the strings "NaN", "+Inf" and
// "-Inf", and read from whatever strconv.ParseFloat takes.
type Metrics map[string]float64

// MarshalJSON writes numbers, and what JSON lacks as strings.
func (m Metrics) MarshalJSON() ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	out := make(map[string]any, len(m))
	for name, f := range m {
		out[name] = f
		if math.IsNaN(f) || math.IsInf(f, 0) {
			out[name] = strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads a flat object of what MarshalJSON writes. A null is not
// a metric.
func (m *Metrics) UnmarshalJSON(text []byte) error {
	var raw map[string]any
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*m = nil
	if raw == nil {
		return nil
	}
	*m = make(Metrics, len(raw))
	for name, v := range raw {
		switch v := v.(type) {
		case float64:
			(*m)[name] = v
		case string:
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return fmt.Errorf("metric %s: %q is not a number", name, v)
			}
			(*m)[name] = f
		case nil:
			return fmt.Errorf("metric %s is null", name)
		default:
			return fmt.Errorf("metric %s is a %T, expected a number", name, v)
		}
	}
	return nil
}
