package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Whoever makes something temporary holds a lock on it for as long as it
// lives. So whatever is found unlocked belongs to a process that died, and can
// be removed at once: no age to guess, no process ids that come again.

// spoolFile makes a locked temporary file in dir. Closing it unlocks it.
func spoolFile(dir string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(dir, "spool-*")
		if err != nil {
			return nil, err
		}
		mine, err := claim(f)
		if mine || err != nil {
			return f, err
		}
	}
}

// spoolDir makes a locked temporary folder in parent; closing the file that is
// returned unlocks it.
func spoolDir(parent, prefix string) (path string, lock *os.File, err error) {
	for {
		path, err := os.MkdirTemp(parent, prefix+"*")
		if err != nil {
			return "", nil, err
		}
		lock, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) { // a sweeper came before the lock
			continue
		}
		if err != nil {
			return "", nil, err
		}
		mine, err := claim(lock)
		if mine || err != nil {
			return path, lock, err
		}
	}
}

// claim locks f. It is not mine when a sweeper came between its creation and
// its lock; then f is closed.
func claim(f *os.File) (mine bool, err error) {
	locked, err := tryLock(f)
	if locked && inPlace(f) {
		return true, nil
	}
	return false, errors.Join(err, f.Close())
}

// inPlace reports whether f still has the name under which it was opened.
func inPlace(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(opened, there)
}

func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return false, nil
	}
	return false, fmt.Errorf("lock %s: %w", f.Name(), err)
}

// sweep removes from dir what begins with prefix and belongs to nobody alive.
// It is a courtesy: what it cannot remove only takes room.
func sweep(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if free, err := tryLock(f); free && err == nil {
			_ = os.RemoveAll(path)
		}
		_ = f.Close()
	}
}
