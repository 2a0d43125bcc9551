package kube

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

var update = flag.Bool("update", false, "write the golden files anew")

// opened is a cluster whose API server is at the address.
func opened(t *testing.T, address string) *Cluster {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: '%s'}}]\ncontexts: [{name: x, context: {cluster: c, namespace: ml}}]\ncurrent-context: x\n", address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(Options{Kubeconfig: file, Registry: "images.example.com", Username: "ridgeline", Password: "pull", Server: "abcdefgh"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// What is sent for a workload, as a person would read it in the cluster.
func TestManifests(t *testing.T) {
	c := opened(t, "http://127.0.0.1:1")
	m, err := c.manifests(host.Workload{
		ID: "d-1kw4j2qd47kg4j", Image: "diabetes@sha256:0123", Replicas: 2, MaxReplicas: 4,
		Env: []string{"RIDGELINE_PROJECT=diabetes", "TWICE=1", "TWICE=2"}, Resources: host.Resources{CPU: 0.5, Memory: 512 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []json.RawMessage
	for _, one := range []struct {
		of   reflect.Type
		want any
	}{
		{reflect.TypeOf(*m.secret), m.secret}, {reflect.TypeOf(*m.deployment), m.deployment}, {reflect.TypeOf(*m.service), m.service},
		{reflect.TypeOf(*m.budget), m.budget}, {reflect.TypeOf(*m.scaler), m.scaler},
	} {
		body, err := describe(kinds[one.of], one.of.Name(), one.want)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, body)
	}
	got, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "service.json")
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("what is sent has changed (go test ./host/kube -update):\n%s", got)
	}
	fixed, err := c.manifests(host.Workload{ID: "d-1", Image: "x", Replicas: 3, MaxReplicas: 3})
	if err != nil || fixed.scaler != nil || *fixed.deployment.Spec.Replicas != 3 || fixed.hash == m.hash {
		t.Errorf("three copies, always: %+v, %v", fixed, err)
	}
}

func TestTrouble(t *testing.T) {
	waiting := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Image: "i", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
	}
	ended := func(reason, message string, code int32) corev1.PodStatus {
		s := waiting("CrashLoopBackOff", "back-off 10s restarting failed container")
		s.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: reason, Message: message, ExitCode: code}
		return s
	}
	for _, test := range []struct {
		status corev1.PodStatus
		says   string
		stuck  bool
	}{
		{waiting("ImagePullBackOff", "not found"), "node n1 cannot pull the image i: not found", true},
		{waiting("CreateContainerConfigError", `secret "x" not found`), `the container cannot be made: secret "x" not found`, true},
		{ended("Error", "ModuleNotFoundError: No module named 'skops'\n", 1), "ended with code 1: ModuleNotFoundError: No module named 'skops'", false},
		{ended("OOMKilled", "", 137), "was ended for using more memory than its limit of 64Mi", false},
		{corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/2 nodes are available"}}}, "no node has room for it now: 0/2 nodes", false},
		{corev1.PodStatus{Phase: corev1.PodPending}, "is being started on node n1", false},
		{corev1.PodStatus{Phase: corev1.PodRunning}, "init() has not returned", false},
	} {
		p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Resources: requirements(host.Resources{Memory: 64 << 20}, false)}}}, Status: test.status}
		c := copyOf(p)
		if !strings.Contains(c.Message, test.says) || c.Stuck != test.stuck || c.Ready {
			t.Errorf("got %+v, want %q", c, test.says)
		}
	}
}

// A watch that is told that it is too old lists again, and what came meanwhile
// is seen. No real API server can be made to forget on demand.
func TestView_gone(t *testing.T) {
	var lists atomic.Int32
	pod := func(name string) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ml", Labels: map[string]string{DeploymentLabel: "d-1"}}}
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := ServerLabel + "=abcdefgh"; r.URL.Path != "/api/v1/namespaces/ml/pods" || !strings.Contains(r.FormValue("labelSelector"), want) {
			t.Errorf("asked for %s", r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("watch") != "true" {
			n := lists.Add(1)
			list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, ListMeta: metav1.ListMeta{ResourceVersion: fmt.Sprint(n)}, Items: []corev1.Pod{pod("one")}}
			if n > 1 {
				list.Items = append(list.Items, pod("two"))
			}
			_ = json.NewEncoder(w).Encode(list)
			return
		}
		if lists.Load() == 1 {
			fmt.Fprint(w, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}}`)
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(api.Close)
	c := opened(t, api.URL)
	t.Cleanup(c.Close) // before the server, which waits for the watch
	v, err := watched[corev1.Pod](t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		changed := v.next()
		if len(v.where(DeploymentLabel, "d-1")) == 2 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("after %d lists the second pod is not seen", lists.Load())
		}
	}
}

func TestOpen_refuses(t *testing.T) {
	if _, err := Open(Options{Kubeconfig: "x"}); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("without a server's id: %v", err)
	}
	for _, id := range []ridgeline.DeploymentID{"", "../x", "-a", "a-", "A", ridgeline.DeploymentID(strings.Repeat("a", 41))} {
		if mayBeID(id) {
			t.Errorf("%q would be a name of objects", id)
		}
	}
}
