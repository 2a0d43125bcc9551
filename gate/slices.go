package gate

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
)

// smallSlices bounds how many slices without enough rows a report lists, for
// columns that turn out to be ids.
const smallSlices = 20

// slices tests every value of every slice column for a significant worsening
// by more than its tolerance, and returns how many got worse. The family-wise error over all slices with
// enough rows is held at alpha by Holm's procedure (Scandinavian Journal of
// Statistics 6, 1979).
func (r *Report) slices(in Input, m metric, champion, challenger []float64) int {
	small := 0
	for _, column := range sortedKeys(in.Slices) {
		rows := map[string][]int{}
		for i, v := range in.Slices[column] {
			rows[v] = append(rows[v], i)
		}
		for _, value := range sortedKeys(rows) {
			s := SliceResult{Column: column, Value: value, Rows: len(rows[value]), Verdict: SliceSmall}
			if s.Rows < minRows {
				if small++; small > smallSlices {
					continue
				}
			}
			s.measure(in, m, r.Alpha, champion, challenger, rows[value])
			r.Slices = append(r.Slices, s)
		}
	}
	if small > smallSlices {
		r.say("%s more slices have fewer than %d rows each and are not listed; a slice column should have few values.", grouped(float64(small-smallSlices)), minRows)
	}
	return holm(r.Slices, r.Alpha)
}

func (s *SliceResult) measure(in Input, m metric, alpha float64, champion, challenger []float64, at []int) {
	a, okA := in.Champion.of(m, champion, at)
	b, okB := in.Challenger.of(m, challenger, at)
	if !okA || !okB {
		return // such as an area under the ROC curve with one class
	}
	s.Champion, s.Challenger = &a, &b
	if a != 0 {
		effect := m.improvement(a, b) / math.Abs(a)
		s.Effect = &effect
	}
	tolerance := in.tolerance(s.Column, s.Value)
	s.Tolerance = tolerance.Value
	relative := tolerance.Relative && a != 0
	if tolerance.Relative {
		s.Tolerance *= math.Abs(a)
		if a == 0 {
			tolerance.Value = 0
		}
	}
	if s.Rows < minRows {
		return
	}
	// A seed of its own, so that a slice's result does not depend on the others.
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s", s.Column, s.Value)
	c, problem := in.compare(m, champion, challenger, at, in.Seed^h.Sum64())
	if problem != "" {
		return
	}
	s.Verdict = SliceOK
	if a != 0 {
		lowest, highest := m.relativeBounds(a, c.effect(false))
		limit := func(side float64) float64 { return min(max(c.limit(alpha/2, true, side), lowest), highest) }
		s.Interval = &[2]float64{limit(1), limit(-1)}
	}
	tail := 1.0
	if !c.same() {
		tail = max(c.tail(-tolerance.Value, relative, -1), c.atAll(-1))
	}
	s.P = &tail
}

// of is the metric on some of the rows; not ok where it is not defined.
func (s Scores) of(m metric, losses []float64, at []int) (value float64, ok bool) {
	if m.whole == nil {
		return m.value(mean(pick(losses, at))), true
	}
	w, problem := m.whole(pick(s.Y, at), pick(s.Prediction, at))
	if problem != "" {
		return 0, false
	}
	return mean(w.pseudo), true
}

// tolerance is how much worse a slice may get; nothing unless said.
func (in Input) tolerance(column, value string) Margin {
	for _, key := range []string{column + "=" + value, column, ""} {
		if m, ok := in.Tolerances[key]; ok {
			return m
		}
	}
	return Margin{}
}

// holm adjusts the p-values of the tested slices and marks those at or below alpha.
func holm(list []SliceResult, alpha float64) (worse int) {
	var tested []*SliceResult
	for i := range list {
		if list[i].P != nil {
			tested = append(tested, &list[i])
		}
	}
	slices.SortStableFunc(tested, func(a, b *SliceResult) int { return cmp.Compare(*a.P, *b.P) })
	highest := 0.0
	for i, s := range tested {
		highest = max(highest, min(1, *s.P*float64(len(tested)-i)))
		adjusted := highest
		s.P = &adjusted
		if adjusted <= alpha {
			s.Verdict = SliceWorse
			worse++
		}
	}
	return worse
}

// sliceSentence tells of the slices, in a sentence; empty when there are none.
func (r *Report) sliceSentence(worse int) string {
	tested := 0
	var names []string
	for _, s := range r.Slices {
		if s.P != nil {
			tested++
		}
		if s.Verdict == SliceWorse {
			change := ""
			if s.Effect != nil {
				change = fmt.Sprintf(" (%s %s → %s, %s on %s)", r.Metric, number(*s.Champion), number(*s.Challenger), signed(*s.Effect), count(s.Rows, "row"))
			}
			if s.Tolerance > 0 {
				change += " beyond the tolerance of " + number(s.Tolerance)
			}
			names = append(names, s.name()+change)
		}
	}
	switch {
	case len(r.Slices) == 0:
		return ""
	case worse > 0:
		return fmt.Sprintf("It got significantly worse where %s, so it is rejected whatever the whole says.", strings.Join(names, " and where "))
	case tested == 0:
		return fmt.Sprintf("No slice has the %d rows it takes to be judged.", minRows)
	case tested == 1:
		return "The one slice with enough rows did not get significantly worse."
	}
	return fmt.Sprintf("None of the %d slices with enough rows got significantly worse.", tested)
}

func (s SliceResult) name() string {
	if s.Value == "" {
		return s.Column + " is missing"
	}
	return s.Column + " is " + s.Value
}

func pick[T any](x []T, at []int) []T {
	out := make([]T, len(at))
	for i, j := range at {
		out[i] = x[j]
	}
	return out
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
