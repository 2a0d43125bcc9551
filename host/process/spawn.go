package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline/host"
)

// What the supervisor inherits. The lock belongs to the open file, not to a
// process, so it passes from server to supervisor without ever being free.
const (
	lockFD   = 3
	noticeFD = 4 // closed when there is news: the end is written, or the supervisor died
)

// supervising is in the supervisor's own environment, never in the command's.
const supervising = "RIDGELINE_SUPERVISES"

var errHeld = errors.New("somebody holds the lock")

// lock takes the lock of a folder without waiting: exclusive for who starts or
// buries what is in it, shared for who only asks whether it is free.
func lock(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := relock(f, how); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func relock(f *os.File, how int) error {
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return errHeld
		default:
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// lockSoon is lock for one who may have to wait a moment for those who only
// ask. It gives up with errHeld when a supervisor has it.
func lockSoon(dir string) (*os.File, error) {
	for until := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		f, err := lock(dir, unix.LOCK_EX)
		if !errors.Is(err, errHeld) || exists(dir, startedFile) || time.Now().After(until) {
			return f, err
		}
	}
}

// spawn starts the supervisor of dir, whose lock the caller holds and thereby
// hands over. It returns the supervisor and a channel that is closed when its
// end is written or it is dead.
//
// The supervisor stays a child: a server that lives reaps it, and one that
// died leaves it to init. A double fork would start the large binary twice and
// would pile up zombies where the server itself is process 1 of a container.
func (h *Host) spawn(dir, name string, held *os.File) (*os.Process, <-chan struct{}, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	// What the supervisor itself has to say (a panic) stands in the log too.
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	// Two threads of Go are enough for it, and start sooner than 64.
	env := []string{supervising + "=" + name, "GOMAXPROCS=2"}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "LD_LIBRARY_PATH=") { // or the binary may not load
			env = append(env, v)
		}
	}
	argv := append(append([]string{}, h.opt.Supervisor...), dir)
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: []*os.File{null, null, log, held, w},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("start the supervisor %s: %w", argv[0], err)
	}
	news := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, r) // until its writers are gone
		r.Close()
		close(news)
	}()
	return p, news, nil
}

// look reports what the folder of a task says. A task whose supervisor is gone
// without an end is buried first: nothing of it runs when Lost is reported.
func look(dir string) (host.TaskState, error) {
	if e, ok, err := read[end](dir, endFile); ok || err != nil {
		return e.state(), err
	}
	f, err := lock(dir, unix.LOCK_SH)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return host.TaskState{Phase: host.Absent}, nil
	case errors.Is(err, errHeld):
		return underWay(dir)
	case err != nil:
		return host.TaskState{}, err
	}
	defer f.Close()
	if e, ok, err := read[end](dir, endFile); ok || err != nil { // it ended between the two looks
		return e.state(), err
	}
	if !exists(dir, startedFile) {
		return host.TaskState{Phase: host.Pending}, nil
	}
	if err := relock(f, unix.LOCK_EX); err != nil {
		return underWay(dir) // another one is burying it
	}
	return bury(dir)
}

func underWay(dir string) (host.TaskState, error) {
	s, ok, err := read[started](dir, startedFile)
	if err != nil || !ok {
		return host.TaskState{Phase: host.Pending}, err
	}
	used, _, err := read[host.Measure](dir, usedFile)
	st := host.TaskState{Phase: host.Running, Started: s.At, Usage: used.Usage, Course: used.Course}
	st.Usage.WallSeconds = time.Since(s.At).Seconds()
	return st, err
}

// bury kills what a dead supervisor left behind and writes the task down as
// Lost. The caller holds the lock.
func bury(dir string) (host.TaskState, error) {
	if e, ok, err := read[end](dir, endFile); ok || err != nil {
		return e.state(), err
	}
	s, _, err := read[started](dir, startedFile)
	if err != nil {
		return host.TaskState{}, err
	}
	if err := sweep(dir); err != nil {
		return host.TaskState{}, err
	}
	used, _, err := read[host.Measure](dir, usedFile)
	if err != nil {
		return host.TaskState{}, err
	}
	e := end{Phase: host.Lost, Started: s.At, Ended: time.Now(), Usage: used.Usage, Course: used.Course,
		Message: "what ran it is gone without leaving an end (killed, or the machine went down); start it again under another name"}
	return e.state(), write(dir, endFile, e)
}

// sweep kills whatever a dead supervisor's command left running.
func sweep(dir string) error {
	sp, ok, err := read[spec](dir, specFile)
	if err != nil || !ok {
		return err
	}
	s, _, err := read[started](dir, startedFile)
	if err != nil {
		return err
	}
	session := 0
	if s.Boot == bootID() {
		session = s.PID
	}
	if err := killMarked(sp.Key, session, 10*time.Second); err != nil {
		return err
	}
	removeCgroups(sp.Key)
	return nil
}

// signal sends sig to the supervisor of dir. The lock says that it lives, so
// the number it wrote down is still its own. It reports whether it was sent.
func signal(dir string, sig syscall.Signal) bool {
	s, ok, err := read[started](dir, startedFile)
	if err != nil || !ok || s.PID <= 1 {
		return false
	}
	f, err := lock(dir, unix.LOCK_SH)
	if err == nil {
		f.Close()
		return false
	}
	return errors.Is(err, errHeld) && syscall.Kill(s.PID, sig) == nil
}
