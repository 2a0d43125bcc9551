// Package hosttest is the suite that every host passes, and the programs it
// runs. What only one kind of host can promise is tested beside that host.
package hosttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/host"
)

// patience is how long the suite waits for what is sure to come.
const patience = time.Minute

// A Remote host runs tasks where neither this machine's disk nor its processes
// are seen. Each task finds the folder Dir, which is its own.
type Remote interface{ Dir() string }

// folder is where a task may write.
func folder(t *testing.T, h host.Tasks) string {
	if r, ok := h.(Remote); ok {
		return r.Dir()
	}
	return t.TempDir()
}

// held is a command that goes on when open is called; where this machine's
// disk is not seen, after a while.
func held(t *testing.T, h host.Tasks, dir string) (command string, open func()) {
	if _, ok := h.(Remote); ok {
		return "sleep 12", func() {}
	}
	return "while [ ! -e go ]; do sleep 0.02; done", func() {
		if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Tasks tests a host that runs tasks. newHost opens the host as a server does
// at its start; called again with the same t it opens the same state anew, as
// the next server does. At least four tasks must be able to run at once, and
// commands find sh, head, tail and sleep.
func Tasks(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, func(t *testing.T) host.Tasks)
	}{
		{"ends", testEnds},
		{"sees_the_environment_it_was_given_and_no_more", testEnvironment},
		{"timeout_ends_the_whole_tree", testTimeout},
		{"timeout_kills_who_ignores_SIGTERM", testStubborn},
		{"kill_takes_daemons_along", testKillTree},
		{"leftovers_die_with_the_command", testLeftovers},
		{"ensure_twice_starts_once", testEnsureTwice},
		{"a_later_host_finds_the_task_and_its_end", testRestart},
		{"log_from_an_offset", testLog},
		{"log_is_any_bytes", testBinaryLog},
		{"log_can_be_read_while_it_grows", testGrowingLog},
		{"usage_is_plausible", testUsage},
		{"usage_over_time_is_told", testCourse},
		{"memory_limit", testMemoryLimit},
		{"absent_names", testAbsent},
		{"remove", testRemove},
		{"wait_returns_when_ctx_is_done", testWaitContext},
		{"many_callers", testConcurrent},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newHost)
		})
	}
}

func sh(name, script string) host.Task {
	return host.Task{Name: name, Command: []string{"sh", "-c", script}, Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")}}
}

func ensure(t *testing.T, h host.Tasks, task host.Task) {
	t.Helper()
	if err := h.Ensure(t.Context(), task); err != nil {
		t.Fatalf("Ensure(%s): %v", task.Name, err)
	}
	t.Cleanup(func() { h.Remove(context.Background(), task.Name) })
}

func wait(t *testing.T, h host.Tasks, name string) host.TaskState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	st, err := h.Wait(ctx, name)
	if err != nil {
		t.Fatalf("Wait(%s): %v", name, err)
	}
	return st
}

