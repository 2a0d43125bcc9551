package track

import (
	"context"
	"math"
	"slices"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// History returns the points of a run's metric by time, step and value. A metric
// that was never logged has none.
func (s *Store) History(ctx context.Context, id, key string) ([]Metric, error) {
	run, err := runByID(ctx, s.db.Reader(), id)
	if err != nil {
		return nil, doing(err, "read run %s", id)
	}
	all, err := s.Histories(ctx, []Run{run}, key)
	return all[id], err
}

// Histories returns the history of one metric in each of the runs, which have
// been read from here, by their ids.
func (s *Store) Histories(ctx context.Context, runs []Run, key string) (map[string][]Metric, error) {
	all := make(map[string][]Metric, len(runs))
	err := s.eachLogged(ctx, runs, key, func(run *Run, m Metric) { all[run.ID] = append(all[run.ID], m) })
	if err != nil {
		return nil, doing(err, "read the history of %s", key)
	}
	for id, points := range all {
		all[id] = series(points)
	}
	return all, nil
}

// A Span is the least and the greatest value that a metric ever had.
type Span struct{ Least, Greatest float64 }

// Spans returns the span of each metric in each of the runs, which have been
// read from here, by id and key. NaN has no place in a span.
func (s *Store) Spans(ctx context.Context, runs []Run) (map[string]map[string]Span, error) {
	all := make(map[string]map[string]Span, len(runs))
	err := s.eachLogged(ctx, runs, "", func(run *Run, m Metric) {
		if math.IsNaN(m.Value) {
			return
		}
		of := all[run.ID]
		if of == nil {
			of = map[string]Span{}
			all[run.ID] = of
		}
		span, seen := of[m.Key]
		if !seen {
			span = Span{m.Value, m.Value}
		}
		of[m.Key] = Span{min(span.Least, m.Value), max(span.Greatest, m.Value)}
	})
	return all, doing(err, "read the least and greatest values of metrics")
}

// eachLogged calls fn for each point of the runs' metric, in no order and perhaps
// twice; of all their metrics without a key.
func (s *Store) eachLogged(ctx context.Context, runs []Run, key string, fn func(run *Run, m Metric)) error {
	for part := range slices.Chunk(runs, maxPlaces) {
		byNumber, numbers := make(map[int64]*Run, len(part)), make([]any, len(part))
		for i := range part {
			byNumber[part[i].number], numbers[i] = &part[i], part[i].number
		}
		in := listPlaces(&numbers)
		// What arrived comes first: folding moves rows from there to points, and so
		// none can slip by between the two queries.
		err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
			var number int64
			var data []byte
			if err := row.Scan(&number, &data); err != nil {
				return err
			}
			run := byNumber[number]
			return eachPoint(data, "", func(m Metric) {
				if key == "" || m.Key == key {
					fn(run, m)
				}
			})
		}, `SELECT run, data FROM arrived WHERE run IN `+in+` ORDER BY run, sequence`, numbers...)
		if err != nil {
			return err
		}
		where := ""
		if key != "" {
			numbers = append(numbers, clean(key))
			where = ` AND key = ` + places(len(numbers), 1)
		}
		err = each(ctx, s.db.Reader(), func(row sqlq.Row) error {
			var number int64
			var of string
			var data []byte
			if err := row.Scan(&number, &of, &data); err != nil {
				return err
			}
			run := byNumber[number]
			return eachPoint(data, of, func(m Metric) { fn(run, m) })
		}, `SELECT run, key, data FROM points WHERE run IN `+in+where+` ORDER BY run, key, sequence`, numbers...)
		if err != nil {
			return err
		}
	}
	return nil
}
