package project

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxSteps is more steps than a pipeline has, and more tasks than a build.
const maxSteps = 500

// reserved are the steps that the pipeline adds itself.
var reserved = []string{"pack", "gate", "register"}

func (r *reader) steps(e entry, datasets []string, params []Param) []Step {
	entries := r.entries(e.value, "pipeline.steps", "a map from a step's name to its command")
	if len(entries) == 0 && e.value.Kind == yaml.MappingNode {
		r.at(e.key, "pipeline.steps is empty: add at least one step, for example `train: python -m diabetes.train`")
	}
	if len(entries) > maxSteps {
		r.at(entries[maxSteps].key, "pipeline.steps: more than %d steps: use a matrix, or pipelines of several projects", maxSteps)
		entries = entries[:maxSteps]
	}
	var names []string
	for _, s := range entries {
		names = append(names, s.name)
	}
	var list []Step
	var whens []*yaml.Node
	links := needs{what: "pipeline.steps"}
	before := "" // the step that one which does not say needs
	for _, s := range entries {
		r.checkName(s.key, "step", s.name)
		if slices.Contains(reserved, s.name) {
			r.at(s.key, "%s: the pipeline has a step of this name itself: choose another", stepWhat(s.name))
		}
		step, f := r.step(s, datasets, params)
		if n := f.value("needs"); n != nil {
			step.Needs = r.needs(n, stepWhat(s.name)+".needs", "step", s.name, names)
		} else if before != "" {
			step.Needs = []string{before}
		}
		if s.name != StepEvaluate { // which comes last, wherever it stands
			before = s.name
		}
		links.add(step.Name, step.Needs, s.key, f.value("needs"))
		list, whens = append(list, step), append(whens, f.value("when"))
	}
	r.acyclic(links)
	r.evaluates(entries, list)
	for i, n := range whens {
		if n != nil {
			r.condition(n, Pipeline{Params: params, Steps: list}, list[i])
		}
	}
	return list
}

// evaluates looks whether a step evaluate can do its work.
func (r *reader) evaluates(entries []entry, list []Step) {
	p := Pipeline{Steps: list}
	for i, s := range list {
		what, key := stepWhat(s.Name), entries[i].key
		if s.Name != StepEvaluate {
			if slices.Contains(s.Needs, StepEvaluate) {
				r.at(key, "%s: it cannot need evaluate, which judges the packed model after all other steps: remove it from needs", what)
			}
			if s.Name == StepTrain && len(s.Matrix) > 0 {
				r.at(key, "%s: a matrix would make several models, and one goes on: use a sweep, whose best one does", what)
			}
			continue
		}
		_, trains := p.Step(StepTrain)
		switch {
		case !trains:
			r.at(key, "%s: there is no step train whose model it could judge: add one, or name this step otherwise", what)
		case !slices.Contains(p.Before(s.Name), StepTrain):
			r.at(key, "%s: it judges the model that train makes: put it after train, or add train to its needs", what)
		}
		if len(s.Matrix) > 0 || s.Sweep != nil || s.When != "" {
			r.at(key, "%s: it judges every model once: remove matrix, sweep and when", what)
		}
	}
}

func (r *reader) step(e entry, datasets []string, params []Param) (Step, fields) {
	what := stepWhat(e.name)
	s := Step{Name: e.name, Timeout: 2 * time.Hour, Retries: Retries{Longest: longestWait}, Cache: true}
	if e.value.Kind == yaml.ScalarNode {
		s.Run = r.text(e.value, what, "`python -m diabetes.train`")
		return s, fields{}
	}
	f := r.section(e.value, what, "run", "needs", "in", "out", "when", "matrix", "sweep", "retries", "timeout", "cache", "compute", "cpu", "memory", "gpu")
	if !f.has("run") && e.value.Kind == yaml.MappingNode {
		r.at(e.key, "%s: run is missing: add the command, for example `run: python -m diabetes.train`", what)
	}
	s.Run = r.text(f.value("run"), what+".run", "`python -m diabetes.train`")
	s.In = r.inputs(f.value("in"), what+".in", datasets, params)
	s.Out = r.outputs(f.value("out"), what+".out")
	s.When = r.text(f.value("when"), what+".when", `"params.full == true"`)
	s.Matrix = r.axes(f.value("matrix"), what+".matrix", params)
	s.Sweep = r.sweep(f.value("sweep"), what+".sweep", params)
	if f.has("matrix") && f.has("sweep") {
		r.at(f.at["sweep"].key, "%s: a step has a matrix, all of whose instances go on, or a sweep, whose best does: remove one", what)
	}
	s.Retries = r.retries(f.value("retries"), what+".retries")
	s.Timeout = r.duration(f.value("timeout"), what+".timeout", s.Timeout)
	s.Cache = r.truth(f.value("cache"), what+".cache", true)
	s.Compute = r.pool(f.value("compute"), what+".compute", "")
	s.CPU = r.number(f.value("cpu"), what+".cpu", 0, 0, 1024)
	s.Memory = r.size(f.value("memory"), what+".memory")
	s.GPU = r.whole(f.value("gpu"), what+".gpu", 0, 0, 64)
	return s, f
}

