package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// localRemote is this machine's files. Keys are absolute paths.
type localRemote struct{}

func (localRemote) stat(_ context.Context, key string) (File, error) {
	info, err := os.Stat(filepath.FromSlash(key))
	if err != nil {
		return File{}, err
	}
	if info.IsDir() {
		return File{}, ridgeline.Errorf(ridgeline.NotFound, "%s is a folder", key)
	}
	return localFile(key, info)
}

func localFile(key string, info fs.FileInfo) (File, error) {
	if !info.Mode().IsRegular() {
		return File{}, ridgeline.Errorf(ridgeline.Invalid, "%s is neither a file nor a folder: take it out of the dataset", key)
	}
	return File{Key: key, Size: info.Size(), Tag: fmt.Sprintf("%d", info.ModTime().UnixNano())}, nil
}

// list follows links to files, and to folders not: they could lead in circles.
func (localRemote) list(ctx context.Context, prefix string, add func(File) error) error {
	return filepath.WalkDir(filepath.FromSlash(prefix), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		key := filepath.ToSlash(path)
		name := strings.TrimPrefix(key, strings.TrimSuffix(prefix, "/"))
		if d.IsDir() {
			if name = strings.Trim(name, "/"); name != "" && Hidden(name) {
				return fs.SkipDir
			}
			return ctx.Err()
		}
		if Hidden(strings.TrimPrefix(name, "/")) {
			return nil
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return ridgeline.Errorf(ridgeline.Invalid, "%s is a link to a folder, which is not followed: put the folder itself there", path)
		}
		f, err := localFile(key, info)
		if err != nil {
			return err
		}
		return add(f)
	})
}

func (localRemote) open(_ context.Context, key string, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(filepath.FromSlash(key))
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (localRemote) explain(err error) error {
	switch {
	case err == nil || ridgeline.CodeOf(err) != ridgeline.Internal:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return ridgeline.Errorf(ridgeline.NotFound, "nothing is there: check the path (%v)", err)
	case errors.Is(err, fs.ErrPermission):
		return ridgeline.Errorf(ridgeline.Denied, "let the user that the server runs as read it (%v)", err)
	}
	return ridgeline.Errorf(ridgeline.Unavailable, "%v", err)
}

func (localRemote) close() error { return nil }
