package process_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/host"
)

const withoutCgroups = `mount -t tmpfs none /sys/fs/cgroup && exec "$0" "$@"`

// TestHost_memory_limit_without_cgroups: a machine without control groups, as
// on a user's laptop, is watched by the supervisor.
func TestHost_memory_limit_without_cgroups(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("unshare", "-m", "sh", "-c", withoutCgroups, "true").CombinedOutput(); err != nil {
		t.Skipf("needs unshare and the right to mount: %v: %s", err, out)
	}
	o := options(t.TempDir())
	o.Supervisor = []string{"unshare", "-m", "sh", "-c", withoutCgroups, self(), "supervise"}
	path, err := exec.LookPath(o.Supervisor[0])
	if err != nil {
		t.Fatal(err)
	}
	o.Supervisor[0] = path
	// The environment of a supervisor is bare; sh finds mount all the same.
	h, _ := begin(t, o)
	task := script("hungry", `cat /proc/self/cgroup; head -c 400000000 /dev/zero | tail -n 1 | (sleep 20; head -c 1)`)
	task.Resources = host.Resources{Memory: 64 << 20, CPU: 1}
	if err := h.Ensure(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	st := waitFor(t, h, "hungry")
	if st.Reason != host.OutOfMemory || !strings.Contains(st.Message, "64 MiB") {
		t.Errorf("ended as %+v, want oom and its limit", st)
	}
	if st.Ended.Sub(st.Started) > 15*time.Second {
		t.Errorf("took %v to notice", st.Ended.Sub(st.Started))
	}
	if strings.Contains(logOf(t, h, "hungry"), "/ridgeline-") {
		t.Error("it ran in a control group; this test tests nothing")
	}
}

// TestHost_cpu_limit needs a machine that lets us make control groups.
func TestHost_cpu_limit(t *testing.T) {
	t.Parallel()
	h, _ := begin(t, options(t.TempDir()))
	task := script("busy", `cat /proc/self/cgroup; i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done`)
	task.Resources.CPU = 0.25
	if err := h.Ensure(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	st := waitFor(t, h, "busy")
	if !strings.Contains(logOf(t, h, "busy"), "/ridgeline-") {
		t.Skip("no control group can be made here")
	}
	if st.ExitCode != 0 || st.Usage.CPUSeconds > 0.25*st.Usage.WallSeconds+0.1 {
		t.Errorf("a quarter of a processor was allowed, ended as %+v", st)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/ridgeline-*"); len(left) > 0 && strings.Contains(logOf(t, h, "busy"), filepath.Base(left[0])) {
		t.Errorf("control groups %v are left", left)
	}
}

// TestHost_oom_of_a_worker: a pool that waits for ever for a worker the kernel
// killed is ended, not left hanging.
func TestHost_oom_of_a_worker(t *testing.T) {
	t.Parallel()
	h, _ := begin(t, options(t.TempDir()))
	task := script("pool", `cat /proc/self/cgroup; (head -c 400000000 /dev/zero | tail -n 1 >/dev/null); sleep 600`)
	task.Resources.Memory = 64 << 20
	task.Timeout = 10 * time.Second
	if err := h.Ensure(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	if st := waitFor(t, h, "pool"); st.Reason != host.OutOfMemory {
		t.Errorf("ended as %+v, want oom; its log:\n%s", st, logOf(t, h, "pool"))
	}
}
