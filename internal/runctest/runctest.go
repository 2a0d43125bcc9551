// Package runctest runs a command in the root folder of an unpacked image,
// under runc: as nobody, read-only, without capabilities, with a network that
// leads nowhere.
//
// It leaves it to the tests what is in the image and what the command does.
package runctest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Nobody is the user and the group that a container runs as.
const Nobody = 65534

// Need skips the test where runc cannot be run, unless CI=true says that it
// has to be there; then the test fails.
func Need(t testing.TB) {
	t.Helper()
	reason := ""
	if _, err := exec.LookPath("runc"); err != nil {
		reason = "runc is not installed"
	} else if os.Getuid() != 0 {
		reason = "runc is run as root here"
	}
	switch {
	case reason == "":
	case os.Getenv("CI") == "true":
		t.Fatal(reason)
	default:
		t.Skip(reason)
	}
}

// A Container is what runc is told.
type Container struct {
	Root string
	Args []string
	Env  []string
	Dir  string // working folder, inside
	Bind string // a folder of this machine, at /run/test inside
}

// Folder makes a folder for Bind that the user nobody may write to, with a path short
// enough for sockets, whose names have about 100 bytes.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "r-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, Nobody, Nobody); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Open lets the user nobody into the folders above root, up to the temporary folder.
func Open(t testing.TB, root string) {
	t.Helper()
	for dir := filepath.Dir(root); dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Start runs the container until the test ends. The function it returns stops
// it politely and gives its exit code; ended is closed when it has ended.
func (c Container) Start(t testing.TB, output io.Writer) (stop func() int, ended <-chan struct{}) {
	t.Helper()
	state, id := t.TempDir(), fmt.Sprintf("ridgeline-%d-%d", os.Getpid(), time.Now().UnixNano())
	cmd := exec.Command("runc", "--root", state, "run", "--bundle", c.bundle(t), id)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit code tells
		close(done)
	}()
	t.Cleanup(func() {
		_ = exec.Command("runc", "--root", state, "delete", "--force", id).Run() // gone already when it ended
		<-done
	})
	return func() int {
		_ = cmd.Process.Signal(syscall.SIGTERM) // which runc passes on
		<-done
		return cmd.ProcessState.ExitCode()
	}, done
}

func (c Container) bundle(t testing.TB) string {
	t.Helper()
	type object = map[string]any
	config := object{
		"ociVersion": "1.0.2",
		"process": object{
			"user": object{"uid": Nobody, "gid": Nobody}, "args": c.Args, "env": c.Env, "cwd": c.Dir, "noNewPrivileges": true,
			"capabilities": object{"bounding": []string{}, "effective": []string{}, "permitted": []string{}, "inheritable": []string{}, "ambient": []string{}},
		},
		"root": object{"path": c.Root, "readonly": true},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755", "size=65536k"}},
			{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "nodev", "mode=1777"}},
			{"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "nodev", "mode=755"}},
			{"destination": "/run/test", "type": "bind", "source": c.Bind, "options": []string{"bind", "rw"}},
		},
		"linux": object{"namespaces": []object{{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}}},
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
