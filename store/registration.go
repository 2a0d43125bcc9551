package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A Registering asks for a version that was not made by a run.
type Registering struct {
	// Version says what is known of it: Model, Params, Metrics, and all of its
	// Registration. Its number is the next one of the model unless it has one,
	// which an import keeps: then the version of that number, if it is there, is
	// taken for the same. Created is now unless it has one.
	Version ridgeline.ModelVersion
	// Aliases name the version; the gate's are left out.
	Aliases []string
	// Request is a digest of what a client sent, and Process names who answers:
	// the same request is about the same version when its answer may not have
	// arrived. Both may be empty.
	Request, Process string
}

// repeated is how long a client may ask again for what it got no answer to.
const repeated = 10 * time.Minute

// RegisterManual registers a version by hand. Its model has to be there.
// Numbers are given out once, in order, without gaps.
func (s *Store) RegisterManual(ctx context.Context, r Registering) (ridgeline.ModelVersion, error) {
	v := r.Version
	err := s.doing(ctx, fmt.Sprintf("register a version of model %s", v.Model), func(tx *Store) error {
		return tx.changeModel(ctx, "register a version of", v.Model, func(tx *Store, m ridgeline.RegisteredModel) error {
			number, err := tx.registeredBefore(ctx, r)
			if err != nil {
				return err
			}
			if number == 0 {
				if number, err = tx.insertManual(ctx, r, m); err != nil {
					return err
				}
			}
			v, err = tx.RegisteredVersion(ctx, v.Model, number)
			return err
		})
	})
	return v, err
}

// registeredBefore is the number of the version that an earlier, lost answer
// was about, or that an import has brought; 0 for none.
func (s *Store) registeredBefore(ctx context.Context, r Registering) (number int, err error) {
	if r.Version.Version != 0 {
		err = s.tx.QueryRow(ctx, `SELECT version FROM model_versions WHERE model = $1 AND version = $2`, r.Version.Model, r.Version.Version).Scan(&number)
	} else if r.Request != "" {
		const lost = `SELECT version FROM model_versions WHERE model = $1 AND request = $2 AND process <> $3 AND created > $4 AND deleted = 0 ORDER BY version LIMIT 1`
		err = s.tx.QueryRow(ctx, lost, r.Version.Model, r.Request, r.Process, time.Now().Add(-repeated)).Scan(&number)
		if err == nil {
			_, err = s.tx.Exec(ctx, `UPDATE model_versions SET process = $1 WHERE model = $2 AND version = $3`, r.Process, r.Version.Model, number)
		}
	}
	if absent(err) {
		return 0, nil
	}
	return number, err
}

func (s *Store) insertManual(ctx context.Context, r Registering, m ridgeline.RegisteredModel) (int, error) {
	const raise = `UPDATE models SET reserved = CASE WHEN $1 = 0 THEN reserved + 1 WHEN $1 > reserved THEN $1 ELSE reserved END, updated = $2
		WHERE name = $3 RETURNING reserved`
	const fill = `UPDATE model_versions SET project = $1, params = $2, metrics = $3, size = $4, caller = $5, uri = $6, folder = $7, tracking_run = $8, run_link = $9,
		logged_model = $10, description = $11, stage = $12, updated = $13, request = $14, process = $15 WHERE model = $16 AND version = $17`
	v := r.Version
	if v.Created.IsZero() {
		v.Created = time.Now()
	}
	if v.Updated.IsZero() {
		v.Updated = v.Created
	}
	var highest int
	if err := s.tx.QueryRow(ctx, raise, int64(v.Version), v.Updated, v.Model).Scan(&highest); err != nil {
		return 0, err
	}
	if v.Version == 0 {
		v.Version = highest
	}
	if _, err := s.tx.Exec(ctx, `INSERT INTO model_reservations (model, version) VALUES ($1, $2)`, v.Model, v.Version); err != nil {
		return 0, err
	}
	if _, err := s.tx.Exec(ctx, insertVersion, v.Model, v.Version, ridgeline.ByHand, v.Created); err != nil {
		return 0, err
	}
	_, err := s.tx.Exec(ctx, fill, some(m.Project), jsonText(v.Params), jsonText(v.Metrics), v.Size, v.By, v.URI, v.Folder, v.TrackingRun, v.RunLink, v.LoggedModel,
		v.Description, v.Stage, v.Updated, r.Request, r.Process, v.Model, v.Version)
	if err != nil {
		return 0, err
	}
	for key, value := range v.Tags {
		if err := s.setTag(ctx, v.Model, v.Version, key, value); err != nil {
			return 0, err
		}
	}
	for _, alias := range r.Aliases {
		if m.KeepsAlias(alias) == nil {
			if err := s.SetAlias(ctx, v.Model, alias, v.Version); err != nil {
				return 0, err
			}
		}
	}
	v.Project, v.Source = m.Project, ridgeline.ByHand
	return v.Version, s.emitVersion(ctx, ridgeline.EventModelRegistered, v)
}

