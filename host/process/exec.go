package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// environment is what the spec says, then our marks; of a name given twice the
// last counts.
func environment(sp spec) []string {
	all := append([]string{}, sp.Env...)
	all = append(all, taskVariable+"="+sp.Name, keyVariable+"="+sp.Key)
	if sp.Socket != "" {
		all = append(all, listenVariable+"=unix://"+sp.Socket)
	}
	at := make(map[string]int, len(all))
	env := all[:0:0]
	for _, v := range all {
		name, _, _ := strings.Cut(v, "=")
		if i, ok := at[name]; ok {
			env[i] = v
			continue
		}
		at[name] = len(env)
		env = append(env, v)
	}
	return env
}

// lookPath finds the program by the PATH that the command itself will see.
func lookPath(command []string, dir string, env []string) (string, error) {
	if len(command) == 0 || command[0] == "" {
		return "", errors.New("there is no command to run")
	}
	name := command[0]
	if strings.Contains(name, "/") {
		return name, nil // the kernel resolves it from dir
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
		}
	}
	for _, d := range filepath.SplitList(path) {
		full := filepath.Join(d, name)
		if !filepath.IsAbs(full) {
			full = filepath.Join(dir, full)
		}
		if st, err := os.Stat(full); err == nil && !st.IsDir() && st.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("command %q not found on PATH=%s; name it by its path or add its folder", name, path)
}

// busyFor is how long a command may be busy being written.
const busyFor = 5 * time.Second

// forkExec is syscall.ForkExec, for a file that may just have been written: a
// child that its writer forked meanwhile for something else holds it open until
// that child's own exec, and so long it cannot be executed (golang.org/issue/22315).
func forkExec(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	for until := time.Now().Add(busyFor); ; time.Sleep(5 * time.Millisecond) {
		if pid, err = syscall.ForkExec(path, argv, attr); err != syscall.ETXTBSY || time.Now().After(until) {
			return pid, err
		}
	}
}

// explain says in words why the kernel refused to start the command.
func (c *command) explain(path string, err error) error {
	if st, e := os.Stat(c.spec.Dir); c.spec.Dir != "" && (e != nil || !st.IsDir()) {
		return fmt.Errorf("working folder %s: not a folder that can be entered (%w)", c.spec.Dir, err)
	}
	full := path
	if !filepath.IsAbs(full) {
		full = filepath.Join(c.spec.Dir, full)
	}
	if _, e := os.Stat(full); e == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("command %s is there, but the interpreter in its first line (or its loader) is not", path)
	}
	return fmt.Errorf("command %s could not be started: %w", path, err)
}
