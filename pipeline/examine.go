package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/python"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
)

// examined is what a model that is served by itself says of itself.
type examined struct {
	Reason    string          // why it cannot be served
	Folder    string          // digest of its folder as it is packed: with what it was converted to, where it was
	Framework string          // and version
	Signature json.RawMessage // as score/tensor has it; null when the model does not tell
	Onnx      string          // the verdict of converting it; empty when nobody asked for that
}

// convertRows bounds the rows that a converted model has to answer alike.
const convertRows = 10_000

// examine loads the model as a worker will, in its own environment and beside
// its own code, before anything is built of it: one that cannot be served ends
// the run here.
func (r *Runner) examine(ctx context.Context, p *passage, plan plan, model string) (examined, error) {
	if err := r.mark(ctx, p.stepRow(pack, ridgeline.Running, "")); err != nil {
		return examined{}, err
	}
	app, err := r.application(ctx, p)
	if err != nil {
		return examined{}, err
	}
	dir := filepath.Join(p.Dir, "examine")
	folder, home := filepath.Join(dir, "model"), filepath.Join(dir, "home")
	if err := os.RemoveAll(dir); err != nil { // of an attempt that was cut off
		return examined{}, err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return examined{}, err
	}
	if err := r.Blob.GetTree(ctx, model, folder); err != nil {
		return examined{}, fmt.Errorf("fetch the model: %w", err)
	}
	env, err := r.Python.Ensure(ctx, lockOf(p.Pipeline), nil)
	if err != nil {
		return examined{}, err
	}
	report := filepath.Join(dir, "report.json")
	command := []string{env.Python, filepath.Join(r.Runtime.Worker, python.Package, "models", "__main__.py"), "--model", folder, "--report", report}
	if !p.Config.Release.Serve.NoONNX {
		rows, err := r.convertible(ctx, p, plan, dir)
		if err != nil {
			return examined{}, err
		}
		command = append(command, rows...)
	}
	task := ridgeline.TaskName(p.Run.ID, pack+".examine", 1)
	state, err := host.Run(ctx, r.Tasks, host.Task{Name: task, Command: command, Dir: app, Env: env.Vars(home), Timeout: time.Hour}, r.follow(p.Run.ID))
	if err != nil {
		return examined{}, err
	}
	if out := r.failure(ctx, state, "look at the model", task); out.Reason != "" {
		reason := "the model cannot be served without a scoring script (release.score). " + out.Reason
		return examined{Reason: reason}, r.mark(ctx, p.stepRow(pack, ridgeline.Failed, reason))
	}
	return r.described(ctx, report, folder, model)
}

// described reads the report, and keeps the folder when it was added to.
func (r *Runner) described(ctx context.Context, report, folder, model string) (examined, error) {
	text, err := os.ReadFile(report)
	if err != nil {
		return examined{}, fmt.Errorf("read what the model says of itself: %w", err)
	}
	out := examined{Folder: model}
	if err := json.Unmarshal(text, &out); err != nil {
		return examined{}, fmt.Errorf("read what the model says of itself: %w", err)
	}
	if _, err := os.Stat(filepath.Join(folder, ".ridgeline-onnx")); errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	out.Folder, _, err = r.Blob.PutTree(ctx, folder)
	return out, err
}

// convertible writes rows of the holdout, as a model is shown them, and
// returns the arguments that name them: none when no dataset judges.
func (r *Runner) convertible(ctx context.Context, p *passage, plan plan, dir string) ([]string, error) {
	d, ok := p.Config.Judged()
	if !ok {
		return nil, nil
	}
	sets, err := r.here(ctx, *p, plan)
	if err != nil {
		return nil, err
	}
	h, err := readHoldout(ctx, sets[d.Name].Holdout, d, nil)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(h.features))
	for i, f := range h.features {
		names[i] = f.Name
	}
	text, err := json.Marshal(map[string]any{"columns": names, "rows": h.rows[:min(len(h.rows), convertRows)]})
	if err != nil {
		return nil, fmt.Errorf("spell the rows of the holdout: %w", err)
	}
	path := filepath.Join(dir, "rows.json")
	return []string{"--rows", path}, os.WriteFile(path, text, 0o600)
}

// notes says what people should know of the model beside how good it is.
func (e examined) notes(champion *ridgeline.ModelVersion) []string {
	var out []string
	if e.Onnx != "" {
		out = append(out, "The model was "+e.Onnx+".")
	}
	if champion == nil || len(champion.Signature) == 0 {
		return out
	}
	if changes := signatureChanges(champion.Signature, e.Signature); len(changes) > 0 {
		out = append(out, "The signature is not the champion's, so clients may have to change what they send: "+strings.Join(changes, "; ")+".")
	}
	return out
}

// signatureChanges compares two signatures as clients see them.
func signatureChanges(was, is []byte) []string {
	var old, now *tensor.Signature
	if json.Unmarshal(was, &old) != nil || json.Unmarshal(is, &now) != nil || old == nil {
		return nil
	}
	if now == nil {
		return []string{"the model does not tell its signature any more"}
	}
	var out []string
	if old.Form != now.Form {
		out = append(out, fmt.Sprintf("its inputs are a %s and were a %s", formName(now.Form), formName(old.Form)))
	}
	out = append(out, fieldChanges("input", old.Inputs, now.Inputs)...)
	if old.Outputs != nil && now.Outputs != nil {
		out = append(out, fieldChanges("output", old.Outputs, now.Outputs)...)
	}
	return out
}

func formName(f tensor.Form) string {
	return map[tensor.Form]string{tensor.Table: "table", tensor.Array: "nameless array", tensor.Named: "set of named arrays"}[f]
}

func fieldChanges(what string, old, now []tensor.Field) []string {
	var out []string
	find := func(in []tensor.Field, name string) (tensor.Field, bool) {
		i := slices.IndexFunc(in, func(f tensor.Field) bool { return f.Name == name })
		if i < 0 {
			return tensor.Field{}, false
		}
		return in[i], true
	}
	for _, f := range now {
		was, there := find(old, f.Name)
		switch {
		case !there && !f.Optional:
			out = append(out, fmt.Sprintf("%s %s is new", what, label(f)))
		case there && (was.Type != f.Type || !slices.Equal(was.Shape, f.Shape)):
			out = append(out, fmt.Sprintf("%s %s is %s and was %s", what, label(f), kindOf(f), kindOf(was)))
		}
	}
	for _, f := range old {
		if _, there := find(now, f.Name); !there {
			out = append(out, fmt.Sprintf("%s %s is gone", what, label(f)))
		}
	}
	return out
}

func label(f tensor.Field) string {
	if f.Name == "" {
		return "(nameless)"
	}
	return f.Name
}

func kindOf(f tensor.Field) string {
	if len(f.Shape) == 0 {
		return f.Type.String()
	}
	return fmt.Sprint(f.Type, f.Shape)
}
