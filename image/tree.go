package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// epoch is the time of every entry. Not 0: zip files, which some packages
// write from their own sources, cannot hold a time before 1980.
var epoch = time.Date(1980, 1, 2, 0, 0, 0, 0, time.UTC)

// An entry is one file, folder or link of a layer.
type entry struct {
	name string      // in the image, without the leading slash
	mode fs.FileMode // type and permission bits
	size int64
	link string // target of a symbolic link
	path string // where the content is, unless it is in data
	data []byte
}

func (e *entry) open() (io.ReadCloser, error) {
	if e.path == "" {
		return io.NopCloser(bytes.NewReader(e.data)), nil
	}
	return os.Open(e.path)
}

// A tree is the content of a layer while it is put together.
type tree map[string]*entry

func (t tree) dir(name string, mode fs.FileMode) {
	t[name] = &entry{name: name, mode: fs.ModeDir | mode}
}

func (t tree) data(name string, mode fs.FileMode, p []byte) {
	t[name] = &entry{name: name, mode: mode, size: int64(len(p)), data: p}
}

func (t tree) link(name, target string) {
	t[name] = &entry{name: name, mode: fs.ModeSymlink | 0o777, link: target}
}

// file adds a file of this machine, following links.
func (t tree) file(name, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return ridgeline.Errorf(ridgeline.Invalid, "%s is %s; a regular file was expected", from, info.Mode().Type())
	}
	t[name] = &entry{name: name, mode: permissions(info.Mode()), size: info.Size(), path: from}
	return nil
}

// permissions reduces a mode to whether the owner may execute.
func permissions(mode fs.FileMode) fs.FileMode {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// linkPolicy says what becomes of a symbolic link in a folder that is added.
type linkPolicy int

const (
	linksInside linkPolicy = iota // kept; one that leads out of the folder is refused
	linksFollow                   // replaced by what it leads to
)

// folder adds a folder of this machine below at. skip is asked for every
// entry by its slash-separated path within the folder; sockets and devices
// are left out.
func (t tree) folder(at, root string, links linkPolicy, skip func(rel string, isDir bool) bool) error {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	return t.walk(at, real, real, "", links, skip, 0)
}

func (t tree) walk(at, root, dir, rel string, links linkPolicy, skip func(string, bool) bool, depth int) error {
	if depth > 100 {
		return ridgeline.Errorf(ridgeline.Invalid, "%s: folders nested more than 100 deep; is there a link to a folder above?", dir)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	t.dir(path.Join(at, rel), 0o755)
	for _, d := range list {
		from, sub := filepath.Join(dir, d.Name()), path.Join(rel, d.Name())
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 && skip(sub, false) {
			continue
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			if links == linksInside {
				if err := t.inside(at, root, from, sub); err != nil {
					return err
				}
				continue
			}
			if info, err = os.Stat(from); err != nil {
				continue // leads nowhere
			}
		}
		switch {
		case skip(sub, info.IsDir()):
		case info.IsDir():
			if err := t.walk(at, root, from, sub, links, skip, depth+1); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			name := path.Join(at, sub)
			t[name] = &entry{name: name, mode: permissions(info.Mode()), size: info.Size(), path: from}
		}
	}
	return nil
}

// inside adds a link if it stays within root, and refuses it otherwise: what
// it leads to is not in the image, and must not be copied into it either.
func (t tree) inside(at, root, from, sub string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(from)
	if err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "%s: the link leads nowhere (%s); remove it", sub, target)
	}
	within, err := filepath.Rel(root, real)
	if err != nil || within == ".." || strings.HasPrefix(within, "../") {
		return ridgeline.Errorf(ridgeline.Invalid, "%s: the link leads out of the folder (%s); put the file itself there", sub, target)
	}
	// Relative to where the link is, whatever form it had.
	target, err = filepath.Rel(path.Dir(path.Join("/", sub)), path.Join("/", within))
	if err != nil {
		return err
	}
	t.link(path.Join(at, sub), target)
	return nil
}

// sorted lists the entries by name, each after the folders it is in.
func (t tree) sorted() []*entry {
	for name := range t {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := t[dir]; ok {
				break
			}
			t.dir(dir, 0o755)
		}
	}
	delete(t, ".")
	list := make([]*entry, 0, len(t))
	for _, e := range t {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	return list
}

// digest is a hash of everything that the layer will hold.
func (t tree) digest(ctx context.Context) (string, error) {
	h := sha256.New()
	for _, e := range t.sorted() {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %v %q %d\n", e.name, e.mode, e.link, e.size)
		if !e.mode.IsRegular() {
			continue
		}
		if err := e.copy(h); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// copy writes the content, and errs when it is not as long as it was.
func (e *entry) copy(w io.Writer) error {
	r, err := e.open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(w, io.LimitReader(r, e.size+1))
	if err == nil && n != e.size {
		err = ridgeline.Errorf(ridgeline.Conflict, "%s changed while the image was made; try again", e.path)
	}
	return err
}

// writeTar writes one entry in its normal form.
func (e *entry) writeTar(w *tar.Writer) error {
	h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), ModTime: epoch, Typeflag: tar.TypeReg, Size: e.size}
	switch {
	case e.mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		if e.mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
	case e.mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
	}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	return e.copy(w)
}
