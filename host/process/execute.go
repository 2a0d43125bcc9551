package process

import (
	"fmt"
	"os"
	ossignal "os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline/host"
)

// Execute runs a task's command in this process's own time, without a host
// and its folders: for what is the first process of a container. Its log grows
// as LogFile(dir), up to maxLog bytes; a value on stop ends it politely. It
// returns when nothing of the command is left. This process must have no other
// children, since it reaps all of them; limits are the container's to keep.
func Execute(dir string, t host.Task, maxLog int64, stop <-chan os.Signal) (host.TaskState, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return host.TaskState{}, fmt.Errorf("become child subreaper: %w", err)
	}
	// Caught, not ignored: an ignored signal would be ignored by the command too.
	ossignal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)
	log, err := openLog(dir, maxLog, false)
	if err != nil {
		return host.TaskState{}, err
	}
	e := run(spec{Name: t.Name, Key: newKey(), Command: t.Command, Dir: t.Dir, Env: t.Env, Timeout: t.Timeout, Grace: t.Grace}, log, stop)
	return e.state(), log.Close()
}

// LogFile is where Execute writes what the command says.
func LogFile(dir string) string { return filepath.Join(dir, logFile) }
