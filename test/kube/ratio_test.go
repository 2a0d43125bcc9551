package kube_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var rounds = flag.Int("rounds", 1, "how often is measured how long a promoted version takes to answer on the cluster")

// TestPromoted measures how long it takes from the moment that a version is
// promoted until the endpoint's first answer by it, and how long the same
// manifests take by kubectl: apply, wait, ask. Both with an image that no node
// has yet. The figures are in the log.
func TestPromoted(t *testing.T) {
	s := serve(t)
	dir := s.project("kube-ratio", "replicas: 2, cpu: 0.2, memory: 256MB")
	s.edit(filepath.Join(dir, "ridgeline.yaml"), "    qa: {host: process, checks: [smoke.json]}\n", "")
	s.git(dir)
	s.must(dir, "push")
	var ours, bare []time.Duration
	for i := range *rounds {
		ours = append(ours, s.promoted(t, dir, fmt.Sprintf("%.3f", 1.001+0.001*float64(i))))
		bare = append(bare, s.byKubectl(t, dir, fmt.Sprintf("%.3f", 2.001+0.001*float64(i))))
	}
	slices.Sort(ours)
	slices.Sort(bare)
	a, b := ours[len(ours)/2], bare[len(bare)/2]
	t.Logf("from promoted to the first answer on the cluster: %s; the same manifests by kubectl: %s; %.2f times (medians of %d)",
		a.Round(10*time.Millisecond), b.Round(10*time.Millisecond), a.Seconds()/b.Seconds(), *rounds)
}

// version is what the registry says of the model's newest version.
type version struct {
	Version int
	Verdict string
	Image   string
	Created time.Time
}

func (s *server) newest(model string) (v version) {
	s.t.Helper()
	var list []version
	if err := json.Unmarshal([]byte(s.must(s.dir, "model", model, "--json")), &list); err != nil || len(list) == 0 {
		s.t.Fatalf("versions: %v, %v", list, err)
	}
	return list[0]
}

// promoted trains a version and returns how long after its promotion the
// endpoint's first answer was its.
func (s *server) promoted(t *testing.T, dir, factor string) time.Duration {
	t.Helper()
	e, want := s.production("kube-ratio"), s.newest("kube-ratio").Version+1
	run := s.begin(dir, "--param", "factor="+factor, "--gate", "off", "--reason", "how long it takes is measured")
	var at time.Time
	s.until(3*time.Minute, "the new version answers", func() bool {
		req, err := http.NewRequest(http.MethodPost, e.URL, strings.NewReader(`{"data": [[1.0]]}`))
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+e.Key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		at = time.Now()
		return res.StatusCode == http.StatusOK && res.Header.Get("azureml-model-deployment") == fmt.Sprintf("v%d", want)
	})
	s.until(time.Minute, "the run has ended", func() bool { return s.run(run).Status == "succeeded" })
	s.until(time.Minute, "the release has ended", func() bool { status, _ := s.releasing("kube-ratio"); return status == "succeeded" })
	v := s.newest("kube-ratio")
	if v.Version != want {
		t.Fatalf("the newest version is %+v, want %d", v, want)
	}
	return at.Sub(v.Created)
}

// byKubectl trains a version that is not promoted, and puts its image into the
// cluster by the manifests of what is live, as those of another server.
func (s *server) byKubectl(t *testing.T, dir, factor string) time.Duration {
	t.Helper()
	s.must(dir, "train", "--param", "factor="+factor)
	v := s.newest("kube-ratio")
	if v.Verdict == "promoted" {
		t.Fatalf("%+v", v)
	}
	scorers := "app.kubernetes.io/component=scorer"
	s.until(time.Minute, "only one version is on the cluster", func() bool {
		return len(strings.Fields(s.w.Kubectl("get", "deployment", "-l", scorers, "-o", "name"))) == 1
	})
	server := s.w.Kubectl("get", "deployment", "-l", scorers, "-o", `jsonpath={.items[0].metadata.labels.ridgeline\.io/server}`)
	var manifests []string
	for _, get := range [][]string{{"secret", "ridgeline-pull-" + server}, {"secret,deployment,service,poddisruptionbudget", "-l", scorers}} {
		manifests = append(manifests, bareManifests(t, s.w.Kubectl(append([]string{"get", "-o", "json"}, get...)...), v.Image)...)
	}
	text := strings.ReplaceAll(strings.Join(manifests, "\n---\n"), server, "bare")
	file := filepath.Join(t.TempDir(), "bare.json")
	must(t, os.WriteFile(file, []byte(text), 0o600))

	began := time.Now()
	s.w.Kubectl("apply", "-f", file)
	if out, err := s.w.Try("rollout", "status", "deployment", "-l", "ridgeline.io/server=bare", "--timeout=90s"); err != nil {
		t.Fatalf("by kubectl it is not ready: %s\n%s", out, s.w.Kubectl("describe", "pods", "-l", "ridgeline.io/server=bare"))
	}
	ip := s.w.Kubectl("get", "pods", "-l", "ridgeline.io/server=bare", "-o", "jsonpath={.items[0].status.podIP}")
	res, err := http.Post("http://"+ip+":8080/score", "application/json", strings.NewReader(`{"data": [[1.0]]}`))
	must(t, err)
	took := time.Since(began)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("by kubectl it answers %s", res.Status)
	}
	s.w.Kubectl("delete", "-f", file, "--wait=false")
	return took
}

// bareManifests are the objects of a list as a person would have written them,
// with another image.
func bareManifests(t *testing.T, list, image string) (out []string) {
	t.Helper()
	var all struct{ Items []map[string]any }
	must(t, json.Unmarshal([]byte(list), &all))
	if all.Items == nil {
		var one map[string]any
		must(t, json.Unmarshal([]byte(list), &one))
		all.Items = append(all.Items, one)
	}
	for _, o := range all.Items {
		delete(o, "status")
		meta := o["metadata"].(map[string]any)
		for _, of := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences", "annotations"} {
			delete(meta, of)
		}
		spec, _ := o["spec"].(map[string]any)
		switch o["kind"] {
		case "Service":
			delete(spec, "clusterIP")
			delete(spec, "clusterIPs")
		case "Deployment":
			pod := spec["template"].(map[string]any)["spec"].(map[string]any)
			c := pod["containers"].([]any)[0].(map[string]any)
			c["image"] = image
		}
		text, err := json.Marshal(o)
		must(t, err)
		out = append(out, string(text))
	}
	return out
}
