package mlflow

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
)

// A token of one project finds nothing of another's by any route: each is asked
// for another project's things, by every field in which they can be named.
func TestScope_of_every_route(t *testing.T) {
	f := newFixture(t)
	for _, p := range []ridgeline.ProjectName{"mine", "theirs"} {
		if _, err := f.api.Registry.EnsureProject(t.Context(), p, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	as := func(p ridgeline.ProjectName) {
		f.caller = auth.Principal{Name: "token of " + string(p), Role: ridgeline.Writer, Project: p}
	}
	as("theirs")
	f.want("POST", rest+"experiments/create", `{"name": "theirs"}`, 200, `"1"`)
	run := f.run("1")
	f.want("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/"+run+"/artifacts/model/MLmodel", "flavors: {}", 200, "{}")
	var made struct {
		Model struct {
			Info struct {
				ID string `json:"model_id"`
			} `json:"info"`
		} `json:"model"`
	}
	if err := json.Unmarshal([]byte(f.want("POST", rest+"logged-models", `{"experiment_id": "1", "name": "m"}`, 200, "model_id")), &made); err != nil {
		t.Fatal(err)
	}
	model := made.Model.Info.ID
	f.want("POST", rest+"registered-models/create", `{"name": "their-model"}`, 200, "")
	f.want("POST", rest+"model-versions/create", `{"name": "their-model", "run_id": "`+run+`", "source": "runs:/`+run+`/model"}`, 200, `"version":"1"`)
	f.want("POST", rest+"registered-models/alias", `{"name": "their-model", "alias": "best", "version": "1"}`, 200, "{}")
	var where struct {
		URI string `json:"artifact_uri"`
	}
	if err := json.Unmarshal([]byte(f.want("GET", rest+"model-versions/get-download-uri?name=their-model&version=1", "", 200, "mlflow-artifacts")), &where); err != nil {
		t.Fatal(err)
	}
	files := strings.TrimPrefix(where.URI, scheme)
	f.want("GET", "/api/2.0/mlflow-artifacts/artifacts/"+files+"/MLmodel", "", 200, "flavors")

	as("mine")
	f.want("POST", rest+"experiments/create", `{"name": "mine/sweep"}`, 200, `"2"`)
	own := f.run("2")
	theirs := func(text string) bool {
		return strings.Contains(text, run) || strings.Contains(text, model) || strings.Contains(text, "their-model") || strings.Contains(text, `"name":"theirs"`)
	}
	subject := map[string]any{
		"experiment_id": "1", "experiment_ids": []string{"1"}, "experiment_name": "theirs", "run_id": run, "run_ids": []string{run}, "model_id": model, "source_run_id": run,
		"name": "their-model", "new_name": "x", "version": "1", "alias": "best", "key": "k", "value": "v", "metric_key": "k", "status": "FINISHED", "stage": "None", "source": "runs:/" + run + "/model",
	}
	body, err := json.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	query := url.Values{}
	for name, v := range subject {
		if list, ok := v.([]string); ok {
			query[name] = list
		} else {
			query.Set(name, v.(string))
		}
	}
	query.Set("run_id", run)
	searches := []string{"experiments/search", "runs/search", "logged-models/search", "registered-models/search", "model-versions/search", "experiments/search-datasets"}
	for _, r := range slices.Concat(f.api.routes(), f.api.registryRoutes()) {
		path := strings.NewReplacer("{model_id}", model, "{tag_key}", "k").Replace(r.path)
		ask := func(body string, query url.Values) (int, string) {
			if r.method == http.MethodGet {
				body, path = "", path+"?"+query.Encode()
			}
			status, text, _ := f.do(r.method, rest+path, body)
			return status, text
		}
		if slices.Contains(searches, r.path) {
			status, text := ask(`{"experiment_ids": ["1", "2"], "max_results": 100}`, url.Values{"max_results": {"100"}})
			if status != 200 || theirs(text) {
				t.Errorf("%s %s: %d %s", r.method, r.path, status, text)
			}
			continue
		}
		if status, text := ask(string(body), query); status != 404 || !strings.Contains(text, "RESOURCE_DOES_NOT_EXIST") {
			t.Errorf("%s %s: %d %s, want what is told of things that are not there", r.method, r.path, status, text)
		}
	}
	const artifacts = "/api/2.0/mlflow-artifacts/"
	for _, ask := range [][3]string{
		{"GET", "artifacts/1/" + run + "/artifacts/model/MLmodel"},
		{"GET", "artifacts/" + files + "/MLmodel"},
		{"GET", "presigned/1/" + run + "/artifacts/model/MLmodel"},
		{"GET", "artifacts?path=1/" + run},
		{"GET", "artifacts?path=" + files},
		{"GET", "artifacts"},
		{"PUT", "artifacts/1/" + run + "/artifacts/x", "x"},
		{"DELETE", "artifacts/1/" + run + "/artifacts/model/MLmodel"},
		{"POST", "mpu/create/1/" + run + "/artifacts", `{"path": "x", "num_parts": 1}`},
	} {
		f.want(ask[0], artifacts+ask[1], ask[2], 404, "RESOURCE_DOES_NOT_EXIST")
	}
	// Nor by a way round.
	f.want("POST", rest+"runs/create", `{"start_time": 1}`, 404, "MLFLOW_EXPERIMENT_NAME=mine")
	f.want("POST", rest+"experiments/create", `{"name": "theirs/x"}`, 403, "project mine")
	f.want("POST", rest+"runs/log-batch", `{"run_id": "`+own+`", "metrics": [{"key": "k", "value": 1, "timestamp": 1, "model_id": "`+model+`"}]}`, 404, model)
	f.want("POST", rest+"registered-models/create", `{"name": "my-model"}`, 200, "")
	f.want("POST", rest+"model-versions/create", `{"name": "my-model", "source": "models:/their-model/1"}`, 404, "their-model")
	f.want("POST", rest+"experiments/create", `{"name": "mine/there", "artifact_location": "mlflow-artifacts:/1"}`, 200, `"3"`)
	crooked := f.run("3")
	f.want("GET", rest+"artifacts/list?run_id="+crooked, "", 404, "No such artifact")

	// Its own it has.
	f.want("GET", rest+"runs/get?run_id="+own, "", 200, own)
	f.want("POST", rest+"runs/log-metric", `{"run_id": "`+own+`", "key": "m", "value": 1, "timestamp": 1}`, 200, "{}")
	f.want("POST", rest+"runs/search", `{"experiment_ids": ["0", "1", "2"]}`, 200, own)
	f.want("PUT", artifacts+"artifacts/2/"+own+"/artifacts/model/MLmodel", "flavors: {}", 200, "{}")
	f.want("POST", rest+"model-versions/create", `{"name": "my-model", "run_id": "`+own+`", "source": "runs:/`+own+`/model"}`, 200, `"version":"1"`)
	f.want("GET", rest+"registered-models/search?max_results=10", "", 200, "my-model")
	f.want("GET", artifacts+"artifacts?path=2/"+own, "", 200, "artifacts")
	// A viewer's token of the project reads it, and no more.
	f.caller.Role = ridgeline.Viewer
	f.want("GET", rest+"runs/get?run_id="+own, "", 200, own)
	f.want("POST", rest+"runs/log-metric", `{"run_id": "`+own+`", "key": "m", "value": 2, "timestamp": 1}`, 403, "PERMISSION_DENIED")
}
