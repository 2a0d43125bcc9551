package data_test

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/data"
)

func profile(t *testing.T, path string) data.Profile {
	t.Helper()
	p, err := open(t).Profile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProfile(t *testing.T) {
	db := open(t)
	csv := write(t, "a.csv", "i,f,s,d,b,e\n1,1.5,x,2026-01-01,true,\n2,inf,y,2026-01-03,false,\n3,-2,x,,true,\n4,,x,2026-01-02,true,\n")
	for _, path := range []string{csv, toParquet(t, db, csv)} {
		p := profile(t, path)
		if p.Rows != 4 || len(p.Columns) != 6 {
			t.Fatalf("%d rows, %d columns", p.Rows, len(p.Columns))
		}
		var got []string
		for _, c := range p.Columns {
			mean := math.NaN()
			if c.Mean != nil {
				mean = *c.Mean
			}
			got = append(got, fmt.Sprintf("%s %d nulls %d distinct %s..%s mean %.4g top %v", c.Name, c.Nulls, c.Distinct, c.Min, c.Max, mean, c.Top))
		}
		want := []string{
			"i 0 nulls 4 distinct 1..4 mean 2.5 top [{1 1} {2 1} {3 1} {4 1}]",
			"f 1 nulls 3 distinct -2..inf mean -0.25 top [{-2.0 1} {1.5 1} {inf 1}]",
			"s 0 nulls 2 distinct x..y mean NaN top [{x 3} {y 1}]",
			"d 1 nulls 3 distinct 2026-01-01 00:00:00..2026-01-03 00:00:00 mean NaN top",
			"b 0 nulls 2 distinct ",
			"e 4 nulls 0 distinct .. mean NaN top []",
		}
		for i, w := range want {
			if !strings.HasPrefix(got[i], w) {
				t.Errorf("%s: got  %s\nwant %s", filepath.Ext(path), got[i], w)
			}
		}
		if _, err := json.Marshal(p); err != nil {
			t.Error(err)
		}
	}
}

func TestDiff(t *testing.T) {
	a := profile(t, write(t, "a.csv", diabetes(2000)))
	if d := data.Diff(a, a); !d.Same() {
		t.Errorf("a profile differs from itself: %+v", d)
	}
	var shifted strings.Builder
	for i, line := range strings.Split(strings.TrimSpace(diabetes(1500)), "\n") {
		f := strings.Split(line, ",")
		f[1] = map[bool]string{true: "sex", false: "3"}[i == 0]
		f[2] = map[bool]string{true: "bmi", false: "3" + f[2]}[i == 0]
		f[10] = map[bool]string{true: "target", false: f[10]}[i == 0]
		shifted.WriteString(strings.Join(f, ",") + "\n")
	}
	d := data.Diff(a, profile(t, write(t, "b.csv", shifted.String())))
	if d.Same() || d.RowsA != 2000 || d.RowsB != 1500 || fmt.Sprint(d.Added, d.Removed) != "[target] [progression]" {
		t.Errorf("%+v", d)
	}
	for _, c := range d.Columns {
		switch c.Name {
		case "sex":
			if fmt.Sprint(c.New, c.Vanished) != "[3] [1 2]" || *c.JS < 0.9 {
				t.Errorf("sex: %+v, js %v", c, *c.JS)
			}
		case "bmi":
			if *c.PSI < 5 {
				t.Errorf("bmi: psi %v", *c.PSI)
			}
		default:
			if c.PSI == nil || *c.PSI > 0.05 {
				t.Errorf("%s: psi %v", c.Name, c.PSI)
			}
		}
	}
}
