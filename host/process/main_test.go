package process_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/hosttest"
	"github.com/ridgeline-mlops/ridgeline/host/process"
)

// The test binary is also the supervisor, the server that gets killed and the
// scorer.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(process.Supervise(os.Args[2]))
		case "serve":
			os.Exit(serve(os.Args[2]))
		case "scorer":
			os.Exit(hosttest.Scorer(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

func options(dir string) process.Options {
	return process.Options{
		Dir:        dir,
		Supervisor: []string{self(), "supervise"},
		Slots:      4,
		Log:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Prepare: func(_ context.Context, image string) (process.Local, error) {
			return process.Local{Command: []string{self(), "scorer", image}, Dir: "/", Env: []string{"FROM_IMAGE=" + image}}, nil
		},
	}
}

// begin opens a host and runs it until the test ends or stop is called.
func begin(t *testing.T, o process.Options) (h *process.Host, stop func()) {
	t.Helper()
	h, err := process.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return h, stop
}

// reopen makes a newHost of the suite: the same t gets the same folder, and
// the host before is stopped as its server would have been.
func reopen() func(t *testing.T) *process.Host {
	var mu sync.Mutex
	dirs := map[*testing.T]string{}
	stops := map[*testing.T]func(){}
	return func(t *testing.T) *process.Host {
		mu.Lock()
		defer mu.Unlock()
		if stop := stops[t]; stop != nil {
			stop()
		} else {
			dirs[t] = filepath.Join(t.TempDir(), "host")
		}
		h, stop := begin(t, options(dirs[t]))
		stops[t] = stop
		return h
	}
}

func TestTasks(t *testing.T) {
	open := reopen()
	hosttest.Tasks(t, func(t *testing.T) host.Tasks { return open(t) })
}

func TestServices(t *testing.T) {
	open := reopen()
	hosttest.Services(t, func(t *testing.T) host.Services { return open(t).Services() },
		hosttest.Images{Good: "good", Broken: "broken", Never: "never"})
}
