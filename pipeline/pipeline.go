// Package pipeline drives a run of a published pipeline to its end: the
// user's own steps, then pack, evaluate, gate and register.
//
// What a verdict is made of is gate's, how an image is laid out is image's,
// and what happens to a promoted version afterwards is release's.
package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/intake"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/pyenv"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// Kind is the name under which flow knows a run.
const Kind = "run"

// Tracking is where the scripts of steps log what they do, each attempt by
// itself. All methods are harmless twice.
type Tracking interface {
	// Begin returns what the attempt's command finds in its environment, and the
	// secret in it.
	Begin(ctx context.Context, run ridgeline.Run, step string, try ridgeline.Attempt, timeout time.Duration) (env []string, secret string, err error)
	// End ends it, and returns the last value of each metric it logged.
	End(ctx context.Context, task string, status ridgeline.Status, at time.Time) (ridgeline.Metrics, error)
	// Collect takes in what the attempt's spool left in dir, if anything, and
	// returns what there is to say about it in the attempt's log.
	Collect(ctx context.Context, run ridgeline.Run, dir string) (said string, err error)
	// Model puts the model that the attempt logged last into dir, and reports
	// whether there is one.
	Model(ctx context.Context, task, dir string) (bool, error)
	// RunID names what an attempt logs to, for those who ask there.
	RunID(task string) string
	// Registered puts the files of a registered version's folder into dir.
	Registered(ctx context.Context, folder, dir string) error
}

// A Runner drives runs. All fields are needed.
type Runner struct {
	Store    *store.Store
	Blob     *blob.Store
	Start    func(ctx context.Context, kind, id string) error // sees to it that a flow runs; see flow.Engine
	Tasks    host.Tasks                                       // of this machine: the gate's own work
	Pools    map[string]Pool                                  // by name; one is Local, with Tasks
	Tracking Tracking
	Python   *pyenv.Manager
	Intake   *intake.Intake
	Images   *image.Builder
	Registry Registry
	Runtime  Runtime
	Dir      string // working folders, one per run, removed at its end
	Trees    string // checkouts by tree digest, shared and never written again
	Log      *slog.Logger
	// Packed makes an image runnable on this machine: its scorer's argv, without
	// subcommand, and the environment variables it needs.
	Packed func(ctx context.Context, image string) (argv, env []string, err error)
	// Secrets are what no log shows.
	Secrets func(ctx context.Context) []string
	// Released starts the release that a promotion made.
	Released func(ctx context.Context, id ridgeline.ReleaseID) error

	ended bell // rings when a run has ended here
}

// Registry is where packed images are pushed to: the embedded registry or,
// where Elsewhere is one, another.
type Registry struct {
	Address    string // host:port of the embedded one
	Connection image.Connection
	Elsewhere  *Elsewhere // nil: the embedded one
}

// Elsewhere is a registry that is not ours.
type Elsewhere struct {
	Address    string // host[/prefix]
	Connection image.Connection
}

// Push uploads an image to a repository, under a tag, and tells by which name
// it is stored from here on: repository@digest, with the registry before it
// when that is another one.
func (r Registry) Push(ctx context.Context, b *image.Builder, img *image.Image, repository, tag string) (string, image.Pushed, error) {
	if r.Elsewhere != nil {
		repository = r.Elsewhere.Address + "/" + repository
	}
	ref, c := r.Find(repository)
	pushed, err := b.Push(ctx, img, ref+":"+tag, c)
	return repository + "@" + pushed.Digest, pushed, err
}

// Find is where an image of a stored name is, and how it is reached. What was
// pushed before there was another registry stays in the embedded one.
func (r Registry) Find(stored string) (string, image.Connection) {
	if !ridgeline.HostedImage(stored) {
		return r.Address + "/" + stored, r.Connection
	}
	if r.Elsewhere != nil && strings.HasPrefix(stored, r.Elsewhere.Address+"/") {
		return stored, r.Elsewhere.Connection
	}
	return stored, image.Connection{Docker: true} // one that images went to before
}

// Runtime is what an image needs beside the project: the scorer binary and
// the folder that holds the Python worker.
type Runtime struct {
	Scorer string
	Worker string
	Spool  string // runs beside a step's command, see mlflow/spool
}

