package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/data"
	"github.com/ridgeline-mlops/ridgeline/project"
)

// Ready brings a version of a dataset onto this machine, split by the
// dataset's holdout: a file, or a folder when it has many.
func (i *Intake) Ready(ctx context.Context, name ridgeline.ProjectName, d project.Dataset, version int) (data.Content, error) {
	v, err := i.Store.DatasetVersion(ctx, name, d.Name, version)
	if err != nil {
		return data.Content{}, err
	}
	path, err := i.Path(ctx, v)
	if err != nil {
		return data.Content{}, err
	}
	return i.Library.Split(ctx, path, described(v.DatasetContent), holdout(d))
}

// described is what was found out when the content arrived.
func described(c ridgeline.DatasetContent) data.Description {
	return data.Description{Digest: c.Digest, Size: c.Size, Rows: c.Rows, Columns: c.Columns}
}

func holdout(d project.Dataset) data.Holdout {
	return data.Holdout{Fraction: d.Holdout.Fraction, Key: d.Holdout.Key}
}

// Manifest lists a version's files.
func (i *Intake) Manifest(ctx context.Context, v ridgeline.DatasetVersion) (ridgeline.DatasetManifest, error) {
	if v.Manifest == "" {
		return ridgeline.DatasetManifest{}, ridgeline.Errorf(ridgeline.NotFound, "version %d of dataset %s was recorded before files were kept; its content comes back when it arrives again", v.Version, v.Name)
	}
	return getJSON[ridgeline.DatasetManifest](ctx, i, v.Manifest)
}

// Path brings a version's files onto this machine, and says where they are.
// They are shared: nobody writes there.
func (i *Intake) Path(ctx context.Context, v ridgeline.DatasetVersion) (string, error) {
	m, err := i.Manifest(ctx, v)
	if err != nil {
		return "", err
	}
	return i.lay(ctx, v.Manifest, m)
}

// lay brings the files of a manifest, whose own digest is given, onto this
// machine.
func (i *Intake) lay(ctx context.Context, digest string, m ridgeline.DatasetManifest) (string, error) {
	tree := ""
	if m.Tree != "" {
		var err error
		if tree, err = i.tree(ctx, m.Tree); err != nil {
			return "", err
		}
		tree = filepath.Join(tree, filepath.FromSlash(m.Path))
		if m.Single || !m.Some {
			return tree, nil
		}
	}
	dir := filepath.Join(i.Files, digest[:2], digest)
	path := dir
	if m.Single && len(m.Files) == 1 {
		path = filepath.Join(dir, m.Files[0].Name)
	}
	if _, err := os.Stat(dir); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for _, f := range m.Files {
		if err := i.layFile(ctx, tree, f, filepath.Join(tmp, filepath.FromSlash(f.Name))); err != nil {
			return "", fmt.Errorf("bring %s onto this machine: %w", f.Name, err)
		}
	}
	// Somebody else may have been faster; what is there then is the same.
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return path, nil
}

// layFile copies one file from a checked-out folder or the blob store.
func (i *Intake) layFile(ctx context.Context, tree string, f ridgeline.DatasetFile, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	var in io.ReadCloser
	var err error
	if tree != "" {
		in, err = os.Open(filepath.Join(tree, filepath.FromSlash(f.Name)))
	} else {
		in, err = i.Blob.Get(ctx, f.Digest)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync() // before the rename that says it is whole
	}
	return errors.Join(err, out.Close())
}

// Open reads one file of a version, verified to its end where it is a blob of
// its own.
func (i *Intake) Open(ctx context.Context, v ridgeline.DatasetVersion, name string) (io.ReadCloser, int64, error) {
	m, err := i.Manifest(ctx, v)
	if err != nil {
		return nil, 0, err
	}
	for _, f := range m.Files {
		if f.Name != name {
			continue
		}
		if m.Tree == "" {
			r, err := i.Blob.Get(ctx, f.Digest)
			return r, f.Size, err
		}
		path, err := i.lay(ctx, v.Manifest, m)
		if err != nil {
			return nil, 0, err
		}
		if !m.Single {
			path = filepath.Join(path, filepath.FromSlash(name))
		}
		r, err := os.Open(path)
		return r, f.Size, err
	}
	return nil, 0, ridgeline.Errorf(ridgeline.NotFound, "version %d of dataset %s has no file %q", v.Version, v.Name, name)
}
