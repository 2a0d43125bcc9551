package mlflow

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

func appendVersion(b []byte, v ridgeline.ModelVersion) []byte {
	stage, source := v.Stage, v.URI
	if stage == "" {
		stage = "None"
	}
	if source == "" {
		source = scheme + folderOf(v)
	}
	o := begin(b).text("name", string(v.Model)).text("version", strconv.Itoa(v.Version)).whole("creation_timestamp", v.Created.UnixMilli()).
		whole("last_updated_timestamp", v.Updated.UnixMilli()).text("current_stage", stage).text("description", v.Description).text("source", source).
		text("run_id", v.TrackingRun).text("status", "READY")
	appendTags(o, v.Tags)
	o.text("run_link", v.RunLink)
	list(o, "aliases", v.Aliases, appendText)
	return o.end()
}

func (a *API) answerVersion(ctx context.Context, name ridgeline.ModelName, version int, b []byte) ([]byte, error) {
	if _, err := a.Registry.RegisteredModel(ctx, name); err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
		return nil, err
	}
	v, err := a.Registry.RegisteredVersion(ctx, name, version)
	return begin(b).raw("model_version", func(b []byte) []byte { return appendVersion(b, v) }).end(), err
}

// version reads the number of a version.
func (r *request) version() int {
	text := r.need("version")
	n, err := strconv.Atoi(text)
	if err != nil && r.err == nil {
		r.fail(invalid("Parameter 'version' must be an integer, got '%s'.", text))
	}
	return n
}

// modelsVersionsTag is what MLflow notes with a logged model that is registered.
const modelsVersionsTag = "mlflow.modelVersions"

func (a *API) createVersion(ctx context.Context, r *request, b []byte) ([]byte, error) {
	name, ref := r.modelName("name"), sourceRef{URI: r.need("source"), Run: r.text("run_id"), Model: r.text("model_id"), hasRun: r.has("run_id"), hasModel: r.has("model_id")}
	link, description := r.text("run_link"), r.text("description")
	tags := r.pairs("tags")
	for _, t := range tags {
		if r.err == nil {
			r.fail(checkRegistryTag(t))
		}
	}
	created, number := r.when(ctx, "creation_timestamp"), 0
	updated := created
	if r.has("last_updated_timestamp") {
		updated = r.when(ctx, "last_updated_timestamp")
	}
	if r.has("version") { // not of MLflow's protocol: copies from elsewhere keep their numbers
		number = r.version()
		r.mayGive(ctx, "version")
	}
	if r.err != nil {
		return nil, r.err
	}
	if isPrompt(tags) {
		return nil, &notImplemented{r.http.URL.Path}
	}
	if err := a.mayWriteRegistered(ctx, name); err != nil {
		return nil, err
	}
	if err := a.resolve(ctx, &ref); err != nil {
		return nil, err
	}
	v := ridgeline.ModelVersion{Model: name, Version: number, Created: created, Size: ref.size, Registration: ridgeline.Registration{
		Updated: updated,
		By:      auth.From(ctx).Name, URI: ref.URI, Folder: ref.folder, TrackingRun: ref.Run, RunLink: link, LoggedModel: ref.Model, Description: description, Tags: map[string]string{},
	}}
	for _, t := range tags {
		v.Tags[t.Key] = t.Value
	}
	if err := a.addLogged(ctx, &v); err != nil {
		return nil, err
	}
	v, err := a.Registry.RegisterManual(ctx, store.Registering{Version: v, Request: r.digest(ctx), Process: a.process})
	if err != nil {
		return nil, err
	}
	r.answered = func(sent bool) {
		if err := a.Registry.Answered(context.WithoutCancel(ctx), name, v.Version, sent); err != nil {
			a.Log.Error("note that a model version was answered with", "error", err)
		}
	}
	if err := a.tagLogged(ctx, v); err != nil {
		return nil, err
	}
	return begin(b).raw("model_version", func(b []byte) []byte { return appendVersion(b, v) }).end(), nil
}

// addLogged adds what the run that made a version has logged.
func (a *API) addLogged(ctx context.Context, v *ridgeline.ModelVersion) error {
	if v.TrackingRun == "" {
		return nil
	}
	run, err := a.Track.Run(ctx, v.TrackingRun)
	if ridgeline.CodeOf(err) == ridgeline.NotFound { // of another server
		return nil
	}
	v.Params, v.Metrics = map[string]string{}, ridgeline.Metrics{}
	for _, p := range run.Params {
		v.Params[p.Key] = p.Value
	}
	for _, m := range run.Metrics {
		v.Metrics[m.Key] = m.Value
	}
	return err
}

