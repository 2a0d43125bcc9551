package test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// spoolStep logs a point at a time, fails when one is not taken, and says how
// far it is in a file, until it is told to end.
const spoolStep = `
import json, os, pathlib, time, urllib.request
folder = pathlib.Path(os.environ["RIDGELINE_PARAM_FOLDER"])
def log(path, method="POST", **body):
    request = urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/" + path, method=method, data=json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]})
    urllib.request.urlopen(request).read()
run = os.environ["MLFLOW_RUN_ID"]
step = 0
while not (folder / "stop").exists():
    log("mlflow/runs/log-metric", run_id=run, key="m", value=step / 2, timestamp=1000 + step, step=step)
    step += 1
    (folder / "new").write_text(str(step))
    (folder / "new").rename(folder / "points")
    time.sleep(0.002)
log("mlflow/runs/log-parameter", run_id=run, key="p", value="last")
log("mlflow/runs/log-parameter", run_id=run, key="p", value="another")
(folder / "ended").write_text("")
`

// TestSpool kills the server while a step logs, starts it again some time
// later, and again; the last time the step ends before the server is back.
func TestSpool(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String() // the server comes back at its old one, as servers do
	l.Close()
	r := newRidgeline(t, "--listen", address)
	dir, folder := filepath.Join(t.TempDir(), "spooled"), t.TempDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"requirements.txt": "", "step.py": spoolStep,
		"ridgeline.yaml": "project: spooled\npython: requirements.txt\npipeline:\n  on: {push: false}\n  params:\n    folder: {type: string, default: none}\n  steps:\n    log: {run: python step.py, timeout: 5m}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := commit(dir, "first"); err != nil {
		t.Fatal(err)
	}
	r.must(dir, "push")
	r.must(dir, "train", "--param", "folder="+folder, "--detach")
	id := decode[[]struct{ ID string }](t, r.must(".", "runs", "--project", "spooled", "--json"))[0].ID
	points := func() int {
		text, err := os.ReadFile(filepath.Join(folder, "points"))
		if err != nil {
			return 0
		}
		n, err := strconv.Atoi(string(text))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	more := func(what string, n int) {
		t.Helper()
		eventually(t, time.Minute, what, func() bool { return points() >= n })
	}
	more("the step logs", 20)
	for round := range 3 {
		r.kill()
		more("the step goes on while the server is away", points()+100)
		if round == 2 {
			if err := os.WriteFile(filepath.Join(folder, "stop"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			eventually(t, time.Minute, "the step ends without a server", func() bool {
				_, err := os.Stat(filepath.Join(folder, "ended"))
				return err == nil
			})
		}
		r.start()
		if round < 2 {
			more("the step goes on when the server is back", points()+100)
		}
	}
	var status string
	eventually(t, time.Minute, "the run has ended", func() bool {
		status = decode[struct{ Status string }](t, r.must(".", "run", id, "--json")).Status
		return status != "running" && status != "queued" && status != "waiting"
	})
	text := r.must(".", "logs", id, "log")
	if status != "succeeded" {
		t.Fatalf("the run is %s:\n%s", status, text)
	}
	if !strings.Contains(text, "the tracking server does not answer") || !strings.Contains(text, "the tracking server is back") ||
		!strings.Contains(text, "refused what was logged while it was away: POST /api/2.0/mlflow/runs/log-parameter: 400") {
		t.Errorf("the step's log does not tell of it:\n%s", text)
	}
	history := r.history("spooled")
	if len(history) != points() {
		t.Errorf("%d points are there, %d were logged", len(history), points())
	}
	for i, v := range history {
		if v != float64(i)/2 {
			t.Fatalf("point %d is %v", i, v)
		}
	}
}

// history is the metric m of the newest run under a project's experiment.
func (r *ridgeline) history(project string) []float64 {
	r.t.Helper()
	ask := func(path, body string, into any) {
		r.t.Helper()
		method := http.MethodPost
		if body == "" {
			method = http.MethodGet
		}
		url, err := os.ReadFile(filepath.Join(r.dir, "url"))
		if err != nil {
			r.t.Fatal(err)
		}
		token, err := os.ReadFile(filepath.Join(r.dir, "token"))
		if err != nil {
			r.t.Fatal(err)
		}
		q, err := http.NewRequestWithContext(r.t.Context(), method, strings.TrimSpace(string(url))+"/api/2.0/mlflow/"+path, strings.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		w, err := http.DefaultClient.Do(q)
		if err != nil {
			r.t.Fatal(err)
		}
		defer w.Body.Close()
		if err := json.NewDecoder(w.Body).Decode(into); err != nil || w.StatusCode != http.StatusOK {
			r.t.Fatalf("%s: %s %v", path, w.Status, err)
		}
	}
	var experiment struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	ask("experiments/get-by-name?experiment_name="+project, "", &experiment)
	var found struct {
		Runs []struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"runs"`
	}
	ask("runs/search", fmt.Sprintf(`{"experiment_ids": [%q]}`, experiment.Experiment.ID), &found)
	if len(found.Runs) != 1 {
		r.t.Fatalf("%d runs under %s, expected 1", len(found.Runs), project)
	}
	var got struct {
		Metrics []struct {
			Value float64 `json:"value"`
		} `json:"metrics"`
	}
	ask("metrics/get-history?metric_key=m&run_id="+found.Runs[0].Info.ID, "", &got)
	var all []float64
	for _, m := range got.Metrics {
		all = append(all, m.Value)
	}
	return all
}
