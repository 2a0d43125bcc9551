package gate_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/gate"
)

// The figures of scipy, statsmodels, scikit-learn, and DeLong's test written
// from the paper; test/gate/cases.py computes them.
func TestAgreement_with_Python(t *testing.T) {
	type data struct{ y, a, b []float64 }
	cases := map[string]*data{}
	for _, row := range table(t, "testdata/cases.csv") {
		c := cases[row[0]]
		if c == nil {
			c = &data{}
			cases[row[0]] = c
		}
		c.y, c.a, c.b = append(c.y, parse(t, row[1])), append(c.a, parse(t, row[2])), append(c.b, parse(t, row[3]))
	}
	margin := map[string]float64{}
	compared := 0
	for _, row := range table(t, "testdata/expected.csv") {
		name, metric, quantity, want := row[0], row[1], row[2], parse(t, row[3])
		c := cases[name]
		in := gate.Input{Metric: metric, Champion: gate.Scores{Has: true, Y: c.y, Prediction: c.a}, Challenger: gate.Scores{Has: true, Y: c.y, Prediction: c.b}}
		test := strings.TrimSuffix(strings.TrimSuffix(quantity, " beyond margin"), " beyond 2 %")
		switch {
		case quantity == "margin":
			margin[name+metric] = want
			continue
		case strings.HasSuffix(quantity, " beyond margin"):
			in.MinEffect = margin[name+metric]
		case strings.HasSuffix(quantity, " beyond 2 %"):
			in.MinEffect, in.Relative = 0.02, true
		}
		r := decide(t, in)
		got := map[string]float64{"champion": *r.Champion, "challenger": *r.Challenger, "low": r.DifferenceInterval[0], "high": r.DifferenceInterval[1]}
		for _, p := range r.Tests {
			got[p.Name] = p.P
		}
		v, ok := got[test]
		if !ok || math.Abs(v-want) > 1e-6*math.Abs(want) {
			t.Errorf("%s, %s: %s is %v, Python has %v", name, metric, quantity, v, want)
		}
		if test == "DeLong" && *r.P != v {
			t.Errorf("%s: p %v is not DeLong's %v", name, *r.P, v)
		}
		compared++
	}
	if compared < 100 {
		t.Errorf("only %d figures compared", compared)
	}
	t.Logf("%d figures agree", compared)
}

func table(t *testing.T, path string) [][]string {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func parse(t *testing.T, text string) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
