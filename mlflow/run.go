package mlflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/track"
)

func appendMetric(b []byte, m track.Metric) []byte {
	return begin(b).text("key", m.Key).float("value", m.Value).whole("timestamp", m.Time).whole("step", m.Step).end()
}

func appendInfo(b []byte, r track.Run) []byte {
	o := begin(b).text("run_id", r.ID).text("run_uuid", r.ID).text("run_name", r.Name).text("experiment_id", strconv.FormatInt(r.Experiment, 10)).
		text("user_id", r.User).text("status", r.Status).whole("start_time", r.Started)
	if r.Ended != nil {
		o.whole("end_time", *r.Ended)
	}
	return o.text("artifact_uri", r.ArtifactURI).text("lifecycle_stage", r.Stage).end()
}

func appendInput(b []byte, in track.Input) []byte {
	o := begin(b)
	list(o, "tags", in.Tags, appendPair)
	return o.raw("dataset", func(b []byte) []byte {
		return begin(b).text("name", in.Name).text("digest", in.Digest).text("source_type", in.SourceType).text("source", in.Source).
			some("schema", in.Schema).some("profile", in.Profile).end()
	}).end()
}

func appendRun(b []byte, r track.Run) []byte {
	return beginRun(b, r).raw("outputs", func(b []byte) []byte {
		o := begin(b)
		list(o, "model_outputs", r.Made, func(b []byte, m track.Output) []byte {
			return begin(b).text("model_id", m.Model).whole("step", m.Step).end()
		})
		return o.end()
	}).end()
}

// beginRun writes a run but what it has made, of which a new one says nothing.
func beginRun(b []byte, r track.Run) *object {
	return begin(b).raw("info", func(b []byte) []byte { return appendInfo(b, r) }).raw("data", func(b []byte) []byte {
		o := begin(b)
		list(o, "metrics", r.Metrics, appendMetric)
		list(o, "params", r.Params, appendPair)
		list(o, "tags", r.Tags, appendPair)
		return o.end()
	}).raw("inputs", func(b []byte) []byte {
		o := begin(b)
		list(o, "dataset_inputs", r.Inputs, appendInput)
		list(o, "model_inputs", r.Read, func(b []byte, id string) []byte { return begin(b).text("model_id", id).end() })
		return o.end()
	})
}

func (a *API) createRun(ctx context.Context, r *request, b []byte) ([]byte, error) {
	n := track.NewRun{ID: r.given(ctx, "run_id"), User: r.text("user_id"), Name: r.text("run_name"), Started: r.whole("start_time", 0), Tags: r.pairs("tags")}
	if id := r.text("experiment_id"); id != "" {
		n.Experiment = r.experiment(id)
	}
	if r.err != nil {
		return nil, r.err
	}
	for i, t := range n.Tags {
		if err := checkTag(t, fmt.Sprintf("tags[%d]", i)); err != nil {
			return nil, err
		}
		n.Tags[i].Value = truncate(t.Value, maxTagValue)
	}
	if err := a.mayWriteExperiment(ctx, n.Experiment); err != nil {
		return nil, err
	}
	p := auth.From(ctx)
	if p.Run != "" {
		n.Tags = append(n.Tags, track.Pair{Key: "ridgeline.run", Value: string(p.Run)})
	}
	if n.ID == "" && r.has("start_time") { // a client counts it in milliseconds, so its requests are told apart by it
		n.Request = r.digest(ctx)
		r.answered = func(sent bool) {
			if sent {
				return
			}
			if err := a.Track.Unanswered(context.WithoutCancel(ctx), n.Request); err != nil {
				a.Log.Error("note a run whose client went away", "error", err)
			}
		}
	}
	run, err := a.Track.CreateRun(ctx, n)
	if err != nil && ctx.Err() != nil && r.answered != nil {
		r.answered(false) // the client is gone, the run may be made all the same
	}
	return begin(b).raw("run", func(b []byte) []byte { return beginRun(b, run).end() }).end(), err
}

// digest names a request by its caller and what it holds: the same when a client
// repeats itself.
func (r *request) digest(ctx context.Context) string {
	from := r.http.RemoteAddr[:strings.LastIndexByte(r.http.RemoteAddr, ':')+1]
	sum := sha256.Sum256(append([]byte(auth.From(ctx).Name+"\x00"+from), r.body.MarshalTo(nil)...))
	return hex.EncodeToString(sum[:])
}

