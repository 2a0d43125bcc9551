package gate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// say adds a sentence to the reasons; an empty one adds nothing.
func (r *Report) say(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); s != "" {
		r.Reasons = append(r.Reasons, s)
	}
}

// change tells the two values of the metric and how far they are apart.
func (r *Report) change() string {
	text := fmt.Sprintf("%s went from %s to %s", r.Metric, number(*r.reference()), number(*r.Challenger))
	if r.Baseline != nil {
		text = fmt.Sprintf("%s is %s, against %s for the baseline (%s)", r.Metric, number(*r.Challenger), number(r.Baseline.Value), r.Baseline.Name)
	}
	switch {
	case *r.Difference == 0:
		return fmt.Sprintf("%s is %s for both", r.Metric, number(*r.Challenger))
	case r.Effect == nil:
		return text
	case *r.Effect > 0:
		return text + ", " + percent(*r.Effect) + " better"
	}
	return text + ", " + percent(-*r.Effect) + " worse"
}

// rival is what the challenger is compared with.
func (r *Report) rival() string {
	if r.Baseline != nil {
		return "baseline"
	}
	return "champion"
}

// threshold is min_effect in words.
func (r *Report) threshold() string {
	if r.Relative {
		return percent(r.MinEffect)
	}
	return number(r.MinEffect)
}

// intervalText is the interval in the unit of min_effect where that is
// relative or there is none, else in the metric's.
func (r *Report) intervalText() string {
	if r.Interval != nil && (r.Relative || r.MinEffect == 0) {
		return signed(r.Interval[0]) + " to " + signed(r.Interval[1])
	}
	return number(r.DifferenceInterval[0]) + " to " + number(r.DifferenceInterval[1])
}

func level(alpha float64) string { return percent(1 - alpha) }

// percent writes a fraction with two significant digits, three from 10 % on.
func percent(v float64) string {
	p := 100 * v
	switch a := math.Abs(p); {
	case a == 0:
		return "0 %"
	case a < 0.001:
		return fmt.Sprintf("%.1g %%", p)
	case a < 10:
		return strconv.FormatFloat(roundTo(p, 2), 'f', -1, 64) + " %"
	case a < 1e5:
		return strconv.FormatFloat(roundTo(p, 3), 'f', -1, 64) + " %"
	}
	return fmt.Sprintf("%.2g %%", p)
}

// signed is percent with a sign: a true minus, as people write it.
func signed(v float64) string {
	switch text := percent(math.Abs(v)); {
	case v < 0:
		return "−" + text
	case v > 0:
		return "+" + text
	default:
		return text
	}
}

// number writes a metric's value with four significant digits, or as a whole
// number with its thousands apart.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e12 || (a != 0 && a < 1e-4):
		return fmt.Sprintf("%.4g", v)
	case a >= 1000:
		return grouped(v)
	}
	return strconv.FormatFloat(roundTo(v, 4), 'f', -1, 64)
}

func roundTo(v float64, digits int) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	if err != nil {
		return v
	}
	return rounded
}

// grouped writes a whole number with commas.
func grouped(v float64) string {
	text := strconv.FormatFloat(math.Abs(math.Round(v)), 'f', 0, 64)
	var b strings.Builder
	if v < 0 {
		b.WriteByte('-')
	}
	for i, c := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// rounded keeps two significant digits, upwards: an estimate has no more.
func rounded(n int) int {
	step := 1
	for n/step >= 100 {
		step *= 10
	}
	return (n + step - 1) / step * step
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(float64(n)) + " " + noun + "s"
}

// counted is a number with the words that go with one and with several.
func counted(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(float64(n)) + " " + several
}

func bytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.4g GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.4g MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.4g kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}
