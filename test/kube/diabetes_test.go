package kube_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/kubetest"
)

// A turnstile holds those who come by: a step asks for its URL, is known to have
// begun, and goes on when the test wants it to.
type turnstile struct {
	url  string
	on   *kubetest.Cluster
	came chan chan struct{} // one for each who comes, closed to let it go on
	last chan struct{}      // of who was waited for
}

func (s *server) turnstile() *turnstile {
	t := &turnstile{on: s.w, came: make(chan chan struct{}, 100)}
	t.url = "http://" + s.w.Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		way := make(chan struct{})
		t.came <- way
		select {
		case <-way:
		case <-r.Context().Done(): // its pod was taken away
		}
	}))
	return t
}

// open lets the one who was waited for go on. One that came before may be on a
// node that is dead, and still seem to wait.
func (t *turnstile) open() { close(t.last) }

// wait returns when somebody has come.
func (t *turnstile) wait(tb testing.TB, who string) {
	tb.Helper()
	select {
	case t.last = <-t.came:
	case <-time.After(4 * time.Minute):
		pods, _ := t.on.Try("get", "pods", "--all-namespaces", "--output=wide")
		tb.Fatalf("not within four minutes: %s\n%s", who, pods)
	}
}

// diabetes makes the project of `ridgeline init`: its training computes in the
// pool, behind the turnstile, and production is two copies on the cluster.
func (s *server) diabetes(pool string, t *turnstile) string {
	s.t.Helper()
	root := s.t.TempDir()
	s.must(root, "init", "diabetes")
	dir := filepath.Join(root, "diabetes")
	s.edit(filepath.Join(dir, "ridgeline.yaml"),
		"production: {host: process, checks: [smoke.json]}", "production: {host: kube, checks: [smoke.json], replicas: 2, cpu: 0.5, memory: 512MB}",
		"{run: python -m diabetes.train, timeout: 2h, retries: 2}",
		fmt.Sprintf(`{run: "python -c 'import urllib.request as u; u.urlopen(\"%s\")' && python -m diabetes.train", timeout: 2h, compute: %s}`, t.url, pool),
	)
	s.git(dir)
	return dir
}

