package bill

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Budget is what a month may cost, beside what it does.
type Budget struct {
	Amount   float64  `json:"amount"`
	Spent    float64  `json:"spent"`
	Estimate *float64 `json:"estimate,omitempty" doc:"what the month will come to if it goes on as it did so far"`
	State    State    `json:"state" enum:"within,will be exceeded,exceeded"`
}

// A State is where spending stands beside its budget.
type State string

// Whether a budget will be exceeded is an estimate.
const (
	Within   State = "within"
	Will     State = "will be exceeded"
	Exceeded State = "exceeded"
)

// Share is how much of the budget is spent; above 1 when it is exceeded.
func (b Budget) Share() float64 { return b.Spent / b.Amount }

// Says is where spending stands, in words.
func (b Budget) Says(currency string) string {
	text := fmt.Sprintf("%s of %s %s", amount(b.Spent), amount(b.Amount), currency)
	switch {
	case b.State == Exceeded:
		return text + ", exceeded"
	case b.Estimate != nil:
		text += fmt.Sprintf(", about %s at this rate", amount(*b.Estimate))
	}
	if b.State == Will {
		text += ", which is more"
	}
	return text
}

// amount has cents; of less than one, as many digits as say something.
func amount(v float64) string {
	if v != 0 && v < 1 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// early is how long a month has to go on before it is told what it will come to:
// of a day or two, one large run would make thirty.
const early = 3 * 24 * time.Hour

// estimate carries what is spent on to the month's end, when done of it is over.
func estimate(spent, done float64, after time.Duration, priced bool) *float64 {
	if !priced || after < early || done >= 1 {
		return nil
	}
	return new(spent / done)
}

// budget is nil where there is none.
func (l Ledger) budget(p ridgeline.ProjectName, spent float64, estimate *float64) *Budget {
	amount := l.Budget.Of(p)
	if amount == 0 {
		return nil
	}
	b := Budget{Amount: amount, Spent: spent, Estimate: estimate, State: Within}
	switch {
	case spent > amount:
		b.State = Exceeded
	case estimate != nil && *estimate > amount:
		b.State = Will
	}
	return &b
}

// A Warning is a budget that is exceeded, or will be. It is what the event
// budget.exceeded tells.
type Warning struct {
	Month    string                `json:"month"`
	Project  ridgeline.ProjectName `json:"project,omitempty"` // empty: everything
	Currency string                `json:"currency"`
	Budget   *Budget               `json:"budget"`
}

// Warnings are those of a month: of everything first, then by project.
func (m Month) Warnings() (all []Warning) {
	if m.Budget != nil && m.Budget.State != Within {
		all = append(all, Warning{m.Month, m.Project, m.Currency, m.Budget})
	}
	for _, p := range m.Projects {
		if p.Budget != nil && p.Budget.State != Within && p.Project != m.Project {
			all = append(all, Warning{m.Month, p.Project, m.Currency, p.Budget})
		}
	}
	return all
}

// Whose is what the budget is of, in words.
func (w Warning) Whose() string {
	if w.Project == "" {
		return "the budget"
	}
	return fmt.Sprintf("the budget of %s", w.Project)
}

// Watch writes an event for each budget that is exceeded, once. What runs took
// is added to the day of their beginning, so on the first day of a month the one
// before is looked at, too.
func (l Ledger) Watch(ctx context.Context, now time.Time) error {
	if !l.Budget.Set() {
		return nil
	}
	for _, day := range []time.Time{now.AddDate(0, 0, -1), now} {
		month := ridgeline.MonthOf(day)
		if day.Before(now) && month.Equal(ridgeline.MonthOf(now)) {
			continue
		}
		m, err := l.Sums(ctx, "", month, now)
		if err != nil {
			return err
		}
		for _, w := range m.Warnings() {
			if w.Budget.State != Exceeded {
				continue
			}
			if _, err := l.Store.ExceedBudget(ctx, w.Project, month, w.Budget.Amount, now, w); err != nil {
				return err
			}
		}
	}
	return nil
}
