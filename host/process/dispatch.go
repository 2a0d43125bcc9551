package process

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline/host"
)

// dispatch starts waiting tasks while there are free places.
func (h *Host) dispatch() {
	for {
		h.mu.Lock()
		if h.closed || len(h.queue) == 0 || len(h.running) >= h.opt.Slots {
			h.mu.Unlock()
			return
		}
		name := h.queue[0].name
		h.queue = slices.Delete(h.queue, 0, 1)
		h.running[name] = true
		h.mu.Unlock()
		h.begin(name)
	}
}

// begin starts one task that has been given a place.
func (h *Host) begin(name string) {
	dir := h.taskDir(name)
	held, err := lockSoon(dir)
	if err != nil { // removed, or started by another
		h.settle(name)
		return
	}
	if exists(dir, endFile) || exists(dir, startedFile) {
		held.Close()
		h.settle(name)
		return
	}
	p, news, err := h.spawn(dir, name, held)
	if err != nil {
		now := time.Now()
		werr := write(dir, endFile, end{Phase: host.Ended, Reason: host.NotStarted, Message: err.Error(), Started: now, Ended: now})
		held.Close()
		if werr != nil {
			h.log.Error("a task could not be started, nor this be written down", "task", name, "err", errors.Join(err, werr))
		}
		h.settle(name)
		return
	}
	held.Close() // the supervisor has it now
	go func() {
		<-news
		if exists(dir, endFile) {
			h.settle(name)
			p.Wait()
			return
		}
		st, _ := p.Wait()
		h.died(name, st)
		h.settle(name)
	}()
}

// died sees to a task whose supervisor ended without an end. If it had not
// begun, trying again would fail again.
func (h *Host) died(name string, st *os.ProcessState) {
	dir := h.taskDir(name)
	f, err := lock(dir, unix.LOCK_EX)
	if err != nil {
		return
	}
	defer f.Close()
	if exists(dir, startedFile) {
		_, err = bury(dir)
	} else if !exists(dir, endFile) {
		now := time.Now()
		err = write(dir, endFile, end{Phase: host.Ended, Reason: host.NotStarted, Started: now, Ended: now,
			Message: fmt.Sprintf("the supervisor %v ended before it began (%v); its log may say why", h.opt.Supervisor, st)})
	}
	if err != nil {
		h.log.Error("the supervisor of a task died, and this could not be written down", "task", name, "err", err)
	}
}

// settle gives the place of a task back if it runs no more, tells who waits
// for it, and starts the next.
func (h *Host) settle(name string) {
	st, err := look(h.taskDir(name))
	h.mu.Lock()
	switch {
	case err == nil && st.Phase == host.Running:
		h.running[name] = false // another's child: Run looks after it
	case err == nil && st.Phase == host.Pending:
		// Its lock was held all the time, or the disk is full: try again soon.
		delete(h.running, name)
		time.AfterFunc(time.Second, func() { h.enqueue(name) })
	default:
		delete(h.running, name)
	}
	h.mu.Unlock()
	h.tell(name)
	h.dispatch()
	h.prod()
}

// enqueue puts a task in its place among the waiting and starts what can be.
func (h *Host) enqueue(name string) {
	sp, ok, err := read[spec](h.taskDir(name), specFile)
	if err != nil || !ok {
		return
	}
	h.mu.Lock()
	at, found := slices.BinarySearchFunc(h.queue, sp.Seq, func(w waiting, seq int64) int { return int(w.seq - seq) })
	if !found {
		h.queue = slices.Insert(h.queue, at, waiting{sp.Seq, name})
	}
	h.mu.Unlock()
	h.dispatch()
}

// revisit looks after running tasks that are not our children and returns how
// many there are.
func (h *Host) revisit() int {
	h.mu.Lock()
	var names []string
	for name, own := range h.running {
		if !own {
			names = append(names, name)
		}
	}
	h.mu.Unlock()
	left := 0
	for _, name := range names {
		st, err := look(h.taskDir(name))
		if err == nil && st.Phase != host.Running && st.Phase != host.Pending {
			h.mu.Lock()
			delete(h.running, name)
			h.mu.Unlock()
			h.tell(name)
			continue
		}
		left++
	}
	return left
}

// newsOf returns a channel that is closed at the next news of a task, and
// whether that news is sure to come: the task waits in our queue or is our child.
func (h *Host) newsOf(name string) (<-chan any, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.news[name]
	if !ok {
		c = make(chan any)
		h.news[name] = c
	}
	sure := h.running[name] || slices.ContainsFunc(h.queue, func(w waiting) bool { return w.name == name })
	return c, sure
}

func (h *Host) tell(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.news[name]; ok {
		close(c)
		delete(h.news, name)
	}
}
