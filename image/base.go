package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Base is what an image stands on: an image of a registry that has Python,
// or one made from a Python of this machine, for when no registry is at hand.
type Base struct {
	Reference   string     // python:3.11-slim@sha256:…; a digest saves asking the registry each time
	Connection  Connection // how that registry is reached; without Auth, by the credentials of docker's configuration
	Python      string     // its interpreter's path inside; empty means /usr/local/bin/python<version>
	Interpreter string     // path of an interpreter on this machine, used when Reference is empty
}

// A baseRecord says which base layer an interpreter became, and from what.
type baseRecord struct {
	Interpreter interpreter `json:"interpreter"`
	Binary      string      `json:"binary"`    // stamp of what was asked
	Libraries   []string    `json:"libraries"` // files outside the prefix
	Inputs      string      `json:"inputs"`    // stamps of everything taken
	Layer       string      `json:"layer"`     // its key
}

// interpreterBase makes, or finds again, the base layer of an interpreter.
// That nothing has changed is seen by names, sizes and times; what is in the
// layer is decided by content alone.
func (b *Builder) interpreterBase(ctx context.Context, python string) (*layer, interpreter, bool, error) {
	var none interpreter
	sum := sha256.Sum256([]byte(cacheFormat + python))
	name := hex.EncodeToString(sum[:])
	defer b.cache.hold(name)()
	file := filepath.Join(b.cache.dir, "bases", name+".json")

	var r baseRecord
	if readJSON(file, &r) && r.Binary == stamp(python) {
		t, err := pythonTree(r.Interpreter)
		if err == nil && r.Inputs == t.stamps()+libraryStamps(r.Libraries) {
			if l := b.cache.find(r.Layer); l != nil {
				return l, r.Interpreter, true, nil
			}
		}
	}

	have, err := ask(ctx, python)
	if err != nil {
		return nil, none, false, err
	}
	t, err := pythonTree(have)
	if err != nil {
		return nil, none, false, fmt.Errorf("base from %s: %w", have.Executable, err)
	}
	stamps := t.stamps()
	var modules []string
	for _, e := range t {
		if strings.Contains(e.name, "/lib-dynload/") && strings.HasSuffix(e.name, ".so") {
			modules = append(modules, e.path)
		}
	}
	taken, err := t.libraries(have.Executable, modules)
	if err != nil {
		return nil, none, false, err
	}
	if err := t.system(); err != nil {
		return nil, none, false, err
	}
	digest, err := t.digest(ctx)
	if err != nil {
		return nil, none, false, err
	}
	r = baseRecord{Interpreter: have, Binary: stamp(python), Libraries: taken, Inputs: stamps + libraryStamps(taken), Layer: key(KindBase, have.Version, digest)}
	l, cached, err := b.cache.layer(ctx, KindBase, r.Layer, func() (tree, *compiler, error) {
		return t, &compiler{python: have, tmp: b.cache.tmp()}, nil
	})
	if err != nil {
		return nil, none, false, err
	}
	return l, have, cached, b.cache.writeJSON(file, r)
}

// pythonTree holds an interpreter and its standard library below /usr/local,
// where it finds its own prefix, whatever prefix it was built for.
func pythonTree(have interpreter) (tree, error) {
	t := make(tree)
	version := have.short()
	if err := t.file("usr/local/bin/python"+version, have.Executable); err != nil {
		return nil, err
	}
	t.link("usr/local/bin/python", "python"+version)
	t.link("usr/local/bin/python3", "python"+version)
	at := "usr/local/lib/python" + version
	if err := t.folder(at, have.Stdlib, linksFollow, func(rel string, isDir bool) bool { return unneeded(rel, isDir) || rel == "lib-dynload" }); err != nil {
		return nil, err
	}
	if err := t.folder(at+"/lib-dynload", have.Dynload, linksFollow, unneeded); err != nil {
		return nil, err
	}
	t.dir(at+"/site-packages", 0o755)
	return t, nil
}

// unneeded is the part of a standard library that nothing which serves uses.
func unneeded(rel string, isDir bool) bool {
	name := path.Base(rel)
	if isDir {
		switch name {
		case "__pycache__", "site-packages", "dist-packages", "test", "tests", "tkinter", "idlelib", "turtledemo", "ensurepip":
			return true
		}
		return strings.HasPrefix(name, "config-")
	}
	for _, prefix := range []string{"_tkinter.", "_test", "_ctypes_test", "_xxtestfuzz", "xxlimited", "turtle.py", "EXTERNALLY-MANAGED"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// system adds what a program expects of a system beside its libraries.
func (t tree) system() error {
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		t.dir("usr/"+name, 0o755)
		t.link(name, "usr/"+name)
	}
	for _, name := range []string{"dev", "etc", "home", "opt", "proc", "root", "run", "sys", "var"} {
		t.dir(name, 0o755)
	}
	t.dir("tmp", fs.ModeSticky|0o777)
	t.dir("var/tmp", fs.ModeSticky|0o777)
	t.data("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"))
	t.data("etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	t.data("etc/nsswitch.conf", 0o644, []byte("passwd: files\ngroup: files\nhosts: files dns\n"))
	for _, file := range certificates {
		if exists(file) {
			if err := t.file(inImage(certificates[0]), file); err != nil {
				return err
			}
			break
		}
	}
	if !exists("/usr/share/zoneinfo") {
		return nil
	}
	return t.folder("usr/share/zoneinfo", "/usr/share/zoneinfo", linksFollow, func(rel string, isDir bool) bool {
		switch rel {
		case "posix", "right", "localtime", "posixrules":
			return true
		}
		return false
	})
}

// certificates lists where distributions keep the authorities they trust; the
// image has them at the first place.
var certificates = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// stamp says, without reading a file, whether it is still what it was.
func stamp(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d %v", file, info.Size(), info.ModTime().UnixNano(), info.Mode())
}

// stamps is a hash over the stamps of a tree's files.
func (t tree) stamps() string {
	h := sha256.New()
	for _, e := range t.sorted() {
		fmt.Fprintln(h, e.name, e.mode, e.link, stamp(e.path))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func libraryStamps(files []string) string {
	h := sha256.New()
	for _, file := range append(append([]string{"/usr/share/zoneinfo"}, certificates...), files...) {
		fmt.Fprintln(h, stamp(file))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// basePython is the path of the interpreter inside the base.
func (s *Spec) basePython() string {
	if s.Base.Reference != "" && s.Base.Python != "" {
		return s.Base.Python
	}
	return "/usr/local/bin/python" + s.Python
}

// environmentPython is the interpreter of the environment that packages are
// installed in, which is the one that can compile for it.
func environmentPython(site string) (string, error) {
	python := filepath.Join(site, "..", "..", "..", "bin", "python")
	if !exists(python) {
		return "", ridgeline.Errorf(ridgeline.Invalid, "%s: the site-packages folder of a virtual environment was expected, and there is no %s", site, python)
	}
	return python, nil
}
