package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	storage "github.com/distribution/distribution/v3/registry/storage/driver"
)

func (d *driver) Writer(ctx context.Context, file string, more bool) (storage.FileWriter, error) {
	w := &writer{ctx: ctx, driver: d, file: file}
	info, parts, err := d.find(ctx, file)
	switch {
	case errors.As(err, &storage.PathNotFoundError{}) && !more:
		return w, nil
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder", file)
	case !more || info.Size() == 0:
		return w, d.Delete(ctx, file)
	case len(parts) == 0:
		return nil, fmt.Errorf("%s is whole: nothing is appended to it", file)
	}
	w.size = info.Size()
	return w, nil
}

// A writer writes one more part of a file. The part is there when it is closed
// or committed, and not at all if that fails.
type writer struct {
	ctx    context.Context //nolint:containedctx // of the call that opened it
	driver *driver
	file   string
	size   int64 // of the file so far
	pipe   *io.PipeWriter
	done   chan error
	ended  bool
}

// begin opens the part at the end of the file.
func (w *writer) begin() {
	r, pipe := io.Pipe()
	w.pipe, w.done = pipe, make(chan error, 1)
	part := fmt.Sprintf("%s/part-%016d", name(w.file), w.size)
	go func() {
		err := w.driver.objects.Put(w.ctx, part, r)
		_ = r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // whoever still writes learns of it
		w.done <- err
	}()
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errors.New("the upload is closed")
	}
	if len(p) == 0 {
		return 0, nil
	}
	if w.pipe == nil {
		w.begin()
	}
	n, err := w.pipe.Write(p)
	w.size += int64(n)
	return n, err
}

func (w *writer) Size() int64 { return w.size }

// flush brings what was written to its place. Of a file to which nothing was
// written there is an empty part, so that it exists.
func (w *writer) flush() error {
	if w.ended {
		return nil
	}
	w.ended = true
	if w.pipe == nil {
		if w.size > 0 {
			return nil
		}
		return w.driver.objects.Put(w.ctx, fmt.Sprintf("%s/part-%016d", name(w.file), 0), strings.NewReader(""))
	}
	_ = w.pipe.Close()
	return <-w.done
}

func (w *writer) Close() error                 { return w.flush() }
func (w *writer) Commit(context.Context) error { return w.flush() }

// Cancel forgets the file.
func (w *writer) Cancel(ctx context.Context) error {
	w.ended = true
	if w.pipe != nil {
		_ = w.pipe.CloseWithError(context.Canceled)
		<-w.done
	}
	if err := w.driver.Delete(ctx, w.file); err != nil && !errors.As(err, &storage.PathNotFoundError{}) {
		return err
	}
	return nil
}
