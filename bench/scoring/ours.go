package main

// scorer is bin/scorer as an image or host/process starts it.
func (p *parts) scorer(name, environment, dialect, path string, env ...string) *side {
	return &side{name: "ridgeline, " + name, version: p.version, dialect: dialect, path: path, health: "/healthz/ready",
		env: append([]string{"RIDGELINE_PYTHON=" + p.python[environment], "RIDGELINE_WORKER_PATH=" + here("../../python"), "RIDGELINE_APP=" + here("."),
			"AZUREML_MODEL_DIR=" + p.model()}, env...),
		command: func(port string) []string { return []string{here("../../bin/scorer")} },
		listen:  "RIDGELINE_LISTEN=127.0.0.1:",
	}
}

// ours are the ways in which a scorer is used.
func (p *parts) ours() []*side {
	return []*side{
		p.scorer("script", "azureml", "data", "/score", "RIDGELINE_SCORE=plain.py"),
		p.scorer("script, inference-schema", "azureml", "data", "/score", "RIDGELINE_SCORE=decorated.py"),
	}
}
