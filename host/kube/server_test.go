package kube

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/ridgeline-mlops/ridgeline"
)

// installed is an installation as `ridgeline kube manifests --image` describes it.
func installed() Installation {
	return Installation{
		Namespace: "ml", Image: "images.example.com/ridgeline@sha256:0123", Replicas: 2, Settings: "kubernetes:\n  registry: ml.example.com\n",
		URL: "https://ml.example.com", CPU: "500m", Memory: "1Gi",
	}
}

func TestInstallation(t *testing.T) {
	text, err := installed().Manifests()
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "server.yaml")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("it differs from %s; see it, then -update:\n%s", golden, text)
	}
	t.Run("a claim instead of a bucket, a node port and a pull secret", func(t *testing.T) {
		i := installed()
		i.Claim, i.NodePort, i.PullSecret, i.From = "shared", 30470, "registry", "10.0.0.0/8"
		text, err := i.Manifests()
		if err != nil {
			t.Fatal(err)
		}
		for _, says := range []string{"claimName: shared", "nodePort: 30470", "{name: registry}", "cidr: 10.0.0.0/8", "value: /shared/ridgeline"} {
			if !strings.Contains(text, says) {
				t.Errorf("%q is missing", says)
			}
		}
		if strings.Contains(text, "ridgeline-keys") {
			t.Error("it asks for keys, which are in the claim")
		}
		var d appsv1.Deployment
		for doc := range strings.SplitSeq(text, "\n---\n") {
			body, err := yaml.ToJSON([]byte(doc))
			if err != nil {
				t.Fatalf("%v in\n%s", err, doc)
			}
			if strings.Contains(doc, "\nkind: Deployment\n") {
				strict := json.NewDecoder(bytes.NewReader(body))
				strict.DisallowUnknownFields()
				if err := strict.Decode(&d); err != nil {
					t.Fatal(err)
				}
			}
		}
		// What scorers are held to, the server is.
		pod, own := d.Spec.Template.Spec, hardened()
		if pod.SecurityContext == nil || !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser != *own.SecurityContext.RunAsUser ||
			!*pod.Containers[0].SecurityContext.ReadOnlyRootFilesystem || *pod.Containers[0].SecurityContext.AllowPrivilegeEscalation {
			t.Errorf("the pod is not confined: %+v", pod.SecurityContext)
		}
	})
	for name, spoil := range map[string]func(*Installation){
		"an image that is none":         func(i *Installation) { i.Image = "a b\nkind: Pod" },
		"no copies":                     func(i *Installation) { i.Replicas = 0 },
		"a claim that is none":          func(i *Installation) { i.Claim = "Claim!" },
		"a port that is none":           func(i *Installation) { i.NodePort = 80 },
		"an address without its scheme": func(i *Installation) { i.URL = "ml.example.com" },
		"memory in words":               func(i *Installation) { i.Memory = "much" },
		"a network that is none":        func(i *Installation) { i.From = "everywhere" },
		"a namespace in capital":        func(i *Installation) { i.Namespace = "ML" },
	} {
		t.Run(name, func(t *testing.T) {
			i := installed()
			spoil(&i)
			if text, err := i.Manifests(); ridgeline.CodeOf(err) != ridgeline.Invalid {
				t.Errorf("got %v\n%s", err, text)
			}
		})
	}
}
