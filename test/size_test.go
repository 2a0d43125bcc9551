package test

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// taskProject writes a project that makes no model: build is the lines of its
// build section.
func taskProject(t *testing.T, name, build string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	files := map[string]string{
		"ridgeline.yaml":   "project: " + name + "\npython: requirements.txt\nbuild:\n" + build + "pipeline:\n  on: {push: false}\n  steps:\n    nothing: \"true\"\n",
		"requirements.txt": "",
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"config", "user.name", "test"}, {"config", "user.email", "test@example.com"}} {
		output(t, dir, "git", args...)
	}
	if err := commit(dir, "first"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// peak is the most memory that the server has held, in bytes.
func (r *ridgeline) peak() int64 {
	r.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		r.t.Fatalf("no VmHWM in\n%s", text)
	}
	kB, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return kB << 10
}

// kept is how many bytes a folder of the state holds.
func (r *ridgeline) kept(folder string) (size int64) {
	r.t.Helper()
	err := filepath.WalkDir(filepath.Join(r.dir, folder), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return size
}

// A task that writes 2 GB of log: it ends as it would have, what is kept is
// bounded, and the log says what is missing.
func TestSize_log(t *testing.T) {
	long(t)
	r := newRidgeline(t)
	dir := taskProject(t, "wordy", "  tests: yes ridgeline | head -c 2147483648; echo at last\n")
	r.must(dir, "push")
	if size := r.kept("blob"); size > 600<<20 {
		t.Errorf("%d MB are kept of it", size>>20)
	}
	if peak := r.peak(); peak > 400<<20 {
		t.Errorf("the server held %d MB", peak>>20)
	}
	build := decode[[]struct{ Build string }](t, r.must(dir, "builds", "--project", "wordy", "--json"))[0].Build
	cmd := exec.Command(r.bin, "logs", build, "tests")
	cmd.Env = append(os.Environ(), "RIDGELINE_DIR="+r.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var gap, last string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if last = lines.Text(); strings.HasPrefix(last, "ridgeline: ") {
			gap = last
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(gap, "bytes) were left out here") || !strings.HasSuffix(last, "at last") {
		t.Errorf("the log has %q in its middle and ends with %q", gap, last)
	}
}

// A git push of 500 MB that do not compress: it arrives, and the server's
// memory does not grow with it.
func TestSize_push(t *testing.T) {
	long(t)
	r := newRidgeline(t)
	dir := taskProject(t, "heavy", "  tests: test $(wc -c < weights.bin) = 500000000\n")
	f, err := os.Create(filepath.Join(dir, "weights.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.Reader, 500_000_000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := commit(dir, "weights"); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(strings.TrimSpace(r.file("url")), "://", "://me:"+strings.TrimSpace(r.file("token"))+"@", 1) + "/git/heavy.git"
	output(t, dir, "git", "push", "-q", url, "main")
	eventually(t, 5*time.Minute, "the pushed commit is built", func() bool {
		builds := decode[[]struct{ Status string }](t, r.must(dir, "builds", "--project", "heavy", "--json"))
		if len(builds) > 0 && builds[0].Status == "failed" {
			t.Fatal(r.must(dir, "builds", "--project", "heavy"))
		}
		return len(builds) > 0 && builds[0].Status == "succeeded"
	})
	if peak := r.peak(); peak > 300<<20 {
		t.Errorf("the server held %d MB", peak>>20)
	}
}

// A task that fills the disk on which the server keeps its state: it is red
// and says why; the server lives, and the next build is green.
func TestSize_disk(t *testing.T) {
	r := &ridgeline{t: t, bin: binary(t), dir: t.TempDir(), log: &log{}}
	if err := syscall.Mount("tmpfs", r.dir, "tmpfs", 0, "size=150m,mode=0700"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("a small disk needs root:", err)
		}
		t.Skip("a small disk needs root: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(r.dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r.start()
	t.Cleanup(r.stop)
	dir := taskProject(t, "greedy", "  tests: head -c 1000000000 /dev/zero > all\n")
	_, problem, ok := r.do(dir, "push")
	if ok || !strings.Contains(problem, "No space left on device") {
		t.Fatalf("pushed: %v\n%s", ok, problem)
	}
	if err := os.WriteFile(filepath.Join(dir, "ridgeline.yaml"), []byte("project: greedy\npython: requirements.txt\nbuild: {tests: echo modest}\npipeline: {on: {push: false}, steps: {nothing: \"true\"}}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := commit(dir, "modest"); err != nil {
		t.Fatal(err)
	}
	r.must(dir, "push")
	r.kill()
	r.start()
	if builds := decode[[]struct{ Status string }](t, r.must(dir, "builds", "--project", "greedy", "--json")); len(builds) != 2 || builds[0].Status != "succeeded" || builds[1].Status != "failed" {
		t.Errorf("after a restart: %+v", builds)
	}
}

// Killed while three tasks of a build run side by side, the server finds them
// again: each runs once, and the build is green.
func TestKillBuild(t *testing.T) {
	r := newRidgeline(t)
	dir := taskProject(t, "three", "  tests: {one: sleep 1; echo told, two: sleep 1; echo told}\n  quality: {style: sleep 1; echo told}\n")
	r.must(dir, "push", "--detach")
	eventually(t, 60*time.Second, "three tasks run", func() bool { return tasks(t, r) == 3 })
	r.kill()
	r.start()
	type build struct{ Build, Status string }
	var last build
	eventually(t, 60*time.Second, "the build has ended", func() bool {
		last = decode[[]build](t, r.must(dir, "builds", "--project", "three", "--json"))[0]
		return last.Status == "succeeded" || last.Status == "failed"
	})
	if last.Status != "succeeded" {
		t.Fatal(r.must(dir, "builds", "--project", "three"))
	}
	for _, task := range []string{"one", "two", "style"} {
		if log := r.must(dir, "logs", last.Build, task); strings.TrimSpace(log) != "told" {
			t.Errorf("%s ran otherwise than once: %q", task, log)
		}
	}
}

// long marks a test that moves gigabytes.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("moves gigabytes")
	}
}
