package gate_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/gate"
)

// keys are hashes of rows from … to, bad ones on purpose: consecutive numbers.
func keys(from, to int) []uint64 {
	var list []uint64
	for i := from; i < to; i++ {
		list = append(list, uint64(i))
	}
	return list
}

func TestHoldout_New(t *testing.T) {
	for _, test := range []struct {
		name      string
		now       []uint64
		seen      [][]uint64
		want, off float64
	}{
		{"the same rows", keys(0, 89), [][]uint64{keys(0, 89)}, 0, 0},
		{"grown by a tenth", keys(0, 110), [][]uint64{keys(0, 99)}, 0.1, 1e-12},
		{"other rows", keys(500, 600), [][]uint64{keys(0, 99)}, 1, 0},
		{"rows of two earlier ones", keys(0, 200), [][]uint64{keys(0, 50), keys(50, 100)}, 0.5, 0},
		{"large ones", keys(0, 200_000), [][]uint64{keys(0, 100_000)}, 0.5, 0.07},
		{"a small part of a large one", keys(0, 400), [][]uint64{keys(0, 100_000)}, 0, 0},
		{"no rows", nil, [][]uint64{keys(0, 10)}, 0, 0},
	} {
		var seen []gate.Holdout
		for _, s := range test.seen {
			seen = append(seen, gate.HoldoutOf(s))
		}
		if got := gate.HoldoutOf(test.now).New(seen...); math.Abs(got-test.want) > test.off {
			t.Errorf("%s: %v new, want %v", test.name, got, test.want)
		}
	}
	rows := keys(0, 2000)
	h := gate.HoldoutOf(rows)
	slices.Reverse(rows)
	if other := gate.HoldoutOf(append(rows, 7)); !slices.Equal(h.Sketch, other.Sketch) || other.Rows != 2000 {
		t.Error("order or repetition of rows matters")
	}
	text, _ := json.Marshal(h)
	var back gate.Holdout
	if err := json.Unmarshal(text, &back); err != nil || back.New(h) != 0 {
		t.Errorf("changed by JSON: %v", err)
	}
}

