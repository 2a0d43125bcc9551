package mlflow_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// TestSpool lets MLflow's own clients log through a step's spool while the
// server is killed and comes back, three times.
func TestSpool(t *testing.T) {
	address, folder, token := harness.Address(t), t.TempDir(), "rl_spool"
	start := func() *harness.Process {
		s := harness.Run(t, folder, []string{"RIDGELINE_ADMIN_TOKEN=" + token}, harness.Built(t, "ridgeline"), "up", "--dir", folder, "--listen", address)
		s.Await(t, "http://"+address+"/health")
		return s
	}
	s := start()
	c := &logger{t: t, url: "http://" + address + "/api/2.0/mlflow/", token: token}
	script, err := filepath.Abs("spool.py")
	if err != nil {
		t.Fatal(err)
	}
	clients := []*spooled{}
	for _, release := range []string{"mlflow-2", "mlflow-3"} {
		var made struct {
			Run struct {
				Info struct {
					ID string `json:"run_id"`
				} `json:"info"`
			} `json:"run"`
		}
		c.insist("runs/create", fmt.Sprintf(`{"experiment_id": "0", "run_name": %q, "start_time": 1}`, release), &made)
		k := &spooled{t: t, release: release, run: made.Run.Info.ID, folder: t.TempDir()}
		k.process = harness.Run(t, k.folder, []string{
			"MLFLOW_TRACKING_URI=http://" + address, "MLFLOW_TRACKING_TOKEN=" + token, "MLFLOW_RUN_ID=" + k.run, "MLFLOW_EXPERIMENT_NAME=Default",
			"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false", "GIT_PYTHON_REFRESH=quiet",
		}, harness.Built(t, "spool"), "--dir", filepath.Join(k.folder, "spool"), harness.Python(t, release), script, k.folder)
		clients = append(clients, k)
	}
	for _, k := range clients {
		k.reach(60)
	}
	for range 3 {
		s.Kill()
		for _, k := range clients {
			k.reach(k.points() + 120)
		}
		s = start()
		for _, k := range clients {
			k.reach(k.points() + 120)
		}
	}
	for _, k := range clients {
		if err := os.WriteFile(filepath.Join(k.folder, "stop"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if code := k.process.ExitCode(t); code != 0 {
			t.Fatalf("%s: exit code %d:\n%s", k.release, code, k.process.Output())
		}
		k.check(c)
	}
}

// spooled is one client that logs through a spool.
type spooled struct {
	t                    *testing.T
	release, run, folder string
	process              *harness.Process
}

func (k *spooled) points() int {
	text, err := os.ReadFile(filepath.Join(k.folder, "points"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		k.t.Fatal(err)
	}
	return n
}

// reach waits until the client has logged so many points.
func (k *spooled) reach(n int) {
	k.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); k.points() < n; time.Sleep(5 * time.Millisecond) {
		select {
		case <-k.process.Ended:
			k.t.Fatalf("%s ended:\n%s", k.release, k.process.Output())
		default:
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("%s does not go on behind point %d:\n%s", k.release, k.points(), k.process.Output())
		}
	}
}

func (k *spooled) check(c *logger) {
	k.t.Helper()
	var history struct {
		Metrics []struct {
			Value float64
			Step  int
		} `json:"metrics"`
	}
	c.insist("metrics/get-history?metric_key=m&run_id="+k.run, "", &history)
	if len(history.Metrics) != k.points() {
		k.t.Errorf("%s: %d points are there, %d were logged", k.release, len(history.Metrics), k.points())
	}
	for i, m := range history.Metrics {
		if m.Step != i || m.Value != float64(i)/2 {
			k.t.Fatalf("%s: point %d is %+v", k.release, i, m)
		}
	}
	var run struct {
		Run struct {
			Info struct{ Status string }
			Data struct{ Tags []struct{ Key, Value string } }
		}
	}
	c.insist("runs/get?run_id="+k.run, "", &run)
	last := strconv.Itoa((k.points() - 1) / 50 * 50)
	tagged := false
	for _, tag := range run.Run.Data.Tags {
		tagged = tagged || tag.Key == "last" && tag.Value == last
	}
	if run.Run.Info.Status != "FINISHED" || !tagged {
		k.t.Errorf("%s: the run is %+v, its last tag was %s", k.release, run, last)
	}
	var files struct{ Files []json.RawMessage }
	c.insist("artifacts/list?path=notes&run_id="+k.run, "", &files)
	if want := (k.points()-1)/50 + 1; len(files.Files) != want {
		k.t.Errorf("%s: %d artifacts, expected %d", k.release, len(files.Files), want)
	}
	k.t.Logf("%s: %d points", k.release, k.points())
}
