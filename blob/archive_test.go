package blob

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob/archive"
)

// sample fills a folder with one of each kind.
func sample(t testing.TB, dir string, mode fs.FileMode) {
	t.Helper()
	for name, content := range map[string]string{
		"model.pkl": "weights", "src/train.py": "print()", "src/.hidden": "", "bin/run.sh": "#!/bin/sh", "ünï/" + strings.Repeat("long", 50) + "/x": "x", "a.b": "1", "a/b": "2",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		ok(t, os.MkdirAll(filepath.Dir(path), 0o700|mode))
		ok(t, os.WriteFile(path, []byte(content), 0o600|mode))
	}
	ok(t, os.Chmod(filepath.Join(dir, "bin/run.sh"), 0o700|mode))
	ok(t, os.MkdirAll(filepath.Join(dir, "empty"), 0o700))
	ok(t, os.Symlink("../model.pkl", filepath.Join(dir, "src/link")))
	ok(t, os.Symlink("src", filepath.Join(dir, "code")))
}

func archived(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	ok(t, archive.Write(&b, dir))
	return b.Bytes()
}

// listing describes a tree: names with kinds, execute bits, contents.
func listing(t testing.TB, dir string) (lines []string) {
	t.Helper()
	ok(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		ok(t, err)
		what := ""
		switch e.Type() {
		case 0:
			b, err := os.ReadFile(path)
			ok(t, err)
			what = fmt.Sprintf("%q executable=%t", b, info.Mode()&0o100 != 0)
		case fs.ModeSymlink:
			what, err = os.Readlink(path)
			ok(t, err)
		}
		lines = append(lines, fmt.Sprint(name, " ", e.Type(), " ", what))
		return nil
	}))
	return lines
}

func TestArchive(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	sample(t, first, 0)
	sample(t, second, 0o075) // other rights for others
	past := time.Now().Add(-1000 * time.Hour)
	ok(t, os.Chtimes(filepath.Join(second, "model.pkl"), past, past))
	one := archived(t, first)
	if !bytes.Equal(one, archived(t, second)) {
		t.Fatal("times or rights of others change the archive")
	}
	out := filepath.Join(t.TempDir(), "out")
	ok(t, archive.Read(bytes.NewReader(one), out))
	if got, want := listing(t, out), listing(t, first); !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !bytes.Equal(one, archived(t, out)) {
		t.Fatal("the archive of what was unpacked is another one")
	}
	for r := tar.NewReader(bytes.NewReader(one)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		ok(t, err)
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s tells where it comes from: %+v", h.Name, h)
		}
	}
	// Through a link to the folder it is the same folder.
	link := filepath.Join(t.TempDir(), "link")
	ok(t, os.Symlink(first, link))
	if !bytes.Equal(one, archived(t, link)) {
		t.Fatal("a link to the folder archives as something else")
	}
	if err := archive.Write(io.Discard, filepath.Join(first, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestArchive_leaves_out_what_leads_outside(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o700))
	for name, target := range map[string]string{
		"absolute": "/etc/passwd", "up": "..", "a/up": "../../x", "a/b/zigzag": "../b/../../../x", "a/inside": "../a/b", "a/b/top": "../..", "dangling": "nowhere",
	} {
		ok(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	ok(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	out := t.TempDir()
	ok(t, archive.Read(bytes.NewReader(archived(t, dir)), out))
	want := []string{"a d--------- ", "a/b d--------- ", "a/b/top L--------- ../..", "a/inside L--------- ../a/b", "dangling L--------- nowhere"}
	if got := listing(t, out); !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
}

// entries makes an archive by hand.
func entries(t testing.TB, headers ...tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := []byte(nil)
		if h.Typeflag == tar.TypeReg {
			content = []byte("evil")
		}
		if h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode, h.Size = 0o4777, int64(len(content))
		}
		ok(t, w.WriteHeader(&h))
		_, err := w.Write(content)
		ok(t, err)
	}
	ok(t, w.Close())
	return &b
}

func TestUnarchive_refuses(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
	link := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	folder := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name} }
	for name, headers := range map[string][]tar.Header{
		"up":                            {file("../evil")},
		"up from within":                {file("a/../../evil")},
		"absolute":                      {file("/evil")},
		"the folder itself":             {file(".")},
		"a folder above":                {folder("../evil/")},
		"an absolute link":              {link("x", "/etc")},
		"a link up":                     {link("x", "..")},
		"a link up from within":         {link("a/x", "../../evil")},
		"a link that turns":             {link("a/b/x", "../../a/../../evil")},
		"a link through a link":         {folder("d/e"), link("d/e/top", "../.."), link("x", "d/e/top/../../evil")},
		"a file through a link":         {link("x", "a"), file("x/evil"), folder("a")},
		"a link below a link":           {link("x", "a"), folder("a"), link("x/y", "../b")},
		"a file over a file":            {file("x"), file("x")},
		"a link over a link":            {link("x", "a"), link("x", "b")},
		"a hard link":                   {file("x"), {Typeflag: tar.TypeLink, Name: "y", Linkname: "x"}},
		"a hard link outside":           {{Typeflag: tar.TypeLink, Name: "y", Linkname: "/etc/passwd"}},
		"a device":                      {{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}},
		"a pipe":                        {{Typeflag: tar.TypeFifo, Name: "pipe"}},
		"an empty link":                 {link("x", "")},
		"a file where there is a file":  {file("there")},
		"a file over a folder there":    {file("folder")},
		"a file below a file":           {file("x"), file("x/y")},
		"a file through a link that is": {file("out/evil")},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "dir")
			ok(t, os.MkdirAll(filepath.Join(dir, "folder"), 0o700))
			ok(t, os.WriteFile(filepath.Join(dir, "there"), []byte("mine"), 0o600))
			ok(t, os.Symlink("..", filepath.Join(dir, "out")))
			err := archive.Read(entries(t, headers...), dir)
			if err == nil {
				t.Fatalf("unpacked: %q", listing(t, dir))
			}
			if b, _ := os.ReadFile(filepath.Join(dir, "there")); string(b) != "mine" {
				t.Errorf("a file was overwritten with %q", b)
			}
			outside, err := os.ReadDir(parent)
			ok(t, err)
			if len(outside) != 1 {
				t.Errorf("it reached outside: %v", outside)
			}
			if _, err := os.Lstat("/evil"); err == nil {
				t.Error("it reached the root")
			}
		})
	}
}

