package conformance

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// A script is a scoring script that both servers run, with what they are asked.
type script struct {
	bare   bool              // ours runs it without any package, so that the worker's stand-ins have to do
	files  map[string]string // score.py, and what lies beside it
	env    []string
	probes []harness.Probe
}

// both starts azureml-inference-server-http and our scorer on the same script.
func (s script) both(t *testing.T) (theirs, ours string) {
	t.Helper()
	python, scorer := harness.Python(t, "azureml"), harness.Scorer(t)
	interpreter := python
	if s.bare {
		interpreter = harness.Python(t, "bare")
	}
	env := append([]string{"AZUREML_MODEL_DIR=" + modelFolder(t)}, s.env...)

	theirApp, at := s.app(t), harness.Address(t)
	_, port, _ := strings.Cut(at, ":")
	reference := harness.Run(t, theirApp, env, python, "-m", "azureml_inference_server_http", "--entry_script", "score.py", "--port", port)

	ourApp, us := s.app(t), harness.Address(t)
	scored := harness.Run(t, ourApp, append(env, "RIDGELINE_APP="+ourApp, "RIDGELINE_SCORE=score.py", "RIDGELINE_LISTEN="+us,
		"RIDGELINE_PYTHON="+interpreter, "RIDGELINE_WORKER_PATH="+workerFolder(t), "PYTHONDONTWRITEBYTECODE=1"), scorer)
	reference.Await(t, "http://"+at+"/")
	scored.Await(t, "http://"+us+"/healthz/ready")
	return "http://" + at, "http://" + us
}

func (s script) app(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range s.files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func modelFolder(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "model")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "model.json"), []byte(`{"weights": [1, 2]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

func workerFolder(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("../../python")
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestAzureML holds our /, /score and /swagger.json to those of
// azureml-inference-server-http, the version in environments/azureml.txt.
func TestAzureML(t *testing.T) {
	harness.Python(t, "azureml") // or there is nothing to do
	harness.Python(t, "bare")
	harness.Scorer(t)
	var mu sync.Mutex
	var all []harness.Difference
	t.Run("scripts", func(t *testing.T) {
		for name, s := range azuremlScripts() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				theirs, ours := s.both(t)
				for _, p := range s.probes {
					a, b := harness.Ask(t, theirs, p), harness.Ask(t, ours, p)
					p.Name = name + ": " + p.String()
					found := harness.Compare(p, a, b, azuremlNormal(p.Path, theirs, ours))
					mu.Lock()
					all = append(all, found...)
					mu.Unlock()
				}
			})
		}
	})
	if t.Failed() {
		return
	}
	harness.Check(t, all, azuremlKnown)
	harness.Document(t, "azureml", azuremlKnown)
}

var (
	uuid         = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	milliseconds = regexp.MustCompile(`^\d+\.\d{3}$`)
)

// azuremlNormal makes equal what differs from one answer to the next.
func azuremlNormal(path string, addresses ...string) func(name, value string) string {
	return func(name, value string) string {
		swagger := strings.HasPrefix(path, "/swagger.json")
		switch {
		case name == "Date":
			return "<date>"
		case strings.HasSuffix(name, "Request-Id") && uuid.MatchString(value):
			return "<uuid>"
		case name == "X-Ms-Run-Fn-Exec-Ms" && milliseconds.MatchString(value):
			return "<ms>"
		case name == "Content-Length" && swagger:
			return "<n>" // JSON's spaces
		case name == "body" && swagger:
			var b bytes.Buffer
			if json.Compact(&b, []byte(value)) != nil {
				return value
			}
			return b.String()
		}
		for _, address := range addresses {
			value = strings.ReplaceAll(value, strings.TrimPrefix(address, "http://"), "<host>")
		}
		return value
	}
}

// TestAzureML_init: a script that does not become ready ends either server with
// the same exit code, and its log says why.
func TestAzureML_init(t *testing.T) {
	python, scorer := harness.Python(t, "azureml"), harness.Scorer(t)
	for name, s := range map[string]struct {
		script
		cause string
	}{
		"init raises": {script{files: map[string]string{"score.py": "def init():\n    raise ValueError('no model')\ndef run(data): pass\n"}}, "ValueError: no model"},
		"both decorators": {script{files: map[string]string{"score.py": strings.Replace(rawScript, "@rawhttp", `
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

@input_schema("request", StandardPythonParameterType(1))
@rawhttp`, 1)}}, "run() cannot be decorated with both @rawhttp and @input_schema"},
		"a broken description": {script{files: map[string]string{"score.py": plainScript, "swagger.json": "{"}}, "swagger.json in the project's folder is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := []string{"AZUREML_MODEL_DIR=" + modelFolder(t)}
			at := harness.Address(t)
			_, port, _ := strings.Cut(at, ":")
			reference := harness.Run(t, s.app(t), env, python, "-m", "azureml_inference_server_http", "--entry_script", "score.py", "--port", port)
			app := s.app(t)
			ours := harness.Run(t, app, append(env, "RIDGELINE_APP="+app, "RIDGELINE_SCORE=score.py", "RIDGELINE_LISTEN="+harness.Address(t),
				"RIDGELINE_PYTHON="+python, "RIDGELINE_WORKER_PATH="+workerFolder(t), "PYTHONDONTWRITEBYTECODE=1"), scorer)
			a, b := reference.ExitCode(t), ours.ExitCode(t)
			if a != 3 || b != 3 {
				t.Errorf("theirs ended with %d, ours with %d, expected 3 and 3\n%s\n%s", a, b, reference.Output(), ours.Output())
			}
			if !strings.Contains(ours.Output(), s.cause) {
				t.Errorf("our log does not say %q:\n%s", s.cause, ours.Output())
			}
		})
	}
}
