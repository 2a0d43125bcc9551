package data_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/data"
)

const diabetesChecks = `
rows: {min: 100}
strict: true
columns:
  age: {type: integer, nullable: false, min: 0, max: 120}
  sex: {type: integer, values: [1, 2]}
  bmi: {type: number, min: 10, max: 60, mean: {reference: 26.4, tolerance: 15%}, std: {reference: 4.4, tolerance: 1.5}}
  bp: {type: number}
  s1: {type: number}
  s2: {type: number}
  s3: {type: number}
  s4: {type: number}
  s5: {type: number}
  s6: number:
  progression: {type: number, nullable: false}
`

func checks() []byte {
	return []byte(strings.Replace(diabetesChecks, "s6: number:", "s6: {type: number}", 1))
}

func broken(findings []data.Finding) []string {
	var list []string
	for _, f := range findings {
		if !f.OK {
			list = append(list, f.String())
		}
	}
	return list
}

func TestCheck_good_data_keeps_every_rule(t *testing.T) {
	db := open(t)
	csv := write(t, "a.csv", diabetes(442))
	for _, path := range []string{csv, toParquet(t, db, csv)} {
		findings, err := db.Check(t.Context(), path, checks(), "checks.yaml", data.CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if list := broken(findings); len(list) > 0 || len(findings) != 33 {
			t.Errorf("%d findings, broken: %s", len(findings), strings.Join(list, "\n"))
		}
	}
}

// One column to the right by one: what a wrong export looks like.
func TestCheck_finds_a_shifted_column(t *testing.T) {
	db := open(t)
	rows := strings.Split(diabetes(442), "\n")
	for i := 1; i < len(rows)-1; i++ {
		f := strings.Split(rows[i], ",")
		f[2], f[3] = f[3], f[2]
		rows[i] = strings.Join(f, ",")
	}
	findings, err := db.Check(t.Context(), write(t, "a.csv", strings.Join(rows, "\n")), checks(), "checks.yaml", data.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Join(broken(findings), "\n")
	for _, want := range []string{"column bmi: max", "column bmi: mean: expected 26.4 ± 15%, found 9", "column bmi: std", "(row 1: "} {
		if !strings.Contains(list, want) {
			t.Errorf("lacks %q:\n%s", want, list)
		}
	}
}

func TestCheck_rules(t *testing.T) {
	db := open(t)
	const content = "id,n,i,s,b,d,at,e,q\n" +
		"a,1,1,x,true,2026-01-01,2026-01-01 10:00:00,,1\n" +
		"b,2.5,2,y,False,2026-01-02,2026-01-02,,\"2;\"\"3\n\"\n" +
		"a,zero,3.5,z,1,yesterday,2026-13-01,,3\n" +
		",-7,4,x,,2025-01-01,2026-01-01 11:00:00,,4\n"
	path := write(t, "a.csv", content)
	for _, test := range []struct{ rule, want string }{
		{"rows: {min: 4, max: 4}", ""},
		{"rows: {min: 5}", "rows: expected at least 5 rows, found 4 rows"},
		{"rows: {max: 3}", "rows: expected 1 to 3 rows, found 4 rows"},
		{"strict: true\ncolumns: {id: , n: , i: , s: , b: , d: , at: }", "strict: expected only the columns that checks.yaml names, found also e, q"},
		{"columns: {N: {type: number}}", `column N: present: expected a column named "N", found no such column (but "n"); a.csv has id, n, i, s, b, d, at, e, q`},
		{"columns: {n: {type: number}}", `column n: type: expected number, found 1 of 4 values otherwise (row 3: "zero")`},
		{"columns: {i: {type: number}}", ""},
		{"columns: {i: {type: integer}}", `column i: type: expected integer, found 1 of 4 values otherwise (row 3: "3.5")`},
		{"columns: {s: {type: integer}}", `column s: type: expected integer, found 4 of 4 values otherwise (row 1: "x"; row 2: "y"; row 3: "z")`},
		{"columns: {s: {type: string}}", ""},
		{"columns: {b: {type: boolean}}", `column b: type: expected boolean, found 1 of 3 values otherwise (row 3: "1")`},
		{"columns: {d: {type: date}}", `column d: type: expected date, found 1 of 4 values otherwise (row 3: "yesterday")`},
		{"columns: {at: {type: timestamp}}", `column at: type: expected timestamp, found 1 of 4 values otherwise (row 3: "2026-13-01")`},
		{"columns: {id: {nullable: false}}", `column id: nullable: expected a value in every row, found 1 missing value (row 4: no value)`},
		{"columns: {e: {nullable: false}}", `column e: nullable: expected a value in every row, found 4 missing values (row 1: no value; row 2: no value; row 3: no value)`},
		{"columns: {e: {type: number, min: 0, values: [1], pattern: x, unique: true}}", ""},
		{"columns: {e: {mean: {reference: 1, tolerance: 1}}}", "column e: mean: expected 1 ± 1, found too few numbers to tell"},
		{"columns: {n: {min: -7}}", `column n: min: expected at least -7, found lowest -7, 1 value beyond or not comparable (row 3: "zero")`},
		{"columns: {i: {min: 1, max: 4}}", ""},
		{"columns: {i: {max: 3}}", `column i: max: expected at most 3, found highest 4, 2 values beyond or not comparable (row 3: "3.5"; row 4: "4")`},
		{"columns: {at: {min: 2026-01-01}}", `column at: min: expected at least 2026-01-01, found lowest 2026-01-01 10:00:00, 1 value beyond or not comparable (row 3: "2026-13-01")`},
		{"columns: {i: {values: [1.0, 2, 3.5, 4]}}", ""},
		{"columns: {s: {values: [x, \"it's\"]}}", `column s: values: expected one of x, it's, found 2 of 4 values otherwise (row 2: "y"; row 3: "z")`},
		{"columns: {b: {values: [true, False, 1]}}", ""},
		{"columns: {s: {pattern: \"[xy]\"}}", `column s: pattern: expected all values to match [xy], found 1 of 4 values otherwise (row 3: "z")`},
		{"columns: {id: {unique: true}}", `column id: unique: expected each value once, found 3 values, 2 of them different (rows 1, 3: "a")`},
		{"columns: {i: {mean: {reference: 2.6, tolerance: 1%}}}", ""},
		{"columns: {i: {mean: {reference: 2, tolerance: 10%}}}", "column i: mean: expected 2 ± 10%, found 2.625 (+31.2 %)"},
		{"columns: {i: {std: {reference: 1.376893, tolerance: 0.000001}}}", ""},
		{"columns: {q: {values: [1, 3, 4]}}", "column q: values: expected one of 1, 3, 4, found 1 of 4 values otherwise (row 2: \"2;\"3\n\")"},
	} {
		t.Run(strings.ReplaceAll(test.rule, "/", " "), func(t *testing.T) {
			findings, err := db.Check(t.Context(), path, []byte(test.rule), "checks.yaml", data.CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(broken(findings), "\n"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestCheck_a_header_without_rows_is_a_finding(t *testing.T) {
	db := open(t)
	findings, err := db.Check(t.Context(), write(t, "a.csv", "a,b\n"), []byte("columns: {a: {type: number}}"), "checks.yaml", data.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(broken(findings)); got != "[rows: expected at least 1 row, found 0 rows]" {
		t.Error(got)
	}
}

func TestCheck_declared_types(t *testing.T) {
	db := open(t)
	path := t.TempDir() + "/a.parquet"
	if err := db.Exec(`COPY (SELECT * FROM (VALUES (1, 1.0::DOUBLE, 'x', DATE '2026-01-01', true), (2, 'nan'::DOUBLE, 'y', NULL, false)) t(i, f, s, d, b)) TO '` + path + `' (FORMAT parquet)`); err != nil {
		t.Fatal(err)
	}
	findings, err := db.Check(t.Context(), path, []byte(`columns:
  i: {type: integer, min: 2}
  f: {type: integer, nullable: false, mean: {reference: 1, tolerance: 0.1}}
  s: {type: number}
  d: {type: date, max: 2025-12-31}
  b: {type: boolean, values: [true, false]}
`), "checks.yaml", data.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`column i: min: expected at least 2, found lowest 1, 1 value beyond or not comparable (row 1: "1")`,
		`column f: nullable: expected a value in every row, found 1 missing value (row 2: no value)`,
		`column s: type: expected number, found 2 of 2 values otherwise; the file declares VARCHAR (row 1: "x"; row 2: "y")`,
		`column d: max: expected at most 2025-12-31, found highest 2026-01-01, 1 value beyond or not comparable (row 1: "2026-01-01")`,
	}
	if got := broken(findings); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestCheck_reports_every_mistake_with_its_line(t *testing.T) {
	db := open(t)
	const text = `rows: {min: -1, least: 3}
strct: true
columns:
  a: {type: float, nullable: maybe}
  b:
    min: 5
    max: 3
  c: {values: 3, pattern: "("}
  d: {mean: {reference: 0, tolerance: 5%}}
  e: {std: {reference: 1}}
  f: {type: string, min: 3}
  g: {min: 2026-01-01, max: 3}
  h: number
  i: {mean: {reference: x, tolerance: -1}}
  i: {}
`
	_, err := db.Check(t.Context(), write(t, "a.csv", "a\n1\n"), []byte(text), "my/checks.yaml", data.CheckOptions{})
	refused(t, err,
		"my/checks.yaml:1:13: rows.min", `my/checks.yaml:1:17: rows: unknown key "least"`, `:2:1: checks: unknown key "strct": did you mean strict?`,
		":4:13: column a: type: expected one of number, integer", ":4:30: column a: nullable: expected true or false", ":6:10: column b: min 5 is above max 3",
		":8:15: column c: values: expected a list", ":8:27: column c: pattern: ", ":9:39: column d: mean: tolerance: a percentage of reference 0", ":10:12: column e: std: expected both",
		":11:26: column f: min 3 does not go with type string", ":12:12: column g: min 2026-01-01 and max 3 are not of one kind", `:13:6: column h: expected a mapping`, ":14:25: column i: mean: reference", `:15:3: columns: "i" is given twice`)
	_, err = db.Check(t.Context(), "none.csv", nil, "checks.yaml", data.CheckOptions{})
	refused(t, err, "checks.yaml is empty")
	_, err = db.Check(t.Context(), "none.csv", []byte("a: [\n"), "checks.yaml", data.CheckOptions{})
	refused(t, err, "checks.yaml", "line")
}
