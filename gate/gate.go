// Package gate owns the decision whether a new model (the challenger) takes
// the place of the one in use (the champion): metrics, tests, slices, limits,
// and the report with its reasons. It is pure functions; where rows and
// measurements come from, and what happens after the verdict, is left to others.
package gate

import (
	"fmt"
	"math"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// An Input is all that a decision rests on. The same input gives the same
// report, to the last digit.
type Input struct {
	Metric    string  // one of Metrics, or a name of the user's own
	Better    string  // "lower" or "higher"; empty: as the metric has it
	MinEffect float64 // the smallest improvement worth a release
	Relative  bool    // MinEffect is a fraction of the champion's metric: 0.01 is 1 %
	Alpha     float64 // chance allowed to promote a model that is not better by MinEffect; 0 means 0.05
	Seed      uint64  // of the bootstrap

	Challenger Scores
	Champion   Scores // Has is false for a project's first model

	Slices   map[string][]string // column → value, for each holdout row
	Limits   Limits
	Measured Measured
}

// Scores are how one model did on the holdout: the loss of each row, or the
// truth and the prediction it follows from, or only the metric. The first
// that is given counts. Rows of champion and challenger are the same rows in
// the same order.
type Scores struct {
	Has bool
	// Losses of the rows, as RowLoss has them for the metric: squared errors
	// for mse and rmse, 0 or 1 for accuracy and error_rate. For a metric of the
	// user's own that is better when higher they are scores.
	Losses        []float64
	Y, Prediction []float64
	Point         *float64 // the metric's value
}

// Limits a challenger must keep; zero means none.
type Limits struct {
	P95  time.Duration // of a prediction
	Size int64         // bytes of the model
}

// Measured is what the challenger takes; zero means not measured.
type Measured struct {
	P95  time.Duration
	Size int64
}

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
	RowsNeeded *int              `json:"rows_needed"` // for the observed effect to be promoted with 80 % probability
	Slices     []SliceResult     `json:"slices"`
	Reasons    []string          `json:"reasons"`

	Better             string      `json:"better"`
	MinEffect          float64     `json:"min_effect"`
	Relative           bool        `json:"relative"`
	Alpha              float64     `json:"alpha"`
	Bound              *float64    `json:"bound"` // one-sided: the improvement is at least this, at level 1 − alpha
	Difference         *float64    `json:"difference"`
	DifferenceInterval *[2]float64 `json:"difference_interval"`
	Method             string      `json:"method"`
}

// A SliceResult is how the challenger did on the rows of one slice.
type SliceResult struct {
	Column     string       `json:"column"`
	Value      string       `json:"value"`
	Rows       int          `json:"rows"`
	Champion   *float64     `json:"champion"`
	Challenger *float64     `json:"challenger"`
	Effect     *float64     `json:"effect"`
	P          *float64     `json:"p"` // one-sided, of no worsening; Holm's, over all slices
	Verdict    SliceVerdict `json:"verdict"`
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
// "better by no more than MinEffect" at Alpha; bootstrap.go
// says which and why. A challenger is rejected when its interval lies wholly on the worse
// side, when a slice got significantly worse, or when a limit is broken.
// Everything between is inconclusive. Without rows, the metric's values are
// compared, and the report says what that is worth.
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
		MinEffect: in.MinEffect, Relative: in.Relative, Alpha: in.Alpha,
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
	for name, v := range map[string]*float64{"challenger": r.Challenger, "champion": r.Champion} {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			r.Champion, r.Challenger = nil, nil // JSON has no way to write it
			return r.failed(fmt.Sprintf("The %s's %s is %v; a finite number is needed to compare.", name, in.Metric, *v)), nil
		}
	}
	broken, unknown := in.limits(&r)
	switch {
	case !in.Champion.Has:
		r.first()
	case challenger == nil || champion == nil:
		r.points(m)
	default:
		r.rows(in, m, champion, challenger)
	}
	switch {
	case broken:
		r.Verdict = ridgeline.Rejected
	case unknown && r.Verdict == ridgeline.Promoted:
		r.Verdict = ridgeline.Inconclusive
	}
	return r, nil
}

