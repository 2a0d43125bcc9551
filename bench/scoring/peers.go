package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline/bench"
)

// packages are pinned, so that two runs compare the same. One scikit-learn for
// all, so that one file of a model does for all.
var packages = map[string][]string{
	"azureml":  {"azureml-inference-server-http==1.5.1", "inference-schema==1.8", "scikit-learn==1.9.1", "numpy==2.4.6"},
	"mlserver": {"mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop==0.21.0", "scikit-learn==1.9.1", "numpy==2.4.6"},
	"fastapi":  {"fastapi==0.165.0", "uvicorn[standard]==0.54.0", "scikit-learn==1.9.1", "numpy==2.4.6"},
	"bentoml":  {"bentoml==1.4.39", "scikit-learn==1.9.1", "numpy==2.4.6"},
	"mlflow":   {"mlflow==3.17.2", "scikit-learn==1.9.1", "numpy==2.4.6", "pandas==3.1.1", "uvicorn[standard]==0.54.0"},
}

// A dialect is how a request is written and where its answer has the
// predictions.
type dialect struct {
	body   func(rows [][]float64) any
	answer []string // member after member; none: the whole answer
}

var dialects = map[string]dialect{
	"data":   {func(rows [][]float64) any { return map[string]any{"data": rows} }, []string{"result"}},
	"bento":  {func(rows [][]float64) any { return map[string]any{"data": rows} }, nil},
	"inputs": {func(rows [][]float64) any { return map[string]any{"inputs": rows} }, []string{"predictions"}},
	"v2": {func(rows [][]float64) any {
		var flat []float64
		for _, r := range rows {
			flat = append(flat, r...)
		}
		return map[string]any{"inputs": []any{map[string]any{"name": "predict", "shape": []int{len(rows), len(rows[0])}, "datatype": "FP64", "data": flat}}}
	}, []string{"outputs", "0", "data"}},
	"echo": {func(rows [][]float64) any { return map[string]any{"data": rows} }, []string{"data"}},
}

// parts is what all sides are made of.
type parts struct {
	dir     string
	python  map[string]string
	version string // ours
	bodies  map[string]map[int]string
	truth   truth
}

// truth is rows and what the model has to say of them.
type truth struct {
	Inputs      [][]float64
	Predictions []float64
}

// prepare installs the environments and makes the model and the bodies.
func prepare(ctx context.Context, dir string, rows []int) (*parts, error) {
	p := &parts{dir: dir, python: map[string]string{}, bodies: map[string]map[int]string{}}
	for name, list := range packages {
		python, err := bench.Environment(ctx, "scoring-"+name, list...)
		if err != nil {
			return nil, err
		}
		p.python[name] = python
	}
	if err := os.Mkdir(p.model(), 0o700); err != nil {
		return nil, err
	}
	if _, err := output(ctx, p.python["fastapi"], here("model.py"), p.model()); err != nil {
		return nil, err
	}
	if _, err := output(ctx, p.python["mlflow"], here("model.py"), p.model(), "--mlflow"); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(p.model(), "rows.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &p.truth); err != nil {
		return nil, err
	}
	// Only models lie in a model's folder.
	if err := os.Remove(filepath.Join(p.model(), "rows.json")); err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(p.model(), "mlflow"), filepath.Join(dir, "mlflow")); err != nil {
		return nil, err
	}
	for name, d := range dialects {
		p.bodies[name] = map[int]string{}
		for _, n := range rows {
			text, err := json.Marshal(d.body(p.truth.Inputs[:n]))
			if err != nil {
				return nil, err
			}
			p.bodies[name][n] = filepath.Join(dir, fmt.Sprintf("%s-%d.json", name, n))
			if err := os.WriteFile(p.bodies[name][n], text, 0o600); err != nil {
				return nil, err
			}
		}
	}
	version, err := output(ctx, "bin/ridgeline", "--version")
	p.version = strings.TrimPrefix(strings.TrimSpace(version), "ridgeline version ")
	return p, err
}

// model is the folder with model.joblib.
func (p *parts) model() string { return filepath.Join(p.dir, "model") }

func (p *parts) tool(environment, name string) string {
	return filepath.Join(filepath.Dir(p.python[environment]), name)
}

// sides are the servers, the slowest first.
func (p *parts) sides() []*side {
	model := "AZUREML_MODEL_DIR=" + p.model()
	azure := func(name, script string) *side {
		return &side{name: name, version: pinned("azureml", 0), dialect: "data", path: "/score", health: "/", env: []string{model},
			command: func(port string) []string {
				return []string{p.python["azureml"], "-m", "azureml_inference_server_http", "--entry_script", here(script), "--port", port}
			}}
	}
	fastapi := func(name, workers string) *side {
		return &side{name: name, version: pinned("fastapi", 0), dialect: "data", path: "/predict", health: "/docs", env: []string{model, "PYTHONPATH=" + here(".")},
			command: func(port string) []string {
				return []string{p.python["fastapi"], "-m", "uvicorn", "fastapi_app:app", "--port", port, "--workers", workers, "--no-access-log", "--log-level", "warning"}
			}}
	}
	return append([]*side{
		azure("azureml-inference-server-http", "plain.py"),
		azure("azureml-inference-server-http, inference-schema", "decorated.py"),
		{name: "MLServer", version: pinned("mlserver", 0), dialect: "v2", path: "/v2/models/ridge/infer", health: "/v2/models/ridge/ready",
			files: func(dir, port string) map[string]string {
				return map[string]string{
					"settings.json":       fmt.Sprintf(`{"http_port": %s, "grpc_port": %d, "metrics_port": %d, "host": "127.0.0.1", "debug": false}`, port, freePort(), freePort()),
					"model-settings.json": fmt.Sprintf(`{"name": "ridge", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": %q}}`, filepath.Join(p.model(), "model.joblib")),
				}
			},
			command: func(string) []string { return []string{p.tool("mlserver", "mlserver"), "start", "."} }},
		fastapi("FastAPI, uvicorn", "1"),
		fastapi("FastAPI, uvicorn, 2 workers", "2"),
		{name: "BentoML", version: pinned("bentoml", 0), dialect: "bento", path: "/predict", health: "/readyz", env: []string{model, "PYTHONPATH=" + here("."), "BENTOML_DO_NOT_TRACK=True"},
			command: func(port string) []string {
				return []string{p.tool("bentoml", "bentoml"), "serve", "bento:Ridge", "--port", port, "--working-dir", here(".")}
			}},
		{name: "MLflow models serve", version: pinned("mlflow", 0), dialect: "inputs", path: "/invocations", health: "/ping", env: []string{"MLFLOW_DISABLE_TELEMETRY=true"},
			command: func(port string) []string {
				return []string{p.tool("mlflow", "mlflow"), "models", "serve", "-m", filepath.Join(p.dir, "mlflow"), "--port", port, "--env-manager", "local"}
			}},
		{name: "Go, echo", version: "net/http", dialect: "echo", path: "/", health: "/",
			command: func(port string) []string { return []string{self(), "-echo", port} }},
	}, p.ours()...)
}

func pinned(environment string, n int) string {
	_, version, _ := strings.Cut(packages[environment][n], "==")
	return version
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said.String())
	}
	return string(out), nil
}
