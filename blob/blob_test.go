package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		writeForEver(dir)
	}
	os.Exit(m.Run())
}

// stores runs a test on every kind of store.
func stores(t *testing.T, test func(t *testing.T, s *Store)) {
	addresses := map[string]string{"folder": t.TempDir(), "file": "file://" + filepath.ToSlash(t.TempDir()) + "/new/folder", "memory": "mem://"}
	for name, address := range addresses {
		t.Run(name, func(t *testing.T) { test(t, opened(t, address)) })
	}
}

func opened(t testing.TB, address string) *Store {
	t.Helper()
	s, err := Open(t.Context(), address)
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, err error, code ridgeline.Code, words string) {
	t.Helper()
	if ridgeline.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
		t.Fatalf("got error %v (%s), want %s with %q", err, ridgeline.CodeOf(err), code, words)
	}
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func read(t testing.TB, r io.ReadCloser, err error) []byte {
	t.Helper()
	ok(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	ok(t, err)
	return b
}

func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{seed})
	_, _ = r.Read(b)
	return b
}

// leftovers lists the files of a local store that are no content and no chunk.
func leftovers(t testing.TB, s *Store) (names []string) {
	t.Helper()
	ok(t, filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		name := e.Name()
		if err == nil && e.Type().IsRegular() && !digestRE.MatchString(name) && !chunkName.MatchString(name) && name != ".reclaim" {
			names = append(names, path)
		}
		return err
	}))
	return names
}

func TestStore_Put(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, content := range [][]byte{nil, []byte("hello"), noise(3<<20, 1)} {
			for range 2 {
				digest, size, err := s.Put(ctx, iotest.HalfReader(bytes.NewReader(content)))
				ok(t, err)
				if digest != sum(content) || size != int64(len(content)) {
					t.Fatalf("got %s, %d bytes", digest, size)
				}
			}
			r, err := s.Get(ctx, sum(content))
			if got := read(t, r, err); !bytes.Equal(got, content) {
				t.Fatalf("%d bytes came back as %d others", len(content), len(got))
			}
		}
		there, err := s.Has(ctx, sum([]byte("hello")))
		ok(t, err)
		missing, err := s.Has(ctx, sum([]byte("never")))
		ok(t, err)
		if !there || missing {
			t.Fatalf("has: %t, %t; want true, false", there, missing)
		}
		_, err = s.Get(ctx, sum([]byte("never")))
		refused(t, err, ridgeline.NotFound, "no blob")
		for _, digest := range []string{"", "ab", "../../../etc/passwd", strings.Repeat("A", 64), "sha256:" + strings.Repeat("a", 64)} {
			_, err := s.Get(ctx, digest)
			refused(t, err, ridgeline.Invalid, "64 hex digits")
			_, err = s.Has(ctx, digest)
			refused(t, err, ridgeline.Invalid, "64 hex digits")
		}
	})
}

func TestStore_Put_broken_off_leaves_nothing(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		broken := errors.New("connection lost")
		content := noise(1<<20, 2)
		_, _, err := s.Put(t.Context(), io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, _, err = s.Put(ctx, io.MultiReader(bytes.NewReader(content), readerFunc(func([]byte) (int, error) { cancel(); return 0, nil }), bytes.NewReader(content)))
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		there, err := s.Has(t.Context(), sum(content))
		ok(t, err)
		if there {
			t.Fatal("half a content was stored")
		}
		if s.dir != "" && len(leftovers(t, s)) > 0 {
			t.Fatalf("left over: %v", leftovers(t, s))
		}
	})
}

func TestStore_PutFile(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		content := noise(100_000, 3)
		path := filepath.Join(t.TempDir(), "model.pkl")
		ok(t, os.WriteFile(path, content, 0o600))
		for range 2 {
			digest, size, err := s.PutFile(t.Context(), path)
			ok(t, err)
			if digest != sum(content) || size != int64(len(content)) {
				t.Fatalf("got %s, %d bytes", digest, size)
			}
		}
		r, err := s.Get(t.Context(), sum(content))
		if got := read(t, r, err); !bytes.Equal(got, content) {
			t.Fatal("other bytes came back")
		}
		if _, _, err := s.PutFile(t.Context(), path+".missing"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	})
}

func TestStore_Get_tells_damage(t *testing.T) {
	s := opened(t, t.TempDir())
	ctx := t.Context()
	content := noise(100_000, 4)
	digest, _, err := s.Put(ctx, bytes.NewReader(content))
	ok(t, err)
	path := filepath.Join(s.dir, "sha256", digest[:2], digest)
	for _, damage := range []struct {
		name  string
		bytes []byte
	}{
		{"a flipped bit", append([]byte{content[0] ^ 1}, content[1:]...)},
		{"cut short", content[:5000]},
		{"emptied", nil},
	} {
		ok(t, os.WriteFile(path, damage.bytes, 0o600))
		r, err := s.Get(ctx, digest)
		ok(t, err)
		_, err = io.Copy(io.Discard, r)
		ok(t, r.Close())
		if ridgeline.CodeOf(err) != ridgeline.Internal || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%s: got %v", damage.name, err)
		}
	}
	// The last damage changed the size, which the next Put sees and repairs.
	_, _, err = s.Put(ctx, bytes.NewReader(content))
	ok(t, err)
	r, err := s.Get(ctx, digest)
	if got := read(t, r, err); !bytes.Equal(got, content) {
		t.Fatal("not repaired")
	}
}

func TestStore_concurrent_puts_of_the_same(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		content := noise(1<<20, 5)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if digest, _, err := s.Put(t.Context(), bytes.NewReader(content)); err != nil || digest != sum(content) {
					t.Errorf("got %s, %v", digest, err)
				}
			})
		}
		wg.Wait()
		if s.dir != "" && len(leftovers(t, s)) > 0 {
			t.Fatalf("left over: %v", leftovers(t, s))
		}
	})
}

func TestOpen(t *testing.T) {
	for _, address := range []string{"", "ftp://user:secret@host/x", "file://host/folder", "file://"} {
		_, err := Open(t.Context(), address)
		refused(t, err, ridgeline.Invalid, "blob store address")
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
	dir := filepath.Join(t.TempDir(), "a b%20#c", "blobs")
	first := opened(t, dir)
	digest, _, err := first.Put(t.Context(), strings.NewReader("kept"))
	ok(t, err)
	r, err := opened(t, dir).Get(t.Context(), digest)
	if got := read(t, r, err); string(got) != "kept" {
		t.Fatalf("got %q", got)
	}
	info, err := os.Stat(dir)
	ok(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, want 0700", info.Mode())
	}
}

// TestOpen_sweeps: what a dead process spooled goes, what a living one spools
// stays.
func TestOpen_sweeps(t *testing.T) {
	s := opened(t, t.TempDir())
	dead := filepath.Join(s.spool, "spool-dead")
	ok(t, os.WriteFile(dead, []byte("half"), 0o600))
	living, err := spoolFile(s.spool)
	ok(t, err)
	defer discard(living)
	opened(t, s.dir)
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead one's is still there: %v", err)
	}
	if _, err := os.Stat(living.Name()); err != nil {
		t.Errorf("the living one's is gone: %v", err)
	}
}
