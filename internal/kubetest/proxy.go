package kubetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// proxies starts what leads Services' addresses to pods (kube-proxy) again where
// it has ended: it ends when its configuration is written anew, a moment after
// that, and the script that brings a node back writes that of all nodes.
func (c *Cluster) proxies(state string) {
	c.t.Helper()
	nodes, err := filepath.Glob(filepath.Join(state, "*", "proxy.yaml"))
	if err != nil || len(nodes) == 0 {
		c.t.Fatalf("no node's settings are found in %s: %v", state, err)
	}
	for _, settings := range nodes {
		dir := filepath.Dir(settings)
		if !ends(readPID(filepath.Join(dir, "proxy.pid"))) {
			continue // the new node's, which came after its configuration
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

// ends reports whether a process ends within ten seconds, or has already.
func ends(pid int) bool {
	for range 1000 {
		if pid <= 0 || syscall.Kill(pid, 0) != nil {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func readPID(file string) int {
	text, _ := os.ReadFile(file)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}
