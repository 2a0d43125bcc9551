package track

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// fill adds to runs what they logged: the last value of each metric, params,
// tags, inputs and models.
func fill(ctx context.Context, q sqlq.Querier, runs []Run) error {
	byNumber := make(map[int64]*Run, len(runs))
	numbers := make([]any, len(runs))
	for i := range runs {
		runs[i].Metrics, runs[i].Params, runs[i].Tags, runs[i].Inputs, runs[i].Read, runs[i].Made = nil, nil, nil, nil, nil, nil
		byNumber[runs[i].number] = &runs[i]
		numbers[i] = runs[i].number
	}
	for part := range slices.Chunk(numbers, maxPlaces) {
		in := listPlaces(&part)
		for _, load := range []struct {
			text string
			scan func(row sqlq.Row) error
		}{
			{`SELECT run, key, value, nan, time, step FROM latest WHERE run IN ` + in + ` ORDER BY run, key`, func(row sqlq.Row) error {
				var number, nan int64
				var m Metric
				err := row.Scan(&number, &m.Key, &m.Value, &nan, &m.Time, &m.Step)
				m.Value = unplain(m.Value, nan)
				r := byNumber[number]
				r.Metrics = append(r.Metrics, m)
				return err
			}},
			{`SELECT run, key, value FROM params WHERE run IN ` + in + ` ORDER BY run, key`, func(row sqlq.Row) error {
				var number int64
				var p Pair
				err := row.Scan(&number, &p.Key, &p.Value)
				r := byNumber[number]
				r.Params = append(r.Params, p)
				return err
			}},
			{`SELECT run, key, value FROM tags WHERE run IN ` + in + ` ORDER BY run, key`, func(row sqlq.Row) error {
				var number int64
				var p Pair
				err := row.Scan(&number, &p.Key, &p.Value)
				r := byNumber[number]
				r.Tags = append(r.Tags, p)
				return err
			}},
			{`SELECT i.run, d.name, d.digest, d.source_type, d.source, d.schema, d.profile, i.tags
				FROM inputs i JOIN datasets d ON d.id = i.dataset WHERE i.run IN ` + in + ` ORDER BY i.run, d.name, d.digest`, func(row sqlq.Row) error {
				var number int64
				var in Input
				var tags string
				if err := row.Scan(&number, &in.Name, &in.Digest, &in.SourceType, &in.Source, &in.Schema, &in.Profile, &tags); err != nil {
					return err
				}
				r := byNumber[number]
				r.Inputs = append(r.Inputs, in)
				return json.Unmarshal([]byte(tags), &r.Inputs[len(r.Inputs)-1].Tags)
			}},
			{`SELECT run, direction, model, step FROM run_models WHERE run IN ` + in + ` ORDER BY run, step, model`, func(row sqlq.Row) error {
				var number int64
				var direction string
				var o Output
				err := row.Scan(&number, &direction, &o.Model, &o.Step)
				if r := byNumber[number]; direction == "input" {
					r.Read = append(r.Read, o.Model)
				} else {
					r.Made = append(r.Made, o)
				}
				return err
			}},
		} {
			if err := each(ctx, q, load.scan, load.text, part...); err != nil {
				return fmt.Errorf("read what runs logged: %w", err)
			}
		}
	}
	return nil
}

// listPlaces writes a list of placeholders for ids. It repeats the last one to
// have 1, 10, 100 or maxPlaces of them, so that few texts are kept prepared.
func listPlaces(ids *[]any) string {
	size := maxPlaces
	for _, s := range []int{1, 10, 100} {
		if len(*ids) <= s {
			size = s
			break
		}
	}
	padded := slices.Clone(*ids)
	for len(padded) < size {
		padded = append(padded, padded[len(padded)-1])
	}
	*ids = padded
	return "(" + places(1, size) + ")"
}
