// Package bill says what a month has cost: it puts the server's prices on what
// the store has kept of runs and deployments, and holds the sums to the budget.
//
// What is taken is measured by pipeline and release, and kept by store; how a
// bill looks is left to api, ui and the command line, which all show this one.
package bill

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// A Ledger makes bills. Months and days are UTC's.
type Ledger struct {
	Store  *store.Store
	Prices project.Prices // the zero value: nobody said what computing costs
	Budget project.Budget
}

// A Cost is what was taken, and what that costs.
type Cost struct {
	ridgeline.Spent
	Money float64 `json:"cost" doc:"by the server's prices, in the month's currency; 0 without prices"`
}

func (c Cost) plus(o Cost) Cost { return Cost{c.Spent.Plus(o.Spent), c.Money + o.Money} }

// A Line of the bill is what one project has taken of one pool on a day.
type Line struct {
	Day         string                `json:"day" doc:"such as 2026-11-23, in UTC"`
	Project     ridgeline.ProjectName `json:"project"`
	What        string                `json:"what" enum:"training,serving" doc:"training: in runs that were created that day and have ended"`
	Pool        string                `json:"pool"`
	Spot        bool                  `json:"spot"`
	Predictions int64                 `json:"predictions" doc:"requests answered with success"`
	Cost
}

// What a line is for.
const (
	Training = "training"
	Serving  = "serving"
)

// dayForm is how days are written, and monthForm months.
const (
	dayForm   = "2006-01-02"
	monthForm = "2006-01"
)

// ParseMonth reads a month such as 2026-11, and tells when it begins; nothing
// and "now" are the month that now is in.
func ParseMonth(text string, now time.Time) (time.Time, error) {
	if text == "" || text == "now" {
		return ridgeline.MonthOf(now), nil
	}
	at, err := time.Parse(monthForm, text)
	if err != nil || at.Year() < 2000 || at.After(now) {
		return at, ridgeline.Errorf(ridgeline.Invalid, "month %q: expected one that has begun, such as %s, or now", text, now.UTC().Format(monthForm))
	}
	return at, nil
}

// Lines are all of a month's that begins then, by day; of all projects when none
// is named.
func (l Ledger) Lines(ctx context.Context, p ridgeline.ProjectName, month time.Time) ([]Line, error) {
	bills, err := l.Store.Bills(ctx, p, month, month.AddDate(0, 1, 0))
	list := make([]Line, 0, len(bills))
	for _, b := range bills {
		what := Training
		if b.Serving {
			what = Serving
		}
		list = append(list, Line{b.Day.Format(dayForm), b.Project, what, b.Pool, b.Spot, b.Requests, l.cost(b.Spent, b.Pool, b.Spot)})
	}
	slices.SortStableFunc(list, func(a, b Line) int { return cmp.Compare(a.Day, b.Day) })
	return list, err
}

func (l Ledger) cost(s ridgeline.Spent, pool string, spot bool) Cost {
	return Cost{s, l.Prices.Of(pool, spot).Cost(s.CPU, s.Memory, s.GPU)}
}
