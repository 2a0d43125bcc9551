package blob

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// aged makes a content look as if it had been put long ago.
func aged(t *testing.T, s *Store, digest string) {
	t.Helper()
	k, err := key(digest)
	ok(t, err)
	past := time.Now().Add(-100 * time.Hour)
	ok(t, os.Chtimes(filepath.Join(s.dir, filepath.FromSlash(k)), past, past))
}

func TestStore_Reclaim(t *testing.T) {
	s := opened(t, t.TempDir())
	ctx := t.Context()
	var digests []string
	for i := range 4 {
		digest, _, err := s.Put(ctx, bytes.NewReader(noise(100+i, byte(i))))
		ok(t, err)
		aged(t, s, digest)
		digests = append(digests, digest)
	}
	hour := time.Now().Add(-time.Hour)
	_, _, err := s.Put(ctx, bytes.NewReader(noise(101, 1))) // used again: put
	ok(t, err)
	_, err = s.Has(ctx, digests[2]) // used again: asked for
	ok(t, err)
	file := filepath.Join(t.TempDir(), "file")
	ok(t, os.WriteFile(file, noise(103, 3), 0o600))
	_, _, err = s.PutFile(ctx, file) // used again: put as a file
	ok(t, err)
	var listed int64
	ok(t, s.EachContent(ctx, func(c Content) error {
		listed += c.Size
		gone, err := s.Reclaim(ctx, c.Digest, hour)
		if err == nil && gone != (c.Digest == digests[0]) {
			t.Errorf("%s: reclaimed %v", c.Digest, gone)
		}
		return err
	}))
	if listed != 100+101+102+103 {
		t.Errorf("%d bytes are listed", listed)
	}
	if gone, err := s.Reclaim(ctx, digests[0], hour); gone || err != nil {
		t.Errorf("reclaimed twice: %v %v", gone, err)
	}
}

// TestStore_Reclaim_beside_puts: a content that is put while it is reclaimed is
// there afterwards, whoever was first.
func TestStore_Reclaim_beside_puts(t *testing.T) {
	s := opened(t, t.TempDir())
	content := noise(1000, 9)
	for range 200 {
		digest, _, err := s.Put(t.Context(), bytes.NewReader(content))
		ok(t, err)
		aged(t, s, digest)
		unused := time.Now().Add(-time.Minute)
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := s.Reclaim(t.Context(), digest, unused); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if _, _, err := s.Put(t.Context(), bytes.NewReader(content)); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		r, err := s.Get(t.Context(), digest)
		if got := read(t, r, err); !bytes.Equal(got, content) {
			t.Fatal("it is something else")
		}
	}
}
