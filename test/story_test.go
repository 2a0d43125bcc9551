// Package test tells Ridgeline's stories from the command line, and tries to
// break them: the built program, a real server, real Python.
//
// What one package promises by itself is tested beside it.
package test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the built program; `make build` makes it.
func binary(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../bin/ridgeline")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not built: make build", path)
		}
		t.Skipf("%s is not built: make build", path)
	}
	return path
}

// A ridgeline is a running server and its state folder.
type ridgeline struct {
	t     testing.TB
	bin   string
	dir   string
	flags []string
	cmd   *exec.Cmd
	log   *log
}

// A log may be read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newRidgeline starts a server with a state folder of its own, and stops it at
// the end of the test. Environments and layers are shared between the tests of
// this machine through uv's cache only.
func newRidgeline(t testing.TB, flags ...string) *ridgeline {
	t.Helper()
	r := &ridgeline{t: t, bin: binary(t), dir: t.TempDir(), flags: flags, log: &log{}}
	r.start()
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("the server's log:\n%s", tail(r.log.String(), 8000))
		}
	})
	return r
}

func (r *ridgeline) start() {
	r.t.Helper()
	_ = os.Remove(filepath.Join(r.dir, "url"))
	r.cmd = exec.Command(r.bin, append([]string{"up", "--dir", r.dir, "--listen", "127.0.0.1:0", "--slots", "4"}, r.flags...)...)
	r.cmd.Stderr, r.cmd.Stdout = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, 60*time.Second, "the server is up", func() bool {
		_, err := os.Stat(filepath.Join(r.dir, "url"))
		return err == nil
	})
}

// kill is kill -9.
func (r *ridgeline) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

func (r *ridgeline) stop() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = r.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(90 * time.Second):
		_ = r.cmd.Process.Kill()
		<-done
		r.t.Error("the server did not stop within 90 s")
	}
}

// do runs a command line in dir and returns what it printed, and whether it
// ended with 0.
func (r *ridgeline) do(dir string, args ...string) (stdout, stderr string, ok bool) {
	r.t.Helper()
	cmd := exec.Command(r.bin, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RIDGELINE_DIR="+r.dir)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	return out.String(), problem.String(), err == nil
}

func (r *ridgeline) must(dir string, args ...string) string {
	r.t.Helper()
	out, problem, ok := r.do(dir, args...)
	if !ok {
		r.t.Fatalf("ridgeline %s failed:\n%s%s", strings.Join(args, " "), out, problem)
	}
	return out
}

func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %s: %s", within, what)
}

// meanProject writes the small project of testdata/mean under a name of its
// own, as a git repository. It needs nothing beyond Python, so it is quick.
func meanProject(dir, name string) error {
	root := os.DirFS("testdata/mean")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte("NAME"), []byte(name))
		return os.WriteFile(filepath.Join(dir, path), text, 0o600)
	})
	if err != nil {
		return err
	}
	return commit(dir, "first")
}

func mkProject(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return meanProject(dir, name)
}

func commit(dir, message string) error {
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "-A"},
		{"-c", "user.name=story", "-c", "user.email=story@localhost", "commit", "-q", "--allow-empty", "-m", message},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// TestStories runs every story of test/scripts against one server. A story's
// name is its project's name, so that they do not meet.
func TestStories(t *testing.T) {
	clouds := newClouds(t)
	settings := filepath.Join(t.TempDir(), "server.yaml")
	if err := os.WriteFile(settings, []byte("prices: {currency: EUR, on_demand: {cpu: 3600, memory: 10}}\nbudget: {projects: {cost: 0.01}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRidgeline(t, "--webhook-networks", "127.0.0.1", "--settings", settings)
	t.Run("all", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir: "scripts",
			Setup: func(e *testscript.Env) error {
				e.Setenv("PATH", filepath.Dir(r.bin)+string(os.PathListSeparator)+os.Getenv("PATH"))
				e.Setenv("RIDGELINE_DIR", r.dir)
				e.Setenv("GIT_AUTHOR_NAME", "story")
				e.Setenv("GIT_AUTHOR_EMAIL", "story@localhost")
				e.Setenv("GIT_COMMITTER_NAME", "story")
				e.Setenv("GIT_COMMITTER_EMAIL", "story@localhost")
				return nil
			},
			Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
				"mean":   cmdMean,
				"commit": cmdCommit,
				"code":   cmdCode,
				"sub":    cmdSub,
				"uv":     cmdUV,
				"until":  cmdUntil,
				"cloud":  clouds.cmd,
				"grpc":   cmdGRPC,
			},
		})
	})
}

// cmdMean writes the small project into a folder of its name: mean NAME.
func cmdMean(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mean NAME")
	}
	ts.Check(mkProject(ts.MkAbs(args[0]), args[0]))
}

// cmdCommit commits all that is in the current folder.
func cmdCommit(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(commit(ts.MkAbs("."), strings.Join(args, " ")))
}

// cmdCode runs a command that must end with an exit code: code 3 ridgeline …
// Its output is not kept; the story asserts on the server afterwards.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if exit, ok := err.(*exec.ExitError); ok {
		got = fmt.Sprint(exit.ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("%s: exit code %s, expected %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// cmdSub replaces text in a file: sub FILE OLD NEW.
func cmdSub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: sub FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
}

// cmdUV runs uv as a user of it would, outside of the story's own environment:
// the one on PATH, or the one that the Makefile keeps.
func cmdUV(ts *testscript.TestScript, neg bool, args []string) {
	kept, _ := filepath.Glob(filepath.Join(os.Getenv("HOME"), ".cache", "ridgeline-tools", "uv-*", "bin", "uv"))
	for _, uv := range append([]string{"uv"}, kept...) {
		if exec.Command(uv, "--version").Run() != nil {
			continue
		}
		cmd := exec.Command(uv, args...)
		cmd.Dir = ts.MkAbs(".")
		out, err := cmd.CombinedOutput()
		if (err != nil) != neg {
			ts.Fatalf("uv %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return
	}
	ts.Fatalf("no uv on this machine: make tools")
}
