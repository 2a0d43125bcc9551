// Package migrate copies what another MLflow holds to a Ridgeline server:
// experiments, runs with their histories, datasets, logged models, artifacts and
// the model registry, from a server, an SQLite file or an mlruns folder.
//
// It writes through the server's own MLflow routes and decides nothing about
// what is stored there.
package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Source is another MLflow. Deleted experiments and runs are part of it, and
// prompts, which MLflow keeps in its registry, are not.
type Source interface {
	Experiments(ctx context.Context) ([]Experiment, error)
	// Runs hands over the runs of an experiment with their last metrics.
	Runs(ctx context.Context, experiment string, take func(Run) error) error
	// History returns all points of a run's metric.
	History(ctx context.Context, run Run, key string) ([]Metric, error)
	Models(ctx context.Context, experiment string) ([]Model, error)
	// Files lists the artifacts of a run or a logged model, and Open reads one.
	Files(ctx context.Context, at Place) ([]File, error)
	Open(ctx context.Context, at Place, path string) (io.ReadCloser, error)
	Registered(ctx context.Context) ([]Registered, error)
	Close() error
}

// The nouns are spelled as MLflow's REST protocol spells them.
type (
	// Pair is a param or a tag.
	Pair struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	// Experiment is what runs are kept under.
	Experiment struct {
		ID      string `json:"experiment_id"`
		Name    string `json:"name"`
		Stage   string `json:"lifecycle_stage"`
		Created Number `json:"creation_time"` // milliseconds
		Tags    []Pair `json:"tags"`
	}
	// Metric is one point.
	Metric struct {
		Key           string `json:"key"`
		Value         Float  `json:"value"`
		Time          int64  `json:"timestamp"`
		Step          int64  `json:"step"`
		Model         string `json:"model_id,omitempty"`
		DatasetName   string `json:"dataset_name,omitempty"`
		DatasetDigest string `json:"dataset_digest,omitempty"`
		Run           string `json:"run_id,omitempty"` // of a logged model's point
	}
	// Info is what is known of a run beside what it logged.
	Info struct {
		ID          string `json:"run_id"`
		Name        string `json:"run_name"`
		Experiment  string `json:"experiment_id"`
		User        string `json:"user_id"`
		Status      string `json:"status"`
		Started     int64  `json:"start_time"`
		Ended       int64  `json:"end_time"` // 0: not yet
		Stage       string `json:"lifecycle_stage"`
		ArtifactURI string `json:"artifact_uri"`
	}
	// Data is what a run logged.
	Data struct {
		Metrics []Metric `json:"metrics"`
		Params  []Pair   `json:"params"`
		Tags    []Pair   `json:"tags"`
	}
	// Dataset is what a run read.
	Dataset struct {
		Name       string `json:"name"`
		Digest     string `json:"digest"`
		SourceType string `json:"source_type"`
		Source     string `json:"source"`
		Schema     string `json:"schema,omitempty"`
		Profile    string `json:"profile,omitempty"`
	}
	// DatasetInput is a dataset and how it was used.
	DatasetInput struct {
		Tags    []Pair  `json:"tags"`
		Dataset Dataset `json:"dataset"`
	}
	// ModelRef names a logged model that a run read or made.
	ModelRef struct {
		Model string `json:"model_id"`
		Step  int64  `json:"step,omitempty"`
	}
	// Inputs are what a run read, Outputs what it made.
	Inputs struct {
		Datasets []DatasetInput `json:"dataset_inputs"`
		Models   []ModelRef     `json:"model_inputs"`
	}
	// Outputs are the logged models of a run.
	Outputs struct {
		Models []ModelRef `json:"model_outputs"`
	}
	// Run is one execution of a script.
	Run struct {
		Info    Info    `json:"info"`
		Data    Data    `json:"data"`
		Inputs  Inputs  `json:"inputs"`
		Outputs Outputs `json:"outputs"`
	}
	// ModelInfo and ModelData are the two halves of a logged model.
	ModelInfo struct {
		ID          string `json:"model_id"`
		Experiment  string `json:"experiment_id"`
		Name        string `json:"name"`
		Created     int64  `json:"creation_timestamp_ms"`
		ArtifactURI string `json:"artifact_uri"`
		Status      any    `json:"status"`
		Type        string `json:"model_type"`
		SourceRun   string `json:"source_run_id"`
		Tags        []Pair `json:"tags"`
	}
	// ModelData is what was logged to it.
	ModelData struct {
		Params  []Pair   `json:"params"`
		Metrics []Metric `json:"metrics"`
	}
	// Model is a logged model of MLflow 3.
	Model struct {
		Info ModelInfo `json:"info"`
		Data ModelData `json:"data"`
	}
	// Alias names a version.
	Alias struct {
		Alias   string `json:"alias"`
		Version Number `json:"version"`
	}
	// Registered is a model of the registry.
	Registered struct {
		Name        string    `json:"name"`
		Created     Number    `json:"creation_timestamp"`
		Updated     Number    `json:"last_updated_timestamp"`
		Description string    `json:"description"`
		Tags        []Pair    `json:"tags"`
		Aliases     []Alias   `json:"aliases"`
		Versions    []Version `json:"-"` // in order
	}
	// Version is one version of it.
	Version struct {
		Name        string `json:"name"`
		Version     Number `json:"version"`
		Created     Number `json:"creation_timestamp"`
		Updated     Number `json:"last_updated_timestamp"`
		Description string `json:"description"`
		Stage       string `json:"current_stage"`
		Source      string `json:"source"`
		Run         string `json:"run_id"`
		Model       string `json:"model_id"`
		Tags        []Pair `json:"tags"`
	}
	// File is an artifact; Size is -1 where the source does not say.
	File struct {
		Path string
		Size int64
	}
	// Place is where artifacts of a run or a logged model are.
	Place struct{ Run, Model, URI string }
)

