package track

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// The statuses of a logged model.
const (
	ModelPending = "LOGGED_MODEL_PENDING"
	ModelReady   = "LOGGED_MODEL_READY"
	ModelFailed  = "LOGGED_MODEL_UPLOAD_FAILED"
)

// A Model is what MLflow 3 calls a logged model: files that a run has made, with
// params, tags and metrics of their own.
type Model struct {
	ID                                                        string
	Experiment                                                int64
	Name, ArtifactURI, Status, StatusMessage, Type, SourceRun string
	Stage                                                     string
	Created, Updated                                          int64 // milliseconds
	Params, Tags                                              []Pair
	Metrics                                                   []ModelMetric
}

// A ModelMetric is a point of a logged model, and the run that logged it.
type ModelMetric struct {
	Metric
	Run string
}

// CreateModel makes a pending logged model in an active experiment. Its Name may
// be empty, and so may ID and Created; of the rest it takes Experiment, Type,
// SourceRun, Params and Tags. One that has the ID already is returned as it is.
func (s *Store) CreateModel(ctx context.Context, m Model) (Model, error) {
	if m.ID != "" {
		if old, err := s.Model(ctx, m.ID); ridgeline.CodeOf(err) != ridgeline.NotFound {
			return old, err
		}
	}
	m.ID = cmp.Or(m.ID, "m-"+newID())
	m.Status, m.Stage, m.Created = ModelPending, Active, cmp.Or(m.Created, now())
	m.Updated = m.Created
	if m.Name == "" {
		m.Name = madeUpName()
	}
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		e, err := experiment(ctx, q, m.Experiment)
		if err != nil {
			return err
		}
		if err := e.mustBeActive(); err != nil {
			return err
		}
		m.ArtifactURI = strings.TrimSuffix(e.ArtifactLocation, "/") + "/models/" + m.ID + "/artifacts"
		const insert = `INSERT INTO models (id, experiment, name, artifact_uri, status, status_message, model_type, source_run, stage, created, updated)
			VALUES ($1, $2, $3, $4, $5, '', $6, $7, 'active', $8, $8)`
		if _, err := q.Exec(ctx, insert, m.ID, m.Experiment, clean(m.Name), m.ArtifactURI, m.Status, clean(m.Type), clean(m.SourceRun), m.Created); err != nil {
			return err
		}
		if err := putPairs(ctx, q, "model_params", "model", m.ID, m.Params); err != nil {
			return err
		}
		return putPairs(ctx, q, "model_tags", "model", m.ID, m.Tags)
	})
	return m, doing(err, "create a logged model")
}

const selectModel = `SELECT m.id, m.experiment, m.name, m.artifact_uri, m.status, m.status_message, m.model_type, m.source_run, m.stage, m.created, m.updated FROM models m`

func scanModel(row sqlq.Row) (m Model, err error) {
	err = row.Scan(&m.ID, &m.Experiment, &m.Name, &m.ArtifactURI, &m.Status, &m.StatusMessage, &m.Type, &m.SourceRun, &m.Stage, &m.Created, &m.Updated)
	return m, err
}

func modelByID(ctx context.Context, q sqlq.Querier, id string) (Model, error) {
	m, err := scanModel(q.QueryRow(ctx, selectModel+` WHERE m.id = $1`, clean(id)))
	if errors.Is(err, sql.ErrNoRows) {
		err = ridgeline.Errorf(ridgeline.NotFound, "Logged model with ID '%s' not found.", id)
	}
	return m, err
}

// Model returns a logged model that is not deleted.
func (s *Store) Model(ctx context.Context, id string) (Model, error) {
	m, err := modelByID(ctx, s.db.Reader(), id)
	if err == nil && m.Stage == Deleted {
		err = ridgeline.Errorf(ridgeline.NotFound, "Logged model with ID '%s' not found.", id)
	}
	if err != nil {
		return m, doing(err, "read logged model %s", id)
	}
	all := []Model{m}
	err = fillModels(ctx, s.db.Reader(), all)
	return all[0], doing(err, "read logged model %s", id)
}

func (s *Store) changeModel(ctx context.Context, id string, change func(q sqlq.Querier) error) error {
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		if _, err := modelByID(ctx, q, id); err != nil {
			return err
		}
		return change(q)
	})
	return doing(err, "change logged model %s", id)
}

// FinalizeModel gives a logged model its status.
func (s *Store) FinalizeModel(ctx context.Context, id, status string) error {
	return s.changeModel(ctx, id, func(q sqlq.Querier) error {
		_, err := q.Exec(ctx, `UPDATE models SET status = $1, updated = $2 WHERE id = $3`, status, now(), id)
		return err
	})
}

