package kube_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
)

// What is printed for a server is enough for all that it does, in a namespace
// that enforces the restricted Pod Security Standard.
func TestRole(t *testing.T) {
	t.Parallel()
	w := open(t)
	text, err := kube.Role(w.Namespace, "10.77.0.1/32")
	must(t, err)
	file := filepath.Join(t.TempDir(), "role.yaml")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	w.Kubectl("apply", "-f", file)
	token := w.Kubectl("create", "token", "ridgeline")
	admin, err := os.ReadFile(w.Kubeconfig)
	must(t, err)
	before, _, _ := strings.Cut(string(admin), "users:")
	limited := *w.Cluster
	limited.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(limited.Kubeconfig, []byte(before+"users: [{name: u, user: {token: "+token+"}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"), 0o600))
	limitedWorld := w
	limitedWorld.Cluster = &limited
	h := limitedWorld.hostBy(t, newServer(), kube.PodsForward).Services()
	want := host.Workload{ID: "d-role", Image: w.push(t, "good"), Replicas: 1, MaxReplicas: 2, Env: []string{"A=b"}}
	must(t, h.Apply(t.Context(), want))
	within(t, "the copy answers, through the API server", func() bool {
		o, err := h.Observe(t.Context(), "d-role")
		if err != nil || o.Ready() != 1 {
			return false
		}
		transport, base := host.Transport(o.Copies[0].Address)
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Get(base + "/env?name=A")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return err == nil && string(text) == "b"
	})
	if log, err := h.Log(t.Context(), "d-role", 100); err != nil || !strings.Contains(string(log), "listening") {
		t.Errorf("Log: %q, %v", log, err)
	}
	if ids, err := h.Workloads(t.Context()); err != nil || len(ids) != 1 {
		t.Errorf("Workloads: %v, %v", ids, err)
	}
	must(t, h.Remove(t.Context(), "d-role"))
	for _, verb := range []string{"list secrets", "create pods/exec", "delete pods", "list nodes"} {
		args := append([]string{"auth", "can-i", "--as", "system:serviceaccount:" + w.Namespace + ":ridgeline"}, strings.Fields(verb)...)
		if out, err := w.Try(args...); err == nil || !strings.Contains(out, "no") {
			t.Errorf("it may %s", verb)
		}
	}
}
