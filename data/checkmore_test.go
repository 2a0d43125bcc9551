package data_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
)

// against answers a check's references from files.
func against(paths map[string]string) data.CheckOptions {
	return data.CheckOptions{
		Now: time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC),
		Reference: func(_ context.Context, name string) (string, error) {
			if path, ok := paths[name]; ok {
				return path, nil
			}
			return "", ridgeline.Errorf(ridgeline.NotFound, "no dataset %s", name)
		},
	}
}

func TestCheck_rules_of_keys_order_time_and_SQL(t *testing.T) {
	db := open(t)
	const content = "id,customer,day,amount,note\n" +
		"1,7,2026-01-01,10.5,ab\n" +
		"2,8,2026-01-02,-3,abc\n" +
		"4,7,2026-01-01,20,\n" +
		"3,9,2026-01-04,,häß\n"
	o := against(map[string]string{
		"customers":   write(t, "customers.csv", "id,name\n7,a\n8,b\n"),
		"customers:2": write(t, "c2.csv", "id\n7\n8\n9\n"),
		"":            write(t, "before.csv", "id,customer,day,amount,note\n1,1,2025-12-01,1,a\n2,1,2025-12-01,2,a\n"),
	})
	csv := write(t, "a.csv", content)
	for _, path := range []string{csv, toParquet(t, db, csv)} {
		for _, test := range []struct{ rule, want string }{
			{"unique: [customer, day]", `unique: expected each customer with day once, found 1 combination more than once, in 2 rows (rows 1, 3: "7, 2026-01-01")`},
			{"unique: [[id, day], {columns: [customer], severity: warn}]", `warn unique: expected each customer once, found 1 combination more than once, in 2 rows (rows 1, 3: "7")`},
			{"unique: [id, dy]", `unique: expected each id with dy once, found no such column; ` + filepath.Base(path) + ` has id, customer, day, amount, note`},
			{"columns: {customer: {in: {dataset: customers, column: id}}}", `column customer: in: expected a id of customers, found 1 value without one (row 4: "9")`},
			{"columns: {customer: {in: {dataset: \"customers:2\", column: id}}}", ""},
			{"columns: {customer: {in: {dataset: customers, column: ID}}}", `column customer: in: expected a ID of customers, found no column "ID" in customers (but "id")`},
			{"columns: {customer: {in: {dataset: nobody, column: id}}}", ""},
			{"fresh: {column: day, max_age: 6d}", ""},
			{"fresh: {column: day, max_age: 5d12h}", `column day: fresh: expected a value of the last 5d12h, found 2026-01-04 00:00:00 as the latest, 144h0m0s old`},
			{"fresh: {column: note, max_age: 1h}", `column note: fresh: expected a value of the last 1h, found no date or timestamp`},
			{"columns: {id: {ordered: increasing}}", `column id: ordered: expected increasing values, found 1 value out of order (row 4: "3" after "4")`},
			{"columns: {day: {ordered: increasing}}", `column day: ordered: expected increasing values, found 1 value out of order (row 3: "2026-01-01" after "2026-01-02")`},
			{"columns: {amount: {nullable: {max: 25%}}}", ""},
			{"columns: {amount: {nullable: {max: 10%}}}", `column amount: nullable: expected at most 10% without a value, found 1 missing value in 4 rows (25 %) (row 4: no value)`},
			{"columns: {amount: {nullable: {max: 1}}}", ""},
			{"columns: {note: {length: 2}}", `column note: length: expected 2 characters, found 2 of 3 values otherwise (row 2: "abc"; row 4: "häß")`},
			{"columns: {note: {length: {min: 2, max: 3}}}", ""},
			{"columns: {amount: {mean: {min: 10}}}", "column amount: mean: expected at least 10, found 9.16667"},
			{"columns: {amount: {quantiles: {50%: {min: 10, max: 11}, 1.0: {max: 19}}}}", "column amount: quantiles: expected 1.0 at most 19, found 20"},
			{"columns: {amount: {mean: {tolerance: 10%}}}", "column amount: mean: expected 1.5 ± 10%, found 9.16667 (+511 %)"},
			{"rows: {change: 50%}", "rows: expected at most 50% more or fewer rows than the reference, found 4 rows where the reference has 2 (+100 %)"},
			{"rows: {change: 50%, against: nobody}", ""},
			{"sql: [{name: refunds, query: \"SELECT id, amount FROM data WHERE amount < 0;\"}]", "sql refunds: expected no row, found 1 row (id 2, amount -3)"},
			{"sql: [{name: dates, query: \"SELECT 1 FROM data WHERE day > DATE '2026-02-01'\"}]", ""},
			{"sql: [{name: known, query: \"SELECT id FROM data ANTI JOIN reference USING (id) ORDER BY id\", severity: warn}]", "warn sql known: expected no row, found 2 rows (id 3; id 4)"},
			{"sql: [{name: wrong, query: \"SELECT idd FROM data\"}]", "sql wrong: expected no row, found a query that does not run: Binder Error"},
			{"severity: warn\ncolumns: {id: {max: 3}}", `warn column id: max: expected at most 3, found highest 4, 1 value beyond or not comparable (row 3: "4")`},
			{"severity: warn\ncolumns: {id: {max: 3, severity: {max: fail}}}", `column id: max: expected at most 3, found highest 4, 1 value beyond or not comparable (row 3: "4")`},
			{"severity: {max: warn, default: fail}\ncolumns: {id: {max: 3}}", `warn column id: max: expected at most 3, found highest 4, 1 value beyond or not comparable (row 3: "4")`},
			{"severity: {max: warn}\ncolumns: {id: {max: 3, severity: fail}}", `column id: max: expected at most 3, found highest 4, 1 value beyond or not comparable (row 3: "4")`},
		} {
			t.Run(filepath.Ext(path)+" "+strings.ReplaceAll(test.rule, "/", " "), func(t *testing.T) {
				findings, err := db.Check(t.Context(), path, []byte(test.rule), "checks.yaml", o)
				if err != nil {
					t.Fatal(err)
				}
				got := brokenWith(findings)
				if got != test.want && (test.want == "" || !strings.HasSuffix(test.want, "Error") || !strings.HasPrefix(got, test.want)) {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		}
	}
}

// brokenWith is one line a broken finding, marked where it only warns.
func brokenWith(findings []data.Finding) string {
	var list []string
	for _, f := range findings {
		switch {
		case f.Warns():
			list = append(list, "warn "+f.String())
		case f.Fails():
			list = append(list, f.String())
		}
	}
	return strings.Join(list, "\n")
}

// A project's query reads the data and the reference, and nothing else.
func TestCheck_SQL_is_shut_in(t *testing.T) {
	db := open(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.csv")
	if err := os.WriteFile(secret, []byte("a\nsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := write(t, "a.csv", "a\n1\n")
	before := read(t, path)
	for _, query := range []string{
		"SELECT * FROM read_csv('" + secret + "')",
		"SELECT * FROM '" + secret + "'",
		"SELECT * FROM read_text('" + secret + "')",
		"SELECT * FROM read_blob('/etc/passwd')",
		"SELECT * FROM glob('" + dir + "/*')",
		"SELECT * FROM read_csv('" + path + "/../../../etc/passwd')",
		"SELECT getenv('HOME')",
		"SELECT * FROM query('COPY data TO ''" + secret + "''')",
		"COPY (SELECT 1) TO '" + secret + "'",
		"COPY data TO '" + path + "'",
		"ATTACH '" + dir + "/x.db'",
		"INSTALL httpfs", "LOAD httpfs", "PRAGMA database_list",
		"SET enable_external_access=true",
		"SELECT 1; COPY (SELECT 1) TO '" + secret + "'",
		"SELECT 1) ; COPY (SELECT 1) TO '" + secret + "'; SELECT * FROM (SELECT 1",
		"SELECT '') ; DROP VIEW data; SELECT (''",
		"CREATE TABLE t AS SELECT 1", "DELETE FROM data",
	} {
		text, err := json.Marshal(query) // a YAML double-quoted text, too
		if err != nil {
			t.Fatal(err)
		}
		rule := "sql: [{name: try, query: " + string(text) + "}, {name: after, query: SELECT a FROM data}]"
		findings, err := db.Check(t.Context(), path, []byte(rule), "checks.yaml", data.CheckOptions{})
		if err != nil {
			t.Fatal(query, err)
		}
		try, after := findings[len(findings)-2], findings[len(findings)-1]
		if try.OK || !strings.HasPrefix(try.Found, "a query that does not run: ") || strings.Contains(try.String(), "secret\n") {
			t.Errorf("%s: %s", query, try)
		}
		if after.Found != "1 row" || len(after.Rows) != 1 || after.Rows[0] != "a 1" {
			t.Errorf("after %s: %s", query, after)
		}
	}
	if read(t, secret) != "a\nsecret\n" || read(t, path) != before {
		t.Error("a query wrote a file")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestCheck_reports_every_mistake_of_new_rules(t *testing.T) {
	db := open(t)
	const text = `reference: "sales:x"
alarms: 90%
severity: {psi: wrn, distribution: warn}
unique: id
fresh: {column: day}
sql:
  - {name: a}
  - SELECT 1
columns:
  a: {nullable: {max: 300%}, length: {min: 3, max: 1}, in: {dataset: x}, ordered: up, seerity: warn}
  b: {psi: {max: 0.2, alarms: 1%}, js: -1, ks: {mx: 1}, categories: {new: 3, vanished: x}}
  d: {type: float64}
  c: {type: string, ks: true, mean: {min: 1, tolerance: 1%}, quantiles: {150%: {min: 1}, 50%: true}}
`
	_, err := db.Check(t.Context(), "none.csv", []byte(text), "checks.yaml", data.CheckOptions{})
	refused(t, err,
		"checks.yaml:1:12: reference: expected a dataset such as sales or sales:4", ":2:9: alarms: expected how many good deliveries", ":3:17: severity: psi: expected one of fail, warn, found \"wrn\"; did you mean warn?",
		`:3:22: severity: unknown key "distribution"`, ":4:9: unique: expected columns such as", ":5:8: fresh: expected both", ":7:5: sql: expected a name and a query", ":8:5: sql: expected a mapping with name, query, severity",
		":10:23: column a: nullable: max: expected a share", ":10:38: column a: length: min 3 is above max 1", ":10:60: column a: in: expected both", ":10:83: column a: ordered: expected one of increasing", `:10:87: column a: unknown key "seerity": did you mean severity?`,
		":11:12: column b: psi: max is a fixed threshold", ":11:40: column b: js: expected true, or a threshold such as 0.2", `:11:49: column b: ks: unknown key "mx": did you mean max?`, ":11:75: column b: categories: new: expected a share of the rows", ":11:88: column b: categories: vanished: expected a number of values",
		`:12:13: column d: type: expected one of number, integer, string, boolean, date, timestamp, found "float64"; did you mean number?`,
		":13:25: column c: ks needs an order", ":13:37: column c: mean: min and max stand alone", ":13:74: column c: quantiles: expected a quantile such as 50%", ":13:95: column c: quantiles: 50%: expected {min, max}")
}
