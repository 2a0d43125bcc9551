// Package blob keeps bytes, in a local folder, a bucket or in memory: contents
// under their own sha256, folders as archives under theirs, and logs in chunks.
//
// It leaves to others what the bytes mean, who still needs them, and the names
// that people give them (package store).
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Store keeps bytes. Every method may be called from any goroutine, and any
// number of processes may use one folder or bucket at the same time.
//
// What a method has acknowledged survives a kill -9: it is in the folder, or in
// the bucket. What was being written then leaves nothing under a name that
// anyone reads.
type Store struct {
	bucket bucket
	dir    string // the folder of a local store, else empty
	spool  string // where contents wait until their digest is known
	cache  *cache // of contents of a bucket, or nil
}

// Open opens the store at address, "file:///folder" or the path of a folder,
// which is made if need be and readable by its owner only; or "mem://", which
// is empty and forgotten at the end.
func Open(ctx context.Context, address string) (*Store, error) {
	if address == "mem://" {
		return &Store{bucket: bucket{Bucket: memblob.OpenBucket(nil)}, spool: os.TempDir()}, nil
	}
	dir := address
	if strings.Contains(address, "://") {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "file" || u.Host != "" || u.Path == "" {
			// The address may hold a secret: say only its beginning.
			scheme, _, _ := strings.Cut(address, "://")
			return nil, ridgeline.Errorf(ridgeline.Invalid, "blob store address with scheme %q: use file:///folder, the path of a folder, or mem://", scheme)
		}
		dir = filepath.FromSlash(u.Path)
	}
	if dir == "" {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "blob store address is empty: use file:///folder, the path of a folder, or mem://")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	s := &Store{dir: dir, spool: filepath.Join(dir, ".spool")}
	if err := os.MkdirAll(s.spool, 0o700); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	sweep(s.spool, "")
	s.bucket.Bucket, err = fileblob.OpenBucket(dir, &fileblob.Options{Metadata: fileblob.MetadataDontWrite, NoTempDir: true, DirFileMode: 0o700})
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return s, nil
}

// Close frees what the store holds; not the bytes.
func (s *Store) Close() error { return s.bucket.Close() }

var digestRE = regexp.MustCompile(`^[0-9a-f]{64}$`)

// key is where the content of a digest is: sha256/ab/abcdef….
func key(digest string) (string, error) {
	if !digestRE.MatchString(digest) {
		return "", ridgeline.Errorf(ridgeline.Invalid, "blob digest %q: expected a sha256 as 64 hex digits", digest)
	}
	return "sha256/" + digest[:2] + "/" + digest, nil
}

// Put keeps what r yields and returns its sha256 as 64 hex digits, and its
// size. Content that is there already is not stored again.
func (s *Store) Put(ctx context.Context, r io.Reader) (digest string, size int64, err error) {
	f, err := spoolFile(s.spool)
	if err != nil {
		return "", 0, fmt.Errorf("spool a blob: %w", err)
	}
	defer discard(f)
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, h), readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	}))
	if err != nil {
		return "", 0, fmt.Errorf("spool a blob: %w", err)
	}
	digest = hex.EncodeToString(h.Sum(nil))
	if err := s.place(ctx, f, digest, size); err != nil {
		return "", 0, fmt.Errorf("store blob %s: %w", digest, err)
	}
	return digest, size, nil
}

