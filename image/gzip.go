package image

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"

	"github.com/klauspost/compress/flate"
)

// gzipBlock is how much is compressed on its own. It decides the bytes that
// come out, and with them every digest: the number of cores must not.
const gzipBlock = 1 << 20

// gzipWriter compresses blocks of gzipBlock bytes side by side into one gzip
// member (RFC 1952): each block ends on a byte boundary (a sync flush), so the
// deflate streams can be put one after the other. The output depends on the
// input alone. gzip and not zstd, because every registry, runtime and scanner
// of the last ten years reads it.
type gzipWriter struct {
	w     io.Writer
	block []byte
	crc   uint32
	size  uint32
	queue chan chan []byte // blocks in their order, each with the place its result comes to
	slots chan *flate.Writer
	done  chan error // the error of writing w, once the queue is closed
}

func newGzipWriter(w io.Writer) *gzipWriter {
	workers := runtime.GOMAXPROCS(0)
	z := &gzipWriter{
		w:     w,
		block: make([]byte, 0, gzipBlock),
		queue: make(chan chan []byte, 2*workers),
		slots: make(chan *flate.Writer, workers),
		done:  make(chan error, 1),
	}
	for range workers {
		z.slots <- nil // made when first used
	}
	go z.drain()
	return z
}

// drain writes the finished blocks in order. After an error it goes on taking
// them, so that nobody waits for ever.
func (z *gzipWriter) drain() {
	// Magic, deflate, no flags, no time, fastest, unknown system.
	_, err := z.w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255})
	for result := range z.queue {
		p := <-result
		if err == nil {
			_, err = z.w.Write(p)
		}
	}
	z.done <- err
}

func (z *gzipWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), gzipBlock-len(z.block))
		z.block = append(z.block, p[:k]...)
		p = p[k:]
		if len(z.block) == gzipBlock {
			z.compress(false)
		}
	}
	return n, nil // an error of the writer below comes out of Close
}

// compress hands the current block to a worker.
func (z *gzipWriter) compress(last bool) {
	z.crc = crc32.Update(z.crc, crc32.IEEETable, z.block)
	z.size += uint32(len(z.block))
	block, result := z.block, make(chan []byte, 1)
	z.block = make([]byte, 0, gzipBlock)
	deflater := <-z.slots
	z.queue <- result
	go func() {
		out := &sliceWriter{make([]byte, 0, len(block)/2+64)}
		if deflater == nil {
			deflater, _ = flate.NewWriter(out, flate.BestSpeed) // errs on unknown levels only
		} else {
			deflater.Reset(out)
		}
		_, _ = deflater.Write(block) // a sliceWriter does not err
		if last {
			_ = deflater.Close()
		} else {
			_ = deflater.Flush()
		}
		z.slots <- deflater
		result <- out.p
	}()
}

// Close writes what is left and waits for everything; it does not close the
// writer below.
func (z *gzipWriter) Close() error {
	z.compress(true)
	close(z.queue)
	if err := <-z.done; err != nil {
		return err
	}
	trailer := binary.LittleEndian.AppendUint32(nil, z.crc)
	_, err := z.w.Write(binary.LittleEndian.AppendUint32(trailer, z.size))
	return err
}

type sliceWriter struct{ p []byte }

func (s *sliceWriter) Write(p []byte) (int, error) {
	s.p = append(s.p, p...)
	return len(p), nil
}
