package process

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// The files in the folder of one task or copy. Their order of appearance is
// the state machine: spec (Pending), started (Running while the lock is held,
// Lost when it is free), end.
const (
	specFile    = "spec.json"
	lockFile    = "lock" // held by the supervisor from before its start until it is gone
	startedFile = "started.json"
	usedFile    = "used.json" // of a task: what it had used up to some moment
	endFile     = "end.json"
	stateFile   = "state.json" // of a copy: how often it was started again
	logFile     = "log"
	oldLogFile  = "log.1" // of a copy: what was written before
	reserveFile = "reserve"
)

// spec is all that the supervisor has to know. It may hold secrets in Env, so
// it and its folder are the owner's alone.
type spec struct {
	Name      string // what RIDGELINE_TASK says
	Key       string // tells this start from every other on the machine: RIDGELINE_TASK_KEY
	Seq       int64  // order of Ensure
	Command   []string
	Dir       string
	Env       []string
	Timeout   time.Duration
	Grace     time.Duration
	Resources host.Resources
	MaxLog    int64

	Service bool   // keep it running: start it again when it exits
	Socket  string // of a copy: where it is to listen
	Check   string // of a copy: hash of what was wanted, to see a change
}

// started is written before the command is, so that a command whose start is
// in doubt is never started twice.
type started struct {
	PID  int // of the supervisor, which is also its session's id
	Boot string
	At   time.Time
}

// end is the last word on a task.
type end struct {
	Phase    host.Phase // Ended or Lost
	Reason   host.EndReason
	ExitCode int
	Message  string
	Started  time.Time
	Ended    time.Time
	Usage    ridgeline.Usage
	Course   ridgeline.Course
}

func (e end) state() host.TaskState {
	return host.TaskState{Phase: e.Phase, Reason: e.Reason, ExitCode: e.ExitCode, Message: e.Message,
		Started: e.Started, Ended: e.Ended, Usage: e.Usage, Course: e.Course}
}

// copyState is what the supervisor of a copy tells of it.
type copyState struct {
	Restarts int
	Message  string // why it ended the last time
}

// write puts v into dir/name so that a reader sees the old content or the new.
// There is no fsync: after a power cut a task is Lost whatever its files say,
// and whoever saw an end has written it down elsewhere.
func write(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "."+name+"."+newKey()[:8])
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}

// read reports whether dir/name is there and whole. A file that cannot be
// understood (a power cut can leave an empty one) counts as not there.
func read[T any](dir, name string) (T, bool, error) {
	var v T
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	if json.Unmarshal(b, &v) != nil {
		return *new(T), false, nil
	}
	return v, true, nil
}

func exists(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
}

func newKey() string {
	var b [8]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

func checkName(kind, name string) error {
	ok := name != "" && len(name) <= 200 && name[0] != '.'
	for _, c := range name {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-')
	}
	if !ok {
		return ridgeline.Errorf(ridgeline.Invalid, "%s name %q: use 1 to 200 letters, digits, dots and dashes, not starting with a dot", kind, name)
	}
	return nil
}

// size writes a number of bytes as people do.
func size(n int64) string {
	for _, u := range []struct {
		unit string
		of   int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.of {
			return fmt.Sprintf("%.4g %s", float64(n)/float64(u.of), u.unit)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
