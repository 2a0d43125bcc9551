package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/store/storetest"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// A fixture is the dialect over real stores, asked by whoever caller is.
type fixture struct {
	t      *testing.T
	dir    string
	url    string
	api    *API
	caller auth.Principal
}

func newFixture(t *testing.T) *fixture {
	dir := t.TempDir()
	tracking, err := track.Open(t.Context(), track.Options{URL: "sqlite:" + filepath.Join(dir, "tracking.db")})
	if err != nil {
		t.Fatal(err)
	}
	registry, err := store.Open(t.Context(), storetest.Address(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := blob.Open(t.Context(), filepath.Join(dir, "blob"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: dir, api: &API{Track: tracking, Registry: registry, Door: &auth.Door{Trail: registry, Log: slog.New(slog.DiscardHandler)}, Contents: contents, Uploads: contents.Uploads(), Trees: contents, Temp: dir, Log: slog.New(slog.DiscardHandler)}, caller: auth.Principal{Name: "w", Role: ridgeline.Writer}}
	handler := f.api.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(auth.With(r.Context(), f.caller)))
	}))
	f.url = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := tracking.Close(); err != nil {
			t.Error(err)
		}
		if err := registry.Close(); err != nil {
			t.Error(err)
		}
		_ = contents.Close()
	})
	return f
}

func (f *fixture) do(method, path, body string, headers ...string) (int, string, http.Header) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return w.StatusCode, string(text), w.Header
}

// want asks, and fails unless the answer is so.
func (f *fixture) want(method, path, body string, status int, part string) string {
	f.t.Helper()
	got, text, _ := f.do(method, path, body)
	if got != status || !strings.Contains(text, part) {
		f.t.Fatalf("%s %s %s: %d %s, want %d with %q", method, path, body, got, text, status, part)
	}
	return text
}

const rest = "/api/2.0/mlflow/"

func (f *fixture) run(experiment string) string {
	f.t.Helper()
	var answer struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	text := f.want("POST", rest+"runs/create", `{"experiment_id": "`+experiment+`", "start_time": 1}`, 200, "run_id")
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		f.t.Fatal(err)
	}
	return answer.Run.Info.ID
}

func TestSpelling(t *testing.T) {
	for _, code := range ridgeline.Codes() {
		if s, ok := spelling[code]; !ok || s.code == "" || s.status < 400 {
			t.Errorf("%s has no spelling", code)
		}
	}
	w := httptest.NewRecorder()
	Fail(w, fmt.Errorf("password in here"))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "password") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAPI_what_is_not_here(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/api/3.0/mlflow/traces", "/api/2.0/mlflow/traces/tr-1", "/ajax-api/2.0/mlflow/gateway/secrets/list", "/api/2.0/mlflow/datasets/create", "/api/2.0/mlflow/webhooks"} {
		f.want("POST", path, `{}`, http.StatusNotImplemented, "NOT_IMPLEMENTED")
	}
	f.want("POST", "/api/2.0/mlflow/runs/creat", `{}`, http.StatusNotFound, "ENDPOINT_NOT_FOUND")
	f.want("GET", "/api/2.0/mlflow/runs/create", ``, http.StatusNotFound, "ENDPOINT_NOT_FOUND")
	f.want("GET", "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0", ``, http.StatusOK, "Default")
}

func TestAPI_bodies(t *testing.T) {
	f := newFixture(t)
	f.want("POST", rest+"runs/create", `{"experiment_id": `, http.StatusBadRequest, "BAD_REQUEST")
	f.want("POST", rest+"runs/create", `[1]`, http.StatusBadRequest, "expected an object")
	f.want("POST", rest+"runs/create", `{"experiment_id": 7}`, http.StatusBadRequest, "Value was of type 'int'")
	f.want("POST", rest+"runs/create", `"{\"experiment_id\": \"0\"}"`, http.StatusOK, "run_id") // an old client encodes twice
	f.want("POST", rest+"experiments/search", ``, http.StatusOK, "Default")
	run := f.run("0")
	f.want("POST", rest+"runs/log-batch", `{"run_id": "`+run+`", "tags": [{"key": "k", "value": "`+strings.Repeat("x", maxBatch)+`"}]}`, http.StatusBadRequest, "at most 1000000 bytes")

	// A body that stops half way changes nothing.
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %sruns/log-parameter HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"run_id\": \"%s\", \"key\": \"p\", \"value\": \"1\"}", rest, run)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.Contains(answer, []byte("before its end")) {
		t.Fatalf("%s %v", answer, err)
	}
	if text := f.want("GET", rest+"runs/get?run_id="+run, "", 200, "run_id"); strings.Contains(text, `"params"`) {
		t.Fatal(text)
	}
}

