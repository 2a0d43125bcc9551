package mlflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/mlflow/spool"
	"github.com/ridgeline-mlops/ridgeline/track"
)

// Steps gives each attempt at a pipeline's step a run to log to, and takes in
// what it has logged.
type Steps struct {
	Track    *track.Store
	Contents Contents
	Auth     *auth.Authenticator
	URL      string // of this server, as its steps reach it
}

// unlimited is how long the token of a step without a timeout is good.
const unlimited = 14 * 24 * time.Hour

// id is the run of a task. It is made of the task's name, so that a server that
// comes back to a task finds the same run.
func (s *Steps) id(task string) string {
	sum := sha256.Sum256([]byte("ridgeline task " + task))
	return hex.EncodeToString(sum[:16])
}

// Begin makes the run of an attempt, under the experiment that is named as the
// project, and returns what the attempt's command finds in its environment, and
// the secret in it. Twice is harmless, and gives the same.
func (s *Steps) Begin(ctx context.Context, run ridgeline.Run, step string, try ridgeline.Attempt, timeout time.Duration) (env []string, secret string, err error) {
	project := string(run.Project)
	experiment, err := s.experiment(ctx, project)
	if err != nil {
		return nil, "", err
	}
	_, err = s.Track.CreateRun(ctx, track.NewRun{
		ID: s.id(try.Task), Experiment: experiment, Name: step, User: run.Caller, Started: try.Started.UnixMilli(),
		Tags: []track.Pair{
			{Key: "ridgeline.run", Value: string(run.ID)}, {Key: "ridgeline.step", Value: step}, {Key: "ridgeline.attempt", Value: strconv.Itoa(try.Number)},
			{Key: "mlflow.user", Value: run.Caller}, {Key: "mlflow.source.type", Value: "PROJECT"}, {Key: "mlflow.source.name", Value: project},
		},
	})
	if err != nil {
		return nil, "", fmt.Errorf("make the tracking run of %s: %w", try.Task, err)
	}
	if timeout == 0 {
		timeout = unlimited
	}
	secret = s.Auth.RunToken(run.ID, run.Project, try.Started.Add(timeout+time.Hour))
	return []string{
		"MLFLOW_TRACKING_URI=" + s.URL, "MLFLOW_TRACKING_TOKEN=" + secret, "MLFLOW_EXPERIMENT_NAME=" + project, "MLFLOW_RUN_ID=" + s.id(try.Task),
		// The client waits for a server that is restarting, as long as it can be told to.
		"MLFLOW_HTTP_REQUEST_MAX_RETRIES=10",
	}, secret, nil
}

// experiment is the project's: made when it is not there, restored when it was
// deleted, because a pipeline has to log somewhere.
func (s *Steps) experiment(ctx context.Context, name string) (int64, error) {
	e, err := s.Track.ExperimentByName(ctx, name)
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		if id, err := s.Track.CreateExperiment(ctx, track.NewExperiment{Name: name}); ridgeline.CodeOf(err) != ridgeline.Conflict {
			return id, err
		}
		e, err = s.Track.ExperimentByName(ctx, name) // another step was faster
	}
	if err == nil && e.Stage == track.Deleted {
		err = s.Track.RestoreExperiment(ctx, e.ID)
	}
	return e.ID, err
}

// Collect delivers what the spool of a run's attempt left in dir, which need not
// exist, as the attempt itself would have. Twice is harmless.
func (s *Steps) Collect(ctx context.Context, run ridgeline.Run, dir string) (said string, err error) {
	var log strings.Builder
	_, err = spool.Deliver(ctx, dir, s.URL, s.Auth.RunToken(run.ID, run.Project, time.Now().Add(time.Hour)), &log)
	return log.String(), err
}

// End ends the run of an attempt, unless the script did, and returns the last
// value of each metric that it logged. Twice is harmless.
func (s *Steps) End(ctx context.Context, task string, status ridgeline.Status, at time.Time) (ridgeline.Metrics, error) {
	run, err := s.Track.Run(ctx, s.id(task))
	if ridgeline.CodeOf(err) == ridgeline.NotFound || err == nil && run.Stage == track.Deleted {
		return nil, nil // reclaimed meanwhile, or deleted by a person: nothing is logged there
	}
	if err != nil {
		return nil, err
	}
	if run.Status == track.Running || status != ridgeline.Succeeded {
		end, ms := track.Finished, at.UnixMilli()
		switch status {
		case ridgeline.Failed:
			end = track.Failed
		case ridgeline.Cancelled:
			end = track.Killed
		}
		if _, err := s.Track.ChangeRun(ctx, run.ID, track.RunChange{Status: &end, Ended: &ms}); err != nil {
			return nil, err
		}
	}
	metrics := ridgeline.Metrics{}
	for _, m := range run.Metrics {
		metrics[m.Key] = m.Value
	}
	return metrics, nil
}

// Model puts the model that an attempt logged last into dir, and reports
// whether there is one.
func (s *Steps) Model(ctx context.Context, task, dir string) (bool, error) {
	run, err := s.Track.Run(ctx, s.id(task))
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	folder, err := s.logged(ctx, run)
	if err != nil || folder == "" {
		return false, err
	}
	files := 0
	err = s.Track.EachArtifact(ctx, folder, func(name string, a track.Artifact) error {
		files++
		return s.fetch(ctx, a, filepath.Join(dir, filepath.FromSlash(name)))
	})
	return files > 0, err
}

// RunID is the run of a task.
func (s *Steps) RunID(task string) string { return s.id(task) }

// Registered puts the files of a registered version's folder into dir.
func (s *Steps) Registered(ctx context.Context, folder, dir string) error {
	return s.Track.EachArtifact(ctx, folder, func(name string, a track.Artifact) error {
		return s.fetch(ctx, a, filepath.Join(dir, filepath.FromSlash(name)))
	})
}

// logged is the folder of the model that a run logged last: of MLflow 3 a logged
// model, of MLflow 2 a folder of the run's own.
func (s *Steps) logged(ctx context.Context, run track.Run) (string, error) {
	if n := len(run.Made); n > 0 {
		m, err := s.Track.Model(ctx, run.Made[n-1].Model)
		if ridgeline.CodeOf(err) == ridgeline.NotFound {
			return "", nil
		}
		return strings.TrimPrefix(m.ArtifactURI, scheme), err
	}
	for _, t := range run.Tags {
		if t.Key != modelHistory {
			continue
		}
		var all []struct {
			Path string `json:"artifact_path"`
		}
		if err := json.Unmarshal([]byte(t.Value), &all); err == nil && len(all) > 0 {
			return strings.TrimPrefix(run.ArtifactURI, scheme) + "/" + all[len(all)-1].Path, nil
		}
	}
	return "", nil
}

func (s *Steps) fetch(ctx context.Context, a track.Artifact, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	content, err := s.Contents.Get(ctx, a.Digest)
	if err != nil {
		return fmt.Errorf("fetch %s of the logged model: %w", a.Path, err)
	}
	defer content.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		f.Close()
		return fmt.Errorf("fetch %s of the logged model: %w", a.Path, err)
	}
	return f.Close()
}
