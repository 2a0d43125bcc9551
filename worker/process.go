package worker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/python"
)

// Config says what to run. App is required, and Script or ModelDir.
type Config struct {
	Python   string    // interpreter; "python3" when empty
	Package  string    // folder that contains ridgeline_worker; unpacked into the user's cache when empty
	App      string    // folder of the project's code, the working folder
	Script   string    // the scoring script, relative to App; empty: the model in ModelDir has none
	ModelDir string    // AZUREML_MODEL_DIR
	Env      []string  // KEY=value, the whole environment; that of this process when nil
	Log      io.Writer // takes what the model prints; os.Stderr when nil
}

// process is the interpreter and its two ways out: the channel and the output.
type process struct {
	cmd    *exec.Cmd
	conn   *net.UnixConn
	output *output
	exited chan struct{} // closed when the process has been waited for
	gone   atomic.Bool   // set just before: its pid may be another's from then on
}

func (c Config) command() (*exec.Cmd, error) {
	interpreter := c.Python
	if interpreter == "" {
		interpreter = "python3"
	}
	path, err := exec.LookPath(interpreter)
	if err != nil {
		return nil, fmt.Errorf("no Python interpreter %q (set RIDGELINE_PYTHON): %w", interpreter, err)
	}
	app, err := filepath.Abs(c.App)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(app); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("the application folder %s is not there (set RIDGELINE_APP)", app)
	}
	folder, err := c.packageFolder()
	if err != nil {
		return nil, err
	}
	main := filepath.Join(folder, python.Package, "__main__.py")
	if _, err := os.Stat(main); err != nil {
		return nil, fmt.Errorf("the Python worker is not in %s (set RIDGELINE_WORKER_PATH to the folder that contains %s)", folder, python.Package)
	}
	if !filepath.IsAbs(path) { // the working folder is about to change
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(path, main)
	cmd.Dir = app
	cmd.Env = c.Env
	if c.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)],
		"RIDGELINE_WORKER_FD=3", "AML_APP_ROOT="+app, "AZUREML_ENTRY_SCRIPT="+c.Script)
	if c.ModelDir != "" {
		dir, err := filepath.Abs(c.ModelDir)
		if err != nil {
			return nil, err
		}
		cmd.Env = append(cmd.Env, "AZUREML_MODEL_DIR="+dir)
	}
	cmd.SysProcAttr = sysProcAttr()
	return cmd, nil
}

func (c Config) packageFolder() (string, error) {
	if c.Package != "" {
		return filepath.Abs(c.Package)
	}
	// Not the shared temporary folder: whoever is first there would choose the code.
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the Python worker (set RIDGELINE_WORKER_PATH): %w", err)
	}
	return python.Unpack(filepath.Join(cache, "ridgeline"))
}

// startProcess runs the interpreter with one end of a socket pair as fd 3.
func startProcess(c Config) (*process, error) {
	cmd, err := c.command()
	if err != nil {
		return nil, err
	}
	conn, child, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("channel to the Python worker: %w", err)
	}
	defer child.Close()
	read, write, err := os.Pipe()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("output of the Python worker: %w", err)
	}
	defer write.Close()
	cmd.ExtraFiles = []*os.File{child}
	cmd.Stdout, cmd.Stderr = write, write // *os.File: no copying goroutine that Wait would wait for

	out := &output{to: c.Log, done: make(chan struct{})}
	if out.to == nil {
		out.to = os.Stderr
	}
	p := &process{cmd: cmd, conn: conn, output: out, exited: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		conn.Close()
		read.Close()
		return nil, err
	}
	go out.copyFrom(read)
	return p, nil
}

// run starts the process and waits for it on one thread, see sysProcAttr.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- fmt.Errorf("start %s: %w", p.cmd.Path, err)
		return
	}
	started <- nil
	_ = p.cmd.Wait() // ProcessState says it all
	p.signal(syscall.SIGKILL)
	p.gone.Store(true)
	close(p.exited)
}

// signal reaches the process and all that it started and that stayed in its
// group. The leader's pid cannot be reused while the group lives.
func (p *process) signal(s syscall.Signal) {
	if !p.gone.Load() {
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// ended says how the process ended and what it wrote last.
func (p *process) ended() error {
	message := "the Python worker ended (" + p.cmd.ProcessState.String() + ")"
	if tail := p.output.tail(); len(tail) > 0 {
		if len(tail) > 5 {
			tail = tail[len(tail)-5:]
		}
		message += "; its last lines: " + strings.Join(tail, " | ")
	}
	return ridgeline.Errorf(ridgeline.Unavailable, "%s", message)
}

func socketPair() (*net.UnixConn, *os.File, error) {
	syscall.ForkLock.RLock() // between making and marking, nobody may fork
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "scorer")
	defer ours.Close() // FileConn works on a copy
	c, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		theirs.Close()
		return nil, nil, errors.New("a socket pair is no Unix socket")
	}
	return conn, theirs, nil
}