func readLog(t *testing.T, h host.Tasks, name string, offset int64) string {
	t.Helper()
	r, err := h.Log(t.Context(), name, offset)
	if err != nil {
		t.Fatalf("Log(%s, %d): %v", name, offset, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read the log of %s: %v", name, err)
	}
	return string(b)
}

// until polls what is sure to become true.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !yes(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// logged waits until the log has so many whole lines and returns them.
func logged(t *testing.T, h host.Tasks, name string, lines int) []string {
	t.Helper()
	var log string
	until(t, fmt.Sprintf("%s has written %d lines", name, lines), func() bool {
		log = readLog(t, h, name, 0)
		return strings.Count(log, "\n") >= lines
	})
	return strings.Split(strings.TrimSuffix(log, "\n"), "\n")
}

// alive says whether a process of the host runs. Of a remote one it cannot be
// seen; then it says no, and what is asserted of the dead holds trivially.
func alive(h any, pid string) bool {
	if _, ok := h.(Remote); ok {
		return false
	}
	n, err := strconv.Atoi(pid)
	if err != nil {
		return false
	}
	if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil {
		return !bytes.Contains(stat, []byte(") Z "))
	}
	return syscall.Kill(n, 0) == nil
}

func testEnds(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	for _, test := range []struct {
		name    string
		task    host.Task
		reason  host.EndReason
		code    int
		message string // part of it; empty: there is to be none
	}{
		{"success", sh("success", "exit 0"), host.Exited, 0, ""},
		{"code", sh("code", "exit 7"), host.Exited, 7, "7"},
		{"signal", sh("signal", "kill -9 $$"), host.Exited, 137, "signal 9"},
		{"term", sh("term", "kill -TERM $$"), host.Exited, 143, "signal 15"},
		{"no-command", host.Task{Name: "no-command", Dir: "/"}, host.NotStarted, 0, "no command"},
		{"not-found", host.Task{Name: "not-found", Dir: "/", Command: []string{"no-such-program"}, Env: []string{"PATH=/usr/bin:/bin"}}, host.NotStarted, 0, "no-such-program"},
		{"not-there", host.Task{Name: "not-there", Dir: "/", Command: []string{"/no/such/program"}}, host.NotStarted, 0, "/no/such/program"},
		{"no-folder", host.Task{Name: "no-folder", Dir: "/no/such/folder", Command: []string{"/bin/sh", "-c", "exit 0"}}, host.NotStarted, 0, "/no/such/folder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := time.Now().Add(-time.Second)
			ensure(t, h, test.task)
			st := wait(t, h, test.name)
			if st.Phase != host.Ended || st.Reason != test.reason || st.ExitCode != test.code {
				t.Errorf("ended as %s/%s with %d (%s), want ended/%s with %d", st.Phase, st.Reason, st.ExitCode, st.Message, test.reason, test.code)
			}
			if (st.Message == "") != (test.message == "") || !strings.Contains(st.Message, test.message) {
				t.Errorf("message %q, want one with %q", st.Message, test.message)
			}
			if st.Started.Before(before) || st.Ended.Before(st.Started) || st.Ended.After(time.Now().Add(time.Second)) {
				t.Errorf("times do not fit: started %v, ended %v", st.Started, st.Ended)
			}
			if got, err := h.Observe(t.Context(), test.name); err != nil || got.Reason != st.Reason || got.ExitCode != st.ExitCode {
				t.Errorf("Observe says %+v, %v; Wait said %+v", got, err, st)
			}
		})
	}
}

func testEnvironment(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	dir := folder(t, h)
	task := sh("env", `pwd; env; cat; echo "done"`)
	task.Dir = dir
	task.Env = append(task.Env, "GREETING=grüß dich", "TWICE=1", "TWICE=2", "EMPTY=", "MULTI=a\nb")
	ensure(t, h, task)
	if st := wait(t, h, "env"); st.Reason != host.Exited || st.ExitCode != 0 {
		t.Fatalf("ended as %+v", st)
	}
	lines := strings.Split(readLog(t, h, "env", 0), "\n")
	for _, want := range []string{dir, "GREETING=grüß dich", "TWICE=2", "EMPTY=", "done"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the task's output lacks the line %q:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	for _, l := range lines {
		name, _, ok := strings.Cut(l, "=")
		if ok && !slices.Contains([]string{"PATH", "GREETING", "TWICE", "EMPTY", "MULTI", "PWD", "OLDPWD", "SHLVL", "_", "RIDGELINE_TASK", "RIDGELINE_TASK_KEY"}, name) {
			t.Errorf("the task saw %q, which nobody gave it", l)
		}
	}
}

