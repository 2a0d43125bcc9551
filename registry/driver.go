package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	storage "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/base"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/blob"
)

// driverName is that of our driver of the library's storage.
const driverName = "ridgeline"

var register = sync.OnceFunc(func() { factory.Register(driverName, drivers{}) })

// drivers makes drivers: the parameter "objects" is what one keeps its files in.
type drivers struct{}

func (drivers) Create(_ context.Context, parameters map[string]any) (storage.StorageDriver, error) {
	objects, ok := parameters["objects"].(*blob.Objects)
	if !ok {
		return nil, errors.New("the parameter objects is missing")
	}
	return newDriver(objects), nil
}

func newDriver(objects *blob.Objects) storage.StorageDriver {
	return &base.Base{StorageDriver: &driver{objects}}
}

// A driver keeps the files of the library's storage in objects. A file that was
// written whole is one object. One that arrives in pieces, an upload, is a
// folder of parts, <file>/part-<offset of its first byte, 16 digits>, so that each
// request may go to another server; it becomes one object when it is moved to
// its place.
type driver struct{ objects *blob.Objects }

var (
	partName    = regexp.MustCompile(`^part-[0-9]{16}$`)
	contentPath = regexp.MustCompile(`/blobs/sha256/[0-9a-f]{2}/([0-9a-f]{64})/data$`)
)

func name(path string) string { return strings.TrimPrefix(path, "/") }

// absent says that the library is to see what is not there as that.
func absent(file string, err error) error {
	if ridgeline.CodeOf(err) == ridgeline.NotFound {
		return storage.PathNotFoundError{Path: file, DriverName: driverName}
	}
	return err
}

func (d *driver) Name() string { return driverName }

func (d *driver) GetContent(ctx context.Context, file string) ([]byte, error) {
	r, err := d.Reader(ctx, file, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (d *driver) PutContent(ctx context.Context, file string, content []byte) error {
	if err := d.objects.Put(ctx, name(file), bytes.NewReader(content)); err != nil {
		return err
	}
	return nil
}

func (d *driver) Reader(ctx context.Context, file string, offset int64) (io.ReadCloser, error) {
	if m := contentPath.FindStringSubmatch(file); m != nil && offset == 0 {
		r, err := d.objects.Content(ctx, name(file), m[1])
		return r, absent(file, err)
	}
	found, parts, err := d.find(ctx, file)
	switch {
	case err != nil:
		return nil, err
	case found.IsDir():
		return nil, fmt.Errorf("%s is a folder", file)
	case offset >= found.Size():
		return io.NopCloser(strings.NewReader("")), nil
	case len(parts) > 0:
		return &joined{ctx: ctx, objects: d.objects, parts: parts, skip: offset}, nil
	}
	r, err := d.objects.Open(ctx, name(file), offset)
	return r, absent(file, err)
}

// find looks for a file or folder, and for the parts of a file that has them.
func (d *driver) find(ctx context.Context, file string) (storage.FileInfo, []blob.Object, error) {
	info := storage.FileInfoFields{Path: file}
	if file != "/" {
		o, err := d.objects.Look(ctx, name(file))
		if err == nil {
			info.Size, info.ModTime = o.Size, o.Changed
			return storage.FileInfoInternal{FileInfoFields: info}, nil, nil
		}
		if ridgeline.CodeOf(err) != ridgeline.NotFound {
			return nil, nil, err
		}
	}
	entries, err := d.objects.Entries(ctx, name(file))
	if err != nil {
		return nil, nil, err
	}
	if len(entries) == 0 {
		return nil, nil, absent(file, ridgeline.Errorf(ridgeline.NotFound, "no %s", file))
	}
	var parts []blob.Object
	for _, e := range entries { // by name, and so by offset
		if !e.IsFolder && partName.MatchString(path.Base(e.Name)) {
			parts = append(parts, e.Object)
			info.Size += e.Size
			info.ModTime = later(info.ModTime, e.Changed)
		}
	}
	info.IsDir = parts == nil
	return storage.FileInfoInternal{FileInfoFields: info}, parts, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (d *driver) Stat(ctx context.Context, file string) (storage.FileInfo, error) {
	info, _, err := d.find(ctx, file)
	return info, err
}

func (d *driver) List(ctx context.Context, folder string) ([]string, error) {
	entries, err := d.objects.Entries(ctx, name(folder))
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 && folder != "/" {
		return nil, storage.PathNotFoundError{Path: folder, DriverName: driverName}
	}
	var all []string
	for _, e := range entries {
		all = append(all, "/"+e.Name)
	}
	return all, nil
}

// Move is not one step, but the library moves only to names made of the content.
func (d *driver) Move(ctx context.Context, from, to string) error {
	info, parts, err := d.find(ctx, from)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder", from)
	case len(parts) == 0:
		err = d.objects.Copy(ctx, name(from), name(to))
	case len(parts) == 1:
		err = d.objects.Copy(ctx, parts[0].Name, name(to))
	default:
		r := &joined{ctx: ctx, objects: d.objects, parts: parts}
		defer r.Close()
		err = d.objects.Put(ctx, name(to), r)
	}
	if err != nil {
		return absent(from, err)
	}
	return d.Delete(ctx, from)
}

func (d *driver) Delete(ctx context.Context, file string) error {
	all, err := d.objects.List(ctx, name(file))
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return storage.PathNotFoundError{Path: file, DriverName: driverName}
	}
	for _, o := range all {
		if err := d.objects.Remove(ctx, o.Name); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) RedirectURL(*http.Request, string) (string, error) { return "", nil }

func (d *driver) Walk(ctx context.Context, from string, f storage.WalkFn, options ...func(*storage.WalkOptions)) error {
	return storage.WalkFallback(ctx, d, from, f, options...)
}

// joined reads one part after the other.
type joined struct {
	ctx     context.Context //nolint:containedctx // of the call that opened it
	objects *blob.Objects
	parts   []blob.Object
	skip    int64 // of what is left
	open    io.ReadCloser
}

func (j *joined) Read(p []byte) (int, error) {
	for {
		if j.open == nil {
			for len(j.parts) > 0 && j.skip >= j.parts[0].Size {
				j.skip -= j.parts[0].Size
				j.parts = j.parts[1:]
			}
			if len(j.parts) == 0 {
				return 0, io.EOF
			}
			r, err := j.objects.Open(j.ctx, j.parts[0].Name, j.skip)
			if err != nil {
				return 0, err
			}
			j.open, j.skip, j.parts = r, 0, j.parts[1:]
		}
		n, err := j.open.Read(p)
		if errors.Is(err, io.EOF) {
			err = j.Close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (j *joined) Close() error {
	open := j.open
	j.open = nil
	if open == nil {
		return nil
	}
	return open.Close()
}