func (r Report) failed(reason string) Report {
	r.Verdict = ridgeline.GateError
	r.Reasons = append(r.Reasons, reason)
	return r
}

// check finds misuse.
func (in Input) check() (metric, error) {
	m, err := lookup(in.Metric, in.Better)
	if err != nil {
		return m, err
	}
	if math.IsNaN(in.MinEffect) || in.MinEffect < 0 || math.IsInf(in.MinEffect, 0) {
		return m, invalid("min_effect is %v; expected 0 or a positive number such as 0.01", in.MinEffect)
	}
	if !(in.Alpha > 0 && in.Alpha < 0.5) {
		return m, invalid("alpha is %v; expected a probability between 0 and 0.5 such as 0.05", in.Alpha)
	}
	if !in.Challenger.Has {
		return m, invalid("there is no challenger to judge; expected its losses, its predictions or its %s", in.Metric)
	}
	if err := in.Challenger.check("challenger", m); err != nil {
		return m, err
	}
	rows := in.Challenger.rows()
	if in.Champion.Has {
		if err := in.Champion.check("champion", m); err != nil {
			return m, err
		}
		if n := in.Champion.rows(); n > 0 && rows > 0 && n != rows {
			return m, invalid("the champion has %d rows and the challenger %d; both must answer the same holdout rows in the same order", n, rows)
		}
		if y, x := in.Champion.Y, in.Challenger.Y; in.Champion.Losses == nil && in.Challenger.Losses == nil && len(y) == len(x) {
			for i := range y {
				if y[i] != x[i] && !(math.IsNaN(y[i]) && math.IsNaN(x[i])) {
					return m, invalid("row %d: y is %v for the champion and %v for the challenger; both must answer the same holdout rows in the same order", i+1, y[i], x[i])
				}
			}
		}
	}
	for column, values := range in.Slices {
		if rows > 0 && len(values) != rows {
			return m, invalid("slice column %q has %d values for %d rows", column, len(values), rows)
		}
	}
	return m, nil
}

// rows is how many rows the scores cover; 0 when they are only a number.
func (s Scores) rows() int {
	if s.Losses != nil {
		return len(s.Losses)
	}
	return len(s.Y)
}

func (s Scores) check(who string, m metric) error {
	switch {
	case len(s.Y) != len(s.Prediction) && s.Losses == nil:
		return invalid("the %s has %d values of y and %d predictions; expected as many", who, len(s.Y), len(s.Prediction))
	case s.rows() == 0 && s.Point == nil:
		return invalid("the %s has no rows and no value of %s; expected losses, y and prediction, or the metric itself", who, m.name)
	case s.Losses == nil && s.rows() > 0 && m.loss == nil:
		return invalid("the metric %s cannot be computed from y and prediction; give a loss for each row, or use one of %s", m.name, metricList())
	}
	return nil
}

// losses returns the loss of each row, or nil when there is only a point. The
// problem, when there is one, is a sentence for the report.
func (s Scores) losses(m metric, who string) (losses []float64, problem string) {
	if !s.Has || s.rows() == 0 {
		return nil, ""
	}
	losses = s.Losses
	if losses == nil {
		losses = make([]float64, len(s.Y))
		for i := range losses {
			v, err := m.loss(s.Y[i], s.Prediction[i])
			if err != nil {
				return nil, fmt.Sprintf("Row %d of the %s cannot be judged: %v.", i+1, who, err)
			}
			losses[i] = v
		}
	}
	for i, v := range losses {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Sprintf("Row %d of the %s has the loss %v; every row needs a finite loss, so look at what the model answers for that row.", i+1, who, v)
		}
		if m.root && v < 0 {
			return nil, fmt.Sprintf("Row %d of the %s has the loss %v; losses of %s are squared errors and never negative.", i+1, who, v, m.name)
		}
	}
	return losses, ""
}

func (s Scores) value(m metric, losses []float64) *float64 {
	switch {
	case !s.Has:
		return nil
	case losses == nil:
		return s.Point
	}
	v := m.value(mean(losses))
	return &v
}

func invalid(format string, args ...any) error {
	return ridgeline.Errorf(ridgeline.Invalid, format, args...)
}
