package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// Digest returns the sha256 of what lies at path, in 64 hex digits, and its
// size in bytes. A file's digest is that of its bytes. A folder's is that of,
// for each regular file in order of its slash-separated relative path, the
// path, a zero byte, the size in decimal, a zero byte, and the bytes; empty
// folders, modes and times do not count.
func Digest(path string) (string, int64, error) {
	info, err := stat(path)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	if !info.IsDir() {
		size, err := hashFile(h, path)
		return hex.EncodeToString(h.Sum(nil)), size, err
	}
	names, err := walk(path)
	if err != nil {
		return "", 0, err
	}
	var total int64
	for _, name := range names {
		file := filepath.Join(path, filepath.FromSlash(name))
		info, err := os.Stat(file)
		if err != nil {
			return "", 0, fmt.Errorf("digest %s: %w", path, err)
		}
		fmt.Fprintf(h, "%s\x00%d\x00", name, info.Size())
		size, err := hashFile(h, file)
		if err != nil {
			return "", 0, err
		}
		if size != info.Size() {
			return "", 0, ridgeline.Errorf(ridgeline.Unavailable, "%s changed while it was read (%d bytes, then %d); wait until it is written, then try again", file, info.Size(), size)
		}
		total += size
	}
	return hex.EncodeToString(h.Sum(nil)), total, nil
}

func hashFile(h hash.Hash, path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("digest: %w", err)
	}
	defer f.Close()
	n, err := io.Copy(h, f)
	if err != nil {
		return n, fmt.Errorf("digest %s: %w", path, err)
	}
	return n, nil
}

// stat is os.Stat with a classified error.
func stat(path string) (fs.FileInfo, error) {
	if strings.ContainsRune(path, 0) {
		return nil, invalid("path %q holds a zero byte", path)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ridgeline.Errorf(ridgeline.NotFound, "no data at %s: check the path", path)
	case err != nil:
		return nil, fmt.Errorf("data: %w", err)
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil, invalid("%s is neither a file nor a folder", path)
	}
	return info, nil
}

// walk lists the regular files below dir, links to files included, by
// slash-separated relative path, sorted bytewise.
func walk(dir string) ([]string, error) {
	// A trailing separator makes WalkDir enter dir even when it is a link.
	root := filepath.Clean(dir) + string(filepath.Separator)
	var names []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return invalid("%s is a link to a folder, which is not followed; put the folder itself there", path)
		}
		if !info.Mode().IsRegular() {
			return invalid("%s is not a regular file; take it out of the dataset", path)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		names = append(names, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	slices.Sort(names)
	return names, nil
}
