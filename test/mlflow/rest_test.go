// Package mlflow_test holds our answers to MLflow's: what the real server of a
// release says to the same requests is in testdata, and its clients drive ours.
package mlflow_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

var record = flag.Bool("record", false, "ask the real MLflow server, and write its answers to testdata")

const golden = "testdata/answers-3.17.2.json"

// An answer is a status and a body in which what differs from server to server
// (ids, times, the name of a user) has been replaced.
type answer struct {
	Status int `json:"status"`
	Body   any `json:"body"`
}

// TestREST sends requests to the built server, and compares its answers with
// those of MLflow's own.
func TestREST(t *testing.T) {
	if *record {
		address := harness.Address(t)
		port := address[strings.LastIndexByte(address, ':')+1:]
		folder := t.TempDir()
		python := harness.Python(t, "mlflow-3")
		p := harness.Run(t, folder, []string{"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "PATH=" + filepath.Dir(python) + ":" + os.Getenv("PATH")}, python, "-m", "mlflow", "server",
			"--backend-store-uri", "sqlite:///"+folder+"/m.db", "--artifacts-destination", folder+"/artifacts", "--host", "127.0.0.1", "--port", port, "--workers", "1")
		p.Await(t, "http://"+address+"/health")
		keep(t, ask(t, "http://"+address, ""))
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]answer{}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	url, token := serve(t)
	got := ask(t, url, token)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, there := want[name]; !there {
			t.Errorf("%s: MLflow's answer is not in %s: run with -record", name, golden)
			continue
		}
		a, b := oneLine(t, got[name]), oneLine(t, want[name])
		reason, known := differences[name]
		switch {
		case a == b && known:
			t.Errorf("%s is the same as MLflow's, but is listed as different: %s", name, reason)
		case a != b && !known:
			t.Errorf("%s:\n  ours   %s\n  MLflow %s", name, a, b)
		case known && !strings.HasPrefix(reason, "code: ") && (got[name].Status != want[name].Status || code(got[name]) != code(want[name])):
			t.Errorf("%s may differ in words only:\n  ours   %s\n  MLflow %s", name, a, b)
		}
	}
	for name := range differences {
		if _, there := got[name]; !there {
			t.Errorf("%s is listed as different, but is not asked", name)
		}
	}
}

// keep writes the answers, one a line.
func keep(t *testing.T, answers map[string]answer) {
	var b bytes.Buffer
	for i, name := range slices.Sorted(maps.Keys(answers)) {
		if i > 0 {
			b.WriteString(",\n")
		}
		key, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %s", key, oneLine(t, answers[name]))
	}
	if err := os.WriteFile(golden, []byte("{\n"+b.String()+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func code(a answer) any {
	body, _ := a.Body.(map[string]any)
	return body["error_code"]
}

func oneLine(t *testing.T, a answer) string {
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// serve starts the built server in a folder of its own.
func serve(t *testing.T) (url, token string) {
	address, folder := harness.Address(t), t.TempDir()
	token = "rl_conformance"
	p := harness.Run(t, folder, []string{"RIDGELINE_ADMIN_TOKEN=" + token}, harness.Built(t, "ridgeline"), "up", "--dir", folder, "--listen", address)
	p.Await(t, "http://"+address+"/health")
	return "http://" + address, token
}

// A session sends requests, and remembers the ids that answers bring.
type session struct {
	t          *testing.T
	url, token string
	ids        map[string]string // what a name in braces stands for
	answers    map[string]answer
}

func (s *session) do(name, method, path, body string) {
	s.t.Helper()
	if _, twice := s.answers[name]; twice {
		s.t.Fatalf("two requests are called %s", name)
	}
	for k, v := range s.ids {
		path, body = strings.ReplaceAll(path, "{"+k+"}", v), strings.ReplaceAll(body, "{"+k+"}", v)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/api/2.0/mlflow/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		v = map[string]any{"error_code": "not JSON"} // a page of the web framework's
	}
	s.learn(v)
	s.answers[name] = answer{w.StatusCode, s.plain("", v)}
}

var idFields = map[string]string{"run_id": "run", "experiment_id": "experiment", "model_id": "model"}

// learn gives names to ids, in the order in which they are seen.
func (s *session) learn(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if text, ok := v[k].(string); ok && idFields[k] != "" && text != "0" && !slices.Contains(slices.Collect(maps.Values(s.ids)), text) {
				n := 0
				for name := range s.ids {
					if strings.HasPrefix(name, idFields[k]) {
						n++
					}
				}
				s.ids[fmt.Sprintf("%s%d", idFields[k], n)] = text
			}
			s.learn(v[k])
		}
	case []any:
		for _, x := range v {
			s.learn(x)
		}
	}
}

var changing = regexp.MustCompile(`^(creation_time|last_update_time|creation_timestamp|last_updated_timestamp|creation_timestamp_ms|last_updated_timestamp_ms|next_page_token|sqlstate|error_class|creator_id|workspace)$`)

// plain replaces what differs from server to server, and leaves out what only
// says how an error is classed.
func (s *session) plain(field string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			switch {
			case k == "sqlstate" || k == "error_class" || k == "workspace" || k == "creator_id":
			case changing.MatchString(k):
				out[k] = "…"
			default:
				out[k] = s.plain(k, x)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, x := range v {
			out = append(out, s.plain(field, x))
		}
		if field == "tags" || field == "metrics" || field == "params" || field == "dataset_summaries" || field == "latest_versions" {
			slices.SortFunc(out, func(a, b any) int {
				x, _ := json.Marshal(a)
				y, _ := json.Marshal(b)
				return bytes.Compare(x, y)
			})
		}
		return out
	case string:
		for name, id := range s.ids {
			if len(id) > 4 {
				v = strings.ReplaceAll(v, id, "{"+name+"}")
			}
		}
		if len(v) > 600 {
			v = fmt.Sprintf("%s… (%d bytes)", v[:20], len(v))
		}
		return v
	}
	return v
}
