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
	Alpha     float64 // of intervals, slices and, without an Allowance, of a promotion; 0 means 0.05
	Seed      uint64  // of the bootstrap

	Challenger Scores
	Champion   Scores    // Has is false for a project's first model
	Baseline   *Baseline // what a first model must beat; nil: nothing

	// Allowance is what the error budget leaves for this decision: a champion
	// is replaced at its Alpha. Nil when there is no budget.
	Allowance *Allowance
	Overlaps  []Overlap // of training and holdout rows: any is the verdict GateError

	Slices     map[string][]string // column → value, for each holdout row
	Tolerances map[string]Margin   // "sex=1", "sex" or "" for all → how much worse a slice may get; the first that fits counts

	Limits           Limits
	Measured         Measured
	Features         []Feature // the challenger's; nil when not known
	ChampionFeatures []Feature
	Notes            []string  // sentences about where the scores come from, for the end of the report
	Reported         []float64 // the challenger's predictions of the same rows as training reported them; NaN for rows it did not
}

// Scores are how one model did on the holdout: the loss of each row, or the
// truth and the prediction it follows from, or only the metric. The first
// that is given counts, but metrics of the whole (r2, f1, roc_auc, pr_auc)
// have no losses of rows and take truth and predictions. Rows of champion and
// challenger are the same rows in the same order.
type Scores struct {
	Has bool
	// Losses of the rows, as RowLoss has them for the metric: squared errors
	// for mse and rmse, 0 or 1 for accuracy and error_rate. For a metric of the
	// user's own that is better when higher they are scores.
	Losses        []float64
	Y, Prediction []float64 // a prediction of NaN is a missing one
	Point         *float64  // the metric's value
}

// A Margin is an amount of the metric, or with Relative a fraction of it.
type Margin struct {
	Value    float64
	Relative bool
}

// Limits a challenger must keep; zero or nil means none.
type Limits struct {
	P95             time.Duration     // of a prediction
	Size            int64             // bytes of the model
	Lowest, Highest *float64          // that a prediction may be
	Missing         *float64          // share of rows that may have no prediction; they are left out for both models
	SameFeatures    bool              // the champion's features, names and types
	Gaps            map[string]Margin // slice column → largest difference of the metric between its slices (fairness)
}

// Measured is what the challenger takes; zero means not measured.
type Measured struct {
	P95  time.Duration
	Size int64
}

// A Feature is a column that a model takes in.
type Feature struct{ Name, Type string }

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
	if a := in.Allowance; a != nil && !(a.Alpha >= 0 && a.Alpha < 0.5) {
		return m, invalid("the allowance is %v; expected a probability between 0 and 0.5 as Budget.Next gives it", a.Alpha)
	}
	if !in.Challenger.Has {
		return m, invalid("there is no challenger to judge; expected its losses, its predictions or its %s", in.Metric)
	}
	if err := in.Challenger.check("challenger", m); err != nil {
		return m, err
	}
	rows := in.Challenger.rows(m)
	if in.Champion.Has {
		if err := in.Champion.check("champion", m); err != nil {
			return m, err
		}
		if err := in.Champion.pairs(in.Challenger, m); err != nil {
			return m, err
		}
	}
	for column, values := range in.Slices {
		if rows > 0 && len(values) != rows {
			return m, invalid("slice column %q has %d values for %d rows", column, len(values), rows)
		}
	}
	if n := len(in.Challenger.Prediction); in.Reported != nil && len(in.Reported) != n {
		return m, invalid("training reported %d predictions and the scorer gave %d; expected one for each holdout row, NaN where there is none", len(in.Reported), n)
	}
	return m, in.Limits.check(in.Slices)
}

// pairs checks that the rows of champion and challenger are the same.
func (s Scores) pairs(challenger Scores, m metric) error {
	if n, rows := s.rows(m), challenger.rows(m); n > 0 && rows > 0 && n != rows {
		return invalid("the champion has %d rows and the challenger %d; both must answer the same holdout rows in the same order", n, rows)
	}
	if s.hasLosses(m) || challenger.hasLosses(m) || len(s.Y) != len(challenger.Y) {
		return nil
	}
	for i, y := range s.Y {
		if x := challenger.Y[i]; y != x && !(math.IsNaN(y) && math.IsNaN(x)) {
			return invalid("row %d: y is %v for the champion and %v for the challenger; both must answer the same holdout rows in the same order", i+1, y, x)
		}
	}
	return nil
}

func (l Limits) check(slices map[string][]string) error {
	if l.Missing != nil && !(*l.Missing >= 0 && *l.Missing < 1) {
		return invalid("the limit on missing predictions is %v; expected a share from 0 to below 1", *l.Missing)
	}
	if l.Lowest != nil && l.Highest != nil && !(*l.Lowest <= *l.Highest) {
		return invalid("predictions are limited to %v … %v; expected the lower end first", *l.Lowest, *l.Highest)
	}
	for column, gap := range l.Gaps {
		if !(gap.Value >= 0) || math.IsInf(gap.Value, 0) {
			return invalid("the limit on the gap between slices of %q is %v; expected 0 or a positive number", column, gap.Value)
		}
		if _, ok := slices[column]; !ok {
			return invalid("the gap between slices of %q is limited, but it is no slice column; add it to slices", column)
		}
	}
	return nil
}

func (s Scores) hasLosses(m metric) bool { return s.Losses != nil && m.whole == nil }

// rows is how many rows the scores cover; 0 when they are only a number.
func (s Scores) rows(m metric) int {
	if s.hasLosses(m) {
		return len(s.Losses)
	}
	return len(s.Y)
}

func (s Scores) check(who string, m metric) error {
	switch {
	case m.whole != nil && len(s.Losses) > 0 && len(s.Y) == 0 && s.Point == nil:
		return invalid("the %s has losses, but %s is not a mean of them; give y and prediction of each row", who, m.name)
	case len(s.Y) != len(s.Prediction) && !s.hasLosses(m):
		return invalid("the %s has %d values of y and %d predictions; expected as many", who, len(s.Y), len(s.Prediction))
	case s.rows(m) == 0 && s.Point == nil:
		return invalid("the %s has no rows and no value of %s; expected losses, y and prediction, or the metric itself", who, m.name)
	case !s.hasLosses(m) && s.rows(m) > 0 && m.loss == nil && m.whole == nil:
		return invalid("the metric %s cannot be computed from y and prediction; give a loss for each row, or use one of %s", m.name, metricList())
	}
	return nil
}

// losses returns the loss of each row, or nil when there is only a point. The
// problem, when there is one, is a sentence for the report.
func (s Scores) losses(m metric, who string) (losses []float64, problem string) {
	if !s.Has || s.rows(m) == 0 {
		return nil, ""
	}
	if m.whole != nil {
		w, problem := m.whole(s.Y, s.Prediction)
		if problem != "" {
			return nil, fmt.Sprintf("The %s cannot be judged: %s.", who, problem)
		}
		return w.pseudo, ""
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
