package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/flow"
	"github.com/ridgeline-mlops/ridgeline/gate"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// scores is what challenger and champion made of the challenger's holdout.
type scores struct {
	Reason     string // why there are none
	Challenger gate.Scores
	Champion   gate.Scores
	Slices     map[string][]string
	P95        time.Duration // of one-row requests to the challenger; 0 when not measured
	Labels     map[string]float64
	Features   []ridgeline.Column // that a request shows; nil when a command evaluated
	Notes      []string           // for the report
}

// evaluateTask is what a side's task is called; no step's task has a name like
// it, as no step's name has a dot.
func evaluateTask(side string) string { return evaluate + "." + side }

// side is one of the two models in an evaluation.
type side struct {
	Name  string // challenger or champion: part of the task's name
	Image string
	Model string // digest of the model folder as a tree
	Lock  ridgeline.Pipeline
	// Signature is what it said of itself; nil when it did not.
	Signature []byte
}

// evaluate lets both models answer the same rows: through their own scorers,
// or by the project's own evaluate command.
func (r *Runner) evaluate(c *flow.Context, p *passage, plan plan, cand challenger, model string, champion *ridgeline.ModelVersion) (scores, error) {
	sides := []side{{Name: "challenger", Image: cand.Image, Model: model, Lock: p.Pipeline, Signature: cand.Signature}}
	if champion != nil {
		pipe, err := flow.Step(c, "champion's pipeline", func(ctx context.Context) (ridgeline.Pipeline, error) {
			pipe, err := r.Store.Pipeline(ctx, champion.Project, champion.Pipeline)
			if champion.Lock != "" { // it was registered by hand, with an environment of its own
				pipe.Environment, pipe.Lock, pipe.Python = champion.Environment, champion.Lock, champion.Python
			}
			return pipe, err
		})
		if err != nil {
			return scores{}, err
		}
		sides = append(sides, side{Name: "champion", Image: champion.Image, Model: champion.Artifact, Lock: pipe, Signature: champion.Signature})
	}
	_, err := flow.Step(c, "evaluate", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.mark(ctx, p.stepRow(evaluate, ridgeline.Running, ""))
	})
	if err != nil {
		return scores{}, err
	}
	judge := r.throughScorer
	_, custom := p.Config.Pipeline.Step(evaluate)
	if custom {
		judge = r.byCommand
	}
	results, errs := flow.Parallel(c, "evaluate", len(sides), func(ctx context.Context, i int) (evaluation, error) {
		return judge(ctx, p, plan, sides[i])
	})
	out := scores{}
	if custom && champion != nil && errs[0] == nil && errs[1] == nil && results[0].Reason == "" && results[1].Reason != "" {
		stead, err := r.instead(c, p, plan, sides[1], results)
		if err != nil {
			return scores{}, err
		}
		if stead.Reason == "" {
			out.Notes = []string{fmt.Sprintf("The project's evaluate command could not judge the champion, so the champion's scorer answered in its place: the champion %s.", strings.TrimSuffix(firstLine(results[1].Reason), "."))}
			results[0].Scores.Losses, results[1] = nil, stead
		}
	}
	for i, e := range results {
		if errs[i] != nil {
			return scores{}, fmt.Errorf("evaluate the %s: %w", sides[i].Name, errs[i])
		}
		if e.Reason != "" {
			out.Reason = fmt.Sprintf("evaluate: the %s %s", sides[i].Name, e.Reason)
			break
		}
	}
	status, message := ridgeline.Failed, out.Reason
	if out.Reason == "" {
		status = ridgeline.Succeeded
		out.Challenger, out.Slices, out.P95 = results[0].scores(), results[0].Slices, results[0].P95
		out.Labels, out.Features = results[0].Labels, results[0].Features
		message = fmt.Sprintf("challenger answered %d rows", results[0].rows())
		if champion != nil {
			out.Champion = results[1].scores()
			message = fmt.Sprintf("challenger and champion (version %d) answered the same %d rows", champion.Version, results[0].rows())
		}
		if out.P95 > 0 {
			message += fmt.Sprintf(", p95 %.1f ms", float64(out.P95.Microseconds())/1000)
		}
	}
	_, err = flow.Step(c, "evaluated", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.mark(ctx, p.stepRow(evaluate, status, message))
	})
	return out, err
}

