package data_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/data"
)

// sales draws deliveries of one world: the same for every seed, but for the
// draws, unless it is told to change.
func sales(seed uint64, rows int, change string) string {
	r := rand.New(rand.NewPCG(seed, 9))
	var b strings.Builder
	b.WriteString("amount,items,day,shop,member\n")
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range rows {
		amount := 20 + 5*r.NormFloat64()
		items := 1 + int(r.ExpFloat64())
		shop := []string{"north", "south", "east", "west", "west", "west"}[r.IntN(6)]
		member := fmt.Sprint(r.IntN(4) > 0)
		day := start.AddDate(0, 0, r.IntN(100))
		switch change {
		case "amount":
			amount += 2
		case "items":
			items++
		case "shop":
			shop = strings.Replace(shop, "north", "web", 1)
		case "day":
			day = day.AddDate(0, 0, 20)
		case "member":
			if r.IntN(3) == 0 {
				member = ""
			}
		}
		fmt.Fprintf(&b, "%.3f,%d,%s,%s,%s\n", amount, items, day.Format("2006-01-02"), shop, member)
	}
	return b.String()
}

const salesChecks = `columns:
  amount: {psi: true, js: true, ks: true, chi2: true, mean: true, std: true}
  items: {psi: true, js: true, ks: true, chi2: true}
  day: {psi: true, ks: true}
  shop: {psi: true, js: true, chi2: true, categories: true}
  member: {psi: true}
`

func TestCheck_finds_what_changed(t *testing.T) {
	db := open(t)
	before := write(t, "before.csv", sales(1, 4000, ""))
	for change, want := range map[string]string{
		"":       "",
		"amount": "amount mean, amount psi, amount js, amount ks, amount chi2",
		"items":  "items psi, items js, items ks, items chi2",
		"day":    "day psi, day ks",
		"shop":   "shop psi, shop js, shop chi2, shop categories",
		"member": "member psi",
	} {
		after := write(t, "after.csv", sales(2, 1500, change))
		for i, pair := range [][2]string{{after, before}, {toParquet(t, db, after), toParquet(t, db, before)}, {after, toParquet(t, db, before)}} {
			if i == 2 && change != "items" {
				continue // the kinds of file mixed, once
			}
			findings, err := db.Check(t.Context(), pair[0], []byte(salesChecks), "checks.yaml", against(map[string]string{"": pair[1]}))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				if !f.OK {
					got = append(got, f.Column+" "+f.Rule)
				}
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("%s, %s against %s: got %q, want %q\n%s", change, filepath.Ext(pair[0]), filepath.Ext(pair[1]), got, want, brokenWith(findings))
			}
			if change != "amount" {
				continue
			}
			again, err := db.Check(t.Context(), pair[0], []byte(salesChecks), "checks.yaml", against(map[string]string{"": pair[1]}))
			if err != nil || fmt.Sprint(again) != fmt.Sprint(findings) {
				t.Errorf("%s: a second check says something else: %v", change, err)
			}
		}
	}
}

// Deliveries of the same world raise no more alarms than they are allowed,
// from a hundred rows on.
func TestCheck_has_no_alarm_by_size_alone(t *testing.T) {
	db := open(t)
	before := write(t, "before.csv", sales(1, 5000, ""))
	for _, rows := range []int{100, 1000, 10000} {
		alarms := 0
		const deliveries = 20
		for i := range deliveries {
			if rows == 10000 && i == 5 {
				break // each takes its time
			}
			findings, err := db.Check(t.Context(), write(t, "after.csv", sales(uint64(100+i), rows, "")), []byte("alarms: 5%\n"+salesChecks), "checks.yaml", against(map[string]string{"": before}))
			if err != nil {
				t.Fatal(err)
			}
			if brokenWith(findings) != "" {
				alarms++
			}
		}
		t.Logf("%d rows: %d of %d deliveries", rows, alarms, deliveries)
		if alarms > 4 { // of 20 at 5 %: 1 on average; more than 4 in 3 of 1000 worlds
			t.Errorf("%d rows: %d alarms in %d deliveries", rows, alarms, deliveries)
		}
	}
}

