package image

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

func compressed(t *testing.T, p []byte, piece int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := newGzipWriter(&b)
	for rest := p; len(rest) > 0; {
		n := min(piece, len(rest))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGzipWriter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, gzipBlock - 1, gzipBlock, gzipBlock + 1, 5*gzipBlock + 17} {
		p := make([]byte, size)
		for i := range p { // some of it repeats, some does not
			p[i] = byte(random.IntN(1 + i%250))
		}
		first := compressed(t, p, 1<<20)
		r, err := gzip.NewReader(bytes.NewReader(first))
		if err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(r) // checks length and sum
		if err != nil || !bytes.Equal(back, p) {
			t.Errorf("%d bytes do not come back: %v", size, err)
		}
		for range 3 {
			cores := runtime.GOMAXPROCS(1 + random.IntN(8))
			if !bytes.Equal(compressed(t, p, 1+random.IntN(1<<20)+4096), first) {
				t.Errorf("%d bytes become different ones with other cores and pieces", size)
			}
			runtime.GOMAXPROCS(cores)
		}
	}
}

type full struct{ left int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestGzipWriter_reports_a_full_disk(t *testing.T) {
	w := newGzipWriter(&full{left: 1 << 20})
	p := make([]byte, 8*gzipBlock)
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	_, _ = w.Write(p)
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Errorf("%v; the writer's error was expected", err)
	}
}
