package mlflow_test

import (
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// counts is what `ridgeline import mlflow --json` compares.
type counts struct {
	Counts []struct {
		What        string
		There, Here int
	}
	Notes []string
}

// TestImport copies stores that MLflow's own clients made, and the server that
// they were copied to, and looks whether everything is here, once, also when a
// copy was killed half way.
func TestImport(t *testing.T) {
	script, err := filepath.Abs("fill.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, store := range []struct{ name, release, uri, from string }{
		{"an mlruns folder of MLflow 2", "mlflow-2", "./mlruns", "mlruns"},
		{"an mlruns folder of MLflow 3", "mlflow-3", "./mlruns", "mlruns"},
		{"a database of MLflow 2", "mlflow-2", "sqlite:///mlflow.db", "mlflow.db"},
		{"a database of MLflow 3", "mlflow-3", "sqlite:///mlflow.db", "mlflow.db"},
	} {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			p := harness.Run(t, folder, []string{"MLFLOW_TRACKING_URI=" + store.uri, "MLFLOW_ALLOW_FILE_STORE=true", "GIT_PYTHON_REFRESH=quiet", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false"},
				harness.Python(t, store.release), script)
			select {
			case <-p.Ended:
			case <-time.After(5 * time.Minute):
			}
			if code := p.ExitCode(t); code != 0 || !strings.Contains(p.Output(), "filled") {
				t.Fatalf("exit code %d:\n%s", code, p.Output())
			}
			filled := time.Now()
			url, token := serve(t)
			c := &logger{t: t, url: url + "/api/2.0/mlflow/", token: token}
			source := filepath.Join(folder, store.from)
			half := copying(t, source, url, token)
			if err := half.Start(); err != nil {
				t.Fatal(err)
			}
			go half.Wait()
			for deadline := time.Now().Add(time.Minute); len(runsHere(c)) == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("nothing was copied within a minute")
				}
			}
			half.Process.Kill()
			first := copied(t, source, url, token)
			if first["runs"] != 24 || first["points"] < 55 || first["artifacts"] != 12 || first["versions"] == 0 || first["aliases"] != 1 {
				t.Errorf("copied %v", first)
			}
			if again := copied(t, source, url, token); !maps.Equal(again, first) {
				t.Errorf("%v at first, %v again", first, again)
			}
			if here := runsHere(c); len(here) != 24 || here["gone"] != "deleted" || here["one"] != "active" {
				t.Errorf("%d runs are here: %v", len(here), here)
			}
			made := madeHere(c)
			if !made["iris/ä b"].Before(filled) || !made["deleted one"].Before(filled) {
				t.Errorf("experiments that were made before %s are here of %v", filled, made)
			}
			times := registeredHere(c)
			for what, at := range times {
				if !at[0].Before(filled) || !at[1].Before(filled) || at[1].Before(at[0]) {
					t.Errorf("%s was made at %v and changed at %v, but filled before %v", what, at[0], at[1], filled)
				}
			}
			if len(times) != first["versions"]+first["registered models"] {
				t.Errorf("registered are %v", times)
			}
			// What is here is a source itself.
			other, otherToken := serve(t)
			if onwards := copied(t, url, other, otherToken, "MLFLOW_TRACKING_TOKEN="+token); !maps.Equal(onwards, first) {
				t.Errorf("%v, from server to server %v", first, onwards)
			}
			there := madeHere(&logger{t: t, url: other + "/api/2.0/mlflow/", token: otherToken})
			delete(there, "Default") // which every server has from its start
			if onwards := registeredHere(&logger{t: t, url: other + "/api/2.0/mlflow/", token: otherToken}); !maps.Equal(onwards, times) {
				t.Errorf("registered at %v, from server to server at %v", times, onwards)
			}
			if delete(made, "Default"); !maps.Equal(there, made) {
				t.Errorf("made at %v, from server to server at %v", made, there)
			}
		})
	}
}

// registeredHere is when registered models and their versions were made, and
// changed last.
func registeredHere(c *logger) map[string][2]time.Time {
	type times struct {
		Name, Version string
		Created       int64 `json:"creation_timestamp"`
		Updated       int64 `json:"last_updated_timestamp"`
	}
	var models struct {
		All []times `json:"registered_models"`
	}
	var versions struct {
		All []times `json:"model_versions"`
	}
	c.insist("registered-models/search?max_results=100", "", &models)
	c.insist("model-versions/search?max_results=100", "", &versions)
	out := map[string][2]time.Time{}
	for _, m := range append(models.All, versions.All...) {
		out[m.Name+":"+m.Version] = [2]time.Time{time.UnixMilli(m.Created), time.UnixMilli(m.Updated)}
	}
	return out
}

func copying(t *testing.T, source, url, token string, env ...string) *exec.Cmd {
	cmd := exec.Command(harness.Built(t, "ridgeline"), "import", "mlflow", source, "--server", url, "--json")
	cmd.Env = append(slices.Clone(env), "RIDGELINE_TOKEN="+token, "HOME="+t.TempDir())
	return cmd
}

// copied copies to the end, and returns how much there is of each kind.
func copied(t *testing.T, source, url, token string, env ...string) map[string]int {
	t.Helper()
	cmd := copying(t, source, url, token, env...)
	var told strings.Builder
	cmd.Stderr = &told
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, text, told.String())
	}
	var result counts
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	out := map[string]int{}
	for _, n := range result.Counts {
		if out[n.What] = n.Here; n.There != n.Here {
			t.Errorf("%s: %d there, %d here", n.What, n.There, n.Here)
		}
	}
	return out
}

// madeHere is when experiments were made, by their names.
func madeHere(c *logger) map[string]time.Time {
	var found struct {
		Experiments []struct {
			Name    string
			Created int64 `json:"creation_time"`
		}
	}
	c.insist("experiments/search", `{"max_results": 100, "view_type": "ALL"}`, &found)
	out := map[string]time.Time{}
	for _, e := range found.Experiments {
		out[e.Name] = time.UnixMilli(e.Created)
	}
	return out
}

// runsHere are the stages of the runs by their names.
func runsHere(c *logger) map[string]string {
	var experiments struct {
		Experiments []struct {
			ID string `json:"experiment_id"`
		}
	}
	c.insist("experiments/search", `{"max_results": 100, "view_type": "ALL"}`, &experiments)
	var ids []string
	for _, e := range experiments.Experiments {
		ids = append(ids, e.ID)
	}
	body, err := json.Marshal(map[string]any{"experiment_ids": ids, "max_results": 1000, "run_view_type": "ALL"})
	if err != nil {
		c.t.Fatal(err)
	}
	var found struct {
		Runs []struct {
			Info struct {
				Name  string `json:"run_name"`
				Stage string `json:"lifecycle_stage"`
			}
		}
	}
	c.insist("runs/search", string(body), &found)
	out := map[string]string{}
	for _, r := range found.Runs {
		out[r.Info.Name] = r.Info.Stage
	}
	return out
}
