package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A side is one server of the comparison.
type side struct {
	name, version, dialect, path, health string
	command                              func(port string) []string
	env                                  []string
	listen                               string // an environment variable that the port is appended to
	files                                func(dir, port string) map[string]string
	key                                  string // what it wants as a bearer token
	address                              string // host:port, once it runs
	root                                 int    // its first process
	cmd                                  *exec.Cmd
	ended                                chan struct{} // closed once cmd has been waited for
	said                                 *os.File
}

func (s *side) url() string { return "http://" + s.address + s.path }
func (s *side) pid() int    { return s.root }

// start starts the server in a folder of its own and waits until it answers.
func (s *side) start(ctx context.Context, dir string) error {
	work, err := os.MkdirTemp(dir, "server-")
	if err != nil {
		return err
	}
	port := strconv.Itoa(freePort())
	s.address = "127.0.0.1:" + port
	if s.files != nil {
		for name, text := range s.files(work, port) {
			if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
				return err
			}
		}
	}
	args := s.command(port)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Dir = work
	s.cmd.Env = append(append(os.Environ(), "PATH="+filepath.Dir(args[0])+":"+os.Getenv("PATH")), s.env...)
	if s.listen != "" {
		s.cmd.Env = append(s.cmd.Env, s.listen+port)
	}
	if s.said, err = os.Create(filepath.Join(work, "log")); err != nil {
		return err
	}
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.root, s.ended = s.cmd.Process.Pid, make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	err = s.await(ctx)
	if err != nil {
		s.stop()
	}
	return err
}

func (s *side) await(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		r, err := http.Get("http://" + s.address + s.health)
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(r.Status)
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s has ended:\n%s", s.name, s.log())
		case <-limit.Done():
			return fmt.Errorf("%s is not ready after %s: %w\n%s", s.name, patience, err, s.log())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// log is the end of what the server said.
func (s *side) log() []byte {
	text, err := os.ReadFile(s.said.Name())
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(text[max(0, len(text)-4000):])
}

// stop ends the server and all that it started.
func (s *side) stop() {
	all := family(s.root)
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
	}
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.ended
	s.said.Close()
}

// freePort is one that nobody listens on now.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // no port on this machine: nothing can be measured
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// family is a process and all below it, from /proc.
func family(root int) []int {
	found, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, path := range found {
		if fields := stat(path); fields != nil {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], pid)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// stat is the fields of /proc/PID/stat from the third on; a name may hold
// blanks, but ends with the last bracket.
func stat(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // it has ended
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// cpu is the seconds that a process and those below it have used. Those that
// ended meanwhile are missed.
func cpu(root int) float64 {
	const ticks = 100 // a second, on every Linux
	total := 0.0
	for _, pid := range family(root) {
		if fields := stat(fmt.Sprintf("/proc/%d/stat", pid)); len(fields) > 12 {
			user, _ := strconv.ParseFloat(fields[11], 64)
			system, _ := strconv.ParseFloat(fields[12], 64)
			total += (user + system) / ticks
		}
	}
	return total
}

// memory is the megabytes of a process and those below it, pages that they
// share counted once.
func memory(root int) float64 {
	total := 0.0
	for _, pid := range family(root) {
		total += share(pid)
	}
	return round(total, 1)
}

// share is one process's.
func share(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Pss:" {
			kb, _ := strconv.ParseFloat(fields[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// echo is what net/http costs: it reads a body and writes the same bytes.
func echo(port string) error {
	return http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
		_, _ = w.Write(body)
	}))
}

// self is this program.
func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}
