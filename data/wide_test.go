package data_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/data"
)

// TestWide holds the path of sources with many columns against the ordinary one.
func TestWide(t *testing.T) {
	const columns, rows = 60, 150
	path := filepath.Join(t.TempDir(), "table.csv")
	var b strings.Builder
	checks := "columns:\n"
	for c := range columns {
		fmt.Fprintf(&b, "name %d,", c)
		checks += fmt.Sprintf("  name %d: {nullable: false, min: 10, unique: true, psi: true}\n", c)
	}
	text := strings.TrimSuffix(b.String(), ",") + "\n"
	for r := range rows {
		values := make([]string, columns)
		for c := range values {
			values[c] = []string{fmt.Sprint(r * c), fmt.Sprint(float64(r) / 8), "c" + fmt.Sprint(r%5), "true", "2024-01-0" + fmt.Sprint(1+r%9), ""}[c%6]
			if c%7 == 3 && r%10 == 4 {
				values[c] = ""
			}
		}
		text += strings.Join(values, ",") + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	look := func(wide int) []any {
		db, err := data.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetWide(wide)
		description, err := db.Describe(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		profile, err := db.Profile(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		suggested, err := db.Suggest(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		findings, err := db.Check(t.Context(), path, []byte(checks), "checks.yaml", data.CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return []any{description, profile, string(suggested), findings}
	}
	narrow, wide := look(1000), look(10)
	for i, what := range []string{"description", "profile", "suggestion", "findings"} {
		if !reflect.DeepEqual(narrow[i], wide[i]) {
			t.Errorf("%s differs:\n%v\n%v", what, narrow[i], wide[i])
		}
	}
}

// TestProfile_thousands of columns come to an end, with every one described.
func TestProfile_thousands(t *testing.T) {
	if testing.Short() {
		t.Skip("3,000 columns take some seconds")
	}
	const columns = 3000
	names, values := make([]string, columns), make([]string, columns)
	for i := range columns {
		names[i], values[i] = fmt.Sprintf("c%d", i), fmt.Sprint(i%100)
	}
	path := write(t, "wide.csv", strings.Join(names, ",")+"\n"+strings.Repeat(strings.Join(values, ",")+"\n", 20))
	db := open(t)
	d, err := db.Describe(t.Context(), path)
	if err != nil || len(d.Columns) != columns || d.Rows != 20 || d.Columns[columns-1].Type != "BIGINT" {
		t.Fatalf("%d columns, %d rows, %v", len(d.Columns), d.Rows, err)
	}
	p, err := db.Profile(t.Context(), path)
	if err != nil || len(p.Columns) != columns || p.Columns[columns-1].Max != "99" {
		t.Fatal(len(p.Columns), err)
	}
	dir := t.TempDir()
	var varied strings.Builder
	varied.WriteString(strings.Join(names, ",") + "\n")
	for i := range 60 {
		values[0] = fmt.Sprint(i)
		varied.WriteString(strings.Join(values, ",") + "\n")
	}
	sides, err := db.Split(t.Context(), write(t, "varied.csv", varied.String()), data.Holdout{Fraction: 0.3}, filepath.Join(dir, "train.csv"), filepath.Join(dir, "holdout.csv"))
	if err != nil || sides.TrainRows+sides.HoldoutRows != 60 {
		t.Error(sides, err)
	}
}
