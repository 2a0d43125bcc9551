package ui

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// sampleMonth is November 2026 up to a day, of the project or of all.
func sampleMonth(upTo int, currency string, of ridgeline.ProjectName, budget project.Budget) bill.Month {
	month := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var lines []bill.Line
	for i := range upTo {
		day := month.AddDate(0, 0, i).Format("2006-01-02")
		add := func(p ridgeline.ProjectName, what, pool string, spot bool, predictions int64, cpu, memory, gpu, money float64) {
			if currency == "" {
				money = 0
			}
			if of == "" || p == of {
				lines = append(lines, bill.Line{Day: day, Project: p, What: what, Pool: pool, Spot: spot, Predictions: predictions, Cost: bill.Cost{Spent: ridgeline.Spent{CPU: cpu, Memory: memory, GPU: gpu}, Money: money}})
			}
		}
		wave := 1 + 0.4*math.Sin(float64(i))
		add("diabetes", bill.Serving, "kube", false, int64(52000*wave), 172800, 7e14, 0, 6.3)
		if i%3 == 0 {
			add("diabetes", bill.Training, "local", false, 0, 32000*wave, 3e13, 0, 0.41*wave)
			add(awkward, bill.Training, "gpus", true, 0, 9000*wave, 8e13, 14000*wave, 11.2*wave)
		}
	}
	l := bill.Ledger{Prices: project.Prices{Currency: currency}, Budget: budget}
	return l.Add(lines, of, month, month.AddDate(0, 0, upTo).Add(-time.Hour))
}

// costSamples are months with and without prices and budgets, and one in which
// nothing was.
func costSamples() (all []sample) {
	each, late := 0.0231, time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	filled := func(m bill.Month) bill.Month {
		money := func(v float64) float64 {
			if m.Currency == "" {
				return 0
			}
			return v
		}
		per := &each
		if m.Currency == "" {
			per = nil
		}
		took := func(cpu, price float64) bill.Cost {
			return bill.Cost{Spent: ridgeline.Spent{CPU: cpu, Memory: cpu * 4e9}, Money: money(price)}
		}
		m.Versions = []bill.Version{
			{Project: "diabetes", Model: "diabetes", Version: 4, PerThousand: per, Sum: bill.Sum{Training: took(32000, 0.41), Serving: took(3974400, 144.9), Total: took(4006400, 145.31), Predictions: 1196000}},
			{Project: "diabetes", Model: "diabetes", Version: 3, Sum: bill.Sum{Serving: took(51000, 1.2), Total: took(51000, 1.2)}},
			{Project: awkward, Model: ridgeline.ModelName(strings.Repeat(long300, 8)), Version: 12, Sum: bill.Sum{Training: took(9000, 11.2), Total: took(9000, 11.2)}},
		}
		m.Deployments = []bill.Deployment{
			{Deployment: "d-1", Project: "diabetes", Environment: "production", Model: "diabetes", Version: 4, Pool: "kube", CopySeconds: 3974400, Predictions: 1196000, Used: &ridgeline.Used{Seconds: 3974400, CPU: 612000, Peak: 610e6}, Advice: "asked for 4 GB of memory, used at most 610 MB; asked for 1 cores, used 0.15 on average", Cost: took(3974400, 144.9)},
			{Deployment: "d-2", Project: "diabetes", Environment: "qa", Model: "diabetes", Version: 3, Pool: "local", CopySeconds: 51000, Cost: took(51000, 1.2)},
		}
		for i := range 4 {
			m.Runs = append(m.Runs, bill.Run{Run: ridgeline.RunID(fmt.Sprintf("r-1kwvcxsttare%02d", i)), Project: "diabetes", Model: "diabetes", Version: 4 - i, Created: sampleTime, Used: &ridgeline.Used{Seconds: 3600, CPU: 2900, Peak: 1.2e9}, Cost: took(32000-3000*float64(i), 0.41-0.04*float64(i))})
		}
		m.Runs[0].Advice, m.Runs[3].Used = "train asked for 8 cores, used 0.8 on average; evaluate asked for 2.0 GB of memory, used at most 310 MB", nil
		return m
	}
	for _, s := range []struct {
		name  string
		month bill.Month
	}{
		{"cost", filled(sampleMonth(23, "EUR", "", project.Budget{Month: 500, Projects: map[ridgeline.ProjectName]float64{"diabetes": 160}}))},
		{"cost-exceeded", filled(sampleMonth(23, "EUR", "diabetes", project.Budget{Projects: map[ridgeline.ProjectName]float64{"diabetes": 120}}))},
		{"cost-hours", filled(sampleMonth(30, "", "", project.Budget{}))},
		{"cost-empty", sampleMonth(0, "EUR", "", project.Budget{Month: 500})},
	} {
		body := newCostPage(s.month, late)
		all = append(all, sample{s.name, Page{Title: "Cost of " + body.Title, Nav: "cost", Project: s.month.Project, Template: "cost", Body: body}})
	}
	return all
}