func testTimeout(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	task := sh("timeout", `trap 'echo bye; exit 3' TERM; sleep 600 & echo $!; wait`)
	task.Timeout = 300 * time.Millisecond
	ensure(t, h, task)
	st := wait(t, h, "timeout")
	if st.Phase != host.Ended || st.Reason != host.TimedOut || !strings.Contains(st.Message, "300ms") {
		t.Errorf("ended as %+v, want reason timeout and a message that says 300ms", st)
	}
	if took := st.Ended.Sub(st.Started); took < 300*time.Millisecond || took > 4*time.Second {
		t.Errorf("took %v: the command left politely, well within its grace of 5 s", took)
	}
	lines := logged(t, h, "timeout", 2)
	if lines[len(lines)-1] != "bye" {
		t.Errorf("log %q: it was not asked politely, or its last words are lost", lines)
	}
	if alive(h, lines[0]) {
		t.Errorf("its child %s still runs", lines[0])
	}
}

func testStubborn(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	task := sh("stubborn", `trap '' TERM; echo $$; while :; do sleep 0.1; done`)
	task.Timeout, task.Grace = 200*time.Millisecond, 300*time.Millisecond
	ensure(t, h, task)
	st := wait(t, h, "stubborn")
	if st.Reason != host.TimedOut {
		t.Errorf("ended as %+v", st)
	}
	if took := st.Ended.Sub(st.Started); took < 500*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %v, want timeout and grace (500ms) and little more", took)
	}
	if pid := logged(t, h, "stubborn", 1)[0]; alive(h, pid) {
		t.Errorf("process %s still runs", pid)
	}
}

// daemon starts a process in a session of its own whose parent is gone, and
// which ignores SIGTERM; its number is the second line.
const daemon = `echo $$; sh -c 'setsid sh -c "trap \"\" TERM HUP; echo \$\$; while :; do sleep 0.1; done" &'; `

func testKillTree(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	task := sh("kill", daemon+`sleep 600`)
	task.Grace = 200 * time.Millisecond
	ensure(t, h, task)
	pids := logged(t, h, "kill", 2)
	if st, err := h.Observe(t.Context(), "kill"); err != nil || st.Phase != host.Running || st.Started.IsZero() {
		t.Fatalf("while it runs: %+v, %v", st, err)
	}
	for range 2 { // twice is harmless
		if err := h.Kill(t.Context(), "kill"); err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids {
			if alive(h, pid) {
				t.Errorf("after Kill process %s still runs", pid)
			}
		}
	}
	if st := wait(t, h, "kill"); st.Phase != host.Ended || st.Reason != host.Killed || st.Message == "" {
		t.Errorf("ended as %+v, want killed, and a message", st)
	}
}

func testLeftovers(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	task := sh("leftovers", `setsid sh -c 'trap "" TERM HUP; echo $$; : > begun; while :; do sleep 0.1; done' & while [ ! -e begun ]; do sleep 0.01; done; exit 4`)
	task.Dir, task.Grace = folder(t, h), 200*time.Millisecond
	ensure(t, h, task)
	st := wait(t, h, "leftovers")
	if st.Reason != host.Exited || st.ExitCode != 4 {
		t.Errorf("ended as %+v, want its own code 4", st)
	}
	if pid := logged(t, h, "leftovers", 1)[0]; alive(h, pid) {
		t.Errorf("process %s outlived its task", pid)
	}
}

func testEnsureTwice(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	ensure(t, h, sh("twice", "echo one; sleep 0.1"))
	ensure(t, h, sh("twice", "echo two"))
	wait(t, h, "twice")
	ensure(t, h, sh("twice", "echo three"))
	if st := wait(t, h, "twice"); st.Reason != host.Exited {
		t.Errorf("ended as %+v", st)
	}
	if log := readLog(t, h, "twice", 0); log != "one\n" {
		t.Errorf("log %q, want the first command's alone", log)
	}
}

