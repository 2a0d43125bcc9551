package gate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// A Baseline is what a first model must beat, having no champion: the
// predictor that answers every row alike (Constant), its losses where the
// challenger has losses, or a number that the metric must reach.
//
// Against a predictor the challenger must be better by MinEffect in the same
// test as against a champion, at Input.Alpha: a first model spends no error
// budget. With fewer rows than a test needs, values alone are compared. A
// number is a bar somebody set on purpose; it must be reached, with no
// MinEffect on top.
type Baseline struct {
	Name     string // such as "the mean of the training target"
	Constant *float64
	Losses   []float64
	Point    *float64
}

// Constant is the baseline that predicts one number, the best for the metric
// that the training target gives: the mean for mse, rmse and r2, the median for
// mae, the weighted median for mape, the quantile for a quantile loss, the
// share of 1 for log_loss and brier, the most frequent label for accuracy and
// error_rate. Every constant is as good for roc_auc and pr_auc; for f1 it is 1.
// A metric of the user's own has none.
func Constant(metric string, target []float64) (Baseline, error) {
	m, err := lookup(metric, "")
	if err != nil {
		return Baseline{}, err
	}
	if m.constant == nil {
		return Baseline{}, invalid("no constant is known to be best for %s; give the baseline as a number", metric)
	}
	if len(target) == 0 {
		return Baseline{}, invalid("the training target has no rows; a baseline is computed from them")
	}
	for i, y := range target {
		if math.IsNaN(y) || math.IsInf(y, 0) {
			return Baseline{}, invalid("row %d of the training target is %v; a baseline needs finite numbers", i+1, y)
		}
	}
	v, what := m.constant(target)
	return Baseline{Name: what, Constant: &v}, nil
}

// scores of the baseline on the challenger's rows.
func (b Baseline) scores(challenger Scores, m metric) (Scores, error) {
	given := 0
	for _, has := range []bool{b.Constant != nil, b.Losses != nil, b.Point != nil} {
		if has {
			given++
		}
	}
	if given != 1 {
		return Scores{}, invalid("the baseline is given in %d ways; expected one of a constant prediction, losses, or a number", given)
	}
	switch {
	case b.Point != nil:
		return Scores{Has: true, Point: b.Point}, nil
	case b.Losses != nil:
		s := Scores{Has: true, Losses: b.Losses}
		if err := s.check("baseline", m); err != nil {
			return s, err
		}
		return s, s.pairs(challenger, m)
	case len(challenger.Y) == 0:
		return Scores{}, invalid("the baseline is a constant prediction, but the challenger comes without y; give y and prediction, or the baseline's losses or its %s", m.name)
	}
	s := Scores{Has: true, Y: challenger.Y, Prediction: make([]float64, len(challenger.Y))}
	for i := range s.Prediction {
		s.Prediction[i] = *b.Constant
	}
	return s, nil
}

func (b Baseline) name() string {
	switch {
	case b.Name != "":
		return b.Name
	case b.Constant != nil:
		return "always " + number(*b.Constant)
	}
	return "as given"
}

func constantMean(y []float64) (float64, string) { return mean(y), "the mean of the training target" }

func constantRate(y []float64) (float64, string) {
	return mean(y), "the share of 1 in the training target"
}

func constantOne([]float64) (float64, string) { return 1, "the same answer for every row" }

// constantQuantile takes the middle of the two values where they tie, as a
// median does.
func constantQuantile(q float64) func([]float64) (float64, string) {
	name := "the median of the training target"
	if q != 0.5 {
		name = fmt.Sprintf("the %v quantile of the training target", q)
	}
	return func(y []float64) (float64, string) {
		y = slices.Clone(y)
		slices.Sort(y)
		at := q * float64(len(y))
		i := min(int(at), len(y)-1)
		if at == math.Floor(at) && i > 0 {
			return y[i-1] + (y[i]-y[i-1])/2, name
		}
		return y[i], name
	}
}

// constantPercentage is the median weighted by 1/|y|, which has the lowest mape.
func constantPercentage(y []float64) (float64, string) {
	const name = "the weighted median of the training target"
	y = slices.DeleteFunc(slices.Clone(y), func(v float64) bool { return v == 0 })
	if len(y) == 0 {
		return 0, name
	}
	slices.Sort(y)
	total := 0.0
	for _, v := range y {
		total += 1 / math.Abs(v)
	}
	half := 0.0
	for _, v := range y {
		if half += 1 / math.Abs(v); half >= total/2 {
			return v, name
		}
	}
	return y[len(y)-1], name
}

func constantLabel(y []float64) (float64, string) {
	counts := map[float64]int{}
	for _, v := range y {
		counts[v]++
	}
	label := slices.MaxFunc(sortedKeys(counts), func(a, b float64) int { return cmp.Compare(counts[a], counts[b]) })
	return label, "the most frequent label of the training target"
}
