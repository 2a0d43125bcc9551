package track

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A Metric is one point: a value of a metric at a step and a time.
type Metric struct {
	Key   string
	Value float64 // NaN and ±Inf are kept
	Time  int64   // milliseconds, as the client gave it
	Step  int64

	Model                      string // id of a logged model that it is of, or empty
	DatasetName, DatasetDigest string // what it was computed on, with Model only
}

// A Batch is what a run logs at once: all of it, or nothing.
type Batch struct {
	Metrics []Metric
	Params  []Pair
	Tags    []Pair
	// Single words a contradiction for a request of one param.
	Single bool
}

// Log adds to an active run. A param that has another value already is Invalid;
// a tag is replaced; a point that is there already is there once.
func (s *Store) Log(ctx context.Context, id string, b Batch) error {
	data := encodeArrived(b.Metrics) // outside the writer's turn
	var number int64
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		run, err := activeRun(ctx, q, id)
		if err != nil {
			return err
		}
		number = run.number
		if err := putParams(ctx, q, run, b); err != nil {
			return err
		}
		if err := s.putMetrics(ctx, q, run, data, b.Metrics); err != nil {
			return err
		}
		return putTags(ctx, q, run, b.Tags)
	})
	if err == nil && len(b.Metrics) > 0 {
		s.arrived(number)
	}
	return doing(err, "log to run %s", id)
}

// arrived counts a row of a run that folding will have to deal with.
func (s *Store) arrived(number int64) {
	n, _ := s.unfolded.LoadOrStore(number, new(atomic.Int64))
	if n.(*atomic.Int64).Add(1) == foldFrom {
		select {
		case s.fold <- struct{}{}:
		default:
		}
	}
}

// putParams inserts the params. Repeated with the same values is harmless.
func putParams(ctx context.Context, q sqlq.Querier, run Run, b Batch) error {
	if len(b.Params) == 0 {
		return nil
	}
	wrong := []string{}
	for _, p := range b.Params {
		n, err := q.Exec(ctx, `INSERT INTO params (run, key, value) VALUES ($1, $2, $3) ON CONFLICT (run, key) DO NOTHING`, run.number, clean(p.Key), clean(p.Value))
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		var old string
		if err := q.QueryRow(ctx, `SELECT value FROM params WHERE run = $1 AND key = $2`, run.number, clean(p.Key)).Scan(&old); err != nil {
			return err
		}
		if old == clean(p.Value) {
			continue
		}
		if b.Single {
			return ridgeline.Errorf(ridgeline.Invalid, "Changing param values is not allowed. Param with key='%s' was already"+
				" logged with value='%s' for run ID='%s'. Attempted logging new value '%s'.", p.Key, old, run.ID, p.Value)
		}
		wrong = append(wrong, fmt.Sprintf("{'key': '%s', 'old_value': '%s', 'new_value': '%s'}", p.Key, old, p.Value))
	}
	if len(wrong) > 0 {
		return ridgeline.Errorf(ridgeline.Invalid, "Changing param values is not allowed. Params were already logged='[%s]' for run ID='%s'.",
			strings.Join(wrong, ", "), run.ID)
	}
	return nil
}

func putTags(ctx context.Context, q sqlq.Querier, run Run, tags []Pair) error {
	if err := putPairs(ctx, q, "tags", "run", run.number, tags); err != nil {
		return err
	}
	for i := len(tags) - 1; i >= 0; i-- {
		if tags[i].Key == RunNameTag {
			_, err := q.Exec(ctx, `UPDATE runs SET name = $1 WHERE number = $2`, clean(tags[i].Value), run.number)
			return err
		}
	}
	return nil
}

// putMetrics writes the points, encoded as a row of arrived.
func (s *Store) putMetrics(ctx context.Context, q sqlq.Querier, run Run, data []byte, metrics []Metric) error {
	if len(metrics) == 0 {
		return nil
	}
	sequence := s.sequence()
	if _, err := q.Exec(ctx, `INSERT INTO arrived (run, sequence, data) VALUES ($1, $2, $3)`, run.number, sequence, data); err != nil {
		return err
	}
	if _, err := q.Exec(ctx, `INSERT INTO fresh (run, sequence) VALUES ($1, $2)`, run.number, sequence); err != nil {
		return err
	}
	return putModelMetrics(ctx, q, run.ID, metrics)
}

// putModelMetrics keeps the points that are of logged models once more, with
// the model.
func putModelMetrics(ctx context.Context, q sqlq.Querier, run string, metrics []Metric) error {
	const insert = `INSERT INTO model_metrics (model, key, run, dataset_name, dataset_digest, step, time, value, nan)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`
	for _, m := range metrics {
		if m.Model == "" {
			continue
		}
		value, nan := plain(m.Value)
		if _, err := q.Exec(ctx, insert, clean(m.Model), clean(m.Key), run, clean(m.DatasetName), clean(m.DatasetDigest), m.Step, m.Time, value, nan); err != nil {
			return err
		}
	}
	return nil
}

// LogModelTag appends to the tag in which MLflow 2 keeps the models that a run
// has logged, a JSON array.
func (s *Store) LogModelTag(ctx context.Context, id, key string, add func(old string) (string, error)) error {
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		run, err := activeRun(ctx, q, id)
		if err != nil {
			return err
		}
		old := ""
		err = each(ctx, q, func(row sqlq.Row) error { return row.Scan(&old) }, `SELECT value FROM tags WHERE run = $1 AND key = $2`, run.number, key)
		if err != nil {
			return err
		}
		value, err := add(old)
		if err != nil {
			return err
		}
		return putPairs(ctx, q, "tags", "run", run.number, []Pair{{key, value}})
	})
	return doing(err, "log a model to run %s", id)
}
