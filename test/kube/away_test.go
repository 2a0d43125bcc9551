package kube_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kubeconfig has the server use another one, after a restart.
func (s *server) kubeconfig(file string) {
	s.t.Helper()
	s.stop()
	s.edit(filepath.Join(s.dir, "server.yaml"), s.w.Kubeconfig, file)
	s.start()
}

// releasing is what the newest release of a project says of production.
func (s *server) releasing(project string) (status, message string) {
	s.t.Helper()
	var list []struct {
		Environments []struct{ Name, Status, Message string }
	}
	if err := json.Unmarshal([]byte(s.must(s.dir, "releases", "--project", project, "--json")), &list); err != nil || len(list) == 0 {
		s.t.Fatalf("releases: %v, %v", list, err)
	}
	for _, e := range list[0].Environments {
		if e.Name == "production" {
			status, message = e.Status, e.Message
		}
	}
	return status, message
}

// TestAway takes the API server away, as seen from the server, while a step
// runs and two copies answer: no request fails, the step ends and its model is
// promoted, and the release waits and says for what. Then the sign-in expires,
// and a release waits until the kubeconfig is replaced.
func TestAway(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := newProxy(t, "10.77.0.2:6443")
	text, err := os.ReadFile(s.w.Kubeconfig)
	must(t, err)
	good := strings.Replace(string(text), "10.77.0.2:6443", p.address, 1)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, []byte(good), 0o600))
	s.kubeconfig(file)

	gate := s.turnstile()
	dir := s.project("kube-away", "replicas: 1, cpu: 0.2, memory: 256MB")
	s.edit(filepath.Join(dir, "ridgeline.yaml"), "{run: python train.py, timeout: 30s}",
		fmt.Sprintf(`{run: "python -c 'import urllib.request as u; u.urlopen(\"%s\")' && python train.py", timeout: 5m, compute: kube}`, gate.url))
	s.git(dir)
	pushed := s.follow(dir, "push")
	gate.wait(t, "training has begun")
	gate.open()
	pushed()
	e := s.production("kube-away")

	run := s.begin(dir, "--param", "factor=1.01", "--gate", "off", "--reason", "it is about the cluster")
	gate.wait(t, "training has begun")
	l := s.load(e, 2, 10*time.Millisecond)
	began := time.Now()
	p.cut(true)
	gate.open()
	s.until(2*time.Minute, "the run has ended", func() bool { return s.run(run).Status == "succeeded" })
	t.Logf("the run ended with the API server away, after %s", time.Since(began).Round(time.Second))
	s.until(time.Minute, "the release says what it waits for", func() bool {
		status, message := s.releasing("kube-away")
		return status == "running" && strings.Contains(message, "API server does not answer")
	})
	waiting := s.begin(dir, "--param", "factor=1.02")
	s.until(time.Minute, "a step that cannot begin says why", func() bool {
		return strings.Contains(s.run(waiting).Steps[0].Message, "API server does not answer")
	})
	s.must(s.dir, "cancel", waiting)
	s.until(time.Minute, "a run that waits for the cluster is cancelled", func() bool { return s.run(waiting).Status == "cancelled" })
	s.until(2*time.Minute, "the API server has been away for a minute", func() bool { return time.Since(began) > time.Minute })
	p.cut(false)
	s.until(2*time.Minute, "the release has ended", func() bool { status, _ := s.releasing("kube-away"); return status == "succeeded" })
	l.end(t, fmt.Sprintf("the API server's absence (%s)", time.Since(began).Round(time.Second)))
	s.until(time.Minute, "nothing of the runs is left on the cluster", func() bool {
		return s.w.Kubectl("get", "jobs,secrets", "-l", "app.kubernetes.io/component=task", "-o", "name") == ""
	})

	before, _, _ := strings.Cut(good, "users:")
	must(t, os.WriteFile(file, []byte(before+"users: [{name: u, user: {token: expired}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"), 0o600))
	rolled := s.follow(dir, "rollback", "kube-away", "production")
	s.until(time.Minute, "the release says that the sign-in has expired", func() bool {
		_, message := s.releasing("kube-away")
		return strings.Contains(message, "renew the kubeconfig")
	})
	must(t, os.WriteFile(file, []byte(good), 0o600))
	rolled()
	if e := s.production("kube-away"); e.Version != 1 || !e.Ready {
		t.Errorf("after the kubeconfig was renewed and the rollback: %+v", e)
	}
}
