package mlflow

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// A token of one project opens that project's experiments (the one that is named
// as the project, and those named PROJECT/…) with all that is in them, and its
// registered models. What is another project's is, for such a caller, not there.
//
// A step's token reads everything and writes to its project: scripts compare
// with other runs (decision 0045). Every other token has no project, and does
// what its role allows.

// ours reports whether an experiment of that name is of the caller's project.
func ours(p auth.Principal, experiment string) bool {
	return experiment == string(p.Project) || strings.HasPrefix(experiment, string(p.Project)+"/")
}

// What is told of another project's things is what is told of those that are not
// there.

// foreign says of such an answer that the thing is there.
type foreign struct{ error }

func (f *foreign) Unwrap() error { return f.error }

func noExperiment(id int64) error {
	return ridgeline.Errorf(ridgeline.NotFound, "No Experiment with id=%d exists", id)
}

func noRegistered(name ridgeline.ModelName) error {
	return ridgeline.Errorf(ridgeline.NotFound, "Registered Model with name=%s not found", name)
}

// subjects are the fields by which requests name what they are about, in
// whatever route.
type subjects struct {
	experiments, runs, models []string
	registered                string
}

func (r *request) subjects(path string) subjects {
	s := subjects{registered: r.text("name")}
	some := func(names ...string) (all []string) {
		for _, name := range names {
			if v := r.field(name); v != nil && v.Type() == fastjson.TypeArray || r.body == nil {
				all = append(all, r.texts(name)...)
			} else if text := r.text(name); text != "" {
				all = append(all, text)
			}
		}
		return all
	}
	s.experiments, s.runs, s.models = some("experiment_id"), some("run_id", "run_uuid", "run_ids", "source_run_id"), some("model_id")
	if id := r.http.PathValue("model_id"); id != "" {
		s.models = append(s.models, id)
	}
	for _, list := range []string{"metrics", "models"} {
		for _, v := range r.list(list) {
			if id, _ := r.textOf(v, list, "model_id"); id != "" {
				s.models = append(s.models, id)
			}
		}
	}
	if path == "runs/create" && len(s.experiments) == 0 {
		s.experiments = []string{"0"}
	}
	kind, what, _ := strings.Cut(path, "/")
	if kind != "registered-models" && kind != "model-versions" || what == "search" || path == "registered-models/create" {
		s.registered = ""
	}
	return s
}

// admit refuses a caller of one project what a request names of others.
func (a *API) admit(ctx context.Context, path string, r *request) error {
	p := auth.From(ctx)
	if !p.Scoped() {
		return nil
	}
	s := r.subjects(path)
	if r.err != nil {
		return r.err
	}
	if name := r.text("experiment_name"); path == "experiments/get-by-name" && name != "" && !ours(p, name) {
		return &foreign{ridgeline.Errorf(ridgeline.NotFound, "Could not find experiment with name '%s'", name)}
	}
	for _, text := range s.experiments {
		id, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			continue // for the handler to say
		}
		if err := a.mayReadExperiment(ctx, id); err != nil {
			return err
		}
	}
	slices.Sort(s.models)
	for _, id := range slices.Compact(s.models) {
		if err := a.mayReadModel(ctx, id); err != nil {
			return err
		}
	}
	for _, id := range s.runs {
		if err := a.mayReadRun(ctx, id); err != nil {
			return err
		}
	}
	if s.registered != "" {
		return a.mayReadRegistered(ctx, ridgeline.ModelName(s.registered))
	}
	return nil
}

func (a *API) mayReadExperiment(ctx context.Context, id int64) error {
	p := auth.From(ctx)
	if !p.Scoped() {
		return nil
	}
	e, err := a.Track.Experiment(ctx, id)
	if err == nil && !ours(p, e.Name) {
		err = &foreign{noExperiment(id)}
	}
	if id == 0 && ridgeline.CodeOf(err) == ridgeline.NotFound { // where scripts log that name none
		return ridgeline.Errorf(ridgeline.NotFound, "No Experiment with id=0 exists for a token of project %s: name one, by MLFLOW_EXPERIMENT_NAME=%s or mlflow.set_experiment(%q)", p.Project, p.Project, p.Project)
	}
	return err
}

func (a *API) mayReadRun(ctx context.Context, id string) error {
	p := auth.From(ctx)
	if !p.Scoped() {
		return nil
	}
	experiment, err := a.Track.ExperimentOf(ctx, id)
	if err == nil && !ours(p, experiment) {
		err = &foreign{ridgeline.Errorf(ridgeline.NotFound, "Run with id=%s not found", id)}
	}
	return err
}

