package mlflow_test

import (
	"fmt"
	"strings"
	"testing"
)

// differences are the answers that are meant to differ, each with its reason:
// in words only, unless it begins with "code: ".
var differences = map[string]string{
	"batch with a negative time":                     "a number is quoted as it was sent",
	"create experiment again":                        "no text of a database's driver",
	"metric that is a word":                          "says what a value has to be",
	"search too many runs":                           "says what the limit is",
	"search with a bad token":                        "says which token to use",
	"search datasets":                                "code: MLflow's route is at an address that its own client does not ask",
	"search datasets of nothing":                     "code: MLflow's route is at an address that its own client does not ask",
	"get history of no run":                          "code: a run that is not there is said so; MLflow gives an empty history",
	"metric with half a step":                        "code: refused; MLflow keeps the point at another step than it was sent with",
	"search logged models by dataset":                "code: a dataset without digest is any of that name, as the documentation says; MLflow finds none",
	"refused search metrics.score > 1 metrics.b > 2": "code: refused; MLflow takes the missing AND for one",
	"refused order by foo.bar":                       says, "refused order by metrics.score UP": says, "refused order by nothing": says,
	"refused search of logged models":   says,
	"refused search dataset.size = 'x'": says, "refused search foo.bar = 'x'": says, "refused search metrics.a > 1 OR metrics.b > 1": says,
	"refused search metrics.score >": says, "refused search metrics.score > 'a'": says, "refused search metrics.score IS NULL": says,
	"refused search metrics.score LIKE 'a'": says, "refused search nothing = 'x'": says, "refused search params.kind = 1": says,
	"rename model to one that is there":                                 says + ", and no text of a database's driver",
	"search too many models":                                            "says what the limit is",
	"search too many versions":                                          "says what the limit is",
	"create version of no logged model":                                 "code: what a client sent is its own mistake; MLflow says that it is the server's",
	"search models twice in order":                                      "code: what a client sent is its own mistake; MLflow says that it is the server's",
	"stage and archive":                                                 "code: what a client sent is its own mistake; MLflow says that it is the server's",
	"refused search of models name%20%3D%20'a'%20OR%20name%20%3D%20'b'": says, "refused search of models name%20%3D%20bare": says,
	"refused search of models name%20%3E%20'a'": says, "refused search of models run_id%20%3D%20'a'": says, "refused search of models tags.team%20%3E%20'a'": says,
	"refused search of versions creation_timestamp%20%3E%201": says, "refused search of versions name%20%3D": says, "refused search of versions name%20%3D%201": says,
	"refused search of versions source_path%20IN%20('a')": says, "refused search of versions version_number%20LIKE%20'1'": says, "search models in no order": says,
	"search versions in no order":      says,
	"refused search params.kind > 'a'": says, "refused search status IN ('a')": says,
}

const says = "says where, what was found, and what was expected"

// ask sends every request, in order.
func ask(t *testing.T, url, token string) map[string]answer {
	s := &session{t: t, url: url, token: token, ids: map[string]string{}, answers: map[string]answer{}}
	s.experiments()
	s.runs()
	s.logging()
	s.badInput()
	s.searches()
	s.models()
	s.registry()
	return s.answers
}

func (s *session) post(name, path, body string) { s.t.Helper(); s.do(name, "POST", path, body) }
func (s *session) get(name, path string)        { s.t.Helper(); s.do(name, "GET", path, "") }

