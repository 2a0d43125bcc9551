package python

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestEmbeddedEqualsTree(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(Package, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".py") {
			return err
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got, err := FS.ReadFile(filepath.ToSlash(path))
		if err != nil {
			t.Errorf("%s is not embedded: add its folder to the go:embed globs", path)
		} else if string(got) != string(want) {
			t.Errorf("%s: embedded content differs", path)
		}
		seen[filepath.ToSlash(path)] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !seen[Package+"/__init__.py"] || !seen[Package+"/__main__.py"] {
		t.Errorf("package files missing from the tree: %v", seen)
	}
	err = fs.WalkDir(FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !seen[path] {
			t.Errorf("%s is embedded but not a source of the tree", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "er")
	var wg sync.WaitGroup
	for range 8 { // several at once agree
		wg.Go(func() {
			if _, err := Unpack(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := Unpack(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "worker-"+Hash()); got != want {
		t.Errorf("unpacked to %s, want %s", got, want)
	}
	main := filepath.Join(got, Package, "__main__.py")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := FS.ReadFile(Package + "/__main__.py")
	if string(text) != string(want) {
		t.Error("unpacked __main__.py differs from the embedded one")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v; want the worker alone", left, err)
	}

	t.Run("a folder that is there is never written again", func(t *testing.T) {
		if err := os.WriteFile(main, []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(dir); err != nil {
			t.Fatal(err)
		}
		if text, _ := os.ReadFile(main); string(text) != "mine" {
			t.Error("Unpack wrote into an existing folder")
		}
	})
}
