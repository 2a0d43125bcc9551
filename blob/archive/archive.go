// Package archive is the form in which folders are kept and travel: a tar file
// that depends on what is in the folder alone, and is unpacked without trust.
//
// Where archives are kept is package blob's part; it is apart from it because
// the scorer, which carries a step's files into its pod, has no storage.
package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
)

// Write writes the folder as a tar archive that depends on names, contents
// and links alone: sorted, without owners, times of 1970, modes 0644, or 0755
// for folders and for files that their owner may execute.
//
// Symbolic links are kept when they can be seen to point inside the folder and
// left out otherwise, as are devices, pipes and sockets. A file that changes
// meanwhile is Conflict.
func Write(w io.Writer, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("archive a folder: %w", err)
	}
	defer root.Close()
	t := tar.NewWriter(w)
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		return archiveEntry(t, root, name, e)
	})
	if err != nil {
		return fmt.Errorf("archive %s: %w", dir, err)
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("archive %s: %w", dir, err)
	}
	return nil
}

func archiveEntry(t *tar.Writer, root *os.Root, name string, e fs.DirEntry) error {
	h := tar.Header{Name: name, ModTime: time.Unix(0, 0), Mode: 0o644}
	switch e.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		return t.WriteHeader(&h)
	case fs.ModeSymlink:
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		target = filepath.ToSlash(target)
		if !staysInside(name, target) {
			return nil
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, target, 0o777
		return t.WriteHeader(&h)
	case 0:
		return archiveFile(t, root, &h)
	}
	return nil
}

func archiveFile(t *tar.Writer, root *os.Root, h *tar.Header) error {
	f, err := root.Open(h.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return changed(h.Name)
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if info.Mode()&0o100 != 0 {
		h.Mode = 0o755
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	if errors.Is(err, tar.ErrWriteTooLong) {
		return changed(h.Name)
	}
	if err != nil {
		return err
	}
	if t.Flush() != nil { // it says that bytes are missing
		return changed(h.Name)
	}
	return nil
}

func changed(name string) error {
	return ridgeline.Errorf(ridgeline.Conflict, "%s changed while it was being read: try again when nobody writes there", name)
}

// staysInside reports whether a symbolic link called name, in a folder that is
// itself reached through no link, can only lead to places inside the root:
// its target goes up first and then only down, and not above the root. A ".."
// further on could leave, since it would go up from wherever a link led to.
func staysInside(name, target string) bool {
	if target == "" || path.IsAbs(target) || filepath.IsAbs(target) {
		return false
	}
	depth, down := strings.Count(path.Clean(name), "/"), false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; down || depth < 0 {
				return false
			}
		default:
			down = true
		}
	}
	return true
}

// Read unpacks a tar archive into dir, which is made if need be and in
// which none of its files may exist yet. It refuses, as Invalid, an archive
// that could touch anything outside dir, now or when its links are followed
// later: absolute names, "..", links that lead out, hard links, devices. What
// was unpacked until then stays.
func Read(r io.Reader, dir string) error {
	return ReadPart(r, dir, func(string) bool { return true })
}

// ReadPart is Read of those files and links whose names, with slashes, keep
// wants; all folders are there.
func ReadPart(r io.Reader, dir string, keep func(name string) bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("unpack an archive: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack an archive: %w", err)
	}
	defer root.Close()
	if err := unpack(tar.NewReader(r), root, keep); err != nil {
		if ridgeline.CodeOf(err) != ridgeline.Internal {
			return err
		}
		return fmt.Errorf("unpack an archive: %w", err)
	}
	return nil
}

func unpack(t *tar.Reader, root *os.Root, keep func(name string) bool) error {
	type link struct{ name, target string }
	var links []link
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return malformed(err)
		}
		name := path.Clean(h.Name)
		if !fs.ValidPath(name) || strings.HasPrefix(h.Name, "/") || !filepath.IsLocal(filepath.FromSlash(name)) {
			return ridgeline.Errorf(ridgeline.Invalid, "archive entry %q: expected a path inside the archive", h.Name)
		}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader: // git archive writes its commit there
			continue
		case tar.TypeReg, tar.TypeSymlink:
			if !keep(name) {
				continue
			}
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = unpackFile(t, root, name, h.FileInfo().Mode())
		case tar.TypeSymlink:
			if !staysInside(name, h.Linkname) {
				return ridgeline.Errorf(ridgeline.Invalid, "archive entry %q links to %q: expected a relative path inside the archive, with .. only at its beginning", h.Name, h.Linkname)
			}
			err = root.MkdirAll(path.Dir(name), 0o755)
			links = append(links, link{name, h.Linkname})
		default:
			return ridgeline.Errorf(ridgeline.Invalid, "archive entry %q is of type %q: expected files, folders and symbolic links", h.Name, h.Typeflag)
		}
		if err != nil {
			return taken(h.Name, err)
		}
	}
	// Links last: until now no path led through one, so every link's folder
	// is a real one, as staysInside needs.
	for _, l := range links {
		if err := root.Symlink(l.target, l.name); err != nil {
			return taken(l.name, err)
		}
	}
	return nil
}

func unpackFile(t *tar.Reader, root *os.Root, name string, mode fs.FileMode) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	perm := fs.FileMode(0o644)
	if mode&0o100 != 0 {
		perm = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, t)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = malformed(err)
	}
	return errors.Join(err, f.Close())
}

// taken says it when an entry's place is taken, by an earlier one or by what
// was in the folder.
func taken(name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return ridgeline.Errorf(ridgeline.Invalid, "archive entry %q: there is something of that name already", name)
	}
	return err
}

// malformed classifies what the tar reader found wrong with the bytes; an
// error of whoever delivers them stays what it is.
func malformed(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ridgeline.Errorf(ridgeline.Invalid, "not a tar archive, or only a part of one: %w", err)
	}
	return err
}
