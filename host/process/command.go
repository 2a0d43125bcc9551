package process

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

const (
	taskVariable   = "RIDGELINE_TASK"
	keyVariable    = "RIDGELINE_TASK_KEY"
	listenVariable = "RIDGELINE_LISTEN"
)

// linger is how long what a command left behind may take to go by itself.
// Python's resource tracker, for one, cleans up just after its parent.
const linger = 50 * time.Millisecond

// What a command has used is told first after firstTold, then after twice the
// time, and at last every seldomTold.
const (
	firstTold  = time.Second
	seldomTold = 10 * time.Second
)

// command is one run of a spec's command, watched to the end of everything it
// started.
type command struct {
	spec   spec
	group  *cgroup
	pid    int
	exited chan syscall.WaitStatus // of the command itself
	gone   chan struct{}           // nothing it started is left
	peak   int64
	reason host.EndReason
	status *syscall.WaitStatus

	began time.Time
	base  syscall.Rusage // of children, before it began
	tell  func(host.Measure)
	next  time.Duration // when tell is due, since it began
	used  recorder
}

// run runs the spec's command once and returns when nothing of it is left and
// all it wrote is in the log. A value on stop ends it politely. While it runs,
// tell hears now and then what it has used, for the case that nobody is left to
// say so at the end; nil for nobody.
func run(sp spec, log io.Writer, stop <-chan os.Signal, tell func(host.Measure)) end {
	c := &command{spec: sp, exited: make(chan syscall.WaitStatus, 1), gone: make(chan struct{}), tell: tell, next: firstTold, base: childUsage()}
	c.group = newCgroup(sp.Key, sp.Resources)
	defer c.group.remove()
	before := oomKills()
	e := end{Phase: host.Ended, Started: time.Now()}
	c.began, c.used.course = e.Started, ridgeline.NewCourse(e.Started.UTC().Round(time.Millisecond))

	out, err := c.start(log)
	if err != nil {
		e.Reason, e.Message, e.Ended = host.NotStarted, err.Error(), time.Now()
		return e
	}
	c.watch(stop)
	out()
	e.Ended = time.Now()
	e.Usage = usage(c.base, childUsage(), c.peak)
	e.Usage.WallSeconds = e.Ended.Sub(e.Started).Seconds()
	e.Course = c.used.end(e.Usage)
	c.judge(&e, before)
	return e
}

// start starts the command. The function it returns waits until all that was
// written is in the log; it may be called when everything is dead.
func (c *command) start(log io.Writer) (drain func(), err error) {
	env := environment(c.spec)
	path, err := lookPath(c.spec.Command, c.spec.Dir, env)
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	if err := unix.SetNonblock(fd[0], true); err != nil { // the command's own end stays blocking
		unix.Close(fd[0])
		unix.Close(fd[1])
		return nil, fmt.Errorf("pipe: %w", err)
	}
	r, w := os.NewFile(uintptr(fd[0]), "output"), os.NewFile(uintptr(fd[1]), "output")

	begun := make(chan error)
	go c.parent(path, env, []*os.File{null, w, w}, begun)
	err = <-begun
	w.Close()
	if err != nil {
		r.Close()
		return nil, c.explain(path, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			_, _ = log.Write(buf[:n]) // a logbook keeps going: it remembers what its file would not take
			if err != nil {
				return
			}
		}
	}()
	return func() {
		// A stranger may hold the pipe open, so there may be no end of file; but
		// what the dead have written is in the pipe by now.
		_ = r.SetReadDeadline(time.Unix(1, 0)) // cannot fail on a pipe that does not block
		<-read
		buf := make([]byte, 64<<10)
		for {
			n, err := unix.Read(fd[0], buf)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 {
				break
			}
			_, _ = log.Write(buf[:n]) // a logbook keeps going: it remembers what its file would not take
		}
		r.Close()
	}, nil
}

