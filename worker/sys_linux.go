package worker

import "syscall"

// The worker must not outlive a scorer that is killed. The signal is bound to
// the thread that started it, which is why run keeps that thread.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
