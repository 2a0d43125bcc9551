package kube_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/kubetest"
)

// A server is the built program with a namespace of the cluster behind it.
type server struct {
	t   testing.TB
	w   *kubetest.Cluster
	bin string
	dir string
	at  string // host:port, as nodes and pods see it
	cmd *exec.Cmd
	log *os.File
	env []string // of its commands, beside where its folder is
	on  []string // what its command line begins with: another machine's name
}

// serve starts a server whose host kube is a namespace for this test.
func serve(t testing.TB) *server {
	t.Helper()
	bin, err := filepath.Abs("../../bin/ridgeline")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%s is not built: make build", bin)
	}
	s := &server{t: t, w: kubetest.Open(t), bin: bin, dir: t.TempDir()}
	l := s.w.Listen()
	s.at = l.Addr().String()
	_ = l.Close() // the port is the server's now
	settings := fmt.Sprintf("kubernetes: {kubeconfig: %s, namespace: %s, registry: '%s', url: 'http://%s'}\n", s.w.Kubeconfig, s.w.Namespace, s.at, s.at)
	if err := os.WriteFile(filepath.Join(s.dir, "server.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.log, err = os.Create(filepath.Join(t.TempDir(), "server.log")); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			text, _ := os.ReadFile(s.log.Name())
			t.Logf("the server's log:\n%s", text[max(0, len(text)-6000):])
		}
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	_ = os.Remove(filepath.Join(s.dir, "url"))
	line := append(slices.Clone(s.on), s.bin, "up", "--dir", s.dir, "--listen", s.at, "--slots", "2")
	s.cmd = exec.Command(line[0], line[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.until(time.Minute, "the server is up", func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "url"))
		return err == nil
	})
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt)
	_ = s.cmd.Wait()
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) until(within time.Duration, what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Fatalf("not within %s: %s", within, what)
}