// parent is the goroutine whose thread is the command's parent in the eyes of
// the kernel: it must not end before the command does (PR_SET_PDEATHSIG), and
// as child subreaper it inherits and reaps whatever the command leaves behind.
func (c *command) parent(path string, env []string, files []*os.File, begun chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	leave, err := c.group.enter(attr)
	if err != nil {
		begun <- fmt.Errorf("enter the control group: %w", err)
		return
	}
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	c.pid, err = forkExec(path, c.spec.Command, &syscall.ProcAttr{Dir: c.spec.Dir, Env: env, Files: fds, Sys: attr})
	leave()
	if err == nil && !c.spec.Service {
		// When the whole machine runs out of memory, better a step that can be
		// repeated than the server.
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", c.pid), []byte("500"), 0)
	}
	begun <- err
	if err != nil {
		return
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil: // ECHILD: nothing is left
			close(c.gone)
			return
		case pid == c.pid:
			c.exited <- status
		}
	}
}

// watch follows the command until nothing of it is left.
func (c *command) watch(stop <-chan os.Signal) {
	next := time.NewTimer(0) // of what is to be done to those who are left
	next.Stop()
	var timeout <-chan time.Time
	if c.spec.Timeout > 0 {
		t := time.NewTimer(c.spec.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	watching := !c.group.limitsMemory() && c.spec.Resources.Memory > 0
	pause := 20 * time.Millisecond
	sample := time.NewTimer(pause)
	defer sample.Stop()

	var todo syscall.Signal // what next will send
	ask := func(reason host.EndReason, sig syscall.Signal) {
		// A task that ended by itself keeps its end while its leftovers go.
		if c.reason == "" && (c.status == nil || c.spec.Service) {
			c.reason = reason
			todo = sig
			next.Reset(0)
		}
	}
	again := 10 * time.Millisecond
	for {
		select {
		case <-c.gone:
			if c.status == nil {
				s := <-c.exited
				c.status = &s
			}
			return
		case s := <-c.exited:
			c.status = &s
			if todo == 0 {
				todo = syscall.SIGTERM
				next.Reset(linger)
			} else if c.spec.Service {
				next.Reset(linger) // it had the signal alone; now for those it left
			}
		case <-stop:
			ask(host.Killed, syscall.SIGTERM)
		case <-timeout:
			ask(host.TimedOut, syscall.SIGTERM)
		case <-next.C:
			c.signal(todo)
			if todo == syscall.SIGTERM {
				next.Reset(c.spec.Grace)
				todo = syscall.SIGKILL
			} else {
				next.Reset(again)
				again = min(again*2, time.Second)
			}
		case <-sample.C:
			begin := time.Now()
			rss, cpu := c.sample(watching)
			c.peak = max(c.peak, rss)
			c.used.look(time.Since(c.began), cpu, rss)
			c.tellUsed()
			if watching && rss > c.spec.Resources.Memory || c.group.oomKills() > 0 {
				ask(host.OutOfMemory, syscall.SIGKILL)
			}
			// Looking may take at most a hundredth of one processor, a twentieth
			// where it is all that guards the memory.
			limit, share := time.Second, time.Duration(100)
			if watching {
				limit, share = 100*time.Millisecond, 20
			}
			pause = min(pause*2, limit)
			sample.Reset(max(pause, share*time.Since(begin)))
		}
	}
}

// signal sends sig to all that the command started. A service is asked to stop
// through its first process alone, which may need the others to finish what it
// holds.
func (c *command) signal(sig syscall.Signal) {
	if c.status == nil {
		if c.spec.Service && sig == syscall.SIGTERM {
			syscall.Kill(c.pid, sig)
			return
		}
		syscall.Kill(-c.pid, sig)
	}
	tree, err := below(os.Getpid())
	if err != nil {
		return
	}
	for _, p := range tree {
		if !p.zombie && (p.pid != c.pid || c.status != nil) {
			syscall.Kill(p.pid, sig)
		}
	}
}

// tellUsed says what was used up to now, when it is time.
func (c *command) tellUsed() {
	wall := time.Since(c.began)
	if c.tell == nil || wall < c.next {
		return
	}
	c.next = wall + min(wall, seldomTold)
	c.tell(host.Measure{Usage: ridgeline.Usage{WallSeconds: wall.Seconds(), CPUSeconds: c.used.cpu, PeakMemory: c.peak}, Course: c.used.course})
}

// sample measures the resident memory of all that the command started and that
// lives, and the processor seconds of that and of what was reaped. Pages that several of them share count
// several times; exact looks closer, but only if the sum is over the limit.
func (c *command) sample(exact bool) (memory int64, cpu float64) {
	cpu = cpuOf(childUsage()) - cpuOf(c.base) // first: what ends meanwhile is missed once, and not counted twice
	tree, err := below(os.Getpid())
	if err != nil {
		return 0, cpu
	}
	var sum int64
	for _, p := range tree {
		sum += p.rss
		cpu += p.cpu
	}
	if !exact || len(tree) < 2 || sum <= c.spec.Resources.Memory {
		return sum, cpu
	}
	var fair int64
	for _, p := range tree {
		n, ok := proportional(p.pid)
		if !ok {
			n = p.rss
		}
		fair += n
	}
	return fair, cpu
}

// judge says how it ended. oomBefore is the machine's count of kills for want
// of memory before the command began.
func (c *command) judge(e *end, oomBefore int64) {
	s := *c.status
	if s.Signaled() {
		e.ExitCode = 128 + int(s.Signal())
	} else {
		e.ExitCode = s.ExitStatus()
	}
	limit := size(c.spec.Resources.Memory)
	e.Reason = c.reason
	switch {
	case c.reason == host.Killed:
		e.Message = "killed on request"
	case c.reason == host.TimedOut:
		e.Message = fmt.Sprintf("did not end within its timeout of %v and was stopped; raise the timeout or do less", c.spec.Timeout)
	case c.reason == host.OutOfMemory || c.group.oomKills() > 0 && e.ExitCode != 0:
		e.Reason = host.OutOfMemory
		e.Message = fmt.Sprintf("used more than its memory limit of %s and was killed; raise the limit or use less", limit)
	case s.Signaled() && s.Signal() == syscall.SIGKILL && oomBefore >= 0 && oomKills() > oomBefore:
		e.Reason = host.OutOfMemory
		e.Message = "killed by the kernel: the machine had no memory left; give it a limit, a larger machine, or run less at once"
	default:
		e.Reason = host.Exited
		switch {
		case s.Signaled():
			e.Message = fmt.Sprintf("ended by signal %d (%v)", int(s.Signal()), s.Signal())
		case e.ExitCode != 0:
			e.Message = fmt.Sprintf("exited with code %d", e.ExitCode)
		}
	}
	if e.Reason != host.Exited {
		e.ExitCode = 0
	}
}

func cpuOf(u syscall.Rusage) float64 { return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9 }

func childUsage() syscall.Rusage {
	var u syscall.Rusage
	syscall.Getrusage(unix.RUSAGE_CHILDREN, &u)
	return u
}

// usage is the difference between two getrusage(2) of all that was reaped, and
// the larger of the memory sampled and the kernel's own high-water mark.
func usage(before, after syscall.Rusage, peak int64) ridgeline.Usage {
	// A process inherits the mark of the one that forked it: up to our own size
	// it says nothing of the command.
	var self syscall.Rusage
	syscall.Getrusage(unix.RUSAGE_SELF, &self)
	if mark := after.Maxrss << 10; after.Maxrss > self.Maxrss || peak == 0 {
		peak = max(peak, mark)
	}
	return ridgeline.Usage{CPUSeconds: cpuOf(after) - cpuOf(before), PeakMemory: peak}
}
