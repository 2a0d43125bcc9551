package gate

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// limit records what became of a limit. The sentence is said unless it is kept.
func (r *Report) limit(name, limit, measured string, verdict LimitVerdict, sentence string) {
	r.Limits = append(r.Limits, LimitResult{Name: name, Limit: limit, Measured: measured, Verdict: verdict})
	if verdict != LimitOK {
		r.say("%s", sentence)
	}
}

// limits holds what was measured against the limits, and says what it found.
func (r *Report) limits(in Input) (broken, unknown bool) {
	from := len(r.Limits)
	if limit := in.Limits.P95; limit > 0 {
		got, verdict := in.Measured.P95, LimitOK
		sentence := fmt.Sprintf("The 95th percentile of latency is %v, above the limit of %v.", got, limit)
		switch {
		case got <= 0:
			verdict, sentence = LimitUnknown, fmt.Sprintf("The limit on the 95th percentile of latency (%v) cannot be judged: no latency was measured. Score through the scorer, or take the limit out.", limit)
		case got > limit:
			verdict = LimitBroken
		}
		r.limit("p95 latency", fmt.Sprint("≤ ", limit), measured(got > 0, fmt.Sprint(got)), verdict, sentence)
	}
	if limit := in.Limits.Size; limit > 0 {
		got, verdict := in.Measured.Size, LimitOK
		sentence := fmt.Sprintf("The model has %s, more than the limit of %s.", bytes(got), bytes(limit))
		switch {
		case got <= 0:
			verdict, sentence = LimitUnknown, fmt.Sprintf("The limit on the model's size (%s) cannot be judged: its size was not measured.", bytes(limit))
		case got > limit:
			verdict = LimitBroken
		}
		r.limit("model size", "≤ "+bytes(limit), measured(got > 0, bytes(got)), verdict, sentence)
	}
	r.limitMissing(in)
	r.limitRange(in)
	r.limitFeatures(in)
	return verdicts(r.Limits[from:])
}

func verdicts(list []LimitResult) (broken, unknown bool) {
	for _, l := range list {
		broken = broken || l.Verdict == LimitBroken
		unknown = unknown || l.Verdict == LimitUnknown
	}
	return broken, unknown
}

func measured(ok bool, text string) string {
	if !ok {
		return ""
	}
	return text
}

func (r *Report) limitMissing(in Input) {
	if in.Limits.Missing == nil {
		return
	}
	limit, predictions := *in.Limits.Missing, in.Challenger.Prediction
	text := "≤ " + percent(limit)
	if len(predictions) == 0 {
		r.limit("missing predictions", text, "", LimitUnknown, "The limit on missing predictions cannot be judged: there are no predictions, only losses or a value.")
		return
	}
	missing, verdict := 0, LimitOK
	for _, p := range predictions {
		if math.IsNaN(p) {
			missing++
		}
	}
	share := float64(missing) / float64(len(predictions))
	if share > limit {
		verdict = LimitBroken
	}
	r.limit("missing predictions", text, percent(share), verdict, fmt.Sprintf("The new model gives no prediction for %s of %s (%s), more than the limit of %s.",
		grouped(float64(missing)), count(len(predictions), "row"), percent(share), percent(limit)))
}

func (r *Report) limitRange(in Input) {
	low, high, predictions := in.Limits.Lowest, in.Limits.Highest, in.Challenger.Prediction
	if low == nil && high == nil {
		return
	}
	var text string
	switch {
	case low != nil && high != nil:
		text = number(*low) + " to " + number(*high)
	case low != nil:
		text = "≥ " + number(*low)
	default:
		text = "≤ " + number(*high)
	}
	if len(predictions) == 0 {
		r.limit("prediction range", text, "", LimitUnknown, "The limit on the range of predictions cannot be judged: there are no predictions, only losses or a value.")
		return
	}
	lowest, highest := math.Inf(1), math.Inf(-1)
	outside, first, verdict := 0, 0, LimitOK
	for i, p := range predictions {
		if math.IsNaN(p) {
			continue
		}
		lowest, highest = min(lowest, p), max(highest, p)
		if (low != nil && p < *low) || (high != nil && p > *high) {
			if outside++; outside == 1 {
				first = i
			}
			verdict = LimitBroken
		}
	}
	if lowest > highest {
		r.limit("prediction range", text, "", LimitUnknown, "The limit on the range of predictions cannot be judged: every prediction is missing.")
		return
	}
	r.limit("prediction range", text, number(lowest)+" to "+number(highest), verdict, fmt.Sprintf("%s outside %s, the first in row %d: %s.",
		counted(outside, "prediction is", "predictions are"), text, first+1, number(predictions[first])))
}