// do runs a command line in dir.
func (s *server) do(dir string, args ...string) (string, error) {
	cmd := exec.Command(s.bin, args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "RIDGELINE_DIR="+s.dir), s.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *server) must(dir string, args ...string) string {
	s.t.Helper()
	out, err := s.do(dir, args...)
	if err != nil {
		s.t.Fatalf("ridgeline %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// project writes the small project of the stories, its production on the
// cluster as told.
func (s *server) project(name, production string) string {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS("../testdata/mean")); err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(dir, "ridgeline.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(text), "NAME", name)
	changed = strings.Replace(changed, "production: {host: process, checks: [smoke.json]}", "production: {host: kube, checks: [smoke.json], "+production+"}", 1)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.git(dir)
	return dir
}

func (s *server) git(dir string) {
	s.t.Helper()
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "first"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
}

type endpoint struct {
	Environment, URL string
	Version          int
	Ready            bool
	Asleep           bool
	Replicas         int
	Resting          string
	Until            time.Time
	Key              string `json:"primary_key"`
	Deployments      []struct{ ID string }

	request string // that it answers; empty: the small project's
}

func (s *server) production(project string) (found endpoint) {
	s.t.Helper()
	var list []endpoint
	if err := json.Unmarshal([]byte(s.must(s.dir, "endpoints", "--project", project, "--json")), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, e := range list {
		if e.Environment == "production" {
			found = e
		}
	}
	return found
}

// a load asks an endpoint all the time, from a few clients.
type load struct {
	sent, failed atomic.Int64
	slow         atomic.Int64 // answered after more than half a second
	first        sync.Once
	why          string
	stop         chan struct{}
	clients      sync.WaitGroup
}

func (s *server) load(e endpoint, clients int, pause time.Duration) *load {
	l := &load{stop: make(chan struct{})}
	for range clients {
		l.clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
			for {
				select {
				case <-l.stop:
					return
				case <-time.After(pause):
				}
				began := time.Now()
				status, body, err := ask(client, e, cmp.Or(e.request, `{"data": [[1.0]]}`))
				l.sent.Add(1)
				if time.Since(began) > 500*time.Millisecond {
					l.slow.Add(1)
				}
				if err != nil || status != http.StatusOK {
					l.failed.Add(1)
					l.first.Do(func() {
						l.why = fmt.Sprintf("at %s: status %d, %v, %s", time.Now().Format(time.TimeOnly), status, err, body)
					})
				}
			}
		})
	}
	return l
}

// end stops the load; no request may have failed.
func (l *load) end(t testing.TB, during string) {
	t.Helper()
	close(l.stop)
	l.clients.Wait()
	t.Logf("%d requests during %s, %d failed, %d took more than half a second", l.sent.Load(), during, l.failed.Load(), l.slow.Load())
	if l.failed.Load() > 0 || l.sent.Load() == 0 {
		t.Errorf("%d of %d requests failed; the first %s", l.failed.Load(), l.sent.Load(), l.why)
	}
}

// tell stops the load and says how many failed: those that the one who was
// killed had taken, and those sent before the Service knew.
func (l *load) tell(t testing.TB, during string) {
	t.Helper()
	close(l.stop)
	l.clients.Wait()
	t.Logf("%d requests during %s, %d failed: %s", l.sent.Load(), during, l.failed.Load(), l.why)
}

func ask(client *http.Client, e endpoint, body string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, e.URL, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+e.Key)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// nodes lists on which nodes the copies run, one name for each.
func (s *server) nodes() []string {
	return strings.Fields(s.w.Kubectl("get", "pods", "-l", "app.kubernetes.io/component=scorer", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].spec.nodeName}"))
}

// TestLoop takes a project through the loop, its production on two nodes, and
// changes what answers under a steady load: a new version, a rollback, a node
// that is drained, pods that are killed, a Deployment that somebody deletes, a
// server that is killed. No request fails.
func TestLoop(t *testing.T) {
	s := serve(t)
	dir := s.project("kube-loop", "replicas: 2, cpu: 0.5, memory: 512MB")
	t.Log(s.must(dir, "push"))
	e := s.production("kube-loop")
	if !e.Ready || e.Replicas != 2 || e.Version != 1 {
		t.Fatalf("production: %+v", e)
	}
	if nodes := s.nodes(); len(nodes) != 2 || nodes[0] == nodes[1] {
		t.Errorf("the two copies are on %v", nodes)
	}
	t.Log(s.must(dir, "train", "--param", "factor=1.01"))
	steady := func(during string, change func()) {
		t.Helper()
		began := time.Now()
		l := s.load(e, 4, 10*time.Millisecond)
		change()
		l.end(t, fmt.Sprintf("%s (%s)", during, time.Since(began).Round(100*time.Millisecond)))
	}
	steady("a release", func() { s.must(dir, "release", "kube-loop:2") })
	if e := s.production("kube-loop"); e.Version != 2 {
		t.Errorf("after the release: %+v", e)
	}
	steady("a rollback", func() { s.must(dir, "rollback", "kube-loop", "production") })
	steady("the drain of a node", func() {
		defer s.w.Kubectl("uncordon", s.drain())
		s.until(time.Minute, "two copies answer again", func() bool { return s.production("kube-loop").Replicas == 2 })
	})
	steady("a rolling restart by kubectl", func() {
		s.w.Kubectl("rollout", "restart", "deployment", "-l", "app.kubernetes.io/component=scorer")
		s.w.Kubectl("rollout", "status", "deployment", "-l", "app.kubernetes.io/component=scorer", "--timeout=90s")
	})
	t.Run("somebody deletes the Deployment", func(t *testing.T) {
		uid := func() string {
			return s.w.Kubectl("get", "deployment", "-l", "app.kubernetes.io/component=scorer", "-o", "jsonpath={.items[*].metadata.uid}")
		}
		before := uid()
		s.w.Kubectl("delete", "deployment", "-l", "app.kubernetes.io/component=scorer")
		s.until(time.Minute, "another Deployment is there", func() bool { now := uid(); return now != "" && now != before })
		s.until(2*time.Minute, "two copies of it answer, and the others are gone", func() bool {
			return len(strings.Fields(s.w.Kubectl("get", "pods", "-o", "name"))) == 2 && s.production("kube-loop").Replicas == 2
		})
	})
	t.Run("the server is killed", func(t *testing.T) {
		before := s.w.Kubectl("get", "pods", "-o", "name")
		s.kill()
		s.start()
		s.until(30*time.Second, "two copies answer", func() bool { return s.production("kube-loop").Replicas == 2 })
		if after := s.w.Kubectl("get", "pods", "-o", "name"); after != before {
			t.Errorf("the next server has the pods\n%s\nthe first had\n%s", after, before)
		}
		if status, body, err := ask(http.DefaultClient, e, `{"data": [[1.0]]}`); status != http.StatusOK {
			t.Errorf("%d %s %v", status, body, err)
		}
	})
	t.Run("the inference log arrives", func(t *testing.T) {
		s.must(dir, "rollback", "kube-loop", "production") // what stops brings its log
		s.until(time.Minute, "predictions of the cluster's copies", func() bool {
			out, err := s.do(dir, "predictions", "kube-loop", "production", "--json")
			return err == nil && strings.Contains(out, `"deployment"`)
		})
	})
}

// drain empties one of the nodes of its copies and returns its name.
func (s *server) drain() string {
	node := s.nodes()[0]
	s.w.Kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector=ridgeline.io/server", "--timeout=90s")
	return node
}
