package pyenv

import (
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
