package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// collect takes in what a step left in its output folder.
func (r *Runner) collect(ctx context.Context, step project.Step, task, dir string) (outcome, error) {
	missing := func(err error) (outcome, error) {
		return outcome{Status: ridgeline.Failed, Reason: fmt.Sprintf("%s: %v", step.Name, err)}, nil
	}
	var out ridgeline.Result
	var err error
	if err := left(dir, step.Out); err != nil {
		return missing(err)
	}
	if out.Metrics, err = readMetrics(filepath.Join(dir, "metrics.json")); err != nil {
		return missing(err)
	}
	if step.Name == train {
		if err := r.loggedModel(ctx, task, dir); err != nil {
			return outcome{}, err
		}
		folder, err := modelFolder(dir)
		if err != nil {
			return outcome{Status: ridgeline.Failed, Reason: err.Error()}, nil
		}
		if out.Model, _, err = r.Blob.PutTree(ctx, folder); err != nil {
			return outcome{}, fmt.Errorf("keep the model: %w", err)
		}
		if out.Size, err = treeSize(folder); err != nil {
			return outcome{}, err
		}
	}
	if out.Output, _, err = r.Blob.PutTree(ctx, dir); err != nil {
		return outcome{}, fmt.Errorf("keep the output of %s: %w", step.Name, err)
	}
	return outcome{Status: ridgeline.Succeeded, Result: out}, nil
}

// loggedModel brings the model that train logged to where it would have saved
// it, unless it did save one.
func (r *Runner) loggedModel(ctx context.Context, task, dir string) error {
	saved := filepath.Join(dir, "model")
	if _, err := os.Lstat(saved); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := filepath.Join(dir, "..", "logged-model")
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	found, err := r.Tracking.Model(ctx, task, temp)
	if err != nil || !found {
		return err
	}
	return os.Rename(temp, saved)
}

// withLogged adds the metrics that the script logged to those that it wrote
// down, which count when both are there.
func withLogged(written, logged ridgeline.Metrics) ridgeline.Metrics {
	if len(logged) == 0 {
		return written
	}
	all := maps.Clone(logged)
	maps.Copy(all, written)
	return all
}

// left looks whether a step left what it has to.
func left(dir string, names []string) error {
	var missing []string
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, name)
		} else if err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	there := []string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		there = append(there, filepath.ToSlash(name))
		if err == nil && len(there) == 20 {
			there = append(there, "…")
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(there) == 0 {
		there = []string{"nothing"}
	}
	return ridgeline.Errorf(ridgeline.Invalid, "exited 0, but left no %s in $RIDGELINE_OUT, which `out` asks for; there is: %s", strings.Join(missing, ", "), strings.Join(there, ", "))
}

// modelFolder finds what train left. A single file becomes a folder of its
// own, so that a model is always a folder.
func modelFolder(out string) (string, error) {
	path := filepath.Join(out, "model")
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
			return path, nil
		}
		return "", ridgeline.Errorf(ridgeline.Invalid, "train exited 0, but the folder $RIDGELINE_OUT/model is empty: save the model there")
	}
	if err == nil {
		folder := path + ".d"
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", err
		}
		target := filepath.Join(folder, "model")
		if err := os.Link(path, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		return folder, nil
	}
	return "", ridgeline.Errorf(ridgeline.Invalid, "train exited 0, but left no model: save it to $RIDGELINE_OUT/model (a file or a folder), or log it with MLflow (log_model)")
}

func treeSize(dir string) (int64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// readMetrics reads a flat JSON object of numbers, and NaN and Infinity as
// Python writes them: a side metric that cannot be computed is no reason to
// lose what was trained. No file is no metrics.
func readMetrics(path string) (ridgeline.Metrics, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found map[string]json.RawMessage
	if err := json.Unmarshal(quoteNames(text), &found); err != nil || found == nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "metrics.json: expected one object of numbers such as {\"mse\": 2900.5}, got %q: %v", clip(string(text), 100), err)
	}
	metrics := make(ridgeline.Metrics, len(found))
	for name, raw := range found {
		text := string(raw)
		if len(text) > 1 && slices.Contains(jsonNames, text[1:len(text)-1]) {
			text = text[1 : len(text)-1]
		}
		if metrics[name], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "metrics.json: expected one object of numbers such as {\"mse\": 2900.5}, but %s is %s", name, clip(text, 100))
		}
	}
	return metrics, nil
}

// jsonNames are what Python's json writes for numbers that JSON does not have.
var jsonNames = []string{"NaN", "-Infinity", "Infinity"}

// quoteNames puts those names, where they stand outside of strings, between
// quotes.
func quoteNames(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		n := 1
		if text[i] == '"' { // to the end of the string
			for i+n < len(text) && text[i+n] != '"' {
				if text[i+n] == '\\' {
					n++
				}
				n++
			}
			n = min(n+1, len(text)-i)
			out = append(out, text[i:i+n]...)
			i += n
			continue
		}
		for _, name := range jsonNames {
			if bytes.HasPrefix(text[i:], []byte(name)) {
				n = len(name)
				out = append(out, '"')
				out = append(out, name...)
				out = append(out, '"')
				break
			}
		}
		if n == 1 {
			out = append(out, text[i])
		}
		i += n
	}
	return out
}

func describe(metrics ridgeline.Metrics) string {
	names := make([]string, 0, len(metrics))
	for name := range metrics {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %.6g", name, metrics[name])
	}
	return strings.Join(names, ", ")
}
