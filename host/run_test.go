package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/process"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "supervise" {
		os.Exit(process.Supervise(os.Args[2]))
	}
	os.Exit(m.Run())
}

// newHost opens the host of a folder for as long as the test lasts.
func newHost(t *testing.T, dir string) *process.Host {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h, err := process.New(process.Options{Dir: dir, Supervisor: []string{self, "supervise"}, Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h
}

func script(t *testing.T, name, text string) host.Task {
	return host.Task{Name: name, Command: []string{"sh", "-c", text}, Dir: t.TempDir(), Env: []string{"PATH=" + os.Getenv("PATH")}, Grace: 200 * time.Millisecond}
}

// folder is a LogSink of one file per task that insists on its contract.
type folder struct {
	dir   string
	mu    sync.Mutex
	fail  atomic.Int32 // so many Appends are refused
	sizes []int
}

func (f *folder) Size(_ context.Context, name string) (int64, error) {
	st, err := os.Stat(filepath.Join(f.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *folder) Append(ctx context.Context, name string, offset int64, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail.Add(-1) >= 0 {
		return errors.New("the store does not answer")
	}
	if have, err := f.Size(ctx, name); err != nil || have != offset {
		return fmt.Errorf("append at %d of %d (%v)", offset, have, err)
	}
	f.sizes = append(f.sizes, len(p))
	w, err := os.OpenFile(filepath.Join(f.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := w.Write(p); err != nil {
		return err
	}
	return w.Close()
}

func (f *folder) Remove(_ context.Context, name string) error {
	err := os.Remove(filepath.Join(f.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (f *folder) log(name string) string {
	b, _ := os.ReadFile(filepath.Join(f.dir, name))
	return string(b)
}

func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !yes(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	h, sink := newHost(t, t.TempDir()), &folder{dir: t.TempDir()}
	st, err := host.Run(t.Context(), h, script(t, "long", "head -c 1000000 /dev/zero; echo end; exit 3"), host.Follow{Logs: sink, Poll: 10 * time.Millisecond})
	if err != nil || st.Phase != host.Ended || st.Reason != host.Exited || st.ExitCode != 3 {
		t.Errorf("%+v, %v; want exit code 3", st, err)
	}
	if log := sink.log("long"); len(log) != 1000004 || !strings.HasSuffix(log, "end\n") {
		t.Errorf("%d bytes of log arrived, want 1000004", len(log))
	}
	for _, n := range sink.sizes {
		if n > 256<<10 {
			t.Errorf("a chunk of %d bytes", n)
		}
	}
	if names, err := h.Tasks(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("Run must not remove the task: %v, %v", names, err)
	}
	if st, err := host.Run(t.Context(), h, script(t, "bare", "exit 0"), host.Follow{}); err != nil || st.Reason != host.Exited {
		t.Errorf("with nothing to follow: %+v, %v", st, err)
	}
}

func TestRun_ships_the_log_as_it_comes(t *testing.T) {
	t.Parallel()
	h, sink := newHost(t, t.TempDir()), &folder{dir: t.TempDir()}
	sink.fail.Store(2) // a store that is away for a moment costs nothing
	task := script(t, "growing", "echo first; while [ ! -e go ]; do sleep 0.01; done; echo second")
	done := make(chan error)
	go func() {
		_, err := host.Run(t.Context(), h, task, host.Follow{Logs: sink, Poll: 5 * time.Millisecond})
		done <- err
	}()
	eventually(t, "the first line arrived", func() bool { return sink.log("growing") == "first\n" })
	if err := os.WriteFile(filepath.Join(task.Dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || sink.log("growing") != "first\nsecond\n" {
		t.Errorf("%v, log %q", err, sink.log("growing"))
	}
}

// What a task prints of a secret does not reach the log, not even when it comes
// in pieces; everything else does, at its own place.
func TestRun_secrets(t *testing.T) {
	t.Parallel()
	h, sink := newHost(t, t.TempDir()), &folder{dir: t.TempDir()}
	task := script(t, "secrets", "echo it is rl_abcdefgh; printf rl_abc; touch half; while [ ! -e go ]; do sleep 0.01; done; printf defgh; echo; printf rl_abc")
	done := make(chan error)
	go func() {
		_, err := host.Run(t.Context(), h, task, host.Follow{
			Logs: sink, Poll: 5 * time.Millisecond, Secrets: func(context.Context) []string { return []string{"rl_abcdefgh\n"} },
		})
		done <- err
	}()
	eventually(t, "half of it was printed, and the log is there up to it", func() bool {
		_, err := os.Stat(filepath.Join(task.Dir, "half"))
		return err == nil && sink.log("secrets") == "it is ***********\n"
	})
	if err := os.WriteFile(filepath.Join(task.Dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || sink.log("secrets") != "it is ***********\n***********\nrl_abc" {
		t.Errorf("%v, log %q", err, sink.log("secrets"))
	}
}

func TestRun_cancelled(t *testing.T) {
	t.Parallel()
	h, sink := newHost(t, t.TempDir()), &folder{dir: t.TempDir()}
	var asked atomic.Int32
	f := host.Follow{Logs: sink, Poll: 5 * time.Millisecond, Cancelled: func(context.Context) (bool, error) {
		if asked.Add(1) == 3 {
			return false, errors.New("the database does not answer")
		}
		return sink.log("cancelled") != "", nil
	}}
	st, err := host.Run(t.Context(), h, script(t, "cancelled", "trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.01; done"), f)
	if err != nil || st.Phase != host.Ended || st.Reason != host.Killed {
		t.Errorf("%+v, %v; want killed", st, err)
	}
	if log := sink.log("cancelled"); !strings.HasPrefix(log, "begun\n") || !strings.HasSuffix(log, "bye\n") {
		t.Errorf("log %q", log)
	}
	f.Cancelled = func(context.Context) (bool, error) { return true, nil }
	st, err = host.Run(t.Context(), h, script(t, "never", "echo begun"), f)
	if err != nil || st.Phase != host.Ended || st.Reason != host.Killed {
		t.Errorf("cancelled beforehand: %+v, %v; want killed", st, err)
	}
	if st, err := h.Observe(t.Context(), "never"); err != nil || st.Phase != host.Absent {
		t.Errorf("cancelled beforehand, and yet: %+v, %v", st, err)
	}
}

// TestRun_again: when the server stops, Run leaves the task alone; the next one
// follows it to its end and ships what is missing of its log.
func TestRun_again(t *testing.T) {
	t.Parallel()
	h, sink := newHost(t, t.TempDir()), &folder{dir: t.TempDir()}
	task := script(t, "again", "echo first; while [ ! -e go ]; do sleep 0.01; done; echo second; exit 4")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := host.Run(ctx, h, task, host.Follow{Logs: sink, Poll: 5 * time.Millisecond})
		done <- err
	}()
	eventually(t, "the first line arrived", func() bool { return sink.log("again") == "first\n" })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v, want context.Canceled", err)
	}
	if st, err := h.Observe(t.Context(), "again"); err != nil || st.Phase != host.Running {
		t.Errorf("after that: %+v, %v; want running", st, err)
	}
	if err := os.WriteFile(filepath.Join(task.Dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and once more, when all is over
		st, err := host.Run(t.Context(), h, task, host.Follow{Logs: sink})
		if err != nil || st.ExitCode != 4 || sink.log("again") != "first\nsecond\n" {
			t.Errorf("%+v, %v, log %q", st, err, sink.log("again"))
		}
	}
}

func TestRun_log_that_cannot_be_shipped_is_an_error_beside_the_end(t *testing.T) {
	t.Parallel()
	h, sink := newHost(t, t.TempDir()), &folder{dir: t.TempDir()}
	sink.fail.Store(1 << 20)
	task := script(t, "unshipped", "echo words; exit 2")
	st, err := host.Run(t.Context(), h, task, host.Follow{Logs: sink})
	if err == nil || st.ExitCode != 2 {
		t.Errorf("%+v, %v; want exit code 2 and an error", st, err)
	}
	sink.fail.Store(0)
	if st, err := host.Run(t.Context(), h, task, host.Follow{Logs: sink}); err != nil || st.ExitCode != 2 || sink.log("unshipped") != "words\n" {
		t.Errorf("%+v, %v, log %q", st, err, sink.log("unshipped"))
	}
}

// remote is a host that cannot be reached now and then.
type remote struct {
	*process.Host
	away atomic.Bool
}

func (r *remote) reach() error {
	if r.away.Load() {
		return ridgeline.Errorf(ridgeline.Unavailable, "the cluster does not answer")
	}
	return nil
}

func (r *remote) Observe(ctx context.Context, name string) (host.TaskState, error) {
	if err := r.reach(); err != nil {
		return host.TaskState{}, err
	}
	return r.Host.Observe(ctx, name)
}

func (r *remote) Wait(ctx context.Context, name string) (host.TaskState, error) {
	if err := r.reach(); err != nil {
		return host.TaskState{}, err
	}
	return r.Host.Wait(ctx, name)
}

func (r *remote) Kill(ctx context.Context, name string) error {
	if err := r.reach(); err != nil {
		return err
	}
	return r.Host.Kill(ctx, name)
}

func TestRun_host_away(t *testing.T) {
	h := &remote{Host: newHost(t, t.TempDir())}
	var cancelled atomic.Bool
	said := make(chan string, 10)
	f := host.Follow{
		Poll: 5 * time.Millisecond, Waits: func(_ context.Context, why string) { said <- why },
		Cancelled: func(context.Context) (bool, error) { return cancelled.Load(), nil },
	}
	begin := func(task host.Task) chan host.TaskState {
		ended := make(chan host.TaskState, 1)
		go func() {
			st, err := host.Run(t.Context(), h, task, f)
			if err != nil {
				t.Error(err)
			}
			ended <- st
		}()
		return ended
	}

	h.away.Store(true)
	ended := begin(script(t, "late", "exit 3"))
	if why := <-said; !strings.Contains(why, "does not answer") {
		t.Errorf("it waits because %q", why)
	}
	h.away.Store(false)
	if st := <-ended; st.Reason != host.Exited || st.ExitCode != 3 {
		t.Errorf("once the host is back: %+v", st)
	}

	h.away.Store(true)
	ended = begin(script(t, "unwanted", "exit 0"))
	<-said
	cancelled.Store(true)
	if st := <-ended; st.Reason != host.Killed || !strings.Contains(st.Message, "could not be reached") {
		t.Errorf("cancelled while the host is away: %+v", st)
	}

	h.away.Store(false)
	cancelled.Store(false)
	ended = begin(script(t, "going", "sleep 60"))
	eventually(t, "it runs", func() bool {
		st, err := h.Host.Observe(t.Context(), "going")
		return err == nil && st.Phase == host.Running
	})
	h.away.Store(true)
	cancelled.Store(true)
	if st := <-ended; st.Reason != host.Killed || !strings.Contains(st.Message, "could not be reached") {
		t.Errorf("cancelled while it runs and the host is away: %+v", st)
	}
	if err := h.Host.Remove(t.Context(), "going"); err != nil {
		t.Error(err)
	}
}

// What a task uses is told now and then, and goes on when another server takes
// over from one that is gone.
func TestRun_tells_what_is_used(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	task := script(t, "hungry", "while [ ! -e enough ]; do :; done")
	follow := func(h *process.Host) (ridgeline.Course, context.CancelFunc, chan host.TaskState) {
		ctx, cancel := context.WithCancel(t.Context())
		told, ended := make(chan ridgeline.Course, 100), make(chan host.TaskState, 1)
		go func() {
			st, _ := host.Run(ctx, h, task, host.Follow{Poll: 5 * time.Millisecond, Used: func(_ context.Context, c ridgeline.Course) { told <- c }})
			ended <- st
		}()
		select {
		case c := <-told:
			return c, cancel, ended
		case <-time.After(time.Minute):
			t.Fatal("within a minute it is not told what the task uses")
		}
		return ridgeline.Course{}, cancel, ended
	}
	first, cancel, ended := follow(newHost(t, dir))
	cancel()
	<-ended
	second, cancel, ended := follow(newHost(t, dir))
	defer cancel()
	if !first.Worth() || !second.Began.Equal(first.Began) || second.Length() < first.Length() {
		t.Errorf("one server is told %+v, and the next one %+v", first, second)
	}
	if err := os.WriteFile(filepath.Join(task.Dir, "enough"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if st := <-ended; st.Reason != host.Exited || st.Course.Length() < second.Length() || !st.Course.Began.Equal(first.Began) {
		t.Errorf("at its end: %+v", st)
	}
}
