package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/project"
	"github.com/ridgeline-mlops/ridgeline/store"
)

// judgement is what the gate said, and what of it stays.
type judgement struct {
	Report   gate.Report
	Evidence ridgeline.Evidence
	Decision *ridgeline.Decision // for the ledger; nil when nothing was spent
}

// decide puts the scores before the gate. It runs in the run's turn, so the
// ledger it reads is complete.
func (r *Runner) decide(ctx context.Context, p *passage, plan plan, cand challenger, champion *ridgeline.ModelVersion, trained outcome, s scores) (judgement, error) {
	if err := r.mark(ctx, p.stepRow(decide, ridgeline.Running, "")); err != nil {
		return judgement{}, err
	}
	in := settings(p.Config.Pipeline.Gate)
	if len(s.Labels) > 0 && s.Challenger.Losses == nil && !gate.TakesLabels(in.Metric) {
		return judgement{}, ridgeline.Errorf(ridgeline.Invalid, "the target is a label, and %s is computed from numbers: write the target as numbers, or use accuracy, error_rate or f1", in.Metric)
	}
	in.Seed, in.Slices, in.Challenger, in.Champion = seed(p.Run.ID), s.Slices, s.Challenger, s.Champion
	in.Notes = s.Notes
	in.Measured = gate.Measured{P95: s.P95, Size: cand.Size}
	for _, f := range s.Features {
		in.Features = append(in.Features, gate.Feature{Name: f.Name, Type: f.Type})
	}
	db, err := data.Open()
	if err != nil {
		return judgement{}, err
	}
	defer db.Close()
	rows, err := r.identify(ctx, db, p, plan)
	if err != nil {
		return judgement{}, err
	}
	if err := r.beside(ctx, db, p, &in, champion, trained, s, rows); err != nil {
		return judgement{}, err
	}
	held := rows.sketch(in)
	if champion != nil && p.Run.GateOff == "" {
		g := p.Config.Pipeline.Gate
		allowance, err := r.allowance(ctx, gate.Budget{Alpha: g.Alpha, Decisions: g.Decisions, Fresh: g.Fresh}, cand.Model, held)
		if err != nil {
			return judgement{}, err
		}
		in.Allowance = &allowance
	}
	out := judgement{}
	if out.Report, err = gate.Decide(in); err != nil {
		return judgement{}, err
	}
	if out.Evidence, err = r.keep(ctx, in, rows); err != nil {
		return judgement{}, err
	}
	if out.Report.Spent > 0 {
		sketch, err := json.Marshal(held)
		if err != nil {
			return judgement{}, err
		}
		out.Decision = &ridgeline.Decision{
			Holdout: sketch, Rows: held.Rows, New: in.Allowance.New, Life: in.Allowance.Life, Alpha: out.Report.Spent, Verdict: out.Report.Verdict,
		}
	}
	message := string(out.Report.Verdict)
	if len(out.Report.Reasons) > 0 {
		message += ": " + out.Report.Reasons[0]
	}
	status := ridgeline.Succeeded
	if out.Report.Verdict == ridgeline.GateError {
		status = ridgeline.Failed
	}
	return out, r.mark(ctx, p.stepRow(decide, status, message))
}

// settings are what ridgeline.yaml asks of the gate.
func settings(g project.Gate) gate.Input {
	in := gate.Input{
		Metric: g.Metric, Better: g.Better, MinEffect: g.MinEffect.Value, Relative: g.MinEffect.Relative, Alpha: g.Alpha,
		Tolerances: margins(g.Tolerance),
		Limits: gate.Limits{
			P95: g.Limits.P95, Size: g.Limits.Size, Lowest: g.Limits.Lowest, Highest: g.Limits.Highest, Missing: g.Limits.Missing,
			SameFeatures: g.Limits.SameFeatures, Gaps: margins(g.Limits.Gaps),
		},
	}
	if g.Baseline.Point != nil {
		in.Baseline = &gate.Baseline{Name: "ridgeline.yaml", Point: g.Baseline.Point}
	}
	return in
}