// inputs reads what a step sees. A list that is there and empty means nothing.
func (r *reader) inputs(n *yaml.Node, what string, datasets []string, params []Param) *Inputs {
	if n == nil {
		return nil
	}
	f := r.section(n, what, "code", "data", "params")
	in := &Inputs{}
	if f.has("code") {
		in.Code = []string{}
		for _, one := range r.items(f.value("code")) {
			if p := r.glob(one, what+".code", "src/**"); p != "" {
				in.Code = append(in.Code, p)
				r.files = append(r.files, fileRef{node: one, what: what + ".code", path: p, pattern: true})
			}
		}
	}
	if f.has("data") {
		in.Data = append([]string{}, r.known(f.value("data"), what+".data", "dataset", datasets)...)
	}
	if f.has("params") {
		in.Params = append([]string{}, r.known(f.value("params"), what+".params", "parameter", paramNames(params))...)
	}
	return in
}

// outputs reads the names of what a step leaves.
func (r *reader) outputs(n *yaml.Node, what string) []string {
	var list []string
	for _, one := range r.items(n) {
		s := r.text(one, what, "table.parquet")
		clean := path.Clean(s)
		switch {
		case s == "":
		case strings.HasPrefix(s, "/"), strings.Contains(s, `\`), clean == ".", clean == "..", strings.HasPrefix(clean, "../"):
			r.at(one, "%s: %q: expected a file or folder below $RIDGELINE_OUT, such as table.parquet", what, clip(s, 60))
		case IsPattern(s):
			r.at(one, "%s: %q: name each file, or the folder that holds them", what, clip(s, 60))
		case slices.Contains(list, clean):
			r.at(one, "%s: %q stands here twice: remove one", what, clip(s, 60))
		default:
			list = append(list, clean)
		}
	}
	return list
}

const longestWait = 10 * time.Minute

// retries reads a number, or a map.
func (r *reader) retries(n *yaml.Node, what string) Retries {
	t := Retries{Longest: longestWait}
	if n == nil || n.Kind == yaml.ScalarNode {
		t.Count = r.whole(n, what, 0, 0, 100)
		return t
	}
	f := r.section(n, what, "count", "backoff", "longest", "on")
	if !f.has("count") && n.Kind == yaml.MappingNode {
		r.at(n, "%s: count is missing: add for example `count: 2`", what)
	}
	t.Count = r.whole(f.value("count"), what+".count", 0, 0, 100)
	t.Backoff = r.duration(f.value("backoff"), what+".backoff", 0)
	t.Longest = r.duration(f.value("longest"), what+".longest", max(t.Longest, t.Backoff))
	if t.Longest < t.Backoff {
		r.at(f.value("longest"), "%s: longest %s is below backoff %s", what, t.Longest, t.Backoff)
	}
	for _, one := range r.items(f.value("on")) {
		if v, ok := asNumber(one); ok {
			if v < 1 || v > 255 || v != float64(int(v)) {
				r.at(one, "%s.on: expected an exit code from 1 to 255, got %s", what, found(one))
				continue
			}
			t.On = append(t.On, strconv.Itoa(int(v)))
		} else if w := r.word(one, what+".on", "", "timeout", "memory", "lost"); w != "" {
			t.On = append(t.On, w)
		}
	}
	if f.has("on") && len(r.items(f.value("on"))) == 0 {
		r.at(f.value("on"), "%s.on is empty: list exit codes, timeout, memory or lost, or remove it to retry every failure", what)
	}
	return t
}
