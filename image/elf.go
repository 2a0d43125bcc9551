package image

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// wheelLibraries is what wheels for Linux expect of a system beyond what their
// build copies into them (PEP 600 and its policies, less X11 and GL).
var wheelLibraries = []string{
	"libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libutil.so.1", "libresolv.so.2",
	"libnss_files.so.2", "libnss_dns.so.2", "libanl.so.1", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1",
}

// libraries finds the shared libraries that files need, as the loader would,
// and adds them to t. It returns the files of this machine it took. A library
// that is not found is not an error: the module that needs it would not load
// on this machine either.
func (t tree) libraries(binary string, modules []string) ([]string, error) {
	f, err := elf.Open(binary)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: a base can be made from a Python for Linux only; give a base image instead: %w", binary, err)
	}
	r := &resolver{class: f.Class, machine: f.Machine, dirs: searchFolders(), found: make(map[string]string)}
	loader := interp(f)
	_ = f.Close()
	for _, file := range append([]string{binary}, modules...) {
		if err := r.needs(file); err != nil {
			return nil, err
		}
	}
	for _, name := range wheelLibraries {
		r.want(name, nil)
	}
	libc, ok := r.found["libc.so.6"]
	if !ok {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: a Python that uses glibc was expected, and no libc.so.6 was found; give a base image instead", binary)
	}
	var taken []string
	for name, from := range r.found {
		dir := merged(filepath.Dir(from))
		if !slices.Contains(r.trusted(), dir) {
			// Where the loader looks without a cache of its own.
			dir = merged(filepath.Dir(libc))
		}
		if err := t.file(inImage(path.Join(dir, name)), from); err != nil {
			return nil, err
		}
		taken = append(taken, from)
	}
	if loader != "" {
		if err := t.file(inImage(merged(loader)), loader); err != nil {
			return nil, err
		}
		t[inImage(merged(loader))].mode = 0o755
		taken = append(taken, loader)
	}
	slices.Sort(taken)
	return slices.Compact(taken), nil
}

// merged is a path on a system whose /bin and /lib are links into /usr, which
// the base always is.
func merged(p string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	switch first {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32":
		return "/usr" + p
	}
	return p
}

type resolver struct {
	class   elf.Class
	machine elf.Machine
	dirs    []string
	found   map[string]string // soname → file
}

// trusted lists the folders that a loader knows of itself.
func (r *resolver) trusted() []string {
	list := []string{"/usr/lib", "/usr/lib64"}
	for _, dir := range r.dirs {
		if ok, _ := path.Match("/usr/lib/*-linux-gnu*", merged(dir)); ok {
			list = append(list, merged(dir))
		}
	}
	return list
}

// needs finds what a file is linked against, and what that is linked against.
func (r *resolver) needs(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	names, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var own []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, _ := f.DynString(tag)
		for _, value := range values {
			for _, dir := range filepath.SplitList(value) {
				dir = strings.NewReplacer("${ORIGIN}", filepath.Dir(file), "$ORIGIN", filepath.Dir(file)).Replace(dir)
				if filepath.IsAbs(dir) {
					own = append(own, filepath.Clean(dir))
				}
			}
		}
	}
	for _, name := range names {
		r.want(name, own)
	}
	return nil
}

// want finds one library by name; own are the folders that the file asking for
// it names.
func (r *resolver) want(name string, own []string) {
	if _, ok := r.found[name]; ok || strings.Contains(name, "/") {
		return
	}
	for _, dir := range append(append([]string(nil), own...), r.dirs...) {
		file := filepath.Join(dir, name)
		f, err := elf.Open(file)
		if err != nil {
			continue
		}
		fits := f.Class == r.class && f.Machine == r.machine
		_ = f.Close()
		if fits {
			r.found[name] = file
			_ = r.needs(file) // it was readable a moment ago
			return
		}
	}
}

// interp is the loader that a program names.
func interp(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err == nil {
				return strings.TrimRight(string(b), "\x00")
			}
		}
	}
	return ""
}

// searchFolders lists where this machine's loader looks: what its
// configuration names, then what it knows of itself.
func searchFolders() []string {
	dirs := configured("/etc/ld.so.conf", 0)
	for _, pattern := range []string{"/lib/*-linux-gnu*", "/usr/lib/*-linux-gnu*"} {
		matches, _ := filepath.Glob(pattern) // errs on a bad pattern only
		dirs = append(dirs, matches...)
	}
	return append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
}

func configured(file string, depth int) []string {
	f, err := os.Open(file)
	if err != nil || depth > 8 {
		return nil
	}
	defer f.Close()
	var dirs []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		line = strings.TrimSpace(line)
		if pattern, ok := strings.CutPrefix(line, "include "); ok {
			pattern = strings.TrimSpace(pattern)
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(file), pattern)
			}
			matches, _ := filepath.Glob(pattern)
			for _, m := range matches {
				dirs = append(dirs, configured(m, depth+1)...)
			}
		} else if filepath.IsAbs(line) {
			dirs = append(dirs, line)
		}
	}
	return dirs
}

// exists reports whether a file of this machine can be read.
func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}
