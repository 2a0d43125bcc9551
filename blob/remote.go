package blob

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"gocloud.dev/gcerrors"

	"github.com/ridgeline-mlops/ridgeline"
)

// MaxFiles is how many files one place may have.
const MaxFiles = 100_000

// globs are the characters that make a name a glob.
const globs = "*?["

// A Place is where data lies that others write: a file, a folder or a glob of
// this machine, of a bucket, or one file of a web server. It is only read.
//
// Its methods may be called from any goroutine.
type Place struct {
	name    string // the address as people know it, without what follows the question mark
	root    string // the key of the one file, or the folder before the glob
	pattern string // below root; empty: no glob
	file    bool   // there are no folders
	driver  remote
}

// A remote is one kind of place. Keys are slash-separated.
type remote interface {
	// stat looks for the file of that key; NotFound when there is none.
	stat(ctx context.Context, key string) (File, error)
	// list calls add for every file whose key begins with prefix, which is empty
	// or ends with a slash. A place of one file is never asked.
	list(ctx context.Context, prefix string, add func(File) error) error
	// open reads the file from offset on.
	open(ctx context.Context, key string, offset int64) (io.ReadCloser, error)
	// explain classifies an error and says what to do about it.
	explain(err error) error
	close() error
}

// A File is one file of a place as it was when it was listed.
type File struct {
	Name string `json:"name"` // relative to the place, with slashes; a single file's own name
	Size int64  `json:"size"` // bytes; -1 when the place does not say
	Tag  string `json:"tag"`  // another content has another tag; empty when the place has nothing of the kind
	Key  string `json:"key"`
}

// A Listing is what a place has.
type Listing struct {
	Files  []File // by name, bytewise
	Single bool   // the address names one file
}

// Fingerprint is another one when a file came, went or changed. It is empty
// when the place does not tell changes.
func (l Listing) Fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%t\n", l.Single)
	for _, f := range l.Files {
		if f.Tag == "" {
			return ""
		}
		fmt.Fprintf(h, "%q %d %q\n", f.Name, f.Size, f.Tag)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// OpenPlace opens the place at address without looking whether anything is
// there:
//
//   - an absolute path or file:///…: a file, a folder, or a glob;
//   - s3://bucket/key, gs://bucket/key, azblob://container/key: the same, with
//     what follows the question mark as gocloud.dev spells it (see docs/data.md);
//   - http:// or https://: one file.
//
// In a glob * and ? stay within a name, [a-z] is one character,
// and ** is any number of folders; in addresses ? has its own meaning and is no glob.
// Credentials are the server's, from the environment, and an address that
// holds a password is refused.
func OpenPlace(ctx context.Context, address string) (*Place, error) {
	scheme, _, found := strings.Cut(address, "://")
	if !found {
		if !filepath.IsAbs(address) {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "%q is no place to look for data: use an absolute path, or s3://, azblob://, gs://, http:// or https://", address)
		}
		return newPlace(address, filepath.ToSlash(address), localRemote{})
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the address with scheme %q cannot be read: write it as %s://bucket/folder/file", scheme, scheme)
	}
	if u.User != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: take the name and password out of the address; the server has its own credentials, see docs/data.md", Printable(address))
	}
	name := u.Scheme + "://" + u.Host + u.Path
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.Path == "" {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: write file:///folder, with three slashes", name)
		}
		return newPlace(u.Path, u.Path, localRemote{})
	case "http", "https":
		if u.Path == "" || strings.HasSuffix(u.Path, "/") {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: a web server has no folders: name one file", name)
		}
		return &Place{name: name, root: path.Base(u.Path), file: true, driver: newWebRemote(u)}, nil
	case "s3", "gs", "azblob":
		if u.Host == "" {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "%s names no bucket: write %s://bucket/folder/file", name, u.Scheme)
		}
		bucket, err := openBucket(ctx, u, "listing and reading")
		if err != nil {
			return nil, err
		}
		return newPlace(name, strings.TrimPrefix(u.Path, "/"), bucket)
	}
	return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: data is read from absolute paths, s3://, azblob://, gs://, http:// and https://", name)
}