func TestBudget_a_life(t *testing.T) {
	var ledger gate.Ledger
	h := gate.HoldoutOf(keys(0, 89))
	spent := 0.0
	for k := range 25 {
		a := gate.Budget{}.Next(ledger, h)
		if k >= 20 {
			if !a.Exhausted() || a.Alpha != 0 || a.NewRows != 89 {
				t.Fatalf("decision %d: %+v", k+1, a)
			}
			continue
		}
		if a.Alpha != 0.0025 || a.Decision != k+1 || a.Limit != 20 || a.Life != 1 || math.Abs(a.Spent-spent) > 1e-12 {
			t.Fatalf("decision %d: %+v", k+1, a)
		}
		spent += a.Alpha
		ledger = append(ledger, gate.Decision{Holdout: h, Alpha: a.Alpha, Verdict: ridgeline.Inconclusive})
	}
	if spent > 0.05+1e-12 {
		t.Errorf("%v spent", spent)
	}
	t.Run("what cost nothing counts for nothing", func(t *testing.T) {
		a := gate.Budget{}.Next(append(slices.Clone(ledger[:3]), gate.Decision{Holdout: h}), h)
		if a.Decision != 4 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("half of the rows new is a new life", func(t *testing.T) {
		if a := (gate.Budget{}).Next(ledger, gate.HoldoutOf(keys(0, 170))); !a.Exhausted() || a.NewRows != 8 {
			t.Errorf("%+v", a)
		}
		grown := gate.HoldoutOf(keys(0, 178))
		a := gate.Budget{}.Next(ledger, grown)
		if a.Exhausted() || a.Life != 2 || a.Decision != 1 || a.Spent != 0 || a.New != 0.5 {
			t.Errorf("%+v", a)
		}
		// And that life goes on.
		a = gate.Budget{}.Next(append(slices.Clone(ledger), gate.Decision{Holdout: grown, Alpha: a.Alpha}), grown)
		if a.Life != 2 || a.Decision != 2 || a.New != 0 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("rows that trickle in do not renew it one by one", func(t *testing.T) {
		var l gate.Ledger
		lives := 0
		for k := range 60 {
			h := gate.HoldoutOf(keys(0, 100+2*k))
			a := gate.Budget{}.Next(l, h)
			lives = a.Life
			if a.Decision > 20 && !a.Exhausted() {
				t.Fatalf("%+v", a)
			}
			l = append(l, gate.Decision{Holdout: h, Alpha: a.Alpha})
		}
		if lives > 2 {
			t.Errorf("%d lives", lives)
		}
	})
	t.Run("other settings keep what was spent", func(t *testing.T) {
		a := gate.Budget{Alpha: 0.05, Decisions: 40}.Next(ledger[:19], h)
		if math.Abs(a.Alpha-0.00125) > 1e-15 || a.Decision != 20 {
			t.Errorf("%+v", a)
		}
		if a := (gate.Budget{Alpha: 0.01}).Next(ledger[:19], h); !a.Exhausted() {
			t.Errorf("%+v", a)
		}
	})
	for _, bad := range []gate.Budget{{Alpha: -1}, {Alpha: 0.7}, {Alpha: math.NaN()}, {Decisions: -1}, {Fresh: 2}, {Fresh: -0.1}} {
		if bad.Check() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
	if err := (gate.Budget{}).Check(); err != nil {
		t.Error(err)
	}
}

func TestDecide_with_a_budget(t *testing.T) {
	a, b := rows(rand.New(rand.NewPCG(3, 3)), 1000, 0.03)
	in := input(a, b)
	allowed := gate.Budget{}.Next(nil, gate.HoldoutOf(keys(0, 1000)))
	in.Allowance = &allowed
	alone := input(a, b)
	one, many := decide(t, alone), decide(t, in)
	if *one.P != *many.P || *one.Interval != *many.Interval {
		t.Error("the budget changes more than the threshold")
	}
	if one.Spent != 0 || many.Spent != 0.0025 || many.Threshold != 0.0025 || many.Alpha != 0.05 {
		t.Errorf("%+v", many)
	}
	if !(*one.P > 0.0025 && *one.P <= 0.05) {
		t.Fatalf("p %v shows nothing here", *one.P)
	}
	wants(t, one, ridgeline.Promoted)
	wants(t, many, ridgeline.Inconclusive, "On its own the comparison would do", "as one of 20 on the same holdout, it needs 0.25 %", "rows would show it")
	if text := gate.Text(many); !strings.Contains(text, "decision 1 of 20 on these rows, at 0.25 %; 0 % of 5 % spent") || !strings.Contains(text, "promoted at 0.0025 or less") {
		t.Error(text)
	}

	last := many
	last.Budget = &gate.Allowance{Alpha: 0.0025, Decision: 20, Limit: 20, Total: 0.05, Spent: 0.0475}
	for line := range strings.Lines(gate.Text(last)) {
		if n := len([]rune(line)); n > 83 {
			t.Errorf("%d columns: %q", n, line)
		}
	}

	a, b = rows(rand.New(rand.NewPCG(3, 3)), 1000, 0.3)
	in = input(a, b)
	in.Allowance = &allowed
	wants(t, decide(t, in), ridgeline.Promoted, "up to 0.25 % is allowed")
	var ledger gate.Ledger
	for range 20 {
		ledger = append(ledger, gate.Decision{Holdout: gate.HoldoutOf(keys(0, 1000)), Alpha: 0.0025})
	}
	none := gate.Budget{}.Next(ledger, gate.HoldoutOf(keys(0, 1000)))
	in.Allowance = &none
	got := decide(t, in)
	wants(t, got, ridgeline.Inconclusive, "judged 20 challengers, and its error budget of 5 % is spent", "About 1,000 more new holdout rows")
	if got.Spent != 0 || !strings.Contains(gate.Text(got), "budget of 5 % spent by 20 decisions (of 20)") {
		t.Errorf("spent %v\n%s", got.Spent, gate.Text(got))
	}
	in.Champion, in.Challenger = in.Challenger, in.Champion
	wants(t, decide(t, in), ridgeline.Rejected)
	t.Run("what cannot promote costs nothing", func(t *testing.T) {
		same := input(a, a)
		same.Allowance = &allowed
		few := input(a[:5], b[:5])
		few.Allowance = &allowed
		bad := input(a, set(b, 3, math.NaN()))
		bad.Allowance = &allowed
		points := gate.Input{Metric: "mse", Champion: point(2), Challenger: point(1), Allowance: &allowed}
		first := gate.Input{Metric: "mse", Challenger: losses(a), Allowance: &allowed}
		for _, in := range []gate.Input{same, few, bad, points, first} {
			if got := decide(t, in); got.Spent != 0 {
				t.Errorf("%s costs %v", got.Verdict, got.Spent)
			}
		}
	})
}
