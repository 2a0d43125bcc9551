package ui

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// stepSamples is runs whose steps were declared one by one: as many as fit on a
// page, some more, and 5,000; amid them a step that failed, one with much around
// it, and a layer's list.
func stepSamples() []sample {
	return []sample{
		{"run-40-steps", runSample(sampleDeclared(40, ridgeline.Running, nil))},
		{"run-100-steps", runSample(sampleDeclared(100, ridgeline.Failed, nil))},
		{"run-5000-steps", runSample(sampleDeclared(5000, ridgeline.Running, nil))},
		{"run-5000-steps-amid", runSample(sampleDeclared(5000, ridgeline.Running, url.Values{"step": {"compare"}}))},
		{"run-5000-steps-layer", runSample(sampleDeclared(5000, ridgeline.Running, url.Values{"layer": {"3"}}))},
	}
}

// sampleSteps is n steps, each after what it needs: files that are read, cleaned
// and checked one by one, joined, and models of what was joined.
func sampleSteps(n int) (steps []project.Step) {
	add := func(name string, needs ...string) {
		steps = append(steps, project.Step{Name: name, Run: "python -m diabetes." + strings.TrimRight(name, "-0123456789"), Needs: needs})
	}
	named := func(kind string, i int) string { return fmt.Sprintf("%s-%04d", kind, i) }
	files := n / 4
	joins := files / 5
	fits := n - 3*files - joins - 3
	add("fetch")
	for i, kind := range []string{"read", "clean", "check"} {
		for f := range files {
			add(named(kind, f), []string{"fetch", named("read", f), named("clean", f)}[i])
		}
	}
	for j := range joins {
		var needs []string
		for f := range 5 {
			needs = append(needs, named("clean", j*5+f), named("check", j*5+f))
		}
		add(named("join", j), needs...)
	}
	var all []string
	for f := range fits {
		needs := []string{named("join", f*joins/fits)}
		if other := named("join", (f*7+3)%joins); other != needs[0] {
			needs = append(needs, other)
		}
		all = append(all, named("fit", f))
		add(named("fit", f), needs...)
	}
	add("compare", all...)
	add("report", "compare", "fetch")
	return steps
}

// sampleDeclared is a run of n such steps that is half through, of which some
// have failed.
func sampleDeclared(n int, status ridgeline.Status, q url.Values) runPage {
	body := sampleRun(status, "")
	var steps []ridgeline.Step
	needs, stand, chosen := map[string][]string{}, map[string]ridgeline.Status{}, 0
	for i, s := range sampleSteps(n) {
		at := ridgeline.Succeeded
		switch held := slices.ContainsFunc(s.Needs, func(need string) bool { return stand[need] != ridgeline.Succeeded }); {
		case held:
			at = ridgeline.Queued
		case i == n*3/5 || n > 1000 && i%611 == 610:
			at = ridgeline.Failed
		case i > n*13/20 && status == ridgeline.Running && i%20 < 3:
			at = ridgeline.Running
		case i > n*13/20:
			at = ridgeline.Queued
		}
		if at == ridgeline.Queued && status.Terminal() {
			at = ridgeline.Cancelled
		}
		one := sampleStep(body.ID, s.Name, at)
		if needs[s.Name], stand[s.Name] = s.Needs, at; at == ridgeline.Failed {
			one.Message = "exit code 1: ValueError: Input X contains NaN."
		}
		if q.Get("step") == s.Name || !q.Has("step") && at == ridgeline.Failed {
			chosen = i
		}
		steps = append(steps, one)
	}
	for _, name := range []string{"pack", "evaluate", "gate", "register"} {
		if q.Get("step") == name {
			chosen = len(steps)
		}
		steps = append(steps, ridgeline.Step{Run: body.ID, Name: name, Status: stand["report"]})
	}
	body.fillGraph(steps, needs, chosen, []string{"loading 353 rows of diabetes v3", "ValueError: Input X contains NaN."}, q)
	return body
}

// sampleLargeProject has a pipeline of 300 steps, of which one is looked at.
func sampleLargeProject(builds []ridgeline.Build) projectPage {
	out := sampleProject(builds)
	out.Config.Pipeline.Steps = sampleSteps(300)
	out.draw(url.Values{"step": {"join-0007"}, "before": {"join-0007"}})
	return out
}

// still stops the clocks of steps at work, by which each picture would be
// another.
func (p *runPage) still() {
	for _, g := range []*components.Graph{p.Graph, p.Around} {
		for i := 0; g != nil && i < len(g.Nodes); i++ {
			if n := &g.Nodes[i]; strings.HasPrefix(n.Note, "running · ") {
				n.Note = "running · 1 min"
			}
		}
	}
}
