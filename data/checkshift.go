package data

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// shifted is a rule that compares distributions, to be judged once both sides
// are counted.
type shifted struct {
	finding int
	rule    shiftRule
	ref     *reference
	column  *refColumn
	counts  *counted
	alpha   float64
}

// counted is the new data over the reference's bins and values.
type counted struct {
	bins   []int64
	values []int64 // of the reference's values
	other  int64   // rows with another value
}

// planBand plans a mean, std or quantiles rule.
func (c *checker) planBand(r *columnRules, s subject, b bandRule) {
	x := s.finite()
	measure := map[string]string{"mean": "avg(" + x + ")", "std": stddev(x), "quantiles": fmt.Sprintf("approx_quantile(%s, %v)", x, b.quantile)}[b.rule]
	f := Finding{Rule: b.rule, Expected: strings.TrimSpace(b.text)}
	if b.label != "" {
		f.Expected = b.label + ": " + f.Expected
	}
	want, figure := b, math.NaN()
	var ref *reference
	var col *refColumn
	switch {
	case b.reference != nil:
		figure = *b.reference
	case b.compares():
		ref = c.compared[b.against]
		if !ref.there {
			f.OK, f.Found = true, noReference(b.against)
			c.say(r, f)
			return
		}
		col = ref.columns[r.name]
		figure = map[string]float64{"mean": col.mean, "std": col.std, "quantiles": col.quantiles[b.quantile]}[b.rule]
		if col.absent || math.IsNaN(figure) {
			f.Found = "no numbers in the reference to compare with"
			c.say(r, f)
			return
		}
		f.Expected = strings.TrimSpace(b.label + " " + formatNumber(figure) + " " + strings.TrimSpace(b.text))
	default:
		f.Expected = strings.TrimSpace(b.label + " " + between(b.min, b.max))
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	if b.min != nil {
		lo = *b.min
	}
	if b.max != nil {
		hi = *b.max
	}
	c.add(r, f, []string{measure, "count(" + x + ")"}, example{}, func(f *Finding, v []any) {
		got := number(v[0])
		if math.IsNaN(got) {
			f.Found = "too few numbers to tell"
			return
		}
		switch {
		case want.calibrated:
			d := col.chance(b.rule, v[1].(int64), c.alpha(b.alarms))
			f.Expected += fmt.Sprintf(" ± %s, which chance exceeds in %s of cases (%s against %d)", formatNumber(d), percent(c.alpha(b.alarms)), count(v[1].(int64), "value"), col.n)
			lo, hi = figure-d, figure+d
		case want.relative:
			lo, hi = figure-want.tolerance*math.Abs(figure), figure+want.tolerance*math.Abs(figure)
		case want.tolerance > 0:
			lo, hi = figure-want.tolerance, figure+want.tolerance
		}
		f.OK, f.Found = got >= lo && got <= hi, formatNumber(got)
		if !f.OK && figure != 0 && !math.IsNaN(figure) {
			f.Found += fmt.Sprintf(" (%+.3g %%)", 100*(got-figure)/math.Abs(figure))
		}
	})
}

func between(lo, hi *float64) string {
	switch {
	case hi == nil:
		return "at least " + formatNumber(*lo)
	case lo == nil:
		return "at most " + formatNumber(*hi)
	}
	return formatNumber(*lo) + " to " + formatNumber(*hi)
}

// planShift plans a rule on a distribution.
func (c *checker) planShift(r *columnRules, s subject, rule shiftRule) {
	f := Finding{Rule: rule.rule, Expected: "the distribution of the reference"}
	if rule.against != "" {
		f.Expected = "the distribution of " + rule.against
	}
	ref := c.compared[rule.against]
	if !ref.there {
		f.OK, f.Found = true, noReference(rule.against)
		c.say(r, f)
		return
	}
	col := ref.columns[r.name]
	switch {
	case col.absent:
		f.Found = "no such column in the reference" + ref.source.almost(r.name)
	case rule.rule == "ks" && !col.numeric:
		f.Found = "values without an order in the reference; use psi, js, chi2 or categories"
	case rule.rule == "categories" && col.many:
		f.Found = fmt.Sprintf("more than %d different values in the reference, which are no categories; use unique, pattern or in", maxCategories)
	default:
		one := &shifted{rule: rule, ref: ref, column: col, counts: &counted{}}
		one.finding = c.say(r, f)
		c.shifted = append(c.shifted, one)
		c.planCounts(s, one)
		return
	}
	c.say(r, f)
}

func (c *checker) planCounts(s subject, one *shifted) {
	col, rule := one.column, one.rule.rule
	for _, before := range c.shifted[:len(c.shifted)-1] {
		if before.column == col && (before.rule.rule == "categories") == (rule == "categories") {
			one.counts = before.counts // counted already
			return
		}
	}
	if rule != "categories" && col.numeric {
		c.measures.add([]string{col.binned(s)}, func(v []any) { one.counts.bins = col.binCounts(v[0]) })
		return
	}
	values := literals(col.values)
	if len(col.values) == 0 {
		values = "CAST([] AS VARCHAR[])"
	}
	measures := []string{"histogram_exact(" + s.present(s.text) + ", " + values + ")", "count(" + s.present(s.text) + ")"}
	c.measures.add(measures, func(v []any) {
		counts := histogram(v[0])
		one.counts.values, one.counts.other = make([]int64, len(col.values)), v[1].(int64)
		for i, value := range col.values {
			one.counts.values[i] = counts[value]
			one.counts.other -= counts[value]
		}
	})
	if rule == "categories" {
		// Rows with a value that the reference lacks are shown as examples.
		ex := example{finding: one.finding, text: shown(s.text),
			bad: "NOT (" + s.null + ") AND NOT list_contains(" + values + ", " + s.text + ")"}
		c.measures.add(nil, func([]any) {
			if one.counts.other > 0 {
				c.broken = append(c.broken, ex)
			}
		})
	}
}

// alpha is the rate of a calibrated rule: its own, or its part of the file's
// (C. E. Bonferroni, 1936: then all of them together keep to the file's).
func (c *checker) alpha(own float64) float64 {
	if own > 0 {
		return own
	}
	n := 0
	for _, r := range c.rules.columns {
		for _, b := range r.bands {
			if b.calibrated && b.alarms == 0 {
				n++
			}
		}
		for _, s := range r.shifts {
			if s.calibrated() && s.alarms == 0 {
				n++
			}
		}
	}
	return c.rules.alarms / float64(max(n, 1))
}

// calibrate judges the rules on distributions, as many at once as there are
// processors: each resamples for itself.
func (c *checker) calibrate() {
	shared := c.alpha(0)
	var group sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, one := range c.shifted {
		if one.alpha = shared; one.rule.alarms > 0 {
			one.alpha = one.rule.alarms
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			f := &c.findings[one.finding]
			if one.rule.rule == "categories" {
				one.judgeCategories(f, c.rows)
			} else {
				one.judge(f, c.rows)
			}
		})
	}
	group.Wait()
	// An example belongs to a broken rule only.
	c.broken = slices.DeleteFunc(c.broken, func(ex example) bool { return c.findings[ex.finding].OK })
}

