package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/bill"
)

// Spent is what computing took, and what that costs by the server's prices.
type Spent struct {
	ridgeline.Spent
	Used *ridgeline.Used `json:"used,omitempty" doc:"what was really used, as far as it was seen; absent: not known"`
	Cost float64         `json:"cost" doc:"in the currency beside it; 0 without prices"`
}

// Asked is what is set aside for an attempt, or for each copy.
type Asked struct {
	CPU    float64 `json:"cpu" doc:"cores"`
	Memory int64   `json:"memory_bytes"`
	GPU    int     `json:"gpu" doc:"devices"`
}

// AttemptCost is one attempt of a run in the bill.
type AttemptCost struct {
	Step    string  `json:"step"`
	Attempt int     `json:"attempt"`
	Pool    string  `json:"pool"`
	Spot    bool    `json:"spot"`
	Status  string  `json:"status"`
	Fate    string  `json:"fate,omitempty" doc:"how it ended, when not well: an exit code, timeout, memory, lost, displaced"`
	Seconds float64 `json:"seconds"`
	Asked   Asked   `json:"asked"`
	Advice  string  `json:"advice,omitempty" doc:"what was asked for and hardly used, or was nearly too little"`
	Spent
}

// RunCost is what one run has cost.
type RunCost struct {
	Run      string        `json:"run"`
	Project  string        `json:"project"`
	Model    string        `json:"model,omitempty"`
	Version  int           `json:"version,omitempty"`
	Currency string        `json:"currency,omitempty" doc:"empty: the server has no prices"`
	Attempts []AttemptCost `json:"attempts"`
	Spent
}

// VersionCost is what one model version has cost: its run, and what served it.
type VersionCost struct {
	Project     string  `json:"project"`
	Model       string  `json:"model"`
	Version     int     `json:"version"`
	Run         string  `json:"run,omitempty"`
	Currency    string  `json:"currency,omitempty" doc:"empty: the server has no prices"`
	Training    Spent   `json:"training"`
	Serving     Spent   `json:"serving"`
	CopySeconds float64 `json:"copy_seconds" doc:"ready copies, times seconds"`
	Predictions int64   `json:"predictions" doc:"requests answered with success"`
	PerThousand float64 `json:"cost_per_1000_predictions" doc:"of serving; 0 before the first"`
	Cost        float64 `json:"cost" doc:"training and serving"`

	Deployments []DeploymentCost `json:"deployments" doc:"what served it, newest first"`
}

// DeploymentCost is what one deployment of a version has cost.
type DeploymentCost struct {
	Deployment  string  `json:"deployment"`
	Environment string  `json:"environment"`
	Host        string  `json:"host"`
	CopySeconds float64 `json:"copy_seconds" doc:"ready copies, times seconds"`
	Predictions int64   `json:"predictions" doc:"requests answered with success"`
	Asked       Asked   `json:"asked" doc:"for each copy, when it was looked at last"`
	Advice      string  `json:"advice,omitempty" doc:"what was asked for and hardly used, or was nearly too little"`
	Spent
}

type costsInput struct {
	Project string `query:"project" doc:"empty: all"`
	Days    int    `query:"days" default:"90" minimum:"1" maximum:"3660" doc:"of runs that were created since so many days"`
}

func (a *API) costs(api huma.API) {
	tags := []string{"cost"}
	route(a, api, huma.Operation{OperationID: "list-run-costs", Method: http.MethodGet, Path: "/costs/runs", Summary: "What runs have used and cost, newest first", Tags: tags},
		ridgeline.Viewer, a.runCosts)
	route(a, api, huma.Operation{OperationID: "list-model-costs", Method: http.MethodGet, Path: "/costs/models", Summary: "What model versions have used and cost, newest first", Tags: tags},
		ridgeline.Viewer, a.versionCosts)
	route(a, api, huma.Operation{OperationID: "show-month", Method: http.MethodGet, Path: "/costs/month", Summary: "What a month has cost, beside its budget", Tags: tags},
		ridgeline.Viewer, a.month)
	route(a, api, huma.Operation{OperationID: "list-month-lines", Method: http.MethodGet, Path: "/costs/month/lines", Summary: "What a month has cost, by day, project and pool", Tags: tags},
		ridgeline.Viewer, a.monthLines)
}

type monthInput struct {
	Month   string `query:"month" default:"now" doc:"such as 2026-11, or now; days are UTC's"`
	Project string `query:"project" doc:"empty: all"`
}

// The bill of a month, as package bill makes it.
type (
	MonthCost  = bill.Month
	MonthLine  = bill.Line
	MonthLines struct {
		Currency string      `json:"currency,omitempty" doc:"empty: the server has no prices"`
		Lines    []MonthLine `json:"lines"`
	}
)

