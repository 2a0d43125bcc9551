package image

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// cacheFormat is part of every key: raise it when a layer's content for the
// same inputs changes.
const cacheFormat = "1"

// A cache keeps finished layers: blobs/<digest> is a compressed layer and
// layers/<key>.json says which one an input became. Both appear by rename, the
// blob first. Losing any of it costs time only.
type cache struct {
	dir  string
	lock *os.File
	mu   sync.Mutex
	busy map[string]*sync.Mutex // by key: a layer is made once, however many ask
}

func openCache(dir string) (*cache, error) {
	for _, sub := range []string{"blobs", "layers", "bases", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	c := &cache{dir: dir, lock: lock, busy: make(map[string]*sync.Mutex)}
	// Alone here: what lies in tmp belongs to a process that was killed.
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		err = errors.Join(os.RemoveAll(c.tmp()), os.Mkdir(c.tmp(), 0o700))
	}
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_SH)
	}
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return c, nil
}

func (c *cache) tmp() string { return filepath.Join(c.dir, "tmp") }

func (c *cache) blob(digest string) string {
	return filepath.Join(c.dir, "blobs", strings.TrimPrefix(digest, "sha256:"))
}

// hold makes others that want the same key wait until the result is called.
func (c *cache) hold(key string) (release func()) {
	c.mu.Lock()
	m := c.busy[key]
	if m == nil {
		m = new(sync.Mutex)
		c.busy[key] = m
	}
	c.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// key hashes what a layer depends on.
func key(kind string, parts ...string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %q", cacheFormat, kind, parts)
	return hex.EncodeToString(h.Sum(nil))
}

// A layer is a finished layer of the cache.
type layer struct {
	Kind     string `json:"kind"`
	Blob     string `json:"digest"`
	DiffHash string `json:"diff_id"`
	Bytes    int64  `json:"size"`

	path string
}

// layer returns the layer of a key, from the cache or made by build. build
// puts the content together; it is not called when the layer is there.
func (c *cache) layer(ctx context.Context, kind, key string, build func() (tree, *compiler, error)) (*layer, bool, error) {
	defer c.hold(key)()
	if l := c.find(key); l != nil {
		return l, true, nil
	}
	t, compile, err := build()
	if err != nil {
		return nil, false, fmt.Errorf("%s layer: %w", kind, err)
	}
	l, err := c.write(ctx, kind, t, compile)
	if err != nil {
		return nil, false, fmt.Errorf("%s layer: %w", kind, err)
	}
	if err := c.writeJSON(filepath.Join(c.dir, "layers", key+".json"), l); err != nil {
		return nil, false, err
	}
	return l, false, nil
}

// find returns the layer of a key if it is there in full, and marks it as used.
func (c *cache) find(key string) *layer {
	name := filepath.Join(c.dir, "layers", key+".json")
	var l layer
	if !readJSON(name, &l) {
		return nil
	}
	l.path = c.blob(l.Blob)
	if info, err := os.Stat(l.path); err != nil || info.Size() != l.Bytes {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now)
	_ = os.Chtimes(l.path, now, now)
	return &l
}

// write makes a layer of a tree: first its entries, then the bytecode that was
// compiled meanwhile, both in the order of their names.
func (c *cache) write(ctx context.Context, kind string, t tree, compile *compiler) (_ *layer, err error) {
	entries := t.sorted()
	var code *bytecode
	if compile != nil {
		var sources []*entry
		for _, e := range entries {
			if compilable(e) {
				sources = append(sources, e)
			}
		}
		if code, err = compile.start(ctx, sources); err != nil {
			return nil, err
		}
		defer code.close()
	}

	out, err := os.CreateTemp(c.tmp(), kind+"-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name()) // gone already when all went well
	defer out.Close()
	digest := &countedHash{Hash: sha256.New()}
	zip := newGzipWriter(io.MultiWriter(out, digest))
	diff := sha256.New()
	buffer := bufio.NewWriterSize(io.MultiWriter(zip, diff), 1<<18)
	if err := errors.Join(writeEntries(ctx, tar.NewWriter(buffer), entries, code), buffer.Flush(), zip.Close()); err != nil {
		return nil, err
	}
	l := &layer{Kind: kind, Blob: digest.String(), DiffHash: "sha256:" + hex.EncodeToString(diff.Sum(nil)), Bytes: digest.n}
	l.path = c.blob(l.Blob)
	// A layer that is found is never read again to see whether it is whole.
	if err := out.Sync(); err != nil {
		return nil, err
	}
	return l, os.Rename(out.Name(), l.path)
}

func writeEntries(ctx context.Context, w *tar.Writer, entries []*entry, code *bytecode) error {
	write := func(e *entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return e.writeTar(w)
	}
	for _, e := range entries {
		if err := write(e); err != nil {
			return err
		}
	}
	if code != nil {
		if err := code.each(write); err != nil {
			return err
		}
	}
	return w.Close()
}

// prune removes the layers that were used least recently until at most keep
// bytes are left.
func (c *cache) prune(keep int64) error {
	type file struct {
		path string
		size int64
		used time.Time
	}
	list, err := os.ReadDir(filepath.Join(c.dir, "blobs"))
	if err != nil {
		return err
	}
	var files []file
	for _, d := range list {
		if info, err := d.Info(); err == nil {
			files = append(files, file{filepath.Join(c.dir, "blobs", d.Name()), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return b.used.Compare(a.used) })
	var total int64
	for _, f := range files {
		if total += f.size; total > keep {
			if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	records, err := os.ReadDir(filepath.Join(c.dir, "layers"))
	if err != nil {
		return err
	}
	for _, d := range records {
		name := filepath.Join(c.dir, "layers", d.Name())
		var l layer
		if readJSON(name, &l) {
			if _, err := os.Stat(c.blob(l.Blob)); err == nil {
				continue
			}
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// writeJSON replaces a file as a whole.
func (c *cache) writeJSON(name string, v any) error {
	p, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.tmp(), "record-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(p)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// readJSON reports whether the file is there and readable: a cache treats a
// damaged record as none.
func readJSON(name string, v any) bool {
	p, err := os.ReadFile(name)
	return err == nil && json.Unmarshal(p, v) == nil
}

type countedHash struct {
	hash.Hash
	n int64
}

func (h *countedHash) Write(p []byte) (int, error) {
	h.n += int64(len(p))
	return h.Hash.Write(p)
}

func (h *countedHash) String() string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// The methods of v1.Layer.

func (l *layer) Digest() (v1.Hash, error) { return v1.NewHash(l.Blob) }
func (l *layer) DiffID() (v1.Hash, error) { return v1.NewHash(l.DiffHash) }
func (l *layer) Size() (int64, error)     { return l.Bytes, nil }

func (l *layer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

func (l *layer) Compressed() (io.ReadCloser, error) { return os.Open(l.path) }

func (l *layer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}
