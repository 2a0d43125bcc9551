package mlflow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// registryRoutes are those of the model registry.
func (a *API) registryRoutes() []route {
	return []route{
		{"POST", "registered-models/create", false, a.createRegistered},
		{"GET", "registered-models/get", true, a.getRegistered},
		{"PATCH", "registered-models/update", false, a.updateRegistered},
		{"POST", "registered-models/rename", false, a.renameRegistered},
		{"DELETE", "registered-models/delete", false, a.deleteRegistered},
		{"GET", "registered-models/search", true, a.searchRegistered},
		{"GET", "registered-models/get-latest-versions", true, a.latestVersions},
		{"POST", "registered-models/get-latest-versions", true, a.latestVersions},
		{"POST", "registered-models/set-tag", false, a.tagRegistered},
		{"DELETE", "registered-models/delete-tag", false, a.untagRegistered},
		{"POST", "registered-models/alias", false, a.setAlias},
		{"DELETE", "registered-models/alias", false, a.deleteAlias},
		{"GET", "registered-models/alias", true, a.versionByAlias},
		{"POST", "model-versions/create", false, a.createVersion},
		{"GET", "model-versions/get", true, a.getVersion},
		{"PATCH", "model-versions/update", false, a.updateVersion},
		{"DELETE", "model-versions/delete", false, a.deleteVersion},
		{"GET", "model-versions/search", true, a.searchVersions},
		{"GET", "model-versions/get-download-uri", true, a.downloadURI},
		{"POST", "model-versions/transition-stage", false, a.stageVersion},
		{"POST", "model-versions/set-tag", false, a.tagVersion},
		{"DELETE", "model-versions/delete-tag", false, a.untagVersion},
	}
}

// promptTag marks what MLflow keeps in its registry beside models.
const promptTag = "mlflow.prompt.is_prompt"

// isPrompt reports whether tags are of a prompt, which are left out here.
func isPrompt(tags []track.Pair) bool {
	return slices.ContainsFunc(tags, func(t track.Pair) bool { return t.Key == promptTag && strings.EqualFold(t.Value, "true") })
}

func appendTags(o *object, tags map[string]string) {
	var all []track.Pair
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, track.Pair{Key: key, Value: tags[key]})
	}
	list(o, "tags", all, appendPair)
}

func appendRegistered(b []byte, m ridgeline.RegisteredModel, latest []ridgeline.ModelVersion) []byte {
	o := begin(b).text("name", string(m.Name)).whole("creation_timestamp", m.Created.UnixMilli()).whole("last_updated_timestamp", m.Updated.UnixMilli()).
		some("description", m.Description)
	list(o, "latest_versions", latest, appendVersion)
	appendTags(o, m.Tags)
	list(o, "aliases", slices.Sorted(maps.Keys(m.Aliases)), func(b []byte, alias string) []byte {
		return begin(b).text("alias", alias).text("version", strconv.Itoa(m.Aliases[alias])).end()
	})
	return o.end()
}

// answerRegistered answers with a model as it is now.
func (a *API) answerRegistered(ctx context.Context, name ridgeline.ModelName, b []byte) ([]byte, error) {
	m, err := a.Registry.RegisteredModel(ctx, name)
	if err != nil {
		return nil, err
	}
	latest, err := a.Registry.LatestVersions(ctx, []ridgeline.ModelName{name})
	return begin(b).raw("registered_model", func(b []byte) []byte { return appendRegistered(b, m, latest) }).end(), err
}

// modelName reads and checks a model's name.
func (r *request) modelName(field string) ridgeline.ModelName {
	name := r.need(field)
	if r.err == nil {
		r.fail(checkModelName(name, field))
	}
	return ridgeline.ModelName(name)
}

func (a *API) createRegistered(ctx context.Context, r *request, b []byte) ([]byte, error) {
	p := auth.From(ctx)
	m := ridgeline.RegisteredModel{Name: r.modelName("name"), Project: p.Project, Description: r.text("description"), Tags: map[string]string{}, Created: r.when(ctx, "creation_timestamp")}
	tags := r.pairs("tags")
	for _, t := range tags {
		if r.err == nil {
			r.fail(checkRegistryTag(t))
		}
		m.Tags[t.Key] = t.Value
	}
	if r.err != nil {
		return nil, r.err
	}
	if isPrompt(tags) {
		return nil, &notImplemented{r.http.URL.Path}
	}
	if err := a.Registry.CreateModel(ctx, m); err != nil {
		return nil, err
	}
	return a.answerRegistered(ctx, m.Name, b)
}

