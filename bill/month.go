package bill

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Sum is what was taken, by what it was for.
type Sum struct {
	Training    Cost  `json:"training" doc:"runs that were created then and have ended"`
	Serving     Cost  `json:"serving"`
	Total       Cost  `json:"total"`
	Predictions int64 `json:"predictions" doc:"requests answered with success"`
}

func (s *Sum) add(line Line) {
	s.Total, s.Predictions = s.Total.plus(line.Cost), s.Predictions+line.Predictions
	if line.What == Serving {
		s.Serving = s.Serving.plus(line.Cost)
	} else {
		s.Training = s.Training.plus(line.Cost)
	}
}

// A Month is what a month has cost, of one project or of all.
type Month struct {
	Month    string                `json:"month" doc:"such as 2026-11, in UTC"`
	Project  ridgeline.ProjectName `json:"project,omitempty" doc:"empty: all"`
	Currency string                `json:"currency,omitempty" doc:"empty: the server has no prices"`
	Over     bool                  `json:"over" doc:"the month has ended"`
	Budget   *Budget               `json:"budget,omitempty" doc:"of the project, or of everything; absent: none"`
	Estimate *float64              `json:"estimate,omitempty" doc:"what the month will come to if it goes on as it did so far; absent before its fourth day and after its end"`
	Sum

	Projects []ProjectSum `json:"projects" doc:"the most costly first"`
	Pools    []PoolSum    `json:"pools" doc:"the most costly first"`
	Days     []DaySum     `json:"days" doc:"every day up to now"`

	Versions    []Version    `json:"versions,omitempty" doc:"those that were made or that answered, the most costly first; of those that only were made, what the costliest runs made"`
	Deployments []Deployment `json:"deployments,omitempty" doc:"those that had copies, the most costly first"`
	Runs        []Run        `json:"runs,omitempty" doc:"the most costly ones that have ended"`
}

// A ProjectSum is what a project has cost.
type ProjectSum struct {
	Project ridgeline.ProjectName `json:"project"`
	Budget  *Budget               `json:"budget,omitempty"`
	Sum
}

// A PoolSum is what was taken of a pool.
type PoolSum struct {
	Pool string `json:"pool"`
	Spot bool   `json:"spot"`
	Sum
}

// A DaySum is what a day has cost.
type DaySum struct {
	Day string `json:"day"`
	Sum
}

// Sums are a month without its versions, deployments and runs. month is any time
// in it.
func (l Ledger) Sums(ctx context.Context, p ridgeline.ProjectName, month, now time.Time) (Month, error) {
	lines, err := l.Lines(ctx, p, ridgeline.MonthOf(month))
	return l.Add(lines, p, month, now), err
}

// Add sums the lines of a month, which are of one project where one is named.
func (l Ledger) Add(lines []Line, p ridgeline.ProjectName, month, now time.Time) Month {
	from := ridgeline.MonthOf(month)
	to := from.AddDate(0, 1, 0)
	m := Month{Month: from.Format(monthForm), Project: p, Currency: l.Prices.Currency, Over: !now.Before(to), Projects: []ProjectSum{}, Pools: []PoolSum{}, Days: []DaySum{}}
	for day := from; day.Before(to) && day.Before(now); day = day.AddDate(0, 0, 1) {
		m.Days = append(m.Days, DaySum{Day: day.Format(dayForm)})
	}
	for _, line := range lines {
		m.add(line)
		at(&m.Projects, func(s ProjectSum) bool { return s.Project == line.Project }, ProjectSum{Project: line.Project}).add(line)
		at(&m.Pools, func(s PoolSum) bool { return s.Pool == line.Pool && s.Spot == line.Spot }, PoolSum{Pool: line.Pool, Spot: line.Spot}).add(line)
		at(&m.Days, func(s DaySum) bool { return s.Day == line.Day }, DaySum{Day: line.Day}).add(line)
	}
	done := float64(now.Sub(from)) / float64(to.Sub(from))
	m.Estimate = estimate(m.Total.Money, done, now.Sub(from), m.Currency != "")
	m.Budget = l.budget(p, m.Total.Money, m.Estimate)
	for i := range m.Projects {
		s := &m.Projects[i]
		s.Budget = l.budget(s.Project, s.Total.Money, estimate(s.Total.Money, done, now.Sub(from), true))
	}
	slices.SortStableFunc(m.Projects, func(a, b ProjectSum) int { return costlier(a.Total, b.Total) })
	slices.SortStableFunc(m.Pools, func(a, b PoolSum) int { return costlier(a.Total, b.Total) })
	return m
}

// at is the one of a list that is looked for, which is added when it is not there.
func at[T any](list *[]T, is func(T) bool, otherwise T) *T {
	i := slices.IndexFunc(*list, is)
	if i < 0 {
		i = len(*list)
		*list = append(*list, otherwise)
	}
	return &(*list)[i]
}

// costlier puts the higher cost first; without prices, what took more.
func costlier(a, b Cost) int {
	return cmp.Or(cmp.Compare(b.Money, a.Money), cmp.Compare(b.Weight(), a.Weight()))
}
