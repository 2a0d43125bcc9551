package gate

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/ridgeline-mlops/ridgeline"
)

// A comparison is what the tests know of two models on the same rows. Margins
// are improvements of the challenger, relative ones fractions of the champion's
// value; side is 1 for better and −1 for worse.
type comparison interface {
	method() string
	value() float64 // the champion's metric
	effect(relative bool) float64
	same() bool // the models differ by rounding at most
	// t is the effect beyond a margin over its standard error.
	t(margin float64, relative bool) float64
	// tail is the probability of an effect as high (side 1) or as low (−1) if
	// the true one were the margin.
	tail(margin float64, relative bool, side float64) float64
	// limit is the margin at which tail is alpha.
	limit(alpha float64, relative bool, side float64) float64
	// atAll is a test of any difference; 0 where tail is all there is.
	atAll(side float64) float64
	// tests are those that a promotion must pass.
	tests(margin float64, relative bool) []Test
}

// compare sets two models side by side; the problem, if any, says why the rows
// do not allow it. Losses are those of all rows; at names the rows to compare,
// nil for all.
func (in Input) compare(m metric, champion, challenger []float64, at []int, seed uint64) (c comparison, problem string) {
	if m.whole == nil {
		if at != nil {
			champion, challenger = pick(champion, at), pick(challenger, at)
		}
		return newPaired(m, champion, challenger, seed), ""
	}
	y, a, b := in.Challenger.Y, in.Champion.Prediction, in.Challenger.Prediction
	if at != nil {
		y, a, b = pick(y, at), pick(a, at), pick(b, at)
	}
	if !m.areas {
		p, problem := newWhole(m, y, a, b, seed)
		if problem != "" {
			return nil, problem
		}
		return p, ""
	}
	d, problem := newDeLong(y, a, b)
	switch {
	case problem != "":
		return nil, problem
	case d.least < minClass:
		return nil, fmt.Sprintf("there are only %s of the rarer class; areas under the ROC curve are compared from %d on", count(d.least, "row"), minClass)
	}
	return d, ""
}

// rows decides from a loss for each row of both models.
func (r *Report) rows(in Input, m metric, champion, challenger []float64) {
	n := len(champion)
	if n < minRows {
		r.Method = "none: too few rows"
		r.point(m)
		needed := minRows
		r.RowsNeeded = &needed
		r.say("The holdout has only %s; nothing is concluded from fewer than %d, so add rows or hold out a larger fraction.", count(n, "row"), minRows)
		return
	}
	c, problem := in.compare(m, champion, challenger, nil, in.Seed)
	if problem != "" {
		r.Method = "none: too few rows"
		r.point(m)
		r.say("Nothing is concluded: %s.", problem)
		return
	}
	r.Method = c.method()
	r.measure(in, m, c)
	worse := 0
	if in.Champion.Has && r.Baseline == nil {
		worse = r.slices(in, m, champion, challenger)
	}
	if !c.same() {
		r.Spent = r.spending()
		r.Power = r.power(c)
	}
	switch {
	case c.same() && r.Baseline != nil:
		r.say("The new model answers all %s as the baseline does, so there is nothing to release.", count(n, "row"))
	case c.same():
		r.say("Both models answer all %s alike, so there is nothing to choose between them; the champion stays.", count(n, "row"))
	case r.significantlyWorse(c):
		r.Verdict = ridgeline.Rejected
		r.say("The new model is worse: %s. Even at the favourable end of its %s interval (%s) it does not reach the %s.", r.change(), level(r.Alpha), r.intervalText(), r.rival())
	case *r.P <= r.Threshold:
		r.Verdict = ridgeline.Promoted
		r.say("The new model is better: %s (%s interval %s, %s).", r.change(), level(r.Alpha), r.intervalText(), count(n, "row"))
		r.say("If the improvement were no more than %s, rows like these would come up with a probability of %s; up to %s is allowed.", r.threshold(), percent(*r.P), percent(r.Threshold))
	case r.Budget != nil && r.Budget.Exhausted():
		r.exhausted()
	default:
		r.unsure(c)
	}
	if worse > 0 {
		// What decides is told first.
		r.Verdict = ridgeline.Rejected
		r.Reasons = append([]string{r.sliceSentence(worse)}, r.Reasons...)
		return
	}
	r.say("%s", r.sliceSentence(worse))
}

// spending is what the decision costs of the error budget.
func (r *Report) spending() float64 {
	if r.Budget == nil {
		return 0
	}
	return r.Budget.Alpha
}

// exhausted explains why nothing is promoted on a holdout that has judged enough.
func (r *Report) exhausted() {
	what := fmt.Sprintf("%s (%s interval %s, %s)", r.change(), level(r.Alpha), r.intervalText(), count(r.Rows, "row"))
	r.say("This holdout has judged %s, and its error budget of %s is spent: one more comparison on the same rows could promote what only suits them. The new model is not promoted: %s.",
		count(r.Budget.Decision-1, "challenger"), percent(r.Budget.Total), what)
	r.say("About %s more new holdout rows start a new budget; add data, or hold out other rows.", grouped(float64(max(r.Budget.NewRows, 1))))
}

