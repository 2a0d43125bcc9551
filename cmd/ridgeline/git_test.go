package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/api"
	"github.com/ridgeline-mlops/ridgeline/blob"
	"github.com/ridgeline-mlops/ridgeline/blob/archive"
	"github.com/ridgeline-mlops/ridgeline/git"
)

// TestPush_sameTreeAsGit: a clean clone gives the same tree whether ridgeline
// push hands it over or git does, whatever is in it.
func TestPush_sameTreeAsGit(t *testing.T) {
	upstream := t.TempDir()
	at := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=a@example.com")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(upstream, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(upstream, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(upstream, name)); err != nil {
			t.Fatal(err)
		}
	}
	at(upstream, "init", "-q", "-b", "main")
	write("README.md", "of all projects\n", 0o644)
	write("other/ridgeline.yaml", "project: tulip\n", 0o600)
	write(".gitattributes", "*.bat text eol=crlf\n*.txt text=auto\nsecret/** export-ignore\n*.id ident\nwide.csv working-tree-encoding=UTF-16LE\n", 0o600)
	write("ml/ridgeline.yaml", "project: iris\npython: requirements.txt\npipeline: {steps: {report: {run: python report.py}}}\n", 0o600)
	write("ml/requirements.txt", "", 0o600)
	write("ml/.gitattributes", "*.sh export-ignore\n", 0o600)
	write("ml/.gitignore", "*.tmp\nbuild/\n", 0o600)
	write("ml/windows.bat", "echo a\necho b\n", 0o600)
	write("ml/crlf.txt", "a\r\nb\r\n", 0o600)
	write("ml/mixed.dat", "a\r\nb\n\x00\xff", 0o600)
	write("ml/revision.id", "$Id$\n", 0o600)
	write("ml/wide.csv", "a\x00\n\x00", 0o600)
	write("ml/run.sh", "#!/bin/sh\n", 0o700)
	write("ml/odd.sh", "#!/bin/sh\n", 0o610)
	write("ml/secret/key", "not secret", 0o400)
	write("ml/kept.tmp", "tracked although ignored", 0o600)
	write("ml/left.tmp", "ignored", 0o600)
	write("ml/build/out", "ignored", 0o600)
	write("ml/empty", "", 0o600)
	write("ml/with space/ünïcode \"quote\"\n.txt", "x", 0o600)
	write("ml/-dash", "x", 0o600)
	write("ml/deep/a/b/c/d/e", "x", 0o600)
	write("ml/data/big.csv", strings.Repeat("1,2,3\n", 400_000), 0o600)
	write("ml/data/pointer.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("0", 64)+"\nsize 5\n", 0o600)
	link("ridgeline.yaml", "ml/inside")
	link("../README.md", "ml/above") // inside the repository, outside the project
	link("/etc/passwd", "ml/absolute")
	link("nowhere", "ml/dangling")
	link("deep/a", "ml/folder")
	library := t.TempDir()
	at(library, "init", "-q", "-b", "main")
	at(library, "commit", "-q", "--allow-empty", "-m", "library")
	at(upstream, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library, "ml/vendor/library")
	at(upstream, "add", "-A")
	at(upstream, "add", "-f", "ml/kept.tmp")
	at(upstream, "commit", "-q", "-m", "odd files")
	hash := at(upstream, "rev-parse", "HEAD")
	bare := filepath.Join(t.TempDir(), "iris.git")
	at(upstream, "clone", "-q", "--bare", upstream, bare)
	clean := filepath.Join(t.TempDir(), "clean")
	at(upstream, "clone", "-q", upstream, clean)

	blobs, err := blob.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	taken, err := git.Take(t.Context(), blobs, bare, t.TempDir(), "iris", hash)
	if err != nil {
		t.Fatal(err)
	}
	if want := "data/pointer.bin is in Git LFS"; !strings.HasPrefix(taken.Note, want) {
		t.Errorf("note %q, expected %q", taken.Note, want)
	}

	var tree string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unpacked := filepath.Join(t.TempDir(), "pushed")
		err := archive.Read(r.Body, unpacked)
		if err == nil {
			tree, _, err = blobs.PutTree(r.Context(), unpacked)
		}
		if err != nil || r.URL.Query().Get("dirty") == "true" || r.URL.Query().Get("commit") != hash {
			t.Errorf("pushed %s: %v", r.URL.RawQuery, err)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.Build{Build: "b-1"})
	}))
	defer server.Close()
	t.Setenv("RIDGELINE_TOKEN", "any")
	var out, problem bytes.Buffer
	if code := run([]string{"push", "--detach", "--server", server.URL, filepath.Join(clean, "ml")}, &out, &problem); code != 0 {
		t.Fatalf("push: %d\n%s", code, problem.String())
	}
	if tree == "" || tree != taken.Commit.Tree {
		t.Errorf("ridgeline push gives %s, git %s\n%s", tree, taken.Commit.Tree, differ(t, blobs, tree, taken.Commit.Tree))
	}
}

// differ says in what two trees differ.
func differ(t *testing.T, blobs *blob.Store, one, two string) string {
	t.Helper()
	dir := t.TempDir()
	for name, digest := range map[string]string{"push": one, "git": two} {
		if err := blobs.GetTree(t.Context(), digest, filepath.Join(dir, name)); err != nil {
			return err.Error()
		}
	}
	cmd := exec.Command("diff", "-rq", "--no-dereference", "push", "git")
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	return string(out)
}
