package blob

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A cache has copies of contents, each a file named by its digest, and forgets
// those that were not used for longest when they become too many. What it cannot
// do it leaves: the bucket has everything. A nil cache has nothing.
type cache struct {
	dir   string
	limit int64 // bytes

	mu   sync.Mutex
	size int64 // of all, as far as is known
}

func openCache(dir string, limit int64) (*cache, error) {
	if limit <= 0 {
		return nil, nil //nolint:nilnil // no cache is a cache that has nothing
	}
	c := &cache{dir: dir, limit: limit}
	files, err := c.files()
	for _, f := range files {
		c.size += f.Size()
	}
	return c, err
}

func (c *cache) files() (all []os.FileInfo, err error) {
	entries, err := os.ReadDir(c.dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && digestRE.MatchString(e.Name()) {
			all = append(all, info)
		}
	}
	return all, err
}

func (c *cache) path(digest string) string { return filepath.Join(c.dir, digest) }

// open opens the copy of a content; nil when there is none.
func (c *cache) open(digest string) *os.File {
	if c == nil {
		return nil
	}
	f, err := os.Open(c.path(digest))
	if err != nil {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(f.Name(), now, now)
	return f
}

// add takes a spooled file with all of a content for its own.
func (c *cache) add(f *os.File, digest string, size int64) {
	if c == nil || size > c.limit/2 {
		return
	}
	// On the disk before it has its name: parts of copies are not verified when
	// they are read.
	if f.Sync() != nil || os.Rename(f.Name(), c.path(digest)) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size += size; c.size > c.limit {
		c.shrink()
	}
}

// shrink makes some room, so that it is not called each time.
func (c *cache) shrink() {
	files, err := c.files()
	if err != nil {
		return
	}
	c.size = 0
	for _, f := range files {
		c.size += f.Size()
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, f := range files {
		if c.size <= c.limit/10*9 {
			return
		}
		if os.Remove(c.path(f.Name())) == nil { // who reads it goes on reading
			c.size -= f.Size()
		}
	}
}

// drop removes a copy.
func (c *cache) drop(digest string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if info, err := os.Stat(c.path(digest)); err == nil && os.Remove(c.path(digest)) == nil {
		c.size -= info.Size()
	}
}

// A copied is a content that is written down while it is read. Nil is none.
type copied struct {
	cache  *cache
	digest string
	f      *os.File
	size   int64
}

// keep begins a copy of a content of so many bytes.
func (c *cache) keep(size int64, spool, digest string) *copied {
	if c == nil || size > c.limit/2 {
		return nil
	}
	f, err := spoolFile(spool)
	if err != nil {
		return nil
	}
	return &copied{cache: c, digest: digest, f: f}
}

func (c *copied) write(p []byte) {
	if c == nil || c.f == nil {
		return
	}
	if _, err := c.f.Write(p); err != nil { // the disk is full: then there is no copy
		c.forget()
	}
	c.size += int64(len(p))
}

// done says that the copy is whole.
func (c *copied) done() {
	if c == nil || c.f == nil {
		return
	}
	c.cache.add(c.f, c.digest, c.size)
	c.forget()
}

// forget ends the copy; unless it is done there is none.
func (c *copied) forget() {
	if c == nil || c.f == nil {
		return
	}
	discard(c.f)
	c.f = nil
}