// instead lets the champion's scorer answer where the project's command could
// not judge the champion, as when it reads models of a newer kind. That is a
// comparison only when the command wrote y and prediction of the same rows.
func (r *Runner) instead(c *flow.Context, p *passage, plan plan, champion side, results []evaluation) (evaluation, error) {
	metric := p.Config.Pipeline.Gate.Metric
	if _, known := gate.BetterOf(metric); !known || metric == "loss" || results[0].Scores.Y == nil {
		return evaluation{Reason: "needs y and prediction"}, nil
	}
	champion.Name = "champion-scorer"
	return flow.Step(c, "evaluate the champion's scorer", func(ctx context.Context) (evaluation, error) {
		e, err := r.throughScorer(ctx, p, plan, champion)
		if err == nil && e.Reason == "" && (!slices.Equal(e.Scores.Y, results[0].Scores.Y) || !maps.Equal(e.Labels, results[0].Labels)) {
			e.Reason = "answered other rows than the evaluate command wrote"
		}
		return e, err
	})
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// evaluation is what one model made of the holdout.
type evaluation struct {
	Reason string // why there is none, as the end of a sentence about the model
	Scores gate.Scores
	Slices map[string][]string
	P95    time.Duration
	Labels map[string]float64 // the numbers that stand for labels
	// Features are the columns that a request shows.
	Features []ridgeline.Column
	Missing  []int // rows without a prediction; checkpoints are JSON, which has no NaN
}

// scores with NaN for the predictions that are missing.
func (e evaluation) scores() gate.Scores {
	for _, i := range e.Missing {
		e.Scores.Prediction[i] = math.NaN()
	}
	return e.Scores
}

func (e evaluation) rows() int { return max(len(e.Scores.Y), len(e.Scores.Losses)) }

// How the holdout is put to a scorer: in batches for the predictions, and the
// first rows once more one by one for the latency a client would see.
const (
	batchRows   = 256
	latencyRows = 100
)

// throughScorer lets a model answer the holdout from its packed form: its own
// environment, code and score.py, as it would serve.
func (r *Runner) throughScorer(ctx context.Context, p *passage, plan plan, s side) (evaluation, error) {
	d, ok := p.Config.Judged()
	if !ok {
		return evaluation{Reason: "cannot be judged: no dataset in ridgeline.yaml has a target; name it (data.NAME.target), or write a step evaluate"}, nil
	}
	sets, err := r.here(ctx, *p, plan)
	if err != nil {
		return evaluation{}, err
	}
	holdout, err := readHoldout(ctx, sets[d.Name].Holdout, d, p.Config.Pipeline.Gate.Slices)
	if err != nil {
		return evaluation{}, err
	}
	argv, env, err := r.Packed(ctx, s.Image)
	if err != nil {
		return evaluation{}, fmt.Errorf("unpack %s: %w", s.Image, err)
	}
	dir := filepath.Join(p.Dir, "evaluate-"+s.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return evaluation{}, err
	}
	requests, responses := filepath.Join(dir, "requests.jsonl"), filepath.Join(dir, "responses.jsonl")
	config, err := r.config(ctx, s.Lock) // the model's own: how it wants to be asked, and where
	if err != nil {
		return evaluation{}, fmt.Errorf("read the %s's ridgeline.yaml: %w", s.Name, err)
	}
	batches, path, err := holdout.write(requests, config, s.Signature)
	if err != nil {
		return evaluation{}, err
	}
	command := append(slices.Clone(argv), "batch", "--requests", requests, "--responses", responses)
	if path != "/score" { // which is also what scorers of before know
		command = append(command, "--path", path)
	}
	task := ridgeline.TaskName(p.Run.ID, evaluateTask(s.Name), 1)
	state, err := host.Run(ctx, r.Tasks, host.Task{
		Name: task, Command: command,
		Dir: dir, Env: env, Timeout: time.Hour,
	}, r.follow(p.Run.ID))
	if err != nil {
		return evaluation{}, err
	}
	if out := r.failure(ctx, state, "its scorer", task); out.Reason != "" {
		return evaluation{Reason: "did not answer. " + out.Reason}, nil
	}
	return holdout.scored(responses, batches, p.Config.Pipeline.Gate.Limits.Missing != nil)
}

// holdout is the rows that judge, apart into what a request shows and what
// the answer is compared with.
type holdout struct {
	features []ridgeline.Column
	rows     [][]any
	target   []any
	slices   map[string][]string
}

func readHoldout(ctx context.Context, path string, d project.Dataset, sliceColumns []string) (holdout, error) {
	db, err := data.Open()
	if err != nil {
		return holdout{}, err
	}
	defer db.Close()
	table, err := db.Read(ctx, path, 0)
	if err != nil {
		return holdout{}, fmt.Errorf("read the holdout of %q: %w", d.Name, err)
	}
	h := holdout{slices: map[string][]string{}, rows: make([][]any, len(table.Rows))}
	found := map[string]bool{}
	for i, column := range table.Columns {
		found[column.Name] = true
		hidden := column.Name == d.Target || slices.Contains(d.Holdout.Key, column.Name)
		if !hidden {
			h.features = append(h.features, column)
		}
		for j, row := range table.Rows {
			if column.Name == d.Target {
				h.target = append(h.target, row[i])
			}
			if !hidden {
				h.rows[j] = append(h.rows[j], sendable(row[i]))
			}
			if slices.Contains(sliceColumns, column.Name) {
				h.slices[column.Name] = append(h.slices[column.Name], text(row[i]))
			}
		}
	}
	for _, name := range append([]string{d.Target}, sliceColumns...) {
		if !found[name] {
			return holdout{}, ridgeline.Errorf(ridgeline.Invalid, "column %q, named in ridgeline.yaml, is not in dataset %q", name, d.Name)
		}
	}
	return h, nil
}

// sendable is a value as JSON can carry it: what is no number is missing.
func sendable(v any) any {
	if f, ok := v.(float64); ok && math.IsNaN(f) {
		return nil
	}
	return v
}

// write writes the requests, batches first, and returns how many of them are
// batches, and the path of the scorer that takes them.
func (h holdout) write(file string, c project.Config, signature []byte) (batches int, path string, err error) {
	var buf bytes.Buffer
	add := func(rows [][]any) error {
		body, err := requestBody(c.Release.Request, signature, h.features, rows)
		if err != nil {
			return err
		}
		if path == "" {
			path = c.Release.Path(c.Model, body)
		}
		buf.Write(body)
		return buf.WriteByte('\n')
	}
	for rows := range slices.Chunk(h.rows, batchRows) {
		if err := add(rows); err != nil {
			return 0, "", err
		}
		batches++
	}
	for _, row := range h.rows[:min(len(h.rows), latencyRows)] {
		if err := add([][]any{row}); err != nil {
			return 0, "", err
		}
	}
	return batches, path, os.WriteFile(file, buf.Bytes(), 0o600)
}

// scored reads the answers and sets them beside the truth. Where predictions
// may be missing, null is one.
func (h holdout) scored(path string, batches int, missing bool) (evaluation, error) {
	f, err := os.Open(path)
	if err != nil {
		return evaluation{}, err
	}
	defer f.Close()
	type response struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
		MS     float64         `json:"ms"`
	}
	var predictions []any
	var latencies []float64
	lines := bufio.NewReader(f)
	for n := 0; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 {
			break
		}
		var res response
		if jsonErr := json.Unmarshal(line, &res); jsonErr != nil {
			return evaluation{}, fmt.Errorf("answer %d: %w", n+1, jsonErr)
		}
		if res.Status != 200 {
			return evaluation{Reason: fmt.Sprintf("answered a batch of the holdout with status %d: %s", res.Status, clip(string(res.Body), 300))}, nil
		}
		if n >= batches {
			latencies = append(latencies, res.MS)
			continue
		}
		got, reason := answers(res.Body)
		if reason != "" {
			return evaluation{Reason: reason}, nil
		}
		predictions = append(predictions, got...)
		if err != nil {
			break
		}
	}
	if len(predictions) != len(h.target) {
		return evaluation{Reason: fmt.Sprintf("gave %d predictions for %d rows", len(predictions), len(h.target))}, nil
	}
	out := evaluation{Slices: h.slices, P95: p95(latencies), Features: h.features}
	out.Scores = gate.Scores{Has: true, Y: make([]float64, len(h.target)), Prediction: make([]float64, len(h.target))}
	// From the targets alone: a label's number must not depend on what was predicted.
	labels := labelled(h.target)
	for i, v := range h.target {
		var ok bool
		if out.Scores.Y[i], ok = number(v, labels); !ok {
			return evaluation{Reason: fmt.Sprintf("cannot be judged: row %d of the holdout has no target", i+1)}, nil
		}
	}
	expected := "number"
	if len(labels) > 0 {
		expected = "label"
	}
	for i, v := range predictions {
		if v == nil && missing {
			out.Missing = append(out.Missing, i)
			continue
		}
		var ok bool
		if out.Scores.Prediction[i], ok = number(v, labels); !ok || isLabel(v) != (expected == "label") {
			return evaluation{Reason: fmt.Sprintf("answered row %d with %v, where the target is a %s", i+1, v, expected)}, nil
		}
	}
	if len(labels) > 0 {
		out.Labels = labels
	}
	return out, nil
}

// p95 is the nearest-rank 95th percentile of milliseconds.
func p95(ms []float64) time.Duration {
	if len(ms) == 0 {
		return 0
	}
	slices.Sort(ms)
	rank := int(math.Ceil(0.95*float64(len(ms)))) - 1
	return time.Duration(ms[rank] * float64(time.Millisecond))
}

func text(v any) string {
	if v == nil {
		return "(missing)"
	}
	return fmt.Sprint(v)
}

func clip(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
