package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// folder is an mlruns folder (mlflow/store/tracking/file_store.py): for each
// experiment and run a folder with meta.yaml, and a file for each metric, param
// and tag. What was deleted as an experiment is below .trash.
type folder struct {
	dir   string
	files disk
}

func newFolder(dir, artifacts string) (*folder, error) {
	f := &folder{dir: dir, files: disk{base: filepath.Dir(dir), artifacts: artifacts}}
	all, err := f.Experiments(context.Background())
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is no mlruns folder: none of its folders is an experiment, with a file meta.yaml", dir)
	}
	return f, nil
}

func (f *folder) Close() error { return nil }

// meta reads a meta.yaml. A folder without one is none of MLflow's.
func meta(dir string, into any) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, "meta.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		return false, fmt.Errorf("read %s/meta.yaml: %w", dir, err)
	}
	return true, nil
}

// folders lists the folders in a folder, which need not be there.
func folders(dir string) ([]string, error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range all {
		if e.IsDir() {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, err
}

// values reads a folder of files, each a value under the name of its path.
func values(dir string) ([]Pair, error) {
	var all []Pair
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return fs.SkipAll
		}
		if err != nil || e.IsDir() {
			return err
		}
		key, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, Pair{filepath.ToSlash(key), string(text)})
		return err
	})
	return all, err
}

func (f *folder) Experiments(context.Context) ([]Experiment, error) {
	var all []Experiment
	for _, root := range []string{f.dir, filepath.Join(f.dir, ".trash")} {
		dirs, err := folders(root)
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			var m struct {
				ID      string `yaml:"experiment_id"`
				Name    string `yaml:"name"`
				Stage   string `yaml:"lifecycle_stage"`
				Created int    `yaml:"creation_time"`
			}
			ok, err := meta(dir, &m)
			if err != nil {
				return nil, err
			}
			if !ok || m.ID == "" {
				continue
			}
			if root != f.dir {
				m.Stage = deleted
			}
			tags, err := values(filepath.Join(dir, "tags"))
			if err != nil {
				return nil, err
			}
			all = append(all, Experiment{ID: m.ID, Name: m.Name, Stage: m.Stage, Created: Number(m.Created), Tags: tags})
		}
	}
	return all, nil
}

