package pipeline

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Comparison is what a reproduction came to beside what it reproduces.
type Comparison struct {
	Run   ridgeline.RunID  `json:"run"`
	Model string           `json:"model" doc:"NAME:V"`
	Of    ridgeline.RunID  `json:"of" doc:"the run that made the version"`
	Same  bool             `json:"same"`
	Step  string           `json:"step,omitempty" doc:"the first step that differs"`
	How   string           `json:"how,omitempty" doc:"in which files and metrics"`
	Steps []StepComparison `json:"steps"`
}

// StepComparison is one step, then and now.
type StepComparison struct {
	Name string `json:"name"`
	Same bool   `json:"same"`
	How  string `json:"how,omitempty"`
}

// Compare sets a run that reproduces a version beside the run that made it,
// step by step: the bytes of what each left, its metrics, and the model's bytes.
func (r *Runner) Compare(ctx context.Context, id ridgeline.RunID) (Comparison, error) {
	run, err := r.Store.Run(ctx, id)
	if err != nil {
		return Comparison{}, err
	}
	name, text, found := strings.Cut(run.Reproduces, ":")
	if !found {
		return Comparison{}, ridgeline.Errorf(ridgeline.Invalid, "run %s reproduces nothing: `ridgeline reproduce NAME:V` starts one that does", id)
	}
	version, err := strconv.Atoi(text)
	if err != nil {
		return Comparison{}, fmt.Errorf("read what run %s reproduces: %w", id, err)
	}
	v, err := r.Store.ModelVersion(ctx, ridgeline.ModelName(name), version)
	if err != nil {
		return Comparison{}, err
	}
	now, err := r.Store.Steps(ctx, id)
	if err != nil {
		return Comparison{}, err
	}
	then, err := r.Store.Steps(ctx, v.Run)
	if err != nil {
		return Comparison{}, err
	}
	before := map[string]ridgeline.Step{}
	for _, s := range then {
		before[s.Name] = s
	}
	out := Comparison{Run: id, Model: run.Reproduces, Of: v.Run, Same: true, Steps: []StepComparison{}}
	for _, s := range instancesFirst(now) {
		c := StepComparison{Name: s.Name, How: r.differ(ctx, before[s.Name], s, v)}
		c.Same = c.How == ""
		if !c.Same && out.Same {
			out.Same, out.Step, out.How = false, c.Name, c.How
		}
		out.Steps = append(out.Steps, c)
	}
	return out, nil
}

// instancesFirst puts a step behind its instances, of which it is made.
func instancesFirst(steps []ridgeline.Step) []ridgeline.Step {
	parents := map[string]ridgeline.Step{}
	for _, s := range steps {
		if s.Parent != "" {
			parents[s.Parent] = ridgeline.Step{}
		}
	}
	var list []ridgeline.Step
	for i, s := range steps {
		if _, is := parents[s.Name]; is {
			parents[s.Name] = s
			continue
		}
		list = append(list, s)
		if s.Parent != "" && (i+1 == len(steps) || steps[i+1].Parent != s.Parent) {
			list = append(list, parents[s.Parent])
		}
	}
	return list
}

// differ says how a step came out otherwise than then; nothing when it did not.
func (r *Runner) differ(ctx context.Context, then, now ridgeline.Step, v ridgeline.ModelVersion) string {
	switch {
	case now.Status == then.Status && now.Status != ridgeline.Succeeded:
		return ""
	case now.Status != ridgeline.Succeeded:
		return fmt.Sprintf("it %s then and is %s now: %s", then.Status, now.Status, firstLine(now.Message))
	case then.Result.Output == "" && then.Result.Parts == nil:
		if now.Name != train || now.Result.Model == v.Artifact {
			return ""
		}
		return "the model's bytes (what else there was then was not noted)"
	}
	var how []string
	if !maps.Equal(then.Result.Best, now.Result.Best) {
		how = append(how, fmt.Sprintf("best of the sweep: %v → %v", then.Result.Best, now.Result.Best))
	}
	how = append(how, metricChanges(then.Result.Metrics, now.Result.Metrics)...)
	if digestOf(then.Result) != digestOf(now.Result) && then.Result.Parts == nil {
		how = append(how, r.outputChanges(ctx, then.Result.Output, now.Result.Output)...)
	}
	if then.Result.Model != now.Result.Model {
		how = append(how, "the model's bytes differ")
	}
	if how == nil && digestOf(then.Result) != digestOf(now.Result) {
		how = append(how, "its instances differ")
	}
	return strings.Join(how, "; ")
}

func (r *Runner) outputChanges(ctx context.Context, then, now string) []string {
	sums := func(digest string) (map[string]string, error) {
		files, err := r.Blob.Files(ctx, digest)
		return visible(files, nil), err
	}
	old, err := sums(then)
	if err != nil {
		return []string{"what it left then cannot be read: " + err.Error()}
	}
	fresh, err := sums(now)
	if err != nil {
		return []string{"what it left now cannot be read: " + err.Error()}
	}
	list := fileChanges(old, fresh)
	if len(list) > 10 {
		list = append(list[:10], fmt.Sprintf("and %d files more", len(list)-10))
	}
	return list
}

// metricChanges lists metrics that are not exactly what they were.
func metricChanges(then, now ridgeline.Metrics) []string {
	var list []string
	names := maps.Clone(then)
	if names == nil {
		names = ridgeline.Metrics{}
	}
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, was := then[name]
		b, is := now[name]
		switch {
		case was && is && (a == b || math.IsNaN(a) && math.IsNaN(b)):
		case was && is:
			list = append(list, fmt.Sprintf("%s %v → %v", name, a, b))
		case was:
			list = append(list, fmt.Sprintf("%s %v → none", name, a))
		default:
			list = append(list, fmt.Sprintf("%s none → %v", name, b))
		}
	}
	return list
}

// reproduced is the end of a run that reproduces a version.
func (r *Runner) reproduced(ctx context.Context, p *passage) (ending, error) {
	c, err := r.Compare(ctx, p.Run.ID)
	if err != nil {
		return ending{}, err
	}
	if c.Same {
		return ending{ridgeline.Succeeded, c.Model + " came out the same, byte by byte"}, nil
	}
	return ending{ridgeline.Succeeded, fmt.Sprintf("%s came out otherwise, first in step %s: %s", c.Model, c.Step, c.How)}, nil
}