func TestAPI_roles_and_projects(t *testing.T) {
	f := newFixture(t)
	f.want("POST", rest+"experiments/create", `{"name": "other"}`, 200, `"1"`)
	mine := f.run("1")
	f.caller = auth.Principal{Name: "a", Role: ridgeline.Admin}
	f.want("POST", rest+"experiments/create", `{"name": "copied", "creation_time": 1700000000000}`, 200, `"2"`)
	f.want("GET", rest+"experiments/get?experiment_id=2", "", 200, `"creation_time":1700000000000`)
	f.caller = auth.Principal{Name: "v", Role: ridgeline.Viewer}
	f.want("POST", rest+"runs/search", `{"experiment_ids": ["1"]}`, 200, mine)
	f.want("POST", rest+"runs/set-tag", `{"run_id": "`+mine+`", "key": "a", "value": "b"}`, http.StatusForbidden, "PERMISSION_DENIED")
	f.want("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/x", "x", http.StatusForbidden, "PERMISSION_DENIED")

	f.caller = auth.Principal{Name: "run r-1", Role: ridgeline.Writer, Run: "r-1", Project: "iris"}
	f.want("POST", rest+"experiments/create", `{"name": "irises"}`, http.StatusForbidden, "project iris")
	f.want("POST", rest+"experiments/create", `{"name": "iris", "creation_time": 1700000000000}`, http.StatusForbidden, "only an administrator chooses a creation_time")
	f.want("POST", rest+"experiments/create", `{"name": "iris"}`, 200, `"3"`)
	f.want("POST", rest+"experiments/create", `{"name": "iris/sweep"}`, 200, `"4"`)
	own := f.run("4")
	f.want("GET", rest+"runs/get?run_id="+own, "", 200, "ridgeline.run")
	f.want("GET", rest+"runs/get?run_id="+mine, "", 200, mine)
	for _, request := range [][2]string{
		{"runs/create", `{"experiment_id": "0", "start_time": 1}`}, {"runs/set-tag", `{"run_id": "` + mine + `", "key": "a", "value": "b"}`},
		{"runs/log-batch", `{"run_id": "` + mine + `"}`}, {"runs/log-metric", `{"run_id": "` + mine + `", "key": "m", "value": 1, "timestamp": 1}`},
		{"runs/delete", `{"run_id": "` + mine + `"}`}, {"experiments/delete", `{"experiment_id": "1"}`}, {"experiments/update", `{"experiment_id": "4", "new_name": "else"}`},
		{"logged-models", `{"experiment_id": "1"}`},
	} {
		f.want("POST", rest+request[0], request[1], http.StatusForbidden, "PERMISSION_DENIED")
	}
	f.want("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/"+mine+"/artifacts/x", "x", http.StatusForbidden, "PERMISSION_DENIED")
	f.want("PUT", "/api/2.0/mlflow-artifacts/artifacts/elsewhere", "x", http.StatusForbidden, "PERMISSION_DENIED")
	f.want("PUT", "/api/2.0/mlflow-artifacts/artifacts/4/"+own+"/artifacts/x", "x", 200, "{}")
}