// tagLogged notes with the logged model which versions were registered from it,
// as MLflow's pages look for it.
func (a *API) tagLogged(ctx context.Context, v ridgeline.ModelVersion) error {
	if v.LoggedModel == "" {
		return nil
	}
	m, err := a.Track.Model(ctx, v.LoggedModel)
	if err != nil {
		return err
	}
	type version struct {
		Name    string `json:"name"`
		Version int    `json:"version"`
	}
	var all []version
	if i := slices.IndexFunc(m.Tags, func(t track.Pair) bool { return t.Key == modelsVersionsTag }); i >= 0 {
		_ = json.Unmarshal([]byte(m.Tags[i].Value), &all) // a user's own text is replaced
	}
	if this := (version{string(v.Model), v.Version}); !slices.Contains(all, this) {
		all = append(all, this)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return a.Track.TagModel(ctx, v.LoggedModel, []track.Pair{{Key: modelsVersionsTag, Value: string(text)}})
}

// oneVersion reads the name and number of a version.
func (r *request) oneVersion() (ridgeline.ModelName, int, error) {
	name, version := r.modelName("name"), r.version()
	return name, version, r.err
}

// changeVersion reads which version is meant, which the caller may change.
func (a *API) changeVersion(ctx context.Context, r *request) (ridgeline.ModelName, int, error) {
	name, version, err := r.oneVersion()
	if err == nil {
		err = a.mayWriteRegistered(ctx, name)
	}
	if err == nil {
		_, err = a.Registry.RegisteredVersion(ctx, name, version)
	}
	return name, version, err
}

func (a *API) getVersion(ctx context.Context, r *request, b []byte) ([]byte, error) {
	name, version, err := r.oneVersion()
	if err != nil {
		return nil, err
	}
	return a.answerVersion(ctx, name, version, b)
}

func (a *API) updateVersion(ctx context.Context, r *request, b []byte) ([]byte, error) {
	description := r.text("description")
	name, version, err := a.changeVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := a.Registry.DescribeVersion(ctx, name, version, description, time.Now()); err != nil {
		return nil, err
	}
	return a.answerVersion(ctx, name, version, b)
}

func (a *API) deleteVersion(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	name, version, err := a.changeVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	err = a.Registry.DeleteVersion(ctx, name, version, time.Now())
	if ridgeline.CodeOf(err) == ridgeline.Conflict { // which MLflow's clients would take for "it exists already"
		err = invalid("%s", err.Error())
	}
	return nil, err
}

func (a *API) stageVersion(ctx context.Context, r *request, b []byte) ([]byte, error) {
	stage := r.need("stage")
	archive := r.body != nil && r.body.GetBool("archive_existing_versions")
	at := r.when(ctx, "last_updated_timestamp")
	name, version, err := a.changeVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	canonical, err := stageName(stage)
	if err != nil {
		return nil, err
	}
	if archive && canonical != "Staging" && canonical != "Production" {
		return nil, invalid("Model version transition cannot archive existing model versions because '%s' is not an Active stage. Valid stages are ['Staging', 'Production']", stage)
	}
	if err := a.Registry.StageVersion(ctx, name, version, canonical, archive, at); err != nil {
		return nil, err
	}
	return a.answerVersion(ctx, name, version, b)
}

func (a *API) tagVersion(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	t := track.Pair{Key: r.need("key"), Value: r.text("value")}
	name, version, err := a.changeVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkRegistryTag(t); err != nil {
		return nil, err
	}
	return nil, a.Registry.TagModel(ctx, name, version, t.Key, t.Value)
}

func (a *API) untagVersion(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	key := r.need("key")
	name, version, err := a.changeVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkName(key, "key"); err != nil {
		return nil, err
	}
	return nil, a.Registry.UntagModel(ctx, name, version, key)
}

func (a *API) searchVersions(ctx context.Context, r *request, b []byte) ([]byte, error) {
	search := r.registrySearch(query.ModelVersions, query.ModelVersionOrders, 10_000, 200_000)
	search.Project = narrowed(ctx)
	if r.err != nil {
		return nil, r.err
	}
	versions, more, err := a.Registry.SearchVersions(ctx, search)
	o := begin(b)
	list(o, "model_versions", versions, appendVersion)
	return next(o, search, more), err
}

func (a *API) downloadURI(ctx context.Context, r *request, b []byte) ([]byte, error) {
	name, version, err := r.oneVersion()
	if err != nil {
		return nil, err
	}
	v, err := a.Registry.RegisteredVersion(ctx, name, version)
	if err != nil {
		return nil, err
	}
	uri, err := a.whereToLoad(ctx, v)
	return begin(b).text("artifact_uri", uri).end(), err
}
