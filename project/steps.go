package project

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline/internal/words"
)

// reserved are the steps that the pipeline adds itself.
var reserved = []string{"pack", "gate", "register"}

func (r *reader) pipeline(n *yaml.Node) Pipeline {
	p := Pipeline{On: On{Push: true}, Overlap: OverlapQueue, Compute: "local"}
	f := r.section(n, "pipeline", "on", "compute", "steps", "gate")
	if on := f.value("on"); on != nil {
		of := r.section(on, "pipeline.on", "push", "schedule", "data", "drift")
		r.later(of, "pipeline.on", "schedule", "data", "drift")
		p.On.Push = r.truth(of.value("push"), "pipeline.on.push", true)
	}
	if c := f.value("compute"); c != nil {
		if name := r.text(c, "pipeline.compute", "local"); name != "" && name != "local" {
			r.at(c, "pipeline.compute: %q is not supported by this version yet: use local", clip(name, 60))
		}
	}
	switch {
	case f.has("steps"):
		p.Steps = r.steps(f.at["steps"])
	case n.Kind == yaml.MappingNode:
		r.at(n, "pipeline.steps is missing: add at least one step, for example `steps: {train: python -m diabetes.train}`")
	}
	p.Gate = r.gate(f, p)
	return p
}

func (r *reader) steps(e entry) []Step {
	var list []Step
	var trainAt int
	entries := r.entries(e.value, "pipeline.steps", "a map from a step's name to its command")
	if len(entries) == 0 && e.value.Kind == yaml.MappingNode {
		r.at(e.key, "pipeline.steps is empty: add at least one step, for example `train: python -m diabetes.train`")
	}
	for i, s := range entries {
		r.checkName(s.key, "step", s.name)
		if slices.Contains(reserved, s.name) {
			r.at(s.key, "%s: the pipeline has a step of this name itself: choose another", stepWhat(s.name))
		}
		if s.name == StepTrain {
			trainAt = i + 1
		}
		step := r.step(s)
		if i > 0 { // a step that does not say needs the one before it
			step.Needs = []string{entries[i-1].name}
		}
		list = append(list, step)
	}
	for i, s := range entries {
		if s.name != StepEvaluate {
			continue
		}
		switch {
		case trainAt == 0:
			r.at(s.key, "%s: there is no step train whose model it could judge: add one, or name this step otherwise", stepWhat(s.name))
		case i+1 < trainAt:
			r.at(s.key, "%s: it judges the model that train makes: put it after train", stepWhat(s.name))
		}
	}
	return list
}

func (r *reader) step(e entry) Step {
	what := stepWhat(e.name)
	s := Step{Name: e.name, Timeout: 2 * time.Hour, Retries: Retries{Longest: 10 * time.Minute}, Cache: true, Compute: "local"}
	if e.value.Kind == yaml.ScalarNode {
		s.Run = r.text(e.value, what, "`python -m diabetes.train`")
		return s
	}
	f := r.section(e.value, what, "run", "timeout", "retries", "cpu", "memory")
	if !f.has("run") && e.value.Kind == yaml.MappingNode {
		r.at(e.key, "%s: run is missing: add the command, for example `run: python -m diabetes.train`", what)
	}
	s.Run = r.text(f.value("run"), what+".run", "`python -m diabetes.train`")
	s.Timeout = r.duration(f.value("timeout"), what+".timeout", s.Timeout)
	s.Retries = Retries{Count: r.whole(f.value("retries"), what+".retries", 0, 0, 100), Longest: 10 * time.Minute}
	s.CPU = r.number(f.value("cpu"), what+".cpu", 0, 0, 1024)
	s.Memory = r.size(f.value("memory"), what+".memory")
	return s
}

// betterOf says which way a metric improves, for those whose name tells.
var betterOf = map[string]string{
	"mse": "lower", "rmse": "lower", "mae": "lower", "mape": "lower", "error_rate": "lower", "log_loss": "lower", "brier": "lower", "loss": "lower",
	"accuracy": "higher", "balanced_accuracy": "higher", "f1": "higher", "precision": "higher", "recall": "higher", "auc": "higher", "roc_auc": "higher", "pr_auc": "higher", "r2": "higher",
}

func (r *reader) gate(f fields, p Pipeline) Gate {
	trains := slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Name == StepTrain })
	if !f.has("gate") {
		if trains {
			r.at(f.node, "pipeline.gate is missing: a pipeline that trains needs the metric that decides, for example `gate: {metric: mse}`")
		}
		return Gate{}
	}
	e := f.at["gate"]
	if !trains && len(p.Steps) > 0 {
		r.at(e.key, "pipeline.gate: the pipeline has no step named train, so there is no model to judge: add the step, or remove gate")
		return Gate{}
	}
	gf := r.section(e.value, "pipeline.gate", "metric", "better", "min_effect", "alpha", "slices", "tolerance", "baseline", "budget", "limits")
	g := Gate{
		Metric:    r.text(gf.value("metric"), "pipeline.gate.metric", "mse"),
		Better:    r.word(gf.value("better"), "pipeline.gate.better", "", "lower", "higher"),
		MinEffect: r.effect(gf.value("min_effect"), "pipeline.gate.min_effect", Effect{Value: 0.01, Relative: true}),
		Alpha:     r.share(gf.value("alpha"), "pipeline.gate.alpha", 0.05, 0.5),
		Slices:    r.texts(gf.value("slices"), "pipeline.gate.slices", "sex"),
	}
	if !gf.has("metric") && e.value.Kind == yaml.MappingNode {
		r.at(e.key, "pipeline.gate.metric is missing: name what decides, for example `metric: mse`")
	}
	if g.Metric != "" && !gf.has("better") {
		var ok bool
		if g.Better, ok = betterOf[g.Metric]; !ok && strings.HasPrefix(g.Metric, "quantile_") {
			g.Better = "lower"
		} else if !ok {
			hint := ""
			if k, near := words.Nearest(g.Metric, slices.Sorted(maps.Keys(betterOf))); near {
				hint = "did you mean " + k + "? If not, "
			}
			r.at(gf.value("metric"), "pipeline.gate.metric: whether %q should be low or high is not known: %sadd `better: lower` or `better: higher`", clip(g.Metric, 60), hint)
		}
	}
	g.Tolerance = r.worsening(gf.value("tolerance"), g.Slices)
	g.Baseline = r.baseline(gf.value("baseline"))
	g.Decisions, g.Fresh = 20, 0.5
	if b := gf.value("budget"); b != nil {
		bf := r.section(b, "pipeline.gate.budget", "decisions", "fresh")
		g.Decisions = r.whole(bf.value("decisions"), "pipeline.gate.budget.decisions", 20, 1, 10000)
		g.Fresh = r.share(bf.value("fresh"), "pipeline.gate.budget.fresh", 0.5, 1)
	}
	if l := gf.value("limits"); l != nil {
		g.Limits = r.limits(l, g.Slices)
	}
	return g
}
