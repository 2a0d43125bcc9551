package gate

import (
	"fmt"
	"math"
)

// A Skew is how what the scorer answers differs from what training reported
// for the same rows. It is shown and decides nothing: the gate judges what the
// scorer answers, because that is what will serve.
type Skew struct {
	Rows      int     `json:"rows"`      // with a report to compare
	Different int     `json:"different"` // rows that differ by more than rounding
	Share     float64 `json:"share"`     // of them
	Max       float64 `json:"max"`       // the largest difference
	Row       int     `json:"row"`       // where that is, counted from 1; 0 when nothing differs
	Scored    float64 `json:"scored"`    // what the scorer answered there
	Reported  float64 `json:"reported"`  // what training reported
}

// skewTolerance is rounding: float32 keeps about seven digits.
const skewTolerance = 1e-6

// skew compares; a row reported as NaN was not reported.
func skew(scored, reported []float64) *Skew {
	s := &Skew{}
	for i, want := range reported {
		got := scored[i]
		if math.IsNaN(want) || math.IsNaN(got) || math.IsInf(want, 0) || math.IsInf(got, 0) {
			continue
		}
		s.Rows++
		d := math.Abs(got - want)
		if d <= skewTolerance*max(math.Abs(got), math.Abs(want)) || d <= 1e-12 {
			continue
		}
		s.Different++
		if d > s.Max {
			s.Max, s.Row, s.Scored, s.Reported = d, i+1, got, want
		}
	}
	if s.Rows == 0 {
		return nil
	}
	s.Share = float64(s.Different) / float64(s.Rows)
	return s
}

// String is the sentence of the report.
func (s Skew) String() string {
	if s.Different == 0 {
		return fmt.Sprintf("The scorer answers as training reported on all %s.", count(s.Rows, "row"))
	}
	return fmt.Sprintf("Training and serving differ: the scorer answers otherwise than training reported on %s of %s (%s); the most at row %d, %s instead of %s. The verdict rests on the scorer's answers.",
		grouped(float64(s.Different)), count(s.Rows, "row"), percent(s.Share), s.Row, number(s.Scored), number(s.Reported))
}

// short is the line of the table.
func (s Skew) short() string {
	if s.Different == 0 {
		return fmt.Sprintf("none on %s that training reported", count(s.Rows, "row"))
	}
	return fmt.Sprintf("%s of rows differ from what training reported, by %s at most", percent(s.Share), number(s.Max))
}