// sides are both samples over the same bins, with what to call each.
func (s *shifted) sides(rows int64) (Bins, []string) {
	var b Bins
	var names []string
	put := func(name string, a, n int64) {
		b.A, b.B, names = append(b.A, a), append(b.B, n), append(names, name)
	}
	col, now := s.column, s.counts
	if col.numeric {
		total := float64(max(total(col.bins), 1))
		full, from, at := 0.0, 0.0, ""
		if s.rule.rule != "ks" {
			full = math.Max(1.0/coarseBins, leastRows/total)
		}
		var a, n, cum int64
		for i := range col.bins {
			a, n, cum = a+col.bins[i], n+now.bins[i], cum+col.bins[i]
			last := i == len(col.bins)-1
			// A bin ends where the reference's share is full, at the edge where its
			// values end from below, and with the last one.
			if !last && float64(cum)/total < from+0.98*full && !(i == 0 && a == 0) {
				continue
			}
			to := "above " + at
			if !last {
				to = col.edge(i)
				if at == "" {
					to = "up to " + to
				} else {
					to = at + " to " + to
				}
				at = col.edge(i)
			}
			put(to, a, n)
			a, n, from = 0, 0, float64(cum)/total
		}
	} else {
		var rareA, rareB int64
		for i, v := range col.values {
			if i < shownCategories {
				put(fmt.Sprintf("%q", v), col.counts[i], now.values[i])
				continue
			}
			rareA, rareB = rareA+col.counts[i], rareB+now.values[i]
		}
		rare := s.ref.rows - total(col.counts) // with many values: all others; else the missing ones
		if col.many {
			rareA, rareB = rareA+max(0, rare), rareB+now.other
		} else {
			put("values that the reference lacks", 0, now.other)
		}
		put("rarer values", rareA, rareB)
	}
	if s.rule.rule != "ks" {
		missingA, missingB := s.ref.rows-total(b.A), rows-total(b.B)
		put("no value", max(0, missingA), max(0, missingB))
	}
	return b, names
}