// Printable is the address without what may be secret in it.
func Printable(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		before, _, _ := strings.Cut(address, "?")
		return before
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func newPlace(name, key string, driver remote) (*Place, error) {
	p := &Place{name: name, root: key, driver: driver}
	if !strings.ContainsAny(key, globs) {
		return p, nil
	}
	parts := strings.Split(key, "/")
	at := slices.IndexFunc(parts, func(s string) bool { return strings.ContainsAny(s, globs) })
	p.root, p.pattern = strings.Join(parts[:at], "/"), strings.Join(parts[at:], "/")
	if p.root == "" && strings.HasPrefix(key, "/") {
		p.root = "/"
	}
	if !doublestar.ValidatePattern(p.pattern) {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%q is no glob: close its brackets", p.pattern)
	}
	return p, nil
}

// String is the address without what may be secret in it.
func (p *Place) String() string { return p.name }

// Close frees what the place holds open.
func (p *Place) Close() error { return p.driver.close() }

// List looks at what is there. Names of which a part starts with a dot or an
// underscore are no data and left out, as Spark and Hive have it. No file at
// all is NotFound.
func (p *Place) List(ctx context.Context) (Listing, error) {
	if p.pattern == "" && p.root != "" && !strings.HasSuffix(p.root, "/") {
		f, err := p.driver.stat(ctx, p.root)
		if err == nil {
			f.Name, f.Key = path.Base(p.root), p.root
			return Listing{Files: []File{f}, Single: true}, nil
		}
		if err := p.driver.explain(err); p.file || ridgeline.CodeOf(err) != ridgeline.NotFound {
			return Listing{}, fmt.Errorf("look at %s: %w", p, err)
		}
	}
	var out Listing
	prefix := strings.TrimSuffix(p.root, "/") + "/"
	if p.root == "" {
		prefix = ""
	}
	err := p.driver.list(ctx, prefix, func(f File) error {
		f.Name = strings.TrimPrefix(f.Key, prefix)
		if f.Name == "" || Hidden(f.Name) || (p.pattern != "" && !doublestar.MatchUnvalidated(p.pattern, f.Name)) {
			return nil
		}
		if len(out.Files) == MaxFiles {
			return ridgeline.Errorf(ridgeline.Invalid, "%s has more than %d files: write fewer, larger ones", p, MaxFiles)
		}
		out.Files = append(out.Files, f)
		return nil
	})
	if err != nil {
		return Listing{}, fmt.Errorf("look at %s: %w", p, p.driver.explain(err))
	}
	if len(out.Files) == 0 {
		return Listing{}, ridgeline.Errorf(ridgeline.NotFound, "there is no data at %s: check the address, or write the data there first", p)
	}
	slices.SortFunc(out.Files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Hidden reports whether a part of the slash-separated name starts with a dot
// or an underscore.
func Hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasPrefix(part, "_") {
			return true
		}
	}
	return false
}

// stall is how long a read may bring nothing before it is begun again.
const (
	stall    = time.Minute
	reopened = 4 // times, for one file
)

// Open reads a file of the listing. A connection that breaks or stands still
// is taken up again where it was. A file that is not as long as it was listed
// is Unavailable in place of io.EOF; whether it is another one by now, a second
// List tells.
func (p *Place) Open(ctx context.Context, f File) io.ReadCloser {
	return &resuming{ctx: ctx, place: p, file: f}
}

// resuming reads a file through any number of connections.
type resuming struct {
	ctx    context.Context
	place  *Place
	file   File
	body   io.ReadCloser
	stop   context.CancelFunc
	timer  *time.Timer
	offset int64
	tries  int
}

func (r *resuming) Read(b []byte) (int, error) {
	for {
		n, err := r.read(b)
		r.offset += int64(n)
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, io.EOF):
			if r.file.Size >= 0 && r.offset != r.file.Size {
				return 0, ridgeline.Errorf(ridgeline.Unavailable, "%s changed while it was read: %d bytes were announced, %d came", r.file.Name, r.file.Size, r.offset)
			}
			return 0, io.EOF
		case err == nil:
			continue
		case r.ctx.Err() != nil:
			return 0, r.ctx.Err()
		}
		err = r.place.driver.explain(err)
		if r.tries++; r.tries > reopened || ridgeline.CodeOf(err) != ridgeline.Unavailable {
			return 0, fmt.Errorf("read %s of %s: %w", r.file.Name, r.place, err)
		}
		_ = r.Close()
		select {
		case <-time.After(time.Second << (r.tries - 1)):
		case <-r.ctx.Done():
		}
	}
}

func (r *resuming) read(b []byte) (int, error) {
	if r.body == nil {
		if r.file.Size >= 0 && r.offset >= r.file.Size && r.offset > 0 {
			return 0, io.EOF
		}
		if err := r.connect(); err != nil {
			return 0, err
		}
	}
	r.timer.Reset(stall)
	return r.body.Read(b)
}

func (r *resuming) connect() error {
	ctx, stop := context.WithCancel(r.ctx)
	r.stop, r.timer = stop, time.AfterFunc(stall, stop)
	body, err := r.place.driver.open(ctx, r.file.Key, r.offset)
	if err != nil {
		return err
	}
	r.body = body
	return nil
}

func (r *resuming) Close() error {
	if r.timer != nil {
		r.timer.Stop()
	}
	var err error
	if r.body != nil {
		err = r.body.Close()
		r.body = nil
	}
	if r.stop != nil {
		r.stop()
	}
	return err
}

// explained classifies what gocloud says of a bucket.
func explained(err error, credentials string) error {
	if ridgeline.CodeOf(err) != ridgeline.Internal || err == nil {
		return err
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return ridgeline.Errorf(ridgeline.NotFound, "nothing is there: check the name of the bucket and the path (%s)", oneLine(err))
	case gcerrors.PermissionDenied:
		return ridgeline.Errorf(ridgeline.Denied, "access is denied: %s (%s)", credentials, oneLine(err))
	case gcerrors.InvalidArgument:
		return ridgeline.Errorf(ridgeline.Invalid, "the address is refused: %s", oneLine(err))
	}
	return ridgeline.Errorf(ridgeline.Unavailable, "%s", oneLine(err))
}

// oneLine shortens what SDKs print over many lines.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 400 {
		text = strings.ToValidUTF8(text[:400], "") + "…"
	}
	return text
}

// Covers reports whether the object at address (s3://bucket/key, without
// options) belongs to the place that another address names.
func Covers(place, address string) bool {
	p, err := url.Parse(place)
	if err != nil {
		return false
	}
	o, err := url.Parse(address)
	if err != nil || p.Scheme != o.Scheme || p.Host != o.Host {
		return false
	}
	pattern, key := strings.TrimPrefix(p.Path, "/"), strings.TrimPrefix(o.Path, "/")
	if pattern == "" || pattern == key {
		return true
	}
	if strings.ContainsAny(pattern, globs) {
		return doublestar.MatchUnvalidated(pattern, key)
	}
	return strings.HasPrefix(key, strings.TrimSuffix(pattern, "/")+"/")
}
