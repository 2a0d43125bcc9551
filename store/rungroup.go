package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A RunGrouping says which runs belong together, and what is told of each group.
type RunGrouping struct {
	By     string // project, status, verdict, or a value: p.NAME or m.NAME
	Metric string // m.NAME: what is summed up
	Order  string // count, the usual; value, least, mean, deviation or greatest
	Down   bool
	Limit  int
}

// A RunGroup is the runs that have something in common. Figures are of those
// that have the metric, and 0 where none has.
type RunGroup struct {
	Value    string // empty: they have none
	Count    int
	Statuses map[ridgeline.Status]int
	Measured int // how many have the metric
	Least, Mean, Greatest,
	Last float64 // of the newest
	Deviation float64 // standard, of a sample; 0 of fewer than two
}

// statuses are those that a run can have, in the order of its life.
var statuses = []ridgeline.Status{ridgeline.Queued, ridgeline.Running, ridgeline.Waiting, ridgeline.Succeeded, ridgeline.Failed, ridgeline.Cancelled}

// groupOrders are what groups are put in order by; least first, but for how many
// there are. Of the value see GroupRuns.
var groupOrders = map[string]string{"": "-COUNT(*)", "count": "-COUNT(*)", "least": "MIN(m.number)", "mean": "AVG(m.number)", "deviation": "STDDEV_SAMP(m.number)", "greatest": "MAX(m.number)"}

// GroupRuns groups all runs that a filter chooses. The database goes through
// each of them: of 100,000 that takes about a second.
func (s *Store) GroupRuns(ctx context.Context, want RunFilter, g RunGrouping) ([]RunGroup, error) {
	value, place, tables, args := "COALESCE(g.text, '')", "COALESCE(MIN(g.number), 1e308)", " LEFT JOIN run_values g ON g.run = runs.id AND g.name = $2", []any{g.Metric, g.By}
	switch g.By {
	case "project", "status", "verdict":
		value, place, tables, args = "runs."+g.By, "0", "", args[:1]
	}
	f, err := s.chosenRuns(ctx, want, args...)
	if err != nil {
		return nil, about(err, "group runs")
	}
	order, known := groupOrders[g.Order]
	switch {
	case g.Order == "value":
		order = place
	case !known:
		return nil, ridgeline.Errorf(ridgeline.Invalid, "groups are in the order of count, value, least, mean, deviation or greatest, not of %q", g.Order)
	}
	query := "SELECT " + value + ", COUNT(*), COUNT(m.number), MIN(m.number), AVG(m.number), STDDEV_SAMP(m.number), MAX(m.number), COALESCE(MAX(m.run), '')"
	for _, status := range statuses {
		query += ", SUM(CASE WHEN runs.status = '" + string(status) + "' THEN 1 ELSE 0 END)"
	}
	query += " FROM runs" + tables + " LEFT JOIN run_values m ON m.run = runs.id AND m.name = $1 AND m.number < 1e308"
	if len(f.conditions) > 0 {
		query += " WHERE " + strings.Join(f.conditions, " AND ")
	}
	way := ""
	if g.Down {
		way = " DESC"
	}
	query += fmt.Sprintf(" GROUP BY %s ORDER BY CASE WHEN %s IS NULL THEN 1 ELSE 0 END, %s%s, %s%s LIMIT $%d", value, order, order, way, value, way, len(f.args)+1)
	var newest []any // the newest run of each group that has the metric
	groups, err := collect(ctx, s.q(), func(row sqlq.Row) (RunGroup, error) {
		out, last := RunGroup{Statuses: map[ridgeline.Status]int{}}, ""
		var least, mean, deviation, greatest sql.NullFloat64
		counts := make([]int, len(statuses))
		into := []any{&out.Value, &out.Count, &out.Measured, &least, &mean, &deviation, &greatest, &last}
		for i := range counts {
			into = append(into, &counts[i])
		}
		err := row.Scan(into...)
		out.Least, out.Mean, out.Deviation, out.Greatest = least.Float64, mean.Float64, deviation.Float64, greatest.Float64
		for i, n := range counts {
			if n > 0 {
				out.Statuses[statuses[i]] = n
			}
		}
		newest = append(newest, last)
		return out, err
	}, query, append(f.args, int64(g.Limit))...)
	if err != nil || len(groups) == 0 {
		return nil, about(err, "group runs")
	}
	return groups, about(s.addLast(ctx, groups, newest, g.Metric), "group runs")
}

// addLast adds what the newest run of each group measured.
func (s *Store) addLast(ctx context.Context, groups []RunGroup, newest []any, metric string) error {
	last := map[string]float64{}
	err := inBatches(newest, func(batch []any) error {
		var f filter
		f.and("name = ?", metric)
		in(&f, "run", batch)
		query, args := f.sql("SELECT run, number FROM run_values", "run", 0)
		_, err := collect(ctx, s.q(), func(row sqlq.Row) (struct{}, error) {
			var run string
			var number float64
			err := row.Scan(&run, &number)
			last[run] = number
			return struct{}{}, err
		}, query, args...)
		return err
	})
	for i, run := range newest {
		groups[i].Last = last[run.(string)]
	}
	return err
}
