package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// ReserveVersion gives the run the next version number of the model, and makes
// the model, as one of the run's project, if there is none. The same run gets
// the same number again. A model of another project is Conflict.
func (s *Store) ReserveVersion(ctx context.Context, model ridgeline.ModelName, run ridgeline.RunID) (int, error) {
	const ensure = `INSERT INTO models (name, project, created, updated) VALUES ($1, $2, $3, $3) ON CONFLICT (name) DO UPDATE SET deleted = 0`
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
		if _, err := tx.tx.Exec(ctx, ensure, model, r.Project, time.Now()); err != nil {
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

// lockModel takes the row of a model that has to be of that project. One that
// was registered by hand and belongs to nobody becomes the project's.
func (s *Store) lockModel(ctx context.Context, model ridgeline.ModelName, project ridgeline.ProjectName) error {
	found, err := s.lock(ctx, "models", "name = $1", model)
	if err != nil {
		return err
	}
	if !found {
		return ridgeline.Errorf(ridgeline.NotFound, "no model %s", model)
	}
	var owner ridgeline.ProjectName
	if err := s.tx.QueryRow(ctx, `SELECT COALESCE(project, '') FROM models WHERE name = $1`, model).Scan(&owner); err != nil {
		return err
	}
	if owner == "" {
		return s.adopt(ctx, model, project)
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
// run or, of one that was registered by hand, what its run found out about it.
// It happens once: the same run again changes nothing, not even when another
// version has become champion since. A promoted or overridden version becomes
// the champion, and the champion until then stops being one, at the same
// instant. An override is audited. v.Champion is not looked at.
func (s *Store) RegisterVersion(ctx context.Context, v ridgeline.ModelVersion) error {
	return s.doing(ctx, fmt.Sprintf("register version %d of model %s", v.Version, v.Model), func(tx *Store) error {
		if err := tx.lockModel(ctx, v.Model, v.Project); err != nil {
			return err
		}
		there, err := tx.registered(ctx, v)
		if there || err != nil {
			return err
		}
		if v.Updated.IsZero() {
			v.Updated = v.Created
		}
		v.Champion = v.Verdict == ridgeline.Promoted || len(v.Overrides) > 0
		for _, o := range v.Overrides {
			if err := tx.audit(ctx, "override ("+o.How+")", versionPath(v.Model, v.Version), o.Who, o.Reason, o.At); err != nil {
				return err
			}
		}
		if v.Champion {
			if _, err := tx.tx.Exec(ctx, demote, v.Model); err != nil {
				return err
			}
		}
		if v.Source != ridgeline.ByHand {
			if _, err := tx.tx.Exec(ctx, insertVersion, v.Model, v.Version, ridgeline.ByPipeline, v.Created); err != nil {
				return err
			}
		}
		_, err = tx.tx.Exec(ctx, fillVersion, v.Project, v.Run, v.Pipeline, v.Commit, v.Environment, jsonText(v.Data),
			jsonText(v.Params), jsonText(v.Metrics), v.Artifact, v.Size, v.Image, v.Verdict, v.Report,
			v.Evidence.Settings, v.Evidence.Rows, v.Evidence.Trained, jsonText(v.Overrides), v.Champion,
			v.Framework, v.Signature, v.Lock, v.Python, v.TrackingRun, v.Updated, v.Model, v.Version)
		if err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, `UPDATE models SET updated = $1 WHERE name = $2`, v.Updated, v.Model); err != nil {
			return err
		}
		for key, value := range map[string]string{"ridgeline.run": string(v.Run), "ridgeline.verdict": string(v.Verdict), "ridgeline.commit": v.Commit} {
			if err := tx.setTag(ctx, v.Model, v.Version, key, value); err != nil {
				return err
			}
		}
		if v.Source != ridgeline.ByHand {
			if err := tx.emitVersion(ctx, ridgeline.EventModelRegistered, v); err != nil {
				return err
			}
		}
		if !v.Champion {
			return nil
		}
		return tx.emitVersion(ctx, ridgeline.EventModelPromoted, v)
	})
}

// A version's row begins with its number alone; what a run has found out about
// it fills it.
const (
	insertVersion = `INSERT INTO model_versions (model, version, source, pipeline, hash, environment, data, params, metrics, artifact, size, image,
			verdict, report, champion, created)
		VALUES ($1, $2, $3, 0, '', '', 'null', 'null', 'null', '', 0, '', '', '', 0, $4)`
	fillVersion = `UPDATE model_versions SET project = $1, run = $2, pipeline = $3, hash = $4, environment = $5, data = $6, params = $7, metrics = $8,
			artifact = $9, size = $10, image = $11, verdict = $12, report = $13, settings = $14, scored = $15, trained = $16, overrides = $17,
			champion = $18, framework = $19, signature = $20, lock = $21, python = $22, tracking_run = $23, updated = $24
		WHERE model = $25 AND version = $26`
)

// registered reports whether the version has been registered by its run, and
// refuses one that is not its run's.
func (s *Store) registered(ctx context.Context, v ridgeline.ModelVersion) (bool, error) {
	const exists = `SELECT COALESCE(run, ''), deleted FROM model_versions WHERE model = $1 AND version = $2`
	var run ridgeline.RunID
	var deleted int64
	err := s.tx.QueryRow(ctx, exists, v.Model, v.Version).Scan(&run, &deleted)
	if err != nil && !absent(err) {
		return false, err
	}
	if v.Source == ridgeline.ByHand {
		switch {
		case err != nil || deleted != 0:
			return false, ridgeline.Errorf(ridgeline.NotFound, "no version %d of model %s is registered any more", v.Version, v.Model)
		case run != "" && run != v.Run:
			return false, ridgeline.Errorf(ridgeline.Conflict, "version %d of model %s has been judged by run %s already", v.Version, v.Model, run)
		}
		return run == v.Run, nil
	}
	reserved, failed := s.reservation(ctx, v.Model, v.Run)
	switch {
	case failed != nil:
		return false, failed
	case reserved == 0:
		return false, ridgeline.Errorf(ridgeline.Conflict, "run %s has reserved no version of model %s: reserve one first", v.Run, v.Model)
	case reserved != v.Version:
		return false, ridgeline.Errorf(ridgeline.Conflict, "run %s has reserved version %d of model %s, not %d", v.Run, reserved, v.Model, v.Version)
	}
	return err == nil, nil
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

const selectVersions = `SELECT v.model, v.version, v.source, COALESCE(v.project, ''), COALESCE(v.run, ''), v.pipeline, v.hash, v.environment, v.data, v.params, v.metrics,
	v.artifact, v.size, v.image, v.verdict, v.report, v.settings, v.scored, v.trained, v.overrides, v.champion, v.created, v.framework, v.signature,
	v.caller, v.uri, v.folder, v.tracking_run, v.run_link, v.logged_model, v.description, v.stage, v.updated, v.lock, v.python FROM model_versions v`

func scanVersion(row sqlq.Row) (v ridgeline.ModelVersion, err error) {
	err = row.Scan(&v.Model, &v.Version, &v.Source, &v.Project, &v.Run, &v.Pipeline, &v.Commit, &v.Environment, asJSON(&v.Data), asJSON(&v.Params),
		asJSON(&v.Metrics), &v.Artifact, &v.Size, &v.Image, &v.Verdict, asBytes(&v.Report),
		asBytes(&v.Evidence.Settings), &v.Evidence.Rows, &v.Evidence.Trained, asJSON(&v.Overrides), asBool(&v.Champion), asTime(&v.Created),
		&v.Framework, asBytes(&v.Signature),
		&v.By, &v.URI, &v.Folder, &v.TrackingRun, &v.RunLink, &v.LoggedModel, &v.Description, &v.Stage, asTime(&v.Updated), &v.Lock, &v.Python)
	return v, err
}

// ModelVersion returns a registered version; version 0 is the newest.
func (s *Store) ModelVersion(ctx context.Context, model ridgeline.ModelName, version int) (ridgeline.ModelVersion, error) {
	var f filter
	f.and("v.deleted = 0")
	f.and("v.model = ?", model)
	if version != 0 {
		f.and("v.version = ?", version)
	}
	query, args := f.sql(selectVersions, "v.version DESC", 1)
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
	f.and("v.deleted = 0")
	order := "v.created DESC, v.model, v.version DESC"
	if model != "" {
		f.and("v.model = ?", model)
		order = "v.version DESC"
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
	v, err := scanVersion(s.q().QueryRow(ctx, selectVersions+` WHERE v.model = $1 AND v.champion = 1`, model))
	switch {
	case absent(err):
		return ridgeline.ModelVersion{}, false, nil
	case err != nil:
		return ridgeline.ModelVersion{}, false, fmt.Errorf("read the champion of model %s: %w", model, err)
	}
	return v, true, nil
}

// ArtifactFolders are the folders, among what training scripts have logged, that
// registered versions are in.
func (s *Store) ArtifactFolders(ctx context.Context) ([]string, error) {
	folders, err := collect(ctx, s.q(), func(row sqlq.Row) (folder string, err error) {
		err = row.Scan(&folder)
		return folder, err
	}, `SELECT DISTINCT folder FROM model_versions WHERE folder <> '' AND deleted = 0`)
	if err != nil {
		return nil, fmt.Errorf("read the folders of registered versions: %w", err)
	}
	return folders, nil
}
