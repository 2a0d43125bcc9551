package archtest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxLines is where a file has to be split.
const maxLines = 600

// checkArrows compares the imports among our own packages with the table.
func checkArrows(t *tree, arrows map[string][]string) []string {
	var wrong []string
	for _, folder := range slices.Sorted(maps.Keys(t.packages)) {
		p := t.packages[folder]
		if !p.onlyTests {
			wrong = append(wrong, checkPackage(p, arrows)...)
		}
		for _, what := range slices.Sorted(maps.Keys(p.testImports)) {
			if to, ok := ours(what); ok && under(to, "cmd") {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: tests run the built programs, they do not import them", p.testImports[what], to))
			}
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(arrows)) {
		if p := t.packages[folder]; p == nil || p.onlyTests {
			wrong = append(wrong, fmt.Sprintf("the table of arrows has %q, but that folder holds no package; remove the line", folder))
		}
	}
	return wrong
}

func checkPackage(p *pkg, arrows map[string][]string) []string {
	var wrong []string
	actual := []string{}
	for _, what := range slices.Sorted(maps.Keys(p.imports)) {
		to, ok := ours(what)
		if !ok {
			continue
		}
		switch {
		case under(to, "cmd"):
			wrong = append(wrong, fmt.Sprintf("%s imports %s: nobody imports a command", p.imports[what], to))
		case p.folder == "" || under(p.folder, "internal"):
			wrong = append(wrong, fmt.Sprintf("%s imports %q: the root package and internal/* import nothing of ours", p.imports[what], to))
		case to != "" && !under(to, "internal"):
			actual = append(actual, to)
		}
	}
	allowed, known := arrows[p.folder]
	paste := fmt.Sprintf("%q: {%s},", p.folder, quoted(actual))
	switch {
	case !known:
		wrong = append(wrong, fmt.Sprintf("%q is not in the table of arrows; if it is to stay, add\n\t%s", p.folder, paste))
	case slices.Equal(allowed, anything):
	default:
		forbidden, stale := diff(actual, allowed)
		for _, to := range forbidden {
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which the table of arrows does not allow %s; if that is decided, the line is\n\t%s",
				p.imports[module+"/"+to], to, p.folder, paste))
		}
		for _, to := range stale {
			wrong = append(wrong, fmt.Sprintf("the table of arrows allows %s to import %s, which it does not; the line is\n\t%s", p.folder, to, paste))
		}
	}
	return wrong
}

// checkDoors compares the imports of libraries with the table.
func checkDoors(t *tree, doors map[string][]string) []string {
	var wrong []string
	used := map[string]map[string]bool{} // library → folders
	unknown := map[string]map[string]bool{}
	for _, folder := range slices.Sorted(maps.Keys(t.packages)) {
		p := t.packages[folder]
		for _, what := range slices.Sorted(maps.Keys(p.imports)) {
			library := longest(what, slices.Collect(maps.Keys(doors)))
			if library == "" {
				if _, mine := ours(what); !mine && external(what) {
					mark(unknown, longest(what, t.modules), folder)
				}
				continue
			}
			mark(used, library, folder)
			if allowed := doors[library]; !slices.Equal(allowed, everywhere) && !slices.Contains(allowed, folder) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s, whose door is %s; go through it", p.imports[what], what, strings.Join(allowed, ", ")))
			}
		}
	}
	for _, library := range slices.Sorted(maps.Keys(unknown)) {
		wrong = append(wrong, fmt.Sprintf("%s is imported but not in the table of doors; if the dependency is decided, add\n\t%s",
			library, line(library, unknown[library])))
	}
	for _, library := range slices.Sorted(maps.Keys(doors)) {
		if len(used[library]) == 0 {
			wrong = append(wrong, fmt.Sprintf("the table of doors has %q, which nobody imports; remove the line", library))
			continue
		}
		if slices.Equal(doors[library], everywhere) {
			continue
		}
		for _, folder := range doors[library] {
			if !used[library][folder] {
				wrong = append(wrong, fmt.Sprintf("the table of doors lets %s import %s, which it does not; the line is\n\t%s",
					folder, library, line(library, used[library])))
			}
		}
	}
	return wrong
}

func mark(m map[string]map[string]bool, library, folder string) {
	if m[library] == nil {
		m[library] = map[string]bool{}
	}
	m[library][folder] = true
}

// line is a line of a table as it would have to stand.
func line(key string, values map[string]bool) string {
	return fmt.Sprintf("%q: {%s},", key, quoted(slices.Sorted(maps.Keys(values))))
}

// checkComments finds packages whose comment does not say what they own and
// what they leave to others, which takes two sentences.
func checkComments(t *tree) []string {
	var wrong []string
	for _, folder := range slices.Sorted(maps.Keys(t.packages)) {
		p := t.packages[folder]
		if n := sentences(p.doc); !p.onlyTests && n < 2 {
			wrong = append(wrong, fmt.Sprintf("package %q has %d sentences of package comment; it needs two: what it owns, what it leaves to others", folder, n))
		}
	}
	return wrong
}

// checkLengths finds files that have become more than one subject.
func checkLengths(t *tree) []string {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(t.lines)) {
		if n := t.lines[name]; n > maxLines {
			wrong = append(wrong, fmt.Sprintf("%s has %d lines; split it by subject before it passes %d", name, n, maxLines))
		}
	}
	return wrong
}

// documented finds the modules that docs/dependencies.md has a row for.
var documented = regexp.MustCompile("(?m)^\\| `([^`]+)`")

// checkDependencies compares the modules that are imported, tests included,
// with the rows of docs/dependencies.md.
func checkDependencies(t *tree, page string) []string {
	direct := map[string]bool{}
	for _, p := range t.packages {
		for _, imports := range []map[string]string{p.imports, p.testImports} {
			for what := range imports {
				if mod := longest(what, t.modules); mod != "" {
					direct[mod] = true
				}
			}
		}
	}
	rows := []string{}
	for _, m := range documented.FindAllStringSubmatch(page, -1) {
		rows = append(rows, m[1])
	}
	var wrong []string
	missing, stale := diff(slices.Sorted(maps.Keys(direct)), rows)
	for _, mod := range missing {
		wrong = append(wrong, fmt.Sprintf("%s is imported but has no row in docs/dependencies.md: what for, licence, activity", mod))
	}
	for _, mod := range stale {
		wrong = append(wrong, fmt.Sprintf("docs/dependencies.md has a row for %s, which nobody imports; remove it", mod))
	}
	return wrong
}

// sentence is the end of one: a full stop after a letter or a closing mark,
// before white space or the end. "e.g. this" is thus counted too; a comment
// that passes by it alone will not pass a reader.
var sentence = regexp.MustCompile(`[\pL\pN)"'’”*/][.!?](\s|$)`)

func sentences(doc string) int { return len(sentence.FindAllString(doc, -1)) }

// external reports whether an import path is from outside the standard
// library: those begin with a host name.
func external(importPath string) bool {
	host, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(host, ".")
}

// longest returns the longest prefix that the import path lies under, or "".
func longest(importPath string, prefixes []string) string {
	best := ""
	for _, p := range prefixes {
		if under(importPath, p) && len(p) > len(best) {
			best = p
		}
	}
	return best
}

// diff returns what only the first list has, and what only the second has.
func diff(a, b []string) (onlyA, onlyB []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			onlyA = append(onlyA, s)
		}
	}
	for _, s := range b {
		if !slices.Contains(a, s) {
			onlyB = append(onlyB, s)
		}
	}
	return onlyA, onlyB
}

func quoted(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = strconv.Quote(s)
	}
	return strings.Join(q, ", ")
}
