package kubetest

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
)

// gatewayAPI is the Go module whose files describe the Gateway API's kinds. It
// is fetched as modules are, into their cache, and is nobody's dependency.
const gatewayAPI = "sigs.k8s.io/gateway-api@v1.6.3"

// GatewayAPI has the cluster know HTTPRoute until the test ends. One at a time:
// it is the whole cluster's.
func (c *Cluster) GatewayAPI() {
	c.t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", gatewayAPI)
	cmd.Dir = c.t.TempDir() // outside of this module
	var says bytes.Buffer
	cmd.Stderr = &says
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil || module.Dir == "" {
		c.t.Fatalf("fetch %s: %v\n%s%s", gatewayAPI, err, out, says.Bytes())
	}
	file := filepath.Join(module.Dir, "config", "crd", "standard", "gateway.networking.k8s.io_httproutes.yaml")
	c.Kubectl("apply", "--server-side", "-f", file)
	c.t.Cleanup(func() { _, _ = c.Try("delete", "--wait=false", "-f", file) })
	c.Kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", file)
}
