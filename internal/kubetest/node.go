package kubetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// UpVariable names the script that brings the cluster up, and brings a node
// back that was killed.
const UpVariable = "RIDGELINE_KUBE_UP"

// Mortal is a node that may be killed: the other one holds the control plane.
const Mortal = "knode2"

// KillNode ends a node as a power cut does: its network first, so that nobody
// is told that its processes end. The function it returns brings it back and
// waits until it is ready; it is called at the test's end at the latest.
func (c *Cluster) KillNode(name string) (revive func()) {
	c.t.Helper()
	up := os.Getenv(UpVariable)
	if up == "" {
		if os.Getenv("CI") == "true" {
			c.t.Fatalf("no node can be killed: %s is not set; run make test-kube", UpVariable)
		}
		c.t.Skipf("no node can be killed: %s is not set; run make test-kube", UpVariable)
	}
	state := filepath.Dir(filepath.Dir(c.Kubeconfig))
	run := func(env []string, command ...string) {
		c.t.Helper()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), append(env, "KUBE_STATE="+state)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			c.t.Errorf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
	}
	run(nil, "ip", "link", "set", name+"-h", "down")
	run(nil, filepath.Join(filepath.Dir(up), "node", "sandbox.sh"), "down", name)
	dead := true
	revive = func() {
		c.t.Helper()
		if !dead {
			return
		}
		dead = false
		pids, _ := filepath.Glob(filepath.Join(state, name, "*.pid"))
		for _, p := range pids {
			_ = os.Remove(p)
		}
		run([]string{"ADDONS=1", "NODES=2"}, up)
		c.proxies(state)
	}
	c.t.Cleanup(revive)
	return revive
}