// limitFeatures compares what the models take in. A change is always told; it
// breaks a limit only when asked.
func (r *Report) limitFeatures(in Input) {
	if !in.Champion.Has {
		return
	}
	if in.Features == nil || in.ChampionFeatures == nil {
		if in.Limits.SameFeatures {
			r.limit("features", "as the champion's", "", LimitUnknown, "Whether the features are the champion's cannot be judged: they are not known for both models.")
		}
		return
	}
	types := func(list []Feature) map[string]string {
		m := map[string]string{}
		for _, f := range list {
			m[f.Name] = f.Type
		}
		return m
	}
	was, now := types(in.ChampionFeatures), types(in.Features)
	var changes []string
	for _, name := range sortedKeys(now) {
		switch old, ok := was[name]; {
		case !ok:
			changes = append(changes, name+" is new")
		case old != now[name]:
			changes = append(changes, fmt.Sprintf("%s was %s and is %s", name, old, now[name]))
		}
	}
	for _, name := range sortedKeys(was) {
		if _, ok := now[name]; !ok {
			changes = append(changes, name+" is gone")
		}
	}
	if len(changes) == 0 {
		if in.Limits.SameFeatures {
			r.limit("features", "as the champion's", count(len(now), "feature")+", the same", LimitOK, "")
		}
		return
	}
	sentence := "The features changed: " + strings.Join(changes, ", ") + "."
	if !in.Limits.SameFeatures {
		r.say("%s", sentence)
		return
	}
	r.limit("features", "as the champion's", counted(len(changes), "change", "changes"), LimitBroken, sentence)
}

// gaps holds the largest difference of the metric between the slices of a
// column against its limit: slices with enough rows, values as measured.
func (r *Report) gaps(in Input, m metric, challenger []float64) (broken, unknown bool) {
	from := len(r.Limits)
	for _, column := range sortedKeys(in.Limits.Gaps) {
		gap := in.Limits.Gaps[column]
		limit := gap.Value
		if gap.Relative && r.Challenger != nil {
			limit *= math.Abs(*r.Challenger)
		}
		type result struct {
			value string
			at    float64
		}
		var list []result
		if challenger != nil {
			rows := map[string][]int{}
			for i, v := range in.Slices[column] {
				rows[v] = append(rows[v], i)
			}
			for _, value := range sortedKeys(rows) {
				if at, ok := in.Challenger.of(m, challenger, rows[value]); ok && len(rows[value]) >= minRows {
					list = append(list, result{value, at})
				}
			}
		}
		name, text := "gap of "+column, "≤ "+number(limit)
		if len(list) < 2 {
			r.limit(name, text, "", LimitUnknown, fmt.Sprintf("The limit on the gap between slices of %s cannot be judged: fewer than two of them have the %d rows it takes.", column, minRows))
			continue
		}
		slices.SortStableFunc(list, func(a, b result) int {
			if a.at < b.at {
				return -1
			} else if a.at > b.at {
				return 1
			}
			return 0
		})
		low, high, verdict := list[0], list[len(list)-1], LimitOK
		if high.at-low.at > limit {
			verdict = LimitBroken
		}
		r.limit(name, text, number(high.at-low.at), verdict, fmt.Sprintf("The gap of %s between slices is %s, more than the limit of %s: %s where %s is %s, %s where it is %s.",
			r.Metric, number(high.at-low.at), number(limit), number(low.at), column, low.value, number(high.at), high.value))
	}
	return verdicts(r.Limits[from:])
}

// leaveOut drops the rows without a prediction, for both models.
func (in Input) leaveOut() (Input, int) {
	a, b := in.Champion.Prediction, in.Challenger.Prediction
	var at []int
	for i := range b {
		if !math.IsNaN(b[i]) && (len(a) != len(b) || !math.IsNaN(a[i])) {
			at = append(at, i)
		}
	}
	dropped := len(b) - len(at)
	if dropped == 0 {
		return in, 0
	}
	some := func(x []float64) []float64 {
		if len(x) != len(b) {
			return x
		}
		return pick(x, at)
	}
	for _, s := range []*Scores{&in.Challenger, &in.Champion} {
		s.Losses, s.Y, s.Prediction = some(s.Losses), some(s.Y), some(s.Prediction)
	}
	if in.Baseline != nil && len(in.Baseline.Losses) == len(b) {
		copied := *in.Baseline
		copied.Losses = pick(copied.Losses, at)
		in.Baseline = &copied
	}
	kept := map[string][]string{}
	for column, values := range in.Slices {
		if len(values) == len(b) {
			values = pick(values, at)
		}
		kept[column] = values
	}
	in.Slices = kept
	return in, dropped
}