// measure fills in effect, intervals and p.
func (r *Report) measure(in Input, m metric, c comparison) {
	difference := c.effect(false)
	r.Difference = &difference
	limit := func(alpha float64, relative bool, side, lowest, highest float64) float64 {
		return min(max(c.limit(alpha, relative, side), lowest), highest)
	}
	lowest, highest := math.Inf(-1), math.Inf(1)
	if m.unit {
		lowest, highest = -1, 1
	}
	r.DifferenceInterval = &[2]float64{limit(r.Alpha/2, false, 1, lowest, highest), limit(r.Alpha/2, false, -1, lowest, highest)}
	value := c.value()
	if r.Baseline != nil && m.name == "r2" {
		value = 0 // but for chance, as it is of a constant
	}
	relative := in.Relative && value != 0
	margin := in.MinEffect
	if in.Relative && value == 0 {
		margin = 0 // a fraction of 0
	}
	p := 1.0
	if !c.same() {
		r.Tests = c.tests(margin, relative)
		p = 0
		for _, t := range r.Tests {
			p = max(p, t.P)
		}
	}
	r.P = &p
	if value == 0 {
		return // nothing is relative to 0
	}
	effect := c.effect(true)
	r.Effect = &effect
	lowest, highest = m.relativeBounds(value, difference)
	r.Interval = &[2]float64{limit(r.Alpha/2, true, 1, lowest, highest), limit(r.Alpha/2, true, -1, lowest, highest)}
	bound := limit(r.Alpha, true, 1, lowest, highest)
	r.Bound = &bound
}

// relativeBounds are what a relative effect can be at least and at most.
func (m metric) relativeBounds(value, difference float64) (lowest, highest float64) {
	if m.better == "lower" && value > 0 && value-difference >= 0 {
		return -limitless, 1 // a loss cannot fall by more than all of it
	}
	return -limitless, limitless
}

// significantlyWorse wants the whole interval below 0.
func (r *Report) significantlyWorse(c comparison) bool {
	if r.DifferenceInterval[1] >= 0 || *r.Difference >= 0 {
		return false
	}
	return c.atAll(-1) <= r.Alpha/2
}

// power is that of the normal approximation: the statistic of another such
// holdout is normal around the one observed, with a standard deviation of 1.
// It is of the improvement as observed, so it says how far the rows reach, and
// nothing that p does not (Hoenig & Heisey 2001).
func (r *Report) power(c comparison) *float64 {
	margin, relative := r.margin()
	power := distuv.UnitNormal.CDF(c.t(margin, relative) - distuv.UnitNormal.Quantile(1-r.Threshold))
	if math.IsNaN(power) {
		return nil
	}
	return &power
}

// margin is the minimum effect as the tests take it.
func (r *Report) margin() (margin float64, relative bool) {
	if r.Relative && r.Effect == nil {
		return 0, false // a fraction of 0
	}
	return r.MinEffect, r.Relative
}

// unsure explains an inconclusive result, and estimates the rows it would take.
func (r *Report) unsure(c comparison) {
	t := c.t(r.margin())
	what := fmt.Sprintf("%s (%s interval %s, %s)", r.change(), level(r.Alpha), r.intervalText(), count(r.Rows, "row"))
	if t <= 0 {
		switch {
		case *r.Difference > 0:
			r.say("The improvement is smaller than the %s asked for: %s. More rows would not change that unless the true improvement is larger than it looks here.", r.threshold(), what)
		default:
			r.say("There is no sign of an improvement: %s. More rows would not change that unless the true effect is another than it looks here; a better model would.", what)
		}
		return
	}
	r.say("The new model looks better, but not surely by more than %s: %s.", r.threshold(), what)
	if r.Budget != nil && *r.P <= r.Alpha {
		r.say("On its own the comparison would do (p is %s); as one of %d on the same holdout, it needs %s, so that all of them together promote chance in at most %s of cases.",
			percent(*r.P), r.Budget.Limit, percent(r.Threshold), percent(r.Budget.Total))
	}
	if *r.P < 0.5 {
		// The statistic as the most cautious of the tests sees it.
		t = min(t, distuv.UnitNormal.Quantile(1-*r.P))
	}
	if needed, ok := rowsNeeded(r.Rows, t, r.Threshold); ok {
		r.RowsNeeded = &needed
		r.say("If it truly is, about %s holdout rows would show it with a probability of 80 %%; that allows for how roughly %s tell the size of an improvement.", grouped(float64(rounded(needed))), count(r.Rows, "row"))
	} else {
		r.say("No realistic number of rows would settle it.")
	}
}

