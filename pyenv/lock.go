package pyenv

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// Lock reads which packages a project in dir wants and settles every version.
// A lock once made for the same content is given again, without the network.
// Mistakes in the files are Invalid, an index that does not answer is
// Unavailable.
func (m *Manager) Lock(ctx context.Context, dir string, wish Wish, p Progress) (Lock, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Lock{}, ridgeline.Errorf(ridgeline.NotFound, "open the project's folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	file := path.Clean(wish.File)
	if !fs.ValidPath(file) {
		return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "python: expected a file inside the project, got %q", file)
	}
	switch base := path.Base(file); {
	case base == "uv.lock", base == "pyproject.toml":
		return m.lockProject(ctx, root, dir, path.Dir(file), p)
	case strings.HasSuffix(base, ".txt"), strings.HasSuffix(base, ".in"):
		return m.lockRequirements(ctx, root, dir, file, p)
	case slices.Contains([]string{"conda.yaml", "conda.yml", "environment.yml", "environment.yaml", "poetry.lock", "Pipfile", "Pipfile.lock", "pdm.lock", "pylock.toml"}, base):
		return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "python: %s is not supported by this version yet: use requirements.txt, or pyproject.toml with uv.lock", base)
	default:
		return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "python: expected requirements.txt, uv.lock or pyproject.toml, got %q", file)
	}
}

func (m *Manager) lockRequirements(ctx context.Context, root *os.Root, dir, file string, p Progress) (Lock, error) {
	req, err := readRequirements(root, file)
	if err != nil {
		return Lock{}, err
	}
	// uv reads these too, when they are there.
	inputs := req.inputs
	if text, err := root.ReadFile("uv.toml"); err == nil {
		inputs = append(inputs, input{"uv.toml", text})
	}
	if text, err := root.ReadFile("pyproject.toml"); err == nil {
		if text = uvTables(text); len(text) > 0 {
			inputs = append(inputs, input{"pyproject.toml", text})
		}
	}
	python, err := m.defaultInterpreter(ctx)
	if err != nil {
		return Lock{}, err
	}
	return m.kept(ctx, "requirements", python, inputs, p, func() (Lock, error) {
		p.say("locking %s for Python %s", file, python.minor())
		text, err := m.run(ctx, "lock "+file, dir, nil, p, "pip", "compile", filepath.FromSlash(file),
			"--python", python.path, "--generate-hashes", "--no-header", "--no-annotate")
		if err != nil {
			return Lock{}, err
		}
		text = strings.Join(append(req.options, text), "\n")
		return NewLock(text, python.minor()), allHashed(file, text)
	})
}

// uvTables are the parts of a pyproject.toml that are meant for uv. Were all
// of it an input, a new lint rule would bring new versions of the packages.
func uvTables(pyproject []byte) []byte {
	var kept []byte
	ours := false
	for line := range bytes.Lines(pyproject) {
		if t := bytes.TrimSpace(line); bytes.HasPrefix(t, []byte("[")) && bytes.HasSuffix(t, []byte("]")) {
			table := bytes.TrimLeft(t, "[ ")
			ours = bytes.HasPrefix(table, []byte("tool.uv]")) || bytes.HasPrefix(table, []byte("tool.uv."))
		}
		if ours {
			kept = append(kept, line...)
		}
	}
	return kept
}

func (m *Manager) lockProject(ctx context.Context, root *os.Root, dir, sub string, p Progress) (Lock, error) {
	var inputs []input
	for _, name := range []string{"pyproject.toml", "uv.lock", "uv.toml", ".python-version"} {
		text, err := root.ReadFile(path.Join(sub, name))
		switch {
		case err == nil:
			inputs = append(inputs, input{path.Join(sub, name), text})
		case name == "uv.toml", name == ".python-version":
		case !errors.Is(err, fs.ErrNotExist):
			return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", name, err)
		case name == "pyproject.toml":
			return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "python: uv.lock needs pyproject.toml beside it")
		default:
			if _, err := root.Stat(path.Join(sub, "poetry.lock")); err == nil {
				return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "python: Poetry is not supported by this version yet: use requirements.txt (`poetry export`), or pyproject.toml with uv.lock")
			}
			return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "python: pyproject.toml needs uv.lock beside it: make it with `uv lock` and commit it")
		}
	}
	dir = filepath.Join(dir, filepath.FromSlash(sub))
	python, err := m.interpreterOf(ctx, dir, inputs[0].text)
	if err != nil {
		return Lock{}, err
	}
	return m.kept(ctx, "project", python, inputs, p, func() (Lock, error) {
		p.say("reading uv.lock for Python %s", python.minor())
		text, err := m.run(ctx, "read uv.lock", dir, nil, p, "export", "--locked", "--no-emit-project",
			"--format", "requirements-txt", "--no-header", "--no-annotate", "--emit-index-url", "--python", python.path)
		if err != nil {
			if strings.Contains(err.Error(), "needs to be updated") {
				return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "uv.lock does not match pyproject.toml any more: run `uv lock` and commit it")
			}
			return Lock{}, err
		}
		text = ownIndexes(text, os.Environ(), namesDefaultIndex(inputs))
		return NewLock(text, python.minor()), allHashed("uv.lock", text)
	})
}

