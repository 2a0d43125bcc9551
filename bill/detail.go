package bill

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// A Version is what a model version has cost in a month.
type Version struct {
	Project     ridgeline.ProjectName `json:"project"`
	Model       ridgeline.ModelName   `json:"model"`
	Version     int                   `json:"version"`
	PerThousand *float64              `json:"cost_per_1000_predictions,omitempty" doc:"of serving; absent before the first one, and without prices"`
	Sum
}

// A Run is what a run has cost that was created in a month.
type Run struct {
	Run     ridgeline.RunID       `json:"run"`
	Project ridgeline.ProjectName `json:"project"`
	Model   ridgeline.ModelName   `json:"model,omitempty"`
	Version int                   `json:"version,omitempty"`
	Created time.Time             `json:"created"`
	Used    *ridgeline.Used       `json:"used,omitempty" doc:"what was really used, as far as it was seen; absent: not known"`
	Advice  string                `json:"advice,omitempty" doc:"what its steps asked for and hardly used, or was nearly too little"`
	Cost
}

// A Deployment is what a deployment has cost in a month.
type Deployment struct {
	Deployment  ridgeline.DeploymentID `json:"deployment"`
	Project     ridgeline.ProjectName  `json:"project"`
	Environment string                 `json:"environment"`
	Model       ridgeline.ModelName    `json:"model"`
	Version     int                    `json:"version"`
	Pool        string                 `json:"pool"`
	CopySeconds float64                `json:"copy_seconds" doc:"ready copies, times seconds"`
	Predictions int64                  `json:"predictions" doc:"requests answered with success"`
	Used        *ridgeline.Used        `json:"used,omitempty" doc:"what was really used since it began, as far as it was seen; absent: not known"`
	Advice      string                 `json:"advice,omitempty" doc:"what each copy asks for and hardly uses, or is nearly too little"`
	Cost
}

// costly is how many of a month's most costly runs are told.
const costly = 20

// Month is the bill of the month that a time is in; of all projects when none is
// named.
func (l Ledger) Month(ctx context.Context, p ridgeline.ProjectName, month, now time.Time) (Month, error) {
	m, err := l.Sums(ctx, p, month, now)
	if err != nil {
		return m, err
	}
	from := ridgeline.MonthOf(month)
	to := from.AddDate(0, 1, 0)
	if m.Runs, err = l.costliest(ctx, p, from); err != nil {
		return m, err
	}
	served, err := l.Store.ServedOn(ctx, p, from, to)
	if err != nil {
		return m, err
	}
	for _, s := range served {
		d := Deployment{
			Deployment: s.Deployment, Project: s.Project, Environment: s.Environment, Model: s.Model, Version: s.Version, Pool: s.Pool(), CopySeconds: s.CopySeconds,
			Predictions: s.Requests, Advice: s.Held.Advice(s.Used), Cost: l.cost(s.Spent, s.Pool(), false),
		}
		if s.Used.Known() {
			d.Used = &s.Used
		}
		m.Deployments = append(m.Deployments, d)
	}
	slices.SortStableFunc(m.Deployments, func(a, b Deployment) int { return costlier(a.Cost, b.Cost) })
	m.Versions, err = l.versions(ctx, m, served, from, to)
	return m, err
}

// versions are those that answered, with what the run took that made them where
// that was in the same month, and those that the most costly runs made.
func (l Ledger) versions(ctx context.Context, m Month, served []store.Served, from, to time.Time) (list []Version, err error) {
	of := func(p ridgeline.ProjectName, model ridgeline.ModelName, version int) *Version {
		return at(&list, func(v Version) bool { return v.Model == model && v.Version == version }, Version{Project: p, Model: model, Version: version})
	}
	known := map[ridgeline.RunID]bool{}
	for _, r := range m.Runs {
		if known[r.Run] = true; r.Version > 0 {
			of(r.Project, r.Model, r.Version).add(Line{What: Training, Cost: r.Cost})
		}
	}
	var makers []ridgeline.RunID
	made := map[ridgeline.RunID]store.Served{}
	for _, s := range served {
		of(s.Project, s.Model, s.Version).add(Line{What: Serving, Cost: l.cost(s.Spent, s.Pool(), false), Predictions: s.Requests})
		if s.Run != "" && !known[s.Run] {
			known[s.Run], made[s.Run] = true, s
			makers = append(makers, s.Run)
		}
	}
	attempts, err := l.Store.SpentBy(ctx, makers)
	for _, a := range attempts {
		if !a.Created.Before(from) && a.Created.Before(to) {
			s, t := made[a.Run], a.Attempt
			of(s.Project, s.Model, s.Version).add(Line{What: Training, Cost: l.cost(t.Spent(), t.Pool, t.Spot)})
		}
	}
	for i := range list {
		if v := &list[i]; v.Predictions > 0 && l.Prices.Known() {
			v.PerThousand = new(v.Serving.Money * 1000 / float64(v.Predictions))
		}
	}
	slices.SortStableFunc(list, func(a, b Version) int { return costlier(a.Total, b.Total) })
	return list, err
}

// costliest are the runs of a month that cost most. The store has them in the
// order of their weights; a weight costs no more than most, so that when the
// last one of a batch could not be among the first, nor can those behind it.
func (l Ledger) costliest(ctx context.Context, p ridgeline.ProjectName, month time.Time) (list []Run, err error) {
	const batch = 5 * costly
	most := l.most()
	for skip := 0; ; skip += batch {
		heavy, err := l.Store.Heaviest(ctx, p, month, skip, batch)
		if err != nil {
			return nil, err
		}
		ids := make([]ridgeline.RunID, len(heavy))
		for i, w := range heavy {
			ids[i] = w.Run
		}
		attempts, err := l.Store.SpentBy(ctx, ids)
		if err != nil {
			return nil, err
		}
		list = append(list, l.runs(attempts)...)
		slices.SortStableFunc(list, func(a, b Run) int { return cmp.Or(costlier(a.Cost, b.Cost), cmp.Compare(b.Run, a.Run)) })
		list = list[:min(len(list), costly)]
		if len(heavy) < batch || len(list) == costly && (!l.Prices.Known() || heavy[batch-1].Weight*most <= list[costly-1].Money) {
			return list, nil
		}
	}
}

// most is what one weight costs at most.
func (l Ledger) most() (most float64) {
	price := func(p project.Price) {
		for _, s := range []ridgeline.Spent{{CPU: 1}, {Memory: 1 << 30}, {GPU: 1}} {
			most = max(most, p.Cost(s.CPU, s.Memory, s.GPU)/s.Weight())
		}
	}
	price(l.Prices.OnDemand)
	price(l.Prices.Spot)
	for _, p := range l.Prices.Pools {
		price(p)
	}
	return most
}

// runs sums the attempts of each run.
func (l Ledger) runs(attempts []store.SpentAttempt) (list []Run) {
	for _, a := range attempts {
		if len(list) == 0 || list[len(list)-1].Run != a.Run {
			list = append(list, Run{Run: a.Run, Project: a.Project, Model: a.Model, Version: a.Version, Created: a.Created})
		}
		r, t := &list[len(list)-1], a.Attempt
		r.Cost = r.plus(l.cost(t.Spent(), t.Pool, t.Spot))
		if used := t.Used(); used.Known() {
			if r.Used == nil {
				r.Used = new(ridgeline.Used)
			}
			*r.Used = r.Used.Plus(used)
		}
		if advice := t.Held.Advice(t.Used()); advice != "" {
			r.Advice = strings.TrimPrefix(r.Advice+"; "+a.Step+" "+advice, "; ")
		}
	}
	return list
}
