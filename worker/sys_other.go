//go:build !linux

package worker

import "syscall"

// Without a death signal a worker notices that its scorer is gone by the end
// of its channel, after the run() under way.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
