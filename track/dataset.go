package track

import (
	"context"
	"encoding/json"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// contextTag is the tag of an input that says what it was used for.
const contextTag = "mlflow.data.context"

// An Input is a dataset that a run read, and how.
type Input struct {
	Name, Digest, SourceType, Source, Schema, Profile string
	Tags                                              []Pair
}

// LogInputs adds datasets and logged models that an active run read. One of the
// same name and digest is one dataset of the experiment; a run has it once, with
// the tags it had first.
func (s *Store) LogInputs(ctx context.Context, id string, inputs []Input, models []string) error {
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		run, err := activeRun(ctx, q, id)
		if err != nil {
			return err
		}
		for _, in := range inputs {
			if err := putInput(ctx, q, run, in); err != nil {
				return err
			}
		}
		for _, m := range models {
			if err := putRunModel(ctx, q, run, "input", Output{Model: m}); err != nil {
				return err
			}
		}
		return nil
	})
	return doing(err, "log inputs of run %s", id)
}

func putInput(ctx context.Context, q sqlq.Querier, run Run, in Input) error {
	const insert = `INSERT INTO datasets (id, experiment, name, digest, source_type, source, schema, profile)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (experiment, name, digest) DO NOTHING`
	if _, err := q.Exec(ctx, insert, newID(), run.Experiment, clean(in.Name), clean(in.Digest), clean(in.SourceType), clean(in.Source),
		clean(in.Schema), clean(in.Profile)); err != nil {
		return err
	}
	var dataset string
	const find = `SELECT id FROM datasets WHERE experiment = $1 AND name = $2 AND digest = $3`
	if err := q.QueryRow(ctx, find, run.Experiment, clean(in.Name), clean(in.Digest)).Scan(&dataset); err != nil {
		return err
	}
	tags, err := json.Marshal(in.Tags)
	if err != nil {
		return err
	}
	var used any
	for _, t := range in.Tags {
		if t.Key == contextTag {
			used = clean(t.Value)
		}
	}
	const use = `INSERT INTO inputs (run, dataset, tags, context) VALUES ($1, $2, $3, $4) ON CONFLICT (run, dataset) DO NOTHING`
	_, err = q.Exec(ctx, use, run.number, dataset, clean(string(tags)), used)
	return err
}

func putRunModel(ctx context.Context, q sqlq.Querier, run Run, direction string, o Output) error {
	_, err := q.Exec(ctx, `INSERT INTO run_models (run, direction, model, step) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		run.number, direction, clean(o.Model), o.Step)
	return err
}

// LogOutputs adds logged models that an active run made.
func (s *Store) LogOutputs(ctx context.Context, id string, outputs []Output) error {
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		run, err := activeRun(ctx, q, id)
		if err != nil {
			return err
		}
		for _, o := range outputs {
			if err := putRunModel(ctx, q, run, "output", o); err != nil {
				return err
			}
		}
		return nil
	})
	return doing(err, "log outputs of run %s", id)
}

// A DatasetSummary is a dataset of an experiment and one of its uses.
type DatasetSummary struct {
	Experiment            int64
	Name, Digest, Context string
}

// Datasets returns up to 1,000 datasets that runs of the experiments read.
func (s *Store) Datasets(ctx context.Context, experiments []int64) ([]DatasetSummary, error) {
	if len(experiments) == 0 {
		return nil, nil
	}
	ids := anys(experiments)
	in := listPlaces(&ids)
	var all []DatasetSummary
	err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		var d DatasetSummary
		err := row.Scan(&d.Experiment, &d.Name, &d.Digest, &d.Context)
		all = append(all, d)
		return err
	}, `SELECT DISTINCT d.experiment, d.name, d.digest, COALESCE(i.context, '') FROM datasets d JOIN inputs i ON i.dataset = d.id
		WHERE d.experiment IN `+in+` ORDER BY 1, 2, 3, 4 LIMIT 1000`, ids...)
	return all, doing(err, "list datasets")
}

func anys[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}