func TestAPI_artifacts(t *testing.T) {
	f := newFixture(t)
	run := f.run("0")
	at := "/api/2.0/mlflow-artifacts/artifacts/"
	root := "0/" + run + "/artifacts/"
	for name, content := range map[string]string{"a.txt": "0123456789", "deep/er/b%20%C3%B6.bin": "0123456789", "deep/empty": ""} {
		f.want("PUT", at+root+name, content, 200, "{}")
	}
	status, body, headers := f.do("GET", at+root+"a.txt", "")
	if status != 200 || body != "0123456789" || headers.Get("Content-Length") != "10" || !strings.HasPrefix(headers.Get("Content-Type"), "text/plain") {
		t.Fatal(status, body, headers)
	}
	status, body, headers = f.do("GET", at+root+"a.txt", "", "Range", "bytes=3-5")
	if status != http.StatusPartialContent || body != "345" || headers.Get("Content-Range") != "bytes 3-5/10" {
		t.Fatal(status, body, headers)
	}
	if status, _, _ := f.do("GET", at+root+"a.txt", "", "Range", "bytes=30-"); status != http.StatusRequestedRangeNotSatisfiable {
		t.Fatal(status)
	}
	if status, _, _ := f.do("GET", at+root+"a.txt", "", "If-None-Match", headers.Get("ETag")); status != http.StatusNotModified {
		t.Fatal(status)
	}
	f.want("GET", rest+"artifacts/list?run_id="+run, "", 200, `"files":[{"path":"a.txt","is_dir":false,"file_size":10},{"path":"deep","is_dir":true}]`)
	f.want("GET", rest+"artifacts/list?path=deep&run_id="+run, "", 200, `[{"path":"deep/empty","is_dir":false,"file_size":0},{"path":"deep/er","is_dir":true}]`)
	f.want("GET", at[:len(at)-1]+"?path="+root+"deep/er", "", 200, `b ö.bin`)
	f.want("GET", at[:len(at)-1]+"?path=0", "", 200, run)
	f.want("GET", at+root+"none", "", http.StatusNotFound, "No such artifact")
	blobs, err := filepath.Glob(filepath.Join(f.dir, "blob", "sha256", "*", "*"))
	if err != nil || len(blobs) != 2 {
		t.Fatal("the same content is kept once:", blobs, err)
	}
	for _, path := range []string{"%2e%2e/x", "a/%252e%252e/%252e%252e/x", "a%5C..%5Cx", "a%00b", "%2Fetc/passwd"} {
		status, body, _ := f.do("PUT", at+root+path, "x")
		if status == 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	f.want("GET", rest+"artifacts/list?path=../../x&run_id="+run, "", http.StatusBadRequest, "Invalid path")

	// What has vanished from the blob store is an answer that says so.
	for _, b := range blobs {
		if err := os.Remove(b); err != nil {
			t.Fatal(err)
		}
	}
	f.want("GET", at+root+"a.txt", "", http.StatusNotFound, "is missing here")
	f.want("DELETE", at+root+"deep", "", 200, "{}")
	f.want("DELETE", at+root+"deep", "", http.StatusNotFound, "No such artifact")
	f.want("GET", rest+"artifacts/list?run_id="+run, "", 200, `"files":[{"path":"a.txt","is_dir":false,"file_size":10}]`)
}

// TestAPI_parts: a file arrives in parts, in any order; what was interrupted goes
// on with those that are missing, and asking twice is harmless.
func TestAPI_parts(t *testing.T) {
	f := newFixture(t)
	run := f.run("0")
	const api = "/api/2.0/mlflow-artifacts/"
	folder := "0/" + run + "/artifacts/model"
	var upload struct {
		ID          string `json:"upload_id"`
		Credentials []struct {
			URL     string            `json:"url"`
			Headers map[string]string `json:"headers"`
		} `json:"credentials"`
	}
	_, body, _ := f.do("POST", api+"mpu/create/"+folder, `{"path": "C:\\models/weights.bin", "num_parts": 3}`, "Authorization", "Bearer mine")
	if err := json.Unmarshal([]byte(body), &upload); err != nil || len(upload.Credentials) != 3 || upload.Credentials[2].Headers["Authorization"] != "Bearer mine" {
		t.Fatal(body)
	}
	part := func(number int, content string) {
		t.Helper()
		path, ours := strings.CutPrefix(upload.Credentials[number-1].URL, f.url)
		if !ours {
			t.Fatal(upload.Credentials)
		}
		f.want("PUT", path, content, 200, "{}")
	}
	which := fmt.Sprintf(`{"path": "weights.bin", "upload_id": %q}`, upload.ID)
	part(3, "three")
	part(1, "something else")
	part(1, "one ")
	f.want("POST", api+"mpu/complete/"+folder, which, http.StatusBadRequest, "part 2 is not among them")
	f.want("GET", api+"mpu/parts/"+upload.ID, "", 200, `"parts":[{"part_number":1,"size":4},{"part_number":3,"size":5}]`)
	f.want("GET", api+"artifacts/"+folder+"/weights.bin", "", http.StatusNotFound, "No such artifact")
	part(2, "two ")
	f.want("PUT", api+"mpu/parts/"+upload.ID+"/4", "x", http.StatusBadRequest, "expected 1 to 3")
	for range 2 {
		f.want("POST", api+"mpu/complete/"+folder, which, 200, "{}")
	}
	f.want("POST", api+"mpu/abort/"+folder, which, 200, "{}")
	if _, body, _ := f.do("GET", api+"artifacts/"+folder+"/weights.bin", ""); body != "one two three" {
		t.Fatal(body)
	}
	if left, err := filepath.Glob(filepath.Join(f.dir, "blob", "uploads", "*", "0*")); err != nil || len(left) > 0 {
		t.Error("parts are left:", left, err)
	}
	f.want("GET", api+"presigned/"+folder+"/weights.bin", "", 200, `"url":"`+f.url+api+`artifacts/`+folder+`/weights.bin","headers":{}}`)
	f.want("GET", api+"presigned/"+folder+"/none", "", http.StatusNotFound, "No such artifact")

	f.want("PUT", strings.TrimPrefix(upload.Credentials[0].URL, f.url), "late", http.StatusBadRequest, "is complete")
	for _, bad := range []string{`{"path": "x", "num_parts": 0}`, `{"path": "x", "num_parts": 10001}`, `{"num_parts": 1}`, `{"path": ".."}`, `{"path": "a/"}`} {
		f.want("POST", api+"mpu/create/"+folder, bad, http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
	}
	f.want("POST", api+"mpu/create/%2e%2e/x", `{"path": "x"}`, http.StatusBadRequest, "Invalid path")
	f.want("GET", api+"mpu/parts/"+strings.Repeat("0", 32), "", http.StatusNotFound, "begin again")
	f.want("PUT", api+"mpu/parts/..%2F..%2Fsha256/1", "x", http.StatusNotFound, "no upload")
	f.want("POST", api+"mpu/abort/x", `{"upload_id": "none"}`, 200, "{}")

	// A step's spool keeps a file in one piece while the server is away.
	f.caller = auth.Principal{Name: "run", Role: ridgeline.Writer, Run: "r-1", Project: "iris"}
	f.want("POST", api+"mpu/create/"+folder, `{"path": "x"}`, http.StatusNotImplemented, "Multipart upload is not supported for the current artifact repository")
	f.caller = auth.Principal{Name: "other", Role: ridgeline.Writer, Run: "r-2", Project: "iris"}
	f.want("GET", api+"mpu/parts/"+upload.ID, "", http.StatusForbidden, "PERMISSION_DENIED")
}

func TestAPI_upload_that_stops(t *testing.T) {
	f := newFixture(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "PUT /api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/big HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhalf")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	f.want("GET", "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/big", "", http.StatusNotFound, "No such artifact")
}

func TestSteps(t *testing.T) {
	f := newFixture(t)
	access, err := auth.New(f.dir, f.dir, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s := &Steps{Track: f.api.Track, Contents: f.api.Contents, Auth: access, URL: f.url}
	run := ridgeline.Run{ID: "r-1", Project: "iris", Caller: "me"}
	try := ridgeline.Attempt{Number: 1, Task: "run-r-1-train-1", Started: time.UnixMilli(5000)}
	env, secret, err := s.Begin(ctx, run, "train", try, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := s.Begin(ctx, run, "train", try, time.Minute)
	if err != nil || same != secret || strings.Join(again, " ") != strings.Join(env, " ") {
		t.Fatal("twice is not the same:", again, env, err)
	}
	id := strings.TrimPrefix(env[3], "MLFLOW_RUN_ID=")
	if env[2] != "MLFLOW_EXPERIMENT_NAME=iris" || env[1] != "MLFLOW_TRACKING_TOKEN="+secret {
		t.Fatal(env)
	}
	if found, err := s.Model(ctx, try.Task, filepath.Join(f.dir, "none")); found || err != nil {
		t.Fatal(found, err)
	}
	f.want("POST", rest+"runs/log-batch", `{"run_id": "`+id+`", "metrics": [{"key": "mse", "value": 2.5, "timestamp": 1}]}`, 200, "{}")
	f.want("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/"+id+"/artifacts/model/data/x.bin", "bytes", 200, "{}")
	f.want("POST", rest+"runs/log-model", `{"run_id": "`+id+`", "model_json": "{\"artifact_path\": \"model\", \"flavors\": {}, \"run_id\": \"x\", \"utc_time_created\": \"x\"}"}`, 200, "{}")
	metrics, err := s.End(ctx, try.Task, ridgeline.Succeeded, time.UnixMilli(9000))
	if err != nil || metrics["mse"] != 2.5 || len(metrics) != 1 {
		t.Fatal(metrics, err)
	}
	f.want("GET", rest+"runs/get?run_id="+id, "", 200, `"status":"FINISHED","start_time":5000,"end_time":9000`)
	dir := filepath.Join(f.dir, "model")
	if found, err := s.Model(ctx, try.Task, dir); !found || err != nil {
		t.Fatal(found, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "data", "x.bin")); string(text) != "bytes" || err != nil {
		t.Fatal(text, err)
	}
	if _, err := s.End(ctx, "run-r-1-other-1", ridgeline.Failed, time.Now()); err != nil {
		t.Fatal("a run that was reclaimed is no reason to fail:", err)
	}
}

func FuzzLogBatch(fz *testing.F) {
	fz.Add(`{"run_id": "x", "metrics": [{"key": "m", "value": "NaN", "timestamp": "1", "step": 2}], "params": [{"key": "p"}], "tags": [{}]}`)
	fz.Fuzz(func(t *testing.T, body string) {
		api := &API{Log: slog.New(slog.DiscardHandler)}
		parser := api.parsers.Get()
		defer api.parsers.Put(parser)
		r, err := read(httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)), parser)
		if err != nil {
			return
		}
		for i, v := range r.list("metrics") {
			r.metric(v, fmt.Sprintf("metrics[%d]", i))
		}
		r.pairs("params")
		if r.err != nil && ridgeline.CodeOf(r.err) != ridgeline.Invalid {
			t.Fatal(r.err)
		}
	})
}
