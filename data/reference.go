package data

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

const (
	// sampledRows of a reference say where its quantiles are and which values
	// it has. Every row is counted then, so the sample decides no share.
	sampledRows = 20000
	// fineBins are the parts of a numeric column that KS looks at; the other
	// statistics see them in coarseBins groups.
	fineBins   = 50
	coarseBins = 10
	// leastRows of the reference are in a bin, but for KS: chance is not what a
	// small count makes of it.
	leastRows = 25
	// maxCategories is how many values a column of categories has at most; of
	// more, the topCategories most frequent are counted, and the others as one.
	maxCategories = 1000
	topCategories = 200
	// shownCategories are compared one by one; the rarer ones as one.
	shownCategories = 30
)

// A reference is data that rules compare with.
type reference struct {
	name    string
	there   bool
	source  source
	rows    int64
	columns map[string]*refColumn
}

// A refColumn is what a reference says of one column. Of bins and values,
// there are those that rules need.
type refColumn struct {
	absent      bool
	wantBins    bool // psi, js, ks or chi2
	parts       int  // between how many quantiles the edges lie
	wantValues  bool // categories
	wantMoments bool
	wantSample  bool
	quantiles   map[float64]float64
	numeric     bool // bins are by edges, else by values
	time        bool // edges are seconds since 1970
	edges       []float64
	bins        []int64 // one more than edges
	values      []string
	counts      []int64 // of values
	distinct    int64   // in the sample
	many        bool    // values are not all
	singles     int64   // values that one row has
	mean, std   float64
	kurtosis    float64 // of the population, 3 for a normal distribution
	n           int64   // finite numbers
	sample      []float64
}

// references opens what the rules compare with and measures it.
func (c *checker) references(ctx context.Context) error {
	c.compared = map[string]*reference{}
	r := c.rules
	if r.rows.change != nil {
		c.refer(&r.rows.against)
	}
	if name := ""; c.sqlCompares() {
		c.refer(&name)
	}
	for i := range r.columns {
		col := &r.columns[i]
		if col.in != nil {
			c.refer(&col.in.dataset)
		}
		for j := range col.bands {
			if b := &col.bands[j]; b.compares() {
				ref := c.refer(&b.against).column(col.name)
				ref.wantMoments = true
				ref.wantSample = ref.wantSample || b.calibrated
				if b.rule == "quantiles" {
					ref.quantiles[b.quantile] = math.NaN()
				}
			}
		}
		for j := range col.shifts {
			ref := c.refer(&col.shifts[j].against).column(col.name)
			if col.shifts[j].rule == "categories" {
				ref.wantValues = true
			} else {
				ref.wantBins = true
				if ref.parts = max(ref.parts, coarseBins); col.shifts[j].rule == "ks" {
					ref.parts = fineBins
				}
			}
		}
	}
	for _, ref := range c.compared {
		if err := c.open(ctx, ref); err != nil {
			return err
		}
		if !ref.there {
			continue
		}
		if err := c.measureReference(ctx, ref); err != nil {
			return fmt.Errorf("the reference%s: %w", strings.TrimRight(" "+ref.name, " "), err)
		}
	}
	return nil
}

// compares reports whether the band's figure is the reference's.
func (b *bandRule) compares() bool { return b.min == nil && b.max == nil && b.reference == nil }

// refer returns the reference of that name; without one, the file's.
func (c *checker) refer(name *string) *reference {
	if *name == "" {
		*name = c.rules.reference
	}
	if c.compared[*name] == nil {
		c.compared[*name] = &reference{name: *name, columns: map[string]*refColumn{}}
	}
	return c.compared[*name]
}

func (r *reference) column(name string) *refColumn {
	if r.columns[name] == nil {
		r.columns[name] = &refColumn{quantiles: map[float64]float64{}}
	}
	return r.columns[name]
}

