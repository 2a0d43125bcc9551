package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/ridgeline-mlops/ridgeline"
)

// Objects are files with names of their own below one folder of the store:
// paths of letters, digits, dots, dashes and underscores, whose parts do not
// begin with a dot.
//
// In a local store others may put files there, too: written beside their
// place under a name that begins with a dot, and renamed.
type Objects struct {
	store  *Store
	folder string
}

// Objects returns the objects below a folder.
func (s *Store) Objects(folder string) *Objects { return &Objects{s, folder} }

// An Object is one of them.
type Object struct {
	Name    string
	Size    int64
	Changed time.Time
}

var objectName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)

func (o *Objects) key(name string) (string, error) {
	if len(name) > 800 || !objectName.MatchString(name) {
		return "", ridgeline.Errorf(ridgeline.Invalid, "name %q: expected a path of letters, digits, dots, dashes and underscores", name)
	}
	return o.folder + "/" + name, nil
}

// Dir is the folder on this machine that holds the objects; empty when they
// are elsewhere.
func (o *Objects) Dir() string {
	if o.store.dir == "" {
		return ""
	}
	return filepath.Join(o.store.dir, o.folder)
}

// Put keeps what r yields under name, and replaces what was there.
func (o *Objects) Put(ctx context.Context, name string, r io.Reader) error {
	k, err := o.key(name)
	if err != nil {
		return err
	}
	if err := o.put(ctx, k, r); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

func (o *Objects) put(ctx context.Context, k string, r io.Reader) error {
	if o.store.dir == "" {
		return o.store.bucket.Upload(ctx, k, r)
	}
	f, err := spoolFile(o.store.spool)
	if err != nil {
		return err
	}
	defer discard(f)
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	dir, err := o.store.rename(f, k)
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// List returns the objects at and below a path, by name; of the empty path,
// all. What is not there has none.
func (o *Objects) List(ctx context.Context, below string) ([]Object, error) {
	var list []Object
	var err error
	if o.store.dir != "" {
		list, err = o.walk(below)
	} else {
		list, err = o.ask(ctx, below)
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", path.Join(o.folder, below), err)
	}
	slices.SortFunc(list, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (o *Objects) walk(below string) (list []Object, err error) {
	top := o.Dir()
	err = filepath.WalkDir(filepath.Join(top, filepath.FromSlash(below)), func(file string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // never there, or removed since
			return nil
		case err != nil:
			return err
		case d.IsDir() || strings.HasPrefix(d.Name(), "."):
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		name, err := filepath.Rel(top, file)
		list = append(list, Object{filepath.ToSlash(name), info.Size(), info.ModTime()})
		return err
	})
	return list, err
}

func (o *Objects) ask(ctx context.Context, below string) (list []Object, err error) {
	prefix := o.folder + "/"
	for objects := o.store.bucket.List(&blob.ListOptions{Prefix: prefix + below}); ; {
		one, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, o.store.bucket.told(err)
		}
		name := strings.TrimPrefix(one.Key, prefix)
		if below == "" || name == below || strings.HasPrefix(name, strings.TrimSuffix(below, "/")+"/") {
			list = append(list, Object{name, one.Size, one.ModTime})
		}
	}
}

// Get opens an object.
func (o *Objects) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	return o.Open(ctx, name, 0)
}

// Remove forgets an object, and in a local store the folders that it leaves
// empty. Absent is success.
func (o *Objects) Remove(ctx context.Context, name string) error {
	k, err := o.key(name)
	if err != nil {
		return err
	}
	if err := o.store.bucket.Delete(ctx, k); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("remove %s: %w", k, err)
	}
	if o.store.dir != "" {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if os.Remove(filepath.Join(o.Dir(), filepath.FromSlash(dir))) != nil {
				break // not empty
			}
		}
	}
	return nil
}
