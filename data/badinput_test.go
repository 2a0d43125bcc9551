package data_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is no data ends with a sentence about the file, for a check and for a
// profile alike, and whether it is the data or the reference.
func TestCheck_bad_files(t *testing.T) {
	db := open(t)
	whole := toParquet(t, db, write(t, "a.csv", diabetes(2000)))
	cut := filepath.Join(t.TempDir(), "cut.parquet")
	text := read(t, whole)
	if err := os.WriteFile(cut, []byte(text[:len(text)/2]), 0o600); err != nil {
		t.Fatal(err)
	}
	holed := filepath.Join(t.TempDir(), "holed.parquet")
	if err := os.WriteFile(holed, []byte(text[:8]+strings.Repeat("\xff", len(text)-1008)+text[len(text)-1000:]), 0o600); err != nil {
		t.Fatal(err)
	}
	good := write(t, "good.csv", "age,bmi\n1,2\n3,4\n")
	rules := []byte("columns: {age: {type: integer, psi: true}, bmi: {psi: true}}")
	for _, test := range []struct{ path, want string }{
		{cut, "cut.parquet is not a whole Parquet file"},
		{holed, "holed.parquet"},
		{write(t, "ragged.csv", "age,bmi\n1,2\n3\n"), "ragged.csv:3: 1 field where the header has 2"},
		{write(t, "latin1.csv", "age,bmi\n1,2\n3,caf\xe9\n"), "latin1.csv:3: not UTF-8"},
		{write(t, "utf16.csv", "\xff\xfea\x00,\x00b\x00\n\x00"), "utf16.csv is UTF-16"},
		{write(t, "twice.csv", "age,bmi,age\n1,2,3\n"), `columns 1 and 3 are both named "age"`},
		{write(t, "empty.csv", ""), "empty.csv is empty"},
		{write(t, "empty.parquet", ""), "empty.parquet is empty"},
		{write(t, "quote.csv", "age,bmi\n1,\"2\n3,4\n"), "a quote opens"},
		{write(t, "array.json", "[{\"age\": 1}]"), "is one JSON array"},
		{write(t, "broken.jsonl", "{\"age\": 1, \"bmi\": 2}\n{\"age\": \n"), "broken.jsonl:2"},
	} {
		_, err := db.Check(t.Context(), test.path, rules, "checks.yaml", against(map[string]string{"": good}))
		refused(t, err, test.want)
		_, err = db.Check(t.Context(), good, rules, "checks.yaml", against(map[string]string{"": test.path}))
		refused(t, err, test.want)
		_, err = db.Profile(t.Context(), test.path)
		refused(t, err, test.want)
		_, err = db.Suggest(t.Context(), test.path)
		refused(t, err, test.want)
	}
}

// A byte order mark, infinities and not-a-number, and names that are no
// identifiers, are data like other data.
func TestCheck_odd_files(t *testing.T) {
	db := open(t)
	rows := strings.Repeat("1,inf,x\n2,nan,y\n3,-inf,x\n4,0.5,y\n5,1e100,x\n", 60)
	path := write(t, "a.csv", "\xef\xbb\xbfgröße,f(x),\"it's; DROP\"\n"+rows)
	rules := []byte(`columns:
  größe: {type: integer, psi: true, ks: true, mean: true, std: true}
  "f(x)": {type: number, psi: true, js: true, mean: true, std: true, max: 10}
  "it's; DROP": {psi: true, categories: true}
sql: [{name: total, query: "SELECT \"it's; DROP\" FROM data GROUP BY 1 HAVING count(*) > 200"}]
`)
	for _, file := range []string{path} {
		findings, err := db.Check(t.Context(), file, rules, "checks.yaml", against(map[string]string{"": file}))
		if err != nil {
			t.Fatal(err)
		}
		want := `column f(x): max: expected at most 10, found highest inf, 120 values beyond or not comparable (row 1: "inf"; row 5: "1e100"; row 6: "inf")`
		if got := brokenWith(findings); got != want {
			t.Errorf("%s: got %s", filepath.Ext(file), got)
		}
	}
}