func margins(from map[string]project.Effect) map[string]gate.Margin {
	out := map[string]gate.Margin{}
	for name, e := range from {
		out[name] = gate.Margin{Value: e.Value, Relative: e.Relative}
	}
	return out
}

// allowance is what the model's ledger leaves for the next decision.
func (r *Runner) allowance(ctx context.Context, budget gate.Budget, model ridgeline.ModelName, held gate.Holdout) (gate.Allowance, error) {
	lines, err := r.Store.Decisions(ctx, model)
	if err != nil {
		return gate.Allowance{}, err
	}
	var ledger gate.Ledger
	for _, d := range lines {
		if d.Alpha == 0 {
			continue
		}
		line := gate.Decision{Run: string(d.Run), At: d.At, Alpha: d.Alpha, Verdict: d.Verdict}
		if err := json.Unmarshal(d.Holdout, &line.Holdout); err != nil {
			return gate.Allowance{}, fmt.Errorf("read the ledger of model %s: %w", model, err)
		}
		ledger = append(ledger, line)
	}
	return budget.Next(ledger, held), nil
}

// note writes the registered version's line of the ledger, if it has one.
func note(ctx context.Context, tx *store.Store, v ridgeline.ModelVersion, d *ridgeline.Decision) error {
	switch {
	case len(v.Overrides) > 0:
		d = &ridgeline.Decision{Verdict: v.Verdict, Override: &v.Overrides[0]}
	case d == nil:
		return nil
	}
	line := *d
	line.Model, line.Version, line.Run, line.At = v.Model, v.Version, v.Run, v.Created
	return tx.AddDecision(ctx, line)
}

// identity is the rows of the dataset that judges, each by its hash.
type identity struct {
	Known            bool
	Holdout, Trained []uint64
	TrainedOn        string // file
	Target           string
}

// identify hashes the rows of the dataset with a target. Without one, rows are
// known by their place alone.
func (r *Runner) identify(ctx context.Context, db *data.DB, p *passage, plan plan) (identity, error) {
	d, ok := p.Config.Judged()
	if !ok {
		return identity{}, nil
	}
	sets, err := r.here(ctx, *p, plan)
	if err != nil {
		return identity{}, err
	}
	out := identity{Known: true, TrainedOn: sets[d.Name].Train, Target: d.Target}
	if out.Holdout, err = db.RowHashes(ctx, sets[d.Name].Holdout, d.Holdout.Key); err != nil {
		return identity{}, err
	}
	if p.byHand != nil { // nobody knows which rows it was trained on
		return out, nil
	}
	out.Trained, err = db.RowHashes(ctx, sets[d.Name].Train, d.Holdout.Key)
	return out, err
}

// sketch names the rows that judge. Where nothing is known of them, they count
// as the same each time, which is the cautious side.
func (i identity) sketch(in gate.Input) gate.Holdout {
	if i.Known {
		return gate.HoldoutOf(i.Holdout)
	}
	places := make([]uint64, max(len(in.Challenger.Losses), len(in.Challenger.Y), 1))
	for n := range places {
		places[n] = uint64(n)
	}
	return gate.HoldoutOf(places)
}

// beside adds what else the gate looks at: the champion's training rows and
// features, the baseline of a first model, and what training reported.
func (r *Runner) beside(ctx context.Context, db *data.DB, p *passage, in *gate.Input, champion *ridgeline.ModelVersion, trained outcome, s scores, rows identity) error {
	_, custom := p.Config.Pipeline.Step(evaluate)
	if champion != nil {
		before, err := readSettings(champion.Evidence.Settings)
		if err != nil {
			return err
		}
		in.ChampionFeatures = before.Features
		if err := r.leak(ctx, in, champion, rows); err != nil {
			return err
		}
	}
	if champion == nil && in.Baseline == nil && !p.Config.Pipeline.Gate.Baseline.None && !custom {
		target, err := targets(ctx, db, rows, s.Labels)
		if err != nil {
			return err
		}
		// A metric of the user's own has none.
		if b, err := gate.Constant(in.Metric, target); err == nil {
			in.Baseline = &b
		}
	}
	if custom {
		return nil
	}
	var err error
	in.Reported, err = r.reported(ctx, db, p, trained, s.Labels, len(in.Challenger.Prediction))
	return err
}

