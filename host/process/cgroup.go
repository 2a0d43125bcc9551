package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline/host"
)

const cgroupPrefix = "ridgeline-"

// A hierarchy is a mounted tree of control groups and our own place in it.
type hierarchy struct {
	mount string
	own   string // folder of the group we are in
}

// A cgroup limits one command, as far as this machine lets us: a controller
// that is absent or not ours to write leaves its field empty.
type cgroup struct {
	unified      string // version 2: one folder
	memory, cpu  string // version 1: one folder each
	memoryParent string
	cpuParent    string
}

// newCgroup makes groups for the limits in r. It returns nil when there is
// nothing to limit or no group could be made.
func newCgroup(key string, r host.Resources) *cgroup {
	if r.Memory <= 0 && r.CPU <= 0 {
		return nil
	}
	h := hierarchies(slurp("/proc/self/cgroup"), slurp("/proc/self/mountinfo"))
	c := &cgroup{}
	if m, ok := h["memory"]; ok && r.Memory > 0 {
		c.memory = makeV1(m, key, [][2]string{{"memory.limit_in_bytes", fmt.Sprint(r.Memory)}})
		c.memoryParent = m.own
		if c.memory != "" { // absent where swap is not accounted for
			_ = set(c.memory, "memory.memsw.limit_in_bytes", fmt.Sprint(r.Memory))
		}
	}
	if m, ok := h["cpu"]; ok && r.CPU > 0 {
		c.cpu = makeV1(m, key, [][2]string{{"cpu.cfs_period_us", "100000"}, {"cpu.cfs_quota_us", fmt.Sprint(int64(r.CPU * 100000))}})
		c.cpuParent = m.own
	}
	if m, ok := h[""]; ok && c.memory == "" && c.cpu == "" {
		c.unified = makeV2(m, key, r)
	}
	if c.memory == "" && c.cpu == "" && c.unified == "" {
		return nil
	}
	return c
}

func makeV1(h hierarchy, key string, limits [][2]string) string {
	dir := filepath.Join(h.own, cgroupPrefix+key)
	if os.Mkdir(dir, 0o755) != nil {
		return ""
	}
	for _, l := range limits {
		if set(dir, l[0], l[1]) != nil {
			os.Remove(dir)
			return ""
		}
	}
	return dir
}

// makeV2 makes a group beside ours or, where we are at the top of what was
// given to us, below ours. Version 2 gives no controllers to the children of a
// group that has processes of its own, so below works only for the real root.
func makeV2(h hierarchy, key string, r host.Resources) string {
	for _, parent := range v2Parents(h) {
		dir := filepath.Join(parent, cgroupPrefix+key)
		want := ""
		if r.Memory > 0 {
			want += " +memory"
		}
		if r.CPU > 0 {
			want += " +cpu"
		}
		_ = set(parent, "cgroup.subtree_control", strings.TrimSpace(want)) // often set already, or not ours to set; the limits below tell
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		ok := true
		if r.Memory > 0 {
			ok = set(dir, "memory.max", fmt.Sprint(r.Memory)) == nil
			_ = set(dir, "memory.swap.max", "0") // absent where swap is not accounted for
			_ = set(dir, "memory.oom.group", "1")
		}
		if r.CPU > 0 {
			ok = ok && set(dir, "cpu.max", fmt.Sprintf("%d 100000", int64(r.CPU*100000))) == nil
		}
		if ok {
			return dir
		}
		os.Remove(dir)
	}
	return ""
}

func v2Parents(h hierarchy) []string {
	if h.own == h.mount {
		return []string{h.own}
	}
	return []string{filepath.Dir(h.own), h.own}
}

// hierarchies reads proc_pid_cgroup and proc_pid_mountinfo (cgroups(7), proc(5))
// and returns our place by version 1 controller; "" is version 2.
func hierarchies(groups, mounts string) map[string]hierarchy {
	paths := map[string]string{}
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 {
			for c := range strings.SplitSeq(f[1], ",") {
				paths[c] = f[2]
			}
		}
	}
	out := map[string]hierarchy{}
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		root, mount := f[3], f[4]
		var controllers []string
		switch g[0] {
		case "cgroup2":
			controllers = []string{""}
		case "cgroup":
			controllers = strings.Split(g[2], ",")
		}
		for _, c := range controllers {
			path, ok := paths[c]
			if !ok {
				continue
			}
			own := filepath.Join(mount, strings.TrimPrefix(path, strings.TrimSuffix(root, "/")))
			if st, err := os.Stat(own); err != nil || !st.IsDir() {
				own = mount // our path is told as the machine outside this container sees it
			}
			out[c] = hierarchy{mount: mount, own: own}
		}
	}
	return out
}

// enter makes what the calling thread forks next start inside the group, and
// returns the way back. The caller's goroutine is locked to its thread.
func (c *cgroup) enter(attr *syscall.SysProcAttr) (leave func(), err error) {
	if c == nil {
		return func() {}, nil
	}
	if c.unified != "" {
		fd, err := unix.Open(c.unified, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		attr.UseCgroupFD, attr.CgroupFD = true, fd
		return func() { unix.Close(fd) }, nil
	}
	// Version 1 places threads, and a child begins where the thread was that
	// forked it; so the supervisor as a whole never counts against the limit.
	tid := strconv.Itoa(unix.Gettid())
	leave = func() {
		if c.memory != "" {
			_ = set(c.memoryParent, "tasks", tid)
		}
		if c.cpu != "" {
			_ = set(c.cpuParent, "tasks", tid)
		}
	}
	for _, dir := range []string{c.memory, c.cpu} {
		if dir != "" {
			if err := set(dir, "tasks", tid); err != nil {
				leave()
				return nil, err
			}
		}
	}
	return leave, nil
}

// limitsMemory reports whether the kernel watches the memory limit.
func (c *cgroup) limitsMemory() bool {
	return c != nil && (c.memory != "" || c.unified != "")
}

// oomKills counts what the kernel killed in the group for want of memory.
func (c *cgroup) oomKills() int64 {
	switch {
	case c == nil:
		return 0
	case c.memory != "":
		return max(0, counter([]byte(slurp(filepath.Join(c.memory, "memory.oom_control"))), "oom_kill"))
	case c.unified != "":
		return max(0, counter([]byte(slurp(filepath.Join(c.unified, "memory.events"))), "oom_kill"))
	}
	return 0
}

// remove takes the groups away; they are empty once everything in them died,
// but the kernel may need a moment to see it.
func (c *cgroup) remove() {
	if c == nil {
		return
	}
	for _, dir := range []string{c.memory, c.cpu, c.unified} {
		if dir != "" {
			removeGroup(dir)
		}
	}
}

func removeGroup(dir string) {
	for range 50 {
		if err := unix.Rmdir(dir); err != unix.EBUSY {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// removeCgroups takes away the groups of a command whose supervisor died.
func removeCgroups(key string) {
	for c, h := range hierarchies(slurp("/proc/self/cgroup"), slurp("/proc/self/mountinfo")) {
		parents := []string{h.own}
		if c == "" {
			parents = v2Parents(h)
		}
		for _, p := range parents {
			removeGroup(filepath.Join(p, cgroupPrefix+key))
		}
	}
}

func set(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func slurp(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}
