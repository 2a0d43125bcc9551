package ui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

// tree keeps files as a commit's tree.
func (s *site) tree(files map[string]string) ridgeline.Commit {
	s.t.Helper()
	dir := s.t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		ok(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
		ok(s.t, os.WriteFile(path, []byte(content), 0o644))
	}
	digest, _, err := s.ui.Blob.PutTree(s.t.Context(), dir)
	ok(s.t, err)
	return ridgeline.Commit{Hash: digest[:40], Tree: digest}
}

func TestCodeChanges(t *testing.T) {
	s := open(t)
	lines := func(n int) string { return strings.Repeat("x\n", n) }
	was := s.tree(map[string]string{"train.py": "a = 1\nb = 2\n", "same.py": "pass\n", "old.py": "old\n", "logo.png": "\x00\x01", "big.csv": lines(1 << 20), "sub/long.csv": ""})
	is := s.tree(map[string]string{"train.py": "a = 1\nb = 3\n", "same.py": "pass\n", "new.py": "new\n", "logo.png": "\x00\x02\x03", "big.csv": "x\n", "sub/long.csv": lines(mostLines + 1)})
	d, err := s.ui.codeChanges(t.Context(), was, is)
	ok(t, err)
	var got []string
	for _, f := range d.Files {
		got = append(got, f.Path+" "+f.What+" "+f.Note)
	}
	want := []string{
		"big.csv changed It is larger than 1.0 MB, so that its lines are not compared here.", "logo.png changed It is binary: 2 B before, 3 B now.",
		"new.py added ", "old.py removed ", "sub/long.csv changed 3,001 lines to show: too many for this page.", "train.py changed ",
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
	if d.Added != mostLines+3 || d.Removed != 2 || d.Line() != "git diff "+was.Hash[:12]+" "+is.Hash[:12] {
		t.Errorf("+%d −%d, %s", d.Added, d.Removed, d.Line())
	}
	if same, err := s.ui.codeChanges(t.Context(), was, was); same != nil || err != nil {
		t.Errorf("the same: %+v, %v", same, err)
	}
	gone := ridgeline.Commit{Hash: is.Hash, Tree: strings.Repeat("0", 64)}
	if d, err := s.ui.codeChanges(t.Context(), was, gone); err != nil || !d.Gone {
		t.Errorf("reclaimed: %+v, %v", d, err)
	}
}