// edit replaces texts of a file, each of which has to be there.
func (s *server) edit(file string, pairs ...string) {
	s.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			s.t.Fatalf("%s has no %q", file, pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// follow runs a command line that takes its time; the function it returns
// waits for its end and returns what it said.
func (s *server) follow(dir string, args ...string) func() string {
	s.t.Helper()
	cmd := exec.Command(s.bin, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "RIDGELINE_DIR="+s.dir)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return func() string {
		s.t.Helper()
		select {
		case err := <-ended:
			if err != nil {
				s.t.Fatalf("ridgeline %s: %v\n%s", strings.Join(args, " "), err, out.String())
			}
		case <-time.After(5 * time.Minute):
			s.t.Fatalf("ridgeline %s has not ended within five minutes", strings.Join(args, " "))
		}
		return out.String()
	}
}

// tasks lists where tasks run, a node's name for each pod.
func (s *server) tasks() []string {
	return strings.Fields(s.w.Kubectl("get", "pods", "-l", "app.kubernetes.io/component=task", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].spec.nodeName}"))
}

// attempts are what the bill has of a project's newest run.
type attempt struct {
	Step, Pool, Fate string
	Spot             bool
	Cost             float64
	Used             *used
}

// used is what somebody saw that was used.
type used struct {
	Seconds float64
	CPU     float64 `json:"cpu_seconds"`
	Peak    int64   `json:"peak_memory_bytes"`
}

// seen checks that it is known what each attempt has used, however it ended.
func seen(t *testing.T, tries []attempt) {
	t.Helper()
	for i, a := range tries {
		if a.Used == nil || a.Used.Seconds <= 0 || a.Used.CPU <= 0 || a.Used.Peak <= 0 {
			t.Errorf("what attempt %d used is not known: %+v", i+1, a.Used)
		}
	}
}

// served waits until it is known what the copies of production use.
func (s *server) served(project string) {
	s.t.Helper()
	s.until(time.Minute, "it is seen what the cluster's copies use", func() bool {
		var versions []struct {
			Deployments []struct {
				Host, Advice string
				Asked        struct {
					Memory int64 `json:"memory_bytes"`
				}
				Used *used
			}
		}
		must(s.t, json.Unmarshal([]byte(s.must(s.dir, "cost", "--project", project, "--json")), &versions))
		for _, v := range versions {
			for _, d := range v.Deployments {
				if d.Host == "kube" && d.Used != nil && d.Used.CPU > 0 && d.Used.Peak > 20e6 && d.Used.Peak < d.Asked.Memory {
					return true
				}
			}
		}
		return false
	})
	s.t.Log("\n" + s.must(s.dir, "cost", "--project", project, "--deployments"))
}

func (s *server) attempts(project, step string) (list []attempt) {
	s.t.Helper()
	var bill []struct{ Attempts []attempt }
	if err := json.Unmarshal([]byte(s.must(s.dir, "cost", "--project", project, "--runs", "--json")), &bill); err != nil || len(bill) == 0 {
		s.t.Fatalf("the bill: %v, %v", bill, err)
	}
	for _, a := range bill[0].Attempts {
		if a.Step == step {
			list = append(list, a)
		}
	}
	return list
}

// patients is a request that the diabetes model answers.
const patients = `{"data": [[59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]]}`

// TestDiabetes takes the template's project through the loop: it trains as a Job
// on spot capacity, whose node is drained under it; it is promoted all the
// same, answers on this machine for QA and from two nodes in production.
func TestDiabetes(t *testing.T) {
	s := serve(t)
	s.settings(spotPool)
	gate := s.turnstile()
	dir := s.diabetes("cheap", gate)
	pushed := s.follow(dir, "push")
	gate.wait(t, "training has begun")
	nodes := s.tasks()
	if len(nodes) != 1 {
		t.Fatalf("training runs on %v", nodes)
	}
	t.Cleanup(func() { s.w.Kubectl("uncordon", nodes[0]) })
	s.w.Kubectl("drain", nodes[0], "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--pod-selector", "ridgeline.io/pool=cheap", "--timeout=90s")
	gate.wait(t, "training has begun again")
	if again := s.tasks(); len(again) != 1 || again[0] == nodes[0] {
		t.Errorf("after %s was drained, training runs on %v", nodes[0], again)
	}
	s.w.Kubectl("uncordon", nodes[0])
	gate.open()
	out := pushed()
	t.Log(out)
	if !strings.Contains(out, "promoted") {
		t.Error("the first model was not promoted")
	}

	tries := s.attempts("diabetes", "train")
	if len(tries) != 2 || tries[0].Fate != "displaced" || !tries[0].Spot || tries[0].Cost <= 0 || tries[1].Fate != "" || tries[1].Cost <= 0 {
		t.Errorf("the bill has of training %+v; want one that was displaced, and another", tries)
	}
	seen(t, tries)
	t.Log("\n" + s.must(s.dir, "cost", "--project", "diabetes", "--runs"))
	if nodes := s.nodes(); len(nodes) != 2 || nodes[0] == nodes[1] {
		t.Errorf("production's two copies are on %v", nodes)
	}
	for _, environment := range []string{"qa", "production"} {
		out := s.must(dir, "score", "diabetes", environment, "smoke.json")
		var answer struct{ Result []float64 }
		if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Result) != 2 {
			t.Errorf("%s answers %s (%v)", environment, out, err)
		}
	}
	if e := s.production("diabetes"); !e.Ready || e.Replicas != 2 {
		t.Errorf("production: %+v", e)
	}
	s.served("diabetes")
	s.nodeDies(t, dir, gate)
}

// nodeDies kills the node that training runs on, and one of the two copies of
// production: the other one goes on answering, training begins again
// elsewhere without using up a retry (it has none), and a second copy comes.
func (s *server) nodeDies(t *testing.T, dir string, gate *turnstile) {
	const other = "knode1"
	t.Cleanup(func() { s.w.Kubectl("uncordon", other) })
	s.w.Kubectl("cordon", other)
	run := s.begin(dir, "--param", "alpha=9")
	gate.wait(t, "training has begun")
	s.w.Kubectl("uncordon", other)
	if nodes := s.tasks(); len(nodes) != 1 || nodes[0] != kubetest.Mortal {
		t.Fatalf("training runs on %v", nodes)
	}
	s.until(time.Minute, "training's pod has said what it uses", func() bool { // a dead node's says nothing more
		said, _ := filepath.Glob(filepath.Join(s.dir, "blob", "tasks", "run-"+run+"-train-1", "used.json"))
		return len(said) > 0
	})
	e := s.production("diabetes")
	e.request = patients
	l := s.load(e, 4, 10*time.Millisecond)
	began := time.Now()
	revive := s.w.KillNode(kubetest.Mortal)
	gate.wait(t, "training has begun again")
	t.Logf("training began again %s after its node had died", time.Since(began).Round(time.Second))
	s.until(2*time.Minute, "another copy answers", func() bool {
		nodes := s.nodes()
		return len(nodes) >= 2 && s.production("diabetes").Replicas == 2
	})
	t.Logf("two copies answered again after %s", time.Since(began).Round(time.Second))
	gate.open()
	s.until(2*time.Minute, "the run has ended", func() bool { return s.run(run).Status == "succeeded" })
	l.end(t, "the death of a node")
	revive()
	tries := s.attempts("diabetes", "train")
	if len(tries) != 2 || tries[0].Fate != "displaced" || tries[1].Fate != "" {
		t.Errorf("training's attempts: %+v; want one that was displaced, and another", tries)
	}
	seen(t, tries)
	for _, step := range s.run(run).Steps {
		if step.Name == "train" {
			t.Logf("%+v", step)
		}
	}
}