// Answered notes that the answer about a version has been sent, or that it
// could not be: then the same request again is about the same version.
func (s *Store) Answered(ctx context.Context, model ridgeline.ModelName, version int, sent bool) error {
	update := `UPDATE model_versions SET process = '' WHERE model = $1 AND version = $2`
	if sent {
		update = `UPDATE model_versions SET request = '', process = '' WHERE model = $1 AND version = $2`
	}
	return s.doing(ctx, fmt.Sprintf("note the answer about version %d of model %s", version, model), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, update, model, version)
		return err
	})
}

// RegisteredVersion returns a version with its tags and aliases.
func (s *Store) RegisteredVersion(ctx context.Context, model ridgeline.ModelName, version int) (ridgeline.ModelVersion, error) {
	none := ridgeline.Errorf(ridgeline.NotFound, "Model Version (name=%s, version=%d) not found", model, version)
	if version <= 0 {
		return ridgeline.ModelVersion{}, none
	}
	v, err := s.ModelVersion(ctx, model, version)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return v, none
	}
	if err != nil {
		return v, err
	}
	m, err := s.RegisteredModel(ctx, model)
	if err != nil {
		return v, err
	}
	for alias, named := range m.Aliases {
		if named == version {
			v.Aliases = append(v.Aliases, alias)
		}
	}
	slices.Sort(v.Aliases)
	all := []ridgeline.ModelVersion{v}
	err = s.tagVersions(ctx, all)
	return all[0], err
}

// tagVersions adds the tags.
func (s *Store) tagVersions(ctx context.Context, versions []ridgeline.ModelVersion) error {
	type key struct {
		model   ridgeline.ModelName
		version int
	}
	byKey := map[key]*ridgeline.ModelVersion{}
	for i := range versions {
		versions[i].Tags = map[string]string{}
		byKey[key{versions[i].Model, versions[i].Version}] = &versions[i]
	}
	return inBatches(pointers(versions), func(batch []*ridgeline.ModelVersion) error {
		var f filter
		var names []ridgeline.ModelName
		for _, v := range batch {
			if !slices.Contains(names, v.Model) {
				names = append(names, v.Model)
			}
		}
		in(&f, "model", names)
		query, args := f.sql(`SELECT model, version, key, value FROM model_version_tags`, "model, version, key", 0)
		_, err := collect(ctx, s.q(), func(row sqlq.Row) (_ struct{}, err error) {
			var k key
			var tag, value string
			err = row.Scan(&k.model, &k.version, &tag, &value)
			if v := byKey[k]; v != nil {
				v.Tags[tag] = value
			}
			return struct{}{}, err
		}, query, args...)
		if err != nil {
			return fmt.Errorf("read the tags of model versions: %w", err)
		}
		return nil
	})
}

// changeVersion locks the version's model, loads the version, and lets change
// write.
func (s *Store) changeVersion(ctx context.Context, what string, model ridgeline.ModelName, version int, change func(tx *Store, v ridgeline.ModelVersion) error) error {
	return s.doing(ctx, fmt.Sprintf("%s version %d of model %s", what, version, model), func(tx *Store) error {
		if _, err := tx.lock(ctx, "models", "name = $1", model); err != nil {
			return err
		}
		v, err := tx.RegisteredVersion(ctx, model, version)
		if err != nil {
			return err
		}
		return change(tx, v)
	})
}

// DescribeVersion gives a version another description.
func (s *Store) DescribeVersion(ctx context.Context, model ridgeline.ModelName, version int, description string, at time.Time) error {
	return s.changeVersion(ctx, "describe", model, version, func(tx *Store, _ ridgeline.ModelVersion) error {
		_, err := tx.tx.Exec(ctx, `UPDATE model_versions SET description = $1, updated = $2 WHERE model = $3 AND version = $4`, description, at, model, version)
		return err
	})
}