// deleted is the stage of what was deleted.
const deleted = "deleted"

// Float is a number that may be NaN or infinite, as MLflow's JSON has it.
type Float float64

// MarshalJSON writes what JSON has no number for as a word.
func (f Float) MarshalJSON() ([]byte, error) {
	switch v := float64(f); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(v)
	}
}

// UnmarshalJSON reads numbers and words.
func (f *Float) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err != nil && !math.IsInf(v, 0) {
		return fmt.Errorf("a number was expected, not %s", b)
	}
	*f = Float(v)
	return nil
}

// Number is a whole number that MLflow spells as text or as a number.
type Number int

// UnmarshalJSON reads both.
func (n *Number) UnmarshalJSON(b []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(b), `"`))
	*n = Number(v)
	return err
}

// Options say where to copy from.
type Options struct {
	From string // http(s)://…, an SQLite file, or an mlruns folder
	// Token, or User and Password, are for the server copied from.
	Token, User, Password string
	// Artifacts is the folder of a server's artifacts: what mlflow-artifacts:/
	// stands for in an SQLite file. Empty: the folder mlartifacts beside it.
	Artifacts string
}

// Open finds out what there is to copy from.
func Open(ctx context.Context, o Options) (Source, error) {
	if strings.HasPrefix(o.From, "http://") || strings.HasPrefix(o.From, "https://") {
		return newServer(ctx, o)
	}
	path := strings.TrimPrefix(strings.TrimPrefix(o.From, "sqlite:///"), "file://")
	stat, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; name the address of an MLflow server, an SQLite file, or an mlruns folder", o.From, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if o.Artifacts == "" {
		o.Artifacts = filepath.Join(filepath.Dir(path), "mlartifacts")
	}
	if stat.IsDir() {
		return newFolder(path, o.Artifacts)
	}
	return newDatabase(ctx, path, o.Artifacts)
}