func testRestart(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	first := newHost(t)
	dir := folder(t, first)
	hold, open := held(t, first, dir)
	task := sh("restart", "echo begun; "+hold+"; echo over; exit 5")
	task.Dir = dir
	ensure(t, first, task)
	ensure(t, first, sh("ended", "exit 6"))
	logged(t, first, "restart", 1)
	wait(t, first, "ended")

	second := newHost(t)
	if st, err := second.Observe(t.Context(), "restart"); err != nil || st.Phase != host.Running {
		t.Errorf("the next host sees %+v, %v; want running", st, err)
	}
	if st, err := second.Observe(t.Context(), "ended"); err != nil || st.Phase != host.Ended || st.ExitCode != 6 {
		t.Errorf("the next host sees %+v, %v; want ended with 6", st, err)
	}
	ensure(t, second, task) // must find it, not start it again
	open()
	if st := wait(t, second, "restart"); st.Phase != host.Ended || st.ExitCode != 5 {
		t.Errorf("ended as %+v, want exit code 5", st)
	}
	if log := readLog(t, second, "restart", 0); log != "begun\nover\n" {
		t.Errorf("log %q", log)
	}
}

func testUsage(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	ensure(t, h, sh("idle", "sleep 0.3"))
	// tail keeps all of a line without end; the second one's processor time is
	// that of a grandchild.
	ensure(t, h, sh("busy", `head -c 120000000 /dev/zero | tail -n 1 | (sleep 0.3; head -c 1); (i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done)`))
	idle, busy := wait(t, h, "idle").Usage, wait(t, h, "busy").Usage
	if idle.WallSeconds < 0.3 || idle.WallSeconds > 10 || idle.CPUSeconds > 0.25 || idle.PeakMemory <= 0 {
		t.Errorf("a task that sleeps 0.3 s: %+v", idle)
	}
	if busy.CPUSeconds < 0.1 || busy.CPUSeconds > 20 || busy.CPUSeconds < idle.CPUSeconds {
		t.Errorf("a task that counts to 300,000: %+v", busy)
	}
	if busy.PeakMemory < 110_000_000 || busy.PeakMemory > 1_500_000_000 {
		t.Errorf("a task that holds 120 MB: %+v", busy)
	}
}

// testCourse: what a task uses is told while it runs, and whole at its end.
func testCourse(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	ensure(t, h, sh("course", `i=0; while [ ! -e "$PWD/enough" ]; do i=$((i+1)); done`))
	deadline := time.Now().Add(time.Minute)
	st := host.TaskState{}
	for !st.Course.Worth() {
		if time.Sleep(50 * time.Millisecond); time.Now().After(deadline) {
			t.Fatalf("within a minute nobody tells what the task uses over its time: %+v", st)
		}
		var err error
		if st, err = h.Observe(t.Context(), "course"); err != nil {
			t.Fatal(err)
		}
	}
	cores, memory := st.Course.Peak()
	if !st.Course.Whole() || cores < 0.02 || cores > 64 || memory <= 0 || time.Since(st.Course.Began) > time.Minute {
		t.Errorf("what it uses while it runs: %+v", st.Course)
	}
	if err := h.Kill(t.Context(), "course"); err != nil {
		t.Fatal(err)
	}
	end := wait(t, h, "course")
	if !end.Course.Whole() || end.Course.Length() < st.Course.Length() || !end.Course.Began.Equal(st.Course.Began) {
		t.Errorf("what it had used at its end: %+v; before that %+v", end.Course, st.Course)
	}
	if used := end.Course.CPUSeconds(); used > end.Usage.CPUSeconds*1.02+0.1 || used < end.Usage.CPUSeconds/2 {
		t.Errorf("%.2f processor seconds in its course, %.2f in all", used, end.Usage.CPUSeconds)
	}
}

func testMemoryLimit(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	task := sh("hungry", `head -c 400000000 /dev/zero | tail -n 1 | (sleep 1; head -c 1); exit 9`)
	task.Resources.Memory = 64 << 20
	ensure(t, h, task)
	modest := sh("modest", `head -c 4000000 /dev/zero | tail -n 1 | (sleep 0.2; head -c 1); exit 0`)
	modest.Resources.Memory = 64 << 20
	ensure(t, h, modest)
	if st := wait(t, h, "hungry"); st.Phase != host.Ended || st.Reason != host.OutOfMemory || !strings.Contains(st.Message, "64 MiB") {
		t.Errorf("a task that takes 400 MB of its 64 MiB ended as %+v", st)
	}
	if st := wait(t, h, "modest"); st.Reason != host.Exited || st.ExitCode != 0 {
		t.Errorf("a task that takes 4 MB of its 64 MiB ended as %+v", st)
	}
}

