package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// CreateModel registers a model without versions. One of that name is Conflict,
// unless it was deleted: then it is there again, and its next version gets the
// number after its last.
func (s *Store) CreateModel(ctx context.Context, m ridgeline.RegisteredModel) error {
	const insert = `INSERT INTO models (name, project, description, created, updated) VALUES ($1, $2, $3, $4, $4) ON CONFLICT (name) DO NOTHING`
	const again = `UPDATE models SET project = COALESCE(project, $1), description = $2, created = $3, updated = $3, deleted = 0 WHERE name = $4 AND deleted <> 0`
	return s.doing(ctx, fmt.Sprintf("create model %s", m.Name), func(tx *Store) error {
		n, err := tx.tx.Exec(ctx, insert, m.Name, some(m.Project), m.Description, m.Created)
		if n == 0 && err == nil {
			n, err = tx.tx.Exec(ctx, again, some(m.Project), m.Description, m.Created, m.Name)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return ridgeline.Errorf(ridgeline.Conflict, "Registered Model (name=%s) already exists.", m.Name)
		}
		for key, value := range m.Tags {
			if err := tx.setTag(ctx, m.Name, 0, key, value); err != nil {
				return err
			}
		}
		return nil
	})
}

// some is a name for a column that is NULL for none.
func some[T ~string](name T) any {
	if name == "" {
		return nil
	}
	return string(name)
}

const selectModels = `SELECT m.name, COALESCE(m.project, ''), m.description, m.created, m.updated FROM models m`

func scanModel(row sqlq.Row) (m ridgeline.RegisteredModel, err error) {
	return m, row.Scan(&m.Name, &m.Project, &m.Description, asTime(&m.Created), asTime(&m.Updated))
}

// RegisteredModel returns the model with its tags and aliases.
func (s *Store) RegisteredModel(ctx context.Context, name ridgeline.ModelName) (ridgeline.RegisteredModel, error) {
	m, err := scanModel(s.q().QueryRow(ctx, selectModels+` WHERE m.name = $1 AND m.deleted = 0`, name))
	if absent(err) {
		return m, ridgeline.Errorf(ridgeline.NotFound, "Registered Model with name=%s not found", name)
	}
	if err != nil {
		return m, fmt.Errorf("read model %s: %w", name, err)
	}
	all := []ridgeline.RegisteredModel{m}
	err = s.describe(ctx, all)
	return all[0], err
}

// describe adds tags and aliases.
func (s *Store) describe(ctx context.Context, models []ridgeline.RegisteredModel) error {
	byName := map[ridgeline.ModelName]*ridgeline.RegisteredModel{}
	for i := range models {
		models[i].Tags, models[i].Aliases = map[string]string{}, map[string]int{}
		byName[models[i].Name] = &models[i]
	}
	return inBatches(pointers(models), func(batch []*ridgeline.RegisteredModel) error {
		var tags, aliases, kept filter
		names := make([]ridgeline.ModelName, len(batch))
		for i, m := range batch {
			names[i] = m.Name
		}
		in(&tags, "model", names)
		in(&aliases, "model", names)
		in(&kept, "m.name", names)
		query, args := tags.sql(`SELECT model, key, value FROM model_tags`, "model, key", 0)
		_, err := collect(ctx, s.q(), func(row sqlq.Row) (_ struct{}, err error) {
			var name ridgeline.ModelName
			var key, value string
			err = row.Scan(&name, &key, &value)
			byName[name].Tags[key] = value
			return struct{}{}, err
		}, query, args...)
		if err != nil {
			return fmt.Errorf("read the tags of models: %w", err)
		}
		alias := func(row sqlq.Row) (_ struct{}, err error) {
			var name ridgeline.ModelName
			var alias string
			var version int
			err = row.Scan(&name, &alias, &version)
			byName[name].Aliases[alias] = version
			return struct{}{}, err
		}
		query, args = aliases.sql(`SELECT model, alias, version FROM model_aliases`, "model, alias", 0)
		if _, err := collect(ctx, s.q(), alias, query, args...); err != nil {
			return fmt.Errorf("read the aliases of models: %w", err)
		}
		kept.and("v.alias IS NOT NULL")
		query, args = kept.sql(`SELECT m.name, v.alias, v.version FROM models m JOIN (`+gateAliases+`) v ON v.model = m.name`, "m.name", 0)
		if _, err := collect(ctx, s.q(), alias, query, args...); err != nil {
			return fmt.Errorf("read the aliases that the gate keeps: %w", err)
		}
		return nil
	})
}

