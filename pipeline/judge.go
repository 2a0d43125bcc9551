package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// challenger is the trained model on its way through the gate.
type challenger struct {
	Model   ridgeline.ModelName
	Version int
	Image   string // repository@sha256:…
	Size    int64  // bytes of the model folder
	examined
}

// judge takes a trained model from its files to a verdict in the registry.
func (r *Runner) judge(c *flow.Context, p *passage, plan plan, trained outcome) (ending, error) {
	cand := challenger{Model: p.Config.Model, Size: trained.Result.Size}
	var err error
	cand.Version, err = flow.Tx(c, "reserve", func(ctx context.Context, q sqlq.Querier) (int, error) {
		return r.Store.With(q).ReserveVersion(ctx, cand.Model, p.Run.ID)
	})
	if err != nil {
		return ending{}, err
	}
	return r.compete(c, p, plan, cand, trained)
}

// compete packs the model of a version, and lets it compete with the champion.
func (r *Runner) compete(c *flow.Context, p *passage, plan plan, cand challenger, trained outcome) (ending, error) {
	var err error
	cand.Folder = trained.Result.Model
	if p.Config.Bare() {
		cand.examined, err = flow.Step(c, "examine", func(ctx context.Context) (examined, error) {
			return r.examine(ctx, p, plan, trained.Result.Model)
		})
		if err != nil || cand.Reason != "" {
			return ending{ridgeline.Failed, cand.Reason}, err
		}
	}
	cand.Image, err = flow.Step(c, pack, func(ctx context.Context) (string, error) {
		return r.pack(ctx, p, plan, cand, trained.Result.Model)
	})
	if err != nil {
		return ending{}, err
	}
	champion, err := flow.Step(c, "champion", func(ctx context.Context) (*ridgeline.ModelVersion, error) {
		v, ok, err := r.Store.Champion(ctx, cand.Model)
		if err != nil || !ok {
			return nil, err
		}
		return &v, nil
	})
	if err != nil {
		return ending{}, err
	}
	scores, err := r.evaluate(c, p, plan, cand, trained.Result.Model, champion)
	if err != nil || scores.Reason != "" {
		return ending{ridgeline.Failed, scores.Reason}, err
	}
	scores.Notes = append(scores.Notes, cand.notes(champion)...)
	if p.byHand != nil {
		scores.Notes = append(scores.Notes, byHandNote)
	}
	judged, err := flow.Step(c, decide, func(ctx context.Context) (judgement, error) {
		return r.decide(ctx, p, plan, cand, champion, trained, scores)
	})
	if err != nil {
		return ending{}, err
	}
	return r.register(c, p, plan, cand, champion, trained, scores, judged)
}

// stepRow is the row of a built-in step.
func (p *passage) stepRow(name string, status ridgeline.Status, message string) ridgeline.Step {
	row := ridgeline.Step{Run: p.Run.ID, Name: name, Status: status, Message: message}
	now := time.Now().UTC()
	row.Started = now
	if status.Terminal() {
		row.Ended = now
	}
	return row
}

// pack builds the image and pushes it. Twice the same is once.
func (r *Runner) pack(ctx context.Context, p *passage, plan plan, cand challenger, model string) (string, error) {
	if err := r.mark(ctx, p.stepRow(pack, ridgeline.Running, "")); err != nil {
		return "", err
	}
	app, err := r.application(ctx, p)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(p.Dir, "model")
	if err := r.Blob.GetTree(ctx, cand.Folder, folder); err != nil {
		return "", fmt.Errorf("fetch the model: %w", err)
	}
	env, err := r.Python.Ensure(ctx, lockOf(p.Pipeline), nil)
	if err != nil {
		return "", err
	}
	// The environment's own interpreter, behind its link: the image must have
	// the Python that its packages were installed for.
	base, err := filepath.EvalSymlinks(env.Python)
	if err != nil {
		return "", fmt.Errorf("find the environment's interpreter: %w", err)
	}
	labels := map[string]string{
		"org.opencontainers.image.title":    string(cand.Model),
		"org.opencontainers.image.version":  strconv.Itoa(cand.Version),
		"org.opencontainers.image.revision": p.Pipeline.Commit.Hash,
		"io.ridgeline.project":              string(p.Run.Project),
		"io.ridgeline.environment":          p.Pipeline.Environment,
		"io.ridgeline.model.sha256":         model,
	}
	for name, d := range plan.Data {
		labels["io.ridgeline.data."+name+".sha256"] = d.Digest
	}
	started := time.Now()
	img, err := r.Images.Build(ctx, image.Spec{
		Base: image.Base{Interpreter: base}, Scorer: r.Runtime.Scorer, Worker: os.DirFS(r.Runtime.Worker),
		SitePackages: env.SitePackages, Environment: env.Hash, Python: p.Pipeline.Python,
		App: app, Model: folder, ModelName: string(cand.Model), Version: cand.Version,
		Score: p.Config.Release.Score, Env: p.Config.Release.Serve.Env(), Labels: labels,
	})
	if err != nil {
		return "", fmt.Errorf("build the image: %w", err)
	}
	// The digest names the image from here on; the version becomes a tag once
	// it is registered.
	name, pushed, err := r.Registry.Push(ctx, r.Images, img, string(cand.Model), "candidate-"+strconv.Itoa(cand.Version))
	if err != nil {
		return "", fmt.Errorf("push the image: %w", err)
	}
	message := fmt.Sprintf("%s: %s pushed (%d of %d blobs), %.2f s",
		short(pushed.Digest), bytesText(pushed.Bytes), pushed.Blobs, len(img.Layers())+1, time.Since(started).Seconds())
	return name, r.mark(ctx, p.stepRow(pack, ridgeline.Succeeded, message))
}

