package main

import "path/filepath"

// scorer is bin/scorer as an image or host/process starts it.
func (p *parts) scorer(name, environment, dialect, path string, env ...string) *side {
	return &side{name: "ridgeline, " + name, version: p.version, dialect: dialect, path: path, health: "/healthz/ready",
		env: append([]string{"RIDGELINE_PYTHON=" + p.python[environment], "RIDGELINE_WORKER_PATH=" + here("../../python"), "RIDGELINE_APP=" + here("."),
			"AZUREML_MODEL_DIR=" + p.model()}, env...),
		command: func(port string) []string { return []string{here("../../bin/scorer")} },
		listen:  "RIDGELINE_LISTEN=127.0.0.1:",
	}
}

// ours are the ways in which a scorer is used: the model itself through each
// dialect, then scripts.
func (p *parts) ours() []*side {
	folder := "AZUREML_MODEL_DIR=" + filepath.Join(p.dir, "mlflow")
	log := []string{"RIDGELINE_LOG_URL=file://" + filepath.Join(p.dir, "log"), "RIDGELINE_LOG_DIR=" + filepath.Join(p.dir, "waiting")}
	return []*side{
		p.scorer("MLflow folder, /invocations", "mlflow", "inputs", "/invocations", folder),
		p.scorer("scikit-learn, /invocations", "fastapi", "inputs", "/invocations"),
		p.scorer("scikit-learn, /v2", "fastapi", "v2", "/v2/models/model/infer"),
		p.scorer("scikit-learn, inference log", "fastapi", "inputs", "/invocations", log...),
		p.scorer("scikit-learn, by the worker", "fastapi", "inputs", "/invocations", "RIDGELINE_NATIVE=false"),
		p.scorer("scikit-learn, not batched", "fastapi", "inputs", "/invocations", "RIDGELINE_NATIVE=false", "RIDGELINE_BATCH=false"),
		p.scorer("script, inference-schema", "azureml", "data", "/score", "RIDGELINE_SCORE=decorated.py"),
		p.scorer("script", "azureml", "data", "/score", "RIDGELINE_SCORE=plain.py"),
	}
}
