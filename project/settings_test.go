package project_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/project"
)

func TestLoadSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, project.SettingsName)
	load := func(text string) (project.Settings, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return project.LoadSettings(file, true)
	}
	if s, err := project.LoadSettings(file, false); err != nil || s.Kubernetes != nil {
		t.Errorf("without a file: %+v, %v", s, err)
	}
	if _, err := project.LoadSettings(file, true); err == nil {
		t.Error("a file that was asked for and is not there is no mistake")
	}
	if s, err := load("kubernetes:\n"); err != nil || s.Kubernetes == nil {
		t.Errorf("kubernetes alone: %+v, %v", s, err)
	}
	s, err := load("kubernetes: {kubeconfig: admin.conf, namespace: ml, registry: 'images:5000', url: 'http://ridgeline:8470/'}\n")
	if want := (project.Kubernetes{Kubeconfig: filepath.Join(dir, "admin.conf"), Namespace: "ml", Registry: "images:5000", URL: "http://ridgeline:8470", Pods: "auto"}); err != nil || *s.Kubernetes != want {
		t.Errorf("got %+v, %v", s.Kubernetes, err)
	}
	_, err = load("kubernetes:\n  namspace: ml\n  url: ridgeline\n  registry: https://images\n  pods: proxy\n")
	for _, says := range []string{`:2`, `namspace`, `namespace`, `kubernetes.url: expected an address`, `kubernetes.registry: expected HOST`, `:5`, `kubernetes.pods: expected auto, direct or forward, got "proxy"`} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
	s, err = load("kubernetes: {gateway: }\n")
	if want := (project.ClusterGateway{Replicas: 2, Service: "ClusterIP"}); err != nil || !reflect.DeepEqual(s.Kubernetes.Gateway, &want) {
		t.Errorf("gateway alone: %+v, %v", s.Kubernetes, err)
	}
	s, err = load("kubernetes: {gateway: {replicas: 3, service: NodePort, ingress: {host: models.example.com, class: nginx, tls: cert}, http_route: {gateway: public, namespace: infra}}}\n")
	if want := (project.ClusterGateway{Replicas: 3, Service: "NodePort", Ingress: &project.GatewayIngress{"models.example.com", "nginx", "cert"}, Route: &project.GatewayRoute{Gateway: "public", Namespace: "infra"}}); err != nil || !reflect.DeepEqual(s.Kubernetes.Gateway, &want) {
		t.Errorf("got %+v, %v", s.Kubernetes, err)
	}
	_, err = load("kubernetes:\n  gateway:\n    replicas: 0\n    service: None\n    ingress: {host: 'https://models'}\n    http_route: {namespace: infra}\n")
	for _, says := range []string{"gateway.replicas", "gateway.service", `ingress.host: expected a host name such as models.example.com, got "https://models"`, "http_route.gateway: expected the name of a Gateway"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
	s, err = load(`kubernetes:
pools:
  any:
  gpus: {cpu: 4, memory: 16GiB, gpu: 1, node_selector: {pool: gpu}, priority: spot, queue: night, tolerations: [{key: nvidia.com/gpu, effect: NoSchedule}]}
prices:
  currency: eur
  on_demand: {cpu: 0.04, memory: 0.005, gpu: 2}
  spot: {cpu: 0.01, gpu: 0.6}
  pools: {local: {cpu: 0.002}}
`)
	want := []project.Pool{{Name: "any"}, {
		Name: "gpus", CPU: 4, Memory: 16 << 30, GPU: 1, NodeSelector: map[string]string{"pool": "gpu"}, Spot: true, Queue: "night",
		Tolerations: []project.Toleration{{Key: "nvidia.com/gpu", Effect: "NoSchedule"}},
	}}
	if err != nil || !reflect.DeepEqual(s.Pools, want) {
		t.Errorf("got %+v, %v; want %+v", s.Pools, err, want)
	}
	if p := s.Prices; p.Currency != "EUR" || p.Of("local", false).CPU != 0.002 || p.Of("gpus", true).GPU != 0.6 || p.Of("any", false).GPU != 2 {
		t.Errorf("got %+v", p)
	}
	if got := s.Prices.Of("any", false).Cost(7200, 3600<<30, 1800); got != 2*0.04+0.005+0.5*2 {
		t.Errorf("2 core hours, a GiB hour and half a GPU hour cost %v", got)
	}
	_, err = load("pools:\n  local: {gpu: 0.5}\n  Big: {}\n  odd: {priority: cheap, tolerations: [{effect: Never}]}\nprices: {spot: {cpu: -1}}\n")
	for _, says := range []string{"add kubernetes:", "local is the server's own machine", "pools.local.gpu", `"Big" is no name`, "pools.odd.priority", "pools.odd.tolerations.effect", "prices.spot.cpu"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
	s, err = load("prices: {on_demand: {cpu: 1}}\nbudget: {month: 500, projects: {iris: 50.5}}\n")
	if b := s.Budget; err != nil || !b.Set() || b.Of("") != 500 || b.Of("iris") != 50.5 || b.Of("wine") != 0 {
		t.Errorf("got %+v, %v", s.Budget, err)
	}
	if s, err = load("prices: {on_demand: {cpu: 1}}\n"); err != nil || s.Budget.Set() {
		t.Errorf("without a budget: %+v, %v", s.Budget, err)
	}
	_, err = load("budget:\n  month: -1\n  monthly: 5\n  projects:\n    Iris!: 3\n    wine: much\n    rose: 0\n")
	for _, says := range []string{":2", "budget.month: expected a number from 0", "monthly", `:5`, `"Iris!" is no name of a project`, "budget.projects.wine", ":7", "budget.projects.rose: expected an amount above 0", "budget: nobody said what an hour costs"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
	if _, err = load("prices: {on_demand: {cpu: 1}}\nbudget: {}\n"); err == nil || !strings.Contains(err.Error(), "{month: 500") {
		t.Errorf("an empty budget: %v", err)
	}
	s, err = load("images: {push: 'ml.azurecr.io/team'}\n")
	if err != nil || s.Images != (project.Images{Push: "ml.azurecr.io/team"}) || s.Images.Host() != "ml.azurecr.io" {
		t.Errorf("got %+v, %v", s.Images, err)
	}
	for _, push := range []string{"team", "https://ml.azurecr.io", "ml.azurecr.io/Team", "ml.azurecr.io/team:1", "''"} {
		if _, err = load("images: {push: " + push + "}\n"); err == nil || !strings.Contains(err.Error(), "images.push: expected HOST/PREFIX") {
			t.Errorf("%s: got %v", push, err)
		}
	}
}
