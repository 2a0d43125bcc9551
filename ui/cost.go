package ui

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// A cost is what was taken, and what that costs where the server has prices.
type cost struct {
	ridgeline.Spent
	Used     ridgeline.Used
	Money    float64
	Currency string // empty: nobody said what computing costs
}

func (c cost) plus(o cost) cost {
	return cost{c.Spent.Plus(o.Spent), c.Used.Plus(o.Used), c.Money + o.Money, cmp.Or(c.Currency, o.Currency)}
}

// String is the money, or else the hours of cores.
func (c cost) String() string {
	if c.Currency == "" {
		return components.Hours(c.CPU, "core")
	}
	return components.Money(c.Money) + " " + c.Currency
}

// Taken is what it was for, in words.
func (c cost) Taken() string {
	text := components.Hours(c.CPU, "core") + ", " + components.Hours(c.Memory/(1<<30), "GiB")
	if c.GPU > 0 {
		text += ", " + components.Hours(c.GPU, "GPU")
	}
	return text
}

// UsedCPU is what of it was really used, where that is known.
func (c cost) UsedCPU() string { return components.Hours(c.Used.CPU, "core") }

func priced(p project.Prices, s ridgeline.Spent, used ridgeline.Used, pool string, spot bool) cost {
	return cost{s, used, p.Of(pool, spot).Cost(s.CPU, s.Memory, s.GPU), p.Currency}
}

// attemptsCost is what the attempts of a run have cost.
func (u *UI) attemptsCost(steps []ridgeline.Step) (all cost) {
	all.Currency = u.Prices.Currency
	for _, s := range steps {
		for _, a := range s.Attempts {
			all = all.plus(priced(u.Prices, a.Spent(), a.Used(), a.Pool, a.Spot))
		}
	}
	return all
}

// A monthCost is what a month has cost, by project, the most costly first.
type monthCost struct {
	Since    time.Time
	Projects []projectCost
	All      projectCost
}

type projectCost struct {
	Project  ridgeline.ProjectName
	Runs     cost
	Serving  cost
	All      cost
	Requests int64
}

func (p *projectCost) add(b store.Bill, c cost) {
	if p.All, p.Requests = p.All.plus(c), p.Requests+b.Requests; b.Serving {
		p.Serving = p.Serving.plus(c)
	} else {
		p.Runs = p.Runs.plus(c)
	}
}

func sumOf(since time.Time, bills []store.Bill, prices project.Prices) monthCost {
	m, none := monthCost{Since: since}, cost{Currency: prices.Currency}
	for _, b := range bills {
		i := slices.IndexFunc(m.Projects, func(p projectCost) bool { return p.Project == b.Project })
		if i < 0 {
			i = len(m.Projects)
			m.Projects = append(m.Projects, projectCost{Project: b.Project, Runs: none, Serving: none})
		}
		c := priced(prices, b.Spent, ridgeline.Used{}, b.Pool, b.Spot)
		m.Projects[i].add(b, c)
		m.All.add(b, c)
	}
	slices.SortStableFunc(m.Projects, func(a, b projectCost) int {
		return cmp.Or(cmp.Compare(b.All.Money, a.All.Money), cmp.Compare(b.All.CPU, a.All.CPU))
	})
	return m
}

// month is what this month has cost, of all projects when none is named.
func (u *UI) month(ctx context.Context, name ridgeline.ProjectName) (monthCost, error) {
	now := time.Now().UTC()
	since := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	list, err := u.Store.Bills(ctx, name, since)
	return sumOf(since, list, u.Prices), err
}

// versionCost is what making a version and serving it have cost.
type versionCost struct {
	Training, Serving cost
	Requests          int64
	PerThousand       string // requests; empty before the first, or without prices
}

func (u *UI) versionCost(ctx context.Context, v ridgeline.ModelVersion) (out versionCost, err error) {
	steps, err := u.Store.Steps(ctx, v.Run)
	if err != nil {
		return out, err
	}
	out.Training, out.Serving.Currency = u.attemptsCost(steps), u.Prices.Currency
	served, err := u.Store.Served(ctx, v.Project)
	for _, s := range served {
		if s.Model == v.Model && s.Version == v.Version {
			out.Serving = out.Serving.plus(priced(u.Prices, s.Spent, s.Used, s.Pool(), false))
			out.Requests += s.Requests
		}
	}
	if out.Requests > 0 && u.Prices.Known() {
		out.PerThousand = components.Money(out.Serving.Money*1000/float64(out.Requests)) + " " + u.Prices.Currency
	}
	return out, err
}
