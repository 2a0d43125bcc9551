package project

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
)

// config reads the whole file. A top-level key that begins with x- is left
// alone: a place for anchors.
func (r *reader) config(text []byte) Config {
	var c Config
	root := r.document(text)
	if root == nil {
		return c
	}
	if root.Kind != yaml.MappingNode {
		r.at(root, "expected a map that starts with `project: NAME`, got %s", found(root))
		return c
	}
	top := *root
	top.Content = nil
	for i := 0; i+1 < len(root.Content); i += 2 {
		if k := follow(root.Content[i]); k.Kind != yaml.ScalarNode || !strings.HasPrefix(k.Value, "x-") {
			top.Content = append(top.Content, root.Content[i], root.Content[i+1])
		}
	}
	f := r.section(&top, FileName, "project", "model", "python", "data", "build", "pipeline", "release")
	start := &yaml.Node{Line: 1, Column: 1}
	for _, need := range []struct{ key, example string }{
		{"project", "project: diabetes"}, {"python", "python: requirements.txt"}, {"pipeline", "pipeline: {steps: {train: python -m diabetes.train}}"},
	} {
		if !f.has(need.key) {
			r.at(start, "%s is missing: add for example `%s`", need.key, need.example)
		}
	}
	c.Project = ridgeline.ProjectName(r.named(f.value("project"), "project"))
	c.Model = ridgeline.ModelName(c.Project)
	if n := f.value("model"); n != nil {
		c.Model = ridgeline.ModelName(r.named(n, "model"))
	}
	c.Python = r.python(f.value("python"))
	c.Data = r.data(f.value("data"))
	c.Build = r.build(f.value("build"))
	if n := f.value("pipeline"); n != nil {
		c.Pipeline = r.pipeline(n, datasetNames(c.Data))
	}
	c.Release = r.release(f.value("release"))
	r.together(c, f)
	return c
}

// named reads the name of a noun.
func (r *reader) named(n *yaml.Node, kind string) string {
	if n == nil {
		return ""
	}
	name := r.text(n, kind, "diabetes")
	if name != "" {
		r.checkName(n, kind, name)
	}
	return name
}

func (r *reader) checkName(n *yaml.Node, kind, name string) {
	if err := ridgeline.CheckName(kind, name); err != nil {
		r.at(n, "%s", err)
	}
}

func (r *reader) release(n *yaml.Node) Release {
	rel := Release{Request: RequestSplit, Serve: defaultServing()}
	if n == nil {
		return rel
	}
	f := r.section(n, "release", "score", "request", "serve", "environments")
	rel.Score = r.file(f.value("score"), "release.score", "score.py", false)
	if rel.Score != "" && !strings.HasSuffix(rel.Score, ".py") {
		r.at(f.value("score"), "release.score: expected a Python file, such as score.py, got %q", clip(rel.Score, 60))
	}
	if f.has("score") {
		rel.Request = RequestData
	}
	rel.Request = r.word(f.value("request"), "release.request", rel.Request, Requests...)
	rel.Serve = r.serving(f.value("serve"))
	if envs := f.value("environments"); envs != nil {
		for _, e := range r.entries(envs, "release.environments", "a map from an environment's name to its settings") {
			rel.Environments = append(rel.Environments, r.environment(e))
		}
	}
	return rel
}

var laterHosts = []string{"docker", "podman", "aci"}