// DeleteModel marks a logged model as deleted.
func (s *Store) DeleteModel(ctx context.Context, id string) error {
	return s.changeModel(ctx, id, func(q sqlq.Querier) error {
		_, err := q.Exec(ctx, `UPDATE models SET stage = 'deleted', updated = $1 WHERE id = $2`, now(), id)
		return err
	})
}

// TagModel sets or replaces tags of a logged model.
func (s *Store) TagModel(ctx context.Context, id string, tags []Pair) error {
	return s.changeModel(ctx, id, func(q sqlq.Querier) error { return putPairs(ctx, q, "model_tags", "model", id, tags) })
}

// LogModelParams sets or replaces params of a logged model.
func (s *Store) LogModelParams(ctx context.Context, id string, params []Pair) error {
	return s.changeModel(ctx, id, func(q sqlq.Querier) error { return putPairs(ctx, q, "model_params", "model", id, params) })
}

// UntagModel removes a tag; one that is not there is NotFound.
func (s *Store) UntagModel(ctx context.Context, id, key string) error {
	return s.changeModel(ctx, id, func(q sqlq.Querier) error {
		n, err := q.Exec(ctx, `DELETE FROM model_tags WHERE model = $1 AND key = $2`, id, clean(key))
		if err == nil && n == 0 {
			return ridgeline.Errorf(ridgeline.NotFound, "No tag with key '%s' found for model with ID '%s'.", key, id)
		}
		return err
	})
}

// fillModels adds params, tags and metrics.
func fillModels(ctx context.Context, q sqlq.Querier, models []Model) error {
	byID := map[string]*Model{}
	ids := make([]any, len(models))
	for i := range models {
		byID[models[i].ID] = &models[i]
		ids[i] = models[i].ID
	}
	for part := range slices.Chunk(ids, maxPlaces) {
		in := listPlaces(&part)
		for _, load := range []struct {
			table string
			into  func(m *Model) *[]Pair
		}{
			{"model_params", func(m *Model) *[]Pair { return &m.Params }},
			{"model_tags", func(m *Model) *[]Pair { return &m.Tags }},
		} {
			err := each(ctx, q, func(row sqlq.Row) error {
				var id string
				var p Pair
				err := row.Scan(&id, &p.Key, &p.Value)
				into := load.into(byID[id])
				*into = append(*into, p)
				return err
			}, `SELECT model, key, value FROM `+load.table+` WHERE model IN `+in+` ORDER BY model, key`, part...)
			if err != nil {
				return fmt.Errorf("read logged models: %w", err)
			}
		}
		err := each(ctx, q, func(row sqlq.Row) error {
			var id string
			var nan int64
			var m ModelMetric
			err := row.Scan(&id, &m.Key, &m.Run, &m.DatasetName, &m.DatasetDigest, &m.Step, &m.Time, &m.Value, &nan)
			m.Value, m.Metric.Model = unplain(m.Value, nan), id
			byID[id].Metrics = append(byID[id].Metrics, m)
			return err
		}, `SELECT model, key, run, dataset_name, dataset_digest, step, time, value, nan FROM model_metrics WHERE model IN `+in+`
			ORDER BY model, key, time, step, run`, part...)
		if err != nil {
			return fmt.Errorf("read logged models: %w", err)
		}
	}
	return nil
}

// A ModelSearch asks for logged models.
type ModelSearch struct {
	Experiments []int64
	Filter      string
	Datasets    []DatasetFilter // only metrics on one of these count
	Orders      []ModelOrder
	Max         int
	Token       string
}

// A DatasetFilter names a dataset; an empty digest is any.
type DatasetFilter struct{ Name, Digest string }

// A ModelOrder is a field to sort logged models by; of a metric, on a dataset if
// one is named.
type ModelOrder struct {
	Field      string
	Descending bool
	Dataset    DatasetFilter
}

var modelColumns = map[string]string{
	"model_id": "m.id", "experiment_id": "m.experiment", "name": "m.name", "artifact_location": "m.artifact_uri", "status": "m.status",
	"lifecycle_stage": "m.stage", "model_type": "m.model_type", "source_run_id": "m.source_run", "status_message": "m.status_message",
	"creation_timestamp_ms": "m.created", "last_updated_timestamp_ms": "m.updated",
}

