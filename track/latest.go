package track

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// The last value of each metric is a row of latest, which searches need. Logging
// does not write it: a request of 100 metrics would change 100 rows to keep what
// one row of arrived says. It notes that row as fresh, and whoever reads last
// values brings in what is fresh before (refresh); so does folding.

// newer is MLflow's order of the points of one metric, of which the last one is
// the metric's latest value: step, then time, then value, where NaN counts as 0.
func (m Metric) newer(o Metric) bool {
	a, _ := plain(m.Value)
	b, _ := plain(o.Value)
	if m.Step != o.Step {
		return m.Step > o.Step
	}
	if m.Time != o.Time {
		return m.Time > o.Time
	}
	return a > b
}

// plain is a value as a column holds it: NaN, which SQLite does not have, is 0
// and a mark.
func plain(v float64) (float64, int64) {
	if math.IsNaN(v) {
		return 0, 1
	}
	return v, 0
}

func unplain(v float64, nan int64) float64 {
	if nan != 0 {
		return math.NaN()
	}
	return v
}

// A lasts is of each metric the point that can become its latest value.
type lasts map[string]Metric

func (l lasts) add(m Metric) {
	if old, seen := l[m.Key]; !seen || m.newer(old) {
		l[m.Key] = m
	}
}

// put writes what is newer than a run's latest values. Their order is the same
// for all who write, so that two servers never wait for each other in a circle.
func (l lasts) put(ctx context.Context, q sqlq.Querier, number int64) error {
	if len(l) == 0 {
		return nil
	}
	if _, err := q.Exec(ctx, `INSERT INTO unsettled (run) VALUES ($1) ON CONFLICT DO NOTHING`, number); err != nil {
		return err
	}
	args := make([]any, 0, 7*len(l))
	for _, m := range slices.SortedFunc(maps.Values(l), func(a, b Metric) int { return strings.Compare(a.Key, b.Key) }) {
		value, nan := plain(m.Value)
		args = append(args, number, clean(m.Key), m.Step, m.Time, value, nan, int64(0))
	}
	return insertRows(ctx, q, `INSERT INTO latest (run, key, step, time, value, nan, settled) VALUES `,
		` ON CONFLICT (run, key) DO UPDATE SET step = excluded.step, time = excluded.time, value = excluded.value, nan = excluded.nan, settled = 0
		WHERE (excluded.step, excluded.time, excluded.value) > (latest.step, latest.time, latest.value)`, 7, args)
}

// refresh brings what is fresh of a run into its latest values.
func refresh(ctx context.Context, q sqlq.Querier, number int64) error {
	from, to := int64(math.MaxInt64), int64(math.MinInt64)
	err := each(ctx, q, func(row sqlq.Row) error {
		var sequence int64
		err := row.Scan(&sequence)
		from, to = min(from, sequence), max(to, sequence)
		return err
	}, `DELETE FROM fresh WHERE run = $1 RETURNING sequence`, number)
	if err != nil || from > to {
		return err
	}
	// Rows between them that were not fresh change nothing; of one that is folded
	// by now, folding has brought in the points.
	last := lasts{}
	err = each(ctx, q, func(row sqlq.Row) error {
		var data []byte
		if err := row.Scan(&data); err != nil {
			return err
		}
		return eachPoint(data, "", last.add)
	}, `SELECT data FROM arrived WHERE run = $1 AND sequence BETWEEN $2 AND $3`, number, from, to)
	if err != nil {
		return err
	}
	return last.put(ctx, q, number)
}

// refreshAtOnce is how many runs are refreshed in one transaction: others want to
// write meanwhile.
const refreshAtOnce = 20

// refreshAll refreshes every run that has something fresh: what was acknowledged
// before it was called is in latest when it returns.
func (s *Store) refreshAll(ctx context.Context) error {
	return s.refreshThose(ctx, `SELECT DISTINCT run FROM fresh`)
}

