package ui

import (
	"cmp"
	"context"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/bill"
	"github.com/ridgeline-mlops/ridgeline/project"
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

// A billed month can say what it holds.
type billed struct{ bill.Month }

// Say is one of its costs in words.
func (b billed) Say(c bill.Cost) cost {
	return cost{Spent: c.Spent, Money: c.Money, Currency: b.Currency}
}

// Amount is an amount of its money.
func (b billed) Amount(v float64) string { return components.Money(v) + " " + b.Currency }

// Meter draws how much of a budget is spent.
func (b billed) Meter(of bill.Budget) components.Meter {
	tones := map[bill.State]string{bill.Exceeded: "bad", bill.Will: "warn"}
	return components.NewMeter(of.Share(), components.Percent(of.Share())+" of "+b.Amount(of.Amount), tones[of.State])
}

// attemptsCost is what the attempts of a run have cost.
func (u *UI) attemptsCost(steps []ridgeline.Step) (all cost) {
	all.Currency = u.Bills.Prices.Currency
	for _, s := range steps {
		for _, a := range s.Attempts {
			all = all.plus(priced(u.Bills.Prices, a.Spent(), a.Used(), a.Pool, a.Spot))
		}
	}
	return all
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
	out.Training, out.Serving.Currency = u.attemptsCost(steps), u.Bills.Prices.Currency
	served, err := u.Store.Served(ctx, v.Project)
	for _, s := range served {
		if s.Model == v.Model && s.Version == v.Version {
			out.Serving = out.Serving.plus(priced(u.Bills.Prices, s.Spent, s.Used, s.Pool(), false))
			out.Requests += s.Requests
		}
	}
	if out.Requests > 0 && u.Bills.Prices.Known() {
		out.PerThousand = components.Money(out.Serving.Money*1000/float64(out.Requests)) + " " + u.Bills.Prices.Currency
	}
	return out, err
}
