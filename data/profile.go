package data

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Profile is what the values of a dataset look like, in a size that does
// not grow with its rows. As JSON it is kept with a dataset version.
type Profile struct {
	Rows    int64           `json:"rows"`
	Columns []ColumnProfile `json:"columns"`
}

// A ColumnProfile is one column's statistics. Counts, extremes, mean and
// standard deviation are exact; Distinct is HyperLogLog's estimate (a few per
// cent off) and Quantiles are a t-digest's. Which values are in Top is found by
// the space-saving algorithm, which may miss the last of many; their counts
// are exact.
type ColumnProfile struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // as Describe has it
	Nulls    int64    `json:"nulls"`
	Distinct int64    `json:"distinct"`
	Min      string   `json:"min,omitempty"`
	Max      string   `json:"max,omitempty"`
	Mean     *float64 `json:"mean,omitempty"` // numbers only, as are Std and Quantiles; values that are not finite have no part
	Std      *float64 `json:"std,omitempty"`  // of the sample, n - 1
	// Quantiles are those at 0, 5, 10, …, 100 %; of dates and timestamps in
	// seconds since 1970.
	Quantiles []float64    `json:"quantiles,omitempty"`
	Top       []ValueCount `json:"top,omitempty"` // the most frequent values, at most 20; none where nearly all differ
}

// A ValueCount is a value and how many rows have it.
type ValueCount struct {
	Value string `json:"value"`
	Rows  int64  `json:"rows"`
}

// profileSteps is how many parts the quantiles of a profile cut a column into.
const profileSteps = 20

// topValues is how many frequent values a profile keeps.
const topValues = 20

// maxMeasures bounds the aggregates of one query over a source that is not
// wide; many rules on few columns take several readings then. See wideMeasures.
const maxMeasures = 2000

// Profile reads the dataset at path twice (a CSV file once more, for its
// types) and describes each column. Memory does not grow with the rows.
func (d *DB) Profile(ctx context.Context, path string) (Profile, error) {
	s, err := d.source(ctx, path)
	if err != nil {
		return Profile{}, err
	}
	rows, columns, err := d.shape(ctx, &s)
	if err != nil {
		return Profile{}, err
	}
	return d.profile(ctx, &s, rows, columns)
}

// ProfileOf is Profile of a dataset that was described already, whose types
// are not looked for once more.
func (d *DB) ProfileOf(ctx context.Context, path string, known Description) (Profile, error) {
	s, err := d.source(ctx, path)
	if err != nil {
		return Profile{}, err
	}
	return d.profile(ctx, &s, known.Rows, known.Columns)
}

func (d *DB) profile(ctx context.Context, s *source, rows int64, columns []ridgeline.Column) (Profile, error) {
	p := Profile{Rows: rows, Columns: make([]ColumnProfile, len(columns))}
	for i, c := range columns {
		p.Columns[i] = ColumnProfile{Name: c.Name, Type: c.Type}
	}
	var facts, tops batch
	var err error
	if d.isWide(s) {
		err = d.stack(ctx, s, s.relation(), func(b *batch, i int) {
			profileColumn(b, s.subjectOf(stacked, columns[i].Type), &p.Columns[i])
		})
	} else {
		for i, c := range columns {
			profileColumn(&facts, s.subject(i, c.Type), &p.Columns[i])
		}
		err = facts.run(ctx, d, s, s.relation())
	}
	if err != nil {
		return Profile{}, err
	}
	for i, c := range columns {
		countTop(&tops, s.subject(i, c.Type), &p.Columns[i])
	}
	return p, tops.run(ctx, d, s, s.relation())
}

// profileColumn plans the measures of one column.
func profileColumn(b *batch, s subject, c *ColumnProfile) {
	present := s.present("left(" + s.text + ", 100)")
	if s.class != classText && s.class != classOther {
		present = s.present(s.value)
	}
	b.add([]string{"count(*) FILTER (WHERE " + s.null + ")", "approx_count_distinct(" + present + ")", "count(*)",
		fmt.Sprintf("CAST(approx_top_k(%s, %d) AS VARCHAR[])", present, 4*topValues)}, func(v []any) {
		c.Nulls, c.Distinct = v[0].(int64), v[1].(int64)
		// Values that hardly repeat have no frequent ones among them.
		if c.Distinct > topValues && c.Distinct > (v[2].(int64)-c.Nulls)/2 {
			return
		}
		list, _ := v[3].([]any)
		for _, value := range list[:min(len(list), topValues)] {
			c.Top = append(c.Top, ValueCount{Value: fmt.Sprint(value)})
		}
	})
	numeric := s.finite()
	if s.isTime() {
		numeric = "epoch(" + s.time + ")"
	}
	extreme := s.text
	switch {
	case s.isTime():
		extreme = s.time
	case s.isNumber():
		extreme = s.number
	}
	extreme = s.present(extreme)
	b.add([]string{"CAST(min(" + extreme + ") AS VARCHAR)", "CAST(max(" + extreme + ") AS VARCHAR)"}, func(v []any) {
		c.Min, c.Max = shownText(v[0]), shownText(v[1])
	})
	if !s.isTime() && !s.isNumber() {
		return
	}
	at := make([]string, profileSteps+1)
	for i := range at {
		at[i] = fmt.Sprint(float64(i) / profileSteps)
	}
	b.add([]string{"approx_quantile(" + numeric + ", [" + strings.Join(at, ", ") + "])"}, func(v []any) {
		c.Quantiles = floats(v[0])
	})
	if s.isNumber() {
		b.add([]string{"avg(" + numeric + ")", stddev(numeric)}, func(v []any) {
			c.Mean, c.Std = finite(v[0]), finite(v[1])
		})
	}
}

