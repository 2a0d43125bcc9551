package image

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// inImage is a path of the image as an entry's name.
func inImage(p string) string { return strings.TrimPrefix(p, "/") }

// leftover says whether a file is what running Python leaves beside its
// sources; that differs between machines and is made anew for the image.
func leftover(rel string, isDir bool) bool { return isDir && path.Base(rel) == "__pycache__" }

// scorerTree holds the scorer and its worker.
func scorerTree(scorer string, worker fs.FS) (tree, error) {
	t := make(tree)
	if err := t.file(inImage(ScorerPath), scorer); err != nil {
		return nil, err
	}
	t[inImage(ScorerPath)].mode = 0o755
	err := fs.WalkDir(worker, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".py") {
			return err
		}
		p, err := fs.ReadFile(worker, name)
		if err != nil {
			return err
		}
		t.data(inImage(path.Join(WorkerPath, name)), 0o644, p)
		return nil
	})
	return t, err
}

// dependenciesTree holds an environment's packages as a virtual environment on
// the base's Python. A virtual environment, and not a search path, because
// only that way the order of modules is the same as where it was tested, and
// the packages' .pth files are read.
func dependenciesTree(site, python, base string) (tree, error) {
	t := make(tree)
	if err := t.folder(inImage(SitePackagesPath(python)), site, linksFollow, func(rel string, isDir bool) bool {
		if leftover(rel, isDir) {
			return true
		}
		dir, name := path.Split(rel)
		if !strings.HasSuffix(dir, ".dist-info/") {
			return dir == "" && (name == "_virtualenv.py" || name == "_virtualenv.pth")
		}
		switch name {
		case "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json":
			return true
		}
		return false
	}); err != nil {
		return nil, err
	}
	for name, e := range t {
		if strings.HasSuffix(name, ".dist-info/RECORD") {
			p, err := os.ReadFile(e.path)
			if err != nil {
				return nil, err
			}
			t.data(name, 0o644, normalRecord(p))
		}
	}
	t.data(inImage(EnvironmentPath+"/pyvenv.cfg"), 0o644,
		[]byte("home = "+path.Dir(base)+"\ninclude-system-site-packages = false\nversion = "+python+"\n"))
	for _, name := range []string{"python", "python3", "python" + python} {
		t.link(inImage(EnvironmentPath+"/bin/"+name), base)
	}
	return t, nil
}

// normalRecord keeps of a list of installed files what is in the image and the
// same on every machine: no scripts, whose first line is a path, no bytecode,
// nothing of the installer.
func normalRecord(p []byte) []byte {
	var lines []string
	for line := range bytes.Lines(p) {
		s := strings.TrimSpace(string(line))
		name, _, _ := strings.Cut(strings.TrimPrefix(s, `"`), ",")
		switch path.Base(name) {
		case "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json":
			continue
		}
		if s == "" || strings.HasPrefix(name, "..") || strings.HasPrefix(name, "/") || strings.Contains(name, "__pycache__/") {
			continue
		}
		lines = append(lines, s)
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n") + "\n")
}

// applicationTree holds the project's code, without what tools keep beside it.
func applicationTree(app string) (tree, error) {
	t := make(tree)
	err := t.folder(inImage(AppPath), app, linksInside, func(rel string, isDir bool) bool {
		if leftover(rel, isDir) || strings.HasSuffix(rel, ".pyc") {
			return true
		}
		switch path.Base(rel) {
		case ".git", ".hg", ".venv", ".tox", ".nox", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".coverage", ".ipynb_checkpoints", ".DS_Store":
			return true
		}
		if isDir { // a virtual environment of any name
			_, err := os.Stat(filepath.Join(app, rel, "pyvenv.cfg"))
			return err == nil
		}
		return false
	})
	return t, err
}

// modelTree holds the model's files as they are.
func modelTree(dir, model string, version int) (tree, error) {
	t := make(tree)
	at := inImage(ModelPath(model, version))
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return t, t.file(path.Join(at, filepath.Base(dir)), dir)
	}
	return t, t.folder(at, dir, linksInside, leftover)
}

// contentLayer is a layer whose key is its content.
func (b *Builder) contentLayer(ctx context.Context, kind string, t tree, compile *compiler, more ...string) (*layer, bool, error) {
	digest, err := t.digest(ctx)
	if err != nil {
		return nil, false, err
	}
	return b.cache.layer(ctx, kind, key(kind, append(more, digest)...), func() (tree, *compiler, error) { return t, compile, nil })
}