// gateAliases are the champions, and the newest versions that have been judged
// since.
const gateAliases = `SELECT model, version, 'champion' AS alias FROM model_versions WHERE champion = 1
	UNION ALL SELECT j.model, MAX(j.version), 'challenger' FROM model_versions j
		WHERE j.run IS NOT NULL AND j.deleted = 0 AND j.champion = 0
		AND j.version > COALESCE((SELECT c.version FROM model_versions c WHERE c.model = j.model AND c.champion = 1), 0)
		GROUP BY j.model`

// changeModel locks a model, loads it, and lets change write.
func (s *Store) changeModel(ctx context.Context, what string, name ridgeline.ModelName, change func(tx *Store, m ridgeline.RegisteredModel) error) error {
	return s.doing(ctx, fmt.Sprintf("%s model %s", what, name), func(tx *Store) error {
		if _, err := tx.lock(ctx, "models", "name = $1", name); err != nil {
			return err
		}
		m, err := tx.RegisteredModel(ctx, name)
		if err != nil {
			return err
		}
		return change(tx, m)
	})
}

// DescribeModel gives the model another description.
func (s *Store) DescribeModel(ctx context.Context, name ridgeline.ModelName, description string, at time.Time) error {
	return s.changeModel(ctx, "describe", name, func(tx *Store, _ ridgeline.RegisteredModel) error {
		_, err := tx.tx.Exec(ctx, `UPDATE models SET description = $1, updated = $2 WHERE name = $3`, description, at, name)
		return err
	})
}

// RenameModel gives a model another name. One that belongs to a project, or of
// which a version has been judged, keeps its name, which is in images and in
// ridgeline.yaml: to rename it is Denied; to a name that is taken, Conflict.
func (s *Store) RenameModel(ctx context.Context, name, to ridgeline.ModelName, at time.Time) error {
	const judged = `SELECT COUNT(*) FROM model_reservations WHERE model = $1 AND run IS NOT NULL`
	const taken = `SELECT COUNT(*) FROM models WHERE name = $1`
	return s.changeModel(ctx, "rename", name, func(tx *Store, m ridgeline.RegisteredModel) error {
		var n int
		if err := tx.tx.QueryRow(ctx, judged, name).Scan(&n); err != nil {
			return err
		}
		if n > 0 || m.Project != "" {
			return ridgeline.Errorf(ridgeline.Denied, "model %s is made by the pipeline of project %s and keeps its name: another one is `model:` in that project's ridgeline.yaml, and copy_model_version copies a version of it", name, m.Project)
		}
		if name == to {
			return nil
		}
		if err := tx.tx.QueryRow(ctx, taken, to).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return ridgeline.Errorf(ridgeline.Conflict, "Registered Model (name=%s) already exists.", to)
		}
		if _, err := tx.tx.Exec(ctx, `UPDATE models SET name = $1, updated = $2 WHERE name = $3`, to, at, name); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, `UPDATE model_versions SET updated = $1 WHERE model = $2 AND deleted = 0`, at, to)
		return err
	})
}

// DeleteModel deletes a model with all its versions, of which each must be one
// that DeleteVersion deletes. One that a pipeline makes is Denied.
func (s *Store) DeleteModel(ctx context.Context, name ridgeline.ModelName, at time.Time) error {
	const judged = `SELECT COUNT(*) FROM model_reservations WHERE model = $1 AND run IS NOT NULL`
	return s.changeModel(ctx, "delete", name, func(tx *Store, m ridgeline.RegisteredModel) error {
		var n int
		if err := tx.tx.QueryRow(ctx, judged, name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return ridgeline.Errorf(ridgeline.Denied, "model %s is made by the pipeline of project %s, whose decisions rest on its versions: delete single versions instead", name, m.Project)
		}
		all, err := tx.ModelVersions(ctx, name)
		if err != nil {
			return err
		}
		for _, v := range all {
			if err := tx.DeleteVersion(ctx, name, v.Version, at); err != nil {
				return err
			}
		}
		if _, err := tx.tx.Exec(ctx, `DELETE FROM model_tags WHERE model = $1`, name); err != nil {
			return err
		}
		_, err = tx.tx.Exec(ctx, `UPDATE models SET deleted = $1, updated = $1, description = '' WHERE name = $2`, at, name)
		return err
	})
}

// TagModel sets a tag of the model or, with a version, of that version.
func (s *Store) TagModel(ctx context.Context, name ridgeline.ModelName, version int, key, value string) error {
	return s.changeTagged(ctx, name, version, func(tx *Store) error { return tx.setTag(ctx, name, version, key, value) })
}

