// Package process runs tasks and services as local processes that outlive the
// server: each under a small supervisor of its own, everything remembered in
// files. It leaves what an image is to whoever gives it Prepare, and what a
// task means to its caller.
//
// The life of a task is the files in its folder, each written by
// write-then-rename: spec.json makes it Pending; a supervisor inherits the lock,
// writes started.json, runs the command and writes end.json. A lock that is
// free with a start and no end is a Lost task.
//
// Limits: memory and CPU by a control group where the machine lets us make one
// (version 1 or 2). Elsewhere the supervisor watches the resident memory of the
// tree, and CPU is not limited.
package process

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// Options of a Host. Dir and Supervisor are required, Prepare for services.
type Options struct {
	Dir        string   // state: Dir/tasks/<name>/…, Dir/services/<id>/<n>/…
	Supervisor []string // argv of a process that calls Supervise with its last argument, which is appended
	Slots      int      // tasks running at once; more wait in order of Ensure. 0: number of CPUs
	MaxLog     int64    // bytes of one log; 0 means 512 MiB
	// Prepare makes an image runnable on this machine. It is called again
	// after a restart and after a failure, and must survive both.
	Prepare func(ctx context.Context, image string) (Local, error)
	Log     *slog.Logger
}

// Local is an image as it can be started on this machine.
type Local struct {
	Command []string
	Dir     string
	Env     []string
}

// Host is this machine. It is a host.Tasks; Services is its other side.
type Host struct {
	opt Options
	log *slog.Logger

	mu      sync.Mutex
	queue   []waiting           // pending tasks in order of Ensure
	running map[string]bool     // tasks that hold a slot; true: our own child
	news    map[string]chan any // closed when there is something new of a task
	seq     int64
	closed  bool // Run is over: start nothing more

	kick     chan struct{} // something for Run to look at
	smu      sync.Mutex    // guards services and the appearance of their folders
	services map[ridgeline.DeploymentID]*service
	stopping bool
}

type waiting struct {
	seq  int64
	name string
}

var _ host.Tasks = (*Host)(nil)

// New finds what an earlier Host left in Dir. Tasks that are waiting are
// started by Run, or by the next Ensure.
func New(o Options) (*Host, error) {
	if o.Dir == "" || len(o.Supervisor) == 0 {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "a process host needs a folder for its state and the command of its supervisor")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if o.Slots <= 0 {
		o.Slots = runtime.NumCPU()
	}
	if o.MaxLog <= 0 {
		o.MaxLog = 512 << 20
	}
	h := &Host{opt: o, log: o.Log, running: map[string]bool{}, news: map[string]chan any{},
		kick: make(chan struct{}, 1), services: map[ridgeline.DeploymentID]*service{}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []string{h.tasksDir(), h.servicesDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	return h, h.load()
}

func (h *Host) tasksDir() string            { return filepath.Join(h.opt.Dir, "tasks") }
func (h *Host) taskDir(name string) string  { return filepath.Join(h.tasksDir(), name) }
func (h *Host) servicesDir() string         { return filepath.Join(h.opt.Dir, "services") }
func (h *Host) prod()                       { notify(h.kick) }
func (h *Host) serviceDir(id string) string { return filepath.Join(h.servicesDir(), id) }

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// load finds the tasks that wait and those that run. A lost one is buried.
func (h *Host) load() error {
	names, err := folders(h.tasksDir())
	if err != nil {
		return err
	}
	for _, name := range names {
		dir := h.taskDir(name)
		if exists(dir, endFile) {
			continue
		}
		st, err := look(dir)
		if err != nil {
			return err
		}
		switch st.Phase {
		case host.Running:
			h.running[name] = false
		case host.Pending:
			sp, _, err := read[spec](dir, specFile)
			if err != nil {
				return err
			}
			h.seq = max(h.seq, sp.Seq)
			h.queue = append(h.queue, waiting{sp.Seq, name})
		}
	}
	slices.SortFunc(h.queue, func(a, b waiting) int { return int(a.seq - b.seq) })
	return nil
}

// folders lists the names in dir, ours in the making left out.
func folders(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Run starts waiting tasks as places become free and keeps services as they
// are wanted. It returns nil when ctx is done and leaves everything running.
// Of several servers on one Dir only one is in Run at a time; the others wait.
func (h *Host) Run(ctx context.Context) error {
	only, err := h.alone(ctx)
	if err != nil || only == nil {
		return err
	}
	defer only.Close()
	h.clean()
	h.mu.Lock()
	h.closed = false
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.closed = true
		h.mu.Unlock()
	}()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		strangers := h.revisit()
		h.dispatch()
		services := h.reconcileAll(ctx, &wg)

		var again <-chan time.Time // never, when there is nothing to do
		switch {
		case strangers > 0:
			again = time.After(100 * time.Millisecond)
		case services > 0:
			again = time.After(time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-h.kick:
		case <-again:
		}
	}
}

// alone waits until no other process or Host is in Run on this Dir. It returns
// nil when ctx is done first.
func (h *Host) alone(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(h.opt.Dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for told := false; ; {
		err := relock(f, unix.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, errHeld) {
			f.Close()
			return nil, err
		}
		if !told {
			h.log.Warn("another server runs the tasks of this folder; waiting for it to end", "dir", h.opt.Dir)
			told = true
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, nil
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// clean removes what a server that was killed was in the middle of making or
// removing.
func (h *Host) clean() {
	for _, dir := range []string{h.tasksDir(), h.servicesDir()} {
		list, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range list {
			info, err := e.Info()
			// Another goroutine may be making one at this moment.
			if err == nil && strings.HasPrefix(e.Name(), ".") && time.Since(info.ModTime()) > time.Minute {
				os.RemoveAll(filepath.Join(dir, e.Name()))
			}
		}
	}
}
