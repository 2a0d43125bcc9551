package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ridgeline-mlops/ridgeline"
)

var update = flag.Bool("update", false, "write the golden files")

// call runs the command line for somebody who has no state folder yet.
func call(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"RIDGELINE_DIR", "RIDGELINE_URL", "RIDGELINE_TOKEN"} {
		t.Setenv(name, "")
	}
	var stdout, stderr bytes.Buffer
	code = run(args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestHelp(t *testing.T) {
	code, out, stderr := call(t, "--help")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	path := filepath.Join("testdata", "help.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out != string(want) {
		t.Errorf("the help has changed (go test ./cmd/ridgeline -run Help -update):\n%s", out)
	}
}

func TestCommands_described(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short is %q; expected a phrase without a full stop", c.CommandPath(), c.Short)
		}
		if c.InheritedFlags().Lookup("json") == nil && c.HasParent() {
			t.Errorf("%s has no --json", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&cli{}).root())
}

func TestRun_exit_codes(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"version":              {[]string{"--version"}, 0, ""},
		"an unknown command":   {[]string{"deploy"}, 2, `unknown command "deploy"`},
		"an unknown flag":      {[]string{"train", "--fast"}, 2, "unknown flag: --fast; see ridgeline train --help"},
		"too few arguments":    {[]string{"rollback", "iris"}, 2, "accepts 2 arg(s), received 1; usage: ridgeline rollback PROJECT ENVIRONMENT"},
		"too many arguments":   {[]string{"models", "iris"}, 2, "usage: ridgeline models"},
		"an unknown subject":   {[]string{"token", "make"}, 2, `unknown command "make" for "ridgeline token"`},
		"a subject alone":      {[]string{"token"}, 0, ""},
		"not a version":        {[]string{"model", "iris:latest"}, 2, "expected NAME or NAME:VERSION"},
		"not a level":          {[]string{"up", "--log-level", "loud"}, 2, "use debug, info, warn or error"},
		"no server":            {[]string{"models"}, 1, "start one with ridgeline up, or name one with --server"},
		"not a server":         {[]string{"models", "--server", "nowhere"}, 2, "is not an address"},
		"a server, no token":   {[]string{"models", "--server", "http://127.0.0.1:1"}, 1, "set RIDGELINE_TOKEN"},
		"no such file to send": {[]string{"score", "iris", filepath.Join(t.TempDir(), "none.json")}, 1, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := call(t, test.args...)
			if code != test.code || !strings.Contains(stderr, test.says) {
				t.Errorf("exit code %d, %q; want %d and %q", code, stderr, test.code, test.says)
			}
			if code != 0 && !strings.HasPrefix(stderr, "ridgeline: ") {
				t.Errorf("says %q", stderr)
			}
		})
	}
	t.Run("a server that is not there", func(t *testing.T) {
		dir := t.TempDir()
		for name, text := range map[string]string{"url": "http://127.0.0.1:1\n", "token": "rl_x\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if code, _, stderr := call(t, "models", "--dir", dir); code != 1 || !strings.Contains(stderr, "no server answers at http://127.0.0.1:1") {
			t.Errorf("exit code %d, %q", code, stderr)
		}
	})
}

func TestNameVersion(t *testing.T) {
	for text, want := range map[string]struct {
		name    string
		version int
	}{"iris": {"iris", 0}, "iris:2": {"iris", 2}, "iris:v12": {"iris", 12}} {
		if name, version, err := nameVersion(text); err != nil || name != want.name || version != want.version {
			t.Errorf("%q: got %q, %d, %v", text, name, version, err)
		}
	}
	for _, text := range []string{"iris:", "iris:0", "iris:-1", "iris:latest", "iris:1:2", "iris:1.0"} {
		if _, _, err := nameVersion(text); err == nil || !strings.Contains(err.Error(), "such as diabetes:2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRequests(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"a request":         {`{"data": [[1, 2]]}`, []string{`{"data": [[1, 2]]}`}},
		"not JSON":          {"hello", []string{"hello"}},
		"one smoke test":    {`{"request": {"data": [[1]]}, "expect": {"status": 200}}`, []string{`{"data": [[1]]}`}},
		"several":           {`[{"request": {"data": [[1]]}}, {"request": {"data": [[2]]}}]`, []string{`{"data": [[1]]}`, `{"data": [[2]]}`}},
		"a smoke test torn": {`{"request": {"data": [[1]]}`, []string{`{"request": {"data": [[1]]}`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := requests("smoke.json", []byte(test.text))
			if len(got) != len(test.want) {
				t.Fatalf("got %v, want %q", got, test.want)
			}
			for i := range got {
				if string(got[i].Request) != test.want[i] {
					t.Errorf("got %q, want %q", got[i].Request, test.want[i])
				}
			}
		})
	}
}

func TestQuery(t *testing.T) {
	if got := query("/runs", "project", "", "status", ""); got != "/runs" {
		t.Errorf("got %q", got)
	}
	if got := query("/runs", "project", "a b", "limit", "5"); got != "/runs?limit=5&project=a+b" {
		t.Errorf("got %q", got)
	}
}

func TestClearDemo(t *testing.T) {
	put := func(t *testing.T, dir string, names ...string) {
		t.Helper()
		for _, name := range names {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("a server's folder is left alone", func(t *testing.T) {
		dir := t.TempDir()
		put(t, dir, "ridgeline.db", "blob/x")
		if err := clearDemo(dir); err == nil || !strings.Contains(err.Error(), "is the state folder of a server") {
			t.Errorf("got %v", err)
		}
		for _, name := range []string{"ridgeline.db", "blob/x"} {
			if !exists(filepath.Join(dir, name)) {
				t.Errorf("%s is gone", name)
			}
		}
	})
	t.Run("an earlier demo's goes, but for what saves time", func(t *testing.T) {
		dir := t.TempDir()
		put(t, dir, "ridgeline.db", "blob/x", "token", "url", "demo/diabetes/ridgeline.yaml", "python/env", "layers/base", "demo.log")
		if err := clearDemo(dir); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{
			"ridgeline.db": false, "blob": false, "token": false, "url": false, "demo": false, "python/env": true, "layers/base": true, "demo.log": true,
		} {
			if exists(filepath.Join(dir, name)) != want {
				t.Errorf("%s is there: %v", name, !want)
			}
		}
	})
	t.Run("a running one's is left alone", func(t *testing.T) {
		dir := t.TempDir()
		put(t, dir, "ridgeline.db", "demo/diabetes/ridgeline.yaml")
		lock, err := lockDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := clearDemo(dir); ridgeline.CodeOf(err) != ridgeline.Conflict || !exists(filepath.Join(dir, "ridgeline.db")) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an empty one is fine", func(t *testing.T) {
		if err := clearDemo(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
}
