package project

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// python reads which packages the project needs: a file's name, or a map.
func (r *reader) python(n *yaml.Node) Python {
	if n == nil || n.Kind == yaml.ScalarNode {
		return Python{File: r.packages(n, "python")}
	}
	f := r.section(n, "python", "file", "version", "constraints", "groups", "extras", "indexes")
	if !f.has("file") && n.Kind == yaml.MappingNode {
		r.at(n, "python: file is missing: add for example `file: requirements.txt`")
	}
	p := Python{File: r.packages(f.value("file"), "python.file")}
	if v := r.text(f.value("version"), "python.version", `"3.11"`); v != "" {
		if p.Version = strings.ReplaceAll(v, " ", ""); !versionRE.MatchString(p.Version) {
			r.at(f.value("version"), `python.version: expected a version such as "3.11" or ">=3.10,<3.13", got %q`, clip(v, 60))
		}
	}
	for _, one := range r.items(f.value("constraints")) {
		if file := r.file(one, "python.constraints", "constraints.txt", false); file != "" {
			p.Constraints = append(p.Constraints, file)
		}
	}
	p.Groups = r.marks(f, "groups", p.File)
	p.Extras = r.marks(f, "extras", p.File)
	for _, one := range r.items(f.value("indexes")) {
		if x, ok := r.index(one, p.Indexes); ok {
			p.Indexes = append(p.Indexes, x)
		}
	}
	return p
}

var (
	versionRE = regexp.MustCompile(`^((==|>=|<=|!=|~=|<|>)?3(\.\d+){0,2}(\.\*)?)(,(==|>=|<=|!=|~=|<|>)3(\.\d+){0,2}(\.\*)?)*$`)
	markRE    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`) // PEP 685, PEP 735
)

// locks are the files that lock what pyproject.toml asks for.
var locks = []string{"uv.lock", "poetry.lock", "pdm.lock"}

// packages reads which file lists the packages.
func (r *reader) packages(n *yaml.Node, what string) string {
	file := r.file(n, what, "requirements.txt", false)
	if file == "" {
		return ""
	}
	base := path.Base(file)
	switch {
	case slices.Contains(locks, base):
		r.files[len(r.files)-1].beside = "pyproject.toml"
	case base == "pyproject.toml", base == "Pipfile.lock", strings.HasPrefix(base, "pylock.") && strings.HasSuffix(base, ".toml"):
	case slices.Contains([]string{".txt", ".in", ".yaml", ".yml"}, path.Ext(base)): // pip's, conda's
	case base == "Pipfile":
		r.at(n, "%s: a Pipfile has no fixed versions: name Pipfile.lock", what)
		return ""
	case strings.HasPrefix(base, "setup."):
		r.at(n, "%s: %s is not read: move what it needs to pyproject.toml or requirements.txt", what, base)
		return ""
	default:
		r.at(n, "%s: expected requirements.txt, pyproject.toml, uv.lock, poetry.lock, conda.yaml or environment.yml, got %q", what, clip(file, 60))
		return ""
	}
	return file
}

// marks reads groups or extras.
func (r *reader) marks(f fields, key, file string) []string {
	list := r.texts(f.value(key), "python."+key, "train")
	base := path.Base(file)
	if len(list) > 0 && file != "" && base != "pyproject.toml" && !slices.Contains(locks, base) {
		r.at(f.at[key].key, "python.%s: %s has none: they are in a pyproject.toml", key, base)
	}
	for i, name := range list {
		if !markRE.MatchString(name) {
			r.at(r.items(f.value(key))[min(i, len(r.items(f.value(key)))-1)], "python.%s: %q: use letters, digits, and . _ - between them", key, clip(name, 60))
		}
	}
	return list
}

// index reads where packages are found. earlier are those above it.
func (r *reader) index(n *yaml.Node, earlier []Index) (Index, bool) {
	const what = "python.indexes"
	f := r.section(n, what, "name", "url", "default")
	if n.Kind != yaml.MappingNode {
		return Index{}, false
	}
	for _, key := range []string{"name", "url"} {
		if !f.has(key) {
			r.at(n, "%s: %s is missing: write for example `{name: corp, url: https://packages.example.com/simple}`", what, key)
		}
	}
	x := Index{
		Name: r.text(f.value("name"), what+".name", "corp"), URL: r.address(f.value("url"), what+".url", "https://packages.example.com/simple", "https", "http"),
		Default: r.truth(f.value("default"), what+".default", false),
	}
	if x.Name != "" && !markRE.MatchString(x.Name) {
		r.at(f.value("name"), "%s.name: %q: use letters, digits, and . _ - between them", what, clip(x.Name, 60))
	}
	for _, e := range earlier {
		if variable(e.Name) == variable(x.Name) {
			r.at(f.value("name"), "%s: %s and %s would have their credentials in one variable, UV_INDEX_%s_PASSWORD: rename one", what, e.Name, x.Name, variable(x.Name))
		}
		if e.Default && x.Default {
			r.at(f.at["default"].key, "%s: %s is the default already: there can be one", what, e.Name)
		}
	}
	return x, x.Name != "" && x.URL != ""
}

// variable is how uv spells an index's name in its environment variables.
func variable(name string) string {
	return strings.ToUpper(regexp.MustCompile(`[^A-Za-z0-9]`).ReplaceAllString(name, "_"))
}