func testAbsent(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	for _, name := range []string{"nobody", "", "..", "a/b", strings.Repeat("x", 300)} {
		if st, err := h.Observe(t.Context(), name); err != nil || st.Phase != host.Absent {
			t.Errorf("Observe(%.20q): %+v, %v", name, st, err)
		}
		if st, err := h.Wait(t.Context(), name); err != nil || st.Phase != host.Absent {
			t.Errorf("Wait(%.20q): %+v, %v", name, st, err)
		}
		if log := readLog(t, h, name, 0); log != "" {
			t.Errorf("Log(%.20q): %q", name, log)
		}
		if err := h.Kill(t.Context(), name); err != nil {
			t.Errorf("Kill(%.20q): %v", name, err)
		}
		if err := h.Remove(t.Context(), name); err != nil {
			t.Errorf("Remove(%.20q): %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "a b", "ü", ".hidden"} {
		if err := h.Ensure(t.Context(), sh(name, "true")); err == nil {
			t.Errorf("Ensure took the name %q", name)
		}
	}
}

func testRemove(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	ensure(t, h, sh("ended", "echo words"))
	task := sh("running", "echo $$; sleep 600")
	ensure(t, h, task)
	wait(t, h, "ended")
	pid := logged(t, h, "running", 1)[0]
	names, err := h.Tasks(t.Context())
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"ended", "running"}) {
		t.Errorf("Tasks: %v, %v", names, err)
	}
	for range 2 {
		for _, name := range []string{"ended", "running"} {
			if err := h.Remove(t.Context(), name); err != nil {
				t.Errorf("Remove(%s): %v", name, err)
			}
			if st, err := h.Observe(t.Context(), name); err != nil || st.Phase != host.Absent {
				t.Errorf("after Remove(%s): %+v, %v", name, st, err)
			}
			if log := readLog(t, h, name, 0); log != "" {
				t.Errorf("after Remove(%s) its log is %q", name, log)
			}
		}
	}
	if alive(h, pid) {
		t.Errorf("after Remove process %s still runs", pid)
	}
	if names, err := h.Tasks(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("Tasks: %v, %v", names, err)
	}
	ensure(t, h, sh("ended", "echo again")) // the name is free
	wait(t, h, "ended")
	if log := readLog(t, h, "ended", 0); log != "again\n" {
		t.Errorf("log %q", log)
	}
}

func testWaitContext(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	ensure(t, h, sh("long", "echo begun; sleep 600"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := h.Wait(ctx, "long")
		done <- err
	}()
	logged(t, h, "long", 1)
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("Wait: %v, want context.Canceled", err)
	}
	if st, err := h.Observe(t.Context(), "long"); err != nil || st.Phase != host.Running {
		t.Errorf("after that: %+v, %v; want running", st, err)
	}
}

func testConcurrent(t *testing.T, newHost func(t *testing.T) host.Tasks) {
	h := newHost(t)
	var wg sync.WaitGroup
	for i := range 6 {
		name := fmt.Sprintf("many-%d", i)
		ensure(t, h, sh(name, fmt.Sprintf("echo %d; exit %d", i, i)))
		for range 4 {
			wg.Go(func() {
				if err := h.Ensure(t.Context(), sh(name, "echo wrong; exit 99")); err != nil {
					t.Errorf("Ensure: %v", err)
				}
				if st, err := h.Wait(t.Context(), name); err != nil || st.ExitCode != i || st.Reason != host.Exited {
					t.Errorf("%s ended as %+v, %v", name, st, err)
				}
				if log := readLog(t, h, name, 0); log != fmt.Sprintln(i) {
					t.Errorf("%s wrote %q", name, log)
				}
				h.Tasks(t.Context())
				if err := h.Kill(t.Context(), name); err != nil {
					t.Errorf("Kill: %v", err)
				}
			})
		}
	}
	wg.Wait()
}
