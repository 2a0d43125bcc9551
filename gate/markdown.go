package gate

import (
	"fmt"
	"strings"
)

// Markdown renders a report for a pull request or a job summary: what Text
// tells, in GitHub's flavour. It takes a report read back from JSON as well.
func Markdown(r Report) string {
	var b strings.Builder
	head := "`" + r.Metric + "`"
	if r.Better != "" {
		head += " (" + r.Better + " is better)"
	}
	if r.Rows > 0 {
		head += ", " + count(r.Rows, "holdout row")
	}
	fmt.Fprintf(&b, "### Gate: %s\n\n%s\n\n", r.Verdict, head)
	rows := [][]string{{"", ""}}
	row := func(name, text string) { rows = append(rows, []string{name, text}) }
	if r.Champion != nil {
		row("champion", number(*r.Champion))
	}
	if r.Baseline != nil {
		row("baseline", number(r.Baseline.Value)+" ("+r.Baseline.Name+")")
	}
	if r.Challenger != nil {
		row("challenger", number(*r.Challenger))
	}
	switch {
	case r.Effect != nil && r.Interval != nil:
		row("effect", fmt.Sprintf("%s, %s interval %s to %s", signed(*r.Effect), level(r.Alpha), signed(r.Interval[0]), signed(r.Interval[1])))
	case r.Effect != nil:
		row("effect", signed(*r.Effect))
	case r.Difference != nil:
		row("difference", number(*r.Difference))
	}
	if r.P != nil {
		row("p", fmt.Sprintf("%.2g (promoted at %.2g or less)", *r.P, r.promotedAt()))
	}
	if r.Power != nil {
		row("power at the observed effect", percent(*r.Power))
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
	if len(rows) > 1 {
		b.WriteString(table(rows, 0) + "\n")
	}
	for _, reason := range r.Reasons {
		b.WriteString("- " + escape(reason) + "\n")
	}
	if len(r.Slices) > 0 {
		b.WriteString("\n" + table(r.sliceRows(), 5))
	}
	if len(r.Limits) > 0 {
		b.WriteString("\n" + table(r.limitRows(), 0))
	}
	if len(r.Tests) > 0 {
		list := make([]string, len(r.Tests))
		for i, t := range r.Tests {
			list[i] = fmt.Sprintf("%s %.2g", t.Name, t.P)
		}
		fmt.Fprintf(&b, "\n<sub>%s; p: %s</sub>\n", escape(r.Method), strings.Join(list, ", "))
	}
	return b.String()
}

// table writes rows, the head first; so many columns after the first are
// aligned to the right.
func table(rows [][]string, right int) string {
	var b strings.Builder
	for i, row := range rows {
		cells := make([]string, len(row))
		for j, cell := range row {
			cells[j] = escape(cell)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i > 0 {
			continue
		}
		b.WriteString("|")
		for j := range row {
			if j > 0 && j <= right {
				b.WriteString("---:|")
			} else {
				b.WriteString("---|")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// escape keeps text of the user's own, such as the value of a slice, from
// being read as Markdown or HTML.
func escape(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", "&", "&amp;", "*", "\\*", "_", "\\_", "`", "\\`", "\n", " ", "\r", " ").Replace(s)
}
