package pyenv

import (
	"bytes"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// indexesOf are the indexes that a project names for uv, in its pyproject.toml
// and uv.toml.
func indexesOf(inputs []input) []Index {
	var list []Index
	for _, in := range inputs {
		var t struct {
			Index any `toml:"index"`
			Tool  struct {
				UV struct {
					Index any `toml:"index"`
				} `toml:"uv"`
			} `toml:"tool"`
		}
		// A mistake in them is uv's to tell.
		switch base := path.Base(in.name); {
		case base == "pyproject.toml" && readTOML(in.name, in.text, &t) == nil:
			list = append(list, indexTables(t.Tool.UV.Index)...)
		case base == "uv.toml" && readTOML(in.name, in.text, &t) == nil:
			list = append(list, indexTables(t.Index)...)
		}
	}
	return list
}

func indexTables(v any) []Index {
	var list []Index
	tables, _ := v.([]map[string]any)
	for _, table := range tables {
		name, _ := table["name"].(string)
		address, _ := table["url"].(string)
		own, _ := table["default"].(bool)
		if i := (Index{Name: name, URL: withoutUser(address), Default: own}); i.check() == nil {
			list = append(list, i)
		}
	}
	return list
}

// trusted refuses an index that has the name of one of this machine's settings
// (UV_INDEX, UV_DEFAULT_INDEX) and another host: the credentials go by the name,
// and a project must not be able to send them elsewhere.
func trusted(environ []string, indexes []Index) error {
	for _, own := range named(environ) {
		for _, i := range indexes {
			if i.variable("") == own.variable("") && host(i.URL) != host(own.URL) {
				return ridgeline.Errorf(ridgeline.Denied, "the index %s is at %s by this server's settings, and the project says %s: use another name, or the server's address", i.Name, host(own.URL), host(i.URL))
			}
		}
	}
	return nil
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// named are the indexes that an environment gives a name, as uv writes it:
// UV_INDEX="corp=https://host/simple other=https://…".
func named(environ []string) []Index {
	var list []Index
	for _, kv := range environ {
		variable, v, _ := strings.Cut(kv, "=")
		if variable != "UV_INDEX" && variable != "UV_DEFAULT_INDEX" {
			continue
		}
		for _, one := range strings.Fields(v) {
			if name, address, ok := strings.Cut(one, "="); ok && indexNameRE.MatchString(name) {
				list = append(list, Index{Name: name, URL: withoutUser(address)})
			}
		}
	}
	return list
}

var defaultIndexRE = regexp.MustCompile(`(?m)^\s*(default\s*=\s*true|index-url\s*=|default-index\s*=)`)

// namesDefaultIndex reports whether the project itself says which index stands
// in for the public one.
func namesDefaultIndex(inputs []input) bool {
	return slices.ContainsFunc(inputs, func(in input) bool {
		return strings.HasSuffix(in.name, ".toml") && defaultIndexRE.Match(in.text)
	})
}

// ownIndexes drops from an export the lines about indexes that an installation
// knows anyway, which are the default one unless the project names it, those
// of this machine's settings, and those that options has; and the credentials
// from those of the project. What has a name is returned under it, because that
// is what the credentials go by.
func ownIndexes(text string, environ []string, ownDefault bool, named []Index, options []string) (string, []Index) {
	var known []string
	for _, line := range options {
		_, address, _ := strings.Cut(line, " ")
		known = append(known, address)
	}
	for _, kv := range minimalEnv(environ) {
		if name, v, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "UV_") {
			for _, one := range strings.Fields(v) {
				if _, address, ok := strings.Cut(one, "="); ok && !strings.Contains(strings.SplitN(one, "=", 2)[0], "://") {
					one = address // UV_INDEX may say name=address
				}
				known = append(known, one)
			}
		}
	}
	var b strings.Builder
	var used []Index
	for line := range strings.Lines(text) {
		if option, address, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(option, "--") && strings.Contains(option, "index-url") {
			if n := slices.IndexFunc(named, func(i Index) bool { return sameIndex(i.URL, address) }); n >= 0 {
				index := named[n]
				index.Default = index.Default || option == "--index-url" && ownDefault
				used = append(used, index)
				continue
			}
			if slices.ContainsFunc(known, func(k string) bool { return sameIndex(k, address) }) || (option == "--index-url" && !ownDefault) {
				continue
			}
			line = option + " " + strings.TrimSuffix(withoutUser(address), "/") + "\n"
		}
		b.WriteString(line)
	}
	return b.String(), used
}

// uvTables are the parts of a pyproject.toml that are meant for uv.
func uvTables(pyproject []byte) []byte {
	var kept []byte
	ours := false
	for line := range bytes.Lines(pyproject) {
		if t := bytes.TrimSpace(line); bytes.HasPrefix(t, []byte("[")) && bytes.HasSuffix(t, []byte("]")) {
			table := bytes.TrimLeft(t, "[ ")
			ours = bytes.HasPrefix(table, []byte("tool.uv]")) || bytes.HasPrefix(table, []byte("tool.uv."))
		}
		if ours {
			kept = append(kept, line...)
		}
	}
	return kept
}