func TestUnarchive(t *testing.T) {
	t.Run("takes what other programs write", func(t *testing.T) {
		out := t.TempDir()
		ok(t, archive.Read(entries(t,
			tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "abc"}},
			tar.Header{Typeflag: tar.TypeDir, Name: "./"}, tar.Header{Typeflag: tar.TypeReg, Name: "./a/b"}, tar.Header{Typeflag: tar.TypeDir, Name: "a/"}), out))
		if got := listing(t, out); !slices.Equal(got, []string{"a d--------- ", `a/b ---------- "evil" executable=true`}) {
			t.Fatalf("got %q", got)
		}
		info, err := os.Stat(filepath.Join(out, "a/b"))
		ok(t, err)
		if info.Mode()&fs.ModeSetuid != 0 {
			t.Error("the set-user-id bit came along")
		}
	})
	t.Run("says when it is no archive", func(t *testing.T) {
		refused(t, archive.Read(strings.NewReader(strings.Repeat("junk", 1000)), t.TempDir()), ridgeline.Invalid, "not a tar archive")
		dir := t.TempDir()
		sample(t, dir, 0)
		b := archived(t, dir)
		refused(t, archive.Read(bytes.NewReader(b[:len(b)-2*512-700]), t.TempDir()), ridgeline.Invalid, "only a part")
	})
}

func TestStore_Tree(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		dir := t.TempDir()
		sample(t, dir, 0)
		digest, size, err := s.PutTree(ctx, dir)
		ok(t, err)
		if b := archived(t, dir); digest != sum(b) || size != int64(len(b)) {
			t.Fatalf("got %s, %d bytes", digest, size)
		}
		out := filepath.Join(t.TempDir(), "trees", "one")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := s.GetTree(ctx, digest, out); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, want := listing(t, out), listing(t, dir); !slices.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		ok(t, os.Remove(filepath.Join(out, "model.pkl")))
		ok(t, s.GetTree(ctx, digest, out)) // is there: left as it is
		if _, err := os.Lstat(filepath.Join(out, "model.pkl")); err == nil {
			t.Error("a folder that was there was written again")
		}
		refused(t, s.GetTree(ctx, sum([]byte("never")), out+"2"), ridgeline.NotFound, "no blob")
		notATree, _, err := s.Put(ctx, strings.NewReader(strings.Repeat("junk", 1000)))
		ok(t, err)
		refused(t, s.GetTree(ctx, notATree, out+"3"), ridgeline.Invalid, "not a tar archive")
		if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 1 {
			t.Errorf("left over: %v", left)
		}
		if _, _, err := s.PutTree(ctx, out+"2"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	})
}

// TestStore_GetTree_damaged: damage is called that, wherever it is: in a
// header, in a content, in a name, in the zeroes at the archive's end.
func TestStore_GetTree_damaged(t *testing.T) {
	s := opened(t, t.TempDir())
	dir := t.TempDir()
	sample(t, dir, 0)
	digest, _, err := s.PutTree(t.Context(), dir)
	ok(t, err)
	path := filepath.Join(s.dir, "sha256", digest[:2], digest)
	b, err := os.ReadFile(path)
	ok(t, err)
	for _, at := range []int{0, 600, len(b) / 2, len(b) - 700, len(b) - 1} {
		damaged := bytes.Clone(b)
		damaged[at] ^= 1
		ok(t, os.WriteFile(path, damaged, 0o600))
		parent := t.TempDir()
		err = s.GetTree(t.Context(), digest, filepath.Join(parent, "out"))
		refused(t, err, ridgeline.Internal, "is damaged")
		if left, _ := os.ReadDir(parent); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	}
}

// TestStore_GetTree_sweeps: folders that a dead process was unpacking go.
func TestStore_GetTree_sweeps(t *testing.T) {
	s := opened(t, t.TempDir())
	dir, parent := t.TempDir(), t.TempDir()
	sample(t, dir, 0)
	digest, _, err := s.PutTree(t.Context(), dir)
	ok(t, err)
	sample(t, filepath.Join(parent, unpackPrefix+"dead"), 0)
	ok(t, s.GetTree(t.Context(), digest, filepath.Join(parent, "out")))
	if left, _ := os.ReadDir(parent); len(left) != 1 || left[0].Name() != "out" {
		t.Errorf("left over: %v", left)
	}
}
