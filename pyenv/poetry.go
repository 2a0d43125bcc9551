package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/ridgeline-mlops/ridgeline"
)

// A poetryFile is a poetry.lock (python-poetry.org; locker.py of Poetry 2.5).
// Since lock-version 2.1 a package says in which groups and on which condition
// it is wanted; in 2.0 that has to be found along the dependencies.
type poetryFile struct {
	Package  []poetryPackage     `toml:"package"`
	Extras   map[string][]string `toml:"extras"`
	Metadata struct {
		Version string `toml:"lock-version"`
		Python  string `toml:"python-versions"`
		Hash    string `toml:"content-hash"`
	} `toml:"metadata"`
}

type poetryPackage struct {
	Name     string           `toml:"name"`
	Version  string           `toml:"version"`
	Python   string           `toml:"python-versions"`
	Groups   []string         `toml:"groups"`
	Markers  any              `toml:"markers"` // a condition, or one for each group
	Requires map[string]any   `toml:"dependencies"`
	Extras   map[string][]any `toml:"extras"`
	Files    []struct {
		Hash string `toml:"hash"`
	} `toml:"files"`
	Source struct {
		Type, URL, Reference string
		Commit               string `toml:"resolved_reference"`
		Folder               string `toml:"subdirectory"`
	} `toml:"source"`
}

// poetryLock reads Poetry's lock without Poetry.
func (m *Manager) poetryLock(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	if err := w.only("poetry.lock", false, true, true); err != nil {
		return reading{}, err
	}
	r := reading{kind: "poetry"}
	t, err := beside(root, w.File, &r)
	if err != nil {
		return r, err
	}
	text, err := readLockFile(root, w.File, "poetry lock")
	if err != nil {
		return r, err
	}
	var lock poetryFile
	if err := readTOML(w.File, text, &lock); err != nil {
		return r, err
	}
	if err := lock.check(w.File, r.inputs[0].text); err != nil {
		return r, err
	}
	r.inputs = append(r.inputs, input{w.File, text})
	if err := r.requires(lock.Metadata.Python, "python of "+w.File); err != nil {
		return r, err
	}
	for _, pkg := range lock.Package {
		if s := pkg.Source; s.Type == "file" || s.Type == "directory" {
			if err := r.reads(root, path.Dir(w.File), s.URL); err != nil {
				return r, err
			}
		}
	}
	groups, err := t.poetryGroups(w.Groups)
	if err != nil {
		return r, err
	}
	for _, extra := range w.Extras {
		if !slices.ContainsFunc(keys(lock.Extras), func(k string) bool { return canonical(k) == canonical(extra) }) {
			return r, notOffered("python.extras", extra, w.File+" has no such extras", keys(lock.Extras))
		}
	}
	r.settle = func(ctx context.Context, python interpreter) (parts, error) {
		packages, err := lock.wanted(t, groups, w.Extras, python)
		if err != nil {
			return parts{}, err
		}
		var l pinned
		for _, pkg := range packages {
			if err := l.addPoetry(pkg); err != nil {
				return parts{}, err
			}
		}
		return m.exactly(ctx, place{root, dir, path.Dir(w.File)}, l, "Poetry", python, w, p)
	}
	return r, nil
}

// check refuses a lock that is older than its pyproject.toml, and one whose
// format says too little.
func (f poetryFile) check(name string, pyproject []byte) error {
	if !strings.HasPrefix(f.Metadata.Version, "2.") {
		return ridgeline.Errorf(ridgeline.Invalid, "%s: expected lock-version 2.0 or 2.1, got %q: lock again with Poetry 1.5 or later (`poetry lock`)", name, f.Metadata.Version)
	}
	var raw map[string]any
	if _, err := toml.Decode(string(pyproject), &raw); err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "pyproject.toml: %w", err)
	}
	if f.Metadata.Hash != poetryHash(raw, true) && f.Metadata.Hash != poetryHash(raw, false) {
		return ridgeline.Errorf(ridgeline.Invalid, "%s does not match pyproject.toml any more: run `poetry lock` and commit it", name)
	}
	return nil
}

