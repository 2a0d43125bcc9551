package pyenv

import (
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

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
	for _, pkg := range lock.Packages {
		if pkg.Directory != nil {
			if err := r.reads(root, path.Dir(w.File), pkg.Directory.Path); err != nil {
				return r, err
			}
		}
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
