package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// proc is one line of /proc.
type proc struct {
	pid, ppid, session int
	zombie             bool
	rss                int64   // bytes
	cpu                float64 // seconds, with those of children that were waited for
}

// userHz is the unit of times in /proc: 100 on every architecture that Go has
// (Linux's USER_HZ).
const userHz = 100

// procs lists every process of this machine. Those that vanish meanwhile are
// left out.
func procs() ([]proc, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return nil, err
	}
	list := make([]proc, 0, len(names))
	buf := make([]byte, 1024)
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if p, ok := parseStat(pid, readSmall("/proc/"+n+"/stat", buf)); ok {
			list = append(list, p)
		}
	}
	return list, nil
}

// parseStat reads proc_pid_stat(5). The command's name may hold anything, so
// fields are counted from its closing parenthesis.
func parseStat(pid int, b []byte) (proc, bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return proc{}, false
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 22 {
		return proc{}, false
	}
	p := proc{pid: pid, zombie: f[0] == "Z" || f[0] == "X"}
	p.ppid, _ = strconv.Atoi(f[1])
	p.session, _ = strconv.Atoi(f[3])
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	p.rss = pages * int64(os.Getpagesize())
	for _, ticks := range f[11:15] {
		n, _ := strconv.ParseFloat(ticks, 64)
		p.cpu += n / userHz
	}
	return p, true
}

func readSmall(path string, buf []byte) []byte {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	n, err := syscall.Read(fd, buf)
	if err != nil || n < 0 {
		return nil
	}
	return buf[:n]
}

// below lists every process that descends from root, root left out. With root
// a child subreaper this is all that was ever started under it and still lives.
func below(root int) ([]proc, error) {
	all, err := procs()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]proc, len(all))
	for _, p := range all {
		children[p.ppid] = append(children[p.ppid], p)
	}
	tree := children[root]
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree, nil
}

// killMarked kills every process that carries key in its environment, and
// every one of session if its leader is gone (a process may have written over
// its environment, setproctitle does). It returns when none is left.
func killMarked(key string, session int, patience time.Duration) error {
	mark := []byte("\x00" + keyVariable + "=" + key + "\x00")
	for until := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		all, err := procs()
		if err != nil {
			return err
		}
		leaderless := session > 1
		for _, p := range all {
			if p.pid == session && !p.zombie { // the number was given out again
				leaderless = false
			}
		}
		left := 0
		for _, p := range all {
			if p.zombie || p.pid == os.Getpid() {
				continue
			}
			if leaderless && p.session == session || bytes.Contains(environ(p.pid), mark) {
				left = p.pid
				syscall.Kill(p.pid, syscall.SIGKILL)
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("process %d does not die of SIGKILL after %v; look whether it hangs in the kernel (ps -o stat,wchan -p %d)", left, patience, left)
		}
	}
}

func environ(pid int) []byte {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil // gone, or another user's
	}
	return append([]byte{0}, b...)
}

// proportional is what a process takes with shared pages divided among those
// who share them. It costs the kernel a walk over the whole address space.
func proportional(pid int) (int64, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "Pss:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err == nil
		}
	}
	return 0, false
}

// bootID tells one boot of this machine from the next; process numbers mean
// nothing across it.
var bootID = sync.OnceValue(func() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
})

// oomKills counts what the kernel has killed for want of memory since boot;
// -1 where it does not say.
func oomKills() int64 {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return -1
	}
	return counter(b, "oom_kill")
}

// counter finds "name number" on a line of its own.
func counter(b []byte, name string) int64 {
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == name {
			n, err := strconv.ParseInt(string(f[1]), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return -1
}
