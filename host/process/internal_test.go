package process

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "77 (a) b (c)) S 12 34 56 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 1 0 100 200000 25 18446744073709551615 1 1"
	p, ok := parseStat(77, []byte(line))
	if want := (proc{pid: 77, ppid: 12, session: 56, rss: 25 * int64(os.Getpagesize()), cpu: 0.1}); !ok || p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	for _, bad := range []string{"", "77 (x", "77 (x) S 1"} {
		if _, ok := parseStat(77, []byte(bad)); ok {
			t.Errorf("%q was understood", bad)
		}
	}
}

func TestHierarchies(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"v2/user.slice/session", "memory/inner", "cpu"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	groups := "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc/inner\n1:name=systemd:/\n0::/user.slice/session\n"
	mounts := fmt.Sprintf(`30 1 0:26 / %[1]s/v2 rw,nosuid shared:9 - cgroup2 cgroup2 rw
31 1 0:27 /docker/abc %[1]s/memory rw - cgroup cgroup rw,memory
32 1 0:28 / %[1]s/cpu rw - cgroup cgroup rw,cpu,cpuacct
33 1 8:1 / / rw - ext4 /dev/vda rw
`, root)
	got := hierarchies(groups, mounts)
	for controller, want := range map[string]string{
		"":       "v2/user.slice/session",
		"memory": "memory/inner", // the mount shows our container's part only
		"cpu":    "cpu",          // our path is not visible here
	} {
		if got[controller].own != filepath.Join(root, want) {
			t.Errorf("controller %q: we are in %q, want %q", controller, got[controller].own, filepath.Join(root, want))
		}
	}
}

// TestCgroup_unified starts a process inside a version 2 group, wherever the
// machine has any; limits need controllers that this hierarchy may lack.
func TestCgroup_unified(t *testing.T) {
	h, ok := hierarchies(slurp("/proc/self/cgroup"), slurp("/proc/self/mountinfo"))[""]
	if !ok {
		t.Skip("no version 2 hierarchy here")
	}
	dir := filepath.Join(h.own, cgroupPrefix+newKey())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no group can be made here: %v", err)
	}
	c := &cgroup{unified: dir}
	defer c.remove()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attr := &syscall.SysProcAttr{}
	leave, err := c.enter(attr)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "600"}, &syscall.ProcAttr{Sys: attr})
	leave()
	if err != nil {
		t.Fatal(err)
	}
	groups := slurp(fmt.Sprintf("/proc/%d/cgroup", pid))
	syscall.Kill(pid, syscall.SIGKILL)
	syscall.Wait4(pid, nil, 0, nil)
	if !strings.Contains(groups, filepath.Base(dir)) {
		t.Errorf("the process is in %q, want it in %s", groups, dir)
	}
	c.remove()
	if exists(dir, "") {
		t.Errorf("%s is left", dir)
	}
}

func TestRead_half_a_file_is_none(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"", `{"Phase":`} {
		if err := os.WriteFile(filepath.Join(dir, endFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := read[end](dir, endFile); ok || err != nil {
			t.Errorf("%q: %v, %v", content, ok, err)
		}
	}
}

func TestMakeSocketDir_refuses_what_is_not_ours(t *testing.T) {
	base := t.TempDir()
	open := filepath.Join(base, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(base, link); err != nil {
		t.Fatal(err)
	}
	for _, parent := range []string{open, link} {
		if err := makeSocketDir(filepath.Join(parent, "sub", "x.sock")); err == nil {
			t.Errorf("%s was taken", parent)
		}
	}
	if err := makeSocketDir(filepath.Join(base, "new", "sub", "x.sock")); err != nil {
		t.Error(err)
	}
}

func TestForkExec_file_that_is_still_open_for_writing(t *testing.T) {
	text, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "command")
	if err := os.WriteFile(path, text, 0o700); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{}); err != syscall.ETXTBSY {
		t.Fatalf("executed while it is written: %v, want ETXTBSY", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { writer.Close() })
	pid, err := forkExec(path, []string{path}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		t.Errorf("it ended with %v, %v, want 0", status, err)
	}
}
