package migrate

import (
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// disk reads artifacts that lie on this machine's disk.
type disk struct {
	base      string // what relative locations are relative to
	artifacts string // what mlflow-artifacts:/ is here
}

// folder is where a location's files are.
func (d disk) folder(uri string) (string, error) {
	if rest, ok := strings.CutPrefix(uri, "mlflow-artifacts:"); ok {
		if strings.HasPrefix(rest, "//") { // names a server, too
			if u, err := url.Parse(uri); err == nil {
				rest = u.Path
			}
		}
		return filepath.Join(d.artifacts, filepath.FromSlash(rest)), nil
	}
	if rest, ok := strings.CutPrefix(uri, "file:"); ok {
		u, err := url.Parse("file:" + rest)
		if err != nil {
			return "", fmt.Errorf("the location %q: %w", uri, err)
		}
		uri = u.Path + u.Opaque
	} else if scheme, _, ok := strings.Cut(uri, "://"); ok {
		return "", fmt.Errorf("artifacts at %s://… are not on this machine's disk: copy from the MLflow server itself, by its address, which can read them", scheme)
	}
	if !filepath.IsAbs(uri) {
		uri = filepath.Join(d.base, uri)
	}
	return uri, nil
}

// files lists what is below a location. A folder that is not there has none:
// MLflow makes it with the first artifact.
func (d disk) files(uri string) ([]File, error) {
	root, err := d.folder(uri)
	if err != nil {
		return nil, err
	}
	var all []File
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) && path == root {
			return fs.SkipAll
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		all = append(all, File{filepath.ToSlash(name), info.Size()})
		return err
	})
	return all, err
}

func (d disk) open(uri, path string) (io.ReadCloser, error) {
	root, err := d.folder(uri)
	if err != nil {
		return nil, err
	}
	return os.Open(filepath.Join(root, filepath.FromSlash(path)))
}
