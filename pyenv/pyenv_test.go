package pyenv

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// These tests use the real uv, a real Python and the real index. The test
// binary is also the second process where one is needed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PYENV_TEST_CHILD"); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// child ensures the lock that lies in dir. With PYENV_TEST_HANG it stops for
// ever as soon as packages are being installed.
func child(dir string) int {
	lock, ok := readLock(filepath.Join(dir, "lock.json"))
	m, err := New(Options{Dir: filepath.Join(dir, "pyenv")})
	if err != nil || !ok {
		fmt.Println("child:", err, ok)
		return 2
	}
	env, err := m.Ensure(context.Background(), lock, func(line string) {
		fmt.Println("progress", line)
		if os.Getenv("PYENV_TEST_HANG") != "" && strings.HasPrefix(line, "Resolved") {
			fmt.Println("hanging")
			select {}
		}
	})
	if err != nil {
		fmt.Println("child:", err)
		return 1
	}
	fmt.Println("ready", env.Dir)
	return 0
}

func manager(t *testing.T, dir string) *Manager {
	t.Helper()
	m, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLock(t *testing.T, m *Manager, dir, file string) Lock {
	t.Helper()
	lock, err := m.Lock(t.Context(), dir, Wish{File: file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

// python runs code in an environment and returns what it prints.
func python(t *testing.T, env Env, code string) string {
	t.Helper()
	out, err := exec.Command(env.Python, "-I", "-c", code).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestLock_and_Ensure(t *testing.T) {
	m := manager(t, t.TempDir())
	dir := project(t, map[string]string{
		"requirements.txt": "# mine\nsix==1.16.0\n-r more/dev.txt\n",
		"more/dev.txt":     "idna  # any\n-c ../pins.txt\n",
		"pins.txt":         "idna==3.6\n",
	})
	lock := mustLock(t, m, dir, "requirements.txt")
	if !strings.Contains(lock.Text, "six==1.16.0") || !strings.Contains(lock.Text, "idna==3.6 ") || !strings.Contains(lock.Text, "--hash=sha256:") {
		t.Errorf("lock:\n%s", lock.Text)
	}
	if _, version, err := m.Interpreter(t.Context()); err != nil || version != lock.Python {
		t.Errorf("Python %s, locked for %s: %v", version, lock.Python, err)
	}
	var lines []string
	env, err := m.Ensure(t.Context(), lock, func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines, "\n"); !strings.Contains(got, "creating an environment") || !strings.Contains(got, "Installed 2 packages") {
		t.Errorf("progress:\n%s", got)
	}
	got := python(t, env, "import six, idna, sys; print(six.__version__, idna.__version__, sys.prefix, six.__file__)")
	if want := fmt.Sprintf("1.16.0 3.6 %s %s/six.py", env.Dir, env.SitePackages); got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	t.Run("a finished one costs next to nothing", func(t *testing.T) {
		start := time.Now()
		const rounds = 100
		for range rounds {
			if again, err := m.Ensure(t.Context(), lock, nil); err != nil || again != env {
				t.Fatal(again, err)
			}
		}
		each := time.Since(start) / rounds
		t.Logf("%s each", each)
	})
	t.Run("the same content gives the same lock without the network", func(t *testing.T) {
		t.Setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if again := mustLock(t, manager(t, m.dir), copied, "./requirements.txt"); again != lock {
			t.Errorf("got %+v, want %+v", again, lock)
		}
	})
	t.Run("another pin gives another lock", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "pins.txt"), []byte("idna==3.7\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if other := mustLock(t, m, dir, "requirements.txt"); other.Hash == lock.Hash || !strings.Contains(other.Text, "idna==3.7 ") {
			t.Errorf("lock:\n%s", other.Text)
		}
	})
	t.Run("cached packages do without the index", func(t *testing.T) {
		t.Setenv("HTTPS_PROXY", "http://127.0.0.1:9")
		t.Setenv("https_proxy", "http://127.0.0.1:9")
		t.Setenv("UV_HTTP_RETRIES", "0")
		other := manager(t, t.TempDir())
		env, err := other.Ensure(t.Context(), lock, nil)
		if err != nil {
			t.Fatal(err)
		}
		python(t, env, "import six")
	})
	t.Run("a vanished interpreter makes it anew", func(t *testing.T) {
		if err := os.Remove(env.Python); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/nowhere/python", env.Python); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Ensure(t.Context(), lock, nil); err != nil {
			t.Fatal(err)
		}
		python(t, env, "import six")
	})
}

const projectTOML = `[project]
name = "p1"
version = "0.1"
requires-python = ">=3.9"
dependencies = ["six==1.16.0"]
[dependency-groups]
dev = ["idna==3.6"]
`

func TestLock_uv_project(t *testing.T) {
	m := manager(t, t.TempDir())
	dir := project(t, map[string]string{"sub/pyproject.toml": projectTOML})
	sub := filepath.Join(dir, "sub")
	if _, err := m.Lock(t.Context(), dir, Wish{File: "sub/uv.lock"}, nil); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "make it with `uv lock`") {
		t.Errorf("no uv.lock: %v", err)
	}
	resolved := mustLock(t, m, dir, "sub/pyproject.toml")
	if _, err := m.run(t.Context(), call{doing: "lock", dir: sub}, "lock"); err != nil {
		t.Fatal(err)
	}
	lock := mustLock(t, m, dir, "sub/uv.lock")
	if again := mustLock(t, m, dir, "sub/pyproject.toml"); again != lock {
		t.Errorf("pyproject.toml and uv.lock differ:\n%s\n%s", again.Text, lock.Text)
	}
	if strings.Contains(lock.Text, "index-url") || strings.Contains(lock.Text, "p1") {
		t.Errorf("lock:\n%s", lock.Text)
	}
	if resolved != lock {
		t.Errorf("resolved here:\n%s\nby uv.lock:\n%s", resolved.Text, lock.Text)
	}
	env, err := m.Ensure(t.Context(), lock, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := python(t, env, "import six, idna; print(six.__version__, idna.__version__)"); got != "1.16.0 3.6" {
		t.Errorf("got %s", got)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"stale":      {strings.Replace(projectTOML, "1.16.0", "1.15.0", 1), "uv.lock does not match pyproject.toml any more: run `uv lock`"},
		"new python": {strings.Replace(projectTOML, ">=3.9", ">=3.99", 1), "wants Python >=3.99 (requires-python of sub/pyproject.toml), environments are made for Python 3.9 to 3.15"},
	} {
		if err := os.WriteFile(filepath.Join(sub, "pyproject.toml"), []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Lock(t.Context(), dir, Wish{File: "sub/uv.lock"}, nil); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLock_mistakes(t *testing.T) {
	m := manager(t, t.TempDir())
	for name, tt := range map[string]struct {
		file, text string
		code       ridgeline.Code
		want       []string
	}{
		"unknown package": {"requirements.txt", "six\nridgeline-no-such-package-a1b2c3\n", ridgeline.Invalid, []string{"lock requirements.txt: ", "ridgeline-no-such-package-a1b2c3 was not found", "correct the name"}},
		"no such version": {"requirements.txt", "six==99.1\n", ridgeline.Invalid, []string{"six==99.1"}},
		"conflict":        {"requirements.txt", "six==1.16.0\nsix==1.15.0\n", ridgeline.Invalid, []string{"six==1.16.0 and six==1.15.0", "unsatisfiable"}},
		"syntax":          {"requirements.txt", "six===\n", ridgeline.Invalid, []string{"requirements.txt", "expected version"}},
		"missing include": {"requirements.txt", "-r dev.txt\n", ridgeline.Invalid, []string{"dev.txt is not in the project"}},
		"outside":         {"requirements.txt", "-r../../etc/passwd\n", ridgeline.Invalid, []string{"expected a file inside the project"}},
		"include by http": {"requirements.txt", "-r https://example.com/r.txt\n", ridgeline.Invalid, []string{"not part of the commit"}},
		"absent folder":   {"requirements.txt", "./lib\n", ridgeline.Invalid, []string{`"./lib": lib is not in the project`}},
		"far wheel":       {"requirements.txt", "lib @ file:///x/lib.whl\n", ridgeline.Invalid, []string{"outside the project"}},
		"password":        {"requirements.txt", "--index-url https://me:hunter22@example.com/simple\nsix\n", ridgeline.Invalid, []string{"https://***@example.com", "python.indexes", "UV_INDEX_<NAME>_PASSWORD"}},
		"token":           {"requirements.txt", "lib @ git+https://ghp_hunter22@example.com/lib\n", ridgeline.Invalid, []string{"https://***@example.com", "a password in a file"}},
		"wheels folder":   {"requirements.txt", "--find-links wheels\nsix\n", ridgeline.Invalid, []string{"wheels is no folder of the project"}},
		"no conda":        {"conda.yaml", "- six\n", ridgeline.Invalid, []string{"expected a conda environment file"}},
		"lonely poetry":   {"poetry.lock", "", ridgeline.Invalid, []string{"needs pyproject.toml beside it"}},
		"poetry unlocked": {"pyproject.toml", "[tool.poetry.dependencies]\nsix = \"*\"\n", ridgeline.Invalid, []string{"make poetry.lock with `poetry lock`"}},
		"broken toml":     {"pyproject.toml", "[project\nname=1\n", ridgeline.Invalid, []string{"pyproject.toml:2: "}},
		"empty toml":      {"pyproject.toml", "[tool.ruff]\n", ridgeline.Invalid, []string{"expected a [project] table"}},
		"setup.py":        {"setup.py", "", ridgeline.Invalid, []string{"expected requirements.txt, pyproject.toml, uv.lock"}},
		"escape":          {"../requirements.txt", "", ridgeline.Invalid, []string{"inside the project"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := project(t, map[string]string{filepath.Base(tt.file): tt.text})
			_, err := m.Lock(t.Context(), dir, Wish{File: tt.file}, nil)
			if ridgeline.CodeOf(err) != tt.code {
				t.Fatalf("expected %s, got %v (%s)", tt.code, err, ridgeline.CodeOf(err))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("expected %q in: %s", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter22") || len(err.Error()) > 900 || strings.Count(err.Error(), "\n") > 3 {
				t.Errorf("message: %s", err)
			}
		})
	}
	if _, err := m.Lock(t.Context(), filepath.Join(t.TempDir(), "absent"), Wish{File: "requirements.txt"}, nil); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("no folder: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(m.dir, "locks", "*.json")); len(left) > 0 {
		t.Errorf("a failed lock was kept: %v", left)
	}
}

func TestLock_no_network(t *testing.T) {
	m := manager(t, t.TempDir())
	t.Setenv("UV_DEFAULT_INDEX", "http://me:hunter22@127.0.0.1:9/simple")
	t.Setenv("UV_HTTP_RETRIES", "0")
	t.Setenv("UV_CACHE_DIR", t.TempDir())
	var lines []string
	_, err := m.Lock(t.Context(), project(t, map[string]string{"requirements.txt": "six\n"}), Wish{File: "requirements.txt"}, func(l string) { lines = append(lines, l) })
	if ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "Connection refused") || !strings.Contains(err.Error(), "HTTPS_PROXY") {
		t.Errorf("%s: %v", ridgeline.CodeOf(err), err)
	}
	if all := strings.Join(lines, "\n") + err.Error(); strings.Contains(all, "hunter22") {
		t.Errorf("the password shows: %s", all)
	}
}

func TestEnsure_mistakes(t *testing.T) {
	m := manager(t, t.TempDir())
	good := mustLock(t, m, project(t, map[string]string{"requirements.txt": "six==1.16.0\n"}), "requirements.txt")
	wrong := NewLock(zeroHashes(good.Text), good.Python)
	_, err := m.Ensure(t.Context(), wrong, nil)
	if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "Hash mismatch for `six==1.16.0`") {
		t.Errorf("wrong hash: %v", err)
	}
	if _, err := os.Stat(m.env(wrong).Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed environment is left: %v", err)
	}
	bad := good
	bad.Text += "idna==3.6\n"
	if _, err := m.Ensure(t.Context(), bad, nil); ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "does not match its text") {
		t.Errorf("changed text: %v", err)
	}
	bad.Hash = "../../etc"
	if _, err := m.Ensure(t.Context(), bad, nil); ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Errorf("hash as path: %v", err)
	}
	if _, err := m.Ensure(t.Context(), NewLock("", "3.99"), nil); ridgeline.CodeOf(err) != ridgeline.Unavailable || !strings.Contains(err.Error(), "expected Python 3.99") {
		t.Errorf("absent Python: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Ensure(ctx, good, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// zeroHashes replaces every hash by one that no file has.
func zeroHashes(text string) string {
	fields := strings.Split(text, "sha256:")
	for i := 1; i < len(fields); i++ {
		fields[i] = strings.Repeat("0", 64) + fields[i][64:]
	}
	return strings.Join(fields, "sha256:")
}

// shared prepares a lock and the folder in which child processes want it.
func shared(t *testing.T) (string, *Manager, Lock) {
	t.Helper()
	dir := t.TempDir()
	m := manager(t, filepath.Join(dir, "pyenv"))
	lock := mustLock(t, m, project(t, map[string]string{"requirements.txt": "six==1.16.0\nidna==3.6\n"}), "requirements.txt")
	kept, err := filepath.Glob(filepath.Join(m.dir, "locks", "*.json"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	text, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lock.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, m, lock
}

func childCommand(t *testing.T, dir string, more ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), append([]string{"PYENV_TEST_CHILD=" + dir}, more...)...)
	return cmd
}

func TestEnsure_after_a_kill(t *testing.T) {
	dir, m, lock := shared(t)
	cmd := childCommand(t, dir, "PYENV_TEST_HANG=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for s := bufio.NewScanner(out); s.Scan(); {
		if said = append(said, s.Text()); s.Text() == "hanging" {
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	env := m.env(lock)
	if _, err := os.Stat(filepath.Join(env.Dir, "pyvenv.cfg")); err != nil {
		t.Fatalf("nothing half-built is left (%v); the child said:\n%s", err, strings.Join(said, "\n"))
	}
	if env.ready() {
		t.Fatal("the half-built environment counts as ready")
	}
	// What a dead process left must not get into the new one.
	stray := filepath.Join(env.Dir, "stray")
	if err := os.WriteFile(stray, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := m.Ensure(ctx, lock, nil); err != nil {
		t.Fatal(err)
	}
	python(t, env, "import six, idna")
	if _, err := os.Stat(stray); err == nil {
		t.Error("the half-built environment was built upon")
	}
}

func TestEnsure_many_at_once(t *testing.T) {
	dir, m, lock := shared(t)
	var outputs [2]bytes.Buffer
	var children []*exec.Cmd
	for i := range outputs {
		cmd := childCommand(t, dir)
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, cmd)
	}
	var wg sync.WaitGroup
	var installed [3]int
	for i := range installed {
		wg.Go(func() {
			if _, err := m.Ensure(t.Context(), lock, func(line string) { installed[i] += strings.Count(line, "Installed 2 packages") }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	times := installed[0] + installed[1] + installed[2]
	for i, cmd := range children {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, outputs[i].String())
		}
		times += strings.Count(outputs[i].String(), "Installed 2 packages")
	}
	if times != 1 {
		t.Errorf("installed %d times", times)
	}
	python(t, m.env(lock), "import six, idna")
}

// An orphan that still writes keeps the lock of the process that started it.
func TestExec_child_keeps_the_lock(t *testing.T) {
	m := manager(t, t.TempDir())
	path := filepath.Join(m.dir, "x.lock")
	held, err := acquire(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(m.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	started := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = m.exec(t.Context(), call{dir: m.dir, held: held, tell: func(string) { close(started) }}, "/bin/sh", "-c", "echo up >&2; read x < fifo")
	}()
	<-started
	_ = held.Close() // as the kernel does for a killed process
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if f, err := acquire(ctx, path, nil); err == nil {
		_ = f.Close()
		t.Error("the lock is free while the orphan runs")
	}
	if err := os.WriteFile(fifo, []byte("go on\n"), 0); err != nil {
		t.Fatal(err)
	}
	<-done
	f, err := acquire(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

func TestExec_cancel_ends_the_whole_group(t *testing.T) {
	m := manager(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := m.exec(ctx, call{dir: m.dir, tell: func(string) { cancel() }}, "/bin/sh", "-c", "sleep 600 & echo up >&2; wait")
	if err == nil {
		t.Error("a cancelled command succeeded")
	}
}

// Without uv on PATH the manager installs its own, once, also after a
// half-done try.
func TestTool_is_installed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	m := manager(t, t.TempDir())
	python, _, err := m.Interpreter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for _, name := range []string{"python3", "uv"} {
		target := python
		if name == "uv" { // too old to be used
			target = filepath.Join(bin, "old")
			if err := os.WriteFile(target, []byte("#!/bin/sh\necho uv 0.4.30\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	m = manager(t, m.dir)
	if i, err := m.defaultInterpreter(t.Context()); err != nil || filepath.Dir(i.path) == "" {
		t.Fatal(i, err)
	}
	m.interpreter.path = filepath.Join(bin, "python3") // whose folder has no other uv
	half := filepath.Join(m.dir, "uv", "bin", "uv")
	if err := os.MkdirAll(filepath.Dir(half), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(half, []byte("cut sho"), 0o755); err != nil {
		t.Fatal(err)
	}
	var lines []string
	path, err := m.tool(t.Context(), func(l string) { lines = append(lines, l) })
	if err != nil {
		t.Fatal(err)
	}
	if path != half || !strings.Contains(strings.Join(lines, "\n"), "installing uv") {
		t.Errorf("%s; progress: %q", path, lines)
	}
	if v, err := m.toolVersion(t.Context(), path); err != nil || compare(v, oldestUV, 3) < 0 {
		t.Errorf("%v %v", v, err)
	}
	again := manager(t, m.dir)
	again.interpreter = m.interpreter
	if path, err := again.tool(t.Context(), func(l string) { t.Errorf("again: %s", l) }); err != nil || path != half {
		t.Errorf("%s %v", path, err)
	}
}
