package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/ridgeline-mlops/ridgeline"
)

// Logs are byte streams that grow: each a series of objects,
// logs/<name>/<offset of its first byte, 16 digits>.
//
// Names are letters, digits, dots, dashes and underscores. The same bytes may
// be appended more than once, and cut differently: they come from a file that
// only grows, so the same offset always has the same byte. A log has one
// writer at a time and any number of readers; an unknown one is empty.
type Logs struct {
	store *Store
}

// Logs returns the logs of the store.
func (s *Store) Logs() *Logs { return &Logs{store: s} }

var (
	logName   = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
	chunkName = regexp.MustCompile(`^[0-9]{16}$`)
)

func logPrefix(name string) (string, error) {
	if len(name) > 200 || !logName.MatchString(name) {
		return "", ridgeline.Errorf(ridgeline.Invalid, "log name %q: use up to 200 letters, digits, dots, dashes and underscores, not starting with a dot", name)
	}
	return "logs/" + name + "/", nil
}

// Append keeps p as the bytes from offset on. The same offset again replaces
// that chunk. Appending nothing does nothing.
func (l *Logs) Append(ctx context.Context, name string, offset int64, p []byte) error {
	prefix, err := logPrefix(name)
	if err != nil {
		return err
	}
	if offset < 0 {
		return ridgeline.Errorf(ridgeline.Invalid, "log %s: offset %d is before its beginning", name, offset)
	}
	if len(p) == 0 {
		return nil
	}
	if err := l.store.writeAll(ctx, prefix+fmt.Sprintf("%016d", offset), p); err != nil {
		return fmt.Errorf("append to log %s: %w", name, err)
	}
	return nil
}

// writeAll makes a small object, or replaces it, in one step.
func (s *Store) writeAll(ctx context.Context, k string, p []byte) error {
	if s.dir == "" {
		return s.bucket.WriteAll(ctx, k, p)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := spoolFile(s.spool)
	if err != nil {
		return err
	}
	defer discard(f)
	if _, err := f.Write(p); err != nil {
		return err
	}
	_, err = s.rename(f, k)
	return err
}

// A chunk is one object of a log.
type chunk struct {
	key         string
	offset, end int64
}

// chunks lists those that follow each other from the beginning up to the first
// gap, without those that only repeat what others have.
func (l *Logs) chunks(ctx context.Context, name string) ([]chunk, error) {
	prefix, err := logPrefix(name)
	if err != nil {
		return nil, err
	}
	objects, err := l.store.list(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list log %s: %w", name, err)
	}
	var all []chunk
	for _, o := range objects {
		offset, err := strconv.ParseInt(o.name, 10, 64)
		if !chunkName.MatchString(o.name) || err != nil {
			continue // not ours
		}
		all = append(all, chunk{key: prefix + o.name, offset: offset, end: offset + o.size})
	}
	slices.SortFunc(all, func(a, b chunk) int { return cmp.Compare(a.offset, b.offset) })
	var end int64
	contiguous := all[:0]
	for _, c := range all {
		if c.offset > end {
			break
		}
		if c.end > end {
			contiguous, end = append(contiguous, c), c.end
		}
	}
	return contiguous, nil
}

// An object has a name below the prefix it was listed by.
type object struct {
	name string
	size int64
}

// list returns the objects directly below prefix, which ends with a slash. A
// local folder is read directly: the library's listing looks for a companion
// of each file, and fails when one is renamed while it looks.
func (s *Store) list(ctx context.Context, prefix string) ([]object, error) {
	var all []object
	if s.dir != "" {
		entries, err := os.ReadDir(filepath.Join(s.dir, filepath.FromSlash(prefix)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			info, err := e.Info()
			switch {
			case errors.Is(err, fs.ErrNotExist): // removed since
			case err != nil:
				return nil, err
			case info.Mode().IsRegular():
				all = append(all, object{e.Name(), info.Size()})
			}
		}
		return all, nil
	}
	for objects := s.bucket.List(&blob.ListOptions{Prefix: prefix, Delimiter: "/"}); ; {
		o, err := objects.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, s.bucket.told(err)
		case !o.IsDir:
			all = append(all, object{o.Key[len(prefix):], o.Size})
		}
	}
}

// Size is how many bytes the log has from its beginning up to the first gap;
// it is where a writer that comes back goes on.
func (l *Logs) Size(ctx context.Context, name string) (int64, error) {
	chunks, err := l.chunks(ctx, name)
	return end(chunks), err
}

func end(chunks []chunk) int64 {
	if len(chunks) == 0 {
		return 0
	}
	return chunks[len(chunks)-1].end
}

// Open reads the log as it is now, from offset bytes on. Beyond its end there
// is nothing to read.
func (l *Logs) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "log %s: offset %d is before its beginning", name, offset)
	}
	chunks, err := l.chunks(ctx, name)
	if err != nil {
		return nil, err
	}
	return &logReader{ctx: ctx, bucket: l.store.bucket, name: name, chunks: chunks, offset: offset}, nil
}

// Tail returns the last n bytes of the log, or all that there are.
func (l *Logs) Tail(ctx context.Context, name string, n int64) ([]byte, error) {
	chunks, err := l.chunks(ctx, name)
	if err != nil {
		return nil, err
	}
	r := &logReader{ctx: ctx, bucket: l.store.bucket, name: name, chunks: chunks, offset: max(0, end(chunks)-max(0, n))}
	defer r.Close()
	return io.ReadAll(r)
}

// Remove forgets the log. Absent is success.
func (l *Logs) Remove(ctx context.Context, name string) error {
	prefix, err := logPrefix(name)
	if err != nil {
		return err
	}
	objects, err := l.store.list(ctx, prefix)
	if err != nil {
		return fmt.Errorf("remove log %s: %w", name, err)
	}
	// From the end on: a removal that is broken off leaves a shorter log.
	for _, o := range slices.Backward(objects) {
		if err := l.store.bucket.Delete(ctx, prefix+o.name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("remove log %s: %w", name, err)
		}
	}
	if l.store.dir != "" {
		_ = os.Remove(filepath.Join(l.store.dir, filepath.FromSlash(prefix))) // an empty folder is no log
	}
	return nil
}

// logReader reads one chunk after the other.
type logReader struct {
	ctx    context.Context // of Open: a reader has no other way to get one
	bucket bucket
	name   string
	chunks []chunk
	offset int64
	open   io.ReadCloser // of the first chunk, nil before
}

func (r *logReader) Read(p []byte) (int, error) {
	for len(r.chunks) > 0 {
		c := r.chunks[0]
		if r.offset >= c.end {
			if err := r.next(); err != nil {
				return 0, err
			}
			continue
		}
		if r.open == nil {
			open, err := r.bucket.NewRangeReader(r.ctx, c.key, r.offset-c.offset, c.end-r.offset, nil)
			if err != nil {
				return 0, fmt.Errorf("read log %s: %w", r.name, err)
			}
			r.open = open
		}
		n, err := r.open.Read(p)
		r.offset += int64(n)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return n, fmt.Errorf("read log %s: %w", r.name, err)
		case err != nil && r.offset < c.end:
			return n, fmt.Errorf("read log %s: the chunk at %d ends at %d, expected %d", r.name, c.offset, r.offset, c.end)
		case n > 0:
			return n, nil
		}
	}
	return 0, io.EOF
}

// next goes on to the next chunk.
func (r *logReader) next() error {
	r.chunks = r.chunks[1:]
	return r.Close()
}

func (r *logReader) Close() error {
	open := r.open
	r.open = nil
	if open == nil {
		return nil
	}
	return open.Close()
}
