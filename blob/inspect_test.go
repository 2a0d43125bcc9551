package blob

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestFilesAndParts(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, t.TempDir())
	ok(t, err)
	dir := t.TempDir()
	ok(t, os.MkdirAll(filepath.Join(dir, "src", "deep"), 0o700))
	ok(t, os.WriteFile(filepath.Join(dir, "src", "deep", "a.py"), []byte("same"), 0o600))
	ok(t, os.WriteFile(filepath.Join(dir, "run.sh"), []byte("same"), 0o700))
	ok(t, os.Symlink("run.sh", filepath.Join(dir, "again")))
	digest, _, err := s.PutTree(ctx, dir)
	ok(t, err)
	files, err := s.Files(ctx, digest)
	ok(t, err)
	names, sums := []string{}, map[string]bool{}
	for _, f := range files {
		names = append(names, f.Path)
		sums[f.SHA256] = true
	}
	// Content alone does not make a file: one may be executed, one is a link.
	if got := strings.Join(names, " "); got != "again run.sh src/deep/a.py" || len(sums) != 3 {
		t.Errorf("got %s with %d different contents", got, len(sums))
	}
	part := filepath.Join(t.TempDir(), "part")
	ok(t, s.GetPart(ctx, digest, part, func(name string) bool { return strings.HasPrefix(name, "src/") }))
	if _, err := os.Stat(filepath.Join(part, "src", "deep", "a.py")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"run.sh", "again"} {
		if _, err := os.Lstat(filepath.Join(part, name)); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
}

func TestStore_Verify(t *testing.T) {
	ctx := t.Context()
	folder := t.TempDir()
	s, err := Open(ctx, folder)
	ok(t, err)
	digest, _, err := s.Put(ctx, strings.NewReader("weights"))
	ok(t, err)
	ok(t, s.Verify(ctx, digest))
	path := filepath.Join(folder, "sha256", digest[:2], digest)
	ok(t, os.WriteFile(path, []byte("wEights"), 0o600)) // of the same size
	if err := s.Verify(ctx, digest); ridgeline.CodeOf(err) != ridgeline.Internal || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("damaged: %v", err)
	}
	if err := s.Verify(ctx, digest); ridgeline.CodeOf(err) != ridgeline.NotFound {
		t.Errorf("gone: %v", err)
	}
	_, _, err = s.Put(ctx, strings.NewReader("weights"))
	ok(t, err)
	ok(t, s.Verify(ctx, digest))
}