func (c *checker) open(ctx context.Context, ref *reference) error {
	if c.options.Reference == nil {
		return nil
	}
	path, err := c.options.Reference(ctx, ref.name)
	switch {
	case ridgeline.CodeOf(err) == ridgeline.NotFound && err != nil:
		return nil
	case err != nil:
		return fmt.Errorf("find the reference %s: %w", ref.name, err)
	}
	ref.source, err = c.db.source(ctx, path)
	if err != nil {
		return fmt.Errorf("the reference %s: %w", ref.name, err)
	}
	ref.there = true
	return nil
}

// measureReference reads a part of the reference's rows for the edges of bins
// and the values there are, then all of them for the counts.
func (c *checker) measureReference(ctx context.Context, ref *reference) error {
	var look, counts batch
	for i := range c.rules.columns {
		rule := &c.rules.columns[i]
		col := ref.columns[rule.name]
		if col == nil {
			continue
		}
		at := slices.Index(ref.source.column, rule.name)
		if col.absent = at < 0; !col.absent {
			col.look(&look, ref.source.subject(at, ref.source.types[at]), rule.typ)
		}
	}
	every, err := c.db.every(ctx, &ref.source)
	if err != nil {
		return err
	}
	if len(look.parts) > 0 {
		from := ref.source.relation()
		if every > 1 {
			// By the hash of a row's place: the same rows every time, and none that
			// the period of a file could favour.
			from = fmt.Sprintf("(SELECT * FROM (SELECT row_number() OVER () AS n, * FROM %s) WHERE hash(n) %% %d = 0)", from, every)
		}
		if err := look.run(ctx, c.db, &ref.source, from); err != nil {
			return err
		}
	}
	counts.add([]string{"count(*)"}, func(v []any) { ref.rows = v[0].(int64) })
	for i := range c.rules.columns {
		rule := &c.rules.columns[i]
		if col := ref.columns[rule.name]; col != nil && !col.absent {
			at := slices.Index(ref.source.column, rule.name)
			col.count(&counts, ref.source.subject(at, ref.source.types[at]))
		}
	}
	return counts.run(ctx, c.db, &ref.source, ref.source.relation())
}

// every tells of how many rows one is enough for sampledRows.
func (d *DB) every(ctx context.Context, s *source) (int64, error) {
	var rows int64
	if s.format == parquetFormat { // the footers know
		values, err := d.row(ctx, "SELECT count(*) FROM "+s.reader())
		if err != nil {
			return 0, s.explain(ctx, err)
		}
		rows = values[0].(int64)
	} else {
		var size int64
		for _, file := range s.files {
			info, err := os.Stat(file)
			if err != nil {
				return 0, fmt.Errorf("data: %w", err)
			}
			size += info.Size()
		}
		head, err := readHead(s.files[0], 1<<16)
		if err != nil {
			return 0, err
		}
		rows = size * int64(strings.Count(string(head), "\n")) / int64(max(len(head), 1))
	}
	return max(1, rows/sampledRows), nil
}

// look plans what a sample has to tell.
func (col *refColumn) look(b *batch, s subject, typ string) {
	text := s.present(s.text)
	switch {
	case typ == "number" || typ == "integer" || typ == "" && s.isNumber():
		col.numeric = true
	case typ == "date" || typ == "timestamp" || typ == "" && s.isTime():
		col.numeric, col.time = true, true
	case typ == "" && s.class == classText:
		b.add([]string{"count(" + text + ")", "count(" + s.finite() + ")", "count(" + s.time + ")"}, func(v []any) {
			all, numbers, times := v[0].(int64), v[1].(int64), v[2].(int64)
			col.time = all > 0 && times == all && numbers < all
			col.numeric = all > 0 && numbers == all || col.time
		})
	}
	known := s.class != classText || typ != "" // whether it is numbers
	if col.wantBins && (col.numeric || !known) {
		at := make([]string, col.parts+1)
		for i := range at {
			at[i] = fmt.Sprint(float64(i) / float64(col.parts))
		}
		list := "[" + strings.Join(at, ", ") + "]"
		b.add([]string{"quantile_cont(" + s.finite() + ", " + list + ")", "quantile_cont(epoch(" + s.time + "), " + list + ")"}, func(v []any) {
			switch {
			case col.time:
				col.edges = edges(floats(v[1]))
			case col.numeric:
				col.edges = edges(floats(v[0]))
			}
		})
	}
	if col.wantValues || col.wantBins && (!col.numeric || !known) {
		b.add([]string{"count(DISTINCT " + text + ")", fmt.Sprintf("approx_top_k(%s, %d)", text, topCategories)}, func(v []any) {
			if col.distinct = v[0].(int64); col.distinct > maxCategories {
				col.many = true
				list, _ := v[1].([]any)
				for _, value := range list {
					col.values = append(col.values, fmt.Sprint(value))
				}
			}
		})
	}
	if col.wantSample {
		b.add([]string{"list(" + s.finite() + ") FILTER (WHERE " + s.finite() + " IS NOT NULL)"}, func(v []any) { col.sample = floats(v[0]) })
	}
}