// poetryHash is the content-hash of Poetry's lock: a sha256 over the JSON, as
// Python writes it, of what decides the dependencies.
func poetryHash(raw map[string]any, withGroups bool) string {
	project, _ := raw["project"].(map[string]any)
	groups, _ := raw["dependency-groups"].(map[string]any)
	tool, _ := raw["tool"].(map[string]any)
	poetry, _ := tool["poetry"].(map[string]any)
	ofProject := map[string]any{}
	for _, key := range []string{"requires-python", "dependencies", "optional-dependencies"} {
		if v, ok := project[key]; ok {
			ofProject[key] = v
		}
	}
	withGroups = withGroups && len(groups) > 0
	relevant, ofPoetry := map[string]any{}, map[string]any{}
	for _, key := range []string{"dependencies", "source", "extras", "dev-dependencies", "group"} {
		v, ok := poetry[key]
		if ok || key != "group" && len(ofProject) == 0 && !withGroups {
			ofPoetry[key] = v
		}
	}
	if len(ofProject) > 0 {
		relevant["project"] = ofProject
	}
	if withGroups {
		relevant["dependency-groups"] = groups
	}
	if len(relevant) > 0 {
		relevant["tool"] = map[string]any{"poetry": ofPoetry}
	} else {
		relevant = ofPoetry
	}
	var b strings.Builder
	pythonJSON(&b, relevant)
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// poetryGroups are the groups that Poetry installs, and the wished ones.
func (t pyproject) poetryGroups(wished []string) ([]string, error) {
	groups := []string{"main"}
	optional := []string{}
	add := func(name string, table map[string]any) {
		if no, _ := table["optional"].(bool); no {
			optional = append(optional, name)
		} else {
			groups = append(groups, name)
		}
	}
	if _, ok := t.Tool.Poetry["dev-dependencies"]; ok {
		groups = append(groups, "dev")
	}
	tables, _ := t.Tool.Poetry["group"].(map[string]any)
	for _, name := range keys(tables) {
		table, _ := tables[name].(map[string]any)
		add(name, table)
	}
	for _, name := range keys(t.Groups) {
		if _, ok := tables[name]; !ok {
			groups = append(groups, name)
		}
	}
	for _, name := range wished {
		if !slices.Contains(append(groups, optional...), name) {
			return nil, notOffered("python.groups", name, "Poetry's pyproject.toml has no such group", append(groups, optional...))
		}
		groups = append(groups, name)
	}
	return groups, nil
}

// wanted are the packages for some groups and extras on one machine.
func (f poetryFile) wanted(t pyproject, groups, extras []string, python interpreter) ([]poetryPackage, error) {
	if f.Metadata.Version == "2.0" {
		return f.walk(t, groups, extras, python)
	}
	var list []poetryPackage
	for _, pkg := range f.Package {
		for _, group := range groups {
			if !slices.Contains(pkg.Groups, group) {
				continue
			}
			marker, _ := pkg.Markers.(string)
			if each, ok := pkg.Markers.(map[string]any); ok {
				marker, _ = each[group].(string)
			}
			holds, err := evaluate(marker, python.markers, map[string][]string{"extra": extras})
			if err != nil {
				return nil, err
			}
			if holds {
				list = append(list, pkg)
				break
			}
		}
	}
	return list, nil
}

// addPoetry takes a package with where it comes from.
func (l *pinned) addPoetry(pkg poetryPackage) error {
	p := pin{name: canonical(pkg.Name), version: pkg.Version}
	for _, f := range pkg.Files {
		p.hashes = append(p.hashes, f.Hash)
	}
	s := pkg.Source
	switch s.Type {
	case "":
	case "legacy":
		l.indexes = merge(l.indexes, []Index{{Name: indexName(s.Reference), URL: withoutUser(s.URL)}})
	case "git":
		p.address, p.hashes = commitAddress(s.URL, s.Commit, s.Folder), nil
	case "url":
		p.address = s.URL
	case "file", "directory":
		p.address, p.hashes = "file:"+s.URL, nil
	default:
		return ridgeline.Errorf(ridgeline.Invalid, "poetry.lock: %s comes from %q: expected an index, Git, an address, or a file or folder of the project", pkg.Name, s.Type)
	}
	l.pins = append(l.pins, p)
	return nil
}
