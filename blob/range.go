package blob

import (
	"context"
	"fmt"
	"io"

	"gocloud.dev/gcerrors"

	"github.com/ridgeline-mlops/ridgeline"
)

// Seek opens the content of that digest for reading from anywhere, as a range
// of an HTTP request does. A part cannot be compared with the digest of the
// whole: who reads all of it uses Get.
func (s *Store) Seek(ctx context.Context, digest string) (io.ReadSeekCloser, error) {
	k, err := key(digest)
	if err != nil {
		return nil, err
	}
	if f := s.cache.open(digest); f != nil {
		return f, nil
	}
	size, err := s.Size(ctx, digest)
	if err != nil {
		return nil, err
	}
	return &seeker{ctx: ctx, store: s, key: k, size: size}, nil
}

// A seeker opens the content where it is read, and again after a jump.
type seeker struct {
	ctx   context.Context //nolint:containedctx // of the request that it is read for
	store *Store
	key   string
	size  int64
	at    int64
	r     io.ReadCloser
}

func (s *seeker) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	if s.r == nil {
		r, err := s.store.bucket.Open(s.ctx, s.key, s.at)
		if gcerrors.Code(err) == gcerrors.NotFound {
			return 0, ridgeline.Errorf(ridgeline.NotFound, "the content of %s is gone", s.key)
		}
		if err != nil {
			return 0, fmt.Errorf("open %s: %w", s.key, err)
		}
		s.r = r
	}
	n, err := s.r.Read(p)
	s.at += int64(n)
	return n, err
}

func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d: before the beginning", offset)
	}
	if offset != s.at {
		_ = s.Close()
		s.at = offset
	}
	return offset, nil
}

func (s *seeker) Close() error {
	if s.r == nil {
		return nil
	}
	err := s.r.Close()
	s.r = nil
	return err
}
