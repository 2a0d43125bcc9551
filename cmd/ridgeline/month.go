package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/bill"
)

// monthPath is where the bill of a month is, or a part of it.
func monthPath(month, part, project string) string {
	return query("/api/v1/costs/month"+part, "month", cmp.Or(month, "now"), "project", project)
}

// month prints the bill of a month.
func (c *cli) month(m api.MonthCost) error {
	row := func(name string, s bill.Sum, b *bill.Budget) []string {
		budget := ""
		if b != nil {
			budget = b.Says(m.Currency)
		}
		return append([]string{name}, append(c.sum(m, s), strconv.FormatInt(s.Predictions, 10), budget)...)
	}
	var rows [][]string
	for _, p := range m.Projects {
		rows = append(rows, row(string(p.Project), p.Sum, p.Budget))
	}
	rows = append(rows, row("all", m.Sum, m.Budget))
	if err := table(c.out, []string{"PROJECT", "TRAINING", "SERVING", "TOGETHER", "PREDICTIONS", "BUDGET"}, rows); err != nil {
		return err
	}
	if m.Estimate != nil {
		fmt.Fprintf(c.out, "at this rate %s comes to about %s (an estimate)\n", m.Month, money(*m.Estimate, m.Currency))
	}
	rows = nil
	for _, p := range m.Pools {
		name := p.Pool
		if p.Spot {
			name += " (spot)"
		}
		rows = append(rows, append([]string{name}, append(c.sum(m, p.Sum), inSeconds(p.Total.CPU), gib(p.Total.Memory), inSeconds(p.Total.GPU))...))
	}
	fmt.Fprintln(c.out)
	if err := table(c.out, []string{"POOL", "TRAINING", "SERVING", "TOGETHER", "CPU", "GIB HOURS", "GPU"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, v := range m.Versions {
		each := "no requests"
		switch {
		case v.PerThousand != nil:
			each = money(*v.PerThousand, m.Currency)
		case v.Predictions > 0:
			each = ""
		}
		rows = append(rows, append([]string{string(v.Project), fmt.Sprintf("%s:%d", v.Model, v.Version)}, append(c.sum(m, v.Sum), strconv.FormatInt(v.Predictions, 10), each)...))
	}
	fmt.Fprintln(c.out)
	if err := table(c.out, []string{"PROJECT", "MODEL", "TRAINING", "SERVING", "TOGETHER", "PREDICTIONS", "PER 1,000"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, r := range m.Runs {
		used := ""
		if r.Used != nil {
			used = inSeconds(r.Used.CPU)
		}
		rows = append(rows, []string{string(r.Run), string(r.Project), inSeconds(r.CPU), used, said(m, r.Cost)})
	}
	var advice []string
	for _, r := range m.Runs {
		if r.Advice != "" {
			advice = append(advice, fmt.Sprintf("%s %s", r.Run, r.Advice))
		}
	}
	for _, d := range m.Deployments {
		if d.Advice != "" {
			advice = append(advice, fmt.Sprintf("%s each copy %s", d.Deployment, d.Advice))
		}
	}
	fmt.Fprintln(c.out)
	return c.advised(rows, []string{"RUN", "PROJECT", "CPU", "USED", "COST"}, advice)
}

// sum is what training and serving cost, and both; without prices, core seconds.
func (c *cli) sum(m api.MonthCost, s bill.Sum) []string {
	return []string{said(m, s.Training), said(m, s.Serving), said(m, s.Total)}
}

func said(m api.MonthCost, c bill.Cost) string {
	if m.Currency == "" {
		return inSeconds(c.CPU)
	}
	return money(c.Money, m.Currency)
}

// budgets prints where this month stands beside its budgets, if there are any.
func (c *cli) budgets(m api.MonthCost) error {
	if m.Budget != nil {
		fmt.Fprintf(c.out, "budget of %s: %s\n", cmp.Or(string(m.Project), "everything")+" in "+m.Month, m.Budget.Says(m.Currency))
	}
	for _, p := range m.Projects {
		if p.Budget != nil && p.Project != m.Project {
			fmt.Fprintf(c.out, "budget of %s in %s: %s\n", p.Project, m.Month, p.Budget.Says(m.Currency))
		}
	}
	return nil
}

// monthCSV writes a month for a spreadsheet.
func (c *cli) monthCSV(ctx context.Context, month, project string) error {
	if c.json {
		return usage("--csv and --json are two ways to write a month: leave one out")
	}
	return get(ctx, c, monthPath(month, "/lines", project), func(l api.MonthLines) error { return bill.WriteCSV(c.out, l.Currency, l.Lines) })
}
