package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// stepEnv is the environment of a step's command: the step contract.
func (r *Runner) stepEnv(ctx context.Context, p *passage, w work, env pyenv.Env, dir string) ([]string, error) {
	out, home := filepath.Join(dir, "out"), filepath.Join(dir, "home")
	for _, d := range []string{out, home} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	vars := append(env.Vars(home), "RIDGELINE_OUT="+out, "RIDGELINE_RUN_ID="+string(p.Run.ID))
	sets, err := r.here(ctx, *p, w.Plan)
	if err != nil {
		return nil, err
	}
	for name, d := range sets {
		if w.Step.In.SeesData(name) {
			key := "RIDGELINE_DATA_" + varName(name)
			vars = append(vars, key+"="+d.Path, key+"_TRAIN="+d.Train, key+"_HOLDOUT="+d.Holdout)
		}
	}
	for name, value := range w.seen() {
		vars = append(vars, "RIDGELINE_PARAM_"+varName(name)+"="+value)
	}
	for step, result := range w.Inputs {
		in := filepath.Join(p.Dir, "in", digestOf(result))
		if err := r.fetch(ctx, result, in); err != nil {
			return nil, fmt.Errorf("fetch the output of %s: %w", step, err)
		}
		vars = append(vars, "RIDGELINE_IN_"+varName(step)+"="+in)
	}
	slices.Sort(vars)
	return vars, nil
}

// fetch puts what a step left into dir: the folder it wrote, or of a matrix a
// folder with one subfolder for each instance.
func (r *Runner) fetch(ctx context.Context, result ridgeline.Result, dir string) error {
	if result.Parts == nil {
		return r.Blob.GetTree(ctx, result.Output, dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for label, digest := range result.Parts {
		if err := r.Blob.GetTree(ctx, digest, filepath.Join(dir, label)); err != nil {
			return err
		}
	}
	return nil
}

// digestOf is the digest of what a step left.
func digestOf(result ridgeline.Result) string {
	if result.Parts == nil {
		return result.Output
	}
	sum := sha256.New()
	for _, label := range slices.Sorted(maps.Keys(result.Parts)) {
		fmt.Fprintf(sum, "%s %s\n", result.Parts[label], label)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// mark saves a step of the pipeline's own. It keeps the start it was first
// seen with.
func (r *Runner) mark(ctx context.Context, row ridgeline.Step) error {
	return r.Store.InTx(ctx, func(tx *store.Store) error {
		old, err := tx.Step(ctx, row.Run, row.Name)
		if err != nil {
			return err
		}
		if !old.Started.IsZero() {
			row.Started = old.Started
		}
		return tx.SaveStep(ctx, row)
	})
}

func varName(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }

func lockOf(p ridgeline.Pipeline) pyenv.Lock {
	return pyenv.Lock{Hash: p.Environment, Text: p.Lock, Python: p.Python}
}
