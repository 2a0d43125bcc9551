package blob

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestLogs(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		ctx, l := t.Context(), s.Logs()
		content := func(name string, offset int64) string {
			t.Helper()
			r, err := l.Open(ctx, name, offset)
			return string(read(t, r, err))
		}
		size := func(name string, want int64) {
			t.Helper()
			got, err := l.Size(ctx, name)
			ok(t, err)
			if got != want {
				t.Fatalf("size is %d, want %d", got, want)
			}
		}
		tail := func(name string, n int64, want string) {
			t.Helper()
			got, err := l.Tail(ctx, name, n)
			ok(t, err)
			if string(got) != want {
				t.Fatalf("the last %d bytes are %q, want %q", n, got, want)
			}
		}
		size("unknown", 0)
		tail("unknown", 10, "")
		if got := content("unknown", 7); got != "" {
			t.Fatalf("got %q", got)
		}
		ok(t, l.Append(ctx, "a", 0, []byte("hello ")))
		ok(t, l.Append(ctx, "a", 6, nil))
		ok(t, l.Append(ctx, "a", 6, []byte("world")))
		ok(t, l.Append(ctx, "ab", 0, []byte("another log")))
		ok(t, l.Append(ctx, "a", 20, []byte("after a gap")))
		size("a", 11)
		for offset, want := range map[int64]string{0: "hello world", 3: "lo world", 6: "world", 10: "d", 11: "", 25: ""} {
			if got := content("a", offset); got != want {
				t.Fatalf("from %d on: got %q, want %q", offset, got, want)
			}
		}
		tail("a", 3, "rld")
		tail("a", 8, "lo world")
		tail("a", 100, "hello world")
		tail("a", 0, "")
		tail("a", -1, "")
		// A writer that comes back cuts the same bytes elsewhere.
		ok(t, l.Append(ctx, "a", 0, []byte("hello wo")))
		size("a", 11)
		ok(t, l.Append(ctx, "a", 8, []byte("r")))
		ok(t, l.Append(ctx, "a", 9, []byte("ld and more")))
		size("a", 31) // which fills the gap
		if got := content("a", 4); got != "o world and moreafter a gap" {
			t.Fatalf("got %q", got)
		}
		ok(t, l.Remove(ctx, "a"))
		ok(t, l.Remove(ctx, "a"))
		size("a", 0)
		size("ab", 11)

		for _, name := range []string{"", ".", "..", "a/b", "../a", ".hidden", "a b", "ä"} {
			refused(t, l.Append(ctx, name, 0, []byte("x")), ridgeline.Invalid, "log name")
			_, err := l.Size(ctx, name)
			refused(t, err, ridgeline.Invalid, "log name")
			refused(t, l.Remove(ctx, name), ridgeline.Invalid, "log name")
		}
		refused(t, l.Append(ctx, "a", -1, []byte("x")), ridgeline.Invalid, "before its beginning")
		_, err := l.Open(ctx, "a", -1)
		refused(t, err, ridgeline.Invalid, "before its beginning")
	})
}

// TestLogs_many_chunks: hundreds of chunks, read while they are being written.
func TestLogs_many_chunks(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		ctx, l := t.Context(), s.Logs()
		const chunks = 600
		var want bytes.Buffer
		for i := range chunks {
			fmt.Fprintf(&want, "line %d %s\n", i, bytes.Repeat([]byte{'.'}, i%97))
		}
		all := want.Bytes()
		var wg sync.WaitGroup
		wg.Go(func() {
			offset := 0
			for line := range bytes.Lines(all) {
				if err := l.Append(ctx, "many", int64(offset), line); err != nil {
					t.Error(err)
					return
				}
				offset += len(line)
			}
		})
		var got []byte
		for len(got) < len(all) && !t.Failed() {
			r, err := l.Open(ctx, "many", int64(len(got)))
			ok(t, err)
			more, err := io.ReadAll(r)
			ok(t, err)
			ok(t, r.Close())
			got = append(got, more...)
		}
		wg.Wait()
		if !bytes.Equal(got, all) {
			t.Fatal("other bytes came back")
		}
		size, err := l.Size(ctx, "many")
		ok(t, err)
		tail, err := l.Tail(ctx, "many", 1000)
		ok(t, err)
		if size != int64(len(all)) || !bytes.Equal(tail, all[len(all)-1000:]) {
			t.Fatalf("size %d of %d, tail %q", size, len(all), tail)
		}
	})
}

func BenchmarkLogs_Size(b *testing.B) {
	s := opened(b, b.TempDir())
	ok(b, os.MkdirAll(filepath.Join(s.dir, "logs", "long"), 0o700))
	for i := range 7200 {
		ok(b, os.WriteFile(filepath.Join(s.dir, "logs", "long", fmt.Sprintf("%016d", i*10)), []byte("0123456789"), 0o600))
	}
	for b.Loop() {
		if size, err := s.Logs().Size(b.Context(), "long"); err != nil || size != 72000 {
			b.Fatal(size, err)
		}
	}
}

func BenchmarkLogs_Append(b *testing.B) {
	s := opened(b, b.TempDir())
	line := bytes.Repeat([]byte("x"), 200)
	offset := int64(0)
	for b.Loop() {
		ok(b, s.Logs().Append(b.Context(), "run", offset, line))
		offset += int64(len(line))
	}
}
