package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// lockFile is the common way through a lock that names groups and conditions
// itself: read the file, then take what is wanted on one machine.
func (m *Manager) lockFile(root *os.Root, dir string, w Wish, p Progress, tool string, r reading, take func(python interpreter) (pinned, error)) reading {
	r.settle = func(ctx context.Context, python interpreter) (parts, error) {
		l, err := take(python)
		if err != nil {
			return parts{}, err
		}
		return m.exactly(ctx, place{root, dir, path.Dir(w.File)}, l, tool, python, w, p)
	}
	return r
}

func readLockFile(root *os.Root, name, how string) ([]byte, error) {
	text, err := root.ReadFile(name)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "python: %s is not in the project: make it with `%s` and commit it", name, how)
	}
	return text, nil
}

// A pdmFile is a pdm.lock (pdm-project.org, lock file).
type pdmFile struct {
	Metadata struct {
		Groups   []string `toml:"groups"`
		Strategy []string `toml:"strategy"`
		Version  string   `toml:"lock_version"`
		Hash     string   `toml:"content_hash"`
	} `toml:"metadata"`
	Package []struct {
		Name     string   `toml:"name"`
		Version  string   `toml:"version"`
		Extras   []string `toml:"extras"`
		Marker   string   `toml:"marker"`
		Groups   []string `toml:"groups"`
		Git      string   `toml:"git"`
		Revision string   `toml:"revision"`
		Folder   string   `toml:"subdirectory"`
		URL      string   `toml:"url"`
		Path     string   `toml:"path"`
		Files    []struct {
			Hash string `toml:"hash"`
		} `toml:"files"`
	} `toml:"package"`
}

func (m *Manager) pdmLock(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	if err := w.only("pdm.lock", false, true, true); err != nil {
		return reading{}, err
	}
	r := reading{kind: "pdm"}
	t, err := beside(root, w.File, &r)
	if err != nil {
		return r, err
	}
	text, err := readLockFile(root, w.File, "pdm lock")
	if err != nil {
		return r, err
	}
	r.inputs = append(r.inputs, input{w.File, text})
	var lock pdmFile
	if err := readTOML(w.File, text, &lock); err != nil {
		return r, err
	}
	if !strings.HasPrefix(lock.Metadata.Version, "4.") || !slices.Contains(lock.Metadata.Strategy, "inherit_metadata") {
		return r, ridgeline.Errorf(ridgeline.Invalid, "%s: expected lock_version 4 with the strategy inherit_metadata, which tells why a package is there: lock again with `pdm lock -S inherit_metadata`", w.File)
	}
	if hash := t.pdmHash(); hash != "" && lock.Metadata.Hash != "sha256:"+hash {
		return r, ridgeline.Errorf(ridgeline.Invalid, "%s does not match pyproject.toml any more: run `pdm lock` and commit it", w.File)
	}
	// PDM's development groups are installed unless told otherwise; its
	// optional dependencies are groups, too.
	groups := append([]string{"default"}, keys(t.Groups)...)
	if dev, ok := t.Tool.PDM["dev-dependencies"].(map[string]any); ok {
		groups = append(groups, keys(dev)...)
	}
	for _, name := range slices.Concat(w.Groups, w.Extras) {
		if !slices.Contains(lock.Metadata.Groups, name) {
			return r, notOffered("python", name, w.File+" has no such group", lock.Metadata.Groups)
		}
		groups = append(groups, name)
	}
	return m.lockFile(root, dir, w, p, "PDM", r, func(python interpreter) (pinned, error) {
		var l pinned
		for _, pkg := range lock.Package {
			if !slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(pkg.Groups, g) }) || len(pkg.Extras) > 0 {
				continue // with extras it stands there a second time, for what they add
			}
			holds, err := evaluate(pkg.Marker, python.markers, nil)
			if err != nil || !holds {
				if err != nil {
					return l, err
				}
				continue
			}
			one := pin{name: canonical(pkg.Name), version: pkg.Version}
			for _, f := range pkg.Files {
				one.hashes = append(one.hashes, f.Hash)
			}
			switch {
			case pkg.Git != "":
				one.address = commitAddress(pkg.Git, pkg.Revision, pkg.Folder)
			case pkg.Path != "":
				one.address, one.hashes = "file:"+pkg.Path, nil
			case pkg.URL != "":
				one.address = pkg.URL
			}
			l.pins = append(l.pins, one)
		}
		l.indexes = pdmIndexes(t)
		return l, nil
	}), nil
}

