package mlflow

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/ridgeline-mlops/ridgeline/track"
)

func appendModel(b []byte, m track.Model) []byte {
	return begin(b).raw("info", func(b []byte) []byte {
		o := begin(b).text("model_id", m.ID).text("experiment_id", strconv.FormatInt(m.Experiment, 10)).text("name", m.Name).
			whole("creation_timestamp_ms", m.Created).whole("last_updated_timestamp_ms", m.Updated).text("artifact_uri", m.ArtifactURI).
			text("status", m.Status).some("model_type", m.Type).some("source_run_id", m.SourceRun).some("status_message", m.StatusMessage)
		list(o, "tags", m.Tags, appendPair)
		return o.end()
	}).raw("data", func(b []byte) []byte {
		o := begin(b)
		list(o, "params", m.Params, appendPair)
		list(o, "metrics", m.Metrics, func(b []byte, x track.ModelMetric) []byte {
			return begin(b).text("key", x.Key).float("value", x.Value).whole("timestamp", x.Time).whole("step", x.Step).
				some("dataset_name", x.DatasetName).some("dataset_digest", x.DatasetDigest).text("model_id", m.ID).some("run_id", x.Run).end()
		})
		return o.end()
	}).end()
}

func (a *API) answerModel(ctx context.Context, id string, b []byte) ([]byte, error) {
	m, err := a.Track.Model(ctx, id)
	return begin(b).raw("model", func(b []byte) []byte { return appendModel(b, m) }).end(), err
}

func (a *API) createModel(ctx context.Context, r *request, b []byte) ([]byte, error) {
	m := track.Model{
		ID: r.given(ctx, "model_id"), Created: r.whole("creation_timestamp_ms", 0), Experiment: r.experiment(r.need("experiment_id")), Name: r.text("name"), Type: r.text("model_type"), SourceRun: r.text("source_run_id"),
		Params: r.pairs("params"), Tags: r.pairs("tags"),
	}
	if r.err != nil {
		return nil, r.err
	}
	if strings.ContainsAny(m.Name, `/:.%"'`) {
		return nil, invalid("Invalid model name ('%s') provided. Model name must be a non-empty string and cannot contain the following characters: "+
			`('/', ':', '.', '%%', '"', "'")`, m.Name)
	}
	if err := a.mayWriteExperiment(ctx, m.Experiment); err != nil {
		return nil, err
	}
	m, err := a.Track.CreateModel(ctx, m)
	return begin(b).raw("model", func(b []byte) []byte { return appendModel(b, m) }).end(), err
}

func (a *API) getModel(ctx context.Context, r *request, b []byte) ([]byte, error) {
	return a.answerModel(ctx, r.http.PathValue("model_id"), b)
}

// changeModel returns the id of a logged model that the caller may change.
func (a *API) changeModel(ctx context.Context, r *request) (string, error) {
	id := r.http.PathValue("model_id")
	if r.err != nil {
		return "", r.err
	}
	return id, a.mayWriteModel(ctx, id)
}

var modelStatuses = []string{"LOGGED_MODEL_STATUS_UNSPECIFIED", track.ModelPending, track.ModelReady, track.ModelFailed}

func (a *API) finalizeModel(ctx context.Context, r *request, b []byte) ([]byte, error) {
	v := r.field("status")
	if v == nil {
		r.missing("status")
		return nil, r.err
	}
	status := strings.Trim(v.String(), `"`)
	if n, err := strconv.Atoi(status); err == nil && n >= 0 && n < len(modelStatuses) {
		status = modelStatuses[n]
	}
	if !slices.Contains(modelStatuses, status) {
		r.wrong("status", v)
	}
	id, err := a.changeModel(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := a.Track.FinalizeModel(ctx, id, status); err != nil {
		return nil, err
	}
	return a.answerModel(ctx, id, b)
}

func (a *API) deleteModel(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeModel(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.DeleteModel(ctx, id)
}

func (a *API) logModelParams(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	params := r.pairs("params")
	id, err := a.changeModel(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.LogModelParams(ctx, id, params)
}

func (a *API) setModelTags(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	tags := r.pairs("tags")
	id, err := a.changeModel(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.TagModel(ctx, id, tags)
}

func (a *API) deleteModelTag(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeModel(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.UntagModel(ctx, id, r.http.PathValue("tag_key"))
}

func (a *API) searchModels(ctx context.Context, r *request, b []byte) ([]byte, error) {
	search := track.ModelSearch{Experiments: r.experiments("experiment_ids"), Filter: r.text("filter"), Max: r.pageSize(100), Token: r.text("page_token")}
	if r.err == nil && len(search.Experiments) == 0 {
		r.missing("experiment_ids")
	}
	for i, v := range r.list("datasets") {
		at := fmt.Sprintf("datasets[%d]", i)
		var d track.DatasetFilter
		d.Name, _ = r.textOf(v, at, "dataset_name")
		d.Digest, _ = r.textOf(v, at, "dataset_digest")
		if d.Name == "" {
			r.fail(invalid("`dataset_name` in the `datasets` clause must be specified."))
		}
		search.Datasets = append(search.Datasets, d)
	}
	for i, v := range r.list("order_by") {
		at := fmt.Sprintf("order_by[%d]", i)
		var o track.ModelOrder
		if o.Field, _ = r.textOf(v, at, "field_name"); o.Field == "" {
			r.missing(at + ".field_name")
		}
		ascending := v.Get("ascending")
		o.Descending = ascending != nil && ascending.Type() == fastjson.TypeFalse
		o.Dataset.Name, _ = r.textOf(v, at, "dataset_name")
		o.Dataset.Digest, _ = r.textOf(v, at, "dataset_digest")
		search.Orders = append(search.Orders, o)
	}
	if r.err != nil {
		return nil, r.err
	}
	var err error
	if search.Experiments, err = a.readable(ctx, search.Experiments); err != nil {
		return nil, err
	}
	models, next, err := a.Track.SearchModels(ctx, search)
	o := begin(b)
	list(o, "models", models, appendModel)
	return o.some("next_page_token", next).end(), err
}
