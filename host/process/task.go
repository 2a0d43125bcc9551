package process

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
)

// Ensure implements host.Tasks. What is wrong with the command itself shows as
// an end with reason NotStarted, not here.
func (h *Host) Ensure(ctx context.Context, t host.Task) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkName("task", t.Name); err != nil {
		return err
	}
	if t.Image != "" || t.Resources.GPU > 0 {
		return ridgeline.Errorf(ridgeline.Invalid, "task %s asks for an image or a GPU, and this machine's processes have neither: give its step a compute pool of another kind", t.Name)
	}
	if exists(h.taskDir(t.Name), specFile) {
		return nil
	}
	if t.Grace <= 0 {
		t.Grace = defaultGrace
	}
	h.mu.Lock()
	h.seq = max(h.seq+1, time.Now().UnixNano())
	seq := h.seq
	h.mu.Unlock()
	// A folder appears whole or not at all.
	tmp, err := os.MkdirTemp(h.tasksDir(), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	err = fill(tmp, spec{Name: t.Name, Key: newKey(), Seq: seq, Command: t.Command, Dir: t.Dir, Env: t.Env,
		Timeout: t.Timeout, Grace: t.Grace, Resources: t.Resources, MaxLog: h.opt.MaxLog})
	if err != nil {
		return err
	}
	switch err := os.Rename(tmp, h.taskDir(t.Name)); {
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY):
		return nil // another was first
	case err != nil:
		return err
	}
	h.mu.Lock()
	at, _ := slices.BinarySearchFunc(h.queue, seq, func(w waiting, seq int64) int { return int(w.seq - seq) })
	h.queue = slices.Insert(h.queue, at, waiting{seq, t.Name})
	h.mu.Unlock()
	h.dispatch()
	return nil
}

func fill(dir string, sp spec) error {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return write(dir, specFile, sp)
}

// Observe implements host.Tasks.
func (h *Host) Observe(ctx context.Context, name string) (host.TaskState, error) {
	if err := ctx.Err(); err != nil {
		return host.TaskState{}, err
	}
	if checkName("task", name) != nil {
		return host.TaskState{Phase: host.Absent}, nil
	}
	return look(h.taskDir(name))
}

// Wait implements host.Tasks. The end of a task that this Host started is seen
// at once; one started by an earlier Host is looked at up to every 100 ms.
func (h *Host) Wait(ctx context.Context, name string) (host.TaskState, error) {
	for pause := 2 * time.Millisecond; ; pause = min(pause*3/2, 100*time.Millisecond) {
		news, sure := h.newsOf(name) // before looking, so that none is missed
		st, err := h.Observe(ctx, name)
		if err != nil || st.Phase == host.Ended || st.Phase == host.Lost || st.Phase == host.Absent {
			return st, err
		}
		wait := pause
		if sure {
			wait = time.Second
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return host.TaskState{}, ctx.Err()
		case <-news:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Log implements host.Tasks.
func (h *Host) Log(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	empty := io.NopCloser(strings.NewReader(""))
	if checkName("task", name) != nil {
		return empty, nil
	}
	f, err := os.Open(filepath.Join(h.taskDir(name), logFile))
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	offset = max(offset, 0)
	// Up to where it is now: a reader to the end must not chase a writer.
	return &section{io.NewSectionReader(f, offset, max(st.Size()-offset, 0)), f}, nil
}

type section struct {
	*io.SectionReader
	io.Closer
}

// Kill implements host.Tasks.
func (h *Host) Kill(ctx context.Context, name string) error {
	if checkName("task", name) != nil {
		return nil
	}
	dir := h.taskDir(name)
	for pause := time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		st, err := h.Observe(ctx, name)
		if err != nil {
			return err
		}
		switch st.Phase {
		case host.Pending:
			if err := h.cancel(name); err != nil {
				return err
			}
			pause = min(pause, 2*time.Millisecond) // it may be starting just now
		case host.Running:
			if signal(dir, syscall.SIGTERM) {
				_, err := h.Wait(ctx, name)
				return err
			}
		default:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// cancel ends a task that has not begun.
func (h *Host) cancel(name string) error {
	dir := h.taskDir(name)
	f, err := lock(dir, unix.LOCK_EX)
	if errors.Is(err, errHeld) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if exists(dir, startedFile) || exists(dir, endFile) {
		return nil
	}
	now := time.Now()
	if err := write(dir, endFile, end{Phase: host.Ended, Reason: host.Killed, Message: "killed before it began", Started: now, Ended: now}); err != nil {
		return err
	}
	h.forget(name)
	return nil
}

func (h *Host) forget(name string) {
	h.mu.Lock()
	h.queue = slices.DeleteFunc(h.queue, func(w waiting) bool { return w.name == name })
	h.mu.Unlock()
	h.tell(name)
}

// Remove implements host.Tasks.
func (h *Host) Remove(ctx context.Context, name string) error {
	if checkName("task", name) != nil {
		return nil
	}
	if err := h.Kill(ctx, name); err != nil {
		return err
	}
	h.forget(name)
	return discard(h.taskDir(name))
}

// discard makes a folder vanish at once and then takes its time to delete it.
func discard(dir string) error {
	trash := filepath.Join(filepath.Dir(dir), ".gone-"+newKey())
	switch err := os.Rename(dir, trash); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	err := os.RemoveAll(trash)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ridgeline.Errorf(ridgeline.Internal, "delete what is left of %s: %w", filepath.Base(dir), err)
	}
	return nil
}

// Tasks implements host.Tasks.
func (h *Host) Tasks(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return folders(h.tasksDir())
}
