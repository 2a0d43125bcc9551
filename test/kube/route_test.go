package kube_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
)

// An HTTPRoute to the gateway is what the Gateway API's own description takes:
// the API server keeps each of its fields, finds nothing that it does not know,
// and removes it with the gateway. Where the Gateway API is not installed, that
// is said.
func TestHTTPRoute(t *testing.T) {
	t.Parallel()
	w := open(t)
	h := w.host(t, newServer())
	want := kube.Gateway{
		Image: w.push(t, "good"), Replicas: 1, Service: "ClusterIP", Table: []byte("{}"), Says: "first",
		Route: &kube.Route{Gateway: "public", Namespace: "infra", Host: "models.example.com"},
	}
	if err := h.ApplyGateway(t.Context(), want); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "install the Gateway API") {
		t.Errorf("without the Gateway API: %v", err)
	}
	w.GatewayAPI()
	must(t, h.ApplyGateway(t.Context(), want))
	live := func() (route struct {
		Metadata struct {
			Name            string
			OwnerReferences []struct{ Kind, Name string }
		}
		Spec map[string]any
	}) {
		t.Helper()
		must(t, json.Unmarshal([]byte(w.Kubectl("get", "httproute", "-l", gatewayPods, "-o", "jsonpath={.items[0]}")), &route))
		return route
	}
	route := live()
	if o := route.Metadata.OwnerReferences; len(o) != 1 || o[0].Kind != "Deployment" || o[0].Name != route.Metadata.Name {
		t.Errorf("it belongs to %+v", o)
	}
	type m = map[string]any
	kept := m{
		"hostnames":  []any{"models.example.com"},
		"parentRefs": []any{m{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "infra"}},
		"rules": []any{m{
			"matches":     []any{m{"path": m{"type": "PathPrefix", "value": "/endpoints"}}},
			"backendRefs": []any{m{"group": "", "kind": "Service", "name": route.Metadata.Name, "port": 80.0, "weight": 1.0}},
		}},
	}
	if !reflect.DeepEqual(route.Spec, kept) {
		t.Errorf("the API server keeps\n%v\nwant\n%v", route.Spec, kept)
	}
	file := filepath.Join(t.TempDir(), "route.yaml")
	must(t, os.WriteFile(file, []byte(w.Kubectl("get", "httproute", route.Metadata.Name, "-o", "yaml")), 0o600))
	w.Kubectl("replace", "--dry-run=server", "--validate=strict", "-f", file)
	want.Route = &kube.Route{Gateway: "other"}
	must(t, h.ApplyGateway(t.Context(), want))
	if s := live().Spec; s["hostnames"] != nil || !strings.Contains(w.Kubectl("get", "httproute", route.Metadata.Name, "-o", "jsonpath={.spec.parentRefs}"), `"name":"other"`) {
		t.Errorf("after the settings have changed: %v", s)
	}
	must(t, h.RemoveGateway(t.Context()))
	within(t, "the route goes with the gateway", func() bool { return w.Kubectl("get", "httproute", "-o", "name") == "" })
}
