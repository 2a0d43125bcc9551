package project

import (
	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Budget is what a month may cost, in the currency of the prices. The zero
// value is: as much as it takes.
type Budget struct {
	Month    float64                           // of everything; 0: none
	Projects map[ridgeline.ProjectName]float64 // of projects that have one of their own
}

// Of is the budget of a project, or of everything when none is named; 0: none.
func (b Budget) Of(p ridgeline.ProjectName) float64 {
	if p == "" {
		return b.Month
	}
	return b.Projects[p]
}

// Set says whether there is a budget of anything.
func (b Budget) Set() bool { return b.Month > 0 || len(b.Projects) > 0 }

func (r *reader) budget(n *yaml.Node, prices Prices) (b Budget) {
	if n == nil {
		return b
	}
	f := r.section(n, "budget", "month", "projects")
	b.Month = r.amount(f.value("month"), "budget.month")
	if projects := f.value("projects"); projects != nil {
		b.Projects = map[ridgeline.ProjectName]float64{}
		for _, e := range r.entries(projects, "budget.projects", "a map from a project's name to what a month may cost, such as `iris: 50`") {
			if ridgeline.CheckName("project", e.name) != nil {
				r.at(e.key, "budget.projects: %q is no name of a project: use lower case letters, digits and dashes", clip(e.name, 60))
				continue
			}
			b.Projects[ridgeline.ProjectName(e.name)] = r.amount(e.value, "budget.projects."+e.name)
		}
	}
	if !prices.Known() {
		r.at(n, "budget: nobody said what an hour costs: add prices: with what a core and a GiB cost")
	}
	if !b.Set() {
		r.at(n, "budget: expected what a month may cost, such as {month: 500, projects: {iris: 50}}")
	}
	return b
}

// amount reads an amount of money above 0.
func (r *reader) amount(n *yaml.Node, what string) float64 {
	const most = 1e12
	v := r.number(n, what, 0, 0, most)
	if n != nil && v == 0 {
		if got, ok := asNumber(n); ok && got == 0 {
			r.at(n, "%s: expected an amount above 0; leave it out where there is no budget", what)
		}
	}
	return v
}
