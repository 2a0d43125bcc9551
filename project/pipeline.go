package project

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

// pipeline reads what a green build publishes. datasets are the names that
// the file gives under data.
func (r *reader) pipeline(n *yaml.Node, datasets []string) Pipeline {
	p := Pipeline{On: On{Push: true}, Overlap: OverlapQueue, Compute: "local"}
	f := r.section(n, "pipeline", "on", "overlap", "compute", "params", "steps", "gate")
	p.Params = r.params(f.value("params"))
	if on := f.value("on"); on != nil {
		p.On = r.on(on, datasets, p.Params)
	}
	r.unfilled(f, p)
	p.Overlap = r.word(f.value("overlap"), "pipeline.overlap", OverlapQueue, OverlapQueue, OverlapCoalesce, OverlapReject)
	p.Compute = r.pool(f.value("compute"), "pipeline.compute", "local")
	switch {
	case f.has("steps"):
		p.Steps = r.steps(f.at["steps"], datasets, p.Params)
		for i := range p.Steps {
			p.Steps[i].Compute = cmp.Or(p.Steps[i].Compute, p.Compute)
		}
	case n.Kind == yaml.MappingNode:
		r.at(n, "pipeline.steps is missing: add at least one step, for example `steps: {train: python -m diabetes.train}`")
	}
	p.Gate = r.gate(f, p)
	return p
}

// pool reads the name of a compute pool. Which there are, each server says for
// itself.
func (r *reader) pool(n *yaml.Node, what, otherwise string) string {
	if n == nil {
		return otherwise
	}
	name := r.text(n, what, "local")
	if name != "" && ridgeline.CheckName("pool", name) != nil {
		r.at(n, "%s: %q is no name of a pool: local, or what the server's configuration calls it, in lower case letters, digits and dashes", what, clip(name, 60))
		return otherwise
	}
	return cmp.Or(name, otherwise)
}

// on reads what starts the pipeline.
func (r *reader) on(n *yaml.Node, datasets []string, params []Param) On {
	const what = "pipeline.on"
	f := r.section(n, what, "push", "schedule", "data", "events", "drift")
	r.later(f, what, "drift")
	o := On{Push: r.truth(f.value("push"), what+".push", true)}
	for _, one := range r.items(f.value("schedule")) {
		s, ok := r.schedule(one, what+".schedule", params)
		if ok && slices.ContainsFunc(o.Schedules, func(t Schedule) bool { return sameSchedule(s, t) }) {
			r.at(one, "%s.schedule: %q stands here twice with the same zone and params: remove one", what, s.Cron)
		} else if ok {
			o.Schedules = append(o.Schedules, s)
		}
	}
	o.Data = r.known(f.value("data"), what+".data", "dataset", datasets)
	for _, one := range r.items(f.value("events")) {
		if e, ok := r.event(one, what+".events", params); ok {
			o.Events = append(o.Events, e)
		}
	}
	return o
}

// known reads a list of names that stand elsewhere in the file.
func (r *reader) known(n *yaml.Node, what, kind string, names []string) []string {
	var list []string
	for _, one := range r.items(n) {
		name := r.text(one, what, kind)
		switch {
		case name == "":
		case slices.Contains(list, name):
			r.at(one, "%s: %q stands here twice: remove one", what, clip(name, 60))
		case len(names) == 0:
			r.at(one, "%s: %q: the file has no %s: add it, or remove this", what, clip(name, 60), kind)
		case !slices.Contains(names, name):
			r.at(one, "%s: there is no %s %q: %s", what, kind, clip(name, 60), words.DidYouMean(name, names))
		default:
			list = append(list, name)
		}
	}
	return list
}

// event reads a filter: a map, or just the type.
func (r *reader) event(n *yaml.Node, what string, params []Param) (EventFilter, bool) {
	var e EventFilter
	if n.Kind == yaml.ScalarNode {
		e.Type = r.pattern(n, what, "com.example.data.*")
		return e, e.Type != ""
	}
	f := r.section(n, what, "type", "source", "params")
	e.Type = r.pattern(f.value("type"), what+".type", "com.example.data.*")
	e.Source = r.pattern(f.value("source"), what+".source", "https://example.com/*")
	e.Params = r.given(f.value("params"), what+".params", params)
	if !f.has("type") && !f.has("source") && n.Kind == yaml.MappingNode {
		r.at(n, `%s: every event would start the pipeline: add a type or a source, or write type: "*" if that is meant`, what)
	}
	return e, e.Type+e.Source != ""
}
