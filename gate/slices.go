package gate

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// smallSlices bounds how many slices without enough rows a report lists, for
// columns that turn out to be ids.
const smallSlices = 20

// slices tests every value of every slice column for a significant worsening
// and returns how many got worse. The family-wise error over all slices with
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
			a, b := pick(champion, rows[value]), pick(challenger, rows[value])
			s.measure(m, a, b, in.Seed)
			r.Slices = append(r.Slices, s)
		}
	}
	if small > smallSlices {
		r.say("%s more slices have fewer than %d rows each and are not listed; a slice column should have few values.", grouped(float64(small-smallSlices)), minRows)
	}
	return holm(r.Slices, r.Alpha)
}

func (s *SliceResult) measure(m metric, champion, challenger []float64, seed uint64) {
	a, b := m.value(mean(champion)), m.value(mean(challenger))
	s.Champion, s.Challenger = &a, &b
	if a != 0 {
		effect := m.improvement(a, b) / max(a, -a)
		s.Effect = &effect
	}
	if s.Rows < minRows {
		return
	}
	s.Verdict = SliceOK
	// A seed of its own, so that a slice's result does not depend on the others.
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s", s.Column, s.Value)
	p := newPaired(m, champion, challenger, seed^h.Sum64(), sliceUnits)
	tail := 1.0
	if !p.same() {
		tail = max(p.tail(0, false, -1), p.signs(-1))
	}
	s.P = &tail
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

func pick(x []float64, at []int) []float64 {
	out := make([]float64, len(at))
	for i, j := range at {
		out[i] = x[j]
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