// refreshRun refreshes one run.
func (s *Store) refreshRun(ctx context.Context, number int64) error {
	return s.refreshThose(ctx, `SELECT DISTINCT run FROM fresh WHERE run = $1`, number)
}

func (s *Store) refreshThose(ctx context.Context, text string, args ...any) error {
	var numbers []int64
	err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		var number int64
		err := row.Scan(&number)
		numbers = append(numbers, number)
		return err
	}, text, args...)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(numbers, refreshAtOnce) {
		err := s.group.Do(ctx, func(q sqlq.Querier) error {
			for _, number := range some {
				if err := refresh(ctx, q, number); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return &unwritten{err}
		}
	}
	return nil
}

// unwritten is why last values could not be brought in: the disk is full, or the
// database may only be read.
type unwritten struct{ error }

func (e *unwritten) Unwrap() error { return e.error }

// readable lets a reader go on behind a refreshing that could not be written. It
// reports that what is fresh has to be merged as it is read, and tells the log,
// once a minute.
func (s *Store) readable(ctx context.Context, err error) (stale bool, _ error) {
	var w *unwritten
	if ctx.Err() != nil || !errors.As(err, &w) {
		return false, err
	}
	if last, now := s.told.Load(), time.Now().UnixNano(); now-last > int64(time.Minute) && s.told.CompareAndSwap(last, now) {
		s.log.Error("the last values of metrics cannot be written; they are merged as they are read, and searches by metrics know those from before", "error", w.error)
	}
	return true, nil
}

// merge brings what is fresh of runs into their last values as they were read.
func merge(ctx context.Context, q sqlq.Querier, runs []Run) error {
	for i := range runs {
		last := lasts{}
		for _, m := range runs[i].Metrics {
			last.add(m)
		}
		err := each(ctx, q, func(row sqlq.Row) error {
			var data []byte
			if err := row.Scan(&data); err != nil {
				return err
			}
			return eachPoint(data, "", last.add)
		}, `SELECT a.data FROM fresh f JOIN arrived a ON a.run = f.run AND a.sequence = f.sequence WHERE f.run = $1`, runs[i].number)
		if err != nil {
			return err
		}
		runs[i].Metrics = slices.SortedFunc(maps.Values(last), func(a, b Metric) int { return strings.Compare(a.Key, b.Key) })
	}
	return nil
}

// settle puts the latest values of a run into the index by value.
func settle(ctx context.Context, q sqlq.Querier, number int64) error {
	if err := refresh(ctx, q, number); err != nil {
		return err
	}
	if _, err := q.Exec(ctx, `UPDATE latest SET settled = 1 WHERE run = $1 AND settled = 0`, number); err != nil {
		return err
	}
	_, err := q.Exec(ctx, `DELETE FROM unsettled WHERE run = $1`, number)
	return err
}

// settleQuiet settles the runs that have got nothing since the last look, of
// which before tells the newest sequence.
func (s *Store) settleQuiet(ctx context.Context, before map[int64]int64) error {
	if err := s.refreshAll(ctx); err != nil { // which makes them unsettled
		return err
	}
	now := map[int64]int64{}
	err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		var number, newest int64
		if err := row.Scan(&number, &newest); err != nil {
			return err
		}
		now[number] = newest
		return nil
	}, `SELECT u.run, COALESCE((SELECT max(a.sequence) FROM arrived a WHERE a.run = u.run), 0) FROM unsettled u`)
	if err != nil {
		return err
	}
	for number, newest := range now {
		if old, seen := before[number]; seen && old == newest {
			if err := s.group.Do(ctx, func(q sqlq.Querier) error { return settle(ctx, q, number) }); err != nil {
				return err
			}
			delete(now, number)
			if n, ok := s.unfolded.Load(number); ok && n.(*atomic.Int64).Load() < foldFrom {
				s.unfolded.Delete(number)
			}
		}
	}
	clear(before)
	maps.Copy(before, now)
	return nil
}