func (r *reader) environment(e entry) Environment {
	what := "release.environments." + clip(e.name, 60)
	r.checkName(e.key, "environment", e.name)
	env := Environment{Name: e.name, Host: "process", Approval: "none", MinReplicas: 1, MaxReplicas: 1}
	if isNull(e.value) { // `qa:` alone: everything in it has a default
		return env
	}
	f := r.section(e.value, what, "host", "checks", "approval", "replicas", "limit", "cpu", "memory")
	if h := f.value("host"); h != nil {
		if slices.Contains(laterHosts, h.Value) {
			r.at(h, "%s.host: %s is not supported by this version yet: use process or kube", what, h.Value)
		} else {
			env.Host = r.word(h, what+".host", "process", Hosts...)
		}
	}
	for _, n := range r.items(f.value("checks")) {
		if file := r.file(n, what+".checks", "smoke.json", false); file != "" {
			env.Checks = append(env.Checks, file)
		}
	}
	env.Approval = r.word(f.value("approval"), what+".approval", "none", "none", "required")
	env.Limit = r.limit(f.value("limit"), what+".limit")
	env.CPU = r.number(f.value("cpu"), what+".cpu", 0, 0, 1024)
	env.Memory = r.size(f.value("memory"), what+".memory")
	if n := f.value("replicas"); n != nil {
		if n.Kind == yaml.ScalarNode {
			env.MinReplicas = r.whole(n, what+".replicas", 1, 1, maxReplicas)
			env.MaxReplicas = env.MinReplicas
			return env
		}
		rf := r.section(n, what+".replicas", "min", "max", "idle", "hours", "in_flight")
		env.MinReplicas = r.whole(rf.value("min"), what+".replicas.min", 1, 0, maxReplicas)
		env.MaxReplicas = r.whole(rf.value("max"), what+".replicas.max", max(1, env.MinReplicas), 1, maxReplicas)
		env.Hours = r.hours(rf, what+".replicas", env.MinReplicas)
		if env.MinReplicas == 0 || rf.has("hours") {
			env.Idle = r.duration(rf.value("idle"), what+".replicas.idle", defaultIdle)
		} else if rf.has("idle") {
			r.at(rf.value("idle"), "%s.replicas.idle is how long nobody asks before the last copy goes: write min: 0 or hours beside it, or remove it", what)
		}
		env.InFlight = r.whole(rf.value("in_flight"), what+".replicas.in_flight", 0, 1, maxConcurrent)
		if env.InFlight > 0 && env.MaxReplicas <= max(1, env.MinReplicas) {
			r.at(rf.value("in_flight"), "%s.replicas.in_flight is at how many requests to a copy another one is added: write a max above min beside it, or remove it", what)
		}
		if env.MaxReplicas < env.MinReplicas {
			r.at(rf.value("max"), "%s.replicas: max %d is below min %d", what, env.MaxReplicas, env.MinReplicas)
		}
	}
	return env
}

// hours are those of the week in which an environment keeps its copies.
func (r *reader) hours(f fields, what string, least int) ridgeline.Hours {
	n := f.value("hours")
	text := r.text(n, what+".hours", "mon-fri 07:00-19:00 Europe/Berlin")
	switch {
	case text == "": // nothing is there, or it is said already what is wrong with it
		return ""
	case least == 0:
		r.at(n, "%s.hours is when min copies stay though nobody asks: write a min of 1 or more beside it, or remove it (with min: 0 they rest at any hour)", what)
		return ""
	}
	h, err := ridgeline.ParseHours(text)
	if err != nil {
		r.at(n, "%s.hours: %s", what, err)
	}
	return h
}

const (
	maxReplicas   = 1000
	defaultIdle   = 15 * time.Minute
	maxConcurrent = 1_000_000
	maxTimeout    = 24 * 60 * 60 * 1000 // ms
)

// limit bounds the requests of an environment's endpoint.
func (r *reader) limit(n *yaml.Node, what string) ridgeline.Limit {
	if n == nil {
		return ridgeline.Limit{}
	}
	f := r.section(n, what, "concurrent", "timeout_ms")
	return ridgeline.Limit{
		Concurrent: r.whole(f.value("concurrent"), what+".concurrent", 0, 1, maxConcurrent),
		Timeout:    time.Duration(r.whole(f.value("timeout_ms"), what+".timeout_ms", 0, 1, maxTimeout)) * time.Millisecond,
	}
}

// together looks at what only the parts together can get wrong.
func (r *reader) together(c Config, f fields) {
	if !f.has("pipeline") || len(c.Pipeline.Steps) == 0 {
		return
	}
	steps := f.at["pipeline"].key
	if !c.Trains() {
		if f.has("release") {
			r.at(f.at["release"].key, "release: the pipeline has no step named train, so there is no model to release: add the step, or remove release")
		}
		return
	}
	_, custom := c.Pipeline.Step(StepEvaluate)
	if _, ok := c.Judged(); !ok && !custom {
		at := steps
		if f.has("data") {
			at = f.at["data"].key
		}
		r.at(at, "no dataset has a target: the built-in evaluate asks the model for the holdout rows of one; give a dataset under data its `target: COLUMN`, or write a step evaluate of your own")
	}
	if !custom && c.Trains() {
		r.oneTarget(c, f)
	}
}

// oneTarget reports a second target: which holdout decides would be a guess.
func (r *reader) oneTarget(c Config, f fields) {
	first := ""
	for _, d := range c.Data {
		switch {
		case d.Target == "":
		case first == "":
			first = d.Name
		default:
			r.at(f.at["data"].key, "data: %s and %s both have a target, but the built-in evaluate judges on one holdout: keep one, or write a step evaluate of your own", first, d.Name)
		}
	}
}

func stepWhat(name string) string { return fmt.Sprintf("pipeline.steps.%s", clip(name, 60)) }
