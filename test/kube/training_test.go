package kube_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// spotPool is a pool of capacity that may go, and what computing costs.
const spotPool = `pools:
  cheap: {priority: spot, cpu: 0.2, memory: 256MiB}
prices: {currency: EUR, on_demand: {cpu: 3600, memory: 0}, spot: {cpu: 360, memory: 0}}
`

// settings adds to those of the server, which is started again.
func (s *server) settings(more string) {
	s.t.Helper()
	s.stop()
	file := filepath.Join(s.dir, "server.yaml")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, more...), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

// trains writes the small project, with its train step in a pool and slow
// enough to be watched, and pushes it without its run. Changes are made to its
// ridgeline.yaml before.
func (s *server) trains(name, pool string, changes ...string) string {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS("../testdata/mean")); err != nil {
		s.t.Fatal(err)
	}
	change := func(file string, pairs ...string) {
		path := filepath.Join(dir, file)
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	change("ridgeline.yaml", changes...)
	change("ridgeline.yaml", "NAME", name, "pipeline:", "pipeline:\n  on: {push: false}", "timeout: 30s}", "timeout: 10m, compute: "+pool+"}")
	change("train.py", "    model = fit(rows)\n", `    import time
    print("training began", flush=True)
    if os.environ.get("RIDGELINE_PARAM_SLOW"):
        time.sleep(float(os.environ["RIDGELINE_PARAM_SLOW"]))
    print("training ends", flush=True)
    model = fit(rows)
`)
	change("ridgeline.yaml", "  steps:", "  params: {slow: 0}\n  steps:")
	s.git(dir)
	s.must(dir, "push")
	return dir
}

// state is a run as the command line shows it.
type state struct {
	Status, Verdict string
	Steps           []struct {
		Name, Status, Message string
		Attempts              int
	}
}

func (s *server) run(id string) (st state) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.must(s.dir, "run", id, "--json")), &st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

func (s *server) begin(dir string, args ...string) string {
	s.t.Helper()
	var run struct {
		ID  string `json:"id"`
		Run string `json:"run"`
	}
	if err := json.Unmarshal([]byte(s.must(dir, append([]string{"train", "--detach", "--json"}, args...)...)), &run); err != nil {
		s.t.Fatal(err)
	}
	return run.ID + run.Run
}

// TestTraining has train computed on the cluster: its model is promoted, what
// it said can be read while it runs and when its pod is gone; another run is
// cancelled.
func TestTraining(t *testing.T) {
	s := serve(t)
	s.settings(spotPool)
	dir := s.trains("kube-train", "cheap")
	pods := func() []string {
		return strings.Fields(s.w.Kubectl("get", "pods", "-l", "app.kubernetes.io/component=task", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.name}"))
	}
	speaks := func(run string) {
		t.Helper()
		s.until(2*time.Minute, "train speaks", func() bool {
			out, err := s.do(s.dir, "logs", run, "train")
			return err == nil && strings.Contains(out, "training began")
		})
	}

	began := time.Now()
	out := s.must(dir, "train", "--require", "promoted")
	t.Logf("promoted in %s, train on the cluster", time.Since(began).Round(100*time.Millisecond))
	if !strings.Contains(out, "promoted") {
		t.Errorf("train said:\n%s", out)
	}
	s.until(time.Minute, "nothing of the run is left on the cluster", func() bool {
		return s.w.Kubectl("get", "jobs,secrets", "-l", "app.kubernetes.io/component=task", "-o", "name") == ""
	})
	var runs []struct{ ID string }
	if err := json.Unmarshal([]byte(s.must(s.dir, "runs", "--project", "kube-train", "--json")), &runs); err != nil || len(runs) != 1 {
		t.Fatalf("%v, %v", runs, err)
	}
	if log := s.must(s.dir, "logs", runs[0].ID, "train"); !strings.Contains(log, "training began\ntraining ends\n") {
		t.Errorf("the log of the pod that is gone: %q", log)
	}

	run := s.begin(dir, "--param", "slow=600")
	speaks(run)
	s.must(s.dir, "cancel", run)
	s.until(time.Minute, "the cancelled run has ended", func() bool { return s.run(run).Status == "cancelled" })
	s.until(time.Minute, "its pod is gone", func() bool { return len(pods()) == 0 })
}
