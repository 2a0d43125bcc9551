package kubetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Proxies starts what leads Services' addresses to pods (kube-proxy) on the
// nodes where it has ended: it ends when its configuration is written anew,
// which the script that brings a node back does for all nodes.
func (c *Cluster) Proxies() {
	c.t.Helper()
	nodes, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(c.Kubeconfig)), "*", "proxy.yaml"))
	if err != nil || len(nodes) == 0 {
		c.t.Fatalf("no node's settings are found beside %s: %v", c.Kubeconfig, err)
	}
	for _, settings := range nodes {
		dir := filepath.Dir(settings)
		if pid := readPID(filepath.Join(dir, "proxy.pid")); pid > 0 && syscall.Kill(pid, 0) == nil {
			continue
		}
		log, err := os.Create(filepath.Join(dir, "proxy.log"))
		if err != nil {
			c.t.Fatal(err)
		}
		cmd := exec.Command("nsenter", "-t", strconv.Itoa(readPID(filepath.Join(dir, "holder.pid"))), "-a", "--", "kube-proxy", "--config", settings)
		cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
		err = cmd.Start()
		_ = log.Close()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "proxy.pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
		}
		if err != nil {
			c.t.Fatalf("start kube-proxy again: %v", err)
		}
		go func() { _ = cmd.Wait() }() // it stays when the test ends
	}
}

func readPID(file string) int {
	text, _ := os.ReadFile(file)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}
