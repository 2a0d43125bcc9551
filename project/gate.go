package project

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// betterOf says which way a metric improves, for those whose name tells.
var betterOf = map[string]string{
	"mse": "lower", "rmse": "lower", "mae": "lower", "mape": "lower", "error_rate": "lower", "log_loss": "lower", "brier": "lower", "loss": "lower",
	"accuracy": "higher", "balanced_accuracy": "higher", "f1": "higher", "precision": "higher", "recall": "higher", "auc": "higher", "roc_auc": "higher", "pr_auc": "higher", "r2": "higher",
}

func betterNames() []string { return slices.Sorted(maps.Keys(betterOf)) }

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
		MinEffect: r.effect(gf.value("min_effect"), "pipeline.gate.min_effect", Effect{Value: 0.01, Relative: true}),
		Alpha:     r.share(gf.value("alpha"), "pipeline.gate.alpha", 0.05, 0.5),
		Slices:    r.texts(gf.value("slices"), "pipeline.gate.slices", "sex"),
	}
	g.Better = r.better(gf, "pipeline.gate", g.Metric)
	if !gf.has("metric") && e.value.Kind == yaml.MappingNode {
		r.at(e.key, "pipeline.gate.metric is missing: name what decides, for example `metric: mse`")
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
