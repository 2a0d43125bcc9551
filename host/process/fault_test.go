package process_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/process"
)

// serve is a server: it runs a host on dir and ensures what comes on stdin.
func serve(dir string) int {
	h, err := process.New(options(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go h.Run(context.Background())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var t host.Task
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := h.Ensure(context.Background(), t); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(t.Name)
	}
	return 0
}

func script(name, text string) host.Task {
	return host.Task{Name: name, Command: []string{"sh", "-c", text}, Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")}}
}

func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !yes(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}

func logOf(t *testing.T, h host.Tasks, name string) string {
	t.Helper()
	r, err := h.Log(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func waitFor(t *testing.T, h host.Tasks, name string) host.TaskState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	st, err := h.Wait(ctx, name)
	if err != nil {
		t.Fatalf("Wait(%s): %v", name, err)
	}
	return st
}

// marked lists the processes of this machine that carry a task's name.
func marked(name string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if strings.Contains("\x00"+string(b), "\x00RIDGELINE_TASK="+name+"\x00") {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}

func supervisorOf(t *testing.T, dir, name string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "tasks", name, "started.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ PID int }
	if err := json.Unmarshal(b, &s); err != nil || s.PID <= 1 {
		t.Fatalf("started.json: %s (%v)", b, err)
	}
	return s.PID
}

// TestServer_killed: what a server acknowledged before it was killed goes on,
// and the next one sees it to its end.
func TestServer_killed(t *testing.T) {
	t.Parallel()
	dir, work := t.TempDir(), t.TempDir()
	server := exec.Command(self(), "serve", dir)
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var names []string
	acks := bufio.NewScanner(out)
	for i := range 6 { // four run at once, two wait
		task := script(fmt.Sprintf("killed-%d", i), fmt.Sprintf(`echo $PPID; while [ ! -e go ]; do sleep 0.02; done; echo over; exit %d`, i))
		task.Dir = work
		if err := json.NewEncoder(in).Encode(task); err != nil {
			t.Fatal(err)
		}
		if !acks.Scan() || acks.Text() != task.Name {
			t.Fatalf("acknowledged %q, want %q", acks.Text(), task.Name)
		}
		names = append(names, task.Name)
	}
	server.Process.Kill() // no waiting: some supervisors may be just starting
	server.Wait()

	h, _ := begin(t, options(dir))
	if err := os.WriteFile(filepath.Join(work, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if st := waitFor(t, h, name); st.Phase != host.Ended || st.Reason != host.Exited || st.ExitCode != i {
			t.Errorf("%s ended as %+v, want exit code %d", name, st, i)
		}
		if log := logOf(t, h, name); strings.Count(log, "\n") != 2 || !strings.HasSuffix(log, "over\n") {
			t.Errorf("log of %s: %q: it ran more than once, or not to its end", name, log)
		}
	}
}

// TestSupervisor_killed: the task is Lost, and nothing of it runs any more when
// that is said.
func TestSupervisor_killed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, _ := begin(t, options(dir))
	name := fmt.Sprintf("orphan-%d", os.Getpid())
	// One child dies with the supervisor; one is a daemon; one has no mark left.
	task := script(name, `(setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.1; done' &); (env -i sleep 611 & echo $!); echo begun; sleep 600`)
	if err := h.Ensure(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task has begun", func() bool {
		return strings.Contains(logOf(t, h, name), "begun\n") && len(marked(name)) >= 3
	})
	bare, _, _ := strings.Cut(logOf(t, h, name), "\n")
	eventually(t, "it is seen what the task uses", func() bool {
		st, err := h.Observe(t.Context(), name)
		return err == nil && st.Phase == host.Running && st.Usage.PeakMemory > 0
	})
	if err := syscall.Kill(supervisorOf(t, dir, name), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	st := waitFor(t, h, name)
	if st.Phase != host.Lost || st.Message == "" || st.Usage.PeakMemory == 0 || st.Usage.WallSeconds == 0 {
		t.Errorf("state %+v, want lost, and why, and what it had used", st)
	}
	if left := marked(name); len(left) > 0 {
		t.Errorf("it is said to be lost, but %v still run", left)
	}
	if stat, err := os.ReadFile("/proc/" + bare + "/stat"); bare == "" || err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("it is said to be lost, but its child %q without a mark still runs", bare)
	}
	if err := h.Ensure(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	if st, err := h.Observe(t.Context(), name); err != nil || st.Phase != host.Lost {
		t.Errorf("after another Ensure: %+v, %v", st, err)
	}
	next, err := process.New(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := next.Observe(t.Context(), name); err != nil || st.Phase != host.Lost {
		t.Errorf("the next host sees %+v, %v", st, err)
	}
	if err := h.Remove(t.Context(), name); err != nil {
		t.Error(err)
	}
}

// TestSupervisor_killed_while_no_server_runs: the next server finds it lost.
func TestSupervisor_killed_while_no_server_runs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, stop := begin(t, options(dir))
	name := fmt.Sprintf("alone-%d", os.Getpid())
	if err := h.Ensure(t.Context(), script(name, `(setsid sleep 612 &); echo begun; sleep 600`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task has begun", func() bool { return logOf(t, h, name) == "begun\n" && len(marked(name)) >= 2 })
	stop()
	syscall.Kill(supervisorOf(t, dir, name), syscall.SIGKILL)
	next, _ := begin(t, options(dir))
	if st := waitFor(t, next, name); st.Phase != host.Lost {
		t.Errorf("state %+v, want lost", st)
	}
	if left := marked(name); len(left) > 0 {
		t.Errorf("it is said to be lost, but %v still run", left)
	}
}

// TestSupervisor_of_a_copy_killed: the copy comes back, alone.
func TestSupervisor_of_a_copy_killed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, _ := begin(t, options(dir))
	s := h.Services()
	if err := s.Apply(t.Context(), host.Workload{ID: "d-orphan", Image: "good", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Remove(context.Background(), "d-orphan") })
	ready := func() bool {
		o, err := s.Observe(t.Context(), "d-orphan")
		return err == nil && o.Ready() == 1
	}
	eventually(t, "the copy is ready", ready)
	before := marked("d-orphan-0")
	b, err := os.ReadFile(filepath.Join(dir, "services", "d-orphan", "0", "started.json"))
	if err != nil {
		t.Fatal(err)
	}
	var st struct{ PID int }
	if err := json.Unmarshal(b, &st); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(st.PID, syscall.SIGKILL)
	eventually(t, "another copy is ready", func() bool {
		now := marked("d-orphan-0")
		return len(now) == 1 && len(before) == 1 && now[0] != before[0] && ready()
	})
}