// StageVersion gives a version another stage, which is a label and moves
// nothing; with archive, what had that stage before becomes "Archived".
func (s *Store) StageVersion(ctx context.Context, model ridgeline.ModelName, version int, stage string, archive bool, at time.Time) error {
	const others = `UPDATE model_versions SET stage = 'Archived', updated = $1 WHERE model = $2 AND version <> $3 AND stage = $4 AND deleted = 0`
	return s.changeVersion(ctx, "stage", model, version, func(tx *Store, _ ridgeline.ModelVersion) error {
		if archive {
			if _, err := tx.tx.Exec(ctx, others, at, model, version, stage); err != nil {
				return err
			}
		}
		if _, err := tx.tx.Exec(ctx, `UPDATE model_versions SET stage = $1, updated = $2 WHERE model = $3 AND version = $4`, stage, at, model, version); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, `UPDATE models SET updated = $1 WHERE name = $2`, at, model)
		return err
	})
}

// DeleteVersion deletes a version: it is not found any more, and its number is
// not given out again. What the gate decided by it stays. The champion, a
// version that answers requests and one on its way there are Conflict.
func (s *Store) DeleteVersion(ctx context.Context, model ridgeline.ModelName, version int, at time.Time) error {
	return s.changeVersion(ctx, "delete", model, version, func(tx *Store, v ridgeline.ModelVersion) error {
		where, err := tx.deployedIn(ctx, model, version)
		switch {
		case err != nil:
			return err
		case where != "":
			return ridgeline.Errorf(ridgeline.Conflict, "version %d of model %s is live in %s: release another version there first", version, model, where)
		case v.Champion:
			return ridgeline.Errorf(ridgeline.Conflict, "version %d is the champion of model %s, which the next one is compared with: promote another version first (`ridgeline promote %s:VERSION --reason …`)", version, model, model)
		}
		if _, err := tx.tx.Exec(ctx, `DELETE FROM model_aliases WHERE model = $1 AND version = $2`, model, version); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, `UPDATE model_versions SET deleted = $1, updated = $1 WHERE model = $2 AND version = $3`, at, model, version); err != nil {
			return err
		}
		_, err = tx.tx.Exec(ctx, `UPDATE models SET updated = $1 WHERE name = $2`, at, model)
		return err
	})
}

// SetVersionFolder notes where a version's files are among the artifacts.
func (s *Store) SetVersionFolder(ctx context.Context, model ridgeline.ModelName, version int, folder string) error {
	return s.changeVersion(ctx, "note the folder of", model, version, func(tx *Store, _ ridgeline.ModelVersion) error {
		_, err := tx.tx.Exec(ctx, `UPDATE model_versions SET folder = $1 WHERE model = $2 AND version = $3`, folder, model, version)
		return err
	})
}

// SetVersionEnvironment notes the locked environment that a version registered
// by hand asks for.
func (s *Store) SetVersionEnvironment(ctx context.Context, model ridgeline.ModelName, version int, hash, lock, python string) error {
	return s.changeVersion(ctx, "note the environment of", model, version, func(tx *Store, _ ridgeline.ModelVersion) error {
		_, err := tx.tx.Exec(ctx, `UPDATE model_versions SET environment = $1, lock = $2, python = $3 WHERE model = $4 AND version = $5`, hash, lock, python, model, version)
		return err
	})
}

// LockOf returns the locked environment of that hash of a version that was
// registered by hand.
func (s *Store) LockOf(ctx context.Context, environment string) (lock, python string, err error) {
	const query = `SELECT lock, python FROM model_versions WHERE environment = $1 AND lock <> '' LIMIT 1`
	err = s.q().QueryRow(ctx, query, environment).Scan(&lock, &python)
	if absent(err) {
		return "", "", ridgeline.Errorf(ridgeline.NotFound, "no model version has environment %s", environment)
	}
	return lock, python, err
}

// HasFiles reports whether a version of a project's models has its files in that
// folder among the artifacts, or below it.
func (s *Store) HasFiles(ctx context.Context, p ridgeline.ProjectName, folder string) (has bool, err error) {
	const query = `SELECT count(*) FROM model_versions v JOIN models m ON m.name = v.model
		WHERE m.project = $1 AND v.deleted = 0 AND (v.folder = $2 OR substr(v.folder, 1, $3) = $4)`
	var n int
	err = s.q().QueryRow(ctx, query, p, folder, len(folder)+1, folder+"/").Scan(&n)
	if err != nil {
		return false, fmt.Errorf("find whose the files %s are: %w", folder, err)
	}
	return n > 0, nil
}