func (a *API) getRun(ctx context.Context, r *request, b []byte) ([]byte, error) {
	id := r.run()
	if r.err != nil {
		return nil, r.err
	}
	run, err := a.Track.Run(ctx, id)
	return begin(b).raw("run", func(b []byte) []byte { return appendRun(b, run) }).end(), err
}

// changeRun reads the id of a run that the caller may change.
func (a *API) changeRun(ctx context.Context, r *request) (string, error) {
	id := r.run()
	if r.err != nil {
		return "", r.err
	}
	return id, a.mayWriteRun(ctx, id)
}

var statuses = []string{track.Running, track.Scheduled, track.Finished, track.Failed, track.Killed}

func (a *API) updateRun(ctx context.Context, r *request, b []byte) ([]byte, error) {
	var c track.RunChange
	if v := r.field("status"); v != nil {
		status := strings.Trim(v.String(), `"`)
		if n, err := strconv.Atoi(status); err == nil && n >= 1 && n <= len(statuses) {
			status = statuses[n-1]
		}
		if !slices.Contains(statuses, status) {
			r.wrong("status", v)
		}
		c.Status = &status
	}
	if r.has("end_time") {
		ended := r.whole("end_time", 0)
		c.Ended = &ended
	}
	if name := r.text("run_name"); name != "" {
		name = truncate(name, maxTagValue)
		c.Name = &name
	}
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	run, err := a.Track.ChangeRun(ctx, id, c)
	return begin(b).raw("run_info", func(b []byte) []byte { return appendInfo(b, run) }).end(), err
}

func (a *API) deleteRun(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.DeleteRun(ctx, id)
}

func (a *API) restoreRun(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.RestoreRun(ctx, id)
}

func (a *API) searchRuns(ctx context.Context, r *request, b []byte) ([]byte, error) {
	search := track.Search{
		Experiments: r.experiments("experiment_ids"), Filter: r.text("filter"), View: r.view("run_view_type"), Orders: r.texts("order_by"),
		Max: r.pageSize(1000), Token: r.text("page_token"),
	}
	if r.err != nil {
		return nil, r.err
	}
	var err error
	if search.Experiments, err = a.readable(ctx, search.Experiments); err != nil {
		return nil, err
	}
	runs, next, err := a.Track.SearchRuns(ctx, search)
	o := begin(b)
	list(o, "runs", runs, appendRun)
	return o.some("next_page_token", next).end(), err
}

func (a *API) logMetric(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	m := r.metric(r.body, "")
	if r.err != nil {
		return nil, r.err
	}
	return nil, a.Track.Log(ctx, id, track.Batch{Metrics: []track.Metric{m}})
}

func (a *API) logParam(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	p := track.Pair{Key: r.need("key"), Value: r.text("value")}
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkParam(p, ""); err != nil {
		return nil, err
	}
	p.Value = truncate(p.Value, maxParamValue)
	return nil, a.Track.Log(ctx, id, track.Batch{Params: []track.Pair{p}, Single: true})
}

func (a *API) setTag(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	t := track.Pair{Key: r.need("key"), Value: r.text("value")}
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkTag(t, ""); err != nil {
		return nil, err
	}
	t.Value = truncate(t.Value, maxTagValue)
	return nil, a.Track.Log(ctx, id, track.Batch{Tags: []track.Pair{t}})
}

func (a *API) deleteTag(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	key := r.need("key")
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, a.Track.DeleteTag(ctx, id, key)
}

