package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// A bucket has no locks, and no time of use that could be set. There are marks
// instead, empty objects: used/<digest>, whose time is that of the use, and
// reclaiming/<digest>, while somebody decides whether the content may go.
//
// Whoever wants a content marks its use, then looks whether it is being
// reclaimed, and then whether it is there. Whoever reclaims it marks that, then
// looks whether it was used, and then removes it. Buckets show every write to
// every later read, so of two who meet, one sees the other.
const (
	usedMark       = "used/"
	reclaimingMark = "reclaiming/"
)

const (
	// fresh is how long a content needs no mark of its use after it was put: half
	// of the shortest time that what nobody mentions is left alone.
	fresh = 30 * time.Minute
	// Who reclaims takes this long at most, or leaves it;
	reclaimWithin = 30 * time.Second
	// and who has seen the mark this long knows that whoever set it is dead.
	reclaimerDead = 2 * reclaimWithin
)

// wantedMarked is wanted for a bucket.
func (s *Store) wantedMarked(ctx context.Context, k string, size int64) (bool, error) {
	a, err := s.look(ctx, k)
	if a == nil || err != nil {
		return false, err
	}
	if time.Since(a.ModTime) > fresh {
		digest := path.Base(k)
		if err := s.bucket.WriteAll(ctx, usedMark+digest, nil); err != nil {
			return false, err
		}
		if err := s.undecided(ctx, reclaimingMark+digest); err != nil {
			return false, err
		}
		if a, err = s.look(ctx, k); a == nil || err != nil {
			return false, err
		}
	}
	return size < 0 || a.Size == size, nil
}

// look returns nil for what is not there.
func (s *Store) look(ctx context.Context, k string) (*blob.Attributes, error) {
	a, err := s.bucket.Attributes(ctx, k)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, nil //nolint:nilnil // not there is an answer
	}
	return a, err
}

// undecided waits until the mark is gone.
func (s *Store) undecided(ctx context.Context, mark string) error {
	for begun := time.Now(); ; {
		a, err := s.look(ctx, mark)
		if a == nil || err != nil {
			return err
		}
		if time.Since(begun) > reclaimerDead {
			return s.unmark(ctx, mark)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Store) unmark(ctx context.Context, mark string) error {
	if err := s.bucket.Delete(ctx, mark); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	return nil
}

// reclaimMarked is Reclaim for a bucket.
func (s *Store) reclaimMarked(ctx context.Context, k, digest string, unused time.Time) (gone bool, err error) {
	a, err := s.look(ctx, k)
	if a == nil || err != nil || !a.ModTime.Before(unused) {
		return false, err
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, reclaimWithin)
	defer cancel()
	if mine, err := s.claim(ctx, reclaimingMark+digest); !mine || err != nil {
		return false, err
	}
	defer func() {
		// The last of all: until then whoever wants the content waits.
		err = errors.Join(err, s.unmark(context.WithoutCancel(whole), reclaimingMark+digest))
	}()
	for _, one := range []string{usedMark + digest, k} { // once more the content: it may have been put anew since
		if a, err := s.look(ctx, one); err != nil || a != nil && !a.ModTime.Before(unused) {
			return false, err
		}
	}
	if err := s.unmark(ctx, k); err != nil {
		return false, err
	}
	return true, s.unmark(ctx, usedMark+digest)
}

// claim sets the mark, unless somebody else has. One that is there for long is of
// somebody who died, and removed for the next time.
func (s *Store) claim(ctx context.Context, mark string) (mine bool, err error) {
	if mine, err = s.bucket.create(ctx, mark, nil); mine || err != nil {
		return mine, err
	}
	if a, err := s.look(ctx, mark); a == nil || err != nil || time.Since(a.ModTime) < time.Hour {
		return false, err
	}
	return false, s.unmark(ctx, mark)
}

// listContents is EachContent for a bucket.
func (s *Store) listContents(ctx context.Context, fn func(Content) error) error {
	used := map[string]time.Time{}
	err := s.each(ctx, usedMark, func(o *blob.ListObject, digest string) error {
		used[digest] = o.ModTime
		return nil
	})
	if err != nil {
		return err
	}
	return s.each(ctx, "sha256/", func(o *blob.ListObject, digest string) error {
		at := o.ModTime
		if used[digest].After(at) {
			at = used[digest]
		}
		return fn(Content{digest, o.Size, at})
	})
}

// each calls fn for every object below the prefix that is named by a digest.
func (s *Store) each(ctx context.Context, prefix string, fn func(o *blob.ListObject, digest string) error) error {
	for objects := s.bucket.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the blobs: %w", s.bucket.told(err))
		}
		if digest := o.Key[strings.LastIndexByte(o.Key, '/')+1:]; digestRE.MatchString(digest) {
			if err := fn(o, digest); err != nil {
				return err
			}
		}
	}
}