var defaultIndexRE = regexp.MustCompile(`(?m)^\s*(default\s*=\s*true|index-url\s*=|default-index\s*=)`)

// namesDefaultIndex reports whether the project itself says which index stands
// in for the public one.
func namesDefaultIndex(inputs []input) bool {
	return slices.ContainsFunc(inputs, func(in input) bool {
		return strings.HasSuffix(in.name, ".toml") && defaultIndexRE.Match(in.text)
	})
}

// ownIndexes drops from an export the lines about indexes that an installation
// knows anyway, which are the default one unless the project names it and those
// of this machine's settings; and the credentials from those of the project.
func ownIndexes(text string, environ []string, ownDefault bool) string {
	public := func(address string) string {
		return strings.TrimSuffix(userInfoRE.ReplaceAllString(strings.TrimSpace(address), "$1"), "/")
	}
	var known []string
	for _, kv := range minimalEnv(environ) {
		if name, v, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "UV_") {
			for _, one := range strings.Fields(v) {
				if _, address, ok := strings.Cut(one, "="); ok && !strings.Contains(strings.SplitN(one, "=", 2)[0], "://") {
					one = address // UV_INDEX may say name=address
				}
				known = append(known, public(one))
			}
		}
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if option, address, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(option, "--") && strings.Contains(option, "index-url") {
			if slices.Contains(known, public(address)) || (option == "--index-url" && !ownDefault) {
				continue
			}
			line = option + " " + public(address) + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// allHashed refuses a lock with a package that anybody could change later.
func allHashed(file, text string) error {
	for line := range strings.Lines(strings.ReplaceAll(normalise(text), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "-e") || !strings.HasPrefix(line, "-") && !strings.Contains(line, "--hash=") {
			name := newMasker(nil).mask(clip(line, 120))
			return ridgeline.Errorf(ridgeline.Invalid, "%s: %q has no hash that could be locked, because it does not come from an index: publish it to one, or put its code into the project itself", file, name)
		}
	}
	return nil
}

// kept answers a lock made earlier from the same inputs, or makes and keeps
// it. Without that, every push of the same commit could get other versions.
func (m *Manager) kept(ctx context.Context, kind string, python interpreter, inputs []input, p Progress, lockNow func() (Lock, error)) (Lock, error) {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "inputs 1\n%s\n%s\n%s\n", kind, python.minor(), platform())
	for _, in := range inputs {
		_, _ = fmt.Fprintf(h, "%q %d\n%s", in.name, len(in.text), in.text)
	}
	key := hex.EncodeToString(h.Sum(nil))
	name := filepath.Join(m.dir, "locks", key+".json")
	if lock, ok := readLock(name); ok {
		return lock, nil
	}
	held, err := acquire(ctx, filepath.Join(m.dir, "locks", key+".lock"), func() { p.say("waiting for another process that locks the same packages") })
	if err != nil {
		return Lock{}, err
	}
	defer func() { _ = held.Close() }()
	if lock, ok := readLock(name); ok {
		return lock, nil
	}
	lock, err := lockNow()
	if err != nil {
		return Lock{}, err
	}
	text, err := json.MarshalIndent(lock, "", "  ")
	if err != nil {
		return Lock{}, fmt.Errorf("keep the lock: %w", err)
	}
	if err := writeFile(name, text); err != nil {
		return Lock{}, fmt.Errorf("keep the lock: %w", err)
	}
	return lock, nil
}

// readLock reads a kept lock. One that does not match its own hash is made anew.
func readLock(name string) (Lock, bool) {
	var lock Lock
	text, err := os.ReadFile(name)
	if err != nil || json.Unmarshal(text, &lock) != nil {
		return Lock{}, false
	}
	return lock, lock == NewLock(lock.Text, lock.Python)
}
