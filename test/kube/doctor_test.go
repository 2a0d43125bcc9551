package kube_test

import (
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/host/kube"
)

func TestDoctor(t *testing.T) {
	w := open(t)
	nodes := len(strings.Fields(w.Kubectl("get", "nodes", "-o", "name")))
	reached := 0
	for _, f := range w.host(t, newServer()).Doctor(t.Context(), "http://"+w.registry, nil) {
		if !f.OK {
			t.Errorf("%s: %s → %s", f.Check, f.Message, f.Fix)
		}
		if f.Check == "registry" {
			reached++
		}
	}
	if reached != nodes {
		t.Errorf("%d of %d nodes were asked for the registry", reached, nodes)
	}
	w.Kubectl("create", "quota", "small", "--hard=configmaps=0")
	w.registry = strings.Split(w.registry, ":")[0] + ":9"
	failing := map[string]kube.Finding{}
	until(t, "the quota is counted", func() bool {
		return w.Kubectl("get", "quota", "small", "-o", "jsonpath={.status.hard}") != ""
	})
	for _, f := range w.host(t, newServer()).Doctor(t.Context(), "http://127.0.0.1:8470", &kube.Gateway{Replicas: 2, Route: &kube.Route{}}) {
		if !f.OK {
			failing[f.Check] = f
		}
	}
	for check, fix := range map[string]string{"registry": "listen on an address that nodes reach", "address": "listen on an address that pods reach", "quota": "have it raised", "gateway": "install the Gateway API"} {
		if f := failing[check]; !strings.Contains(f.Fix, fix) {
			t.Errorf("%s: %+v; want a fix with %q", check, f, fix)
		}
	}
	if len(failing) != 4 {
		t.Errorf("failing: %+v", failing)
	}
}
