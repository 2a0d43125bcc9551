package gate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A metric is a function of the mean of per-row losses (that mean itself, its
// root, or one minus it), or else of all rows as a whole.
type metric struct {
	name   string
	better string // "lower" or "higher"
	root   bool   // value = √mean
	flip   bool   // value = 1 − mean: lower losses, higher metric
	unit   bool   // losses and value lie between 0 and 1
	loss   func(y, prediction float64) (float64, error)

	// whole computes a metric that is not a function of a mean of losses.
	whole func(y, prediction []float64) (w whole, problem string)
	// areas says that the metric is an area under ROC curves, compared by DeLong's test.
	areas bool
	// constant is the best constant prediction, and what it is called.
	constant func(target []float64) (float64, string)
}

// metrics in the order in which Metrics lists them.
var metrics = []metric{
	{name: "mse", better: "lower", loss: squaredError, constant: constantMean},
	{name: "rmse", better: "lower", root: true, loss: squaredError, constant: constantMean},
	{name: "mae", better: "lower", loss: absoluteError, constant: constantQuantile(0.5)},
	{name: "mape", better: "lower", loss: percentageError, constant: constantPercentage},
	{name: "r2", better: "higher", whole: rSquared, constant: constantMean},
	{name: "accuracy", better: "higher", flip: true, unit: true, loss: labelError, constant: constantLabel},
	{name: "error_rate", better: "lower", unit: true, loss: labelError, constant: constantLabel},
	{name: "log_loss", better: "lower", loss: logLoss, constant: constantRate},
	{name: "brier", better: "lower", unit: true, loss: brier, constant: constantRate},
	{name: "f1", better: "higher", unit: true, whole: f1, constant: constantOne},
	{name: "roc_auc", better: "higher", unit: true, whole: rocAUC, areas: true, constant: constantOne},
	{name: "pr_auc", better: "higher", unit: true, whole: prAUC, constant: constantOne},
	quantileMetric("quantile_0.9", 0.9), // stands for them all
	{name: "loss", better: "lower"},
}

// quantileMetric is the mean pinball loss of predictions of the q-quantile
// (Koenker and Bassett, Econometrica 46, 1978).
func quantileMetric(name string, q float64) metric {
	return metric{name: name, better: "lower", constant: constantQuantile(q), loss: func(y, p float64) (float64, error) {
		return max(q*(y-p), (q-1)*(y-p)), nil
	}}
}

// known finds a metric by name; any quantile_q with 0 < q < 1 is one.
func known(name string) (metric, bool) {
	if i := slices.IndexFunc(metrics, func(m metric) bool { return m.name == name }); i >= 0 {
		return metrics[i], true
	}
	if digits, ok := strings.CutPrefix(name, "quantile_"); ok {
		if q, err := strconv.ParseFloat(digits, 64); err == nil && q > 0 && q < 1 {
			return quantileMetric(name, q), true
		}
	}
	return metric{}, false
}

// Metrics lists the metrics known by name; quantile_0.9 stands for every
// quantile_q with q between 0 and 1. "loss" is the mean of losses that
// the user computes. Any other name works too where Better is given and values
// or losses, not predictions, are compared.
func Metrics() []string {
	names := make([]string, len(metrics))
	for i, m := range metrics {
		names[i] = m.name
	}
	return names
}

func metricList() string { return strings.Join(Metrics(), ", ") }

// BetterOf says whether a known metric is better when "lower" or "higher".
func BetterOf(name string) (string, bool) {
	m, ok := known(name)
	return m.better, ok
}

// RowLoss is the loss of one row, the lower the better: the squared error for
// mse and rmse; |y − prediction| for mae, and over |y| for mape; 1 for a wrong
// label and 0 for a right one for accuracy and error_rate; the negative log
// likelihood for log_loss and the squared error of the probability for brier
// (Brier, Monthly Weather Review 78, 1950); the pinball loss for quantile_q.
//
// For log_loss and brier y is 0 or 1 and prediction the probability of 1. For
// accuracy and error_rate prediction is a label, or, when y is 0 or 1 and
// prediction is strictly between, a probability that means 1 from 0.5 on.
func RowLoss(metric string, y, prediction float64) (float64, error) {
	m, err := lookup(metric, "")
	if err != nil {
		return 0, err
	}
	switch {
	case m.whole != nil:
		return 0, invalid("the metric %s belongs to all rows together; one row has no loss", metric)
	case m.loss == nil:
		return 0, invalid("the metric %s is not computed from y and prediction; give the losses themselves", metric)
	}
	v, err := m.loss(y, prediction)
	if err != nil {
		return 0, invalid("%s: %w", metric, err)
	}
	return v, nil
}

func lookup(name, better string) (metric, error) {
	if better != "" && better != "lower" && better != "higher" {
		return metric{}, invalid("better is %q; expected lower or higher", better)
	}
	if m, ok := known(name); ok {
		if better != "" && better != m.better {
			return m, invalid("better is %s, but %s is better when %s; leave better out", better, name, m.better)
		}
		return m, nil
	}
	if name == "" || better == "" {
		return metric{}, invalid("there is no metric %q; expected one of %s, or a name of your own together with better: lower or higher", name, metricList())
	}
	return metric{name: name, better: better}, nil
}

// value is the metric for a mean of losses, or of pseudo-values.
func (m metric) value(mean float64) float64 {
	switch {
	case m.root:
		return math.Sqrt(max(mean, 0))
	case m.flip:
		return 1 - mean
	}
	return mean
}

// sign is 1 when a lower mean of losses is an improvement, −1 for scores.
func (m metric) sign() float64 {
	if m.better == "higher" && !m.flip {
		return -1
	}
	return 1
}

// improvement of a value over another, in the metric's unit.
func (m metric) improvement(champion, challenger float64) float64 {
	if m.better == "higher" {
		return challenger - champion
	}
	return champion - challenger
}

func squaredError(y, p float64) (float64, error) { return (y - p) * (y - p), nil }

func absoluteError(y, p float64) (float64, error) { return math.Abs(y - p), nil }

func percentageError(y, p float64) (float64, error) {
	if y == 0 {
		return 0, errors.New("y is 0, where a percentage error is not defined; use mae, or leave such rows out")
	}
	return math.Abs((y - p) / y), nil
}

func labelError(y, p float64) (float64, error) {
	if math.IsNaN(y) || math.IsNaN(p) {
		return math.NaN(), nil
	}
	if (y == 0 || y == 1) && p > 0 && p < 1 {
		p = math.Floor(p + 0.5)
	}
	if y == p {
		return 0, nil
	}
	return 1, nil
}

func checkProbability(y, p float64) error {
	switch {
	case math.IsNaN(y) || math.IsNaN(p):
		return fmt.Errorf("y is %v and prediction %v; expected numbers", y, p)
	case y != 0 && y != 1:
		return fmt.Errorf("y is %v; expected 0 or 1", y)
	case p < 0 || p > 1:
		return fmt.Errorf("prediction is %v; expected a probability between 0 and 1", p)
	}
	return nil
}

// logLoss clips a probability to machine precision, as scikit-learn's log_loss
// does for float64, so that a sure and wrong answer costs 36, not infinity.
func logLoss(y, p float64) (float64, error) {
	if err := checkProbability(y, p); err != nil {
		return 0, err
	}
	const eps = 2.220446049250313e-16
	p = min(max(p, eps), 1-eps)
	if y == 1 {
		return -math.Log(p), nil
	}
	return -math.Log1p(-p), nil
}

func brier(y, p float64) (float64, error) {
	if err := checkProbability(y, p); err != nil {
		return 0, err
	}
	return (y - p) * (y - p), nil
}

func mean(x []float64) float64 {
	var sum, lost float64 // Kahan–Babuška–Neumaier
	for _, v := range x {
		t := sum + v
		if math.Abs(sum) >= math.Abs(v) {
			lost += (sum - t) + v
		} else {
			lost += (v - t) + sum
		}
		sum = t
	}
	return (sum + lost) / float64(len(x))
}