func (a *API) logBatch(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	if r.size > maxBatch {
		return nil, invalid("Batched logging API requests must be at most %d bytes, got a request of size %d.", maxBatch, r.size)
	}
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkRunID(id); err != nil {
		return nil, err
	}
	metrics := r.list("metrics")
	batch := track.Batch{Metrics: make([]track.Metric, 0, len(metrics)), Params: r.pairs("params"), Tags: r.pairs("tags")}
	for i, v := range metrics {
		if batch.Metrics = append(batch.Metrics, r.metric(v, "metrics["+strconv.Itoa(i)+"]")); r.err != nil {
			return nil, r.err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	for i, p := range batch.Params {
		if err := checkParam(p, fmt.Sprintf("params[%d]", i)); err != nil {
			return nil, err
		}
		batch.Params[i].Value = truncate(p.Value, maxParamValue)
	}
	for i, t := range batch.Tags {
		if err := checkTag(t, fmt.Sprintf("tags[%d]", i)); err != nil {
			return nil, err
		}
		batch.Tags[i].Value = truncate(t.Value, maxTagValue)
	}
	if err := checkCounts(batch); err != nil {
		return nil, err
	}
	if err := checkUnique(batch.Params); err != nil {
		return nil, err
	}
	return nil, a.Track.Log(ctx, id, batch)
}

func (a *API) logInputs(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	inputs, seen := []track.Input{}, map[[2]string]bool{}
	for i, v := range r.list("datasets") {
		in := r.input(v, fmt.Sprintf("datasets[%d]", i))
		if r.err == nil {
			r.fail(checkInput(in))
		}
		if key := [2]string{in.Name, in.Digest}; !seen[key] {
			seen[key] = true
			inputs = append(inputs, in)
		}
	}
	models := r.modelIDs("models")
	if r.err != nil {
		return nil, r.err
	}
	var ids []string
	for _, m := range models {
		ids = append(ids, m.Model)
	}
	return nil, a.Track.LogInputs(ctx, id, inputs, ids)
}

func (r *request) input(v *fastjson.Value, at string) (in track.Input) {
	d := v.Get("dataset")
	if d == nil || d.Type() != fastjson.TypeObject {
		r.fail(invalid("Dataset cannot be None"))
		return in
	}
	var given bool
	for _, f := range []struct {
		name string
		into *string
		must bool
	}{
		{"name", &in.Name, true}, {"digest", &in.Digest, true}, {"source_type", &in.SourceType, true}, {"source", &in.Source, true},
		{"schema", &in.Schema, false}, {"profile", &in.Profile, false},
	} {
		if *f.into, given = r.textOf(d, at+".dataset", f.name); f.must && !given {
			r.fail(invalid("Dataset %s cannot be None", f.name))
		}
	}
	for i, t := range v.GetArray("tags") {
		var p track.Pair
		path := fmt.Sprintf("%s.tags[%d]", at, i)
		p.Key, _ = r.textOf(t, path, "key")
		p.Value, _ = r.textOf(t, path, "value")
		in.Tags = append(in.Tags, p)
	}
	return in
}

// modelIDs reads an array of {model_id, step}.
func (r *request) modelIDs(name string) []track.Output {
	var all []track.Output
	for i, v := range r.list(name) {
		at := fmt.Sprintf("%s[%d]", name, i)
		var o track.Output
		if o.Model, _ = r.textOf(v, at, "model_id"); o.Model == "" {
			r.missing(at + ".model_id")
		}
		if step := v.Get("step"); step != nil {
			o.Step, _ = wholeOf(step)
		}
		all = append(all, o)
	}
	return all
}

func (a *API) logOutputs(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	models := r.modelIDs("models")
	if r.err != nil {
		return nil, r.err
	}
	return nil, a.Track.LogOutputs(ctx, id, models)
}

// modelHistory is the tag in which MLflow 2 keeps the models a run has logged.
const modelHistory = "mlflow.log-model.history"

// logModel appends to the tag in which MLflow 2 keeps what was logged.
func (a *API) logModel(ctx context.Context, r *request, _ []byte) ([]byte, error) {
	text := r.need("model_json")
	id, err := a.changeRun(ctx, r)
	if err != nil {
		return nil, err
	}
	var model map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &model); err != nil {
		return nil, invalid("Malformed model info. \n %s \n is not a valid JSON.", text)
	}
	var missing []string
	for _, f := range []string{"artifact_path", "flavors", "run_id", "utc_time_created"} {
		if model[f] == nil {
			missing = append(missing, "'"+f+"'")
		}
	}
	if len(missing) > 0 {
		return nil, invalid("Model json is missing mandatory fields: {%s}", strings.Join(missing, ", "))
	}
	return nil, a.Track.LogModelTag(ctx, id, modelHistory, func(old string) (string, error) {
		var all []json.RawMessage
		if old != "" {
			if err := json.Unmarshal([]byte(old), &all); err != nil {
				return "", invalid("the run's tag %s is not a JSON array any more: %v", modelHistory, err)
			}
		}
		if !slices.ContainsFunc(all, func(m json.RawMessage) bool { return string(m) == text }) { // a repeated request
			all = append(all, json.RawMessage(text))
		}
		b, err := json.Marshal(all)
		if err != nil {
			return "", err
		}
		return string(b), tooLong("value", maxTagValue, string(b))
	})
}
