package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// Why is why a step ran, or did not have to.
type Why struct {
	Run     ridgeline.RunID  `json:"run"`
	Step    string           `json:"step"`
	Status  ridgeline.Status `json:"status"`
	Cached  bool             `json:"cached"`
	Source  ridgeline.RunID  `json:"source,omitempty" doc:"the run that made its result, when cached"`
	Reason  string           `json:"reason"`
	Before  ridgeline.RunID  `json:"before,omitempty" doc:"the newest older run in which this step succeeded"`
	Changes []string         `json:"changes" doc:"what is not as it was then"`
}

// Why explains a step of a run: what the cache said, and what has changed since
// the step last succeeded.
func (r *Runner) Why(ctx context.Context, id ridgeline.RunID, name string) (Why, error) {
	run, err := r.Store.Run(ctx, id)
	if err != nil {
		return Why{}, err
	}
	step, err := r.Store.Step(ctx, id, name)
	if err != nil {
		return Why{}, err
	}
	out := Why{Run: id, Step: name, Status: step.Status, Cached: step.Cached, Source: step.Source, Reason: step.Note, Changes: []string{}}
	if step.Key == "" {
		out.Reason = r.keyless(ctx, step)
		return out, nil
	}
	before, found, err := r.Store.Before(ctx, run, name)
	if err != nil || !found {
		return out, err
	}
	out.Before = before.Run
	var then, now ingredients
	if err := json.Unmarshal(before.Ingredients, &then); err != nil {
		return Why{}, fmt.Errorf("read what step %s of run %s was made of: %w", name, before.Run, err)
	}
	if err := json.Unmarshal(step.Ingredients, &now); err != nil {
		return Why{}, fmt.Errorf("read what step %s of run %s was made of: %w", name, id, err)
	}
	out.Changes = append(out.Changes, r.codeChanges(ctx, then, now)...)
	out.Changes = append(out.Changes, changes(then, now)...)
	return out, nil
}

// keyless says why the cache had no say.
func (r *Runner) keyless(ctx context.Context, step ridgeline.Step) string {
	steps, err := r.Store.Steps(ctx, step.Run)
	for _, s := range steps {
		if err == nil && s.Parent == step.Name {
			return fmt.Sprintf("it is made of its instances: ask for one of them, such as %s", s.Name)
		}
	}
	switch {
	case slices.Contains([]string{pack, evaluate, decide, register}, step.Name):
		return "the pipeline's own steps always run"
	case step.Status == ridgeline.Queued:
		return "it has not begun"
	case step.Status == ridgeline.Skipped || step.Status == ridgeline.Cancelled:
		return step.Message
	}
	return "it ran before what steps are made of was noted"
}

// codeChanges names the files that are not as they were.
func (r *Runner) codeChanges(ctx context.Context, then, now ingredients) []string {
	if then.Code == now.Code && len(then.Patterns) == len(now.Patterns) {
		return nil
	}
	old, err := r.Blob.Files(ctx, then.Tree)
	if err != nil {
		return []string{"the code changed; how cannot be told, as what it was is gone"}
	}
	fresh, err := r.Blob.Files(ctx, now.Tree)
	if err != nil {
		return []string{"the code changed; how cannot be told, as what it is now is gone"}
	}
	list := fileChanges(visible(old, then.Patterns), visible(fresh, now.Patterns))
	if len(list) > 10 {
		list = append(list[:10], fmt.Sprintf("and %d files more", len(list)-10))
	}
	return list
}

func visible(files []blob.TreeFile, patterns []string) map[string]string {
	in := &project.Inputs{Code: patterns}
	out := map[string]string{}
	for _, f := range files {
		if in.SeesCode(f.Path) {
			out[f.Path] = f.SHA256
		}
	}
	return out
}

// fileChanges lists files by name: changed, added or removed.
func fileChanges(then, now map[string]string) []string {
	var list []string
	both := maps.Clone(then)
	maps.Copy(both, now)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		old, was := then[name]
		fresh, is := now[name]
		switch {
		case !was:
			list = append(list, name+" added")
		case !is:
			list = append(list, name+" removed")
		case old != fresh:
			list = append(list, name+" changed")
		}
	}
	return list
}

// changes lists what is not as it was, beside the code.
func changes(then, now ingredients) []string {
	var list []string
	if then.Command != now.Command {
		list = append(list, fmt.Sprintf("command %q → %q", clip(then.Command, 60), clip(now.Command, 60)))
	}
	if !slices.Equal(then.Out, now.Out) {
		list = append(list, fmt.Sprintf("out %v → %v", then.Out, now.Out))
	}
	list = append(list, valueChanges("params", then.Params, now.Params)...)
	data := func(in ingredients) (digests, rules map[string]string) {
		digests, rules = map[string]string{}, map[string]string{}
		for name, c := range in.Data {
			digests[name], rules[name] = short("sha256:"+c.Digest), fmt.Sprintf("%g by %s", c.Fraction, strings.Join(c.Key, "+"))
		}
		return digests, rules
	}
	oldData, oldRules := data(then)
	newData, newRules := data(now)
	list = append(list, valueChanges("data", oldData, newData)...)
	for name, rule := range newRules {
		if old, was := oldRules[name]; was && old != rule {
			list = append(list, fmt.Sprintf("holdout of %s %s → %s", name, old, rule))
		}
	}
	if then.Python != now.Python {
		list = append(list, fmt.Sprintf("Python %s → %s", then.Python, now.Python))
	}
	if then.Environment != now.Environment {
		list = append(list, fmt.Sprintf("environment %s → %s", clip(then.Environment, 12), clip(now.Environment, 12)))
	}
	both := maps.Clone(then.Inputs)
	if both == nil {
		both = map[string]string{}
	}
	maps.Copy(both, now.Inputs)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		if then.Inputs[name] != now.Inputs[name] {
			list = append(list, "output of "+name+" changed")
		}
	}
	return list
}

func valueChanges(what string, then, now map[string]string) []string {
	var list []string
	both := map[string]string{}
	maps.Copy(both, then)
	maps.Copy(both, now)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		old, was := then[name]
		fresh, is := now[name]
		switch {
		case !was:
			list = append(list, fmt.Sprintf("%s %s added (%s)", what, name, clip(fresh, 60)))
		case !is:
			list = append(list, fmt.Sprintf("%s %s removed", what, name))
		case old != fresh:
			list = append(list, fmt.Sprintf("%s %s %s → %s", what, name, clip(old, 60), clip(fresh, 60)))
		}
	}
	return list
}