// pdmHash is the content_hash of PDM's lock: a sha256 over the JSON, as Python
// writes it, of what decides the dependencies (project_file.py of PDM 2.25).
// It is empty where groups include each other, which PDM writes out first.
func (t pyproject) pdmHash() string {
	dev, _ := t.Tool.PDM["dev-dependencies"].(map[string]any)
	groups := map[string]any{}
	for name, list := range t.Groups {
		if slices.ContainsFunc(list, func(v any) bool { _, text := v.(string); return !text }) {
			return ""
		}
		groups[name] = list
	}
	for name, list := range dev {
		if _, both := groups[name]; both {
			return ""
		}
		groups[name] = list
	}
	optional := map[string]any{}
	for name, list := range t.Project.Optional {
		optional[name] = texts(list)
	}
	relevant := map[string]any{
		"sources": orEmpty(t.Tool.PDM["source"], []any{}), "dependencies": texts(t.Project.Dependencies), "dev-dependencies": groups,
		"optional-dependencies": optional, "requires-python": t.Project.RequiresPython, "resolution": orEmpty(t.Tool.PDM["resolution"], map[string]any{}),
	}
	var b strings.Builder
	pythonJSON(&b, relevant)
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

func texts(list []string) []any {
	all := []any{}
	for _, one := range list {
		all = append(all, one)
	}
	return all
}

func orEmpty(v, empty any) any {
	if v == nil {
		return empty
	}
	return v
}

func pdmIndexes(t pyproject) []Index {
	var list []Index
	sources, _ := t.Tool.PDM["source"].([]map[string]any)
	for _, s := range sources {
		name, _ := s["name"].(string)
		address, _ := s["url"].(string)
		// PDM calls the one that stands in for the public index pypi.
		if i := (Index{Name: indexName(name), URL: withoutUser(address), Default: name == "pypi"}); i.check() == nil {
			list = append(list, i)
		}
	}
	return list
}

// A pipfileLock is a Pipfile.lock, pipfile-spec 6 (pipenv.pypa.io).
type pipfileLock struct {
	Meta struct {
		Spec     int `json:"pipfile-spec"`
		Requires struct {
			Version string `json:"python_version"`
			Full    string `json:"python_full_version"`
		} `json:"requires"`
		Sources []struct{ Name, URL string } `json:"sources"`
	} `json:"_meta"`
	categories map[string]map[string]pipfilePackage
}

type pipfilePackage struct {
	Version, Markers, Index, Git, Ref, Path, File, Subdirectory string
	Hashes                                                      []string
}

// readPipfileLock reads the document, in which every key but one is a category.
func readPipfileLock(text []byte) (pipfileLock, error) {
	var all map[string]json.RawMessage
	lock := pipfileLock{categories: map[string]map[string]pipfilePackage{}}
	if err := errors.Join(json.Unmarshal(text, &all), json.Unmarshal(text, &lock)); err != nil {
		return lock, err
	}
	for name, raw := range all {
		if name == "_meta" {
			continue
		}
		var category map[string]pipfilePackage
		if err := json.Unmarshal(raw, &category); err != nil {
			return lock, err
		}
		lock.categories[name] = category
	}
	return lock, nil
}

func (m *Manager) pipfileLock(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	if err := w.only("Pipfile.lock", false, true, false); err != nil {
		return reading{}, err
	}
	w.File = path.Join(path.Dir(w.File), "Pipfile.lock")
	text, err := readLockFile(root, w.File, "pipenv lock")
	if err != nil {
		return reading{}, err
	}
	r := reading{kind: "pipenv", inputs: []input{{w.File, text}}}
	lock, err := readPipfileLock(text)
	if err != nil || lock.Meta.Spec != 6 {
		return r, ridgeline.Errorf(ridgeline.Invalid, "%s: expected a JSON document with pipfile-spec 6: lock again with `pipenv lock`", w.File)
	}
	if err := r.prefers(or(lock.Meta.Requires.Full, lock.Meta.Requires.Version), "requires of "+w.File); err != nil {
		return r, err
	}
	categories := append([]string{"default", "develop"}, w.Groups...)
	for _, name := range w.Groups {
		if _, ok := lock.categories[name]; !ok {
			return r, notOffered("python.groups", name, w.File+" has no such category", slices.Sorted(maps.Keys(lock.categories)))
		}
	}
	return m.lockFile(root, dir, w, p, "Pipenv", r, func(python interpreter) (pinned, error) {
		return lock.take(categories, python)
	}), nil
}

func (f pipfileLock) take(categories []string, python interpreter) (pinned, error) {
	var l pinned
	for _, category := range categories {
		for _, name := range keys(f.categories[category]) {
			pkg := f.categories[category][name]
			holds, err := evaluate(pkg.Markers, python.markers, nil)
			if err != nil {
				return l, err
			}
			if !holds {
				continue
			}
			one := pin{name: canonical(name), version: strings.TrimLeft(pkg.Version, "= "), hashes: pkg.Hashes}
			switch {
			case pkg.Git != "":
				one.address, one.hashes = commitAddress(pkg.Git, pkg.Ref, pkg.Subdirectory), nil
			case pkg.Path != "":
				one.address, one.hashes = "file:"+pkg.Path, nil
			case pkg.File != "":
				one.address = pkg.File
			}
			l.pins = append(l.pins, one)
		}
	}
	for i, s := range f.Meta.Sources {
		// The first source stands in for the public index; what Pipfile
		// writes for that one itself is left to the server.
		if index := (Index{Name: indexName(s.Name), URL: withoutUser(s.URL), Default: i == 0}); s.Name != "pypi" && index.check() == nil {
			l.indexes = append(l.indexes, index)
		}
	}
	return l, nil
}

// A pylockFile is a pylock.toml (PEP 751).
type pylockFile struct {
	Version       string   `toml:"lock-version"`
	Python        string   `toml:"requires-python"`
	Extras        []string `toml:"extras"`
	Groups        []string `toml:"dependency-groups"`
	DefaultGroups []string `toml:"default-groups"`
	Packages      []struct {
		Name    string       `toml:"name"`
		Version string       `toml:"version"`
		Marker  string       `toml:"marker"`
		Python  string       `toml:"requires-python"`
		Index   string       `toml:"index"`
		Sdist   *pylockArch  `toml:"sdist"`
		Archive *pylockArch  `toml:"archive"`
		Wheels  []pylockArch `toml:"wheels"`
		VCS     *struct {
			Type   string `toml:"type"`
			URL    string `toml:"url"`
			Commit string `toml:"commit-id"`
			Folder string `toml:"subdirectory"`
		} `toml:"vcs"`
		Directory *struct {
			Path string `toml:"path"`
		} `toml:"directory"`
	} `toml:"packages"`
}

type pylockArch struct {
	URL    string            `toml:"url"`
	Path   string            `toml:"path"`
	Hashes map[string]string `toml:"hashes"`
}

func (a *pylockArch) hashes() []string {
	if a == nil {
		return nil
	}
	if sum := a.Hashes["sha256"]; sum != "" {
		return []string{"sha256:" + sum}
	}
	return nil
}

func (m *Manager) pylock(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	if err := w.only(path.Base(w.File), false, true, true); err != nil {
		return reading{}, err
	}
	text, err := readLockFile(root, w.File, "uv export --format pylock.toml -o pylock.toml")
	if err != nil {
		return reading{}, err
	}
	r := reading{kind: "pylock", inputs: []input{{w.File, text}}}
	var lock pylockFile
	if err := readTOML(w.File, text, &lock); err != nil {
		return r, err
	}
	if !strings.HasPrefix(lock.Version, "1.") {
		return r, ridgeline.Errorf(ridgeline.Invalid, "%s: expected lock-version 1 (PEP 751), got %q", w.File, lock.Version)
	}
	for _, name := range w.Extras {
		if !slices.Contains(lock.Extras, name) {
			return r, notOffered("python.extras", name, w.File+" has no such extras", lock.Extras)
		}
	}
	for _, name := range w.Groups {
		if !slices.Contains(lock.Groups, name) {
			return r, notOffered("python.groups", name, w.File+" has no such dependency-groups", lock.Groups)
		}
	}
	if err := r.requires(lock.Python, "requires-python of "+w.File); err != nil {
		return r, err
	}
	chosen := map[string][]string{"extras": w.Extras, "dependency_groups": slices.Concat(lock.DefaultGroups, w.Groups)}
	return m.lockFile(root, dir, w, p, "pylock.toml", r, func(python interpreter) (pinned, error) {
		return lock.take(chosen, python)
	}), nil
}

func (f pylockFile) take(chosen map[string][]string, python interpreter) (pinned, error) {
	var l pinned
	for _, pkg := range f.Packages {
		holds, err := evaluate(pkg.Marker, python.markers, chosen)
		if err != nil {
			return l, err
		}
		if !holds {
			continue
		}
		one := pin{name: canonical(pkg.Name), version: pkg.Version, hashes: append(pkg.Sdist.hashes(), pkg.Archive.hashes()...)}
		for _, w := range pkg.Wheels {
			one.hashes = append(one.hashes, w.hashes()...)
		}
		switch {
		case pkg.VCS != nil:
			one.address = commitAddress(pkg.VCS.URL, pkg.VCS.Commit, pkg.VCS.Folder)
		case pkg.Directory != nil:
			one.address = "file:" + pkg.Directory.Path
		case pkg.Archive != nil:
			one.address = or(pkg.Archive.URL, "file:"+pkg.Archive.Path)
		}
		l.pins = append(l.pins, one)
	}
	l.options = f.otherIndexes()
	return l, nil
}

// otherIndexes are those beside the one that most packages come from, which is
// the public one or what the server has in its stead. The format has no names
// for indexes.
func (f pylockFile) otherIndexes() []string {
	count := map[string]int{}
	for _, pkg := range f.Packages {
		if pkg.Index != "" {
			count[withoutUser(pkg.Index)]++
		}
	}
	most := ""
	for _, index := range keys(count) {
		if count[index] > count[most] {
			most = index
		}
	}
	delete(count, most)
	return prefixed("--extra-index-url ", keys(count))
}