// of is the folder of an experiment, deleted or not.
func (f *folder) of(experiment string) string {
	if dir := filepath.Join(f.dir, experiment); exists(dir) {
		return dir
	}
	return filepath.Join(f.dir, ".trash", experiment)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// statuses are those of runs, by their numbers in MLflow's protocol.
var statuses = []string{"", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"}

func (f *folder) Runs(_ context.Context, experiment string, take func(Run) error) error {
	dirs, err := folders(f.of(experiment))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		var m struct {
			ID      string `yaml:"run_id"`
			OldID   string `yaml:"run_uuid"`
			Name    string `yaml:"run_name"`
			User    string `yaml:"user_id"`
			Status  int    `yaml:"status"`
			Started int64  `yaml:"start_time"`
			Ended   *int64 `yaml:"end_time"`
			Stage   string `yaml:"lifecycle_stage"`
			URI     string `yaml:"artifact_uri"`
		}
		ok, err := meta(dir, &m)
		if err != nil {
			return err
		}
		if m.ID == "" {
			m.ID = m.OldID
		}
		if !ok || m.ID == "" {
			continue
		}
		r := Run{Info: Info{ID: m.ID, Name: m.Name, Experiment: experiment, User: m.User, Started: m.Started, Stage: m.Stage, ArtifactURI: m.URI}}
		if m.Status < 0 || m.Status >= len(statuses) {
			return fmt.Errorf("run %s has the status %d, which MLflow does not have", m.ID, m.Status)
		}
		r.Info.Status = statuses[m.Status]
		if m.Ended != nil {
			r.Info.Ended = *m.Ended
		}
		if err := f.fill(&r, dir); err != nil {
			return fmt.Errorf("read run %s: %w", m.ID, err)
		}
		if err := take(r); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) fill(r *Run, dir string) (err error) {
	if r.Data.Params, err = values(filepath.Join(dir, "params")); err != nil {
		return err
	}
	if r.Data.Tags, err = values(filepath.Join(dir, "tags")); err != nil {
		return err
	}
	lines, err := values(filepath.Join(dir, "metrics"))
	if err != nil {
		return err
	}
	for _, l := range lines {
		points, err := points(l)
		if err != nil {
			return err
		}
		if len(points) > 0 {
			r.Data.Metrics = append(r.Data.Metrics, points[len(points)-1])
		}
	}
	type link struct {
		Type        string            `yaml:"source_type"`
		Source      string            `yaml:"source_id"`
		Destination string            `yaml:"destination_id"`
		Step        int64             `yaml:"step"`
		Tags        map[string]string `yaml:"tags"`
	}
	for _, kind := range []string{"inputs", "outputs"} {
		dirs, err := folders(filepath.Join(dir, kind))
		if err != nil {
			return err
		}
		for _, d := range dirs {
			var l link
			if ok, err := meta(d, &l); err != nil || !ok {
				return err
			}
			switch {
			case kind == "outputs":
				r.Outputs.Models = append(r.Outputs.Models, ModelRef{Model: l.Destination, Step: l.Step})
			case l.Type == "DATASET":
				in := DatasetInput{}
				for k, v := range l.Tags {
					in.Tags = append(in.Tags, Pair{k, v})
				}
				if in.Dataset, err = f.dataset(filepath.Join(filepath.Dir(dir), "datasets", l.Source)); err != nil {
					return err
				}
				r.Inputs.Datasets = append(r.Inputs.Datasets, in)
			default:
				r.Inputs.Models = append(r.Inputs.Models, ModelRef{Model: l.Source})
			}
		}
	}
	return nil
}

func (f *folder) dataset(dir string) (Dataset, error) {
	var m struct {
		Name, Digest, Source, Schema, Profile string
		Type                                  string `yaml:"source_type"`
	}
	ok, err := meta(dir, &m)
	if err == nil && !ok {
		err = fmt.Errorf("%s has no meta.yaml, which a run's input names", dir)
	}
	return Dataset{Name: m.Name, Digest: m.Digest, SourceType: m.Type, Source: m.Source, Schema: m.Schema, Profile: m.Profile}, err
}

// points reads a metric's file: a line for each point, with time, value and
// step, and for logged models the run and the dataset.
func points(file Pair) ([]Metric, error) {
	var all []Metric
	for line := range strings.Lines(file.Value) {
		parts := strings.Fields(line)
		if len(parts) == 0 {
			continue
		}
		m := Metric{Key: file.Key}
		wrong := func() ([]Metric, error) {
			return nil, fmt.Errorf("metric %s has the line %q: time, value and step were expected", file.Key, strings.TrimSpace(line))
		}
		if len(parts) < 2 {
			return wrong()
		}
		var err error
		if m.Time, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
			return wrong()
		}
		if err := m.Value.UnmarshalJSON([]byte(parts[1])); err != nil {
			return wrong()
		}
		if len(parts) > 2 {
			if m.Step, err = strconv.ParseInt(parts[2], 10, 64); err != nil {
				return wrong()
			}
		}
		if len(parts) > 3 {
			m.Run = parts[3]
		}
		if len(parts) > 5 {
			m.DatasetName, m.DatasetDigest = parts[4], parts[5]
		}
		all = append(all, m)
	}
	return all, nil
}

func (f *folder) History(_ context.Context, run Run, key string) ([]Metric, error) {
	text, err := os.ReadFile(filepath.Join(f.of(run.Info.Experiment), run.Info.ID, "metrics", filepath.FromSlash(key)))
	if err != nil {
		return nil, err
	}
	all, err := points(Pair{key, string(text)})
	for i := range all {
		all[i].Run, all[i].DatasetName, all[i].DatasetDigest = "", "", ""
	}
	return all, err
}

func (f *folder) Models(_ context.Context, experiment string) ([]Model, error) {
	dirs, err := folders(filepath.Join(f.of(experiment), "models"))
	var all []Model
	for _, dir := range dirs {
		var m struct {
			ID      string `yaml:"model_id"`
			Name    string `yaml:"name"`
			URI     string `yaml:"artifact_location"`
			Created int64  `yaml:"creation_timestamp"`
			Status  int64  `yaml:"status"`
			Type    string `yaml:"model_type"`
			Run     string `yaml:"source_run_id"`
			Stage   string `yaml:"lifecycle_stage"`
		}
		ok, err := meta(dir, &m)
		if err != nil {
			return nil, err
		}
		if !ok || m.Stage == deleted {
			continue
		}
		out := Model{Info: ModelInfo{ID: m.ID, Experiment: experiment, Name: m.Name, Created: m.Created, ArtifactURI: m.URI, Status: modelStatus(m.Status), Type: m.Type, SourceRun: m.Run}}
		if out.Data.Params, err = values(filepath.Join(dir, "params")); err != nil {
			return nil, err
		}
		if out.Info.Tags, err = values(filepath.Join(dir, "tags")); err != nil {
			return nil, err
		}
		files, err := values(filepath.Join(dir, "metrics"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			all, err := points(file)
			if err != nil {
				return nil, err
			}
			for _, p := range all {
				p.Model = m.ID
				out.Data.Metrics = append(out.Data.Metrics, p)
			}
		}
		all = append(all, out)
	}
	return all, err
}

func (f *folder) Files(_ context.Context, at Place) ([]File, error) { return f.files.files(at.URI) }

func (f *folder) Open(_ context.Context, at Place, path string) (io.ReadCloser, error) {
	return f.files.open(at.URI, path)
}

func (f *folder) Registered(context.Context) ([]Registered, error) {
	dirs, err := folders(filepath.Join(f.dir, "models"))
	if err != nil {
		return nil, err
	}
	var all []Registered
	for _, dir := range dirs {
		var said struct {
			Name, Description string
			Created           int `yaml:"creation_timestamp"`
			Updated           int `yaml:"last_updated_timestamp"`
		}
		if ok, err := meta(dir, &said); err != nil {
			return nil, err
		} else if !ok || said.Name == "" {
			continue
		}
		m := Registered{Name: said.Name, Created: Number(said.Created), Updated: Number(said.Updated), Description: said.Description}
		if m.Tags, err = values(filepath.Join(dir, "tags")); err != nil {
			return nil, err
		}
		aliases, err := values(filepath.Join(dir, "aliases"))
		if err != nil {
			return nil, err
		}
		for _, a := range aliases {
			n, err := strconv.Atoi(strings.TrimSpace(a.Value))
			if err != nil {
				return nil, fmt.Errorf("alias %s of %s is %q, not a version", a.Key, m.Name, a.Value)
			}
			m.Aliases = append(m.Aliases, Alias{a.Key, Number(n)})
		}
		if m.Versions, err = versions(dir); err != nil {
			return nil, err
		}
		if !isPrompt(m.Tags) {
			all = append(all, m)
		}
	}
	return all, nil
}

func versions(dir string) ([]Version, error) {
	dirs, err := folders(dir)
	var all []Version
	for _, d := range dirs {
		var m struct {
			Name, Description, Source string
			Version                   int
			Created                   int    `yaml:"creation_timestamp"`
			Updated                   int    `yaml:"last_updated_timestamp"`
			Stage                     string `yaml:"current_stage"`
			Run                       string `yaml:"run_id"`
			Model                     string `yaml:"model_id"`
		}
		ok, err := meta(d, &m)
		if err != nil {
			return nil, err
		}
		if !ok || m.Version == 0 || m.Stage == "Deleted_Internal" {
			continue
		}
		tags, err := values(filepath.Join(d, "tags"))
		if err != nil {
			return nil, err
		}
		all = append(all, Version{
			Name: m.Name, Version: Number(m.Version), Created: Number(m.Created), Updated: Number(m.Updated), Description: m.Description, Stage: m.Stage, Source: m.Source, Run: m.Run, Model: m.Model, Tags: tags,
		})
	}
	inOrder(all)
	return slices.Clip(all), err
}