func (s *session) experiments() {
	s.get("default experiment", "experiments/get?experiment_id=0")
	s.post("create experiment", "experiments/create", `{"name": "iris/ä b", "tags": [{"key": "team", "value": "a"}]}`)
	s.get("get experiment", "experiments/get?experiment_id={experiment0}")
	s.get("get experiment by name", "experiments/get-by-name?experiment_name=iris/%C3%A4+b")
	s.get("get no experiment", "experiments/get?experiment_id=999")
	s.get("get experiment without id", "experiments/get")
	s.get("get experiment by letters", "experiments/get?experiment_id=abc")
	s.get("get no experiment by name", "experiments/get-by-name?experiment_name=nope")
	s.post("create experiment again", "experiments/create", `{"name": "iris/ä b"}`)
	s.post("create experiment without name", "experiments/create", `{}`)
	s.post("create experiment with a number for a name", "experiments/create", `{"name": 5}`)
	s.post("create experiment with a long name", "experiments/create", `{"name": "`+strings.Repeat("x", 501)+`"}`)
	s.post("tag experiment", "experiments/set-experiment-tag", `{"experiment_id": "{experiment0}", "key": "k", "value": "v"}`)
	s.post("tag experiment with a path", "experiments/set-experiment-tag", `{"experiment_id": "{experiment0}", "key": "../k", "value": "v"}`)
	s.post("untag experiment", "experiments/delete-experiment-tag", `{"experiment_id": "{experiment0}", "key": "k"}`)
	s.post("untag experiment again", "experiments/delete-experiment-tag", `{"experiment_id": "{experiment0}", "key": "k"}`)
	s.post("rename experiment", "experiments/update", `{"experiment_id": "{experiment0}", "new_name": "iris"}`)
	s.post("search experiments", "experiments/search", `{"max_results": 10, "order_by": ["name ASC"]}`)
	s.post("search experiments by tag", "experiments/search", `{"max_results": 10, "filter": "tags.team = 'a'"}`)
	s.post("search experiments by name", "experiments/search", `{"max_results": 10, "filter": "name ILIKE 'IR%'"}`)
	s.post("search no experiments", "experiments/search", `{"max_results": 0}`)
	s.post("search too many experiments", "experiments/search", `{"max_results": 50001}`)
	s.post("delete experiment", "experiments/delete", `{"experiment_id": "{experiment0}"}`)
	s.post("delete experiment again", "experiments/delete", `{"experiment_id": "{experiment0}"}`)
	s.post("search deleted experiments", "experiments/search", `{"max_results": 10, "view_type": "DELETED_ONLY"}`)
	s.post("tag a deleted experiment", "experiments/set-experiment-tag", `{"experiment_id": "{experiment0}", "key": "k", "value": "v"}`)
	s.post("create run in a deleted experiment", "runs/create", `{"experiment_id": "{experiment0}", "start_time": 1}`)
	s.post("restore experiment", "experiments/restore", `{"experiment_id": "{experiment0}"}`)
}

func (s *session) runs() {
	s.post("create run", "runs/create", `{"experiment_id": "{experiment0}", "user_id": "u", "start_time": 1700000000000, "run_name": "first", "tags": [{"key": "a", "value": "b"}]}`)
	s.get("get run", "runs/get?run_id={run0}")
	s.get("get run by its old name", "runs/get?run_uuid={run0}")
	s.get("get no run", "runs/get?run_id=nope")
	s.get("get run without id", "runs/get")
	s.post("create run with two names", "runs/create", `{"experiment_id": "{experiment0}", "start_time": 1, "run_name": "x", "tags": [{"key": "mlflow.runName", "value": "y"}]}`)
	s.post("create run in no experiment", "runs/create", `{"experiment_id": "999", "start_time": 1}`)
	s.post("update run", "runs/update", `{"run_id": "{run0}", "status": "FINISHED", "end_time": 1700000001000, "run_name": "renamed"}`)
	s.get("get updated run", "runs/get?run_id={run0}")
	s.post("delete run", "runs/delete", `{"run_id": "{run0}"}`)
	s.post("update a deleted run", "runs/update", `{"run_id": "{run0}", "status": "RUNNING"}`)
	s.post("log to a deleted run", "runs/log-metric", `{"run_id": "{run0}", "key": "m", "value": 1, "timestamp": 1}`)
	s.post("search deleted runs", "runs/search", `{"experiment_ids": ["{experiment0}"], "run_view_type": "DELETED_ONLY"}`)
	s.post("restore run", "runs/restore", `{"run_id": "{run0}"}`)
	s.post("restore no run", "runs/restore", `{"run_id": "nope"}`)
}

