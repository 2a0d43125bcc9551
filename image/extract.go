package image

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/ridgeline-mlops/ridgeline"
)

// The marks by which a layer removes what is below it (OCI image layer
// specification, "Whiteouts").
const (
	whiteout       = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
)

// An extractor applies layers, lowest first, to a folder. Every access goes
// through an os.Root, which follows no link out of it.
type extractor struct {
	root  *os.Root
	links map[string]bool // symbolic links there may be

	// The folder of the entry before, opened: a path from the root down costs
	// a system call for each of its parts, and entries come folder by folder.
	dir    string
	folder *os.Root
}

func newExtractor(dir string) (*extractor, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &extractor{root: root, links: make(map[string]bool)}, nil
}

func (x *extractor) close() {
	x.forget()
	_ = x.root.Close()
}

// open gives a folder, made if need be.
func (x *extractor) open(dir string) (*os.Root, error) {
	if x.folder != nil && x.dir == dir {
		return x.folder, nil
	}
	x.forget()
	if err := x.root.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	folder, err := x.root.OpenRoot(dir)
	if err == nil {
		x.dir, x.folder = dir, folder
	}
	return folder, err
}

// forget closes the folder that is open. It has to be called before anything
// is removed that may be above it.
func (x *extractor) forget() {
	if x.folder != nil {
		_ = x.folder.Close()
	}
	x.folder = nil
}

// layer applies one compressed layer and closes it.
func (x *extractor) layer(ctx context.Context, compressed io.ReadCloser) error {
	r, err := decompress(compressed)
	if err != nil {
		return err
	}
	defer r.Close()
	own := make(map[string]bool) // what this layer put there, which its whiteouts spare
	for archive := tar.NewReader(r); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		if err := x.entry(h, archive, own); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, r) // to the end, where the digest is checked
	return err
}

func (x *extractor) entry(h *tar.Header, content io.Reader, own map[string]bool) error {
	name := path.Clean(strings.TrimPrefix(h.Name, "/"))
	if name == "." {
		return nil
	}
	if !filepath.IsLocal(name) {
		return ridgeline.Errorf(ridgeline.Invalid, "the image has a file %q, outside of its own root", h.Name)
	}
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	if strings.HasPrefix(base, whiteout) {
		x.forget()
	}
	if base == opaqueWhiteout {
		return x.clear(dir, own)
	}
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		if hidden == "" || hidden == "." || hidden == ".." {
			return ridgeline.Errorf(ridgeline.Invalid, "the image removes %q, which is no file name", hidden)
		}
		return x.checked(h.Name, x.root.RemoveAll(path.Join(dir, hidden)))
	}
	for p := name; p != "." && !own[p]; p = path.Dir(p) {
		own[p] = true
	}
	return x.checked(h.Name, x.put(dir, base, h, content))
}

// put makes one entry in place of what is there.
func (x *extractor) put(dir, base string, h *tar.Header, content io.Reader) error {
	folder, err := x.open(dir)
	if err != nil {
		return err
	}
	old, err := folder.Lstat(base)
	if err == nil && !(old.IsDir() && h.Typeflag == tar.TypeDir) {
		if err := folder.RemoveAll(base); err != nil {
			return err
		}
		delete(x.links, path.Join(dir, base))
	}
	mode := fs.FileMode(h.Mode).Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := folder.Mkdir(base, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		mode |= 0o700 // later layers write into it
		if h.Mode&0o1000 != 0 {
			mode |= fs.ModeSticky
		}
		return folder.Chmod(base, mode)
	case tar.TypeReg:
		f, err := folder.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Chmod(mode), f.Close())
	case tar.TypeLink:
		return x.root.Link(path.Clean(strings.TrimPrefix(h.Linkname, "/")), path.Join(dir, base))
	case tar.TypeSymlink:
		target, err := x.target(dir, h.Linkname)
		if err != nil {
			return err
		}
		x.links[path.Join(dir, base)] = true
		return folder.Symlink(target, base)
	}
	return nil // devices and pipes: of no use without the right to make them
}

// target gives a link's target the form that leads, from the real place of the
// folder dir, to what it leads to in a container: the image's root is /, and
// nothing is above it.
func (x *extractor) target(dir, target string) (string, error) {
	real, err := x.real(dir)
	if err != nil {
		return "", err
	}
	to := path.Join("/", target)
	if !path.IsAbs(target) {
		if below := path.Join(real, target); below != ".." && !strings.HasPrefix(below, "../") {
			return target, nil // and where it leads by way of other links, checkLinks sees
		}
		to = path.Join("/", real, target)
	}
	return filepath.Rel(path.Join("/", real), to)
}

// real follows the links in a folder's path.
func (x *extractor) real(dir string) (string, error) {
	rest := strings.Split(path.Clean(dir), "/")
	done, hops := ".", 0
	for len(rest) > 0 {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		target, err := x.root.Readlink(next)
		if err != nil { // not a link
			done = next
			continue
		}
		if hops++; hops > 40 {
			return "", ridgeline.Errorf(ridgeline.Invalid, "the image's links go round in circles at %s", dir)
		}
		rest = append(strings.Split(path.Clean(target), "/"), rest...)
	}
	return done, nil
}

// clear removes what lower layers put into a folder.
func (x *extractor) clear(dir string, own map[string]bool) error {
	f, err := x.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return x.checked(dir, err)
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close()
	if err != nil {
		return err
	}
	for _, n := range names {
		name := path.Join(dir, n)
		switch info, err := x.root.Lstat(name); {
		case err != nil:
			return err
		case !own[name]:
			err = x.root.RemoveAll(name)
			if err != nil {
				return x.checked(name, err)
			}
		case info.IsDir():
			if err := x.clear(name, own); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkLinks refuses links that lead out by way of other links, which one
// cannot see as long as the others may still change.
func (x *extractor) checkLinks() error {
	names := make([]string, 0, len(x.links))
	for name := range x.links {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		_, err := x.root.Stat(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		return x.checked(name, err)
	}
	return nil
}

// checked turns a refusal of the root, which has no error of its own to ask
// for, into one of the image. All else is a fault of this machine.
func (x *extractor) checked(name string, err error) error {
	var errno unix.Errno
	if err == nil || errors.As(err, &errno) || ridgeline.CodeOf(err) != ridgeline.Internal {
		return err
	}
	var pathError *fs.PathError
	var linkError *os.LinkError
	if errors.As(err, &pathError) || errors.As(err, &linkError) {
		return ridgeline.Errorf(ridgeline.Invalid, "the image's %q leads out of its own root: %w", name, err)
	}
	return err
}

// decompress reads a layer in whatever form it is stored. Closing the result
// closes r.
func decompress(r io.ReadCloser) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 1<<18)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = r.Close()
		return nil, err
	}
	plain := struct {
		io.Reader
		io.Closer
	}{b, r}
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		if plain.Reader, err = gzip.NewReader(b); err != nil {
			_ = r.Close()
			return nil, err
		}
	case string(magic) == "\x28\xb5\x2f\xfd":
		d, err := zstd.NewReader(b)
		if err != nil {
			_ = r.Close()
			return nil, err
		}
		return &zstdReader{d, r}, nil
	}
	return plain, nil
}

type zstdReader struct {
	*zstd.Decoder
	below io.Closer
}

func (z *zstdReader) Close() error {
	z.Decoder.Close()
	return z.below.Close()
}
