package store

import (
	"context"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// ReserveVersion gives the run the next version number of the model, and makes
// the model, as one of the run's project, if there is none. The same run gets
// the same number again. A model of another project is Conflict.
func (s *Store) ReserveVersion(ctx context.Context, model ridgeline.ModelName, run ridgeline.RunID) (int, error) {
	const ensure = `INSERT INTO models (name, project) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	const raise = `UPDATE models SET reserved = reserved + 1 WHERE name = $1 RETURNING reserved`
	const insert = `INSERT INTO model_reservations (model, version, run) VALUES ($1, $2, $3)`
	if err := ridgeline.CheckName("model", string(model)); err != nil {
		return 0, err
	}
	var version int
	err := s.doing(ctx, fmt.Sprintf("reserve a version of model %s", model), func(tx *Store) error {
		r, err := tx.Run(ctx, run)
		if err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, ensure, model, r.Project); err != nil {
			return err
		}
		if err := tx.lockModel(ctx, model, r.Project); err != nil {
			return err
		}
		version, err = tx.reservation(ctx, model, run)
		if version != 0 || err != nil {
			return err
		}
		if err := tx.tx.QueryRow(ctx, raise, model).Scan(&version); err != nil {
			return err
		}
		_, err = tx.tx.Exec(ctx, insert, model, version, run)
		return err
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// lockModel takes the row of a model that has to be of that project.
func (s *Store) lockModel(ctx context.Context, model ridgeline.ModelName, project ridgeline.ProjectName) error {
	found, err := s.lock(ctx, "models", "name = $1", model)
	if err != nil {
		return err
	}
	if !found {
		return ridgeline.Errorf(ridgeline.NotFound, "no model %s", model)
	}
	var owner ridgeline.ProjectName
	if err := s.tx.QueryRow(ctx, `SELECT project FROM models WHERE name = $1`, model).Scan(&owner); err != nil {
		return err
	}
	if owner != project {
		return ridgeline.Errorf(ridgeline.Conflict, "model %s belongs to project %s, not %s: give this project's model another name", model, owner, project)
	}
	return nil
}

// reservation is the number the run has of the model, 0 when it has none.
func (s *Store) reservation(ctx context.Context, model ridgeline.ModelName, run ridgeline.RunID) (int, error) {
	var version int
	err := s.tx.QueryRow(ctx, `SELECT version FROM model_reservations WHERE model = $1 AND run = $2`, model, run).Scan(&version)
	if absent(err) {
		return 0, nil
	}
	return version, err
}

const demote = `UPDATE model_versions SET champion = 0 WHERE model = $1 AND champion = 1`

// RegisterVersion keeps the model version under the number reserved for its
// run. It happens once: the same run again changes nothing, not even when
// another version has become champion since. A promoted or overridden version
// becomes the champion, and the champion until then stops being one, at the
// same instant. An override is audited. v.Champion is not looked at.
func (s *Store) RegisterVersion(ctx context.Context, v ridgeline.ModelVersion) error {
	const exists = `SELECT version FROM model_versions WHERE model = $1 AND version = $2`
	const insert = `INSERT INTO model_versions (model, version, project, run, pipeline, hash, environment, data, params, metrics,
			artifact, size, image, verdict, report, settings, scored, trained, overrides, champion, created, framework, signature)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)`
	return s.doing(ctx, fmt.Sprintf("register version %d of model %s", v.Version, v.Model), func(tx *Store) error {
		if err := tx.lockModel(ctx, v.Model, v.Project); err != nil {
			return err
		}
		reserved, err := tx.reservation(ctx, v.Model, v.Run)
		switch {
		case err != nil:
			return err
		case reserved == 0:
			return ridgeline.Errorf(ridgeline.Conflict, "run %s has reserved no version of model %s: reserve one first", v.Run, v.Model)
		case reserved != v.Version:
			return ridgeline.Errorf(ridgeline.Conflict, "run %s has reserved version %d of model %s, not %d", v.Run, reserved, v.Model, v.Version)
		}
		var there int
		if err := tx.tx.QueryRow(ctx, exists, v.Model, v.Version).Scan(&there); !absent(err) {
			return err // nil: it is registered
		}
		v.Champion = v.Verdict == ridgeline.Promoted || len(v.Overrides) > 0
		for _, o := range v.Overrides {
			if err := tx.auditOverride(ctx, v.Model, v.Version, o); err != nil {
				return err
			}
		}
		if v.Champion {
			if _, err := tx.tx.Exec(ctx, demote, v.Model); err != nil {
				return err
			}
		}
		_, err = tx.tx.Exec(ctx, insert, v.Model, v.Version, v.Project, v.Run, v.Pipeline, v.Commit, v.Environment, jsonText(v.Data),
			jsonText(v.Params), jsonText(v.Metrics), v.Artifact, v.Size, v.Image, v.Verdict, v.Report,
			v.Evidence.Settings, v.Evidence.Rows, v.Evidence.Trained, jsonText(v.Overrides), v.Champion, v.Created,
			v.Framework, v.Signature)
		if err != nil {
			return err
		}
		if err := tx.emitVersion(ctx, ridgeline.EventModelRegistered, v); err != nil || !v.Champion {
			return err
		}
		return tx.emitVersion(ctx, ridgeline.EventModelPromoted, v)
	})
}

// SetVersionImage notes the image made of a registered version. Another one
// than is noted already is Conflict.
func (s *Store) SetVersionImage(ctx context.Context, model ridgeline.ModelName, version int, image string) error {
	const update = `UPDATE model_versions SET image = $1 WHERE model = $2 AND version = $3`
	return s.doing(ctx, fmt.Sprintf("set the image of version %d of model %s", version, model), func(tx *Store) error {
		if _, err := tx.lock(ctx, "models", "name = $1", model); err != nil {
			return err
		}
		if version == 0 {
			return ridgeline.Errorf(ridgeline.Invalid, "model %s: expected a version from 1 on, got 0", model)
		}
		v, err := tx.ModelVersion(ctx, model, version)
		switch {
		case err != nil:
			return err
		case v.Image != "" && v.Image != image:
			return ridgeline.Errorf(ridgeline.Conflict, "version %d of model %s has image %s already, not %s", version, model, v.Image, image)
		}
		_, err = tx.tx.Exec(ctx, update, image, model, version)
		return err
	})
}

const selectVersions = `SELECT model, version, project, run, pipeline, hash, environment, data, params, metrics,
	artifact, size, image, verdict, report, settings, scored, trained, overrides, champion, created, framework, signature FROM model_versions`

func scanVersion(row sqlq.Row) (v ridgeline.ModelVersion, err error) {
	err = row.Scan(&v.Model, &v.Version, &v.Project, &v.Run, &v.Pipeline, &v.Commit, &v.Environment, asJSON(&v.Data), asJSON(&v.Params),
		asJSON(&v.Metrics), &v.Artifact, &v.Size, &v.Image, &v.Verdict, asBytes(&v.Report),
		asBytes(&v.Evidence.Settings), &v.Evidence.Rows, &v.Evidence.Trained, asJSON(&v.Overrides), asBool(&v.Champion), asTime(&v.Created),
		&v.Framework, asBytes(&v.Signature))
	return v, err
}

// ModelVersion returns a registered version; version 0 is the newest.
func (s *Store) ModelVersion(ctx context.Context, model ridgeline.ModelName, version int) (ridgeline.ModelVersion, error) {
	var f filter
	f.and("model = ?", model)
	if version != 0 {
		f.and("version = ?", version)
	}
	query, args := f.sql(selectVersions, "version DESC", 1)
	v, err := scanVersion(s.q().QueryRow(ctx, query, args...))
	switch {
	case absent(err) && version == 0:
		return v, ridgeline.Errorf(ridgeline.NotFound, "no version of model %s is registered", model)
	case absent(err):
		return v, ridgeline.Errorf(ridgeline.NotFound, "no version %d of model %s is registered", version, model)
	case err != nil:
		return v, fmt.Errorf("read version %d of model %s: %w", version, model, err)
	}
	return v, nil
}

// ModelVersions returns the model's versions, newest first; of all models when
// model is empty.
func (s *Store) ModelVersions(ctx context.Context, model ridgeline.ModelName) ([]ridgeline.ModelVersion, error) {
	var f filter
	order := "created DESC, model, version DESC"
	if model != "" {
		f.and("model = ?", model)
		order = "version DESC"
	}
	query, args := f.sql(selectVersions, order, 0)
	all, err := collect(ctx, s.q(), scanVersion, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list model versions: %w", err)
	}
	return all, nil
}

// Champion returns the model's champion, and whether it has one.
func (s *Store) Champion(ctx context.Context, model ridgeline.ModelName) (ridgeline.ModelVersion, bool, error) {
	v, err := scanVersion(s.q().QueryRow(ctx, selectVersions+` WHERE model = $1 AND champion = 1`, model))
	switch {
	case absent(err):
		return ridgeline.ModelVersion{}, false, nil
	case err != nil:
		return ridgeline.ModelVersion{}, false, fmt.Errorf("read the champion of model %s: %w", model, err)
	}
	return v, true, nil
}