func (col *refColumn) edge(i int) string {
	if col.time {
		return time.Unix(0, int64(col.edges[i]*1e9)).UTC().Format("2006-01-02 15:04:05")
	}
	return formatNumber(col.edges[i])
}

var statistics = map[string]func(Bins) float64{"psi": Bins.PSI, "js": Bins.JS, "ks": Bins.KS, "chi2": Bins.Chi2}

// judge completes the finding of psi, js, ks or chi2.
func (s *shifted) judge(f *Finding, rows int64) {
	bins, names := s.sides(rows)
	n, m := total(bins.B), total(bins.A)
	if n == 0 || m == 0 {
		f.OK, f.Found = true, fmt.Sprintf("%s against %d: nothing to compare", count(n, "value"), m)
		return
	}
	stat := statistics[s.rule.rule]
	got := stat(bins.trim())
	var threshold float64
	if s.rule.max != nil {
		threshold = *s.rule.max
		f.Expected = fmt.Sprintf("at most %s (%s against %d)", formatNumber(threshold), count(n, "row"), m)
	} else {
		threshold = bins.trim().Threshold(stat, s.rule.rule == "ks", s.alpha)
		f.Expected = fmt.Sprintf("at most %s, which chance exceeds in %s of cases (%s against %d)", formatNumber(threshold), percent(s.alpha), count(n, "row"), m)
		if s.rule.minEffect > threshold {
			threshold = s.rule.minEffect
			f.Expected = fmt.Sprintf("at most %s, the least effect that counts (%s against %d)", formatNumber(threshold), count(n, "row"), m)
		}
	}
	f.OK, f.Found = got <= threshold, formatNumber(got)
	if !f.OK {
		f.Found += "; most at " + farthest(bins, names)
	}
}

// farthest names the bin whose share changed most.
func farthest(b Bins, names []string) string {
	at, most := 0, -1.0
	share := func(n, of int64) float64 { return float64(n) / float64(max(of, 1)) }
	ta, tb := total(b.A), total(b.B)
	for i := range b.A {
		if d := math.Abs(share(b.B[i], tb) - share(b.A[i], ta)); d > most {
			at, most = i, d
		}
	}
	return fmt.Sprintf("%s: %.3g %% before, %.3g %% now", names[at], 100*share(b.A[at], ta), 100*share(b.B[at], tb))
}

// judgeCategories completes the finding of new and vanished values. What the
// rule leaves open is calibrated, half of its rate for each side.
func (s *shifted) judgeCategories(f *Finding, rows int64) {
	col, now := s.column, s.counts
	m, n := total(col.counts), total(now.values)+now.other
	f.OK, f.Found = true, "those"
	f.Expected = fmt.Sprintf("the %s of the reference (%s against %d)", count(int64(len(col.values)), "value"), count(n, "row"), m)
	if n == 0 || m == 0 {
		f.Found = "nothing to compare"
		return
	}
	var found []string
	share := float64(now.other) / float64(max(rows, 1))
	fresh := now.other > 0 && unseen(now.other, n, m, col.singles) < s.alpha/2
	if s.rule.fresh != nil {
		fresh = *s.rule.fresh >= 0 && share > *s.rule.fresh
	}
	if fresh {
		found = append(found, fmt.Sprintf("%s (%.3g %%) with values that the reference lacks", count(now.other, "row"), 100*share))
	}
	var vanished []string
	absent := 0
	for i, v := range col.values {
		if now.values[i] > 0 {
			continue
		}
		absent++
		if s.rule.vanished != nil || gone(col.counts[i], n, m) < s.alpha/2/float64(len(col.values)) {
			vanished = append(vanished, fmt.Sprintf("%q (%d of %d before)", v, col.counts[i], m))
		}
	}
	if s.rule.vanished != nil && (*s.rule.vanished < 0 || float64(absent) <= *s.rule.vanished) {
		vanished = nil
	}
	if len(vanished) > 0 {
		found = append(found, "no more "+listed(vanished))
	}
	if len(found) > 0 {
		f.OK, f.Found = false, strings.Join(found, "; ")
	}
}

// percent writes a probability for people.
func percent(p float64) string { return fmt.Sprintf("%.3g %%", 100*p) }