func TestCheck_shift_rules(t *testing.T) {
	db := open(t)
	before := write(t, "before.csv", "x,c,k,u,e\n"+strings.Repeat("5,a,1,,\n5,b,1,,\n5,a,2,,\n", 500))
	many := write(t, "many.csv", "u\n"+manyRows(3000))
	o := against(map[string]string{"": before, "many:2": many})
	const head = "x,c,k,u,e\n"
	for _, test := range []struct{ name, rule, content, want string }{
		{"a constant that went down is a change", "columns: {x: {psi: true}}", strings.Repeat("4,a,1,,\n", 300), "column x: psi: expected at most 0.01"},
		{"a constant that stays is none", "columns: {x: {psi: true, ks: true, js: 0.1}}", strings.Repeat("5,a,1,,\n", 300), ""},
		{"a fixed threshold", "columns: {c: {psi: 0.2}}", strings.Repeat("5,a,1,,\n5,b,1,,\n", 150), ""},
		{"a fixed threshold, broken", "columns: {c: {psi: {max: 0.1}}}", strings.Repeat("5,a,1,,\n5,b,1,,\n", 150), "column c: psi: expected at most 0.1 (300 rows against 1500), found 0.11"},
		{"a least effect", "columns: {c: {psi: {min_effect: 0.2}}}", strings.Repeat("5,a,1,,\n5,b,1,,\n", 150), ""},
		{"new values, few let pass", "columns: {c: {categories: {new: 1%}}}", strings.Repeat("5,a,1,,\n5,b,1,,\n", 150) + "5,z,1,,\n", ""},
		{"new values, none let pass", "columns: {c: {categories: {new: 0}}}", strings.Repeat("5,a,1,,\n5,b,1,,\n", 150) + "5,z,1,,\n", `column c: categories: expected the 2 values of the reference (301 rows against 1500), found 1 row (0.332 %) with values that the reference lacks (row 301: "z")`},
		{"vanished values", "columns: {c: {categories: true}}", strings.Repeat("5,a,1,,\n", 100), `column c: categories: expected the 2 values of the reference (100 rows against 1500), found no more "b" (500 of 1500 before)`},
		{"too few rows to miss a value", "columns: {c: {categories: true}}", strings.Repeat("5,a,1,,\n", 3), ""},
		{"vanished values, any let pass", "columns: {c: {categories: {vanished: any}}}", strings.Repeat("5,a,1,,\n", 100), ""},
		{"numbers as categories", "columns: {k: {categories: {new: 0, vanished: 0}}}", "5,a,1,,\n5,a,3,,\n", `column k: categories: expected the 2 values of the reference (2 rows against 1500), found 1 row (50 %) with values that the reference lacks; no more "2" (500 of 1500 before) (row 2: "3")`},
		{"text is not ordered", "columns: {c: {ks: true}}", "5,a,1,,\n", "column c: ks: expected the distribution of the reference, found values without an order in the reference; use psi, js, chi2 or categories"},
		{"a column of no values", "columns: {e: {psi: true, js: true, categories: true}}", "5,a,1,,\n", ""},
		{"values where there were none", "columns: {e: {psi: true}}", strings.Repeat("5,a,1,,7\n", 50), "column e: psi: expected at most"},
		{"numbers that became text", "columns: {x: {psi: true}}", strings.Repeat("five,a,1,,\n", 50), "column x: psi: expected at most"},
		{"another reference", "columns: {u: {categories: {against: \"many:2\"}}}", "5,a,1,x,\n", "column u: categories: expected the distribution of many:2, found more than 1000 different values in the reference, which are no categories; use unique, pattern or in"},
		{"many values by the frequent ones", "columns: {u: {psi: {against: \"many:2\"}}}", strings.Repeat("5,a,1,common,\n", 400), "column u: psi: expected at most"},
		{"a reference of another project", "reference: none\ncolumns: {x: {psi: true, mean: true}}", "5,a,1,,\n", ""},
		{"a column that the reference lacks", "reference: \"many:2\"\ncolumns: {x: {psi: true}}", "5,a,1,,\n", "column x: psi: expected the distribution of many:2, found no such column in the reference"},
		{"no rows", "rows: {min: 0}\ncolumns: {x: {psi: true}, c: {categories: true, js: true}}", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			findings, err := db.Check(t.Context(), write(t, "a.csv", head+test.content), []byte(test.rule), "checks.yaml", o)
			if err != nil {
				t.Fatal(err)
			}
			if got := brokenWith(findings); got != test.want && (test.want == "" || !strings.HasPrefix(got, test.want)) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	var none data.CheckOptions
	findings, err := db.Check(t.Context(), before, []byte(salesChecks[:8]+"\n  x: {psi: true, mean: {tolerance: 5%}}"), "checks.yaml", none)
	if err != nil || brokenWith(findings) != "" || findings[len(findings)-1].Found != "no accepted version to compare with yet" {
		t.Errorf("without a reference: %v %v", findings, err)
	}
}

func manyRows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "v%d\ncommon\n", i)
	}
	return b.String()
}
