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
	"regexp"
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
	raw, req := input{w.File, text}, requirements{}
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
	}
	if err := r.folders(root, at.sub, t); err != nil {
		return r, err
	}
	r.settle = func(ctx context.Context, python interpreter) (parts, error) {
		text, err := m.compile(ctx, at.path(), w.from(dir), python, "", p, sources...)
		if err != nil {
			return parts{}, err
		}
		text, used := ownIndexes(text, os.Environ(), namesDefaultIndex(append(r.inputs, raw)), merge(w.Indexes, indexesOf(r.inputs, t)), req.options)
		out, err := m.exact(ctx, at, text, python, req, p)
		out.indexes = merge(used, indexesOf(r.inputs, t)) // uv names no explicit ones
		return out, err
	}
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
			folder = path.Join(sub, folder)
			if !fs.ValidPath(folder) {
				return ridgeline.Errorf(ridgeline.Invalid, "tool.uv.sources: %s is in %s, outside the project, and so no part of the commit: copy it into the project, or publish it to an index", name, folder)
			}
			sum, err := treeDigest(root, folder)
			if err != nil {
				return ridgeline.Errorf(ridgeline.Invalid, "tool.uv.sources: %s: %w", name, err)
			}
			r.inputs = append(r.inputs, input{folder, sum})
		}
	}
	return nil
}

// indexesOf are the indexes that a project names for uv.
func indexesOf(inputs []input, t pyproject) []Index {
	list := indexTables(t.Tool.UV["index"])
	for _, in := range inputs {
		var settings struct {
			Index any `toml:"index"`
		}
		if path.Base(in.name) == "uv.toml" && readTOML(in.name, in.text, &settings) == nil {
			list = append(list, indexTables(settings.Index)...)
		}
	}
	return list
}

func indexTables(v any) []Index {
	var list []Index
	tables, _ := v.([]map[string]any)
	for _, table := range tables {
		name, _ := table["name"].(string)
		address, _ := table["url"].(string)
		own, _ := table["default"].(bool)
		if i := (Index{Name: name, URL: withoutUser(address), Default: own}); i.check() == nil {
			list = append(list, i)
		}
	}
	return list
}

// uvProject reads uv.lock, and lets uv see that it is current.
func (m *Manager) uvProject(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	if err := w.only("uv.lock", false, true, true); err != nil {
		return reading{}, err
	}
	at := place{root, dir, path.Dir(w.File)}
	r := reading{kind: "project"}
	t, err := beside(root, w.File, &r)
	if err != nil {
		return r, err
	}
	for _, name := range []string{"uv.lock", "uv.toml"} {
		text, err := root.ReadFile(path.Join(at.sub, name))
		switch {
		case err == nil:
			r.inputs = append(r.inputs, input{path.Join(at.sub, name), text})
		case name == "uv.lock":
			return r, ridgeline.Errorf(ridgeline.Invalid, "python: %s is not in the project: make it with `uv lock` and commit it", w.File)
		}
	}
	if err := r.folders(root, at.sub, t); err != nil {
		return r, err
	}
	var options []string
	for _, extra := range w.Extras {
		options = append(options, "--extra", extra)
	}
	for _, group := range w.Groups {
		options = append(options, "--group", group)
	}
	r.settle = func(ctx context.Context, python interpreter) (parts, error) {
		c := call{doing: "read uv.lock", dir: at.path(), tell: p, indexes: w.Indexes}
		text, err := m.run(ctx, c, append([]string{"export", "--locked", "--no-emit-project",
			"--format", "requirements-txt", "--no-header", "--no-annotate", "--emit-index-url", "--python", python.path}, options...)...)
		if err != nil {
			if strings.Contains(err.Error(), "needs to be updated") {
				return parts{}, ridgeline.Errorf(ridgeline.Invalid, "uv.lock does not match pyproject.toml any more: run `uv lock` and commit it")
			}
			return parts{}, err
		}
		text, used := ownIndexes(text, os.Environ(), namesDefaultIndex(r.inputs), merge(w.Indexes, indexesOf(r.inputs, t)), nil)
		out, err := m.exact(ctx, at, text, python, requirements{}, p)
		out.indexes = used
		return out, err
	}
	return r, nil
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
// knows anyway, which are the default one unless the project names it, those
// of this machine's settings, and those that options has; and the credentials
// from those of the project. What has a name is returned under it, because that
// is what the credentials go by.
func ownIndexes(text string, environ []string, ownDefault bool, named []Index, options []string) (string, []Index) {
	var known []string
	for _, line := range options {
		_, address, _ := strings.Cut(line, " ")
		known = append(known, address)
	}
	for _, kv := range minimalEnv(environ) {
		if name, v, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "UV_") {
			for _, one := range strings.Fields(v) {
				if _, address, ok := strings.Cut(one, "="); ok && !strings.Contains(strings.SplitN(one, "=", 2)[0], "://") {
					one = address // UV_INDEX may say name=address
				}
				known = append(known, one)
			}
		}
	}
	var b strings.Builder
	var used []Index
	for line := range strings.Lines(text) {
		if option, address, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(option, "--") && strings.Contains(option, "index-url") {
			if n := slices.IndexFunc(named, func(i Index) bool { return sameIndex(i.URL, address) }); n >= 0 {
				index := named[n]
				index.Default = index.Default || option == "--index-url" && ownDefault
				used = append(used, index)
				continue
			}
			if slices.ContainsFunc(known, func(k string) bool { return sameIndex(k, address) }) || (option == "--index-url" && !ownDefault) {
				continue
			}
			line = option + " " + strings.TrimSuffix(withoutUser(address), "/") + "\n"
		}
		b.WriteString(line)
	}
	return b.String(), used
}

// uvTables are the parts of a pyproject.toml that are meant for uv.
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
