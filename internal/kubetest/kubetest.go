// Package kubetest gives tests a namespace of a real Kubernetes cluster on
// this machine, which `make test-kube` brings up. It leaves what is put there
// to the tests.
package kubetest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// HostVariable names the address of this machine as the cluster's nodes and
// pods see it. Without it there is no cluster for tests: one that KUBECONFIG
// happens to name is never touched.
const HostVariable = "RIDGELINE_TEST_CLUSTER"

// A Cluster is one namespace, for one test.
type Cluster struct {
	Kubeconfig string
	Namespace  string
	Host       string // address of this machine, as nodes and pods see it
	t          testing.TB
}

// Open makes a namespace that goes with the test. Without a cluster the test
// is skipped; in CI that is a failure.
func Open(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{Kubeconfig: os.Getenv("KUBECONFIG"), Host: os.Getenv(HostVariable), t: t}
	if c.Host == "" || c.Kubeconfig == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no cluster: run make test-kube")
		}
		t.Skip("there is no cluster: run make test-kube")
	}
	c.Namespace = fmt.Sprintf("test-%x", time.Now().UnixNano()&0xffffffffff)
	c.Kubectl("create", "namespace", c.Namespace)
	t.Cleanup(func() {
		_, _ = c.Try("delete", "namespace", c.Namespace, "--wait=false") // what a failed test left ends with it
	})
	return c
}

// Kubectl runs kubectl in the namespace and returns what it says.
func (c *Cluster) Kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.Try(args...)
	if err != nil {
		c.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// Try is Kubectl for what may fail.
func (c *Cluster) Try(args ...string) (string, error) {
	cmd := exec.Command("kubectl", append([]string{"--kubeconfig", c.Kubeconfig, "--namespace", c.Namespace}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Listen opens a port of this machine that nodes and pods reach, and lets the
// nodes pull images from it without TLS.
func (c *Cluster) Listen() net.Listener {
	c.t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(c.Host, "0"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = l.Close() })
	c.Trust(l.Addr().String())
	return l
}

// Trust lets the nodes pull from a registry without TLS, as an administrator
// would by containerd's hosts.toml.
func (c *Cluster) Trust(registry string) {
	c.t.Helper()
	nodes, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(c.Kubeconfig)), "*", "certs.d"))
	if err != nil || len(nodes) == 0 {
		c.t.Fatalf("no node's settings are found beside %s: %v", c.Kubeconfig, err)
	}
	for _, dir := range nodes {
		dir = filepath.Join(dir, registry)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			c.t.Fatal(err)
		}
		text := fmt.Sprintf("server = \"http://%s\"\n[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", registry, registry)
		if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(text), 0o644); err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
}

// Serve answers on a new port by the handler until the test ends, and returns
// its host:port.
func (c *Cluster) Serve(h http.Handler) string {
	c.t.Helper()
	l := c.Listen()
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }()
	c.t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}
