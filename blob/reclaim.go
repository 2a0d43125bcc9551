package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gocloud.dev/gcerrors"
)

// A Content is what is kept under a digest. Used is when it was last put, or
// asked for by Has: whoever put it may refer to it only later.
type Content struct {
	Digest string
	Size   int64
	Used   time.Time
}

// EachContent calls fn for every content, by digest. What is put meanwhile may
// be among them or not.
func (s *Store) EachContent(ctx context.Context, fn func(Content) error) error {
	if s.dir != "" {
		return s.walkContents(ctx, fn)
	}
	return s.listContents(ctx, fn)
}

func (s *Store) walkContents(ctx context.Context, fn func(Content) error) error {
	return filepath.WalkDir(filepath.Join(s.dir, "sha256"), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // never there, or reclaimed since
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the blobs: %w", err)
		}
		if d.IsDir() || !digestRE.MatchString(d.Name()) {
			return ctx.Err()
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the blobs: %w", err)
		}
		return fn(Content{d.Name(), info.Size(), info.ModTime()})
	})
}

// Reclaim removes the content of that digest unless it was used since the time
// given; absent is success. It reports whether it is gone by this call. A Put of
// the same content at the same time either finds it there and makes Reclaim
// leave it, or finds it gone and keeps it anew.
func (s *Store) Reclaim(ctx context.Context, digest string, unused time.Time) (bool, error) {
	k, err := key(digest)
	if err != nil {
		return false, err
	}
	if s.dir == "" {
		gone, err := s.reclaimMarked(ctx, k, digest, unused)
		if err != nil {
			return false, fmt.Errorf("reclaim blob %s: %w", digest, err)
		}
		return gone, nil
	}
	unlock, err := s.guard(syscall.LOCK_EX)
	if err != nil {
		return false, fmt.Errorf("reclaim blob %s: %w", digest, err)
	}
	defer unlock()
	a, err := s.bucket.Attributes(ctx, k)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reclaim blob %s: %w", digest, err)
	}
	if !a.ModTime.Before(unused) {
		return false, nil
	}
	if err := s.bucket.Delete(ctx, k); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return false, fmt.Errorf("reclaim blob %s: %w", digest, err)
	}
	return true, nil
}

// wanted reports whether the content is there, and if it is, counts it as used
// now. One of another size (negative: of any) is not it but the remains of some
// accident, and worth replacing.
func (s *Store) wanted(ctx context.Context, k string, size int64) (bool, error) {
	if s.dir == "" {
		return s.wantedMarked(ctx, k, size)
	}
	unlock, err := s.guard(syscall.LOCK_SH)
	if err != nil {
		return false, err
	}
	defer unlock()
	a, err := s.bucket.Attributes(ctx, k)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return false, nil
	case err != nil:
		return false, err
	case size >= 0 && a.Size != size:
		return false, nil
	}
	now := time.Now()
	return true, os.Chtimes(filepath.Join(s.dir, filepath.FromSlash(k)), now, now)
}

// guard lets many who look for contents, or one who removes one, in at a time:
// of all processes that use the folder.
func (s *Store) guard(how int) (unlock func(), err error) {
	// Opened each time: a lock belongs to the opened file, and two of this
	// process have to be able to wait for each other.
	f, err := os.OpenFile(filepath.Join(s.dir, ".reclaim"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