func (a *API) mayReadModel(ctx context.Context, id string) error {
	if !auth.From(ctx).Scoped() {
		return nil
	}
	m, err := a.Track.Model(ctx, id)
	if err != nil {
		return err
	}
	if err := a.mayReadExperiment(ctx, m.Experiment); ridgeline.CodeOf(err) == ridgeline.NotFound {
		return &foreign{ridgeline.Errorf(ridgeline.NotFound, "Logged model with ID '%s' not found.", id)}
	} else if err != nil {
		return err
	}
	return nil
}

func (a *API) mayReadRegistered(ctx context.Context, name ridgeline.ModelName) error {
	p := auth.From(ctx)
	if !p.Scoped() {
		return nil
	}
	m, err := a.Registry.RegisteredModel(ctx, name)
	if err == nil && m.Project != p.Project {
		err = &foreign{noRegistered(name)}
	}
	return err
}

// readable leaves of experiments those that the caller may read.
func (a *API) readable(ctx context.Context, ids []int64) ([]int64, error) {
	var all []int64
	for _, id := range ids {
		switch err := a.mayReadExperiment(ctx, id); {
		case err == nil:
			all = append(all, id)
		case ridgeline.CodeOf(err) != ridgeline.NotFound:
			return nil, err
		}
	}
	return all, nil
}

// narrowed is the project that a caller's searches find things of; empty: all.
func narrowed(ctx context.Context) ridgeline.ProjectName {
	if p := auth.From(ctx); p.Scoped() {
		return p.Project
	}
	return ""
}

// mayReadPath asks for artifacts below a path: those of an experiment, or of a
// registered version.
func (a *API) mayReadPath(ctx context.Context, path string) error {
	p := auth.From(ctx)
	if !p.Scoped() {
		return nil
	}
	none := ridgeline.Errorf(ridgeline.NotFound, "No such artifact: '%s'", path)
	if folder, below := strings.CutPrefix(path, track.RegistryFolder+"/"); below {
		digest, _, _ := strings.Cut(folder, "/")
		has, err := a.Registry.HasFiles(ctx, p.Project, track.RegistryFolder+"/"+digest)
		if err == nil && !has {
			err = none
		}
		return err
	}
	first, _, _ := strings.Cut(path, "/")
	id, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return none
	}
	if err := a.mayReadExperiment(ctx, id); ridgeline.CodeOf(err) == ridgeline.NotFound {
		return none
	} else if err != nil {
		return err
	}
	return nil
}

// What a token with a project may write to.

// mayCreateExperiment asks for an experiment of that name.
func (a *API) mayCreateExperiment(ctx context.Context, name string) error {
	if p := auth.From(ctx); p.Project != "" && !ours(p, name) {
		return denied(p.Project, "'"+name+"'")
	}
	return nil
}

func (a *API) mayWriteExperiment(ctx context.Context, id int64) error {
	if auth.From(ctx).Project == "" {
		return nil
	}
	e, err := a.Track.Experiment(ctx, id)
	if err != nil {
		return err
	}
	return a.mayCreateExperiment(ctx, e.Name)
}

func (a *API) mayWriteRun(ctx context.Context, id string) error {
	if auth.From(ctx).Project == "" {
		return nil
	}
	experiment, err := a.Track.ExperimentOf(ctx, id)
	if err != nil {
		return err
	}
	return a.mayCreateExperiment(ctx, experiment)
}

func (a *API) mayWriteModel(ctx context.Context, id string) error {
	if auth.From(ctx).Project == "" {
		return nil
	}
	m, err := a.Track.Model(ctx, id)
	if err != nil {
		return err
	}
	return a.mayWriteExperiment(ctx, m.Experiment)
}

// mayWriteRegistered asks for a registered model.
func (a *API) mayWriteRegistered(ctx context.Context, name ridgeline.ModelName) error {
	p := auth.From(ctx)
	if p.Project == "" {
		return nil
	}
	m, err := a.Registry.RegisteredModel(ctx, name)
	if err != nil {
		return err
	}
	if m.Project != p.Project {
		return ridgeline.Errorf(ridgeline.Denied, "this token is of project %s, and may change that project's models, not '%s'", p.Project, name)
	}
	return nil
}

// denied is what a token of a project is told outside it.
func denied(project ridgeline.ProjectName, what string) error {
	return ridgeline.Errorf(ridgeline.Denied, "this token is of project %s, and may write to the experiment %s and those named %s/…, not to %s", project, project, project, what)
}
