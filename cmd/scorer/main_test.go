package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the scorer: the tests run it as a process,
// with real signals and exit codes.
func TestMain(m *testing.M) {
	if os.Getenv("SCORER_TEST_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

const model = `
import json
def init():
    global factor
    factor = 2
def run(raw_data):
    return {"result": [factor * sum(row) for row in json.loads(raw_data)["data"]]}
`

// scorer is the command with the environment of an image.
func scorer(t *testing.T, script string, args ...string) (*exec.Cmd, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "score.py"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	worker, err := filepath.Abs("../../python")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SCORER_TEST_MAIN=1", "RIDGELINE_APP="+dir, "RIDGELINE_SCORE=score.py", "RIDGELINE_WORKER_PATH="+worker, "RIDGELINE_LISTEN=unix://"+dir+"/s.sock", "RIDGELINE_DRAIN_MS=50")
	return cmd, dir
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

func TestServe(t *testing.T) {
	cmd, dir := scorer(t, model)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", dir+"/s.sock")
	}}}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if r, err := client.Get("http://unix/healthz/ready"); err == nil {
			r.Body.Close()
			if r.StatusCode == 200 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready within 20 s")
		}
	}
	r, err := client.Post("http://unix/score", "application/json", strings.NewReader(`{"data": [[1, 2], [3, 4]]}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || string(body) != `{"result": [6, 14]}` || r.Header.Get("x-ms-server-version") != "ridgeline/dev" {
		t.Errorf("got %s, %v", body, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd.Wait()); code != 0 {
		t.Errorf("exit code %d after SIGTERM\n%s", code, &log)
	}
	if _, err := os.Stat(dir + "/s.sock"); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// A scorer that is killed leaves no interpreter behind.
func TestServe_killed(t *testing.T) {
	cmd, dir := scorer(t, "import os, time\ndef init():\n    open('pid', 'w').write(str(os.getpid()))\n    time.sleep(60)\ndef run(x): pass\n")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	deadline := time.Now().Add(20 * time.Second)
	for ; pid == 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(dir + "/pid")
		_, _ = fmt.Sscan(string(text), &pid)
	}
	if pid == 0 {
		t.Fatal("the worker did not start")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for ; ; time.Sleep(5 * time.Millisecond) {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("interpreter %d outlives its scorer: %s", pid, state)
		}
	}
}

func TestExitCodes(t *testing.T) {
	broken := "def init():\n    raise ValueError('no model')\ndef run(x): pass\n"
	for _, c := range []struct {
		name, script string
		args         []string
		code         int
		last         string // of stderr, the last line
	}{
		{"serve, init fails", broken, []string{"serve"}, 3, "scorer: init() of the scoring script failed: ValueError: no model"},
		{"serve, import fails", "import nosuch\n", nil, 3, "scorer: the scoring script could not be loaded: ModuleNotFoundError: No module named 'nosuch'"},
		{"batch, init fails", broken, []string{"batch", "--requests", "in", "--responses", "out"}, 1, "scorer: init() of the scoring script failed: ValueError: no model"},
		{"batch, no requests", model, []string{"batch", "--requests", "nope", "--responses", "out"}, 1, "scorer: requests: open nope: no such file or directory"},
		{"batch without files", model, []string{"batch"}, 2, ""},
		{"batch, bad flag", model, []string{"batch", "--nope"}, 2, ""},
		{"unknown command", model, []string{"fly"}, 2, ""},
		{"serve with arguments", model, []string{"serve", "now"}, 2, ""},
		{"version", model, []string{"version"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, dir := scorer(t, c.script, c.args...)
			cmd.Dir = dir
			if err := os.WriteFile(dir+"/in", []byte("1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if code := exitCode(t, cmd.Run()); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, &stderr)
			}
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if c.last != "" && lines[len(lines)-1] != c.last {
				t.Errorf("last line %q, want %q", lines[len(lines)-1], c.last)
			}
			if c.last != "" && strings.Contains(c.script, "raise") && !strings.Contains(stderr.String(), "line 2, in init") {
				t.Errorf("no traceback:\n%s", &stderr)
			}
			if _, err := os.Stat(dir + "/out"); err == nil {
				t.Error("a batch that failed left a file of responses")
			}
		})
	}
}

func TestBatch(t *testing.T) {
	cmd, dir := scorer(t, model, "batch", "--requests", "in.jsonl", "--responses", "out.jsonl", "--latency", "20")
	cmd.Dir = dir
	if err := os.WriteFile(dir+"/in.jsonl", []byte("{\"data\": [[1, 2]]}\n{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		Requests, Failed int
		Latency          struct{ Samples int }
	}
	if err := json.Unmarshal(out, &summary); err != nil || summary.Requests != 2 || summary.Failed != 1 || summary.Latency.Samples != 20 {
		t.Errorf("summary %s, %v", out, err)
	}
	text, err := os.ReadFile(dir + "/out.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"status":200,"body":{"result":[6]},"ms":`) || !strings.Contains(lines[1], `"error":"KeyError: 'data'"`) {
		t.Errorf("responses:\n%s", text)
	}
	if left, _ := filepath.Glob(dir + "/.responses-*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