// rowsNeeded is how many rows promote with a probability of 80 %, from the
// statistic t that n rows gave. The usual sample size takes the effect that was
// seen for the true one, and whoever follows it is disappointed half of the time: in
// the diabetes simulation, 60 % were promoted at the rows they asked for.
// So the probability is averaged over the effects that t leaves open,
// normal around it and above the threshold: assurance (O'Hagan, Stevens and
// Campbell, Pharmaceutical Statistics 4, 2005). The statistic grows with the
// root of the rows.
func rowsNeeded(n int, t, alpha float64) (int, bool) {
	const power, steps = 0.86, 128 // who asks is a selection: what showed more was promoted at once
	normal := distuv.UnitNormal
	critical := normal.Quantile(1 - alpha)
	if math.IsInf(critical, 0) || !(t > 0) {
		return 0, false
	}
	from, to := max(0, t-6), t+6
	var at, weight [steps]float64
	total := 0.0
	for i := range at {
		at[i] = from + (to-from)*(float64(i)+0.5)/steps
		weight[i] = math.Exp(-(at[i] - t) * (at[i] - t) / 2)
		total += weight[i]
	}
	expected := func(growth float64) (p float64) {
		for i, v := range at {
			p += weight[i] / total * normal.CDF(growth*v-critical)
		}
		return p
	}
	low, high := 0.0, 1.0
	for expected(high) < power {
		if low, high = high, 2*high; high > 1e5 {
			return 0, false
		}
	}
	for range 30 {
		if middle := (low + high) / 2; expected(middle) < power {
			low = middle
		} else {
			high = middle
		}
	}
	rows := math.Ceil(float64(n) * high * high)
	if rows > 1e9 {
		return 0, false
	}
	return max(int(rows), n+1), true
}

// first judges a model that has no champion to beat.
func (r *Report) first(in Input, m metric, challenger []float64) error {
	r.Method = "none: first model"
	if in.Baseline == nil {
		r.Verdict = ridgeline.Promoted
		r.say("This is the first model, so there is no champion to beat, and no baseline was given; its %s is %s.", r.Metric, number(*r.Challenger))
		return nil
	}
	scores, err := in.Baseline.scores(in.Challenger, m)
	if err != nil {
		return err
	}
	losses, problem := scores.losses(m, "baseline")
	if problem != "" {
		*r = r.failed(problem)
		return nil
	}
	value := scores.value(m, losses)
	if value == nil || math.IsNaN(*value) || math.IsInf(*value, 0) {
		*r = r.failed(fmt.Sprintf("The baseline's %s is not a finite number; give another baseline.", r.Metric))
		return nil
	}
	r.Baseline = &BaselineResult{Name: in.Baseline.name(), Value: *value}
	switch {
	case losses == nil || challenger == nil:
		r.bar(m, in.Baseline.Point != nil)
	case len(losses) < minRows:
		r.bar(m, false)
		r.say("The holdout has only %s, too few for a test, so only the values were compared.", count(len(losses), "row"))
	default:
		in.Champion = scores
		r.rows(in, m, losses, challenger)
	}
	if r.Verdict != ridgeline.Promoted {
		r.say("A first model has to beat the baseline; without one there is nothing to release.")
	}
	return nil
}

// bar compares a first model's value with the baseline's; a number that was
// set on purpose is to be reached, a predictor to be beaten by the minimum effect.
func (r *Report) bar(m metric, set bool) {
	r.Method = "point values"
	r.point(m)
	needed := 0.0
	if !set {
		needed = r.MinEffect
		if r.Relative {
			needed *= math.Abs(r.Baseline.Value)
		}
	}
	switch d := *r.Difference; {
	case d >= needed && (set || d > 0):
		r.Verdict = ridgeline.Promoted
		r.say("This is the first model, and it meets the baseline: %s.", r.change())
	case d < 0:
		r.Verdict = ridgeline.Rejected
		r.say("The new model does not reach the baseline: %s.", r.change())
	default:
		r.say("The improvement over the baseline is smaller than the %s asked for: %s.", r.threshold(), r.change())
	}
}

// point fills in the effect of values alone.
func (r *Report) point(m metric) {
	difference := m.improvement(*r.reference(), *r.Challenger)
	r.Difference = &difference
	if *r.reference() != 0 {
		effect := difference / math.Abs(*r.reference())
		r.Effect = &effect
	}
}

// points compares two numbers, which is all there is.
func (r *Report) points(m metric) {
	r.Method = "point values"
	r.point(m)
	threshold := r.MinEffect
	if r.Relative {
		threshold *= math.Abs(*r.reference())
	}
	switch d := *r.Difference; {
	case d < 0:
		r.Verdict = ridgeline.Rejected
		r.say("The new model is worse: %s.", r.change())
	case d == 0:
		r.say("The new model is exactly as good: %s.", r.change())
	case d >= threshold:
		r.Verdict = ridgeline.Promoted
		r.say("The new model is better by at least the %s asked for: %s.", r.threshold(), r.change())
	default:
		r.say("The improvement is smaller than the %s asked for: %s.", r.threshold(), r.change())
	}
	r.say("Only the metric's values were compared, so the difference has no interval and may be chance. " +
		"For a test, let the evaluate step write $RIDGELINE_OUT/rows.csv: one line for each holdout row, with a column loss, or the columns y and prediction.")
}
