package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A reading is what a project's files say, before anything is resolved.
type reading struct {
	kind   string // of the file; a part of the key of kept locks
	inputs []input
	wants  []want // of Python, beside the wish's
	soft   []want // likewise, but the wish's version stands in their place
	settle func(context.Context, interpreter) (parts, error)
}

// requires adds a demand on Python that no wish replaces.
func (r *reading) requires(spec, from string) error {
	w, err := wanted(spec, from)
	if w.spec != "" {
		r.wants = append(r.wants, w)
	}
	return err
}

// prefers adds one that a wish replaces.
func (r *reading) prefers(spec, from string) error {
	w, err := wanted(spec, from)
	if w.spec != "" {
		r.soft = append(r.soft, w)
	}
	return err
}

// Lock reads which packages a project in dir wants and settles every version.
// A lock once made for the same content is given again, without the network.
// Mistakes in the files are Invalid, an index that does not answer is
// Unavailable.
func (m *Manager) Lock(ctx context.Context, dir string, wish Wish, p Progress) (Lock, error) {
	if err := wish.check(); err != nil {
		return Lock{}, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Lock{}, fmt.Errorf("open the project's folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Lock{}, ridgeline.Errorf(ridgeline.NotFound, "open the project's folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	wish.File = path.Clean(wish.File)
	r, err := m.read(root, dir, wish, p)
	if err != nil {
		return Lock{}, err
	}
	wants, err := r.demands(root, wish)
	if err != nil {
		return Lock{}, err
	}
	python, err := m.choose(ctx, wants)
	if err != nil {
		return Lock{}, err
	}
	exact := patch(wants, python.minor())
	if in, ok := wish.input(exact); ok {
		r.inputs = append(r.inputs, in)
	}
	return m.kept(ctx, r.kind, python, r.inputs, p, func() (Lock, error) {
		p.say("locking %s for Python %s", wish.File, python.minor())
		settled, err := r.settle(ctx, python)
		if err != nil {
			return Lock{}, err
		}
		settled.python = exact
		settled.indexes = merge(wish.Indexes, settled.indexes)
		text := settled.join()
		if hasSecret(text) {
			return Lock{}, ridgeline.Errorf(ridgeline.Invalid, "%s: an address has a password in it, which would end up in every lock: take it out, and set UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD where Ridgeline runs, or use a netrc file", wish.File)
		}
		return NewLock(text, python.minor()), nil
	})
}

// read looks at the project's file, whose name says what it is.
func (m *Manager) read(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	switch base := path.Base(w.File); {
	case base == "uv.lock":
		return m.uvProject(root, dir, w, p)
	case base == "pyproject.toml":
		return m.pyproject(root, dir, w, p)
	case base == "poetry.lock":
		return m.poetryLock(root, dir, w, p)
	case base == "pdm.lock":
		return m.pdmLock(root, dir, w, p)
	case base == "Pipfile", base == "Pipfile.lock":
		return m.pipfileLock(root, dir, w, p)
	case base == "pylock.toml", strings.HasPrefix(base, "pylock.") && strings.HasSuffix(base, ".toml"):
		return m.pylock(root, dir, w, p)
	case strings.HasSuffix(base, ".txt"), strings.HasSuffix(base, ".in"):
		return m.requirementsFile(root, dir, w, p)
	case strings.HasSuffix(base, ".yaml"), strings.HasSuffix(base, ".yml"):
		return m.condaFile(root, dir, w, p)
	default:
		return reading{}, ridgeline.Errorf(ridgeline.Invalid, "python: expected requirements.txt, pyproject.toml, uv.lock, poetry.lock, pdm.lock, Pipfile.lock, pylock.toml or conda.yaml, got %q", w.File)
	}
}

// demands are all that is wanted of Python. What the wish says goes before
// .python-version and other preferences, not before what the code requires.
func (r reading) demands(root *os.Root, w Wish) ([]want, error) {
	if w.Version != "" {
		own, err := wanted(w.Version, "python.version of ridgeline.yaml")
		return append([]want{own}, r.wants...), err
	}
	if len(r.soft) == 0 {
		for _, name := range []string{path.Join(path.Dir(w.File), ".python-version"), ".python-version"} {
			text, err := root.ReadFile(name)
			if err != nil {
				continue
			}
			line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
			// A patch level there is what a developer happened to have.
			if v := versionRE.FindStringSubmatch(launchRE.ReplaceAllString(strings.TrimSpace(line), "")); v != nil && v[2] != "" {
				r.soft = append(r.soft, want{"==" + v[1] + "." + v[2] + ".*", name})
			}
			break
		}
	}
	return append(r.soft, r.wants...), nil
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
