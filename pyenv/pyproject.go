package pyenv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/ridgeline-mlops/ridgeline"
)

// A pyproject is what of a pyproject.toml concerns its environment
// (packaging.python.org: PEP 621, PEP 735; docs.astral.sh/uv; python-poetry.org).
type pyproject struct {
	Project struct {
		Name           string              `toml:"name"`
		RequiresPython string              `toml:"requires-python"`
		Dependencies   []string            `toml:"dependencies"`
		Optional       map[string][]string `toml:"optional-dependencies"`
		Dynamic        []string            `toml:"dynamic"`
	} `toml:"project"`
	Groups map[string][]any `toml:"dependency-groups"`
	Build  map[string]any   `toml:"build-system"`
	Tool   struct {
		UV         map[string]any `toml:"uv"`
		Poetry     map[string]any `toml:"poetry"`
		PDM        map[string]any `toml:"pdm"`
		Setuptools struct {
			Dynamic map[string]any `toml:"dynamic"`
		} `toml:"setuptools"`
	} `toml:"tool"`
}

func readPyproject(name string, text []byte) (pyproject, error) {
	var t pyproject
	return t, readTOML(name, text, &t)
}

// readTOML names file and line of a mistake.
func readTOML(name string, text []byte, into any) error {
	_, err := toml.NewDecoder(bytes.NewReader(text)).Decode(into)
	var parse toml.ParseError
	switch {
	case errors.As(err, &parse):
		return ridgeline.Errorf(ridgeline.Invalid, "%s:%d: %s", name, parse.Position.Line, parse.Message)
	case err != nil:
		return ridgeline.Errorf(ridgeline.Invalid, "%s: %w", name, err)
	}
	return nil
}

// decides is the part that decides a lock. Were all of the file an input, a new
// lint rule would bring new versions of the packages.
func (t pyproject) decides() []byte {
	t.Tool.Poetry, t.Tool.PDM = nil, nil
	text, _ := json.Marshal(t) // what TOML can say, but for a time that is not a number
	return text
}

// defaultGroups are those that uv installs without being asked.
func (t pyproject) defaultGroups() []string {
	switch d := t.Tool.UV["default-groups"].(type) {
	case string: // "all"
		var all []string
		for name := range t.Groups {
			all = append(all, name)
		}
		slices.Sort(all)
		return all
	case []any:
		var list []string
		for _, name := range d {
			list = append(list, fmt.Sprint(name))
		}
		return list
	}
	if _, ok := t.Groups["dev"]; ok {
		return []string{"dev"}
	}
	return nil
}

// beside reads the pyproject.toml that a lock was made from.
func beside(root *os.Root, file string, r *reading) (pyproject, error) {
	name := path.Join(path.Dir(file), "pyproject.toml")
	text, err := root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return pyproject{}, ridgeline.Errorf(ridgeline.Invalid, "python: %s needs pyproject.toml beside it", path.Base(file))
	}
	if err != nil {
		return pyproject{}, ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", name, err)
	}
	r.inputs = append(r.inputs, input{name, text})
	t, err := readPyproject(name, text)
	if err != nil {
		return t, err
	}
	return t, r.requires(t.Project.RequiresPython, "requires-python of "+name)
}

// pyproject reads a pyproject.toml: by the lock beside it, or else resolved here.
func (m *Manager) pyproject(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	for _, lock := range []struct {
		name string
		read func(*os.Root, string, Wish, Progress) (reading, error)
	}{{"uv.lock", m.uvProject}, {"poetry.lock", m.poetryLock}, {"pdm.lock", m.pdmLock}} {
		file := path.Join(path.Dir(w.File), lock.name)
		if _, err := root.Stat(file); err == nil {
			w.File = file
			return lock.read(root, dir, w, p)
		}
	}
	text, err := root.ReadFile(w.File)
	if err != nil {
		return reading{}, ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", w.File, err)
	}
	t, err := readPyproject(w.File, text)
	if err != nil {
		return reading{}, err
	}
	if t.Project.Name == "" {
		if t.Tool.Poetry != nil {
			return reading{}, ridgeline.Errorf(ridgeline.Invalid, "%s: the dependencies are Poetry's: make poetry.lock with `poetry lock` and commit it", w.File)
		}
		return reading{}, ridgeline.Errorf(ridgeline.Invalid, "%s: expected a [project] table with name and dependencies (PEP 621): add it, or name a requirements file", w.File)
	}
	r := reading{kind: "pyproject", inputs: []input{{w.File, t.decides()}}}
	if err := r.requires(t.Project.RequiresPython, "requires-python of "+w.File); err != nil {
		return r, err
	}
	uses, req := []input{{w.File, text}}, requirements{}
	at := place{root, dir, path.Dir(w.File)}
	sources, err := t.sources(root, w, &req)
	if err != nil {
		return r, err
	}
	r.inputs = append(r.inputs, req.inputs...)
	for _, file := range w.Constraints {
		constraints, err := readRequirements(root, file)
		if err != nil {
			return r, err
		}
		r.inputs = append(r.inputs, constraints.inputs...)
	}
	if text, err := root.ReadFile(path.Join(at.sub, "uv.toml")); err == nil {
		r.inputs = append(r.inputs, input{"uv.toml", text})
		uses = append(uses, input{"uv.toml", text})
	}
	if err := r.folders(root, at.sub, t); err != nil {
		return r, err
	}
	x := resolution{at: at, wish: w, sources: sources, req: req, settings: uses}
	r.settle = func(ctx context.Context, python interpreter) (parts, error) { return m.resolve(ctx, x, python, p) }
	return r, nil
}

