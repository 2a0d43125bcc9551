package kube_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/auth"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/host"
	"github.com/ridgeline-mlops/ridgeline/host/courier"
	"github.com/ridgeline-mlops/ridgeline/host/hosttest"
	"github.com/ridgeline-mlops/ridgeline/host/kube"
	"github.com/ridgeline-mlops/ridgeline/image"
)

// taskImage is an image of the kind that steps run in, with no packages.
func (w world) taskImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	scorer := filepath.Join(dir, "scorer")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", scorer, "../../cmd/scorer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the scorer: %v\n%s", err, out)
	}
	python, err := exec.LookPath("python3")
	if err == nil {
		python, err = filepath.EvalSymlinks(python)
	}
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.Command(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(dir, "site-packages")
	if err := os.MkdirAll(site, 0o700); err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir() // a base takes a while to make
	if err != nil {
		t.Fatal(err)
	}
	images, err := image.NewBuilder(image.Options{Dir: filepath.Join(cache, "ridgeline-test-layers")})
	if err != nil {
		t.Fatal(err)
	}
	defer images.Close()
	img, err := images.BuildTask(t.Context(), image.TaskSpec{
		Base: image.Base{Interpreter: python}, Scorer: scorer, Worker: os.DirFS("../../python"), SitePackages: site, Environment: "none", Python: strings.TrimSpace(string(version)),
	})
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := images.Push(t.Context(), img, w.registry+"/tasks/test:latest", image.Connection{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	return "tasks/test@" + pushed.Digest
}

// desk is where a world's tasks come to; its address is as pods see it.
func (w world) desk(t *testing.T) (*courier.Desk, string) {
	t.Helper()
	blobs, err := blob.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blobs.Close() })
	dir := t.TempDir()
	keys, err := auth.New(dir, dir, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &courier.Desk{
		Contents: blobs, Logs: blobs.Logs(), Notes: blobs.Objects("tasks"), Seal: keys.TaskToken, Whose: keys.Task,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	mux := http.NewServeMux()
	mux.Handle(courier.Pattern, d)
	return d, "http://" + w.Serve(mux)
}

// inImage gives the suite's tasks, which know of no images, theirs.
type inImage struct {
	kubeTasks
	image string
}

type kubeTasks = kube.Tasks

func (h inImage) Dir() string { return courier.Source }

func (h inImage) Ensure(ctx context.Context, task host.Task) error {
	task.Image = h.image
	return h.kubeTasks.Ensure(ctx, task)
}

func TestTasks(t *testing.T) {
	w := open(t)
	img := w.taskImage(t)
	type server struct {
		id   string
		desk *courier.Desk
		url  string
	}
	var mu sync.Mutex
	servers := map[*testing.T]server{}
	hosttest.Tasks(t, func(st *testing.T) host.Tasks {
		mu.Lock()
		s, ok := servers[st]
		if !ok {
			s.id = newServer()
			s.desk, s.url = w.desk(t)
			servers[st] = s
		}
		mu.Unlock()
		return inImage{w.host(st, s.id).Tasks(kube.Pool{Name: "kube", Desk: s.desk, Server: s.url}), img}
	})
}

// tasks opens one pool with a desk of its own.
func (w world) tasks(t *testing.T, p kube.Pool) (host.Tasks, *courier.Desk) {
	t.Helper()
	p.Name = "kube"
	p.Desk, p.Server = w.desk(t)
	return inImage{w.host(t, newServer()).Tasks(p), w.taskImage(t)}, p.Desk
}

func sh(name, script string) host.Task {
	return host.Task{Name: name, Command: []string{"/bin/sh", "-c", script}, Dir: courier.Source, Env: []string{"PATH=/usr/bin:/bin"}}
}

// until polls what is sure to become true.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !yes(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after two minutes still not: %s", what)
		}
	}
}

// phase waits until the task is in it, and returns its state.
func phase(t *testing.T, h host.Tasks, name string, want func(host.TaskState) bool) (st host.TaskState) {
	t.Helper()
	until(t, name+" is as expected", func() bool {
		var err error
		if st, err = h.Observe(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return want(st)
	})
	return st
}

func TestTasks_troubles(t *testing.T) {
	w := open(t)
	h, _ := w.tasks(t, kube.Pool{})
	ensure := func(task host.Task) {
		t.Helper()
		if err := h.Ensure(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
	waits := func(name, why string) {
		t.Helper()
		phase(t, h, name, func(st host.TaskState) bool { return st.Phase == host.Pending && strings.Contains(st.Message, why) })
		if err := h.Remove(t.Context(), name); err != nil {
			t.Error(err)
		}
		if st, err := h.Observe(t.Context(), name); err != nil || st.Phase != host.Absent {
			t.Errorf("after Remove: %+v, %v", st, err)
		}
	}
	large := sh("large", "exit 0")
	large.Resources = host.Resources{CPU: 900}
	ensure(large)
	waits("large", "no node has room")
	gpu := sh("gpu", "exit 0")
	gpu.Resources = host.Resources{GPU: 1}
	ensure(gpu)
	waits("gpu", "nvidia.com/gpu")
	missing := sh("missing", "exit 0")
	missing.Image = "tasks/test@sha256:" + strings.Repeat("0", 64)
	if err := h.(inImage).kubeTasks.Ensure(t.Context(), missing); err != nil {
		t.Fatal(err)
	}
	waits("missing", "cannot pull the image")
	w.Kubectl("create", "quota", "small", "--hard=pods=0")
	ensure(sh("quota", "exit 0"))
	waits("quota", "quota is used up")
}

func TestTasks_displaced(t *testing.T) {
	w := open(t)
	h, desk := w.tasks(t, kube.Pool{Spot: true})
	for _, test := range []struct {
		name string
		do   func(pod string)
		why  string
	}{
		{"evicted", func(pod string) {
			w.Kubectl("create", "--raw", "/api/v1/namespaces/"+w.Namespace+"/pods/"+pod+"/eviction", "-f", eviction(t, w.Namespace, pod))
		}, "was drained"},
		{"deleted", func(pod string) { w.Kubectl("delete", "pod", pod, "--wait=false") }, "taken away"},
	} {
		if err := h.Ensure(t.Context(), sh(test.name, "echo up; sleep 600")); err != nil {
			t.Fatal(err)
		}
		until(t, test.name+" has begun", func() bool { return len(read(t, desk, test.name)) > 0 })
		test.do(w.Kubectl("get", "pods", "--selector=ridgeline.io/task", "--field-selector=status.phase=Running", "--output=jsonpath={.items[0].metadata.name}"))
		st := phase(t, h, test.name, func(st host.TaskState) bool { return st.Phase == host.Ended })
		if st.Reason != host.Displaced || !strings.Contains(st.Message, test.why) {
			t.Errorf("%s: ended as %+v; want displaced, and %q", test.name, st, test.why)
		}
		if log := read(t, desk, test.name); log != "up\n" {
			t.Errorf("%s: what it wrote is gone with its pod: %q", test.name, log)
		}
		if err := h.Remove(t.Context(), test.name); err != nil {
			t.Error(err)
		}
	}
}

func eviction(t *testing.T, namespace, pod string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "eviction.json")
	text := `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"` + pod + `","namespace":"` + namespace + `"}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, d *courier.Desk, task string) string {
	t.Helper()
	r, err := d.ReadLog(t.Context(), task, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}
