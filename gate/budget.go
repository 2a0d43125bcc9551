package gate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Budget bounds how often chance alone is promoted when one holdout judges
// many challengers. A holdout's life starts with its first decision and ends
// when enough of its rows are new; all decisions of a life together promote a
// challenger that is not better with a probability of at most Alpha, however
// they depend on each other (Bonferroni). It is spent evenly, Alpha/Decisions
// for each decision: the linear spending function of Lan and DeMets
// (Biometrika 70, 1983) in the number of decisions.
// docs/decisions/0013-error-budget.md says why not another one.
type Budget struct {
	Alpha     float64 // for a holdout's life; 0 means 0.05
	Decisions int     // a holdout judges so many challengers; 0 means 20
	Fresh     float64 // a holdout with this share of rows that its life has not seen starts a new one; 0 means 0.5
}

// A Decision is a line of the ledger: a verdict that could have been a false
// promotion. Report.Spent says whether it was one, and at what price; what
// spent nothing does not belong into the ledger.
type Decision struct {
	Run     string            `json:"run"` // or whatever names it
	At      time.Time         `json:"at"`
	Holdout Holdout           `json:"holdout"`
	Alpha   float64           `json:"alpha"` // spent
	Verdict ridgeline.Verdict `json:"verdict"`
}

// A Ledger is a model's decisions, the oldest first.
type Ledger []Decision

// A Holdout names the rows of one holdout so that it can be compared with
// others without having their rows at hand: its size and the smallest of its
// rows' hashes, all of them up to sketchSize.
type Holdout struct {
	Rows   int      `json:"rows"`
	Sketch []uint64 `json:"sketch"`
}

// An Allowance is what a decision may spend, and how the ledger stands.
type Allowance struct {
	Alpha    float64 `json:"alpha"`    // the p at which to promote; 0 when the budget is spent
	Life     int     `json:"life"`     // of the holdout, from 1
	Decision int     `json:"decision"` // within this life, from 1
	Limit    int     `json:"limit"`    // of decisions within a life
	Total    float64 `json:"total"`    // alpha of a life
	Spent    float64 `json:"spent"`    // of it, before this decision
	New      float64 `json:"new"`      // share of rows that no decision of this life has seen
	NewRows  int     `json:"new_rows"` // about so many more new rows start a new life
}

// sketchSize is how many hashes stand for a holdout: the share of new rows is
// then known to about 2 %, and exactly for smaller holdouts.
const sketchSize = 512

// HoldoutOf makes the sketch of a holdout from a hash of each of its rows: a
// bottom-k sketch (Cohen and Kaplan, "Summarizing data using bottom-k
// sketches", PODC 2007). The order of rows does not matter; equal rows count once.
func HoldoutOf(rows []uint64) Holdout {
	mixed := make([]uint64, len(rows))
	for i, h := range rows {
		mixed[i] = mix(h)
	}
	slices.Sort(mixed)
	mixed = slices.Compact(mixed)
	h := Holdout{Rows: len(mixed), Sketch: mixed}
	if len(mixed) > sketchSize {
		h.Sketch = slices.Clone(mixed[:sketchSize])
	}
	return h
}

// mix spreads hashes that are not spread well (splitmix64; Steele, Lea and
// Flood, OOPSLA 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// New estimates the share of the holdout's rows that are in none of seen.
func (h Holdout) New(seen ...Holdout) float64 {
	// Below the smallest of the largest hashes kept, every sketch is complete.
	cut := h.complete()
	known := map[uint64]bool{}
	for _, s := range seen {
		cut = min(cut, s.complete())
		for _, v := range s.Sketch {
			known[v] = true
		}
	}
	all, fresh := 0, 0
	for _, v := range h.Sketch {
		if v > cut {
			break
		}
		all++
		if !known[v] {
			fresh++
		}
	}
	if all == 0 {
		return 0 // nothing is known, so nothing is taken for new
	}
	return float64(fresh) / float64(all)
}

func (h Holdout) complete() uint64 {
	if h.Rows <= len(h.Sketch) || len(h.Sketch) == 0 {
		return math.MaxUint64
	}
	return h.Sketch[len(h.Sketch)-1]
}

// Check finds settings that make no sense.
func (b Budget) Check() error {
	b = b.orDefault()
	switch {
	case !(b.Alpha > 0 && b.Alpha < 0.5):
		return invalid("the error budget's alpha is %v; expected a probability between 0 and 0.5 such as 0.05", b.Alpha)
	case b.Decisions < 1:
		return invalid("the error budget is for %d decisions; expected at least 1", b.Decisions)
	case !(b.Fresh > 0 && b.Fresh <= 1):
		return invalid("the error budget's share of new rows is %v; expected above 0 and at most 1", b.Fresh)
	}
	return nil
}

func (b Budget) orDefault() Budget {
	if b.Alpha == 0 {
		b.Alpha = 0.05
	}
	if b.Decisions == 0 {
		b.Decisions = 20
	}
	if b.Fresh == 0 {
		b.Fresh = 0.5
	}
	return b
}

// Next says what the next decision, on this holdout, may spend. The settings
// may have changed since the ledger's decisions: what was spent stays spent.
func (b Budget) Next(l Ledger, h Holdout) Allowance {
	b = b.orDefault()
	life := 1
	var seen []Holdout
	var spent float64
	for _, d := range l {
		if d.Alpha <= 0 {
			continue
		}
		if len(seen) > 0 && d.Holdout.New(seen...) >= b.Fresh {
			life, seen, spent = life+1, nil, 0
		}
		seen = append(seen, d.Holdout)
		spent += d.Alpha
	}
	share := 1.0
	if len(seen) > 0 {
		if share = h.New(seen...); share >= b.Fresh {
			life, seen, spent = life+1, nil, 0
		}
	}
	a := Allowance{Life: life, Decision: len(seen) + 1, Limit: b.Decisions, Total: b.Alpha, Spent: spent, New: share}
	each, left := b.Alpha/float64(b.Decisions), b.Alpha-spent
	switch {
	case len(seen) >= b.Decisions || left <= 1e-9*b.Alpha:
	case left < each*(1-1e-9): // not by rounding
		a.Alpha = left
	default:
		a.Alpha = each
	}
	// With x more new rows: (new + x)/(rows + x) = Fresh.
	if need := (b.Fresh - share) * float64(h.Rows); len(seen) > 0 && b.Fresh < 1 {
		a.NewRows = int(math.Ceil(need/(1-b.Fresh) - 1e-9))
	} else if len(seen) > 0 {
		a.NewRows = h.Rows
	}
	return a
}

// Exhausted reports that nothing may be promoted on this holdout any more.
func (a Allowance) Exhausted() bool { return a.Alpha <= 0 }

// String is the line of the report about the ledger.
func (a Allowance) String() string {
	if a.Exhausted() {
		return fmt.Sprintf("budget of %s spent by %s (of %d)", percent(a.Total), count(a.Decision-1, "decision"), a.Limit)
	}
	return fmt.Sprintf("decision %d of %d on these rows, at %s; %s of %s spent", a.Decision, a.Limit, percent(a.Alpha), percent(a.Spent), percent(a.Total))
}
