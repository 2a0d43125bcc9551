package pyenv

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

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
	for _, pkg := range lock.Package {
		if pkg.Path != "" {
			if err := r.reads(root, path.Dir(w.File), pkg.Path); err != nil {
				return r, err
			}
		}
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
