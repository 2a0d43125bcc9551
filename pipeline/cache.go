package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// ingredients are all that a step's result is made of, as far as it can see.
// Its resources, its timeout and the run's id are not among them.
type ingredients struct {
	Command     string             `json:"command"`
	Train       bool               `json:"train,omitempty"` // its model is taken apart from its output
	Out         []string           `json:"out,omitempty"`
	Tree        string             `json:"tree"`               // the commit's
	Patterns    []string           `json:"patterns,omitempty"` // of the files of it that the step sees
	Code        string             `json:"code"`               // digest of those files
	Params      map[string]string  `json:"params,omitempty"`
	Data        map[string]content `json:"data,omitempty"`
	Environment string             `json:"environment"`
	Python      string             `json:"python"`
	Inputs      map[string]string  `json:"inputs,omitempty"` // step → digest of what it left
}

// content is one dataset and how its rows are set apart.
type content struct {
	Digest   string   `json:"digest"`
	Fraction float64  `json:"fraction"`
	Key      []string `json:"key,omitempty"`
}

// ingredientsOf gathers what a node's result will be made of.
func ingredientsOf(p *passage, w work) ingredients {
	in := ingredients{
		Command: w.Step.Run, Train: w.Step.Name == train, Out: w.Step.Out, Tree: p.Pipeline.Commit.Tree, Code: p.Pipeline.Commit.Tree,
		Params: w.seen(), Data: map[string]content{}, Environment: p.Pipeline.Environment, Python: p.Pipeline.Python, Inputs: map[string]string{},
	}
	if w.Step.In != nil && w.Step.In.Code != nil {
		in.Patterns, in.Code = w.Step.In.Code, w.Plan.Code[w.Step.Name]
	}
	for _, d := range p.Config.Data {
		if w.Step.In.SeesData(d.Name) {
			in.Data[d.Name] = content{w.Plan.Data[d.Name].Digest, d.Holdout.Fraction, d.Holdout.Key}
		}
	}
	for name, result := range w.Inputs {
		in.Inputs[name] = digestOf(result)
	}
	return in
}

// key is the sha256 of what decides, as JSON: equal keys, equal results. Which
// commit the files came from and by which patterns they were chosen does not
// decide, the files do.
func (in ingredients) key() (string, error) {
	in.Tree, in.Patterns = "", nil
	text, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte("step 1\n"), text...))
	return hex.EncodeToString(sum[:]), nil
}

// codeOf is a digest of the files that a step sees.
func codeOf(files []blob.TreeFile, in *project.Inputs) string {
	sum := sha256.New()
	for _, f := range files {
		if in.SeesCode(f.Path) {
			fmt.Fprintf(sum, "%s %s\n", f.SHA256, f.Path)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// recall looks for an earlier result that was made of the same, and puts it
// into the row when there is one; else it notes there why not.
func (r *Runner) recall(ctx context.Context, p *passage, w work, row *ridgeline.Step) (hit bool, err error) {
	in := ingredientsOf(p, w)
	if row.Key, err = in.key(); err != nil {
		return false, err
	}
	if row.Ingredients, err = json.Marshal(in); err != nil {
		return false, err
	}
	run := p.Run
	if run.From != "" && (w.Step.Name == run.From || slices.Contains(p.Config.Pipeline.Before(w.Step.Name), run.From)) {
		row.Note = fmt.Sprintf("runs anew: it was asked for from %s on", run.From)
		return false, nil
	}
	var candidates []ridgeline.Step
	if run.Resumes != "" {
		old, err := r.Store.Step(ctx, run.Resumes, w.Name)
		if err != nil && ridgeline.CodeOf(err) != ridgeline.NotFound {
			return false, err
		}
		if err == nil && old.Status == ridgeline.Succeeded && old.Key == row.Key {
			if !old.Cached {
				old.Source = old.Run
			}
			candidates = append(candidates, old)
		}
	}
	switch {
	case run.NoCache:
		row.Note = "runs anew: the run was asked for without the cache"
	case !w.Step.Cache:
		row.Note = "runs anew: ridgeline.yaml says cache: false"
	default:
		row.Note = "runs: nothing was made of the same before"
		earlier, err := r.Store.Earlier(ctx, run.Project, row.Key, 5)
		if err != nil {
			return false, err
		}
		candidates = append(candidates, earlier...)
	}
	for _, old := range candidates {
		lost, err := r.intact(ctx, old.Result)
		if err != nil {
			return false, err
		}
		if lost != "" {
			row.Note = fmt.Sprintf("runs again: what run %s made of the same %s", old.Source, lost)
			continue
		}
		row.Cached, row.Source, row.Result = true, old.Source, old.Result
		row.Started = time.Now().UTC()
		row.Note = fmt.Sprintf("run %s made it of the same", old.Source)
		return true, nil
	}
	return false, nil
}

// intact says what is wrong with a kept result; nothing when it is whole.
func (r *Runner) intact(ctx context.Context, result ridgeline.Result) (lost string, err error) {
	for _, digest := range []string{result.Output, result.Model} {
		if digest == "" {
			continue
		}
		err := r.Blob.Verify(ctx, digest)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return "", ctx.Err()
		case ridgeline.CodeOf(err) == ridgeline.NotFound:
			return fmt.Sprintf("is gone (blob %s)", digest[:12]), nil
		default:
			r.Log.Warn("a kept result cannot be read", "blob", digest, "error", err)
			return fmt.Sprintf("is damaged (blob %s)", digest[:12]), nil
		}
	}
	return "", nil
}
