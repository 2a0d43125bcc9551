package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// dyingServer is how long the lock of a server that is gone may outlive it: a
// child that it was about to start when it was killed holds it until its exec.
const dyingServer = 2 * time.Second

// lockDir makes sure that one server at a time uses a state folder.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	lock := func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	err = lock()
	for begun := time.Now(); errors.Is(err, syscall.EWOULDBLOCK) && time.Since(begun) < dyingServer; err = lock() {
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ridgeline.Errorf(ridgeline.Conflict, "another server uses %s: stop it, or name another folder with --dir", dir)
		}
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	return f, nil
}
