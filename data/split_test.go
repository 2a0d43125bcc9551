package data_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/data"
)

func toParquet(t testing.TB, db *data.DB, csv string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := db.ToParquet(csv, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// split returns the two files' paths.
func split(t testing.TB, db *data.DB, path string, h data.Holdout) (train, holdout string, sides data.Sides) {
	t.Helper()
	dir := t.TempDir()
	ext := filepath.Ext(path)
	if ext == "" {
		ext = ".csv"
	}
	train, holdout = filepath.Join(dir, "train"+ext), filepath.Join(dir, "holdout"+ext)
	sides, err := db.Split(t.Context(), path, h, train, holdout)
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("left over: %v", entries)
	}
	return train, holdout, sides
}

func lines(t testing.TB, path string) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n")
}

func TestSplit(t *testing.T) {
	db := open(t)
	content := diabetes(2000)
	source := strings.Split(strings.TrimSuffix(content, "\n"), "\n")
	train, holdout, sides := split(t, db, write(t, "a.csv", content), data.Holdout{Fraction: 0.2})
	a, b := lines(t, train), lines(t, holdout)

	t.Run("every row is on one side, in order, as it was written", func(t *testing.T) {
		if a[0] != source[0] || b[0] != source[0] {
			t.Fatal("header lost")
		}
		if int64(len(a)-1) != sides.TrainRows || int64(len(b)-1) != sides.HoldoutRows {
			t.Fatal(len(a), len(b), sides)
		}
		i, j := 1, 1
		for _, row := range source[1:] {
			switch {
			case i < len(a) && a[i] == row:
				i++
			case j < len(b) && b[j] == row:
				j++
			default:
				t.Fatalf("row %q is lost or out of order", row)
			}
		}
	})
	t.Run("the fraction holds", func(t *testing.T) {
		// Five standard deviations of a binomial.
		if d := math.Abs(float64(sides.HoldoutRows) - 400); d > 5*math.Sqrt(2000*.2*.8) {
			t.Errorf("%d of 2000 held out", sides.HoldoutRows)
		}
	})
	t.Run("sides are pinned", func(t *testing.T) {
		// These must never change, with no version of anything: a row that
		// changed its side would judge a model that was trained on it.
		path := write(t, "a.csv", "id,x\na,1\nb,2\nc,3\nd,4\ne,5\nf,6\ng,7\nh,8\n")
		_, h, _ := split(t, db, path, data.Holdout{Fraction: 0.5})
		if got := strings.Join(lines(t, h)[1:], " "); got != pinnedCSV {
			t.Errorf("csv: %s", got)
		}
		table, err := db.Read(t.Context(), first(split(t, db, toParquet(t, db, path), data.Holdout{Fraction: 0.5})), 0)
		if err != nil || fmt.Sprint(table.Rows) != pinnedParquet {
			t.Errorf("parquet: %v %v", table.Rows, err)
		}
	})
	t.Run("other rows and their order do not matter", func(t *testing.T) {
		rows := slices.Clone(source[1:])
		slices.Reverse(rows)
		rows = rows[:1500]
		_, h, _ := split(t, db, write(t, "b.csv", source[0]+"\n"+strings.Join(rows, "\n")), data.Holdout{Fraction: 0.2})
		for _, row := range lines(t, h)[1:] {
			if !slices.Contains(b, row) {
				t.Fatalf("%q changed sides", row)
			}
		}
	})
	t.Run("a larger fraction keeps what was held out", func(t *testing.T) {
		_, h, _ := split(t, db, write(t, "a.csv", content), data.Holdout{Fraction: 0.3})
		larger := lines(t, h)
		for _, row := range b {
			if !slices.Contains(larger, row) {
				t.Fatalf("%q changed sides", row)
			}
		}
	})
}

// By md5sum: `printf '1:a1:1' | md5sum` starts with a digit below 8.
const (
	pinnedCSV     = "a,1 d,4 e,5 h,8"
	pinnedParquet = "[[b 2] [c 3] [f 6] [g 7]]"
)

func first(train, _ string, _ data.Sides) string { return train }