// SearchModels returns a page of logged models, the newest first where the
// orders leave them equal, and the token of the next page.
func (s *Store) SearchModels(ctx context.Context, search ModelSearch) ([]Model, string, error) {
	terms, err := query.LoggedModels.Parse(search.Filter)
	if err != nil {
		return nil, "", err
	}
	token, err := parseToken(search.Token)
	if err != nil || len(search.Experiments) == 0 {
		return nil, "", err
	}
	st := &statement{}
	where := " WHERE m.stage = 'active' AND m.experiment IN ("
	for i, e := range search.Experiments {
		if i > 0 {
			where += ", "
		}
		where += st.arg(e)
	}
	where += ")"
	measured := false
	for _, t := range terms {
		measured = measured || t.Kind == query.Metric
		condition, err := st.modelCondition(t, search.Datasets)
		if err != nil {
			return nil, "", err
		}
		where += " AND " + condition
	}
	if len(search.Datasets) > 0 && !measured {
		where += " AND EXISTS (SELECT 1 FROM model_metrics x WHERE x.model = m.id" + st.onDatasets(search.Datasets) + ")"
	}
	order, err := st.modelOrder(search.Orders)
	if err != nil {
		return nil, "", err
	}
	text := selectModel + where + " ORDER BY " + order + " LIMIT " + st.arg(int64(search.Max+1)) + " OFFSET " + st.arg(int64(token.Offset))
	var models []Model
	err = each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		m, err := scanModel(row)
		models = append(models, m)
		return err
	}, text, st.args...)
	if err != nil {
		return nil, "", doing(err, "search logged models")
	}
	next := ""
	if len(models) > search.Max {
		models = models[:search.Max]
		next = pageToken{Offset: token.Offset + search.Max}.String()
	}
	return models, next, doing(fillModels(ctx, s.db.Reader(), models), "search logged models")
}

func (s *statement) modelCondition(t query.Term, datasets []DatasetFilter) (string, error) {
	switch t.Kind {
	case query.Attribute:
		switch {
		case t.Key == "experiment_id":
			if _, err := strconv.ParseInt(t.Text, 10, 64); err != nil && len(t.List) == 0 {
				return "", ridgeline.Errorf(ridgeline.Invalid, "Invalid experiment ID '%s'. Experiment ID must be a valid integer.", t.Text)
			}
			return s.compare("CAST(m.experiment AS TEXT)", t), nil
		case query.LoggedModels.Attributes[t.Key]:
			return s.compareNumber(modelColumns[t.Key], t), nil
		}
		return s.compare(modelColumns[t.Key], t), nil
	case query.Metric:
		key := s.arg(t.Key)
		return "EXISTS (SELECT 1 FROM model_metrics x WHERE x.model = m.id AND x.key = " + key + " AND " + s.compareMetric("x", t) + s.onDatasets(datasets) + ")", nil
	}
	table := "model_tags"
	if t.Kind == query.Param {
		table = "model_params"
	}
	return "EXISTS (SELECT 1 FROM " + table + " x WHERE x.model = m.id AND x.key = " + s.arg(t.Key) + " AND " + s.compare("x.value", t) + ")", nil
}

// onDatasets restricts the metric x to datasets.
func (s *statement) onDatasets(datasets []DatasetFilter) string {
	var any []string
	for _, d := range datasets {
		one := "x.dataset_name = " + s.arg(d.Name)
		if d.Digest != "" {
			one += " AND x.dataset_digest = " + s.arg(d.Digest)
		}
		any = append(any, one)
	}
	if len(any) == 0 {
		return ""
	}
	return " AND (" + strings.Join(any, " OR ") + ")"
}

func (s *statement) modelOrder(orders []ModelOrder) (string, error) {
	var parts []string
	created, id := false, false
	for _, o := range orders {
		parsed, err := query.LoggedModels.ParseOrder(o.Field)
		if err != nil {
			return "", err
		}
		column := modelColumns[parsed.Key]
		if parsed.Kind == query.Metric {
			on := ""
			if o.Dataset.Name != "" {
				on = s.onDatasets([]DatasetFilter{o.Dataset})
			}
			column = "(SELECT x.value FROM model_metrics x WHERE x.model = m.id AND x.key = " + s.arg(parsed.Key) + on + " ORDER BY x.time DESC, x.step DESC, x.run LIMIT 1)"
		}
		created, id = created || column == "m.created", id || column == "m.id"
		direction := ""
		if o.Descending {
			direction = " DESC"
		}
		if parsed.Kind == query.Metric {
			parts = append(parts, "CASE WHEN "+column+" IS NULL THEN 1 ELSE 0 END")
		}
		parts = append(parts, column+direction)
	}
	if !created {
		parts = append(parts, "m.created DESC")
	}
	if !id {
		parts = append(parts, "m.id")
	}
	return strings.Join(parts, ", "), nil
}