// register records the version with its verdict and, when it is promoted and
// has somewhere to go, its release: one transaction, once per run.
func (r *Runner) register(c *flow.Context, p *passage, plan plan, cand challenger, champion *ridgeline.ModelVersion, trained outcome, s scores, judged judgement) (ending, error) {
	report := judged.Report
	reason := ""
	if len(report.Reasons) > 0 {
		reason = report.Reasons[0]
	}
	off := p.Run.GateOff != ""
	if off {
		reason = fmt.Sprintf("gate off by %s: %s", p.Run.Caller, p.Run.GateOff)
	}
	if report.Verdict == ridgeline.GateError && !off {
		_, err := flow.Tx(c, register, func(ctx context.Context, q sqlq.Querier) (struct{}, error) {
			return struct{}{}, r.Store.With(q).RecordVerdict(ctx, p.Run.ID, report.Verdict, cand.Model, 0)
		})
		return ending{ridgeline.Failed, "gate: " + reason}, err
	}
	_, err := flow.Tx(c, register, func(ctx context.Context, q sqlq.Querier) (struct{}, error) {
		tx := r.Store.With(q)
		now := time.Now().UTC()
		if report.Verdict == ridgeline.Promoted && !off {
			if err := unchanged(ctx, tx, cand.Model, champion); err != nil {
				return struct{}{}, err
			}
		}
		text, err := json.Marshal(report)
		if err != nil {
			return struct{}{}, err
		}
		v := ridgeline.ModelVersion{
			Model: cand.Model, Version: cand.Version, Source: ridgeline.ByPipeline, Project: p.Run.Project, Run: p.Run.ID, Pipeline: p.Pipeline.Version,
			Commit: p.Pipeline.Commit.Hash, Environment: p.Pipeline.Environment, Data: map[string]string{}, Params: together(plan.Params, trained),
			Metrics: map[string]float64{}, Artifact: trained.Result.Model, Size: cand.Size, Image: cand.Image,
			Verdict: report.Verdict, Report: text, Evidence: judged.Evidence, Created: now,
			Framework: cand.Framework, Signature: cand.Signature,
		}
		if p.byHand != nil {
			v.Source, v.Params, v.Registration = ridgeline.ByHand, p.byHand.Params, p.byHand.Registration
		} else if v.TrackingRun, err = r.trackingRun(ctx, tx, p.Run.ID); err != nil {
			return struct{}{}, err
		}
		v.Updated = now
		if off {
			v.Overrides = []ridgeline.Override{{Who: p.Run.Caller, At: now, Reason: p.Run.GateOff, How: "gate off"}}
		}
		for name, d := range plan.Data {
			v.Data[name] = d.Digest
		}
		for name, value := range trained.Result.Metrics {
			v.Metrics["train."+name] = value
		}
		if report.Challenger != nil {
			v.Metrics[report.Metric] = *report.Challenger
		}
		if s.P95 > 0 {
			v.Metrics["p95_ms"] = float64(s.P95.Microseconds()) / 1000
		}
		if err := tx.RegisterVersion(ctx, v); err != nil {
			return struct{}{}, err
		}
		if err := note(ctx, tx, v, judged.Decision); err != nil {
			return struct{}{}, err
		}
		if err := tx.RecordVerdict(ctx, p.Run.ID, report.Verdict, cand.Model, cand.Version); err != nil {
			return struct{}{}, err
		}
		message := fmt.Sprintf("%s version %d, %s", cand.Model, cand.Version, report.Verdict)
		if off {
			message += ", champion by override"
		}
		if err := tx.SaveStep(ctx, p.stepRow(register, ridgeline.Succeeded, message)); err != nil {
			return struct{}{}, err
		}
		if report.Verdict != ridgeline.Promoted && !off || len(p.Config.Release.Environments) == 0 {
			return struct{}{}, nil
		}
		id, err := ridgeline.NewID("l", now, rand.Read)
		if err != nil {
			return struct{}{}, err
		}
		release := ridgeline.Release{
			ID: ridgeline.ReleaseID(id), Project: p.Run.Project, Model: cand.Model, Version: cand.Version, Status: ridgeline.Queued,
			Cause: "run " + string(p.Run.ID), Caller: p.Run.Caller, Created: now,
		}
		for _, e := range p.Config.Release.Environments {
			release.Environments = append(release.Environments, ridgeline.ReleaseEnvironment{Name: e.Name, Status: ridgeline.Queued, Image: cand.Image})
		}
		if err := tx.CreateRelease(ctx, release); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, tx.SetRunRelease(ctx, p.Run.ID, release.ID)
	})
	if err != nil {
		return ending{}, err
	}
	_, err = flow.Step(c, "tag", func(ctx context.Context) (struct{}, error) {
		ref, c := r.Registry.Find(cand.Image)
		return struct{}{}, r.Images.Tag(ctx, ref, strconv.Itoa(cand.Version), c)
	})
	return ending{ridgeline.Succeeded, reason}, err
}

// unchanged makes sure that the champion is the one that was compared with.
// Runs take turns, but a person's override does not wait for them.
func unchanged(ctx context.Context, tx *store.Store, model ridgeline.ModelName, compared *ridgeline.ModelVersion) error {
	now, ok, err := tx.Champion(ctx, model)
	if err != nil || ok == (compared != nil) && (!ok || now.Version == compared.Version) {
		return err
	}
	return ridgeline.Errorf(ridgeline.Conflict, "version %d became the champion of model %s by an override while this run was at the gate: train again, to be compared with it", now.Version, model)
}