// edges makes the upper ends of bins from quantiles 0 to 1. Values below all
// that were seen have a bin of their own where the lowest value is frequent.
func edges(quantiles []float64) []float64 {
	if len(quantiles) < 3 {
		return nil
	}
	list := slices.Compact(slices.Clone(quantiles[1 : len(quantiles)-1]))
	if lowest := quantiles[0]; list[0] == lowest {
		list = slices.Insert(list, 0, math.Nextafter(lowest, math.Inf(-1)))
	}
	return list
}

// count plans the counts over all rows.
func (col *refColumn) count(b *batch, s subject) {
	if col.wantBins && col.numeric {
		b.add([]string{col.binned(s)}, func(v []any) { col.bins = col.binCounts(v[0]) })
	}
	if col.wantValues || col.wantBins && !col.numeric {
		measure := "histogram(" + s.present(s.text) + ")"
		if col.many {
			measure = "histogram_exact(" + s.present(s.text) + ", " + literals(col.values) + ")"
		}
		b.add([]string{measure}, func(v []any) { col.setValues(histogram(v[0])) })
	}
	if col.wantMoments {
		x := s.finite()
		b.add([]string{"count(" + x + ")", "avg(" + x + ")", stddev(x), "kurtosis_pop(CASE WHEN abs(" + x + ") < 1e70 THEN " + x + " END)"}, func(v []any) {
			col.n, col.mean, col.std, col.kurtosis = v[0].(int64), number(v[1]), number(v[2]), number(v[3])+3
		})
		for q := range col.quantiles {
			b.add([]string{fmt.Sprintf("approx_quantile(%s, %v)", x, q)}, func(v []any) { col.quantiles[q] = number(v[0]) })
		}
	}
}

// number is a float64 of an answer; NaN when there is none.
func number(v any) float64 {
	if f := finite(v); f != nil {
		return *f
	}
	return math.NaN()
}

// setValues takes the reference's values, the most frequent first.
func (col *refColumn) setValues(counts map[string]int64) {
	if !col.many {
		col.values = col.values[:0]
		for v, n := range counts {
			col.values = append(col.values, v)
			if n == 1 {
				col.singles++
			}
		}
	}
	slices.SortFunc(col.values, func(a, b string) int {
		if counts[a] != counts[b] {
			return int(counts[b] - counts[a])
		}
		return strings.Compare(a, b)
	})
	col.counts = make([]int64, len(col.values))
	for i, v := range col.values {
		col.counts[i] = counts[v]
	}
}

// binned is the SQL that counts a column's rows over the edges.
func (col *refColumn) binned(s subject) string {
	x := s.finite()
	if col.time {
		x = "epoch(" + s.time + ")"
	}
	list := make([]string, len(col.edges))
	for i, e := range col.edges {
		list[i] = double(e)
	}
	if len(list) == 0 { // no value was seen
		list = []string{double(0)}
	}
	return "histogram(" + x + ", [" + strings.Join(list, ", ") + "])"
}

// binCounts orders a histogram's answer; the last bin is beyond all edges.
func (col *refColumn) binCounts(v any) []int64 {
	counts := make([]int64, len(col.edges)+1)
	for k, n := range pairs(v) {
		edge, _ := k.(float64)
		i, found := slices.BinarySearch(col.edges, edge)
		if !found {
			i = len(col.edges)
		}
		counts[i] += n
	}
	return counts
}
