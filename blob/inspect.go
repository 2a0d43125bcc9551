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
	"slices"
	"strings"

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
	var files []TreeFile
	err := s.eachFile(ctx, digest, func(name string, h *tar.Header, content io.Reader) error {
		sum := sha256.New()
		fmt.Fprintf(sum, "%c%v%s\x00", h.Typeflag, h.Mode&0o100 != 0, h.Linkname)
		_, err := io.Copy(sum, content)
		files = append(files, TreeFile{Path: name, SHA256: hex.EncodeToString(sum.Sum(nil)), Size: h.Size})
		return err
	})
	return files, err
}

// Contents are those of some files of the tree, each up to most bytes; of a
// link, where it points. What is not there is not in the answer.
func (s *Store) Contents(ctx context.Context, digest string, paths []string, most int64) (map[string][]byte, error) {
	out := make(map[string][]byte, len(paths))
	err := s.eachFile(ctx, digest, func(name string, h *tar.Header, content io.Reader) (err error) {
		if !slices.Contains(paths, name) {
			return nil
		}
		if h.Typeflag == tar.TypeSymlink {
			content = strings.NewReader("link to " + h.Linkname + "\n")
		}
		out[name], err = io.ReadAll(io.LimitReader(content, most))
		return err
	})
	return out, err
}

// eachFile calls fn for each file and link of the tree; fn need not read all of
// a content.
func (s *Store) eachFile(ctx context.Context, digest string, fn func(name string, h *tar.Header, content io.Reader) error) error {
	r, err := s.Get(ctx, digest)
	if err != nil {
		return err
	}
	defer r.Close()
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && (h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeSymlink) {
			err = fn(path.Clean(h.Name), h, t)
		}
		if err != nil {
			return fmt.Errorf("list tree %s: %w", digest, err)
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // its last byte proves it
		return fmt.Errorf("list tree %s: %w", digest, err)
	}
	return nil
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