func (a *API) getRegistered(ctx context.Context, r *request, b []byte) ([]byte, error) {
	name := r.modelName("name")
	if r.err != nil {
		return nil, r.err
	}
	return a.answerRegistered(ctx, name, b)
}

// changeRegistered reads the name of a model that the caller may change.
func (a *API) changeRegistered(ctx context.Context, r *request) (ridgeline.ModelName, error) {
	name := r.modelName("name")
	if r.err != nil {
		return "", r.err
	}
	return name, a.mayWriteRegistered(ctx, name)
}

func (a *API) updateRegistered(ctx context.Context, r *request, b []byte) ([]byte, error) {
	description, at := r.text("description"), r.when(ctx, "last_updated_timestamp")
	name, err := a.changeRegistered(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := a.Registry.DescribeModel(ctx, name, description, at); err != nil {
		return nil, err
	}
	return a.answerRegistered(ctx, name, b)
}

func (a *API) renameRegistered(ctx context.Context, r *request, b []byte) ([]byte, error) {
	name := r.modelName("name")
	to := r.modelName("new_name")
	if r.err != nil {
		return nil, r.err
	}
	if err := a.mayWriteRegistered(ctx, name); err != nil {
		return nil, err
	}
	if err := a.Registry.RenameModel(ctx, name, to, time.Now()); err != nil {
		return nil, err
	}
	return a.answerRegistered(ctx, to, b)
}

func (a *API) deleteRegistered(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	name, err := a.changeRegistered(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Registry.DeleteModel(ctx, name, time.Now())
}

func (a *API) tagRegistered(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	t := track.Pair{Key: r.need("key"), Value: r.text("value")}
	name, err := a.changeRegistered(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkRegistryTag(t); err != nil {
		return nil, err
	}
	return nil, a.Registry.TagModel(ctx, name, 0, t.Key, t.Value)
}

func (a *API) untagRegistered(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	key := r.need("key")
	name, err := a.changeRegistered(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkName(key, "key"); err != nil {
		return nil, err
	}
	return nil, a.Registry.UntagModel(ctx, name, 0, key)
}

func (a *API) setAlias(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	alias := r.need("alias")
	name, version := r.modelName("name"), r.version()
	if r.err != nil {
		return nil, r.err
	}
	if err := checkAlias(alias); err != nil {
		return nil, err
	}
	if err := checkFreeAlias(alias); err != nil {
		return nil, err
	}
	if err := a.mayWriteRegistered(ctx, name); err != nil {
		return nil, err
	}
	return nil, a.Registry.SetAlias(ctx, name, alias, version)
}

func (a *API) deleteAlias(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	alias := r.need("alias")
	name, err := a.changeRegistered(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkAlias(alias); err != nil {
		return nil, err
	}
	return nil, a.Registry.DeleteAlias(ctx, name, alias)
}

// aliased is the number of the version that an alias names.
func (a *API) aliased(ctx context.Context, name ridgeline.ModelName, alias string) (int, error) {
	if strings.EqualFold(alias, "latest") {
		newest, err := a.Registry.LatestVersions(ctx, []ridgeline.ModelName{name})
		if err == nil && len(newest) == 0 {
			err = ridgeline.Errorf(ridgeline.NotFound, "Latest version not found for model %s.", name)
		}
		if err != nil {
			return 0, err
		}
		return newest[len(newest)-1].Version, nil
	}
	m, err := a.Registry.RegisteredModel(ctx, name)
	if err != nil {
		return 0, err
	}
	version, ok := m.Aliases[alias]
	if !ok {
		return 0, invalid("Registered model alias %s not found.", alias)
	}
	return version, nil
}

func (a *API) versionByAlias(ctx context.Context, r *request, b []byte) ([]byte, error) {
	name, alias := r.modelName("name"), r.need("alias")
	if r.err != nil {
		return nil, r.err
	}
	if err := checkAlias(alias); err != nil {
		return nil, err
	}
	version, err := a.aliased(ctx, name, alias)
	if err != nil {
		return nil, err
	}
	return a.answerVersion(ctx, name, version, b)
}

func (a *API) latestVersions(ctx context.Context, r *request, b []byte) ([]byte, error) {
	name := r.modelName("name")
	wanted := map[string]bool{}
	for _, stage := range r.texts("stages") {
		canonical, err := stageName(stage)
		if err != nil {
			r.fail(err)
		}
		wanted[canonical] = true
	}
	if r.err != nil {
		return nil, r.err
	}
	m, err := a.Registry.RegisteredModel(ctx, name)
	if err != nil {
		return nil, err
	}
	latest, err := a.Registry.LatestVersions(ctx, []ridgeline.ModelName{name})
	latest = slices.DeleteFunc(latest, func(v ridgeline.ModelVersion) bool { return len(wanted) > 0 && !wanted[v.Stage] })
	for i := range latest {
		for _, alias := range slices.Sorted(maps.Keys(m.Aliases)) {
			if m.Aliases[alias] == latest[i].Version {
				latest[i].Aliases = append(latest[i].Aliases, alias)
			}
		}
	}
	o := begin(b)
	list(o, "model_versions", latest, appendVersion)
	return o.end(), err
}

// registrySearch reads a search of models or versions.
func (r *request) registrySearch(terms, orders query.Grammar, otherwise, most int64) store.RegistrySearch {
	search := store.RegistrySearch{Max: int(r.whole("max_results", otherwise))}
	switch {
	case search.Max < 1:
		r.fail(invalid("Invalid value for max_results. It must be a positive integer, but got %d", search.Max))
	case int64(search.Max) > most:
		r.fail(invalid("Invalid value %d for parameter 'max_results' supplied. It must be at most %d", search.Max, most))
	}
	var err error
	if search.Terms, err = terms.Parse(r.text("filter")); err != nil {
		r.fail(err)
	}
	search.Terms = slices.DeleteFunc(search.Terms, isModel)
	for _, clause := range r.texts("order_by") {
		order, err := orders.ParseOrder(clause)
		if err != nil {
			r.fail(err)
		}
		search.Orders = append(search.Orders, order)
	}
	if token := r.text("page_token"); token != "" {
		text, err := base64.StdEncoding.DecodeString(token)
		at := struct {
			Offset int `json:"offset"`
		}{-1}
		if err == nil {
			err = json.Unmarshal(text, &at)
		}
		if err != nil || at.Offset < 0 {
			r.fail(invalid("Invalid page token, could not base64-decode: use the next_page_token of the page before, with the same search"))
		}
		search.Offset = at.Offset
	}
	return search
}

// isModel reports whether a term asks for what is no prompt, as MLflow's pages
// do: here there is nothing else.
func isModel(t query.Term) bool {
	return t.Kind == query.Tag && t.Key == promptTag && (t.Op == query.Unequal && t.Text == "true" || t.Op == query.Equal && t.Text == "false")
}

// next writes the token of the page after this one.
func next(o *object, search store.RegistrySearch, more bool) []byte {
	if more {
		o.text("next_page_token", base64.StdEncoding.EncodeToString([]byte(`{"offset": `+strconv.Itoa(search.Offset+search.Max)+`}`)))
	}
	return o.end()
}

func (a *API) searchRegistered(ctx context.Context, r *request, b []byte) ([]byte, error) {
	search := r.registrySearch(query.RegisteredModels, query.RegisteredModelOrders, 100, 1000)
	search.Project = narrowed(ctx)
	if r.err != nil {
		return nil, r.err
	}
	models, more, err := a.Registry.SearchModels(ctx, search)
	if err != nil {
		return nil, err
	}
	names := make([]ridgeline.ModelName, len(models))
	for i, m := range models {
		names[i] = m.Name
	}
	latest, err := a.Registry.LatestVersions(ctx, names)
	of := map[ridgeline.ModelName][]ridgeline.ModelVersion{}
	for _, v := range latest {
		of[v.Model] = append(of[v.Model], v)
	}
	o := begin(b)
	list(o, "registered_models", models, func(b []byte, m ridgeline.RegisteredModel) []byte { return appendRegistered(b, m, of[m.Name]) })
	return next(o, search, more), err
}
