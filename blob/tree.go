package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline/blob/archive"
)

// PutTree keeps the folder as an archive (see archive.Write) under its sha256, and
// returns that and the archive's size. The same tree is the same digest.
func (s *Store) PutTree(ctx context.Context, dir string) (digest string, size int64, err error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(archive.Write(w, dir)) }()
	digest, size, err = s.Put(ctx, r)
	r.Close() // lets the writer end when Put gave up early
	return digest, size, err
}

// unpackPrefix begins the names of folders that are being unpacked, beside the
// place where they will be.
const unpackPrefix = ".unpack-"

// GetTree unpacks the archive of that digest as the folder dir, which appears
// complete or not at all. If dir is there already it is left as it is: a
// folder once named is never written again.
func (s *Store) GetTree(ctx context.Context, digest, dir string) error {
	return s.GetPart(ctx, digest, dir, func(string) bool { return true })
}

// GetPart unpacks those files and links of the tree whose names, with slashes,
// keep wants; all folders are there. Else it is GetTree.
func (s *Store) GetPart(ctx context.Context, digest, dir string, keep func(name string) bool) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unpack tree %s: %w", digest, err)
	}
	r, err := s.Get(ctx, digest)
	if err != nil {
		return err
	}
	defer r.Close()
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("unpack tree %s: %w", digest, err)
	}
	sweep(parent, unpackPrefix)
	temp, lock, err := spoolDir(parent, unpackPrefix)
	if err != nil {
		return fmt.Errorf("unpack tree %s: %w", digest, err)
	}
	defer lock.Close()
	defer os.RemoveAll(temp)
	unpacked := archive.ReadPart(r, temp, keep)
	// The archive ends before the content does, and only its last byte proves
	// it. Damage is also the better answer to what could not be unpacked.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("unpack tree %s: %w", digest, err)
	}
	if unpacked != nil {
		return fmt.Errorf("unpack tree %s: %w", digest, unpacked)
	}
	if err := os.Chmod(temp, 0o755); err != nil { // MkdirTemp made it private
		return fmt.Errorf("unpack tree %s: %w", digest, err)
	}
	err = os.Rename(temp, dir)
	if errors.Is(err, fs.ErrExist) { // another one was faster
		return nil
	}
	if err != nil {
		return fmt.Errorf("unpack tree %s: %w", digest, err)
	}
	return syncDir(parent)
}
