package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/courier"
	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/internal/words"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
)

// Local is the pool that every server has: processes of its own machine.
const Local = "local"

// A Pool is where steps compute: what `compute` names in ridgeline.yaml.
type Pool struct {
	Name  string
	Tasks host.Tasks
	// Server is the address under which the pool's tasks reach this server, when
	// they share no disk with it; empty: they run on this machine.
	Server    string
	Resources host.Resources // of a step that asks for none
	Spot      bool           // its places may be taken away, at a lower price
}

// away says that tasks get an image, and their files by the server's routes.
func (p Pool) away() bool { return p.Server != "" }

// pool finds where a step computes.
func (r *Runner) pool(name string) (Pool, error) {
	p, ok := r.Pools[cmp.Or(name, Local)]
	if !ok {
		known := slices.Sorted(maps.Keys(r.Pools))
		return Pool{}, ridgeline.Errorf(ridgeline.Invalid, "compute: this server has no pool %q: %s; pools are set in the server's configuration", name, words.DidYouMean(name, known))
	}
	return p, nil
}

// needs are the resources that a step holds: its own wishes, else the pool's.
func (p Pool) needs(s project.Step) host.Resources {
	return host.Resources{
		CPU: cmp.Or(s.CPU, p.Resources.CPU), Memory: cmp.Or(s.Memory, p.Resources.Memory), GPU: cmp.Or(s.GPU, p.Resources.GPU),
	}
}

// job is one command of the project that is to be run in a pool.
type job struct {
	Work  work
	Name  string     // of its task
	Lock  pyenv.Lock // of its environment
	Dir   string     // its folder on this machine: src, out, home
	Model string     // digest of the model that it judges; empty for none
	// Tracks says that it logs to a run of its own. A spool beside it takes
	// what it logs while the server is away.
	Tracks bool
}

func (j job) out() string { return filepath.Join(j.Dir, "out") }

// task describes what a host has to run, and puts on this machine's disk what
// the host takes from there.
func (r *Runner) task(ctx context.Context, p *passage, pool Pool, j job) (host.Task, error) {
	step := j.Work.Step
	t := host.Task{Name: j.Name, Command: []string{"/bin/sh", "-c", step.Run}, Timeout: step.Timeout, Resources: pool.needs(step)}
	env, err := r.Python.Ensure(ctx, j.Lock, nil)
	if err != nil {
		return t, err
	}
	source := filepath.Join(j.Dir, "src")
	if err := r.checkout(ctx, p.Pipeline.Commit, step, source); err != nil {
		return t, err
	}
	if pool.away() {
		return r.awayTask(ctx, p, pool, j, t, env, source)
	}
	t.Dir = source
	if t.Env, err = r.stepEnv(ctx, p, j.Work, env, j.Dir); err != nil {
		return t, err
	}
	if j.Model != "" {
		model := filepath.Join(j.Dir, "model")
		if err := r.Blob.GetTree(ctx, j.Model, model); err != nil {
			return t, fmt.Errorf("fetch the model: %w", err)
		}
		t.Env = append(t.Env, "RIDGELINE_MODEL="+model)
	}
	if j.Tracks {
		t.Command = r.spooled(step.Run, j.Dir)
	}
	return t, nil
}

