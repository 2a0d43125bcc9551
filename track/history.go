package track

import (
	"context"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// History returns the points of a run's metric by time, step and value. A metric
// that was never logged has none.
func (s *Store) History(ctx context.Context, id, key string) ([]Metric, error) {
	q := s.db.Reader()
	run, err := runByID(ctx, q, id)
	if err != nil {
		return nil, doing(err, "read run %s", id)
	}
	var points []Metric
	// What arrived comes first: folding moves rows from there to points, and so
	// none can slip by between the two queries.
	err = each(ctx, q, func(row sqlq.Row) error {
		var data []byte
		if err := row.Scan(&data); err != nil {
			return err
		}
		return eachPoint(data, "", func(m Metric) {
			if m.Key == key {
				points = append(points, m)
			}
		})
	}, `SELECT data FROM arrived WHERE run = $1 ORDER BY sequence`, run.number)
	if err != nil {
		return nil, doing(err, "read the history of %s", key)
	}
	recent := points
	points = nil
	err = each(ctx, q, func(row sqlq.Row) error {
		var data []byte
		if err := row.Scan(&data); err != nil {
			return err
		}
		return eachPoint(data, key, func(m Metric) { points = append(points, m) })
	}, `SELECT data FROM points WHERE run = $1 AND key = $2 ORDER BY sequence`, run.number, clean(key))
	if err != nil {
		return nil, doing(err, "read the history of %s", key)
	}
	return series(append(points, recent...)), nil
}
