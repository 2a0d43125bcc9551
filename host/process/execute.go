package process

import (
	"fmt"
	"os"
	ossignal "os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline/host"
)

// defaultGrace is a task's grace that names none; see host.Task.
const defaultGrace = 5 * time.Second

// Execute runs a task's command in this process's own time, without a host
// and its folders: for what is the first process of a container. Its log grows
// as LogFile(dir), up to maxLog bytes; a value on stop ends it politely. It
// returns when nothing of the command is left. This process must have no other
// children, since it reaps all of them; limits are the container's to keep.
// While it runs, used hears now and then what it has used; it must not wait.
func Execute(dir string, t host.Task, maxLog int64, stop <-chan os.Signal, used func(host.Measure)) (host.TaskState, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return host.TaskState{}, fmt.Errorf("become child subreaper: %w", err)
	}
	// Caught, not ignored: an ignored signal would be ignored by the command too.
	ossignal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)
	log, err := openLog(dir, maxLog, false)
	if err != nil {
		return host.TaskState{}, err
	}
	if t.Grace <= 0 {
		t.Grace = defaultGrace
	}
	group := own()
	before := group.oomKills()
	e := run(spec{Name: t.Name, Key: newKey(), Command: t.Command, Dir: t.Dir, Env: t.Env, Timeout: t.Timeout, Grace: t.Grace}, log, stop, used)
	if group.oomKills() > before && (e.Reason == host.OutOfMemory || e.Reason == host.Exited && e.ExitCode != 0) {
		e.Reason, e.ExitCode = host.OutOfMemory, 0
		e.Message = fmt.Sprintf("used more than its memory limit of %s and was killed; raise the limit or use less", size(t.Resources.Memory))
	}
	return e.state(), log.Close()
}

// own is the control group of this process, to be looked at: in a container,
// the container's, whose limits its command is in.
func own() *cgroup {
	h := hierarchies(slurp("/proc/self/cgroup"), slurp("/proc/self/mountinfo"))
	return &cgroup{memory: h["memory"].own, unified: h[""].own}
}

// LogFile is where Execute writes what the command says.
func LogFile(dir string) string { return filepath.Join(dir, logFile) }