// place brings the spooled content under its digest.
func (s *Store) place(ctx context.Context, f *os.File, digest string, size int64) error {
	k, err := key(digest)
	if err != nil {
		return err
	}
	if there, err := s.wanted(ctx, k, size); there || err != nil {
		return err
	}
	if s.dir == "" {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		// An object appears when its upload has ended well, not before.
		if err := s.bucket.Upload(ctx, k, f); err != nil {
			return err
		}
		s.cache.add(f, digest, size)
		return nil
	}
	// Rows that name the digest are flushed to the disk, so the content has to
	// be there as well.
	if err := f.Sync(); err != nil {
		return err
	}
	unlock, err := s.guard(syscall.LOCK_SH) // what was there may be of another size, and about to be reclaimed
	if err != nil {
		return err
	}
	dir, err := s.rename(f, k)
	unlock()
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// rename gives a spooled file its place in a local store: in one step, with no
// second copy, and with nothing left over elsewhere than in the spool.
func (s *Store) rename(f *os.File, k string) (dir string, err error) {
	path := filepath.Join(s.dir, filepath.FromSlash(k))
	dir = filepath.Dir(path)
	for range 3 { // the folder may be removed as empty in between
		if err = os.MkdirAll(dir, 0o700); err == nil {
			err = os.Rename(f.Name(), path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return dir, err
}

// discard closes a spooled file, and removes it unless it was renamed.
func discard(f *os.File) {
	if inPlace(f) {
		_ = os.Remove(f.Name())
	}
	_ = f.Close()
}

// PutFile keeps the content of a file. One that is there already is read, but
// not copied.
func (s *Store) PutFile(ctx context.Context, path string) (digest string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("store a file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("store a file: %w", err)
	}
	digest = hex.EncodeToString(h.Sum(nil))
	k, err := key(digest)
	if err != nil {
		return "", 0, err
	}
	if there, err := s.wanted(ctx, k, size); err != nil {
		return "", 0, fmt.Errorf("store %s: %w", path, err)
	} else if there {
		return digest, size, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, fmt.Errorf("store a file: %w", err)
	}
	return s.Put(ctx, f) // which reads it anew: the file may have changed
}

// Has reports whether the content of that digest is there. Who asks may be about
// to refer to it, so it counts as put just now.
func (s *Store) Has(ctx context.Context, digest string) (bool, error) {
	k, err := key(digest)
	if err != nil {
		return false, err
	}
	there, err := s.wanted(ctx, k, -1)
	if err != nil {
		return false, fmt.Errorf("look for blob %s: %w", digest, err)
	}
	return there, nil
}

// Size is how many bytes the content of that digest has.
func (s *Store) Size(ctx context.Context, digest string) (int64, error) {
	k, err := key(digest)
	if err != nil {
		return 0, err
	}
	a, err := s.bucket.Attributes(ctx, k)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return 0, ridgeline.Errorf(ridgeline.NotFound, "no blob %s", digest)
	case err != nil:
		return 0, fmt.Errorf("look for blob %s: %w", digest, err)
	}
	return a.Size, nil
}

// Get opens the content of that digest. Whoever reads it to the end can trust
// it: content that is not what it was gives an error in place of io.EOF.
func (s *Store) Get(ctx context.Context, digest string) (io.ReadCloser, error) {
	k, err := key(digest)
	if err != nil {
		return nil, err
	}
	if f := s.cache.open(digest); f != nil {
		return &verified{r: f, hash: sha256.New(), digest: digest, cached: s.cache}, nil
	}
	r, err := s.fetch(ctx, k, digest)
	if err != nil {
		return nil, err
	}
	return &verified{r: r, hash: sha256.New(), digest: digest, left: r.Size(), kept: s.cache.keep(r.Size(), s.spool, digest)}, nil
}

// fetch opens what is kept itself, not a copy of it.
func (s *Store) fetch(ctx context.Context, k, digest string) (sizedReader, error) {
	r, err := s.bucket.Open(ctx, k, 0)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return nil, ridgeline.Errorf(ridgeline.NotFound, "no blob %s", digest)
	case err != nil:
		return nil, fmt.Errorf("open blob %s: %w", digest, err)
	}
	return r, nil
}

var errDamaged = errors.New("is damaged")

// verified hashes what passes, and compares at the end.
type verified struct {
	r      io.ReadCloser
	hash   hash.Hash
	digest string
	cached *cache // where it comes from, if from there
	kept   *copied
	left   int64 // bytes to come, as far as that is known
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.kept.write(p[:n])
	if v.left -= int64(n); err == nil && v.left == 0 && n > 0 { // who knows the size may not read on
		err = ended(v.r)
	}
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	got := hex.EncodeToString(v.hash.Sum(nil))
	switch {
	case got == v.digest:
		v.kept.done()
	case v.cached != nil:
		v.cached.drop(v.digest)
		return n, ridgeline.Errorf(ridgeline.Unavailable, "this server's copy of blob %s was damaged and is thrown away: try again", v.digest)
	default:
		return n, ridgeline.Errorf(ridgeline.Internal, "blob %s %w: its content now has sha256 %s; restore it from a backup, or delete it and make it again", v.digest, errDamaged, got)
	}
	return n, io.EOF
}

// ended is io.EOF when there is nothing more to read.
func ended(r io.Reader) error {
	n, err := io.ReadFull(r, make([]byte, 1))
	if n > 0 {
		return fmt.Errorf("there is more than its size tells: %w", errDamaged)
	}
	return err
}

func (v *verified) Close() error {
	v.kept.forget()
	return v.r.Close()
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// syncDir makes a rename in dir last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
