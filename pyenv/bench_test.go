package pyenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkEnvironment makes the environment of a small project from a warm
// cache, and right after the same with uv's own commands, so that both saw the
// same machine.
//
//	go test ./pyenv -bench Environment -benchtime 5x -run '^$'
func BenchmarkEnvironment(b *testing.B) {
	m, err := New(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	uv, err := m.tool(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte("scikit-learn\npandas\nmlflow-skinny\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	python, err := m.defaultInterpreter(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	ours := func() time.Duration {
		m, err := New(Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.tool(b.Context(), nil); err != nil { // a server looks for Python and uv once
			b.Fatal(err)
		}
		start := time.Now()
		lock, err := m.Lock(b.Context(), dir, Wish{File: "requirements.txt"}, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Ensure(b.Context(), lock, nil); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	theirs := func() time.Duration {
		env := b.TempDir()
		start := time.Now()
		for _, args := range [][]string{
			{"pip", "compile", "-q", "requirements.txt", "--python", python.path, "--generate-hashes", "-o", filepath.Join(env, "lock.txt")},
			{"venv", "-q", "--python", python.path, filepath.Join(env, "venv")},
			{"pip", "install", "-q", "--python", filepath.Join(env, "venv", "bin", "python"), "--require-hashes", "--no-deps", "-r", filepath.Join(env, "lock.txt")},
		} {
			cmd := exec.Command(uv, args...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
		return time.Since(start)
	}
	ours() // fills the cache
	var sumOurs, sumTheirs time.Duration
	for b.Loop() {
		sumOurs += ours()
		sumTheirs += theirs()
	}
	n := float64(b.N)
	b.ReportMetric(sumOurs.Seconds()/n, "ours-s/op")
	b.ReportMetric(sumTheirs.Seconds()/n, "uv-s/op")
	b.ReportMetric((sumOurs-sumTheirs).Seconds()/n, "over-s/op")
}
