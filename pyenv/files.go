package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

func (m *Manager) tempDir() (string, error) {
	tmp, err := os.MkdirTemp(filepath.Join(m.dir, "files"), ".tmp-*")
	if err != nil {
		return "", fmt.Errorf("make a folder to work in: %w", err)
	}
	return tmp, nil
}

// keep puts a package where Ensure finds it, on this server and others.
func (m *Manager) keep(ctx context.Context, name string) (file, error) {
	f, err := os.Open(name)
	if err != nil {
		return file{}, fmt.Errorf("keep a package: %w", err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return file{}, fmt.Errorf("keep a package: %w", err)
	}
	kept := file{hex.EncodeToString(h.Sum(nil)), filepath.Base(name)}
	if !keptRE.MatchString(kept.name) {
		return file{}, ridgeline.Errorf(ridgeline.Invalid, "%s: expected a package with a name such as lib-1.0-py3-none-any.whl", clip(kept.name, 120))
	}
	if m.files != nil {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return file{}, fmt.Errorf("keep %s: %w", kept.name, err)
		}
		if _, _, err := m.files.Put(ctx, f); err != nil {
			return file{}, fmt.Errorf("keep %s: %w", kept.name, err)
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return file{}, fmt.Errorf("keep %s: %w", kept.name, err)
	}
	return kept, m.place(kept, f)
}

// place writes a package into the manager's own folder.
func (m *Manager) place(kept file, content io.Reader) error {
	folder := filepath.Join(m.dir, "files", kept.digest)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("keep %s: %w", kept.name, err)
	}
	tmp, err := os.CreateTemp(filepath.Join(m.dir, "files"), ".tmp-*")
	if err != nil {
		return fmt.Errorf("keep %s: %w", kept.name, err)
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(tmp, h), content)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil && hex.EncodeToString(h.Sum(nil)) != kept.digest {
		err = ridgeline.Errorf(ridgeline.Internal, "it has other content than its digest says: restore it, or lock again")
	}
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(folder, kept.name))
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("keep %s: %w", kept.name, err)
	}
	return nil
}

// fetch returns a folder that has a kept package.
func (m *Manager) fetch(ctx context.Context, kept file) (string, error) {
	folder := filepath.Join(m.dir, "files", kept.digest)
	if _, err := os.Stat(filepath.Join(folder, kept.name)); err == nil {
		return folder, nil
	}
	if m.files == nil {
		return "", ridgeline.Errorf(ridgeline.Unavailable, "%s came with the project, and this machine does not have it any more: lock again", kept.name)
	}
	r, err := m.files.Get(ctx, kept.digest)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", kept.name, err)
	}
	defer func() { _ = r.Close() }()
	return folder, m.place(kept, r)
}

// fromFolder makes a wheel of a folder of the project, or takes it when it is
// one. It is built from a copy, because build tools write into what they build.
func (m *Manager) fromFolder(ctx context.Context, tmp string, at place, sub string, python interpreter, p Progress) (string, error) {
	info, err := at.root.Stat(sub)
	if err != nil {
		return "", ridgeline.Errorf(ridgeline.Invalid, "%s is not in the project: add it, or correct the name", sub)
	}
	source := filepath.Join(tmp, path.Base(sub))
	if info.IsDir() {
		if err := copyTree(at.root, sub, source); err != nil {
			return "", ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", sub, err)
		}
		return m.buildWheel(ctx, tmp, source, sub, python, p)
	}
	text, err := at.root.ReadFile(sub)
	if err != nil {
		return "", ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", sub, err)
	}
	if err := os.WriteFile(source, text, 0o600); err != nil {
		return "", fmt.Errorf("copy %s: %w", sub, err)
	}
	if strings.HasSuffix(sub, ".whl") {
		return source, nil
	}
	return m.buildWheel(ctx, tmp, source, sub, python, p)
}

func copyTree(root *os.Root, sub, target string) error {
	return fs.WalkDir(root.FS(), sub, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(filepath.FromSlash(sub), filepath.FromSlash(name))
		if err != nil {
			return err
		}
		to := filepath.Join(target, rel)
		switch {
		case d.IsDir() && name != sub && notSource(d.Name()):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		}
		info, err := root.Stat(name)
		if err != nil || info.IsDir() {
			return err
		}
		text, err := root.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, info.Mode().Perm()|0o200)
	})
}

// buildWheel builds with a fixed time, so that the same source gives the same
// bytes with the common build backends.
func (m *Manager) buildWheel(ctx context.Context, tmp, source, what string, python interpreter, p Progress) (string, error) {
	p.say("building %s, which no index has", what)
	out := filepath.Join(tmp, "out")
	c := call{doing: "build " + what, dir: tmp, tell: p, env: []string{"SOURCE_DATE_EPOCH=315532800"}} // 1980, where zip files begin
	if _, err := m.run(ctx, c, "build", "--wheel", "--out-dir", out, "--python", python.path, source); err != nil {
		return "", err
	}
	found, _ := filepath.Glob(filepath.Join(out, "*.whl"))
	if len(found) != 1 {
		return "", ridgeline.Errorf(ridgeline.Invalid, "build %s: expected one wheel, got %d", what, len(found))
	}
	return found[0], nil
}

var gitRE = regexp.MustCompile(`^git\+([^#]+)@([0-9a-f]{40})(?:#(.*))?$`)

// fromGit makes a wheel of one commit, so that neither the repository nor its
// credentials are needed again. Git finds the latter where it always does.
func (m *Manager) fromGit(ctx context.Context, tmp, spec string, python interpreter, p Progress) (string, error) {
	g := gitRE.FindStringSubmatch(spec)
	what := newMasker(nil).mask(clip(spec, 160))
	if g == nil {
		return "", ridgeline.Errorf(ridgeline.Invalid, "%q: expected a commit of 40 hex digits after @", what)
	}
	address, commit, sub := g[1], g[2], ""
	for _, part := range strings.Split(g[3], "&") {
		if folder, ok := strings.CutPrefix(part, "subdirectory="); ok {
			sub = filepath.FromSlash(folder)
		}
	}
	source := filepath.Join(tmp, "source")
	if !filepath.IsLocal(filepath.Join("x", sub)) {
		return "", ridgeline.Errorf(ridgeline.Invalid, "%q: expected a folder inside the repository", what)
	}
	for _, args := range [][]string{
		{"init", "--quiet", source},
		{"-C", source, "fetch", "--quiet", "--depth", "1", address, commit},
		{"-C", source, "checkout", "--quiet", "--detach", commit},
		{"-C", source, "submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1"},
	} {
		_, text, err := m.exec(ctx, call{dir: tmp, env: []string{"GIT_TERMINAL_PROMPT=0"}}, append([]string{"git"}, args...)...)
		if err != nil && args[2] == "fetch" { // a server that gives branches only
			_, text, err = m.exec(ctx, call{dir: tmp, env: []string{"GIT_TERMINAL_PROMPT=0"}}, "git", "-C", source, "fetch", "--quiet", address, "+refs/*:refs/*")
		}
		if err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "", ridgeline.Errorf(classify(text, ridgeline.Invalid), "fetch %s: %s", what, explain(text, err))
		}
	}
	return m.buildWheel(ctx, tmp, filepath.Join(source, sub), what, python, p)
}
