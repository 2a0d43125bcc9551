package mlflow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/track"
)

func quoted(s string) string { return string(appendText(nil, s)) }

func TestRegistry_names(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"a", "Ünï cödé 模型 🙂", `quote"s 'and' %_\`, strings.Repeat("ü", 256), "v1.2-x_y"} {
		f.want("POST", rest+"registered-models/create", `{"name": `+quoted(name)+`}`, 200, quoted(name))
		f.want("POST", rest+"model-versions/create", `{"name": `+quoted(name)+`, "source": "s3://b/m"}`, 200, `"version":"1"`)
		f.want("POST", rest+"registered-models/get-latest-versions", `{"name": `+quoted(name)+`}`, 200, quoted(name))
	}
	for _, name := range []string{"", " ", "a/b", "a:b", ".", "..", strings.Repeat("x", 257)} {
		f.want("POST", rest+"registered-models/create", `{"name": `+quoted(name)+`}`, 400, "INVALID_PARAMETER_VALUE")
	}
	f.want("POST", rest+"registered-models/create", `{"name": "p", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}`, 501, "NOT_IMPLEMENTED")
	f.want("POST", rest+"model-versions/set-tag", `{"name": "a", "version": "0", "key": "k", "value": "v"}`, 404, "RESOURCE_DOES_NOT_EXIST")
	f.want("POST", rest+"model-versions/create", `{"name": "a", "source": "`, 400, "BAD_REQUEST")
}

// A version has the files it was registered with, whatever happens to its run's.
func TestRegistry_files(t *testing.T) {
	f := newFixture(t)
	run := f.run("0")
	const up = "/api/2.0/mlflow-artifacts/artifacts/"
	f.want("PUT", up+"0/"+run+"/artifacts/model/MLmodel", "flavors: {}", 200, "")
	f.want("PUT", up+"0/"+run+"/artifacts/model/data/x.bin", "12345", 200, "")
	f.want("POST", rest+"registered-models/create", `{"name": "m"}`, 200, "")
	source := `"source": "mlflow-artifacts:/0/` + run + `/artifacts/model", "run_id": "` + run + `"`
	f.want("POST", rest+"model-versions/create", `{"name": "m", `+source+`}`, 200, `"version":"1"`)
	f.want("PUT", up+"0/"+run+"/artifacts/model/MLmodel", "changed", 200, "")
	f.want("POST", rest+"model-versions/create", `{"name": "m", `+source+`}`, 200, `"version":"2"`)
	f.want("DELETE", up+"0/"+run+"/artifacts/model", "", 200, "")
	for version, content := range map[string]string{"1": "flavors: {}", "2": "changed"} {
		var answer struct {
			URI string `json:"artifact_uri"`
		}
		text := f.want("GET", rest+"model-versions/get-download-uri?name=m&version="+version, "", 200, "mlflow-artifacts:/"+track.RegistryFolder+"/")
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		folder := strings.TrimPrefix(answer.URI, scheme)
		f.want("GET", up+folder+"/MLmodel", "", 200, content)
		f.want("GET", "/api/2.0/mlflow-artifacts/artifacts?path="+folder, "", 200, `"path":"data"`)
		f.want("PUT", up+folder+"/MLmodel", "mine", 403, "do not change")
		f.want("DELETE", up+folder, "", 403, "do not change")
	}
}

// What a pipeline made comes from its archive when it is first asked for, and
// has what a client needs to find it.
func TestRegistry_of_a_pipeline(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	v := f.pipelineVersion(ctx, t)
	f.want("GET", rest+"registered-models/alias?name=ridge&alias=champion", "", 200, `"version":"1"`)
	f.want("GET", rest+"model-versions/get?name=ridge&version=1", "", 200, `"run_id":"0123"`)
	f.want("GET", rest+"model-versions/search?filter=tags.%60ridgeline.verdict%60%20%3D%20%27promoted%27", "", 200, `"name":"ridge"`)
	want := track.RegistryFolder + "/" + v.Artifact + "/inside" // where its MLmodel is
	for range 2 {
		f.want("GET", rest+"model-versions/get-download-uri?name=ridge&version=1", "", 200, want)
	}
	f.want("GET", "/api/2.0/mlflow-artifacts/artifacts/"+want+"/MLmodel", "", 200, "flavors: {}")
	f.want("POST", rest+"registered-models/alias", `{"name": "ridge", "alias": "champion", "version": "1"}`, 403, "kept by the gate of project diabetes")
	f.want("DELETE", rest+"model-versions/delete", `{"name": "ridge", "version": "1"}`, 400, "is the champion")
	f.want("POST", rest+"registered-models/rename", `{"name": "ridge", "new_name": "x"}`, 403, "keeps its name")
	f.want("POST", rest+"registered-models/create", `{"name": "ridge"}`, 400, "RESOURCE_ALREADY_EXISTS")
	// A copy of it is a version by hand, with its files.
	f.want("POST", rest+"registered-models/create", `{"name": "mine"}`, 200, "")
	f.want("POST", rest+"model-versions/create", `{"name": "mine", "source": "models:/ridge@champion"}`, 200, `"source":"models:/ridge/1"`)
	f.want("GET", rest+"model-versions/get-download-uri?name=mine&version=1", "", 200, "mlflow-artifacts:/"+track.RegistryFolder)
}

func (f *fixture) pipelineVersion(ctx context.Context, t *testing.T) ridgeline.ModelVersion {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	err := os.MkdirAll(filepath.Join(dir, "inside"), 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "inside", "MLmodel"), []byte("flavors: {}"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	tree, _, err := f.api.Trees.(*blob.Store).PutTree(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.api.Registry.EnsureProject(ctx, "diabetes", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := f.api.Registry.CreateRun(ctx, ridgeline.Run{ID: "r-1", Project: "diabetes", Status: ridgeline.Queued, Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	v := ridgeline.ModelVersion{
		Model: "ridge", Project: "diabetes", Run: "r-1", Artifact: tree, Verdict: ridgeline.Promoted, Created: time.Now(),
		Registration: ridgeline.Registration{TrackingRun: "0123"},
	}
	if v.Version, err = f.api.Registry.ReserveVersion(ctx, "ridge", "r-1"); err != nil {
		t.Fatal(err)
	}
	if err := f.api.Registry.RegisterVersion(ctx, v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The token of a step registers for its project.
func TestRegistry_of_a_step(t *testing.T) {
	f := newFixture(t)
	f.want("POST", rest+"registered-models/create", `{"name": "somebody's"}`, 200, "")
	if _, err := f.api.Registry.EnsureProject(t.Context(), "diabetes", time.Now()); err != nil {
		t.Fatal(err)
	}
	f.caller = auth.Principal{Name: "step", Role: ridgeline.Writer, Run: "r-1", Project: "diabetes"}
	f.want("POST", rest+"registered-models/create", `{"name": "steps"}`, 200, "")
	f.want("POST", rest+"model-versions/create", `{"name": "steps", "source": "s3://b/m"}`, 200, `"version":"1"`)
	f.want("POST", rest+"model-versions/create", `{"name": "somebody's", "source": "s3://b/m"}`, 403, "this token is of project diabetes")
	f.want("DELETE", rest+"registered-models/delete", `{"name": "somebody's"}`, 403, "PERMISSION_DENIED")
	if m, err := f.api.Registry.RegisteredModel(t.Context(), "steps"); err != nil || m.Project != "diabetes" {
		t.Errorf("%+v %v", m, err)
	}
	f.caller = auth.Principal{Name: "v", Role: ridgeline.Viewer}
	f.want("POST", rest+"registered-models/create", `{"name": "v"}`, 403, "this needs a writer")
	f.want("GET", rest+"registered-models/search", ``, 200, "steps")
}

// Twenty clients that ask for the same at once get a version each, in order and
// without a gap.
func TestRegistry_twenty_clients(t *testing.T) {
	f := newFixture(t)
	f.want("POST", rest+"registered-models/create", `{"name": "m"}`, 200, "")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 3 {
				if status, text, _ := f.do("POST", rest+"model-versions/create", `{"name": "m", "source": "s3://b/m"}`); status != http.StatusOK {
					t.Error(status, text)
				}
			}
		})
	}
	wg.Wait()
	all, err := f.api.Registry.ModelVersions(t.Context(), "m")
	if err != nil || len(all) != 60 {
		t.Fatalf("%d versions, %v", len(all), err)
	}
	for i, v := range all {
		if v.Version != 60-i {
			t.Fatalf("%d. is version %d", i, v.Version)
		}
	}
}

// A client that went away before its answer, or whose server did, asks again
// for the same version.
func TestRegistry_asked_again(t *testing.T) {
	f := newFixture(t)
	f.want("POST", rest+"registered-models/create", `{"name": "m"}`, 200, "")
	body := `{"name": "m", "source": "s3://b/m"}`
	for _, want := range []string{"1", "2"} { // answered: two requests are two versions
		f.want("POST", rest+"model-versions/create", body, 200, `"version":"`+want+`"`)
	}
	// The process that made version 3 is gone, and nobody knows whether it answered.
	r := &request{http: &http.Request{RemoteAddr: "127.0.0.1:1"}}
	parser := f.api.parsers.Get()
	var err error
	if r.body, err = parser.Parse(body); err != nil {
		t.Fatal(err)
	}
	digest := r.digest(auth.With(t.Context(), f.caller))
	lost, err := f.api.Registry.RegisterManual(t.Context(), store.Registering{
		Version: ridgeline.ModelVersion{Model: "m", Registration: ridgeline.Registration{URI: "s3://b/m"}}, Request: digest, Process: "gone",
	})
	if err != nil {
		t.Fatal(err)
	}
	f.want("POST", rest+"model-versions/create", body, 200, fmt.Sprintf(`"version":"%d"`, lost.Version))
	f.want("POST", rest+"model-versions/create", body, 200, fmt.Sprintf(`"version":"%d"`, lost.Version+1))
}
