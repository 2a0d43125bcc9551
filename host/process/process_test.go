package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/process"
)

func TestHost_slots(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.Slots = 1
	h, stop := begin(t, o)
	work := t.TempDir()
	order := filepath.Join(work, "order")
	var names []string
	for i := range 5 {
		name := fmt.Sprintf("slot-%d", 9-i) // the order is that of Ensure, not of names
		task := script(name, `echo $RIDGELINE_TASK >> order; while [ ! -e go ]; do sleep 0.01; done; [ ! -e busy ] || echo overlap >> order; : > busy; rm busy`)
		task.Dir = work
		if err := h.Ensure(t.Context(), task); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	eventually(t, "the first runs", func() bool { return exists(order) })
	for i, name := range names {
		want := host.Pending
		if i == 0 {
			want = host.Running
		}
		if st, err := h.Observe(t.Context(), name); err != nil || st.Phase != want {
			t.Errorf("%s: %+v, %v; want %s", name, st, err, want)
		}
	}
	if err := h.Kill(t.Context(), names[2]); err != nil { // one that waits
		t.Fatal(err)
	}
	if st := waitFor(t, h, names[2]); st.Phase != host.Ended || st.Reason != host.Killed {
		t.Errorf("killed while it waited: %+v", st)
	}
	if err := h.Remove(t.Context(), names[3]); err != nil {
		t.Fatal(err)
	}
	stop() // the order outlives the server
	h, _ = begin(t, o)
	if err := os.WriteFile(filepath.Join(work, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{names[0], names[1], names[4]} {
		if st := waitFor(t, h, name); st.Reason != host.Exited || st.ExitCode != 0 {
			t.Errorf("%s ended as %+v", name, st)
		}
	}
	b, err := os.ReadFile(order)
	if want := strings.Join([]string{names[0], names[1], names[4]}, "\n") + "\n"; err != nil || string(b) != want {
		t.Errorf("they ran as %q, %v; want %q", b, err, want)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestHost_log_limit(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.MaxLog = 1 << 20
	h, _ := begin(t, o)
	if err := h.Ensure(t.Context(), script("chatty", `head -c 50000000 /dev/zero; echo; echo last words`)); err != nil {
		t.Fatal(err)
	}
	if st := waitFor(t, h, "chatty"); st.Reason != host.Exited || st.ExitCode != 0 {
		t.Errorf("ended as %+v: a log too long must not harm the command", st)
	}
	log := logOf(t, h, "chatty")
	if len(log) < 1<<20 || len(log) > 1<<20+100<<10 {
		t.Errorf("the log has %d bytes, limit %d", len(log), 1<<20)
	}
	if left := 50000000 + len("\nlast words\n") - 1<<20 - 64<<10; !strings.Contains(log, fmt.Sprintf("(%d bytes) were left out here\n", left)) {
		t.Errorf("the log does not say that %d bytes were left out", left)
	}
	if strings.Count(log, "has reached its limit of 1 MiB") != 1 || !strings.HasSuffix(log, "\nlast words\n") {
		t.Errorf("the log does not say that it is cut, or lacks the end: …%q", log[len(log)-100:])
	}
}

func TestHost_log_turns_for_services(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := options(dir)
	o.MaxLog = 1 << 20
	o.Prepare = func(context.Context, string) (process.Local, error) {
		return process.Local{Command: []string{"/bin/sh", "-c", `head -c 5000000 /dev/zero | tr '\0' x; echo; echo last words; exec sleep 600`},
			Env: []string{"PATH=" + os.Getenv("PATH")}}, nil
	}
	h, _ := begin(t, o)
	s := h.Services()
	if err := s.Apply(t.Context(), host.Workload{ID: "d-chatty", Image: "any", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Remove(context.Background(), "d-chatty") })
	eventually(t, "the last words are there", func() bool {
		log, err := s.Log(t.Context(), "d-chatty", 100)
		return err == nil && strings.HasSuffix(string(log), "x\nlast words\n")
	})
	var total, now int64
	files, err := filepath.Glob(filepath.Join(dir, "services", "d-chatty", "0", "log*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files of the log: %v, %v", files, err)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += st.Size()
		if filepath.Base(f) == "log" {
			now = st.Size()
		}
	}
	if total > 1<<20 {
		t.Errorf("the log takes %d bytes, limit %d", total, 1<<20)
	}
	// How full the newer file is depends on how the pipe's bytes came in; the
	// older one is nearly full.
	want := now + 400<<10
	log, err := s.Log(t.Context(), "d-chatty", want)
	if err != nil || int64(len(log)) != want || bytes.Count(log, []byte("x")) != len(log)-len("\nlast words\n") {
		t.Errorf("the tail over both files has %d bytes, %v; want %d", len(log), err, want)
	}
}

func TestServices_image_that_cannot_be_prepared(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	var calls atomic.Int32
	o.Prepare = func(_ context.Context, image string) (process.Local, error) {
		if calls.Add(1) == 1 {
			return process.Local{}, errors.New("the registry does not answer")
		}
		return process.Local{Command: []string{self(), "scorer", "good"}}, nil
	}
	h, _ := begin(t, o)
	s := h.Services()
	if err := s.Apply(t.Context(), host.Workload{ID: "d-image", Image: "some@sha256:1", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Remove(context.Background(), "d-image") })
	eventually(t, "the copy says why it is not there", func() bool {
		o, err := s.Observe(t.Context(), "d-image")
		return err == nil && len(o.Copies) == 1 && strings.Contains(o.Copies[0].Message, "the registry does not answer") && strings.Contains(o.Copies[0].Message, "some@sha256:1")
	})
	eventually(t, "it is tried again", func() bool {
		o, err := s.Observe(t.Context(), "d-image")
		return err == nil && o.Ready() == 1
	})
	if n := calls.Load(); n != 2 {
		t.Errorf("the image was prepared %d times, want 2", n)
	}
}

// TestServices_remove_while_preparing: nobody waits for an image that is not
// wanted any more.
func TestServices_remove_while_preparing(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	preparing := make(chan struct{})
	o.Prepare = func(ctx context.Context, _ string) (process.Local, error) {
		close(preparing)
		<-ctx.Done()
		return process.Local{}, ctx.Err()
	}
	h, _ := begin(t, o)
	s := h.Services()
	if err := s.Apply(t.Context(), host.Workload{ID: "d-slow", Image: "any", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	<-preparing
	if err := s.Remove(t.Context(), "d-slow"); err != nil {
		t.Fatal(err)
	}
	if ids, err := s.Workloads(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("Workloads: %v, %v", ids, err)
	}
}

// TestHost_StopServices: copies end with the server and come back with it;
// tasks do not notice.
func TestHost_StopServices(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("a-long-name-", 12)) // longer than a socket's address may be
	h, stop := begin(t, options(dir))
	s := h.Services()
	if err := s.Apply(t.Context(), host.Workload{ID: "d-stop", Image: "good", Replicas: 2}); err != nil {
		t.Fatal(err)
	}
	ready := func() bool {
		o, err := s.Observe(t.Context(), "d-stop")
		return err == nil && o.Ready() == 2
	}
	eventually(t, "both copies are ready", ready)
	o, err := s.Observe(t.Context(), "d-stop")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range o.Copies {
		path := strings.TrimPrefix(c.Address, "unix://")
		if len(path) >= 100 {
			t.Errorf("socket %s is too long", path)
		}
		if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("the folder of %s: %v, %v; want mode 0700", path, st, err)
		}
	}
	if err := h.StopServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := append(marked("d-stop-0"), marked("d-stop-1")...); len(left) > 0 {
		t.Errorf("after StopServices %v still run", left)
	}
	stop()
	h, _ = begin(t, options(dir))
	s = h.Services()
	eventually(t, "both copies are ready again", ready)
	if err := s.Remove(t.Context(), "d-stop"); err != nil {
		t.Fatal(err)
	}
	if dir := filepath.Dir(strings.TrimPrefix(o.Copies[0].Address, "unix://")); exists(dir) {
		t.Errorf("%s is still there", dir)
	}
}

func TestHost_refuses(t *testing.T) {
	t.Parallel()
	if _, err := process.New(process.Options{}); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("New without anything: %v", err)
	}
	o := options(t.TempDir())
	o.Prepare = nil
	h, err := process.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Services().Apply(t.Context(), host.Workload{ID: "d-x", Replicas: 1}); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("Apply without Prepare: %v", err)
	}
	if err := h.Ensure(t.Context(), host.Task{Name: "a/b"}); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("Ensure of a/b: %v", err)
	}
}

// TestHost_supervisor_that_does_not_begin: a clear end, not a task that waits
// for ever or is tried for ever.
func TestHost_supervisor_that_does_not_begin(t *testing.T) {
	t.Parallel()
	for _, argv := range [][]string{{"/no/such/supervisor"}, {"/bin/sh", "-c", "echo no >&2; exit 1"}} {
		o := options(t.TempDir())
		o.Supervisor = argv
		h, _ := begin(t, o)
		if err := h.Ensure(t.Context(), script("x", "true")); err != nil {
			t.Fatal(err)
		}
		if st := waitFor(t, h, "x"); st.Phase != host.Ended || st.Reason != host.NotStarted || !strings.Contains(st.Message, argv[0]) {
			t.Errorf("%v: %+v", argv, st)
		}
	}
}

// TestHost_latency reports what a task costs beside its command, and fails only
// where it is far from what is promised: the machine is shared.
func TestHost_latency(t *testing.T) {
	h, _ := begin(t, options(t.TempDir()))
	var took []time.Duration
	for i := range 40 {
		name := fmt.Sprintf("quick-%d", i)
		begin := time.Now()
		if err := h.Ensure(t.Context(), host.Task{Name: name, Command: []string{"/bin/true"}, Dir: "/"}); err != nil {
			t.Fatal(err)
		}
		if st := waitFor(t, h, name); st.ExitCode != 0 || st.Reason != host.Exited {
			t.Fatalf("%s ended as %+v", name, st)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	p50, p95 := took[len(took)/2], took[len(took)*95/100]
	t.Logf("Ensure to the end of `true`: least %v, p50 %v, p95 %v", took[0], p50, p95)
}

// A command may fill the disk: its end and the last of its log have a place
// kept for them, which is given back.
func TestHost_keeps_a_reserve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, _ := begin(t, options(dir))
	reserve := filepath.Join(dir, "tasks", "full", "reserve")
	goOn := filepath.Join(dir, "go-on")
	if err := h.Ensure(t.Context(), script("full", `until test -e `+goOn+`; do sleep 0.01; done`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reserve is there", func() bool {
		st, err := os.Stat(reserve)
		return err == nil && st.Size() == 128<<10
	})
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if st := waitFor(t, h, "full"); st.ExitCode != 0 || exists(reserve) {
		t.Errorf("ended as %+v; the reserve is still there: %v", st, exists(reserve))
	}
}
