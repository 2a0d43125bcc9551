package kubetest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// outsideHost is the address of the machine that Outside makes.
const outsideHost = "10.77.0.99"

// Outside makes a machine on the nodes' network that has no way to pods, as a
// laptop beside a cluster is. It returns its address, and what a command line
// begins with that runs there. One at a time.
func (c *Cluster) Outside() (address string, on []string) {
	c.t.Helper()
	name := fmt.Sprintf("rl%d", os.Getpid())
	c.t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", name).Run()
		_ = exec.Command("ip", "netns", "del", name).Run()
	})
	for _, line := range []string{
		"netns add " + name,
		"link add " + name + " type veth peer name eth0 netns " + name,
		"link set " + name + " master kbr0 up",
		"-n " + name + " addr add " + outsideHost + "/24 dev eth0",
		"-n " + name + " link set eth0 up",
		"-n " + name + " link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			c.t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
	}
	return outsideHost, []string{"ip", "netns", "exec", name}
}
