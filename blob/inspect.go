package blob

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"

	"gocloud.dev/gcerrors"

	"github.com/ridgeline-mlops/ridgeline"
)

// A TreeFile is one file of a tree.
type TreeFile struct {
	Path   string // with slashes
	SHA256 string // of its content, and of whether it may be executed; of a link, of where it points
	Size   int64
}

// Files lists the files and links of the tree of that digest, in the order of
// the archive, which is sorted. Folders are not listed.
func (s *Store) Files(ctx context.Context, digest string) ([]TreeFile, error) {
	r, err := s.Get(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var files []TreeFile
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list tree %s: %w", digest, err)
		}
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeSymlink {
			continue
		}
		sum := sha256.New()
		fmt.Fprintf(sum, "%c%v%s\x00", h.Typeflag, h.Mode&0o100 != 0, h.Linkname)
		if _, err := io.Copy(sum, t); err != nil {
			return nil, fmt.Errorf("list tree %s: %w", digest, err)
		}
		files = append(files, TreeFile{Path: path.Clean(h.Name), SHA256: hex.EncodeToString(sum.Sum(nil)), Size: h.Size})
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // its last byte proves it
		return nil, fmt.Errorf("list tree %s: %w", digest, err)
	}
	return files, nil
}

// Verify reads the content of that digest to its end. One that is damaged is
// Internal and removed, so that the same content can be kept again; one that is
// not there is NotFound.
func (s *Store) Verify(ctx context.Context, digest string) error {
	k, err := key(digest)
	if err != nil {
		return err
	}
	r, err := s.fetch(ctx, k, digest)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, &verified{r: r, hash: sha256.New(), digest: digest})
	_ = r.Close()
	if ridgeline.CodeOf(err) != ridgeline.Internal || !errors.Is(err, errDamaged) {
		return err
	}
	if removed := s.bucket.Delete(ctx, k); removed != nil && gcerrors.Code(removed) != gcerrors.NotFound {
		return fmt.Errorf("remove damaged blob %s: %w", digest, removed)
	}
	return err
}
