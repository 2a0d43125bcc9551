package pyenv

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A poetryNeed is one dependency as Poetry writes it: a version, or a table.
type poetryNeed struct {
	name, version, marker, python string
	extras                        []string
	optional                      bool
}

func poetryNeeds(name string, v any) []poetryNeed {
	switch v := v.(type) {
	case string:
		return []poetryNeed{{name: canonical(name), version: v}}
	case map[string]any:
		n := poetryNeed{name: canonical(name)}
		n.version, _ = v["version"].(string)
		n.marker, _ = v["markers"].(string)
		n.python, _ = v["python"].(string)
		n.optional, _ = v["optional"].(bool)
		extras, _ := v["extras"].([]any)
		for _, e := range extras {
			if e, ok := e.(string); ok {
				n.extras = append(n.extras, e)
			}
		}
		return []poetryNeed{n}
	case []map[string]any:
		var list []poetryNeed
		for _, one := range v {
			list = append(list, poetryNeeds(name, one)...)
		}
		return list
	case []any:
		var list []poetryNeed
		for _, one := range v {
			list = append(list, poetryNeeds(name, one)...)
		}
		return list
	}
	return nil
}

// holds says whether the machine has the dependency at all.
func (n poetryNeed) holds(python interpreter) (bool, error) {
	if n.python != "" {
		w, err := wanted(n.python, "python of "+n.name)
		if err != nil || !satisfies(python.version, w.spec) {
			return false, err
		}
	}
	return evaluate(n.marker, python.markers, nil)
}

// roots are what the project itself asks for.
func (t pyproject) roots(groups, extras []string, lock poetryFile) []poetryNeed {
	var list []poetryNeed
	chosen := map[string]bool{}
	for name, members := range lock.Extras {
		if slices.ContainsFunc(extras, func(e string) bool { return canonical(e) == canonical(name) }) {
			for _, member := range members {
				chosen[nameOf(member)] = true
			}
		}
	}
	add := func(v any) {
		table, _ := v.(map[string]any)
		for _, name := range keys(table) {
			if name == "python" {
				continue
			}
			for _, n := range poetryNeeds(name, table[name]) {
				if !n.optional || chosen[n.name] {
					list = append(list, n)
				}
			}
		}
	}
	tables, _ := t.Tool.Poetry["group"].(map[string]any)
	for _, group := range groups {
		switch table, _ := tables[group].(map[string]any); {
		case group == "main":
			add(t.Tool.Poetry["dependencies"])
		case group == "dev" && table == nil:
			add(t.Tool.Poetry["dev-dependencies"])
		default:
			add(table["dependencies"])
		}
	}
	return list
}

// walk finds what a lock of version 2.0 installs, which says of no package why
// it is there.
func (f poetryFile) walk(t pyproject, groups, extras []string, python interpreter) ([]poetryPackage, error) {
	var list []poetryPackage
	seen := map[string]bool{}
	queue := t.roots(groups, extras, f)
	for len(queue) > 0 {
		need := queue[0]
		queue = queue[1:]
		if holds, err := need.holds(python); err != nil {
			return nil, err
		} else if !holds {
			continue
		}
		pkg, err := f.pick(need, python)
		if err != nil {
			return nil, err
		}
		if !seen[need.name] {
			seen[need.name] = true
			list = append(list, pkg)
			for _, name := range keys(pkg.Requires) {
				for _, n := range poetryNeeds(name, pkg.Requires[name]) {
					if !n.optional {
						queue = append(queue, n)
					}
				}
			}
		}
		for _, extra := range need.extras {
			if id := need.name + "[" + canonical(extra) + "]"; !seen[id] {
				seen[id] = true
				queue = append(queue, pkg.extra(extra)...)
			}
		}
	}
	return list, nil
}

var extraRE = regexp.MustCompile(`\s*(and\s+)?extra\s*==\s*("[^"]*"|'[^']*')(\s+and)?`)

// extra are the dependencies that an extra of a package adds.
func (p poetryPackage) extra(name string) []poetryNeed {
	var list []poetryNeed
	for _, extra := range keys(p.Extras) {
		if canonical(extra) != canonical(name) {
			continue
		}
		for _, member := range p.Extras[extra] {
			text, _ := member.(string)
			for dependency, v := range p.Requires {
				if canonical(dependency) != nameOf(text) {
					continue
				}
				for _, n := range poetryNeeds(dependency, v) {
					// Which extra it is for is known already.
					n.marker = strings.TrimSpace(extraRE.ReplaceAllString(n.marker, ""))
					list = append(list, n)
				}
			}
		}
	}
	return list
}

// pick finds the locked package for a dependency. Of several versions the one
// is meant that is for this Python, and within the dependency's own range.
func (f poetryFile) pick(need poetryNeed, python interpreter) (poetryPackage, error) {
	var fits []poetryPackage
	for _, pkg := range f.Package {
		if canonical(pkg.Name) != need.name {
			continue
		}
		// What is not understood here was so to Poetry, which chose it.
		if w, err := wanted(pkg.Python, "python-versions"); err != nil || satisfies(python.version, w.spec) {
			fits = append(fits, pkg)
		}
	}
	if len(fits) > 1 {
		fits = slices.DeleteFunc(fits, func(pkg poetryPackage) bool {
			v, ok := number(pkg.Version)
			w, err := wanted(need.version, "version")
			return ok && err == nil && !satisfies(v, w.spec)
		})
	}
	if len(fits) != 1 {
		return poetryPackage{}, ridgeline.Errorf(ridgeline.Invalid, "poetry.lock: expected one version of %s for %s, got %d: lock again with Poetry 2 (`poetry lock`), which says which one is meant", need.name, python, len(fits))
	}
	return fits[0], nil
}
