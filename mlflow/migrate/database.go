package migrate

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math"
	"strconv"

	_ "modernc.org/sqlite" // the driver
)

// database is the SQLite file of an MLflow server, in the tables of MLflow 2
// and 3 (mlflow/store/tracking/dbmodels/models.py). It is only read.
type database struct {
	db     *sql.DB
	files  disk
	tables map[string]bool
}

func newDatabase(ctx context.Context, path, artifacts string) (*database, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	d := &database{db: db, files: disk{base: ".", artifacts: artifacts}, tables: map[string]bool{}}
	err = d.rows(ctx, `SELECT name FROM sqlite_master WHERE type = 'table'`, nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		d.tables[name] = true
		return err
	})
	if err == nil && !(d.tables["experiments"] && d.tables["runs"] && d.tables["metrics"]) {
		err = fmt.Errorf("%s has no tables experiments, runs and metrics: name the database that mlflow's --backend-store-uri names", path)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open MLflow's database: %w", err)
	}
	return d, nil
}

func (d *database) Close() error { return d.db.Close() }

// rows calls take for each row.
func (d *database) rows(ctx context.Context, query string, args []any, take func(scan func(...any) error) error) error {
	rows, err := d.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (d *database) pairs(ctx context.Context, query string, args ...any) (all []Pair, err error) {
	err = d.rows(ctx, query, args, func(scan func(...any) error) error {
		var p Pair
		err := scan(&p.Key, &p.Value)
		all = append(all, p)
		return err
	})
	return all, err
}

func (d *database) Experiments(ctx context.Context) (all []Experiment, err error) {
	err = d.rows(ctx, `SELECT CAST(experiment_id AS TEXT), name, lifecycle_stage, COALESCE(creation_time, 0) FROM experiments ORDER BY experiment_id`, nil, func(scan func(...any) error) error {
		var e Experiment
		err := scan(&e.ID, &e.Name, &e.Stage, &e.Created)
		all = append(all, e)
		return err
	})
	for i, e := range all {
		if err == nil && d.tables["experiment_tags"] {
			all[i].Tags, err = d.pairs(ctx, `SELECT key, COALESCE(value, '') FROM experiment_tags WHERE experiment_id = ? ORDER BY key`, e.ID)
		}
	}
	return all, err
}

func (d *database) Runs(ctx context.Context, experiment string, take func(Run) error) error {
	var all []Run
	err := d.rows(ctx, `SELECT run_uuid, COALESCE(name, ''), COALESCE(user_id, ''), status, COALESCE(start_time, 0), COALESCE(end_time, 0), lifecycle_stage, COALESCE(artifact_uri, '')
		FROM runs WHERE experiment_id = ? ORDER BY start_time, run_uuid`, []any{experiment}, func(scan func(...any) error) error {
		r := Run{Info: Info{Experiment: experiment}}
		err := scan(&r.Info.ID, &r.Info.Name, &r.Info.User, &r.Info.Status, &r.Info.Started, &r.Info.Ended, &r.Info.Stage, &r.Info.ArtifactURI)
		all = append(all, r)
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		if err := d.fill(ctx, &r); err != nil {
			return fmt.Errorf("read run %s: %w", r.Info.ID, err)
		}
		if err := take(r); err != nil {
			return err
		}
	}
	return nil
}

// fill reads what a run logged.
func (d *database) fill(ctx context.Context, r *Run) (err error) {
	id := r.Info.ID
	if r.Data.Params, err = d.pairs(ctx, `SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key`, id); err != nil {
		return err
	}
	if r.Data.Tags, err = d.pairs(ctx, `SELECT key, COALESCE(value, '') FROM tags WHERE run_uuid = ? ORDER BY key`, id); err != nil {
		return err
	}
	if r.Data.Metrics, err = d.metrics(ctx, `SELECT key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid = ? ORDER BY key`, id); err != nil {
		return err
	}
	if !d.tables["inputs"] {
		return nil
	}
	var uses []string
	err = d.rows(ctx, `SELECT i.input_uuid, s.name, s.digest, s.dataset_source_type, s.dataset_source, COALESCE(s.dataset_schema, ''), COALESCE(s.dataset_profile, '')
		FROM inputs i JOIN datasets s ON s.dataset_uuid = i.source_id WHERE i.destination_id = ? AND i.source_type = 'DATASET'`, []any{id}, func(scan func(...any) error) error {
		var use string
		var s Dataset
		err := scan(&use, &s.Name, &s.Digest, &s.SourceType, &s.Source, &s.Schema, &s.Profile)
		uses, r.Inputs.Datasets = append(uses, use), append(r.Inputs.Datasets, DatasetInput{Dataset: s})
		return err
	})
	for i, use := range uses {
		if err == nil {
			r.Inputs.Datasets[i].Tags, err = d.pairs(ctx, `SELECT name, value FROM input_tags WHERE input_uuid = ? ORDER BY name`, use)
		}
	}
	if err != nil || !d.tables["logged_models"] {
		return err
	}
	return d.rows(ctx, `SELECT source_type, destination_id, step FROM inputs WHERE source_id = ? AND source_type IN ('RUN_INPUT', 'RUN_OUTPUT')`, []any{id}, func(scan func(...any) error) error {
		var kind string
		var m ModelRef
		err := scan(&kind, &m.Model, &m.Step)
		if kind == "RUN_INPUT" {
			r.Inputs.Models = append(r.Inputs.Models, ModelRef{Model: m.Model})
		} else {
			r.Outputs.Models = append(r.Outputs.Models, m)
		}
		return err
	})
}

func (d *database) metrics(ctx context.Context, query string, args ...any) (all []Metric, err error) {
	err = d.rows(ctx, query, args, func(scan func(...any) error) error {
		var m Metric
		var value float64
		var nan bool
		err := scan(&m.Key, &value, &m.Time, &m.Step, &nan)
		if m.Value = Float(value); nan {
			m.Value = Float(math.NaN())
		}
		all = append(all, m)
		return err
	})
	return all, err
}

func (d *database) History(ctx context.Context, run Run, key string) ([]Metric, error) {
	return d.metrics(ctx, `SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step, timestamp`, run.Info.ID, key)
}

func (d *database) Models(ctx context.Context, experiment string) (all []Model, err error) {
	if !d.tables["logged_models"] {
		return nil, nil
	}
	err = d.rows(ctx, `SELECT model_id, name, artifact_location, creation_timestamp_ms, status, COALESCE(model_type, ''), COALESCE(source_run_id, '')
		FROM logged_models WHERE experiment_id = ? AND lifecycle_stage = 'active' ORDER BY creation_timestamp_ms`, []any{experiment}, func(scan func(...any) error) error {
		m := Model{Info: ModelInfo{Experiment: experiment}}
		var status int64
		err := scan(&m.Info.ID, &m.Info.Name, &m.Info.ArtifactURI, &m.Info.Created, &status, &m.Info.Type, &m.Info.SourceRun)
		m.Info.Status = modelStatus(status)
		all = append(all, m)
		return err
	})
	for i := range all {
		m := &all[i]
		if err == nil {
			m.Data.Params, err = d.pairs(ctx, `SELECT param_key, param_value FROM logged_model_params WHERE model_id = ? ORDER BY param_key`, m.Info.ID)
		}
		if err == nil {
			m.Info.Tags, err = d.pairs(ctx, `SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ? ORDER BY tag_key`, m.Info.ID)
		}
		if err == nil {
			m.Data.Metrics, err = d.modelMetrics(ctx, m.Info.ID)
		}
	}
	return all, err
}

func (d *database) modelMetrics(ctx context.Context, id string) (all []Metric, err error) {
	err = d.rows(ctx, `SELECT metric_name, metric_timestamp_ms, metric_step, metric_value, run_id, COALESCE(dataset_name, ''), COALESCE(dataset_digest, '')
		FROM logged_model_metrics WHERE model_id = ?`, []any{id}, func(scan func(...any) error) error {
		m := Metric{Model: id}
		var value sql.NullFloat64
		err := scan(&m.Key, &m.Time, &m.Step, &value, &m.Run, &m.DatasetName, &m.DatasetDigest)
		if m.Value = Float(value.Float64); !value.Valid {
			m.Value = Float(math.NaN()) // SQLite's spelling of it
		}
		all = append(all, m)
		return err
	})
	return all, err
}

// modelStatus is a logged model's status by its number in MLflow's protocol.
func modelStatus(n int64) string {
	switch n {
	case 1:
		return "LOGGED_MODEL_PENDING"
	case 3:
		return "LOGGED_MODEL_UPLOAD_FAILED"
	}
	return "LOGGED_MODEL_READY"
}

func (d *database) Files(_ context.Context, at Place) ([]File, error) { return d.files.files(at.URI) }

func (d *database) Open(_ context.Context, at Place, path string) (io.ReadCloser, error) {
	return d.files.open(at.URI, path)
}

func (d *database) Registered(ctx context.Context) (all []Registered, err error) {
	if !d.tables["registered_models"] {
		return nil, nil
	}
	var names []Registered
	err = d.rows(ctx, `SELECT name, COALESCE(creation_time, 0), COALESCE(last_updated_time, 0), COALESCE(description, '') FROM registered_models ORDER BY name`, nil, func(scan func(...any) error) error {
		var m Registered
		err := scan(&m.Name, &m.Created, &m.Updated, &m.Description)
		names = append(names, m)
		return err
	})
	for _, m := range names {
		if err == nil {
			m.Tags, err = d.pairs(ctx, `SELECT key, COALESCE(value, '') FROM registered_model_tags WHERE name = ? ORDER BY key`, m.Name)
		}
		if err == nil && d.tables["registered_model_aliases"] {
			m.Aliases, err = d.aliases(ctx, m.Name)
		}
		if err == nil {
			m.Versions, err = d.versions(ctx, m.Name)
		}
		if !isPrompt(m.Tags) {
			all = append(all, m)
		}
	}
	return all, err
}

func (d *database) aliases(ctx context.Context, name string) (all []Alias, err error) {
	found, err := d.pairs(ctx, `SELECT alias, CAST(version AS TEXT) FROM registered_model_aliases WHERE name = ? ORDER BY alias`, name)
	for _, p := range found {
		n, _ := strconv.Atoi(p.Value) // a number in the table
		all = append(all, Alias{p.Key, Number(n)})
	}
	return all, err
}

func (d *database) versions(ctx context.Context, name string) (all []Version, err error) {
	err = d.rows(ctx, `SELECT version, COALESCE(creation_time, 0), COALESCE(last_updated_time, 0), COALESCE(description, ''), COALESCE(current_stage, 'None'), COALESCE(source, ''), COALESCE(run_id, '')
		FROM model_versions WHERE name = ? AND current_stage <> 'Deleted_Internal' ORDER BY version`, []any{name}, func(scan func(...any) error) error {
		v := Version{Name: name}
		err := scan(&v.Version, &v.Created, &v.Updated, &v.Description, &v.Stage, &v.Source, &v.Run)
		all = append(all, v)
		return err
	})
	for i, v := range all {
		if err == nil {
			all[i].Tags, err = d.pairs(ctx, `SELECT key, COALESCE(value, '') FROM model_version_tags WHERE name = ? AND version = ? ORDER BY key`, name, v.Version)
		}
	}
	return all, err
}