func (a *API) month(ctx context.Context, in *monthInput) (MonthCost, error) {
	now := time.Now()
	month, err := bill.ParseMonth(in.Month, now)
	if err != nil {
		return MonthCost{}, err
	}
	if err := a.Releases.Meter(ctx, a.Leads()); err != nil { // what was answered just now counts
		return MonthCost{}, err
	}
	return a.Bills.Month(ctx, ridgeline.ProjectName(in.Project), month, now)
}

func (a *API) monthLines(ctx context.Context, in *monthInput) (MonthLines, error) {
	month, err := bill.ParseMonth(in.Month, time.Now())
	if err != nil {
		return MonthLines{}, err
	}
	lines, err := a.Bills.Lines(ctx, ridgeline.ProjectName(in.Project), month)
	return MonthLines{a.Bills.Prices.Currency, lines}, err
}

// priced puts a price on it.
func (a *API) priced(s ridgeline.Spent, used ridgeline.Used, pool string, spot bool) Spent {
	out := Spent{Spent: s, Cost: a.Bills.Prices.Of(pool, spot).Cost(s.CPU, s.Memory, s.GPU)}
	if used.Known() {
		out.Used = &used
	}
	return out
}

func (s Spent) plus(t Spent) Spent {
	sum := Spent{Spent: s.Spent.Plus(t.Spent), Used: cmp.Or(s.Used, t.Used), Cost: s.Cost + t.Cost}
	if s.Used != nil && t.Used != nil {
		sum.Used = new(s.Used.Plus(*t.Used))
	}
	return sum
}

func (a *API) runCosts(ctx context.Context, in *costsInput) ([]RunCost, error) {
	attempts, err := a.Store.Spent(ctx, ridgeline.ProjectName(in.Project), time.Now().AddDate(0, 0, -in.Days))
	if err != nil {
		return nil, err
	}
	list := []RunCost{}
	for _, s := range attempts {
		if len(list) == 0 || list[len(list)-1].Run != string(s.Run) {
			list = append(list, RunCost{Run: string(s.Run), Project: string(s.Project), Model: string(s.Model), Version: s.Version, Currency: a.Bills.Prices.Currency})
		}
		t := s.Attempt
		one := AttemptCost{
			Step: s.Step, Attempt: t.Number, Pool: t.Pool, Spot: t.Spot, Status: string(t.Status), Fate: t.Fate, Seconds: wall(t), Asked: Asked(t.Held), Advice: t.Held.Advice(t.Used()),
			Spent: a.priced(t.Spent(), t.Used(), t.Pool, t.Spot),
		}
		run := &list[len(list)-1]
		run.Attempts, run.Spent = append(run.Attempts, one), run.plus(one.Spent)
	}
	return list, nil
}

func wall(t ridgeline.Attempt) float64 {
	if t.Usage.WallSeconds == 0 && !t.Ended.IsZero() {
		return t.Ended.Sub(t.Started).Seconds()
	}
	return t.Usage.WallSeconds
}

func (a *API) versionCosts(ctx context.Context, in *costsInput) ([]VersionCost, error) {
	if err := a.Releases.Meter(ctx, a.Leads()); err != nil { // what was answered just now counts
		return nil, err
	}
	runs, err := a.runCosts(ctx, in)
	if err != nil {
		return nil, err
	}
	served, err := a.Store.Served(ctx, ridgeline.ProjectName(in.Project))
	if err != nil {
		return nil, err
	}
	list := []VersionCost{}
	of := func(project, model string, version int) *VersionCost {
		i := slices.IndexFunc(list, func(v VersionCost) bool { return v.Project == project && v.Model == model && v.Version == version })
		if i < 0 {
			i = len(list)
			list = append(list, VersionCost{Project: project, Model: model, Version: version, Currency: a.Bills.Prices.Currency, Deployments: []DeploymentCost{}})
		}
		return &list[i]
	}
	for _, r := range runs {
		if r.Version > 0 {
			v := of(r.Project, r.Model, r.Version)
			v.Run, v.Training = r.Run, v.Training.plus(r.Spent)
		}
	}
	for _, s := range served {
		v := of(string(s.Project), string(s.Model), s.Version)
		one := a.priced(s.Spent, s.Used, s.Pool(), false)
		v.Serving = v.Serving.plus(one)
		v.Deployments = append(v.Deployments, DeploymentCost{
			Deployment: string(s.Deployment), Environment: s.Environment, Host: s.Host, CopySeconds: s.CopySeconds, Predictions: s.Requests,
			Asked: Asked(s.Held), Advice: s.Held.Advice(s.Used), Spent: one,
		})
		v.CopySeconds, v.Predictions = v.CopySeconds+s.CopySeconds, v.Predictions+s.Requests
	}
	for i := range list {
		v := &list[i]
		v.Cost = v.Training.Cost + v.Serving.Cost
		if v.Predictions > 0 {
			v.PerThousand = v.Serving.Cost * 1000 / float64(v.Predictions)
		}
	}
	slices.SortStableFunc(list, func(a, b VersionCost) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Model, b.Model), cmp.Compare(b.Version, a.Version))
	})
	return list, nil
}
