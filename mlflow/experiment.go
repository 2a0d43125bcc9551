package mlflow

import (
	"context"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/track"
)

func appendPair(b []byte, p track.Pair) []byte {
	return begin(b).text("key", p.Key).text("value", p.Value).end()
}

func appendExperiment(b []byte, e track.Experiment) []byte {
	o := begin(b)
	o.text("experiment_id", strconv.FormatInt(e.ID, 10)).text("name", e.Name).text("artifact_location", e.ArtifactLocation).
		text("lifecycle_stage", e.Stage).whole("last_update_time", e.Updated).whole("creation_time", e.Created)
	list(o, "tags", e.Tags, appendPair)
	return o.end()
}

func (a *API) createExperiment(ctx context.Context, r *request, b []byte) ([]byte, error) {
	n := track.NewExperiment{Name: r.need("name"), Location: r.text("artifact_location"), Tags: r.pairs("tags"), Created: r.givenTime(ctx, "creation_time")}
	if r.err != nil {
		return nil, r.err
	}
	if err := checkExperimentName(n.Name); err != nil {
		return nil, err
	}
	if err := checkLocation(n.Location); err != nil {
		return nil, err
	}
	for _, t := range n.Tags {
		if err := checkExperimentTag(t); err != nil {
			return nil, err
		}
	}
	if err := a.mayCreateExperiment(ctx, n.Name); err != nil {
		return nil, err
	}
	id, err := a.Track.CreateExperiment(ctx, n)
	return begin(b).text("experiment_id", strconv.FormatInt(id, 10)).end(), err
}

// checkLocation refuses places that only the client or nobody could mean.
func checkLocation(location string) error {
	if strings.HasPrefix(location, "runs:") {
		return invalid("Artifact location cannot be a runs:/ URI. Given: '%s'", location)
	}
	if strings.ContainsAny(location, "#?") || strings.Contains(location, "..") {
		return invalid("Invalid artifact location '%s': it may have no query, no fragment and no '..'", location)
	}
	return tooLong("artifact_location", maxArtifactLocation, location)
}

func (a *API) getExperiment(ctx context.Context, r *request, b []byte) ([]byte, error) {
	id := r.experiment(r.need("experiment_id"))
	if r.err != nil {
		return nil, r.err
	}
	e, err := a.Track.Experiment(ctx, id)
	return begin(b).raw("experiment", func(b []byte) []byte { return appendExperiment(b, e) }).end(), err
}

func (a *API) getExperimentByName(ctx context.Context, r *request, b []byte) ([]byte, error) {
	name := r.need("experiment_name")
	if r.err != nil {
		return nil, r.err
	}
	e, err := a.Track.ExperimentByName(ctx, name)
	return begin(b).raw("experiment", func(b []byte) []byte { return appendExperiment(b, e) }).end(), err
}

func (a *API) searchExperiments(ctx context.Context, r *request, b []byte) ([]byte, error) {
	search := track.ExperimentSearch{
		Filter: r.text("filter"), View: r.view("view_type"), Orders: r.texts("order_by"), Max: r.pageSize(1000), Token: r.text("page_token"),
		Project: string(narrowed(ctx)),
	}
	if r.err != nil {
		return nil, r.err
	}
	all, next, err := a.Track.SearchExperiments(ctx, search)
	o := begin(b)
	list(o, "experiments", all, appendExperiment)
	return o.some("next_page_token", next).end(), err
}

// changeExperiment reads the id of an experiment that the caller may change.
func (a *API) changeExperiment(ctx context.Context, r *request) (int64, error) {
	id := r.experiment(r.need("experiment_id"))
	if r.err != nil {
		return 0, r.err
	}
	return id, a.mayWriteExperiment(ctx, id)
}

func (a *API) updateExperiment(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	name := r.need("new_name")
	id, err := a.changeExperiment(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkExperimentName(name); err != nil {
		return nil, err
	}
	if err := a.mayCreateExperiment(ctx, name); err != nil {
		return nil, err
	}
	return nil, a.Track.RenameExperiment(ctx, id, name)
}

func (a *API) deleteExperiment(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeExperiment(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.DeleteExperiment(ctx, id)
}

func (a *API) restoreExperiment(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeExperiment(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.RestoreExperiment(ctx, id)
}

func (a *API) setExperimentTag(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	tag := track.Pair{Key: r.need("key"), Value: r.text("value")}
	id, err := a.changeExperiment(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkExperimentTag(tag); err != nil {
		return nil, err
	}
	return nil, a.Track.SetExperimentTag(ctx, id, tag)
}

func (a *API) deleteExperimentTag(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	key := r.need("key")
	id, err := a.changeExperiment(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.DeleteExperimentTag(ctx, id, key)
}

func (a *API) searchDatasets(ctx context.Context, r *request, b []byte) ([]byte, error) {
	const most = 20
	ids := r.experiments("experiment_ids")
	switch {
	case r.err != nil:
		return nil, r.err
	case len(ids) == 0:
		return nil, invalid("SearchDatasets request must specify at least one experiment_id.")
	case len(ids) > most:
		return nil, invalid("SearchDatasets request cannot specify more than %d experiment_ids. Received %d experiment_ids.", most, len(ids))
	}
	ids, err := a.readable(ctx, ids)
	if err != nil {
		return nil, err
	}
	all, err := a.Track.Datasets(ctx, ids)
	o := begin(b)
	list(o, "dataset_summaries", all, func(b []byte, d track.DatasetSummary) []byte {
		return begin(b).text("experiment_id", strconv.FormatInt(d.Experiment, 10)).text("name", d.Name).text("digest", d.Digest).some("context", d.Context).end()
	})
	return o.end(), err
}
