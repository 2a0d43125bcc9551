package pyenv

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A lock's text is a requirements file. Lines that begin with one of these
// words are for Ensure alone, and stand before all others:
//
//	--python >=3.11.5                      a release of Python, where a project cares for more than 3.11
//	--index corp=https://host/simple       an index by the name that its credentials go by
//	--default-index corp=https://host/     the same, instead of the server's own
//	--file sha256:HEX lib-1.0-py3-none-any.whl   a package that came with the project, kept by Ridgeline
const (
	pythonLine = "--python "
	fileLine   = "--file sha256:"
)

// parts of a lock's text.
type parts struct {
	python   string // specifiers, or empty
	indexes  []Index
	files    []file
	packages string // a requirements file that uv reads
}

// A file is a package that is on no index, nearly always a wheel.
type file struct{ digest, name string }

func (f file) line() string { return fileLine + f.digest + " " + f.name }

func split(text string) (parts, error) {
	var p parts
	var rest strings.Builder
	for line := range strings.Lines(text) {
		option, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch option {
		case "--python":
			p.python = value
		case "--index", "--default-index":
			name, address, _ := strings.Cut(value, "=")
			index := Index{Name: name, URL: address, Default: option == "--default-index"}
			if err := index.check(); err != nil {
				return parts{}, err
			}
			p.indexes = append(p.indexes, index)
		case "--file":
			digest, name, _ := strings.Cut(strings.TrimPrefix(value, "sha256:"), " ")
			if !hashRE.MatchString(digest) || !keptRE.MatchString(name) {
				return parts{}, ridgeline.Errorf(ridgeline.Invalid, "a lock names a file %q: expected a digest and the name of a package", clip(value, 120))
			}
			p.files = append(p.files, file{digest, name})
		default:
			rest.WriteString(line)
		}
	}
	p.packages = rest.String()
	return p, nil
}

// join is split's way back.
func (p parts) join() string {
	var lines []string
	if p.python != "" {
		lines = append(lines, pythonLine+p.python)
	}
	for _, i := range p.indexes {
		lines = append(lines, i.option()+" "+i.Name+"="+i.URL)
	}
	for _, f := range p.files {
		lines = append(lines, f.line())
	}
	return strings.Join(append(lines, p.packages), "\n")
}

// An entry is one line of a requirements file, with what continues it.
type entry struct {
	spec   string   // the line without hashes: six==1.16.0, or an option
	name   string   // normalised; of name==version and name @ address only
	hashes []string // such as sha256:abc…, in their order
}

var (
	pinRE   = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*===?\s*([^\s;,]+)\s*(?:;.*)?$`)
	atRE    = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*@\s*(\S+)`)
	givenRE = regexp.MustCompile(`\s--hash[=\s]\s*([a-z0-9]+:[0-9A-Fa-f]+)`)
	keptRE  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+!]*-[A-Za-z0-9._+!-]+\.(whl|tar\.gz|zip)$`)
	runsRE  = regexp.MustCompile(`[-_.]+`)
)

// canonical is a package's name in the form in which names are compared
// (packaging.python.org, name normalization).
func canonical(name string) string { return strings.ToLower(runsRE.ReplaceAllString(name, "-")) }

// logical lists the lines of a requirements file: continued ones in one piece,
// without comments and blank lines.
func logical(text string) []string {
	joined := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\\\n", " ")
	var list []string
	for line := range strings.Lines(joined) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if i := strings.Index(line, " #"); i >= 0 {
			line = strings.TrimSpace(line[:i])
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}

func parseEntry(line string) entry {
	var e entry
	for _, m := range givenRE.FindAllStringSubmatch(line, -1) {
		e.hashes = append(e.hashes, strings.ToLower(m[1]))
	}
	e.spec = strings.TrimSpace(givenRE.ReplaceAllString(line, ""))
	if m := pinRE.FindStringSubmatch(e.spec); m != nil {
		e.name = canonical(m[1])
	} else if m := atRE.FindStringSubmatch(e.spec); m != nil {
		e.name = canonical(m[1])
	}
	return e
}

// version is what stands after ==; empty for anything else.
func (e entry) version() string {
	if m := pinRE.FindStringSubmatch(e.spec); m != nil {
		return m[2]
	}
	return ""
}

// String writes an entry as uv does.
func (e entry) String() string {
	return strings.Join(append([]string{e.spec}, prefixed("--hash=", e.hashes)...), " \\\n    ")
}

func prefixed(prefix string, list []string) []string {
	list = slices.Clone(list)
	for i := range list {
		list[i] = prefix + list[i]
	}
	return list
}