func (s *session) logging() {
	s.post("log metric", "runs/log-metric", `{"run_id": "{run0}", "key": "loss", "value": 0.5, "timestamp": 10, "step": 1}`)
	s.post("log metric again", "runs/log-metric", `{"run_id": "{run0}", "key": "loss", "value": 0.5, "timestamp": 10, "step": 1}`)
	s.post("log metric in text", "runs/log-metric", `{"run_id": "{run0}", "key": "loss", "value": "0.25", "timestamp": "11", "step": "2"}`)
	s.post("log NaN", "runs/log-metric", `{"run_id": "{run0}", "key": "nan", "value": "NaN", "timestamp": 11}`)
	s.post("log a negative step", "runs/log-metric", `{"run_id": "{run0}", "key": "loss", "value": 9, "timestamp": 12, "step": -5}`)
	s.post("log a huge step", "runs/log-metric", `{"run_id": "{run0}", "key": "huge", "value": 1e300, "timestamp": 12, "step": 9223372036854775807}`)
	s.post("log param", "runs/log-parameter", `{"run_id": "{run0}", "key": "lr", "value": "0.1"}`)
	s.post("log param again", "runs/log-parameter", `{"run_id": "{run0}", "key": "lr", "value": "0.1"}`)
	s.post("log param with another value", "runs/log-parameter", `{"run_id": "{run0}", "key": "lr", "value": "0.2"}`)
	s.post("set tag", "runs/set-tag", `{"run_id": "{run0}", "key": "team/sub", "value": "ключ"}`)
	s.post("delete tag", "runs/delete-tag", `{"run_id": "{run0}", "key": "team/sub"}`)
	s.post("delete tag again", "runs/delete-tag", `{"run_id": "{run0}", "key": "team/sub"}`)
	s.post("log batch", "runs/log-batch", `{"run_id": "{run0}", "metrics": [{"key": "acc", "value": 0.9, "timestamp": 1, "step": 0}, {"key": "acc", "value": 0.95, "timestamp": 2, "step": 1}],
		"params": [{"key": "depth", "value": "3"}], "tags": [{"key": "mlflow.runName", "value": "by tag"}, {"key": "x", "value": "y"}]}`)
	s.post("log batch with another value", "runs/log-batch", `{"run_id": "{run0}", "params": [{"key": "depth", "value": "4"}]}`)
	s.post("log inputs", "runs/log-inputs", `{"run_id": "{run0}", "datasets": [{"tags": [{"key": "mlflow.data.context", "value": "train"}],
		"dataset": {"name": "d", "digest": "1", "source_type": "local", "source": "{}", "schema": "s", "profile": "p"}}]}`)
	s.post("log inputs again", "runs/log-inputs", `{"run_id": "{run0}", "datasets": [{"dataset": {"name": "d", "digest": "1", "source_type": "local", "source": "{}"}}]}`)
	s.get("get run with everything", "runs/get?run_id={run0}")
	s.get("get history", "metrics/get-history?run_id={run0}&metric_key=loss")
	s.get("get history of nothing", "metrics/get-history?run_id={run0}&metric_key=never")
	s.get("get history of NaN", "metrics/get-history?run_id={run0}&metric_key=nan")
	s.get("get a page of history", "metrics/get-history?run_id={run0}&metric_key=loss&max_results=2")
	s.get("get no page of history", "metrics/get-history?run_id={run0}&metric_key=loss&max_results=0")
	s.get("get history of no run", "metrics/get-history?run_id=nope&metric_key=loss")
	s.get("get history without a metric", "metrics/get-history?run_id={run0}")
	s.get("get an interval", "metrics/get-history-bulk-interval?run_ids={run0}&metric_key=loss&start_step=0&end_step=5")
	s.get("get half an interval", "metrics/get-history-bulk-interval?run_ids={run0}&metric_key=loss&start_step=0")
	s.get("get an interval backwards", "metrics/get-history-bulk-interval?run_ids={run0}&metric_key=loss&start_step=5&end_step=0")
	s.post("search datasets", "experiments/search-datasets", `{"experiment_ids": ["{experiment0}"]}`)
	s.post("search datasets of nothing", "experiments/search-datasets", `{}`)
}