// awayTask is a task for a pool without this machine's disk: its code and
// environment are an image, its data and inputs come from the blob store.
func (r *Runner) awayTask(ctx context.Context, p *passage, pool Pool, j job, t host.Task, env pyenv.Env, source string) (host.Task, error) {
	var err error
	if t.Image, err = r.taskImage(ctx, p, j, env, source); err != nil {
		return t, err
	}
	t.Dir, t.Keep = courier.Source, courier.Out
	if j.Tracks { // nobody takes in what it would leave there, so it ends when all is delivered
		t.Command = append([]string{image.ScorerPath, "spool", "--dir", path.Join(courier.Work, "spool")}, t.Command...)
	}
	t.Env = []string{
		"PATH=" + image.EnvironmentPath + "/bin:/usr/local/bin:/usr/bin:/bin", "VIRTUAL_ENV=" + image.EnvironmentPath, "HOME=" + courier.Home, "LANG=C.UTF-8",
		"PYTHONUNBUFFERED=1", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1", "RIDGELINE_OUT=" + courier.Out, "RIDGELINE_RUN_ID=" + string(p.Run.ID),
	}
	sets, err := r.here(ctx, *p, j.Work.Plan)
	if err != nil {
		return t, err
	}
	for name, d := range sets {
		if !j.Work.Step.In.SeesData(name) {
			continue
		}
		key := "RIDGELINE_DATA_" + varName(name)
		for _, part := range []struct{ key, folder, local string }{{key, "all", d.Path}, {key + "_TRAIN", "train", d.Train}, {key + "_HOLDOUT", "holdout", d.Holdout}} {
			at := path.Join(courier.Data, name, part.folder, filepath.Base(part.local))
			f, err := r.offer(ctx, part.local, at)
			if err != nil {
				return t, fmt.Errorf("dataset %q: %w", name, err)
			}
			t.Fetch, t.Env = append(t.Fetch, f), append(t.Env, part.key+"="+at)
		}
	}
	for name, value := range j.Work.seen() {
		t.Env = append(t.Env, "RIDGELINE_PARAM_"+varName(name)+"="+value)
	}
	for step, result := range j.Work.Inputs {
		at := path.Join(courier.In, step)
		if result.Parts == nil {
			t.Fetch = append(t.Fetch, host.Fetch{Path: at, Digest: result.Output, Tree: true})
		}
		for label, digest := range result.Parts {
			t.Fetch = append(t.Fetch, host.Fetch{Path: path.Join(at, label), Digest: digest, Tree: true})
		}
		t.Env = append(t.Env, "RIDGELINE_IN_"+varName(step)+"="+at)
	}
	if j.Model != "" {
		at := path.Join(courier.Work, "model")
		t.Fetch, t.Env = append(t.Fetch, host.Fetch{Path: at, Digest: j.Model, Tree: true}), append(t.Env, "RIDGELINE_MODEL="+at)
	}
	slices.Sort(t.Env)
	slices.SortFunc(t.Fetch, func(a, b host.Fetch) int { return strings.Compare(a.Path, b.Path) })
	return t, nil
}

// offer keeps a file or a folder of this machine where a task can fetch it.
func (r *Runner) offer(ctx context.Context, local, at string) (host.Fetch, error) {
	info, err := os.Stat(local)
	if err != nil {
		return host.Fetch{}, err
	}
	f := host.Fetch{Path: at, Tree: info.IsDir()}
	if f.Tree {
		f.Digest, _, err = r.Blob.PutTree(ctx, local)
	} else {
		f.Digest, _, err = r.Blob.PutFile(ctx, local)
	}
	return f, err
}

// taskImage builds and pushes the image of a step: its code on its environment.
func (r *Runner) taskImage(ctx context.Context, p *passage, j job, env pyenv.Env, source string) (string, error) {
	base, err := filepath.EvalSymlinks(env.Python)
	if err != nil {
		return "", fmt.Errorf("find the environment's interpreter: %w", err)
	}
	img, err := r.Images.BuildTask(ctx, image.TaskSpec{
		Base: image.Base{Interpreter: base}, Scorer: r.Runtime.Scorer, Worker: os.DirFS(r.Runtime.Worker), SitePackages: env.SitePackages, Programs: env.Bin,
		Environment: env.Hash, Python: j.Lock.Python, App: source,
		Labels: map[string]string{"org.opencontainers.image.revision": p.Pipeline.Commit.Hash, "io.ridgeline.project": string(p.Run.Project), "io.ridgeline.environment": env.Hash},
	})
	if err != nil {
		return "", fmt.Errorf("build the image of %s: %w", j.Work.Step.Name, err)
	}
	name, _, err := r.Registry.Push(ctx, r.Images, img, "tasks/"+string(p.Run.Project), "latest")
	if err != nil {
		return "", fmt.Errorf("push the image of %s: %w", j.Work.Step.Name, err)
	}
	return name, nil
}

// bring puts what a task left elsewhere where one of this machine leaves it.
func (r *Runner) bring(ctx context.Context, pool Pool, j job, state host.TaskState) error {
	if !pool.away() || state.ExitCode != 0 || state.Reason != host.Exited {
		return nil
	}
	if _, err := os.Stat(j.out()); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if state.Kept == "" {
		return os.MkdirAll(j.out(), 0o700)
	}
	if err := r.Blob.GetTree(ctx, state.Kept, j.out()); err != nil {
		return fmt.Errorf("fetch what the step left: %w", err)
	}
	return nil
}
