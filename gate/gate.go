// Package gate owns the decision whether a new model (the challenger) takes
// the place of the one in use (the champion): metrics, tests, slices, limits,
// and the report with its reasons. It is pure functions; where rows and
// measurements come from, and what happens after the verdict, is left to others.
package gate

import (
	"fmt"
	"math"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Report is a verdict and everything it rests on. Effect, Interval and Bound
// are relative improvements over the champion's metric, 0.05 for 5 %, positive
// when the challenger is better; the Difference pair is the same in the
// metric's own unit. A pointer is nil where there is nothing to say.
type Report struct {
	Verdict    ridgeline.Verdict `json:"verdict"`
	Metric     string            `json:"metric"`
	Champion   *float64          `json:"champion"`
	Challenger *float64          `json:"challenger"`
	Effect     *float64          `json:"effect"`
	Interval   *[2]float64       `json:"interval"` // two-sided, of level 1 − alpha
	P          *float64          `json:"p"`        // one-sided, of an improvement of at most the minimum effect
	Rows       int               `json:"rows"`
	RowsNeeded *int              `json:"rows_needed"` // to promote a true improvement with 80 % probability
	Slices     []SliceResult     `json:"slices"`
	Reasons    []string          `json:"reasons"`

	Power              *float64    `json:"power"` // probability that so many rows promote, were the true improvement the observed one
	Better             string      `json:"better"`
	MinEffect          float64     `json:"min_effect"`
	Relative           bool        `json:"relative"`
	Alpha              float64     `json:"alpha"`
	Bound              *float64    `json:"bound"` // one-sided: the improvement is at least this, at level 1 − alpha
	Difference         *float64    `json:"difference"`
	DifferenceInterval *[2]float64 `json:"difference_interval"`
	Method             string      `json:"method"`

	Threshold float64         `json:"threshold"` // a promotion needs a p of at most this: Alpha, or what the error budget allows
	Spent     float64         `json:"spent"`     // of the error budget by this decision; one that spent something belongs into the ledger
	Budget    *Allowance      `json:"budget"`
	Tests     []Test          `json:"tests"`    // P is the highest of theirs
	Baseline  *BaselineResult `json:"baseline"` // Effect and its like compare with it where there is no champion
	Limits    []LimitResult   `json:"limits"`
	Skew      *Skew           `json:"skew"`
	Overlaps  []Overlap       `json:"overlaps"`
	LeftOut   int             `json:"left_out"` // rows without a prediction, in none of the figures
}

// A Test is one of those a promotion must pass, with its one-sided p.
type Test struct {
	Name string  `json:"name"`
	P    float64 `json:"p"`
}

// A BaselineResult is what a first model was compared with.
type BaselineResult struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// A LimitResult is what became of one limit.
type LimitResult struct {
	Name     string       `json:"name"`
	Limit    string       `json:"limit"`
	Measured string       `json:"measured"`
	Verdict  LimitVerdict `json:"verdict"`
}

// LimitVerdict is what a limit has to say.
type LimitVerdict string

// The verdicts on a limit. A broken one rejects, an unknown one does not let
// promote.
const (
	LimitOK      LimitVerdict = "ok"
	LimitBroken  LimitVerdict = "broken"
	LimitUnknown LimitVerdict = "not measured"
)

// A SliceResult is how the challenger did on the rows of one slice.
type SliceResult struct {
	Column     string       `json:"column"`
	Value      string       `json:"value"`
	Rows       int          `json:"rows"`
	Champion   *float64     `json:"champion"`
	Challenger *float64     `json:"challenger"`
	Effect     *float64     `json:"effect"`
	Interval   *[2]float64  `json:"interval"` // of Effect: two-sided, of level 1 − alpha for this slice alone
	P          *float64     `json:"p"`        // one-sided, of no worsening beyond the tolerance; Holm's, over all slices
	Verdict    SliceVerdict `json:"verdict"`
	Tolerance  float64      `json:"tolerance"` // how much worse it may get, in the metric's unit
}

// SliceVerdict is what a slice has to say.
type SliceVerdict string

// The verdicts on a slice. Only a worse one has a consequence.
const (
	SliceOK    SliceVerdict = "ok"
	SliceWorse SliceVerdict = "worse"
	SliceSmall SliceVerdict = "not enough rows"
)

// minRows is the fewest rows from which anything is concluded.
const minRows = 20

// Decide compares challenger and champion. An error means that the input makes
// no sense (an unknown metric, rows that do not pair up); data that cannot be
// judged, such as a NaN loss, is the verdict GateError.
//
// With rows, an improvement is promoted when a one-sided paired test rejects
// "better by no more than MinEffect" at the Allowance's alpha, or at Alpha;
// bootstrap.go says which test and why. A challenger is rejected when its
// interval lies wholly on the worse side, when a slice got significantly worse by
// more than its tolerance, or when a limit is broken. Everything between is
// inconclusive. Without rows, the metric's values are compared, and the report
// says what that is worth. A first model is compared with the Baseline.
func Decide(in Input) (Report, error) {
	if in.Alpha == 0 {
		in.Alpha = 0.05
	}
	m, err := in.check()
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Verdict: ridgeline.Inconclusive, Metric: in.Metric, Better: m.better, Slices: []SliceResult{}, Reasons: []string{},
		MinEffect: in.MinEffect, Relative: in.Relative, Alpha: in.Alpha, Threshold: in.Alpha, Tests: []Test{}, Limits: []LimitResult{}, Overlaps: []Overlap{},
	}
	if r.leaks(in.Overlaps) {
		r.Verdict = ridgeline.GateError
		return r, nil
	}
	if in.Reported != nil {
		r.Skew = skew(in.Challenger.Prediction, in.Reported)
	}
	broken, unknown := r.limits(in)
	if in.Limits.Missing != nil {
		in, r.LeftOut = in.leaveOut()
		if r.LeftOut > 0 && in.Challenger.rows(m) == 0 {
			return r.failed("No row has a prediction of both models, so there is nothing to compare."), nil
		}
	}
	challenger, problem := in.Challenger.losses(m, "challenger")
	if problem != "" {
		return r.failed(problem), nil
	}
	champion, problem := in.Champion.losses(m, "champion")
	if problem != "" {
		return r.failed(problem), nil
	}
	r.Challenger, r.Champion = in.Challenger.value(m, challenger), in.Champion.value(m, champion)
	r.Rows = max(len(challenger), len(champion))
	for _, who := range []string{"challenger", "champion"} {
		v := r.Challenger
		if who == "champion" {
			v = r.Champion
		}
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			problem = fmt.Sprintf("The %s's %s is %v; a finite number is needed to compare.", who, in.Metric, *v)
			r.Champion, r.Challenger = nil, nil // JSON has no way to write it
			return r.failed(problem), nil
		}
	}
	gapBroken, gapUnknown := r.gaps(in, m, challenger)
	broken, unknown = broken || gapBroken, unknown || gapUnknown
	switch {
	case !in.Champion.Has:
		if err := r.first(in, m, challenger); err != nil {
			return Report{}, err
		}
	case challenger == nil || champion == nil:
		r.points(m)
	default:
		if in.Allowance != nil {
			r.Budget, r.Threshold = in.Allowance, in.Allowance.Alpha
		}
		r.rows(in, m, champion, challenger)
	}
	switch {
	case r.Verdict == ridgeline.GateError:
	case broken:
		r.Verdict = ridgeline.Rejected
	case unknown && r.Verdict == ridgeline.Promoted:
		r.Verdict = ridgeline.Inconclusive
	}
	if r.LeftOut > 0 {
		r.say("%s without a prediction left out, for both models.", counted(r.LeftOut, "row is", "rows are"))
	}
	if r.Skew != nil && r.Skew.Different > 0 {
		r.say("%s", r.Skew)
	}
	r.Reasons = append(r.Reasons, in.Notes...)
	return r, nil
}

func (r Report) failed(reason string) Report {
	r.Verdict = ridgeline.GateError
	r.Reasons = append(r.Reasons, reason)
	return r
}

// reference is the value compared with: the champion's, or the baseline's.
func (r *Report) reference() *float64 {
	if r.Champion == nil && r.Baseline != nil {
		return &r.Baseline.Value
	}
	return r.Champion
}

// leaks reports whether a model knows rows that shall judge it.
func (r *Report) leaks(overlaps []Overlap) bool {
	for _, o := range overlaps {
		if o.Rows > 0 {
			r.Overlaps = append(r.Overlaps, o)
			r.say("%s", o)
		}
	}
	return len(r.Overlaps) > 0
}
