package gate

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/ridgeline-mlops/ridgeline"
)

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
	p := newPaired(m, champion, challenger, in.Seed, maxUnits)
	r.Method = fmt.Sprintf("paired studentised bootstrap and sign-flip test, %d resamples", resamples)
	if p.binary {
		r.Method = fmt.Sprintf("paired studentised bootstrap, %d resamples, and exact McNemar test", resamples)
	}
	r.measure(in, p)
	worse := r.slices(in, m, champion, challenger)
	switch {
	case p.same():
		r.say("Both models answer all %s alike, so there is nothing to choose between them; the champion stays.", count(n, "row"))
	case r.significantlyWorse(p):
		r.Verdict = ridgeline.Rejected
		r.say("The new model is worse: %s. Even at the favourable end of its %s interval (%s) it does not reach the champion.", r.change(), level(r.Alpha), r.intervalText())
	case *r.P <= r.Alpha:
		r.Verdict = ridgeline.Promoted
		r.say("The new model is better: %s (%s interval %s, %s).", r.change(), level(r.Alpha), r.intervalText(), count(n, "row"))
		r.say("If the improvement were no more than %s, rows like these would come up with a probability of %s; up to %s is allowed.", r.threshold(), percent(*r.P), percent(r.Alpha))
	default:
		r.unsure(p)
	}
	if worse > 0 {
		// What decides is told first.
		r.Verdict = ridgeline.Rejected
		r.Reasons = append([]string{r.sliceSentence(worse)}, r.Reasons...)
		return
	}
	r.say("%s", r.sliceSentence(worse))
}

// measure fills in effect, intervals and p.
func (r *Report) measure(in Input, p *paired) {
	difference := p.effect(false)
	r.Difference = &difference
	lowest, highest := math.Inf(-1), math.Inf(1)
	if p.metric.unit {
		lowest, highest = -1, 1
	}
	r.DifferenceInterval = &[2]float64{p.limitOf(r.Alpha/2, false, 1, lowest, highest), p.limitOf(r.Alpha/2, false, -1, lowest, highest)}
	value := p.metric.value(p.seen.a)
	relative := in.Relative && value != 0
	margin := in.MinEffect
	if in.Relative && value == 0 {
		margin = 0 // a fraction of 0
	}
	tail := p.tail(margin, relative, 1)
	switch {
	case p.same():
		tail = 1
	default:
		tail = max(tail, p.signs(1))
	}
	r.P = &tail
	if value == 0 {
		return // nothing is relative to 0
	}
	effect := p.effect(true)
	r.Effect = &effect
	lowest, highest = -1e6, 1e6
	if p.metric.sign() > 0 && !p.metric.flip && value > 0 && p.seen.a-p.seen.d >= 0 {
		highest = 1 // a loss cannot fall by more than all of it
	}
	r.Interval = &[2]float64{p.limitOf(r.Alpha/2, true, 1, lowest, highest), p.limitOf(r.Alpha/2, true, -1, lowest, highest)}
	bound := p.limitOf(r.Alpha, true, 1, lowest, highest)
	r.Bound = &bound
}

// significantlyWorse wants the whole interval below 0.
func (r *Report) significantlyWorse(p *paired) bool {
	if r.DifferenceInterval[1] >= 0 || *r.Difference >= 0 {
		return false
	}
	return p.signs(-1) <= r.Alpha/2
}

// unsure explains an inconclusive result, and estimates the rows it would take.
func (r *Report) unsure(p *paired) {
	margin, relative := r.MinEffect, r.Relative && r.Effect != nil
	if r.Relative && r.Effect == nil {
		margin = 0
	}
	t := p.t(margin, relative)
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
	if *r.P < 0.5 {
		// The statistic as the most cautious of the tests sees it.
		t = min(t, distuv.UnitNormal.Quantile(1-*r.P))
	}
	if needed, ok := rowsNeeded(p.n, t, r.Alpha); ok {
		r.RowsNeeded = &needed
		r.say("If the true improvement is what it looks like, about %s holdout rows would show it with a probability of 80 %%.", grouped(float64(rounded(needed))))
	} else {
		r.say("The improvement is so close to that threshold that no realistic number of rows would settle it.")
	}
}

// rowsNeeded is the usual sample size of a one-sided z-test with power 80 %,
// from the statistic t that n rows gave: it grows with the root of the rows.
func rowsNeeded(n int, t, alpha float64) (int, bool) {
	normal := distuv.UnitNormal
	need := (normal.Quantile(1-alpha) + normal.Quantile(0.8)) / t
	rows := math.Ceil(float64(n) * need * need)
	if rows > 1e9 {
		return 0, false
	}
	return max(int(rows), n+1), true
}

// first judges a model that has no champion to beat.
func (r *Report) first() {
	r.Method = "none: first model"
	r.Verdict = ridgeline.Promoted
	r.say("This is the first model, so there is no champion to beat; its %s is %s.", r.Metric, number(*r.Challenger))
}

// point fills in the effect of values alone.
func (r *Report) point(m metric) {
	difference := m.improvement(*r.Champion, *r.Challenger)
	r.Difference = &difference
	if *r.Champion != 0 {
		effect := difference / math.Abs(*r.Champion)
		r.Effect = &effect
	}
}

// points compares two numbers, which is all there is.
func (r *Report) points(m metric) {
	r.Method = "point values"
	r.point(m)
	threshold := r.MinEffect
	if r.Relative {
		threshold *= math.Abs(*r.Champion)
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

// limits holds what was measured against the limits, and says what it found.
func (in Input) limits(r *Report) (broken, unknown bool) {
	if limit := in.Limits.P95; limit > 0 {
		switch got := in.Measured.P95; {
		case got <= 0:
			unknown = true
			r.say("The limit on the 95th percentile of latency (%v) cannot be judged: no latency was measured. Score through the scorer, or take the limit out.", limit)
		case got > limit:
			broken = true
			r.say("The 95th percentile of latency is %v, above the limit of %v.", got, limit)
		}
	}
	if limit := in.Limits.Size; limit > 0 {
		switch got := in.Measured.Size; {
		case got <= 0:
			unknown = true
			r.say("The limit on the model's size (%s) cannot be judged: its size was not measured.", bytes(limit))
		case got > limit:
			broken = true
			r.say("The model has %s, more than the limit of %s.", bytes(got), bytes(limit))
		}
	}
	return broken, unknown
}
