package scope

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/auth"
)

// A rule lets a request through, or says why not. It returns the parameters to
// go on with; nil: those that it has.
type rule func(k *Keeper, r *http.Request, who auth.Principal) (url.Values, error)

// table has the routes that a token of one project opens, by the patterns of
// net/http. A new route is closed to such tokens until it is here, and a test
// asks all that there are for another project's things.
var table = []struct {
	pattern string
	rule    rule
}{
	// The API.
	{"/api/v1/projects/{project}/{rest...}", inProject},
	{"/api/v1/endpoints/{project}/{rest...}", inProject},
	{"/api/v1/builds/{id}", of(Build, "id")},
	{"/api/v1/builds/{id}/{rest...}", of(Build, "id")},
	{"/api/v1/runs/{id}", of(Run, "id")},
	{"/api/v1/runs/{id}/{rest...}", of(Run, "id")},
	{"/api/v1/releases/{id}", of(Release, "id")},
	{"/api/v1/releases/{id}/{rest...}", of(Release, "id")},
	{"/api/v1/models/{name}/{rest...}", of(Model, "name")},
	{"/api/v1/arrivals/{id}", of(Arrival, "id")},
	{"/api/v1/deployments/{id}/{rest...}", of(Deployment, "id")},
	{"/api/v1/logs/{task}", ofTask},
	{"GET /api/v1/builds", narrowed},
	{"GET /api/v1/runs", narrowed},
	{"GET /api/v1/models", narrowed},
	{"GET /api/v1/releases", narrowed},
	{"GET /api/v1/endpoints", narrowed},
	{"GET /api/v1/schedules", narrowed},
	{"GET /api/v1/remotes", narrowed},
	{"GET /api/v1/views", narrowed},
	{"GET /api/v1/costs/runs", narrowed},
	{"GET /api/v1/costs/models", narrowed},
	{"GET /api/v1/costs/month", narrowed},
	{"GET /api/v1/costs/month/lines", narrowed},
	{"GET /api/v1/events", narrowed},
	{"POST /api/v1/events", narrowed},
	// What tells of no project. Contents are known by their digests to those who
	// have them.
	{"OPTIONS /api/v1/events", open},
	{"/api/v1/blobs/{digest}", open},
	{"POST /api/v1/sign-in-links", open},
	{"GET /api/v1/openapi.json", open},
	{"GET /api/v1/openapi.yaml", open},
	{"GET /api/v1/schemas/{name}", open},
	{"/v2/{$}", open},

	{"/v2/{rest...}", inRepository},
	{"/git/{repository}/{rest...}", inGit},

	// The pages.
	{"GET /{$}", narrowed},
	{"GET /projects", narrowed},
	{"GET /builds", narrowed},
	{"GET /runs", narrowed},
	{"GET /models", narrowed},
	{"GET /releases", narrowed},
	{"GET /live", narrowed},
	{"GET /data", narrowed},
	{"GET /cost", narrowed},
	{"GET /cost.csv", narrowed},
	{"GET /settings", narrowed},
	{"GET /compare", eachRun},
	{"GET /logged", each(Experiment, "experiment")},
	{"GET /ui/logged/{part}", each(Experiment, "experiment")},
	{"/projects/{project}", inProject},
	{"/projects/{project}/{rest...}", inProject},
	{"/live/{project}/{rest...}", inProject},
	{"/data/{project}/{rest...}", inProject},
	{"/builds/{id}", of(Build, "id")},
	{"/builds/{id}/{rest...}", of(Build, "id")},
	{"/runs/{id}", of(Run, "id")},
	{"/runs/{id}/{rest...}", of(Run, "id")},
	{"/runs/{id}/logged/{logged}/{file...}", both(of(Run, "id"), of(Logged, "logged"))},
	{"/releases/{id}", of(Release, "id")},
	{"/releases/{id}/{rest...}", of(Release, "id")},
	{"/models/{name}", of(Model, "name")},
	{"/models/{name}/{rest...}", of(Model, "name")},
	{"/logged/{id}", of(Logged, "id")},
	{"/logged/{id}/{rest...}", of(Logged, "id")},
	{"GET /ui/runs/{part}", narrowed},
	{"/ui/logs/{task}", ofTask},
	{"/ui/logs/{task}/all", ofTask},
}