// passage is what one run carries from step to step. It is rebuilt from
// checkpoints after a crash, so it holds only what was in them.
type passage struct {
	Run      ridgeline.Run
	Pipeline ridgeline.Pipeline
	Dir      string             `json:"-"` // this server's; another one may go on with the run
	Config   project.Config     `json:"-"`
	left     map[string]outcome // what each of the project's steps came to
	places   *places
	byHand   *ridgeline.ModelVersion // what the run judges, when it has not made that
}

// ending is how a run ends.
type ending struct {
	Status ridgeline.Status
	Reason string
}

// Run is the flow of one run.
func (r *Runner) Run(c *flow.Context, id string) error {
	p, err := flow.Step(c, "turn", func(ctx context.Context) (passage, error) { return r.turn(ctx, ridgeline.RunID(id)) })
	if err != nil || p.Run.Status.Terminal() { // cancelled or superseded before its turn
		return err
	}
	p.Dir, p.places = filepath.Join(r.Dir, id), &places{}
	end, err := r.drive(c, &p)
	if flow.Interrupted(err) {
		return err
	}
	if err != nil {
		end = ending{ridgeline.Failed, err.Error()}
		if ridgeline.CodeOf(err) == ridgeline.Internal {
			r.Log.Error("run", "run", id, "error", err)
		}
	}
	release, err := flow.Tx(c, "finish", func(ctx context.Context, q sqlq.Querier) (ridgeline.ReleaseID, error) {
		s := r.Store.With(q)
		row, err := s.Run(ctx, p.Run.ID)
		if err != nil {
			return "", err
		}
		if row.CancelRequested && end.Status == ridgeline.Failed {
			end = ending{ridgeline.Cancelled, "cancelled"}
		}
		if err := r.closeSteps(ctx, s, p.Run.ID, end); err != nil {
			return "", err
		}
		return row.Release, s.FinishRun(ctx, p.Run.ID, end.Status, end.Reason, time.Now().UTC())
	})
	if err != nil {
		return err
	}
	_, err = flow.Step(c, "hand over", func(ctx context.Context) (struct{}, error) {
		r.ended.tell()
		if release != "" {
			if err := r.Released(ctx, release); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, r.clean(ctx, p)
	})
	return err
}

// drive takes the run through its steps.
func (r *Runner) drive(c *flow.Context, p *passage) (ending, error) {
	plan, err := flow.Step(c, "plan", func(ctx context.Context) (plan, error) { return r.plan(ctx, *p) })
	if err != nil {
		return ending{}, err
	}
	p.Config = plan.Config
	if p.Run.Judges != "" {
		return r.judgeByHand(c, p, plan)
	}
	nodes := graphOf(p.Config.Pipeline, plan.Params)
	outcomes, errs := flow.Graph(c, "step", waits(nodes), func(ctx context.Context, i int, of flow.Results[outcome]) (outcome, error) {
		return r.node(ctx, p, plan, nodes, i, of)
	})
	end, left, err := conclude(nodes, outcomes, errs)
	if err != nil || end.Status != ridgeline.Succeeded {
		return end, err
	}
	if p.Run.Reproduces != "" {
		return flow.Step(c, "compare", func(ctx context.Context) (ending, error) { return r.reproduced(ctx, p) })
	}
	p.left = left
	if left[train].Status != ridgeline.Succeeded { // there is none, or it was skipped
		return end, nil
	}
	return r.judge(c, p, plan, left[train])
}

// The names of steps that mean something.
const (
	train    = project.StepTrain
	evaluate = project.StepEvaluate
	pack     = "pack"
	decide   = "gate"
	register = "register"
)

// plan is what a run works on, fixed before its first step.
type plan struct {
	Config project.Config
	Params map[string]string // of every parameter
	Data   map[string]dataset
	Code   map[string]string // step → digest of the files it sees, of those that see a part
}

// plan names the run's steps and makes its data ready.
func (r *Runner) plan(ctx context.Context, p passage) (plan, error) {
	cfg, err := r.config(ctx, p.Pipeline)
	if err != nil {
		return plan{}, err
	}
	out := plan{Config: cfg, Code: map[string]string{}}
	if out.Params, err = cfg.Params(p.Run.Params); err != nil {
		return plan{}, err
	}
	for _, step := range cfg.Pipeline.Steps {
		if _, err := r.pool(step.Compute); err != nil {
			return plan{}, fmt.Errorf("step %s: %w", step.Name, err)
		}
	}
	var builtIn []string
	if cfg.Trains() && p.Run.Reproduces == "" {
		builtIn = []string{pack, evaluate, decide, register}
	}
	nodes := graphOf(cfg.Pipeline, out.Params)
	if p.Run.Judges != "" {
		nodes = nil
	}
	if err := r.Store.PlanSteps(ctx, p.Run.ID, rows(nodes, builtIn)); err != nil {
		return plan{}, err
	}
	// A dataset of the project's own lies in its tree.
	if err := r.Blob.GetTree(ctx, p.Pipeline.Commit.Tree, r.tree(p.Pipeline)); err != nil {
		return plan{}, fmt.Errorf("check out %s: %w", p.Pipeline.Commit.Short(), err)
	}
	if err := r.readCode(ctx, p.Pipeline.Commit.Tree, &out); err != nil {
		return plan{}, err
	}
	out.Data, err = r.datasets(ctx, p, cfg)
	return out, err
}

// readCode digests the code of the steps that see a part of it.
func (r *Runner) readCode(ctx context.Context, tree string, out *plan) error {
	var files []blob.TreeFile
	for _, step := range out.Config.Pipeline.Steps {
		if step.In == nil || step.In.Code == nil {
			continue
		}
		if files == nil {
			var err error
			if files, err = r.Blob.Files(ctx, tree); err != nil {
				return err
			}
		}
		out.Code[step.Name] = codeOf(files, step.In)
	}
	return nil
}

// tree is where the pipeline's code is checked out, shared and read only.
func (r *Runner) tree(p ridgeline.Pipeline) string { return filepath.Join(r.Trees, p.Commit.Tree) }

// config reads the configuration that the pipeline was published with. One
// published before its text was kept has it in its tree alone.
func (r *Runner) config(ctx context.Context, p ridgeline.Pipeline) (project.Config, error) {
	if p.Config != "" {
		return project.Parse(project.FileName, []byte(p.Config))
	}
	if err := r.Blob.GetTree(ctx, p.Commit.Tree, r.tree(p)); err != nil {
		return project.Config{}, fmt.Errorf("check out %s: %w", p.Commit.Short(), err)
	}
	return project.Load(r.tree(p))
}

// closeSteps gives every step that never began, or was cut off, an end.
func (r *Runner) closeSteps(ctx context.Context, s *store.Store, run ridgeline.RunID, end ending) error {
	steps, err := s.Steps(ctx, run)
	if err != nil {
		return err
	}
	for _, step := range steps {
		switch {
		case step.Status.Terminal():
			continue
		case step.Status == ridgeline.Running:
			step.Status, step.Ended, step.Message = end.Status, time.Now().UTC(), end.Reason
		case end.Status == ridgeline.Succeeded:
			step.Status, step.Message = ridgeline.Skipped, "there was nothing for it to do"
		default:
			step.Status, step.Message = ridgeline.Cancelled, "not reached"
		}
		if err := s.SaveStep(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// clean removes what the run needed while it ran; its logs and outputs are in
// the blob store.
func (r *Runner) clean(ctx context.Context, p passage) error {
	for _, pool := range r.Pools {
		names, err := pool.Tasks.Tasks(ctx)
		if err != nil && pool.away() {
			r.Log.Warn("a compute pool cannot be asked for what is left of a run: it is removed later", "pool", pool.Name, "run", p.Run.ID, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasPrefix(name, "run-"+string(p.Run.ID)+"-") {
				err := pool.Tasks.Remove(ctx, name)
				if err != nil && pool.away() {
					r.Log.Warn("what is left of a run is removed later", "pool", pool.Name, "task", name, "error", err)
					continue
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return os.RemoveAll(p.Dir)
}
