package ui

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// costPage is what a month has cost.
type costPage struct {
	billed
	Title    string // November 2026
	Months   []components.Tab
	Earlier  string // months before those
	Charts   []components.Chart
	More     int // versions that are not shown
	Line     components.CLI
	Download string
}

// costVersions is how many versions, and deployments, the page shows.
const costVersions = 50

func (u *UI) costs(mux *http.ServeMux) {
	mux.Handle("GET /cost", u.page(func(ctx context.Context, r *http.Request) (Page, error) {
		q, at := r.URL.Query(), now()
		month, err := bill.ParseMonth(q.Get("month"), at)
		if err != nil {
			return Page{}, err
		}
		m, err := u.Bills.Month(ctx, ridgeline.ProjectName(q.Get("project")), month, at)
		if err != nil {
			return Page{}, err
		}
		body := newCostPage(m, at)
		return Page{Title: "Cost of " + body.Title, Nav: "cost", Template: "cost", Body: body}, nil
	}))
	mux.HandleFunc("GET /cost.csv", u.costCSV)
}

func newCostPage(m bill.Month, at time.Time) costPage {
	month, _ := bill.ParseMonth(m.Month, at) // it was made of one
	out := costPage{billed: billed{m}, Title: month.Format("January 2006"), Line: costLine(m), Download: "/cost.csv?" + monthQuery(m.Month, m.Project).Encode()}
	last := ridgeline.MonthOf(at)
	if before := last.AddDate(0, -5, 0); month.Before(before) {
		last = month.AddDate(0, 5, 0)
	}
	for i := -5; i <= 0; i++ {
		one := last.AddDate(0, i, 0)
		out.Months = append(out.Months, components.Tab{Text: one.Format("Jan 2006"), URL: costPath(one.Format("2006-01"), m.Project), Now: one.Equal(month)})
	}
	out.Earlier = costPath(last.AddDate(0, -6, 0).Format("2006-01"), m.Project)
	if len(m.Projects) > 0 {
		out.Charts = costCharts(m, month)
	}
	out.More = max(0, len(m.Versions)-costVersions)
	out.Versions, out.Deployments = m.Versions[:min(len(m.Versions), costVersions)], m.Deployments[:min(len(m.Deployments), costVersions)]
	return out
}

func costLine(m bill.Month) components.CLI {
	words := []any{"cost", "--month", m.Month}
	if m.Project != "" {
		words = append(words, "--project", m.Project)
	}
	return components.NewCLI(words...)
}

func monthQuery(month string, p ridgeline.ProjectName) url.Values {
	q := url.Values{"month": {month}}
	if p != "" {
		q.Set("project", string(p))
	}
	return q
}

func costPath(month string, p ridgeline.ProjectName) string {
	return "/cost?" + monthQuery(month, p).Encode()
}

// Of is the same month of one project.
func (p costPage) Of(name ridgeline.ProjectName) string { return costPath(p.Month.Month, name) }

// Cores is how many core hours were set aside, or used.
func (p costPage) Cores(seconds float64) string { return components.Hours(seconds, "core") }

// Hours is a number of them.
func (p costPage) Hours(seconds float64) string { return components.Number(seconds / 3600) }

// Requests is how many were answered.
func (p costPage) Requests() int { return int(p.Predictions) }

// Estimated is what the month will come to.
func (p costPage) Estimated() float64 { return *p.Estimate }

// Each is what a thousand predictions of a version cost.
func (p costPage) Each(v bill.Version) string { return p.Amount(*v.PerThousand) }

// costCharts draws what each day has cost, and how that adds up towards the
// budget. Without prices it is core hours.
func costCharts(m bill.Month, month time.Time) []components.Chart {
	unit, value := m.Currency, func(c bill.Cost) float64 { return c.Money }
	if unit == "" {
		unit, value = "core hours", func(c bill.Cost) float64 { return c.CPU / 3600 }
	}
	days := month.AddDate(0, 1, -1).Day()
	names, training, serving, sums, rest, budget := make([]string, days), make([]any, days), make([]any, days), make([]any, days), make([]any, days), make([]any, days)
	six := func(v float64) float64 { return rounded(v, v) }
	total := 0.0
	for i := range days {
		names[i], training[i], serving[i], sums[i], rest[i] = strconv.Itoa(i+1), "-", "-", "-", "-" // ECharts' sign for nothing
		if i < len(m.Days) {
			d := m.Days[i]
			total += value(d.Total)
			training[i], serving[i], sums[i] = six(value(d.Training)), six(value(d.Serving)), six(total)
		} else if m.Estimate != nil {
			rest[i] = six(total + (*m.Estimate-total)*float64(i+1-len(m.Days))/float64(days-len(m.Days)))
		}
		if m.Budget != nil {
			budget[i] = m.Budget.Amount
		}
	}
	axes := map[string]any{"type": "category", "data": names, "axisLabel": map[string]any{"hideOverlap": true}}
	bar := func(name string, values []any) any {
		return map[string]any{"type": "bar", "stack": "day", "name": name, "data": values, "barCategoryGap": "25%"}
	}
	line := func(name string, values []any, style map[string]any) any {
		return map[string]any{"type": "line", "name": name, "data": values, "showSymbol": len(m.Days) < 3 && name == "so far", "symbolSize": 5, "lineStyle": style, "itemStyle": map[string]any{"color": style["color"]}}
	}
	lines := []any{line("so far", sums, map[string]any{"width": 2, "color": "$series-1"})}
	label := fmt.Sprintf("The month adds up to %s %s", components.Number(total), unit)
	if m.Estimate != nil && len(m.Days) < days {
		rest[len(m.Days)-1] = sums[len(m.Days)-1]
		lines = append(lines, line("estimate", rest, map[string]any{"width": 1.5, "type": "dashed", "color": "$muted"}))
		label += fmt.Sprintf(", and to about %s at its end", components.Number(*m.Estimate))
	}
	if m.Budget != nil {
		lines = append(lines, line("budget", budget, map[string]any{"width": 1.5, "color": "$bad"}))
		label += fmt.Sprintf("; the budget is %s", components.Number(m.Budget.Amount))
	}
	chart := func(title, label string, series []any) components.Chart {
		return components.Chart{Title: title + ", " + unit, Label: label, Size: "low", Option: map[string]any{
			"xAxis": axes, "yAxis": map[string]any{"type": "value", "min": 0, "splitNumber": 3}, "series": series,
			"legend": map[string]any{"show": len(series) > 1, "top": 0, "right": 0, "itemWidth": 14, "itemHeight": 8},
		}}
	}
	return []components.Chart{
		chart("Per day", "What each day has cost, for runs and for answering; the table has the figures", []any{bar("runs", training), bar("answering", serving)}),
		chart("Adding up", label, lines),
	}
}

// costCSV is the month for a spreadsheet.
func (u *UI) costCSV(w http.ResponseWriter, r *http.Request) {
	r, ok := u.enter(w, r)
	if !ok {
		return
	}
	month, err := bill.ParseMonth(r.URL.Query().Get("month"), now())
	var lines []bill.Line
	if err == nil {
		lines, err = u.Bills.Lines(r.Context(), ridgeline.ProjectName(r.URL.Query().Get("project")), month)
	}
	var out bytes.Buffer
	if err == nil {
		err = bill.WriteCSV(&out, u.Bills.Prices.Currency, lines)
	}
	if err != nil {
		u.fail(w, r, err)
		return
	}
	u.download(w, r, "cost-"+month.Format("2006-01")+".csv", &out)
}
