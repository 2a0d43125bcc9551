package conformance

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

const collecting = `
import json
import pandas as pd
from azureml.ai.monitoring import Collector
from azureml.ai.monitoring.context import BasicCorrelationContext

def init():
    global inputs, outputs
    inputs = Collector(name="model_inputs", on_error=print)
    outputs = Collector(name="model_outputs", on_error=print)

def run(raw_data):
    rows = json.loads(raw_data)["data"]
    context = inputs.collect(pd.DataFrame(rows, columns=["a", "b"]), BasicCorrelationContext(id="mine-%d" % rows[0][0]))
    outputs.collect(pd.DataFrame([sum(row) for row in rows], columns=["sum"]), context)
    return rows
`

// azureml-ai-monitoring 1.0.0, unmodified, in two scorers of one machine: what
// each collects is in its own log, in order, with the request's id.
func TestCollector(t *testing.T) {
	python := harness.Python(t, "collector")
	app := t.TempDir()
	if err := os.WriteFile(filepath.Join(app, "score.py"), []byte(collecting), 0o600); err != nil {
		t.Fatal(err)
	}
	type copyOf struct {
		address, files string
		process        *harness.Process
	}
	var copies [2]copyOf
	for i := range copies {
		c := copyOf{address: harness.Address(t), files: t.TempDir()}
		c.process = harness.Run(t, app, []string{
			"RIDGELINE_APP=" + app, "RIDGELINE_SCORE=score.py", "RIDGELINE_PYTHON=" + python, "RIDGELINE_LISTEN=" + c.address, "RIDGELINE_DRAIN_MS=1000",
			"RIDGELINE_LOG_URL=file://" + c.files, "RIDGELINE_LOG_DIR=" + t.TempDir(), "RIDGELINE_COPY=" + fmt.Sprint(i),
		}, harness.Scorer(t))
		copies[i] = c
	}
	for i, c := range copies {
		c.process.Await(t, "http://"+c.address+"/healthz/ready")
		for n := range 3 {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.address+"/score", strings.NewReader(fmt.Sprintf(`{"data": [[%d, 2], [3, 4]]}`, 10*i+n)))
			if err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				request.Header.Set("X-Ridgeline-Purpose", "mirror")
			}
			r, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if r.StatusCode != 200 {
				t.Fatalf("%d %s\n%s", r.StatusCode, body, c.process.Output())
			}
		}
	}
	for i, c := range copies {
		c.process.Stop(t)
		got := map[string][]string{}
		for _, r := range collected(t, c.files) {
			got[r.Collection] = append(got[r.Collection], fmt.Sprintf("%s/%d %s%s", r.RequestID, r.Row, r.Data, r.Purpose))
		}
		var inputs, sums []string
		for n := range 3 {
			id := fmt.Sprintf("mine-%d", 10*i+n)
			purpose := []string{"", "mirror", ""}[n] // of a request, and so of all that it had collected
			inputs = append(inputs, fmt.Sprintf(`%s/0 {"a":%d,"b":2}%s`, id, 10*i+n, purpose), id+`/1 {"a":3,"b":4}`+purpose)
			sums = append(sums, fmt.Sprintf(`%s/0 {"sum":%d}%s`, id, 10*i+n+2, purpose), id+`/1 {"sum":7}`+purpose)
		}
		if fmt.Sprint(got["model_inputs"]) != fmt.Sprint(inputs) || fmt.Sprint(got["model_outputs"]) != fmt.Sprint(sums) {
			t.Errorf("copy %d:\ngot  %v\nwant %v and %v\n%s", i, got, inputs, sums, c.process.Output())
		}
	}
}

type collectedRow struct {
	Collection string `parquet:"collection,optional"`
	RequestID  string `parquet:"request_id,optional"`
	Row        int32  `parquet:"row,optional"`
	Data       string `parquet:"data,optional"`
	Purpose    string `parquet:"purpose,optional"`
}

// collected reads what Collectors gave from all Parquet files below a folder.
func collected(t *testing.T, dir string) (all []collectedRow) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		rows, err := parquet.ReadFile[collectedRow](path)
		for _, r := range rows {
			if r.Collection != "" {
				all = append(all, r)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