// countTop plans the exact counts of a column's frequent values.
func countTop(b *batch, s subject, c *ColumnProfile) {
	if len(c.Top) == 0 {
		return
	}
	values := make([]string, len(c.Top))
	for i, v := range c.Top {
		values[i] = v.Value
	}
	text := "left(" + s.text + ", 100)"
	if s.class != classText && s.class != classOther {
		text = "CAST(" + s.value + " AS VARCHAR)"
	}
	b.add([]string{fmt.Sprintf("histogram_exact(%s, %s)", s.present(text), literals(values))}, func(v []any) {
		counts := histogram(v[0])
		for i := range c.Top {
			c.Top[i].Rows = counts[c.Top[i].Value]
		}
		slices.SortStableFunc(c.Top, func(a, b ValueCount) int {
			return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Value, b.Value))
		})
	})
}

// histogram is the answer of DuckDB's histogram functions over texts.
func histogram(v any) map[string]int64 {
	counts := map[string]int64{}
	for k, n := range pairs(v) {
		counts[fmt.Sprint(k)] = n
	}
	return counts
}

// pairs are the entries of a map of counts.
func pairs(v any) iter.Seq2[any, int64] {
	return func(yield func(any, int64) bool) {
		m, ok := v.(duckdb.OrderedMap)
		if !ok {
			return // NULL: no value at all
		}
		rows := m.Values()
		for i, k := range m.Keys() {
			if n, _ := rows[i].(uint64); !yield(k, int64(n)) {
				return
			}
		}
	}
}

// stddev is the sample's standard deviation, none where squares overflow.
func stddev(x string) string {
	return "stddev_samp(CASE WHEN abs(" + x + ") < 1e150 THEN " + x + " END)"
}

func finite(v any) *float64 {
	f, ok := v.(float64)
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}

func floats(v any) []float64 {
	list, _ := v.([]any)
	out := make([]float64, 0, len(list))
	for _, x := range list {
		f, ok := x.(float64)
		if !ok {
			return nil
		}
		out = append(out, f)
	}
	return out
}

// shownText is a value's text, cut where a profile would grow with it.
func shownText(v any) string {
	if v == nil {
		return ""
	}
	text := []rune(strings.TrimSuffix(fmt.Sprint(v), ".0"))
	return string(text[:min(len(text), 100)])
}

// A batch is aggregates to be asked for together, and what becomes of them.
type batch struct {
	measures []string
	parts    []part
}

type part struct {
	first, n int
	done     func(values []any)
}

// add plans measures; done gets their values when they are known.
func (b *batch) add(measures []string, done func(values []any)) {
	b.parts = append(b.parts, part{len(b.measures), len(measures), done})
	b.measures = append(b.measures, measures...)
}

// run asks in few queries, parts in their order.
func (b *batch) run(ctx context.Context, d *DB, s *source, from string) error {
	if d.isWide(s) {
		return b.runWide(ctx, d, s, from)
	}
	return b.ask(ctx, d, s, from, maxMeasures)
}

// ask asks at most so many measures at a time.
func (b *batch) ask(ctx context.Context, d *DB, s *source, from string, most int) error {
	for len(b.parts) > 0 {
		n := 0
		for n < len(b.parts) && b.parts[n].first+b.parts[n].n-b.parts[0].first <= most {
			n++
		}
		n = max(n, 1)
		now, first := b.parts[:n], b.parts[0].first
		last := now[n-1].first + now[n-1].n
		values, err := d.row(ctx, "SELECT "+strings.Join(b.measures[first:last], ", ")+" FROM "+from)
		if err != nil {
			return s.explain(ctx, err)
		}
		answer(now, values)
		b.parts = b.parts[n:]
	}
	*b = batch{}
	return nil
}

// answer gives each of some neighbouring parts its values.
func answer(parts []part, values []any) {
	first := parts[0].first
	for _, p := range parts {
		p.done(values[p.first-first : p.first-first+p.n])
	}
}
