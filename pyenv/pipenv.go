package pyenv

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

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
	for _, category := range keys(lock.categories) {
		for _, name := range keys(lock.categories[category]) {
			if place := lock.categories[category][name].Path; place != "" {
				if err := r.reads(root, path.Dir(w.File), place); err != nil {
					return r, err
				}
			}
		}
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