func (s *session) badInput() {
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, `, {"key": "m%d", "value": 1, "timestamp": 1}`, i)
	}
	params := strings.NewReplacer(`"value": 1, "timestamp": 1`, `"value": "1"`).Replace(strings.Join(strings.Split(many.String()[2:], ", {")[:101], ", {"))
	for name, body := range map[string]string{
		"1,001 metrics":           `"metrics": [` + many.String()[2:] + `]`,
		"101 params":              `"params": [` + params + `]`,
		"101 tags":                `"tags": [` + params + `]`,
		"a param twice":           `"params": [{"key": "p", "value": "1"}, {"key": "p", "value": "2"}]`,
		"a metric without value":  `"metrics": [{"key": "m", "timestamp": 1}]`,
		"a metric without time":   `"metrics": [{"key": "m", "value": 1}]`,
		"a metric without key":    `"metrics": [{"value": 1, "timestamp": 1}]`,
		"a negative time":         `"metrics": [{"key": "m", "value": 1, "timestamp": -1}]`,
		"a name with a hash":      `"metrics": [{"key": "m#1", "value": 1, "timestamp": 1}]`,
		"a name that goes up":     `"params": [{"key": "a/../../b", "value": "1"}]`,
		"a long metric name":      `"metrics": [{"key": "` + strings.Repeat("m", 251) + `", "value": 1, "timestamp": 1}]`,
		"a long param name":       `"params": [{"key": "` + strings.Repeat("m", 251) + `", "value": "1"}]`,
		"a tag with a bad name":   `"tags": [{"key": "/abs", "value": "1"}]`,
		"a param without key":     `"params": [{"value": "1"}]`,
		"metrics that are a word": `"metrics": "x"`,
	} {
		s.post("batch with "+name, "runs/log-batch", `{"run_id": "{run0}", `+body+`}`)
	}
	s.post("batch for no run", "runs/log-batch", `{"run_id": "nope", "tags": []}`)
	s.post("batch without run", "runs/log-batch", `{}`)
	s.post("metric without value", "runs/log-metric", `{"run_id": "{run0}", "key": "m", "timestamp": 1}`)
	s.post("metric without run", "runs/log-metric", `{"key": "m", "value": 1, "timestamp": 1}`)
	s.post("metric that is a word", "runs/log-metric", `{"run_id": "{run0}", "key": "m", "value": "high", "timestamp": 1}`)
	s.post("metric with a bad name", "runs/log-metric", `{"run_id": "{run0}", "key": "a//b", "value": 1, "timestamp": 1}`)
	s.post("param with a long value", "runs/log-parameter", `{"run_id": "{run0}", "key": "long", "value": "`+strings.Repeat("v", 6001)+`"}`)
	s.post("param without key", "runs/log-parameter", `{"run_id": "{run0}", "value": "1"}`)
	s.post("dataset without digest", "runs/log-inputs", `{"run_id": "{run0}", "datasets": [{"dataset": {"name": "`+strings.Repeat("d", 501)+`", "digest": "1", "source_type": "l", "source": "{}"}}]}`)
}

func (s *session) searches() {
	for i := range 4 {
		s.post(fmt.Sprintf("searched run %d", i), "runs/create", fmt.Sprintf(`{"experiment_id": "{experiment0}", "start_time": %d, "run_name": "s%d"}`, 1000+i, i))
		value := fmt.Sprint(i)
		if i == 3 {
			value = `"NaN"`
		}
		s.post(fmt.Sprintf("searched values %d", i), "runs/log-batch", fmt.Sprintf(`{"run_id": "{run%d}", "metrics": [{"key": "score", "value": %s, "timestamp": 1}],
			"params": [{"key": "kind", "value": "K%d"}, {"key": "my key", "value": "a'b"}]}`, i+1, value, i%2))
	}
	for _, filter := range []string{
		"metrics.score > 1", "metrics.score >= 1", "metrics.score != 1", "metric.`score` = 2", "params.kind = 'K1'", "params.kind LIKE 'k%'", "params.kind ILIKE 'k%'",
		"param.`my key` = \\\"a'b\\\"", "params.kind != 'K1'", "params.missing IS NULL AND metrics.score < 2", "params.kind IS NOT NULL", "attributes.run_name LIKE 's%'", "run_name = 's2'",
		"attributes.status = 'RUNNING' and metrics.score <= 1", "start_time > 1001", "attr.start_time <= 1001", "tags.mlflow.runName = 's1'", "tags.`mlflow.runName` = 's1'",
		"dataset.name = 'd'", "datasets.context IN ('train', 'x')", "run_id IN ('{run1}', '{run2}')", "run_id NOT IN ('{run1}')", "",
	} {
		s.post("search "+filter, "runs/search", `{"experiment_ids": ["{experiment0}"], "filter": "`+filter+`"}`)
	}
	for _, filter := range []string{
		"metrics.score >", "metrics.score > 'a'", "metrics.score LIKE 'a'", "params.kind > 'a'", "params.kind = 1", "foo.bar = 'x'", "nothing = 'x'", "metrics.a > 1 OR metrics.b > 1",
		"dataset.size = 'x'", "metrics.score IS NULL", "status IN ('a')", "metrics.score > 1 metrics.b > 2",
	} {
		s.post("refused search "+filter, "runs/search", `{"experiment_ids": ["{experiment0}"], "filter": "`+filter+`"}`)
	}
	for _, order := range []string{"metrics.score DESC", "metrics.score ASC", "params.kind ASC", "start_time ASC", "attributes.run_name DESC", "metrics.missing"} {
		s.post("order by "+order, "runs/search", `{"experiment_ids": ["{experiment0}"], "order_by": ["`+order+`"]}`)
	}
	for _, order := range []string{"metrics.score UP", "foo.bar", "nothing"} {
		s.post("refused order by "+order, "runs/search", `{"experiment_ids": ["{experiment0}"], "order_by": ["`+order+`"]}`)
	}
	s.post("search with two orders", "runs/search", `{"experiment_ids": ["{experiment0}"], "order_by": ["params.kind DESC", "metrics.score"]}`)
	s.post("search a page", "runs/search", `{"experiment_ids": ["{experiment0}"], "max_results": 2}`)
	s.post("search no experiments' runs", "runs/search", `{"experiment_ids": []}`)
	s.post("search too many runs", "runs/search", `{"experiment_ids": ["{experiment0}"], "max_results": 50001}`)
	s.post("search with a bad token", "runs/search", `{"experiment_ids": ["{experiment0}"], "page_token": "%%%"}`)
}

