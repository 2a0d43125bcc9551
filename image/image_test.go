package image_test

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/ridgeline-mlops/ridgeline/image"
	"github.com/ridgeline-mlops/ridgeline/registry"
)

// shared is a folder for what several tests use: an environment, and the cache
// in which the base is made once.
var shared string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "image-test-")
	if err != nil {
		panic(err)
	}
	shared = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// need skips a test whose tool is missing here, and fails it in CI, where all
// of them have to be.
func need(t *testing.T, tool string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is needed: %v", tool, err)
	}
	t.Skipf("%s is needed: %v", tool, err)
	return ""
}

// environment is a virtual environment with numpy and iniconfig, installed by uv.
var environment = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(shared, "env")
	for _, args := range [][]string{
		{"venv", "-q", "--python", "3.11", dir},
		{"pip", "install", "-q", "--python", filepath.Join(dir, "bin", "python"), "numpy", "iniconfig"},
	} {
		cmd := exec.Command("uv", args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return "", &commandError{args, out.String(), err}
		}
	}
	return dir, nil
})

type commandError struct {
	args   []string
	output string
	err    error
}

func (e *commandError) Error() string {
	return strings.Join(e.args, " ") + ": " + e.err.Error() + ": " + e.output
}

// small is a spec whose environment is a folder with one package, for tests
// that run nothing of it; only the base comes from the real interpreter.
func small(t *testing.T) image.Spec {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"env/lib/python3.11/site-packages/greet/__init__.py":                   "def hello():\n    return {'a', 'b', 'c', 'd'}\n",
		"env/lib/python3.11/site-packages/greet/__pycache__/x.cpython-311.pyc": "stale",
		"env/lib/python3.11/site-packages/greet-1.dist-info/METADATA":          "Name: greet\nVersion: 1\n",
		"env/lib/python3.11/site-packages/greet-1.dist-info/direct_url.json":   dir,
		"env/lib/python3.11/site-packages/greet-1.dist-info/RECORD":            "greet/__init__.py,sha256=x,1\n../../../bin/greet,sha256=" + filepath.Base(filepath.Dir(dir)) + ",2\ngreet-1.dist-info/RECORD,,\ngreet/__pycache__/x.cpython-311.pyc,,\n",
		"env/lib/python3.11/site-packages/_virtualenv.py":                      "# " + dir,
		"env/bin/greet":         "#!" + dir + "/env/bin/python\n",
		"app/score.py":          "import json\n\ndef init():\n    pass\n\ndef run(raw_data):\n    return json.loads(raw_data)\n",
		"app/.git/config":       dir,
		"app/.venv/pyvenv.cfg":  dir,
		"model/ridge.json":      `{"weights": [1, 2, 3]}`,
		"scorer":                "#!/bin/true\n",
		"app/package/broken.py": "this does not compile\n",
	}
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return image.Spec{
		Base: image.Base{Interpreter: python(t)}, Scorer: filepath.Join(dir, "scorer"), Worker: worker(),
		SitePackages: filepath.Join(dir, "env/lib/python3.11/site-packages"), Environment: "lock-1", Python: "3.11",
		App: filepath.Join(dir, "app"), Model: filepath.Join(dir, "model"), ModelName: "ridge", Version: 1, Score: "score.py",
		Labels: map[string]string{"org.opencontainers.image.revision": "abc", "io.ridgeline.run": "r-1"},
	}
}

func worker() fs.FS {
	return fstest.MapFS{
		"ridgeline_worker/__init__.py": {Data: []byte("")},
		"ridgeline_worker/__main__.py": {Data: []byte("print('worker')\n")},
		"ridgeline_worker/notes.txt":   {Data: []byte("not shipped")},
	}
}

var interpreter = sync.OnceValues(func() (string, error) {
	for _, name := range []string{"python3.11", "python3"} {
		out, err := exec.Command(name, "-c", "import sys; assert sys.version_info[:2] == (3, 11); print(sys._base_executable)").Output()
		if err == nil {
			return strings.TrimSpace(string(out)), nil
		}
	}
	return "", exec.ErrNotFound
})

func python(t *testing.T) string {
	t.Helper()
	path, err := interpreter()
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("Python 3.11 is needed")
	}
	if err != nil {
		t.Fatal("Python 3.11 is needed")
	}
	return path
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// newBuilder has a cache of its own, except that its base may be there already.
func newBuilder(t *testing.T, dir string) *image.Builder {
	t.Helper()
	b, err := image.NewBuilder(image.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// seeded is a cache that holds the base and nothing else.
func seeded(t *testing.T) string {
	t.Helper()
	base := strings.TrimPrefix(build(t, warm(t), small(t)).Layers()[0].Digest, "sha256:")
	dir := t.TempDir()
	for _, sub := range []string{"blobs", "layers", "bases"} {
		list, err := os.ReadDir(filepath.Join(shared, "cache", sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			name := filepath.Join(shared, "cache", sub, d.Name())
			if sub == "blobs" && d.Name() != base || sub == "layers" && !strings.Contains(read(t, name), base) {
				continue
			}
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(name, filepath.Join(dir, sub, d.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// warm is a builder on the cache that the tests share.
func warm(t *testing.T) *image.Builder {
	t.Helper()
	return newBuilder(t, filepath.Join(shared, "cache"))
}

// newRegistry serves an empty embedded registry and returns host:port. Requests
// are noted, if log is given.
func newRegistry(t *testing.T, log *[]string) string {
	t.Helper()
	h, err := registry.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if log != nil {
			mu.Lock()
			*log = append(*log, r.Method+" "+r.URL.RequestURI())
			mu.Unlock()
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func build(t *testing.T, b *image.Builder, s image.Spec) *image.Image {
	t.Helper()
	img, err := b.Build(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func push(t *testing.T, b *image.Builder, img *image.Image, ref string) image.Pushed {
	t.Helper()
	p, err := b.Push(context.Background(), img, ref, image.Connection{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func unpack(t *testing.T, b *image.Builder, ref string, kinds ...string) image.Unpacked {
	t.Helper()
	u, err := b.Unpack(context.Background(), ref, image.Connection{Insecure: true}, t.TempDir(), kinds)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