func open(*Keeper, *http.Request, auth.Principal) (url.Values, error) { return nil, nil }

// inProject is for addresses that name the project.
func inProject(_ *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
	if p := r.PathValue("project"); p != string(who.Project) {
		return nil, elsewhere("project", p, who)
	}
	return nil, nil
}

// narrowed is for lists, which take a project: it is the caller's.
func narrowed(_ *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
	q := r.URL.Query()
	for _, p := range q["project"] {
		if p != "" && p != string(who.Project) {
			return nil, elsewhere("project", p, who)
		}
	}
	q.Set("project", string(who.Project))
	return q, nil
}

// of is for addresses that name a thing.
func of(kind Kind, value string) rule {
	return func(k *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
		return nil, k.belongs(r.Context(), kind, r.PathValue(value), who)
	}
}

// each is for addresses that name things as parameters.
func each(kind Kind, parameter string) rule {
	return func(k *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
		for _, id := range r.URL.Query()[parameter] {
			if err := k.belongs(r.Context(), kind, id, who); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

// eachRun is for runs of pipelines, whose ids begin with r-, and logged ones
// beside each other.
func eachRun(k *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
	for _, id := range r.URL.Query()["run"] {
		kind := Logged
		if strings.HasPrefix(id, "r-") {
			kind = Run
		}
		if id == "" {
			continue // a field that was left empty
		}
		if err := k.belongs(r.Context(), kind, id, who); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// both asks one rule, then the other.
func both(first, second rule) rule {
	return func(k *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
		if _, err := first(k, r, who); err != nil {
			return nil, err
		}
		return second(k, r, who)
	}
}

// taskRE is how tasks are called: by the run or the build that they are of.
var taskRE = regexp.MustCompile(`^(?:run-(r-[0-9a-z]{14})|build-(b-[0-9a-z]{14}))-`)

func ofTask(k *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
	task := r.PathValue("task")
	name := taskRE.FindStringSubmatch(task)
	switch {
	case name == nil:
		return nil, absent("task", task, who)
	case name[1] != "":
		return nil, k.belongs(r.Context(), Run, name[1], who)
	}
	return nil, k.belongs(r.Context(), Build, name[2], who)
}

// inGit is for the project's repository.
func inGit(_ *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
	if repository := r.PathValue("repository"); repository != string(who.Project)+".git" {
		return nil, elsewhere("project", strings.TrimSuffix(repository, ".git"), who)
	}
	return nil, nil
}

// imageRE finds the repository in an address of the registry
// (https://github.com/opencontainers/distribution-spec, end-1 to end-13).
var imageRE = regexp.MustCompile(`^(.+)/(?:blobs|manifests|tags|referrers)/`)

// inRepository is for images: those of the project's models, which have a
// repository of the model's name each, those of its tasks, and what else is put
// below its name. A layer is not taken over from a repository of others: then
// the registry asks for it to be sent.
func inRepository(k *Keeper, r *http.Request, who auth.Principal) (url.Values, error) {
	found := imageRE.FindStringSubmatch(r.PathValue("rest"))
	if found == nil {
		return nil, elsewhere("image", r.PathValue("rest"), who)
	}
	if err := k.ofRepository(r, found[1], who); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	if !q.Has("from") {
		return nil, nil
	}
	for _, from := range q["from"] {
		if k.ofRepository(r, from, who) != nil {
			q.Del("from")
			q.Del("mount")
			return q, nil
		}
	}
	return nil, nil
}

func (k *Keeper) ofRepository(r *http.Request, name string, who auth.Principal) error {
	if own := string(who.Project); name == "tasks/"+own || strings.HasPrefix(name, own+"/") {
		return nil
	}
	return k.belongs(r.Context(), Model, name, who)
}
