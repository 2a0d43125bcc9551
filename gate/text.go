package gate

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Text renders a report for a terminal: the verdict, the metric of both
// models, the interval drawn on a line with 0 and the minimum effect marked,
// the slices as a table, and the reasons. Lines are at most 80 columns wide but for
// long names; there are no colours. It takes a report read back from JSON as well.
func Text(r Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", strings.ToUpper(string(r.Verdict)))
	head := r.Metric
	if r.Better != "" {
		head += " (" + r.Better + " is better)"
	}
	if r.Rows > 0 {
		head += " on " + count(r.Rows, "holdout row")
	}
	fmt.Fprintf(&b, "  %s\n", head)
	row := func(name, text string) { fmt.Fprintf(&b, "  %-12s %s\n", name, text) }
	if r.Champion != nil {
		row("champion", number(*r.Champion))
	}
	if r.Baseline != nil {
		row("baseline", fmt.Sprintf("%s  (%s)", number(r.Baseline.Value), r.Baseline.Name))
	}
	if r.Challenger != nil {
		row("challenger", number(*r.Challenger))
	}
	if r.Effect != nil {
		row("effect", signed(*r.Effect))
	} else if r.Difference != nil {
		row("difference", number(*r.Difference))
	}
	if r.P != nil {
		row("p", fmt.Sprintf("%.2g  (promoted at %.2g or less)", *r.P, r.promotedAt()))
	}
	if r.Power != nil {
		row("power", fmt.Sprintf("%s  (that so many rows promote, were this the true effect)", percent(*r.Power)))
	}
	if r.RowsNeeded != nil {
		row("rows needed", "about "+grouped(float64(rounded(*r.RowsNeeded))))
	}
	if r.Budget != nil {
		row("ledger", r.Budget.String())
	}
	if r.Skew != nil {
		row("skew", r.Skew.short())
	}
	if plot := r.plot(56); plot != "" {
		b.WriteString("\n" + plot)
	}
	if len(r.Slices) > 0 {
		b.WriteString("\n" + columns(r.sliceRows()))
	}
	if len(r.Limits) > 0 {
		b.WriteString("\n" + columns(r.limitRows()))
	}
	if len(r.Reasons) > 0 {
		b.WriteString("\n")
	}
	for _, reason := range r.Reasons {
		b.WriteString(wrap("  "+reason, 80, "  "))
	}
	return b.String()
}

// plot draws the interval: ├ and ┤ its ends, ● the effect, │ at 0, ┊ at the
// minimum effect. Empty when there is no interval.
func (r Report) plot(width int) string {
	var lo, hi, at, margin float64
	label := signed
	relative := r.Interval != nil && r.Effect != nil
	switch {
	case relative:
		lo, hi, at, margin = r.Interval[0], r.Interval[1], *r.Effect, r.MinEffect
		if v := *r.reference(); !r.Relative && v != 0 {
			margin /= math.Abs(v)
		}
	case r.DifferenceInterval != nil && r.Difference != nil:
		lo, hi, at, label = r.DifferenceInterval[0], r.DifferenceInterval[1], *r.Difference, number
		if !r.Relative {
			margin = r.MinEffect
		}
	default:
		return ""
	}
	from, to := min(lo, 0), max(hi, margin, 0)
	if from == to {
		return ""
	}
	pad := (to - from) / 20
	from, to = from-pad, to+pad
	column := func(v float64) int {
		return min(max(int(math.Round((v-from)/(to-from)*float64(width-1))), 0), width-1)
	}
	line := []rune(strings.Repeat("·", width))
	line[column(0)] = '│'
	if margin > 0 {
		line[column(margin)] = '┊'
	}
	for i := column(lo); i <= column(hi); i++ {
		switch line[i] {
		case '·':
			line[i] = '─'
		case '│':
			line[i] = '┼'
		}
	}
	line[column(lo)], line[column(hi)] = '├', '┤'
	line[column(at)] = '●'
	legend := "│ is 0"
	if margin > 0 {
		legend += ", ┊ the minimum effect of " + r.threshold()
	}
	return fmt.Sprintf("  worse %s better\n  %s interval %s to %s; %s\n", string(line), level(r.Alpha), label(lo), label(hi), legend)
}

// promotedAt is the highest p that is promoted, also of reports kept from
// before there was an error budget.
func (r Report) promotedAt() float64 {
	if r.Threshold == 0 && r.Budget == nil {
		return r.Alpha
	}
	return r.Threshold
}

// sliceRows are the slices as a table, its head first.
func (r Report) sliceRows() [][]string {
	rows := [][]string{{"slice", "rows", "champion", "challenger", "effect", "p", ""}}
	value := func(v *float64, f func(float64) string) string {
		if v == nil {
			return "–"
		}
		return f(*v)
	}
	for _, s := range r.Slices {
		name := s.Column + "=" + s.Value
		if s.Value == "" {
			name = s.Column + " missing"
		}
		rows = append(rows, []string{name, grouped(float64(s.Rows)), value(s.Champion, number), value(s.Challenger, number), value(s.Effect, signed),
			value(s.P, func(p float64) string { return fmt.Sprintf("%.2g", p) }), string(s.Verdict)})
	}
	return rows
}

// limitRows are the limits as a table, its head first.
func (r Report) limitRows() [][]string {
	rows := [][]string{{"limit", "", "measured", ""}}
	for _, l := range r.Limits {
		got := l.Measured
		if got == "" {
			got = "–"
		}
		rows = append(rows, []string{l.Name, l.Limit, got, string(l.Verdict)})
	}
	return rows
}

// columns aligns a table: the first and the last column to the left.
func columns(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := " "
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i == 0 || i == len(row)-1:
				line += " " + cell + pad
			default:
				line += " " + pad + cell
			}
			if i < len(row)-1 {
				line += " "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// wrap breaks text at spaces; it keeps the space of "5 %" whole.
func wrap(text string, width int, indent string) string {
	words := strings.Fields(strings.ReplaceAll(text, " %", "\u00a0%"))
	var b strings.Builder
	line := indent[:len(indent)-1]
	for _, w := range words {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) > width && strings.TrimSpace(line) != "" {
			b.WriteString(line + "\n")
			line = indent[:len(indent)-1]
		}
		line += " " + w
	}
	b.WriteString(line + "\n")
	return strings.ReplaceAll(b.String(), "\u00a0%", " %")
}
