package pyenv

import (
	"context"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A pin is one package of a lock that another tool has made.
type pin struct {
	name, version string
	address       string // git+…@commit, an address of a file, or a folder of the project; instead of an index
	hashes        []string
}

// pinned is what such a lock says for one machine.
type pinned struct {
	pins    []pin
	indexes []Index
	options []string // lines about indexes without a name
}

// text is the lock as a requirements file, in the order of names.
func (l pinned) text(tool string) (string, error) {
	slices.SortFunc(l.pins, func(a, b pin) int { return strings.Compare(a.name+" "+a.version, b.name+" "+b.version) })
	var lines []string
	for i, p := range l.pins {
		if i > 0 && l.pins[i-1].name == p.name {
			if l.pins[i-1].version == p.version {
				continue
			}
			return "", ridgeline.Errorf(ridgeline.Invalid, "%s has both %s %s and %s for this machine: lock again with a newer %s", tool, p.name, l.pins[i-1].version, p.version, tool)
		}
		e := entry{spec: p.name + "==" + p.version, hashes: slices.Clone(p.hashes)}
		if p.address != "" {
			e.spec = p.name + " @ " + p.address
		}
		slices.Sort(e.hashes)
		e.hashes = slices.Compact(e.hashes)
		lines = append(lines, e.String())
	}
	return strings.Join(lines, "\n"), nil
}

// indexName makes of what another tool calls an index a name that uv takes.
func indexName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, name)
	return strings.TrimLeft(name, "-._")
}

// commit is the address of a commit, as pip writes it.
func commitAddress(repository, commit, folder string) string {
	address := "git+" + strings.TrimPrefix(repository, "git+") + "@" + commit
	if folder != "" {
		address += "#subdirectory=" + folder
	}
	return address
}

// exactly makes a lock of another tool's.
func (m *Manager) exactly(ctx context.Context, at place, l pinned, tool string, python interpreter, w Wish, p Progress) (parts, error) {
	text, err := l.text(tool)
	if err != nil {
		return parts{}, err
	}
	options := slices.DeleteFunc(l.options, func(line string) bool {
		_, address, _ := strings.Cut(line, " ")
		return slices.ContainsFunc(w.Indexes, func(i Index) bool { return sameIndex(i.URL, address) })
	})
	out, err := m.exact(ctx, at, text, python, requirements{options: options}, p)
	out.indexes = merge(w.Indexes, l.indexes)
	return out, err
}

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