// leak looks for rows of the holdout that the champion was trained on.
func (r *Runner) leak(ctx context.Context, in *gate.Input, champion *ridgeline.ModelVersion, rows identity) error {
	if champion.Evidence.Trained == "" || !rows.Known {
		return nil
	}
	f, err := r.Blob.Get(ctx, champion.Evidence.Trained)
	if err != nil {
		return fmt.Errorf("read what the champion was trained on: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read what the champion was trained on: %w", err)
	}
	trained := make([]uint64, len(text)/8)
	for i := range trained {
		trained[i] = binary.LittleEndian.Uint64(text[8*i:])
	}
	if o := gate.Leak("champion", trained, rows.Holdout); o.Rows > 0 {
		in.Overlaps = append(in.Overlaps, o)
	}
	return nil
}

// targets reads the target of the rows that trained, labels as the numbers
// that the evaluation gave them. Rows without one are left out.
func targets(ctx context.Context, db *data.DB, rows identity, labels map[string]float64) ([]float64, error) {
	c, err := db.Columns(ctx, rows.TrainedOn, []string{rows.Target}, nil)
	if err != nil {
		return nil, err
	}
	var out []float64
	for _, v := range c.Numbers[rows.Target] {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	for _, text := range c.Texts[rows.Target] {
		if text != "" {
			out = append(out, labelNumber(text, labels))
		}
	}
	return out, nil
}

// reported reads what train left in predictions.csv or predictions.parquet:
// its own prediction of each holdout row, in order. Nil when there is none, or
// not one for each row; that is said in the log, for it decides nothing.
func (r *Runner) reported(ctx context.Context, db *data.DB, p *passage, trained outcome, labels map[string]float64, n int) ([]float64, error) {
	dir := filepath.Join(p.Dir, "in", trained.Result.Output)
	if err := r.Blob.GetTree(ctx, trained.Result.Output, dir); err != nil {
		return nil, fmt.Errorf("fetch the output of train: %w", err)
	}
	for _, name := range []string{"predictions.csv", "predictions.parquet"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		c, err := db.Columns(ctx, path, []string{"prediction"}, nil)
		out := c.Numbers["prediction"]
		for _, text := range c.Texts["prediction"] {
			out = append(out, labelNumber(text, labels))
		}
		if err != nil || len(out) != n {
			r.Log.Warn("what train reported cannot be compared with its scorer", "run", p.Run.ID, "file", name, "predictions", len(out), "rows", n, "error", err)
			return nil, nil
		}
		return out, nil
	}
	return nil, nil
}

// labelNumber is the number of a label; one that the holdout did not have gets
// the next, and no text at all is no number.
func labelNumber(text string, labels map[string]float64) float64 {
	if text == "" || labels == nil {
		return math.NaN()
	}
	n, ok := labels[text]
	if !ok {
		n = float64(len(labels))
		labels[text] = n
	}
	return n
}

// keep stores what the report was made from.
func (r *Runner) keep(ctx context.Context, in gate.Input, rows identity) (ridgeline.Evidence, error) {
	var e ridgeline.Evidence
	var err error
	if e.Settings, err = writeSettings(in); err != nil {
		return e, err
	}
	if text := writeRows(in, rows.Holdout); text != nil {
		if e.Rows, _, err = r.Blob.Put(ctx, bytes.NewReader(text)); err != nil {
			return e, fmt.Errorf("keep the scored rows: %w", err)
		}
	}
	if len(rows.Trained) > 0 {
		text := make([]byte, 0, 8*len(rows.Trained))
		for _, h := range rows.Trained {
			text = binary.LittleEndian.AppendUint64(text, h)
		}
		if e.Trained, _, err = r.Blob.Put(ctx, bytes.NewReader(text)); err != nil {
			return e, fmt.Errorf("keep which rows trained: %w", err)
		}
	}
	return e, nil
}
