package data

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// A Difference is what changed between two profiles of a dataset.
type Difference struct {
	RowsA   int64              `json:"rows_a"`
	RowsB   int64              `json:"rows_b"`
	Added   []string           `json:"added,omitempty"`   // columns that only b has
	Removed []string           `json:"removed,omitempty"` // columns that only a has
	Columns []ColumnDifference `json:"columns"`           // that both have, in b's order
}

// Same reports whether the profiles do not differ in anything they hold.
func (d Difference) Same() bool {
	return d.RowsA == d.RowsB && len(d.Added)+len(d.Removed) == 0 &&
		!slices.ContainsFunc(d.Columns, ColumnDifference.Changed)
}

// A ColumnDifference compares one column in two profiles. PSI and JS are
// computed from the profiles alone (see Bins.PSI and Bins.JS): exact for few
// values, else with the shares between a's deciles read off b's quantiles.
type ColumnDifference struct {
	Name             string   `json:"name"`
	TypeA            string   `json:"type_a"`
	TypeB            string   `json:"type_b"`
	NullsA           float64  `json:"nulls_a"` // share of the rows
	NullsB           float64  `json:"nulls_b"`
	MinA             string   `json:"min_a,omitempty"`
	MinB             string   `json:"min_b,omitempty"`
	MaxA             string   `json:"max_a,omitempty"`
	MaxB             string   `json:"max_b,omitempty"`
	MeanA            *float64 `json:"mean_a,omitempty"`
	MeanB            *float64 `json:"mean_b,omitempty"`
	DistinctA        int64    `json:"distinct_a"`
	DistinctB        int64    `json:"distinct_b"`
	PSI              *float64 `json:"psi,omitempty"` // none where the profiles do not tell
	JS               *float64 `json:"js,omitempty"`
	New              []string `json:"new,omitempty"`      // values that only b has, where a's are few enough to be known
	Vanished         []string `json:"vanished,omitempty"` // values that only a has, where b's are few enough to be known
	sameDistribution bool
}

// Changed reports whether the column differs.
func (c ColumnDifference) Changed() bool { return !c.sameDistribution }

// Diff compares two profiles of one dataset.
func Diff(a, b Profile) Difference {
	d := Difference{RowsA: a.Rows, RowsB: b.Rows, Columns: []ColumnDifference{}}
	old := map[string]ColumnProfile{}
	for _, c := range a.Columns {
		old[c.Name] = c
	}
	for _, c := range b.Columns {
		before, ok := old[c.Name]
		if !ok {
			d.Added = append(d.Added, c.Name)
			continue
		}
		delete(old, c.Name)
		d.Columns = append(d.Columns, diffColumn(before, c, a.Rows, b.Rows))
	}
	for _, c := range a.Columns {
		if _, gone := old[c.Name]; gone {
			d.Removed = append(d.Removed, c.Name)
		}
	}
	return d
}

func diffColumn(a, b ColumnProfile, rowsA, rowsB int64) ColumnDifference {
	share := func(n, of int64) float64 { return float64(n) / float64(max(of, 1)) }
	c := ColumnDifference{
		Name: a.Name, TypeA: a.Type, TypeB: b.Type, NullsA: share(a.Nulls, rowsA), NullsB: share(b.Nulls, rowsB),
		MinA: a.Min, MinB: b.Min, MaxA: a.Max, MaxB: b.Max, MeanA: a.Mean, MeanB: b.Mean, DistinctA: a.Distinct, DistinctB: b.Distinct,
	}
	in := func(list []ValueCount, v string) bool {
		return slices.ContainsFunc(list, func(x ValueCount) bool { return x.Value == v })
	}
	completeA, completeB := a.complete(rowsA), b.complete(rowsB)
	for _, v := range b.Top {
		if completeA && !in(a.Top, v.Value) {
			c.New = append(c.New, v.Value)
		}
	}
	for _, v := range a.Top {
		if completeB && !in(b.Top, v.Value) {
			c.Vanished = append(c.Vanished, v.Value)
		}
	}
	var bins Bins
	switch {
	case completeA && completeB:
		bins = valueBins(a, b)
	case len(a.Quantiles) > 0 && len(b.Quantiles) > 0:
		bins = quantileBins(a, b, rowsA, rowsB)
	}
	if len(bins.A) > 0 {
		psi, js := bins.PSI(), bins.JS()
		c.PSI, c.JS = &psi, &js
	}
	c.sameDistribution = a.Type == b.Type && a.Nulls == b.Nulls && rowsA == rowsB && a.Min == b.Min && a.Max == b.Max &&
		a.Distinct == b.Distinct && equal(a.Mean, b.Mean) && equal(a.Std, b.Std) &&
		slices.Equal(a.Quantiles, b.Quantiles) && slices.Equal(a.Top, b.Top)
	return c
}

func equal(a, b *float64) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// complete reports whether Top has every value, so that it tells all.
func (c ColumnProfile) complete(rows int64) bool {
	var sum int64
	for _, v := range c.Top {
		sum += v.Rows
	}
	return sum == rows-c.Nulls && sum > 0
}

// valueBins has a bin for each value of either, and one for missing ones.
func valueBins(a, b ColumnProfile) Bins {
	bins := Bins{A: []int64{a.Nulls}, B: []int64{b.Nulls}}
	at := map[string]int{}
	for _, v := range a.Top {
		at[v.Value] = len(bins.A)
		bins.A, bins.B = append(bins.A, v.Rows), append(bins.B, 0)
	}
	for _, v := range b.Top {
		if i, ok := at[v.Value]; ok {
			bins.B[i] = v.Rows
			continue
		}
		bins.A, bins.B = append(bins.A, 0), append(bins.B, v.Rows)
	}
	return bins.trim()
}

// quantileBins has a bin between each two deciles of a, and one for missing
// values.
func quantileBins(a, b ColumnProfile, rowsA, rowsB int64) Bins {
	var edges []float64
	for i := 2; i < len(a.Quantiles)-1; i += 2 {
		edges = append(edges, a.Quantiles[i])
	}
	edges = slices.Compact(edges)
	bins := Bins{A: []int64{a.Nulls}, B: []int64{b.Nulls}}
	fromA, fromB := 0.0, 0.0
	for i := range len(edges) + 1 {
		toA, toB := 1.0, 1.0
		if i < len(edges) {
			toA, toB = below(a.Quantiles, edges[i]), below(b.Quantiles, edges[i])
		}
		bins.A = append(bins.A, int64(math.Round((toA-fromA)*float64(rowsA-a.Nulls))))
		bins.B = append(bins.B, int64(math.Round((toB-fromB)*float64(rowsB-b.Nulls))))
		fromA, fromB = toA, toB
	}
	return bins.trim()
}

// below is the share of values at or below x, between the quantiles by a
// straight line.
func below(quantiles []float64, x float64) float64 {
	n := len(quantiles) - 1
	i, _ := slices.BinarySearchFunc(quantiles, x, func(q, x float64) int {
		if q <= x {
			return -1
		}
		return cmp.Compare(q, x)
	})
	switch {
	case i == 0:
		return 0
	case i > n:
		return 1
	}
	lo, hi := quantiles[i-1], quantiles[i]
	return (float64(i-1) + (x-lo)/(hi-lo)) / float64(n)
}

// formatNumber writes a number for people.
func formatNumber(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
