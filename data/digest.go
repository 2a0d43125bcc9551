package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// Digest returns the digest of what lies at path, in 64 hex digits, and its
// size in bytes: Digest's of its Manifest.
func Digest(path string) (string, int64, error) {
	m, err := Manifest(path)
	if err != nil {
		return "", 0, err
	}
	digest, size := ManifestDigest(m)
	return digest, size, nil
}

// Manifest lists the data files at path, a file or a folder, with the sha256 of
// their bytes. In a folder, names that start with a dot or an underscore are no
// data, as Spark and Hive have it.
func Manifest(path string) (ridgeline.DatasetManifest, error) {
	info, err := stat(path)
	if err != nil {
		return ridgeline.DatasetManifest{}, err
	}
	if !info.IsDir() {
		f, err := manifestFile(path, filepath.Base(path))
		return ridgeline.DatasetManifest{Single: true, Files: []ridgeline.DatasetFile{f}}, err
	}
	names, err := walk(path)
	if err != nil {
		return ridgeline.DatasetManifest{}, err
	}
	var m ridgeline.DatasetManifest
	for _, name := range slices.DeleteFunc(names, hidden) {
		f, err := manifestFile(filepath.Join(path, filepath.FromSlash(name)), name)
		if err != nil {
			return ridgeline.DatasetManifest{}, err
		}
		m.Files = append(m.Files, f)
	}
	return m, nil
}

func manifestFile(path, name string) (ridgeline.DatasetFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return ridgeline.DatasetFile{}, fmt.Errorf("digest: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return ridgeline.DatasetFile{}, fmt.Errorf("digest %s: %w", path, err)
	}
	return ridgeline.DatasetFile{Name: name, Size: n, Digest: hex.EncodeToString(h.Sum(nil))}, nil
}

// ManifestDigest is the digest that a content is known by, and its size in
// bytes. One file by itself has the sha256 of its bytes, whatever its name.
// Many files have the root of a Merkle tree as RFC 6962 (2.1) builds it over
// the files in bytewise order of their names, each leaf being the name, a zero
// byte, the size in decimal, a zero byte, and the 32 bytes of the file's
// sha256. Where the bytes are kept has no part in it.
func ManifestDigest(m ridgeline.DatasetManifest) (string, int64) {
	var size int64
	for _, f := range m.Files {
		size += f.Size
	}
	if m.Single && len(m.Files) == 1 {
		return m.Files[0].Digest, size
	}
	files := slices.Clone(m.Files)
	slices.SortFunc(files, func(a, b ridgeline.DatasetFile) int { return strings.Compare(a.Name, b.Name) })
	root := merkle(files)
	return hex.EncodeToString(root[:]), size
}

func merkle(files []ridgeline.DatasetFile) [32]byte {
	switch n := len(files); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		f := files[0]
		leaf := fmt.Appendf([]byte{0}, "%s\x00%d\x00", f.Name, f.Size)
		sum, _ := hex.DecodeString(f.Digest) // what is no digest gives another root, and never a right one
		return sha256.Sum256(append(leaf, sum...))
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		left, right := merkle(files[:k]), merkle(files[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
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
