package data_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/data"
)

// What a build pays for its data: a fresh DuckDB, description, checks, split.
// The log has the figure.
func TestFigures_442_rows(t *testing.T) {
	path := write(t, "a.csv", diabetes(442))
	dir := t.TempDir()
	for range 5 {
		start := time.Now()
		db, err := data.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Describe(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Check(t.Context(), path, checks(), "checks.yaml", data.CheckOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Split(t.Context(), path, data.Holdout{Fraction: 0.2}, filepath.Join(dir, "train.csv"), filepath.Join(dir, "holdout.csv")); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		t.Logf("open, describe, check, split: %v", took.Round(time.Millisecond/10))
	}
}

func BenchmarkMillionByTen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "big.csv")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(f)
	r := rand.New(rand.NewPCG(1, 1))
	fmt.Fprintln(w, "id,a,b,c,d,e,f,g,day,s")
	for i := range 1_000_000 {
		fmt.Fprintf(w, "%d,%.6f,%.5f,%d,%.4f,%.3f,%.6f,%d,2026-01-%02d,%s\n", i, r.Float64(), r.NormFloat64(), r.IntN(100), r.Float64(), 50+10*r.NormFloat64(), r.Float64(), r.IntN(2), 1+r.IntN(28), []string{"x", "y", "z"}[r.IntN(3)])
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	rules := []byte(`columns:
  id: {type: integer, nullable: false, min: 0, unique: true}
  a: {type: number, min: 0, max: 1, mean: {reference: 0.5, tolerance: 1%}}
  b: {type: number, mean: {reference: 0, tolerance: 0.1}, std: {reference: 1, tolerance: 5%}}
  c: {type: integer, min: 0, max: 99}
  d: {type: number}
  e: {type: number, mean: {reference: 50, tolerance: 1%}}
  f: {type: number}
  g: {values: [0, 1]}
  day: {type: date, min: 2026-01-01, max: 2026-01-31}
  s: {values: [x, y, z]}
`)
	db := open(b)
	parquet := filepath.Join(b.TempDir(), "big.parquet")
	if err := db.ToParquet(path, parquet); err != nil {
		b.Fatal(err)
	}
	for _, file := range []string{path, parquet} {
		ext := filepath.Ext(file)
		b.Run("describe"+ext, func(b *testing.B) {
			for b.Loop() {
				if d, err := db.Describe(b.Context(), file); err != nil || d.Rows != 1_000_000 {
					b.Fatal(d, err)
				}
			}
		})
		b.Run("check"+ext, func(b *testing.B) {
			for b.Loop() {
				findings, err := db.Check(b.Context(), file, rules, "checks.yaml", data.CheckOptions{})
				if err != nil || len(broken(findings)) > 0 {
					b.Fatal(broken(findings), err)
				}
			}
		})
		b.Run("split"+ext, func(b *testing.B) {
			for b.Loop() {
				split(b, db, file, data.Holdout{Fraction: 0.2})
			}
		})
		b.ReportMetric(peakMB(b), "peak-MB")
	}
}

// peakMB is the process's highest resident memory so far; 0 where the system does not say.
func peakMB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kB, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			b.Logf("peak resident memory: %.0f MB", kB/1024)
			return kB / 1024
		}
	}
	return 0
}
