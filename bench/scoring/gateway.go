package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const gatewayName = "ridgeline, scikit-learn, through the gateway"

// gateway is a Ridgeline server with an endpoint for the same model.
// Its version is what the server trained from the same rows.
func (p *parts) gateway(ctx context.Context) (*side, func(), error) {
	state, project := filepath.Join(p.dir, "state"), filepath.Join(p.dir, "project")
	bin := here("../../bin/ridgeline")
	server := exec.Command(bin, "up", "--dir", state, "--listen", "127.0.0.1:0", "--log-level", "warn")
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	}
	s, err := p.endpoint(ctx, bin, state, project)
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("the gateway's side: %w", err)
	}
	s.root = server.Process.Pid
	return s, stop, nil
}

func (p *parts) endpoint(ctx context.Context, bin, state, project string) (*side, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(state, "url")); err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, fmt.Errorf("no %s/url after %s", state, patience)
		}
	}
	if err := p.project(project); err != nil {
		return nil, err
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = project
		cmd.Env = append(os.Environ(), "RIDGELINE_DIR="+state, "GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=bench@localhost", "GIT_COMMITTER_NAME=bench", "GIT_COMMITTER_EMAIL=bench@localhost")
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%v: %w\n%s%s", args, err, out, said.String())
		}
		return out, nil
	}
	var text []byte
	for _, args := range [][]string{
		{"git", "init", "-q"}, {"git", "add", "-A"}, {"git", "commit", "-qm", "the ridge model"},
		{bin, "push"}, {bin, "endpoints", "--json"},
	} {
		var err error
		if text, err = run(args...); err != nil {
			return nil, err
		}
	}
	var endpoints []struct {
		URL string
		Key string `json:"primary_key"`
	}
	if err := json.Unmarshal(text, &endpoints); err != nil || len(endpoints) == 0 {
		return nil, fmt.Errorf("expected an endpoint, got %s (%w)", text, err)
	}
	u, err := url.Parse(endpoints[0].URL)
	if err != nil {
		return nil, err
	}
	return &side{name: gatewayName, version: p.version, dialect: "inputs", path: strings.TrimSuffix(u.Path, "/score") + "/invocations", address: u.Host, key: endpoints[0].Key}, nil
}

const config = `project: ridge
python: requirements.txt
data:
  rows: {path: rows.csv, target: target}
pipeline:
  steps:
    train: mkdir -p $RIDGELINE_OUT/model && cp model.joblib $RIDGELINE_OUT/model/
  gate: {metric: mse}
release:
  environments:
    production: {host: process}
`

// project writes one that trains by copying the model that everybody has.
func (p *parts) project(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	model, err := os.ReadFile(filepath.Join(p.model(), "model.joblib"))
	if err != nil {
		return err
	}
	var table strings.Builder
	table.WriteString("a,b,c,d,e,f,g,h,i,j,target\n")
	for n, inputs := range p.truth.Inputs {
		for _, v := range inputs {
			fmt.Fprintf(&table, "%v,", v)
		}
		fmt.Fprintf(&table, "%v\n", p.truth.Predictions[n])
	}
	for name, text := range map[string]string{
		"ridgeline.yaml":   config,
		"rows.csv":         table.String(),
		"requirements.txt": "scikit-learn==1.9.1\nnumpy==2.4.6\n",
		"model.joblib":     string(model),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
