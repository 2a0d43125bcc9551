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

// The pauses before a copy that exited is started again.
const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 30 * time.Second
	steady       = 60 * time.Second // up for so long: the next pause is the first again
)

// reserve is kept on the disk while a command runs and given back at its end,
// for the end itself and the last of its log: 64 KiB and a little.
const reserve = 128 << 10

// Supervise is the whole life of a supervisor process: it runs what the folder
// asks for, and returns the exit code of the process. It is started by a Host,
// from which it inherits the folder's lock; it outlives that Host.
func Supervise(dir string) int {
	if os.Getenv(supervising) == "" {
		fmt.Fprintln(os.Stderr, "supervise is started by the server, for each task it runs; it does nothing by hand")
		return 2
	}
	unix.CloseOnExec(lockFD)
	unix.CloseOnExec(noticeFD)
	stop := make(chan os.Signal, 1)
	ossignal.Notify(stop, syscall.SIGTERM)
	// Caught, not ignored: an ignored signal would be ignored by the command too.
	ossignal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2)

	sp, ok, err := read[spec](dir, specFile)
	if err != nil || !ok {
		fmt.Fprintf(os.Stderr, "supervise %s: the description of the task cannot be read: %v\n", dir, err)
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintf(os.Stderr, "supervise %s: become child subreaper: %v\n", dir, err)
		return 1
	}
	log, err := openLog(dir, sp.MaxLog, sp.Service)
	if err != nil {
		fmt.Fprintf(os.Stderr, "supervise %s: %v\n", dir, err)
		return 1
	}
	// From here on the command counts as started.
	if err := write(dir, startedFile, started{PID: os.Getpid(), Boot: bootID(), At: time.Now()}); err != nil {
		fmt.Fprintf(os.Stderr, "supervise %s: %v\n", dir, err)
		return 1
	}
	// Best effort: without it, a disk that the command fills holds up its end.
	_ = os.WriteFile(filepath.Join(dir, reserveFile), make([]byte, reserve), 0o600)
	var e end
	if sp.Service {
		e = keepUp(dir, sp, log, stop)
	} else {
		e = run(sp, log, stop, func(m host.Measure) { _ = write(dir, usedFile, m) }) // of use only when this process is killed
	}
	_ = os.Remove(filepath.Join(dir, reserveFile))
	log.Close()
	// The environment may hold secrets and is of no more use. (A copy that
	// comes back has its own written anew.)
	sp.Env = nil
	if err := write(dir, specFile, sp); err != nil {
		fmt.Fprintf(os.Stderr, "supervise %s: forget the environment: %v\n", dir, err)
	}
	return finish(dir, e)
}

// finish writes the end. A full disk must not turn a good end into a lost one,
// so it tries for some minutes.
func finish(dir string, e end) int {
	var err error
	for pause := 10 * time.Millisecond; pause < 2*time.Minute; pause *= 2 {
		if err = write(dir, endFile, e); err == nil {
			unix.Close(noticeFD)
			return 0
		}
		if !exists(dir, specFile) {
			return 1 // the folder is gone: nobody asks any more
		}
		time.Sleep(pause)
	}
	fmt.Fprintf(os.Stderr, "supervise %s: write the end: %v\n", dir, err)
	return 1
}

// keepUp starts the command again whenever it exits, until told to stop.
func keepUp(dir string, sp spec, log *logbook, stop <-chan os.Signal) end {
	st, _, _ := read[copyState](dir, stateFile)
	pause := firstBackoff
	first := time.Now()
	for {
		if sp.Socket != "" {
			_ = os.MkdirAll(filepath.Dir(sp.Socket), 0o700) // without it the command says that it cannot listen
			os.Remove(sp.Socket)                            // left by one that was killed; nobody could listen there
		}
		e := run(sp, log, stop, nil)
		if e.Reason == host.Killed {
			if sp.Socket != "" {
				os.Remove(sp.Socket)
			}
			e.Started = first
			return e
		}
		if e.Ended.Sub(e.Started) >= steady {
			pause = firstBackoff
		}
		why := e.Message
		if why == "" {
			why = "exited with code 0, though it is to stay up"
		}
		st.Restarts++
		st.Message = why
		_ = write(dir, stateFile, st) // a count for people; the next restart writes it anew
		fmt.Fprintf(log, "ridgeline: %s; starting it again in %v\n", why, pause)
		select {
		case <-stop:
			return end{Phase: host.Ended, Reason: host.Killed, Message: "killed on request", Started: first, Ended: time.Now()}
		case <-time.After(pause):
		}
		pause = min(pause*2, lastBackoff)
	}
}
