package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/ridgeline-mlops/ridgeline"
)

// buckets are the schemes of the addresses of buckets.
var buckets = map[string]bool{"s3": true, "gs": true, "azblob": true}

// OpenBucket opens the store that several servers with no folder in common
// share: s3://bucket/prefix, gs://bucket/prefix or azblob://container/prefix,
// with what follows the question mark as in the address of a Place, or
// file:///folder. Credentials are the server's, from its environment.
//
// Contents read from a bucket, and those put there, are kept in a folder of
// this machine, up to so many bytes: the ones not used for longest go first. The
// folder may be removed at any time when no process uses it, and one process at a
// time does.
func OpenBucket(ctx context.Context, address, folder string, limit int64) (*Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the address of the blob store cannot be read: write it as s3://bucket/prefix")
	}
	if u.Scheme == "file" {
		return Open(ctx, address)
	}
	name := Printable(address)
	switch {
	case !buckets[u.Scheme]:
		return nil, ridgeline.Errorf(ridgeline.Invalid, "blob store address %s: use s3://bucket/prefix, azblob://container/prefix, gs://bucket/prefix or file:///folder", name)
	case u.Host == "":
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s names no bucket: write %s://bucket/prefix", name, u.Scheme)
	case u.User != nil:
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: take the name and password out of the address; the server has its own credentials, see docs/operations.md", name)
	}
	spool := filepath.Join(folder, ".spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return nil, fmt.Errorf("open the blob store's cache: %w", err)
	}
	sweep(spool, "")
	kept, err := openCache(folder, limit)
	if err != nil {
		return nil, fmt.Errorf("open the blob store's cache: %w", err)
	}
	opened, err := openBucket(ctx, u, "listing, reading, writing and deleting in")
	if err != nil {
		return nil, err
	}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		opened.bucket = blob.PrefixedBucket(opened.bucket, prefix+"/")
	}
	return &Store{bucket: bucket{opened.bucket, &Place{name: name, driver: opened}}, spool: spool, cache: kept}, nil
}

// owner is the object that says whose store a bucket is.
const owner = "owner"

// Claim writes down whose store this is, or finds that it is somebody else's,
// which is a Conflict: two servers with different databases in one bucket would
// reclaim each other's contents.
func (s *Store) Claim(ctx context.Context, who string) error {
	if _, err := s.bucket.create(ctx, owner, []byte(who)); err != nil {
		return fmt.Errorf("write to the blob store: %w", err)
	}
	found, err := s.bucket.ReadAll(ctx, owner)
	if err != nil {
		return fmt.Errorf("read the blob store: %w", s.bucket.told(err))
	}
	if string(found) != who {
		return ridgeline.Errorf(ridgeline.Conflict, "the blob store is used by servers with another secret: give this one the same keys (--keys), or a bucket or prefix of its own; a server that was set up anew needs the secret it had, or an empty store")
	}
	return nil
}

// probes is where Probe writes.
const probes = "doctor/"

// Probe does in the store what a server does there: it writes an object, lists
// it, reads it and deletes it. The error says which of these failed, and why.
func (s *Store) Probe(ctx context.Context) error {
	k := probes + rand.Text()
	if err := s.bucket.WriteAll(ctx, k, []byte(k)); err != nil {
		return fmt.Errorf("write an object: %w", err)
	}
	err := s.probeRead(ctx, k)
	if gone := s.bucket.Delete(ctx, k); gone != nil && err == nil {
		err = fmt.Errorf("delete an object: %w", gone)
	}
	return err
}

func (s *Store) probeRead(ctx context.Context, k string) error {
	found, err := s.list(ctx, probes)
	if err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	if !slices.ContainsFunc(found, func(o object) bool { return probes+o.name == k }) {
		return ridgeline.Errorf(ridgeline.Unavailable, "list objects: expected the one that was just written among %d", len(found))
	}
	read, err := s.bucket.ReadAll(ctx, k)
	if err != nil {
		return fmt.Errorf("read an object: %w", s.bucket.told(err))
	}
	if string(read) != k {
		return ridgeline.Errorf(ridgeline.Unavailable, "read an object: expected the %d bytes that were just written, got %d others", len(k), len(read))
	}
	return nil
}

// A bucket says what went wrong as people can use it, and reads on when a
// connection breaks. place is nil for what is not reached over a network.
type bucket struct {
	*blob.Bucket
	place *Place
}

// told classifies an error, but for what is not there: callers look for that
// themselves.
func (b bucket) told(err error) error {
	if err == nil || b.place == nil || gcerrors.Code(err) == gcerrors.NotFound || errors.Is(err, context.Canceled) {
		return err
	}
	if code := ridgeline.CodeOf(err); code != ridgeline.Internal {
		return err
	}
	explained := b.place.driver.explain(err)
	return fmt.Errorf("the blob store %s: %w", b.place, explained)
}

// missing is told, of a call for which only the bucket itself can be missing.
func (b bucket) missing(err error) error {
	if err != nil && b.place != nil && gcerrors.Code(err) == gcerrors.NotFound {
		return fmt.Errorf("the blob store %s: %w", b.place, b.place.driver.explain(err))
	}
	return b.told(err)
}

var plain = &blob.WriterOptions{ContentType: "application/octet-stream"}

// Upload makes an object, which appears when all of it is there.
func (b bucket) Upload(ctx context.Context, k string, r io.Reader) error {
	from := &noted{r: r}
	err := b.Bucket.Upload(ctx, k, from, plain)
	if from.err != nil {
		return from.err // the bucket is not to blame
	}
	return b.missing(err)
}

// noted keeps the error of reading apart from those of writing.
type noted struct {
	r   io.Reader
	err error
}

func (n *noted) Read(p []byte) (int, error) {
	count, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return count, err
}

// WriteAll makes a small object. (The library's own panics when Azure refuses.)
func (b bucket) WriteAll(ctx context.Context, k string, p []byte) error {
	return b.Upload(ctx, k, bytes.NewReader(p))
}

// create makes a small object unless it is there, and says whether it did.
func (b bucket) create(ctx context.Context, k string, p []byte) (bool, error) {
	err := b.Bucket.Upload(ctx, k, bytes.NewReader(p), &blob.WriterOptions{ContentType: plain.ContentType, IfNotExist: true})
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return false, nil
	}
	return err == nil, b.missing(err)
}

// Attributes are what is known of an object.
func (b bucket) Attributes(ctx context.Context, k string) (*blob.Attributes, error) {
	a, err := b.Bucket.Attributes(ctx, k)
	return a, b.told(err)
}

// Delete removes an object.
func (b bucket) Delete(ctx context.Context, k string) error {
	return b.told(b.Bucket.Delete(ctx, k))
}

// A sizedReader knows how many bytes the object has of which it reads a part.
type sizedReader interface {
	io.ReadCloser
	Size() int64
}

// Open reads an object from offset on. A connection that breaks is taken up
// where it was.
func (b bucket) Open(ctx context.Context, k string, offset int64) (sizedReader, error) {
	if b.place == nil {
		return b.NewRangeReader(ctx, k, offset, -1, nil)
	}
	r := &resuming{ctx: ctx, place: b.place, offset: offset, file: File{Name: k, Key: k}}
	if err := r.connect(); err != nil {
		_ = r.Close()
		return nil, b.told(err)
	}
	if sized, ok := r.body.(sizedReader); ok {
		r.file.Size = sized.Size()
	}
	return r, nil
}

// Size is how many bytes the whole file has.
func (r *resuming) Size() int64 { return r.file.Size }