// sources are the arguments that make uv read the wished part of the file.
func (t pyproject) sources(root *os.Root, w Wish, req *requirements) ([]string, error) {
	sources := []string{"pyproject.toml"}
	if slices.Contains(t.Project.Dynamic, "dependencies") {
		files := dynamicFiles(t.Tool.Setuptools.Dynamic["dependencies"])
		if files == nil || len(w.Extras) > 0 {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "%s: dependencies are dynamic, so that only building the project tells them: list them, commit uv.lock (`uv lock`), or name the file that they come from as `python:`", w.File)
		}
		sources = nil
		for i, file := range files {
			sources = append(sources, filepath.FromSlash(file))
			files[i] = path.Join(path.Dir(w.File), file)
		}
		var err error
		if *req, err = readRequirements(root, files...); err != nil {
			return nil, err
		}
	}
	for _, extra := range w.Extras {
		if !slices.ContainsFunc(keys(t.Project.Optional), func(k string) bool { return canonical(k) == canonical(extra) }) {
			return nil, notOffered("python.extras", extra, w.File+" has no such optional-dependencies", keys(t.Project.Optional))
		}
		sources = append(sources, "--extra", extra)
	}
	for _, group := range append(t.defaultGroups(), w.Groups...) {
		if !slices.ContainsFunc(keys(t.Groups), func(k string) bool { return canonical(k) == canonical(group) }) {
			return nil, notOffered("python.groups", group, w.File+" has no such dependency-groups", keys(t.Groups))
		}
		sources = append(sources, "--group", "pyproject.toml:"+group)
	}
	return sources, nil
}

func notOffered(key, name, why string, have []string) error {
	if len(have) == 0 {
		have = []string{"none"}
	}
	return ridgeline.Errorf(ridgeline.Invalid, "%s: %q: %s; there is %s", key, name, why, strings.Join(have, ", "))
}

func keys[T any](m map[string]T) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// dynamicFiles reads setuptools' `dependencies = {file = ["requirements.txt"]}`.
func dynamicFiles(v any) []string {
	table, _ := v.(map[string]any)
	switch f := table["file"].(type) {
	case string:
		return []string{f}
	case []any:
		var files []string
		for _, name := range f {
			files = append(files, fmt.Sprint(name))
		}
		return files
	}
	return nil
}

// reads makes what lies at a path an input, unless that is the project itself:
// its code is not installed.
func (r *reading) reads(root *os.Root, sub, name string) error {
	name = path.Join(sub, strings.TrimPrefix(name, "file:"))
	if name == "." || name == path.Clean(sub) {
		return nil
	}
	in, err := content(root, name)
	r.inputs = append(r.inputs, in)
	return err
}

// folders makes the content of the project's own packages, that tool.uv.sources
// names by path, inputs.
func (r *reading) folders(root *os.Root, sub string, t pyproject) error {
	sources, _ := t.Tool.UV["sources"].(map[string]any)
	for _, name := range keys(sources) {
		list, ok := sources[name].([]any)
		if !ok {
			list = []any{sources[name]}
		}
		for _, one := range list {
			table, _ := one.(map[string]any)
			folder, _ := table["path"].(string)
			if folder == "" {
				continue
			}
			if err := r.reads(root, sub, folder); err != nil {
				return fmt.Errorf("tool.uv.sources: %s: %w", name, err)
			}
		}
	}
	return nil
}