func (s *session) models() {
	s.post("create logged model", "logged-models", `{"experiment_id": "{experiment0}", "name": "m", "model_type": "t", "source_run_id": "{run0}", "params": [{"key": "p", "value": "1"}], "tags": [{"key": "a", "value": "b"}]}`)
	s.do("finalize logged model", "PATCH", "logged-models/{model0}", `{"model_id": "{model0}", "status": "LOGGED_MODEL_READY"}`)
	s.get("get logged model", "logged-models/{model0}")
	s.get("get no logged model", "logged-models/m-nope")
	s.post("metric of a logged model", "runs/log-metric", `{"run_id": "{run0}", "key": "f1", "value": 0.5, "timestamp": 5, "model_id": "{model0}", "dataset_name": "d", "dataset_digest": "1"}`)
	s.do("tag logged model", "PATCH", "logged-models/{model0}/tags", `{"model_id": "{model0}", "tags": [{"key": "c", "value": "d"}]}`)
	s.do("untag logged model", "DELETE", "logged-models/{model0}/tags/a", `{}`)
	s.do("untag logged model again", "DELETE", "logged-models/{model0}/tags/a", `{}`)
	s.post("params of a logged model", "logged-models/{model0}/params", `{"model_id": "{model0}", "params": [{"key": "q", "value": "2"}]}`)
	s.get("get logged model with everything", "logged-models/{model0}")
	s.post("create logged model with a bad name", "logged-models", `{"experiment_id": "{experiment0}", "name": "a/b"}`)
	for _, filter := range []string{"metrics.f1 > 0.1", "params.p = '1'", "tags.c = 'x'", "name LIKE 'm%'", "creation_time > 0"} {
		s.post("search logged models "+filter, "logged-models/search", `{"experiment_ids": ["{experiment0}"], "filter": "`+filter+`"}`)
	}
	s.post("search logged models by dataset", "logged-models/search", `{"experiment_ids": ["{experiment0}"], "datasets": [{"dataset_name": "d"}], "order_by": [{"field_name": "metrics.f1", "ascending": false}]}`)
	s.post("refused search of logged models", "logged-models/search", `{"experiment_ids": ["{experiment0}"], "filter": "metrics.f1 LIKE 'x'"}`)
	s.post("log outputs", "runs/outputs", `{"run_id": "{run0}", "models": [{"model_id": "{model0}", "step": 2}]}`)
	s.get("get run with its models", "runs/get?run_id={run0}")
	s.do("delete logged model", "DELETE", "logged-models/{model0}", `{}`)
	s.get("get deleted logged model", "logged-models/{model0}")
	s.post("metric with half a step", "runs/log-metric", `{"run_id": "{run0}", "key": "half", "value": 1, "timestamp": 1, "step": 1.5}`)
}