// UntagModel removes a tag of the model or of a version, if it is there.
func (s *Store) UntagModel(ctx context.Context, name ridgeline.ModelName, version int, key string) error {
	return s.changeTagged(ctx, name, version, func(tx *Store) error {
		query, args := `DELETE FROM model_tags WHERE model = $1 AND key = $2`, []any{name, key}
		if version != 0 {
			query, args = `DELETE FROM model_version_tags WHERE model = $1 AND key = $2 AND version = $3`, append(args, version)
		}
		_, err := tx.tx.Exec(ctx, query, args...)
		return err
	})
}

func (s *Store) changeTagged(ctx context.Context, name ridgeline.ModelName, version int, change func(tx *Store) error) error {
	if version != 0 {
		return s.changeVersion(ctx, "tag", name, version, func(tx *Store, _ ridgeline.ModelVersion) error { return change(tx) })
	}
	return s.changeModel(ctx, "tag", name, func(tx *Store, _ ridgeline.RegisteredModel) error { return change(tx) })
}

func (s *Store) setTag(ctx context.Context, name ridgeline.ModelName, version int, key, value string) error {
	if version == 0 {
		_, err := s.tx.Exec(ctx, `INSERT INTO model_tags (model, key, value) VALUES ($1, $2, $3)
			ON CONFLICT (model, key) DO UPDATE SET value = excluded.value`, name, key, value)
		return err
	}
	_, err := s.tx.Exec(ctx, `INSERT INTO model_version_tags (model, version, key, value) VALUES ($1, $2, $3, $4)
		ON CONFLICT (model, version, key) DO UPDATE SET value = excluded.value`, name, version, key, value)
	return err
}

// SetAlias lets an alias name a version. One that the gate keeps is Denied.
func (s *Store) SetAlias(ctx context.Context, name ridgeline.ModelName, alias string, version int) error {
	const set = `INSERT INTO model_aliases (model, alias, version) VALUES ($1, $2, $3)
		ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version`
	return s.changeVersion(ctx, "set an alias of", name, version, func(tx *Store, _ ridgeline.ModelVersion) error {
		m, err := tx.RegisteredModel(ctx, name)
		if err != nil {
			return err
		}
		if err := m.KeepsAlias(alias); err != nil {
			return err
		}
		_, err = tx.tx.Exec(ctx, set, name, alias, version)
		return err
	})
}

// DeleteAlias forgets an alias, if it is there. One that the gate keeps is
// Denied.
func (s *Store) DeleteAlias(ctx context.Context, name ridgeline.ModelName, alias string) error {
	return s.changeModel(ctx, "delete an alias of", name, func(tx *Store, m ridgeline.RegisteredModel) error {
		if err := m.KeepsAlias(alias); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, `DELETE FROM model_aliases WHERE model = $1 AND alias = $2`, name, alias)
		return err
	})
}

// adopt makes a model that belongs to nobody a project's. The aliases of the
// gate are the gate's from then on.
func (s *Store) adopt(ctx context.Context, name ridgeline.ModelName, project ridgeline.ProjectName) error {
	if _, err := s.tx.Exec(ctx, `UPDATE models SET project = $1 WHERE name = $2`, project, name); err != nil {
		return err
	}
	if _, err := s.tx.Exec(ctx, `UPDATE model_versions SET project = $1 WHERE model = $2`, project, name); err != nil {
		return err
	}
	_, err := s.tx.Exec(ctx, `DELETE FROM model_aliases WHERE model = $1 AND alias IN ($2, $3)`, name, ridgeline.AliasChampion, ridgeline.AliasChallenger)
	return err
}

// AdoptModel says whose gate a model is for. One of another project is
// Conflict; twice is harmless.
func (s *Store) AdoptModel(ctx context.Context, name ridgeline.ModelName, project ridgeline.ProjectName) error {
	return s.doing(ctx, fmt.Sprintf("give model %s to project %s", name, project), func(tx *Store) error {
		return tx.lockModel(ctx, name, project)
	})
}

// deployedIn reports where a version is deployed or on its way.
func (s *Store) deployedIn(ctx context.Context, name ridgeline.ModelName, version int) (string, error) {
	const deployed = `SELECT project, environment FROM deployments WHERE model = $1 AND version = $2 AND state <> 'retired' ORDER BY project, environment`
	all, err := collect(ctx, s.q(), func(row sqlq.Row) (string, error) {
		var project, environment string
		err := row.Scan(&project, &environment)
		return project + "/" + environment, err
	}, deployed, name, version)
	if err != nil || len(all) > 0 {
		return strings.Join(all, ", "), err
	}
	var n int
	err = s.q().QueryRow(ctx, `SELECT COUNT(*) FROM releases WHERE model = $1 AND version = $2 AND status IN ('queued', 'running', 'waiting')`, name, version).Scan(&n)
	if n > 0 {
		return "a release that is under way", err
	}
	return "", err
}
