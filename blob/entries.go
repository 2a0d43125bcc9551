package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/ridgeline-mlops/ridgeline"
)

// An Entry is what is directly in a folder of objects.
type Entry struct {
	Object        // its name is the whole one; of a folder nothing else is known
	IsFolder bool // objects are below it
}

// Look finds out about one object.
func (o *Objects) Look(ctx context.Context, name string) (Object, error) {
	k, err := o.key(name)
	if err != nil {
		return Object{}, err
	}
	a, err := o.store.bucket.Attributes(ctx, k)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return Object{}, ridgeline.Errorf(ridgeline.NotFound, "no %s", k)
	case err != nil:
		return Object{}, fmt.Errorf("look for %s: %w", k, err)
	}
	return Object{name, a.Size, a.ModTime}, nil
}

// Open opens an object for reading from an offset on.
func (o *Objects) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	k, err := o.key(name)
	if err != nil {
		return nil, err
	}
	r, err := o.store.bucket.Open(ctx, k, offset)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return nil, ridgeline.Errorf(ridgeline.NotFound, "no %s", k)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", k, err)
	}
	return r, nil
}

// Content opens an object whose content has that digest: as Store.Get does, by
// way of this machine's copy if there is one.
func (o *Objects) Content(ctx context.Context, name, digest string) (io.ReadCloser, error) {
	if _, err := key(digest); err != nil {
		return nil, err
	}
	s := o.store
	if f := s.cache.open(digest); f != nil {
		return &verified{r: f, hash: sha256.New(), digest: digest, cached: s.cache}, nil
	}
	r, err := o.Open(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	size := r.(sizedReader).Size()
	return &verified{r: r, hash: sha256.New(), digest: digest, left: size, kept: s.cache.keep(size, s.spool, digest)}, nil
}

// Entries returns what is directly in a folder, by name; of the empty path, in
// all of it. A folder that is not there has none.
func (o *Objects) Entries(ctx context.Context, folder string) ([]Entry, error) {
	within := ""
	if folder != "" {
		if _, err := o.key(folder); err != nil {
			return nil, err
		}
		within = folder + "/"
	}
	var all []Entry
	var err error
	if o.store.dir != "" {
		all, err = o.entries(within)
	} else {
		all, err = o.askEntries(ctx, within)
	}
	if err != nil {
		return nil, fmt.Errorf("list %s/%s: %w", o.folder, folder, err)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (o *Objects) entries(within string) (all []Entry, err error) {
	list, err := os.ReadDir(filepath.Join(o.Dir(), filepath.FromSlash(within)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range list {
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(e.Name(), "."):
			continue
		case err != nil:
			return nil, err
		}
		all = append(all, Entry{Object{within + e.Name(), info.Size(), info.ModTime()}, e.IsDir()})
	}
	return all, err
}

func (o *Objects) askEntries(ctx context.Context, within string) (all []Entry, err error) {
	prefix := o.folder + "/"
	for objects := o.store.bucket.List(&blob.ListOptions{Prefix: prefix + within, Delimiter: "/"}); ; {
		one, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, o.store.bucket.told(err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(one.Key, prefix), "/")
		all = append(all, Entry{Object{name, one.Size, one.ModTime}, one.IsDir})
	}
}

// copyLimit is the largest object that S3 copies in one call.
const copyLimit = 5 << 30

// Copy keeps the content of an object under another name, too, and replaces what
// was there. A bucket does it without sending the bytes.
func (o *Objects) Copy(ctx context.Context, from, to string) error {
	source, err := o.Look(ctx, from)
	if err != nil {
		return err
	}
	if o.store.dir == "" && source.Size <= copyLimit {
		src, dst := o.folder+"/"+from, ""
		if dst, err = o.key(to); err == nil {
			err = o.store.bucket.told(o.store.bucket.Copy(ctx, dst, src, nil))
		}
		if err != nil {
			return fmt.Errorf("copy %s to %s: %w", from, to, err)
		}
		return nil
	}
	r, err := o.Open(ctx, from, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	return o.Put(ctx, to, r)
}