func TestSplit_by_key_keeps_a_group_together(t *testing.T) {
	db := open(t)
	var b strings.Builder
	b.WriteString("patient,\"no;te\",x\n")
	for i := range 600 {
		fmt.Fprintf(&b, "p%d,\"a \"\"quoted\"\"\nnote\",%d\n", i%60, i)
	}
	for _, path := range []string{write(t, "a.csv", b.String()), toParquet(t, db, write(t, "a.csv", b.String()))} {
		train, holdout, sides := split(t, db, path, data.Holdout{Fraction: 0.3, Key: []string{"patient"}})
		if sides.TrainRows+sides.HoldoutRows != 600 {
			t.Fatal(sides)
		}
		seen := map[any]string{}
		for _, file := range []string{train, holdout} {
			table, err := db.Read(t.Context(), file, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range table.Rows {
				if other, ok := seen[row[0]]; ok && other != file {
					t.Fatalf("%v is on both sides", row[0])
				}
				if row[1] != "a \"quoted\"\nnote" {
					t.Fatalf("text changed: %q", row[1])
				}
				seen[row[0]] = file
			}
		}
		if len(seen) != 60 {
			t.Errorf("%d patients", len(seen))
		}
	}
	_, err := db.Split(t.Context(), write(t, "a.csv", b.String()), data.Holdout{Fraction: 0.3, Key: []string{"Patient"}}, "x", "y")
	refused(t, err, `no column "Patient" (but "patient")`)
}

// Values that read alike only when joined carelessly are told apart.
func TestSplit_joins_values_unambiguously(t *testing.T) {
	db := open(t)
	side := func(a, b string) string {
		var rows strings.Builder
		rows.WriteString("k,l,x\n")
		for i := range 64 { // 64 pairs: the same sides for all by chance is 2^-64
			fmt.Fprintf(&rows, "%s%d,%d%s,1\n", a, i, i, b)
		}
		_, h, _ := split(t, db, write(t, "a.csv", rows.String()), data.Holdout{Fraction: 0.5, Key: []string{"k", "l"}})
		var kept []string
		for _, row := range lines(t, h)[1:] {
			var i int
			_, _ = fmt.Sscanf(row[len(a):], "%d", &i)
			kept = append(kept, fmt.Sprint(i))
		}
		return strings.Join(kept, " ")
	}
	if side("a", "1a") == side("a1", "a") {
		t.Error("the boundary between values does not count")
	}
}

func TestSplit_JSON_lines(t *testing.T) {
	db := open(t)
	var x, y strings.Builder
	for i := range 200 {
		fmt.Fprintf(&x, "{\"id\": %d, \"v\": \"<é%d>\"}\n", i, i)
		fmt.Fprintf(&y, "{\"v\":\"<é%d>\",\"id\":%d}\n", i, i)
	}
	_, a, sides := split(t, db, write(t, "a.jsonl", x.String()), data.Holdout{Fraction: 0.4})
	_, b, again := split(t, db, write(t, "a.jsonl", y.String()), data.Holdout{Fraction: 0.4})
	if sides != again || sides.TrainRows+sides.HoldoutRows != 200 {
		t.Fatal(sides, again)
	}
	for i, row := range lines(t, a) {
		if !strings.Contains(x.String(), row+"\n") {
			t.Fatalf("%q was rewritten", row)
		}
		if id := strings.SplitN(row, "\"", 6)[5]; !strings.Contains(lines(t, b)[i], strings.TrimSuffix(id, "}")) {
			t.Fatalf("key order changed a side: %s, %s", row, lines(t, b)[i])
		}
	}
	_, err := db.Split(t.Context(), write(t, "a.jsonl", "{\"a\":1}\n{\"a\":2}{}\n"), data.Holdout{Fraction: 0.5}, filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"))
	refused(t, err)
}

func TestSplit_is_deterministic(t *testing.T) {
	db := open(t)
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := db.Exec("COPY (SELECT i, hash(i) / 3.0 AS x, 't' || (i % 7) AS s FROM range(400000) r(i)) TO '" + path + "' (FORMAT parquet)"); err != nil {
		t.Fatal(err)
	}
	a1, b1, sides := split(t, db, path, data.Holdout{Fraction: 0.25})
	a2, b2, _ := split(t, db, path, data.Holdout{Fraction: 0.25})
	if read(t, a1) != read(t, a2) || read(t, b1) != read(t, b2) {
		t.Error("the same split has two contents")
	}
	table, err := db.Read(t.Context(), b1, 0)
	if err != nil || int64(len(table.Rows)) != sides.HoldoutRows {
		t.Fatal(len(table.Rows), sides, err)
	}
	if !slices.IsSortedFunc(table.Rows, func(a, b []any) int { return int(a[0].(int64) - b[0].(int64)) }) {
		t.Error("order lost")
	}
}

func TestSplit_folder(t *testing.T) {
	db := open(t)
	content := diabetes(300)
	rows := strings.SplitAfter(content, "\n")
	dir := t.TempDir()
	for name, part := range map[string][]string{"1.csv": rows[1:200], "2.csv": rows[200:301]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(rows[0]+strings.Join(part, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	train, _, _ := split(t, db, dir, data.Holdout{Fraction: 0.2})
	whole, _, _ := split(t, db, write(t, "a.csv", content), data.Holdout{Fraction: 0.2})
	if read(t, train) != read(t, whole) {
		t.Error("a folder of parts splits differently from the whole")
	}
}

func TestSplit_refuses(t *testing.T) {
	db := open(t)
	dir := t.TempDir()
	to := func(h data.Holdout, path string) error {
		_, err := db.Split(t.Context(), path, h, filepath.Join(dir, "train.csv"), filepath.Join(dir, "holdout.csv"))
		return err
	}
	same := write(t, "a.csv", "a,b\n"+strings.Repeat("1,2\n", 20))
	err := to(data.Holdout{Fraction: 0.3}, same)
	refused(t, err, "side of", "is empty", "all 20 rows")
	refused(t, to(data.Holdout{Fraction: 0.3}, write(t, "a.csv", "a,b\n")), "no rows")
	refused(t, to(data.Holdout{Fraction: 0}, same), "between 0 and 1")
	refused(t, to(data.Holdout{Fraction: math.NaN()}, same), "between 0 and 1")
	refused(t, to(data.Holdout{Fraction: 1}, same), "between 0 and 1")
	refused(t, to(data.Holdout{Fraction: .5}, write(t, "a.csv", "a,b\n1,2\n3\n")), "a.csv:3")
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
}
