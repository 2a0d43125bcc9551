package data_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/data"
)

func TestColumns(t *testing.T) {
	db := open(t)
	path := write(t, "a.csv", "id,loss,y,flag,sex\n007,1.5,cat,true,1\n\"8,\",,dog,false,\n9, -2e3 ,cat,NA,2\n")
	c, err := db.Columns(t.Context(), path, []string{"loss", "y", "flag", "absent"}, []string{"id", "sex"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Names, " "); got != "id loss y flag sex" || c.Rows != 3 {
		t.Error(got, c.Rows)
	}
	if got, want := fmt.Sprint(c.Numbers), "map[flag:[1 0 NaN] loss:[1.5 NaN -2000]]"; got != want {
		t.Errorf("numbers %s, expected %s", got, want)
	}
	if got, want := fmt.Sprintf("%q", c.Texts), `map["id":["007" "8," "9"] "sex":["1" "" "2"] "y":["cat" "dog" "cat"]]`; got != want {
		t.Errorf("texts %s, expected %s", got, want)
	}

	parquet := toParquet(t, db, path)
	p, err := db.Columns(t.Context(), parquet, []string{"loss", "y"}, []string{"id"})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Numbers, p.Rows); p.Rows != 3 || len(p.Texts["id"]) != 3 || len(p.Texts["y"]) != 3 {
		t.Errorf("parquet: %s %q", got, p.Texts)
	}

	if _, err := db.Columns(t.Context(), write(t, "ragged.csv", "a,b\n1,2\n1\n"), []string{"a"}, nil); err == nil || !strings.Contains(err.Error(), "ragged.csv:3") {
		t.Errorf("got %v, want the line of the short record", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Columns(ctx, path, []string{"loss"}, nil); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestColumns_agreesWithRead(t *testing.T) {
	db := open(t)
	csv := write(t, "b.csv", diabetes(50))
	for _, path := range []string{csv, toParquet(t, db, csv)} {
		table, err := db.Read(t.Context(), path, 0)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, column := range table.Columns {
			names = append(names, column.Name)
		}
		c, err := db.Columns(t.Context(), path, names, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			for j, row := range table.Rows {
				want := math.NaN()
				switch v := row[i].(type) {
				case int64:
					want = float64(v)
				case float64:
					want = v
				}
				if got := c.Numbers[name][j]; got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
					t.Errorf("%s row %d %s: %v, expected %v", path, j, name, got, want)
				}
			}
		}
	}
}

// TestRowHashes: the two sides of a split are told apart, and no row of one is
// on the other.
func TestRowHashes(t *testing.T) {
	db := open(t)
	csv := write(t, "c.csv", diabetes(200))
	for _, path := range []string{csv, toParquet(t, db, csv)} {
		for _, key := range [][]string{nil, {"age"}} {
			train, holdout, sides := split(t, db, path, data.Holdout{Fraction: 0.3, Key: key})
			hashes := map[uint64]bool{}
			for _, side := range []struct {
				path string
				rows int64
				held bool
			}{{train, sides.TrainRows, false}, {holdout, sides.HoldoutRows, true}} {
				got, err := db.RowHashes(t.Context(), side.path, key)
				if err != nil || int64(len(got)) != side.rows {
					t.Fatal(len(got), err)
				}
				for _, h := range got {
					if held := h < uint64(math.Ldexp(0.3, 64)); held != side.held {
						t.Errorf("%s, key %v: a row of the hash %x is on the wrong side", path, key, h)
					}
					hashes[h] = true
				}
			}
			if key == nil && len(hashes) < 190 {
				t.Errorf("%s: 200 rows have only %d hashes", path, len(hashes))
			}
		}
	}
	if _, err := db.RowHashes(t.Context(), csv, []string{"none"}); err == nil {
		t.Error("a key that is no column was taken")
	}
}
