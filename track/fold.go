package track

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

const (
	// foldFrom is how many arrived rows of a run are folded at once.
	foldFrom = 256
	// tidyEvery is how often runs are looked at that may have ended without
	// saying so: one that got no value between two looks counts as ended.
	tidyEvery = 20 * time.Second
	// remembered is how long a client may come back for a run it never heard of.
	remembered = 10 * time.Minute
)

// tidy is what runs in the background: it folds what has arrived, puts values
// of runs that ended without saying so into the index, and forgets creations.
func (s *Store) tidy(ctx context.Context) {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	before := map[int64]int64{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.fold:
		case <-ticker.C:
			if err := s.settleQuiet(ctx, before); err != nil && ctx.Err() == nil {
				s.log.Error("settle quiet runs", "error", err)
			}
			if err := s.forget(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("forget creations", "error", err)
			}
		}
		if err := s.foldAll(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("fold points", "error", err)
		}
	}
}

// foldAll folds the runs that got enough rows. What an earlier process has left
// is folded with the next such row of its run.
func (s *Store) foldAll(ctx context.Context) error {
	var err error
	s.unfolded.Range(func(key, value any) bool {
		if value.(*atomic.Int64).Load() < foldFrom {
			return true
		}
		value.(*atomic.Int64).Store(0)
		for folded := foldFrom; err == nil && folded == foldFrom && ctx.Err() == nil; {
			folded, err = s.foldRun(ctx, key.(int64))
		}
		return err == nil && ctx.Err() == nil
	})
	return err
}

// foldRun turns the oldest arrived rows of a run, foldFrom at most, into one row
// of points for each of its metrics. It returns how many rows there were.
//
// The rows are those that it has deleted itself: another server may be adding
// rows that sort before the newest one seen here, or be folding the same run. For
// the same reason their points go into latest here, whether they are fresh or not.
func (s *Store) foldRun(ctx context.Context, number int64) (folded int, err error) {
	const take = `DELETE FROM arrived WHERE run = $1 AND sequence IN
		(SELECT sequence FROM arrived WHERE run = $1 ORDER BY sequence LIMIT $2) RETURNING sequence, data`
	const forget = `DELETE FROM fresh WHERE run = $1 AND sequence <= $2
		AND NOT EXISTS (SELECT 1 FROM arrived a WHERE a.run = fresh.run AND a.sequence = fresh.sequence)`
	err = s.group.Do(ctx, func(q sqlq.Querier) error {
		var newest int64
		folded = 0
		byKey, last := map[string][]Metric{}, lasts{}
		err := each(ctx, q, func(row sqlq.Row) error {
			var sequence int64
			var data []byte
			if err := row.Scan(&sequence, &data); err != nil {
				return err
			}
			folded++
			newest = max(newest, sequence)
			return eachPoint(data, "", func(m Metric) {
				byKey[m.Key] = append(byKey[m.Key], m)
				last.add(m)
			})
		}, take, number, int64(foldFrom))
		if err != nil {
			return err
		}
		if err := last.put(ctx, q, number); err != nil {
			return err
		}
		if _, err := q.Exec(ctx, forget, number, newest); err != nil {
			return err
		}
		args := make([]any, 0, 4*len(byKey))
		for key, points := range byKey {
			args = append(args, number, clean(key), newest, encodePoints(series(points)))
		}
		return insertRows(ctx, q, `INSERT INTO points (run, key, sequence, data) VALUES `, ``, 4, args)
	})
	return folded, doing(err, "fold the points of run number %d", number)
}

func (s *Store) forget(ctx context.Context) error {
	return s.group.Do(ctx, func(q sqlq.Querier) error {
		_, err := q.Exec(ctx, `DELETE FROM creations WHERE at < $1`, now()-remembered.Milliseconds())
		return err
	})
}
