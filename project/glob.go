package project

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"go.yaml.in/yaml/v3"
)

// Match reports whether the file of that name, with slashes, fits the pattern:
// path.Match's, where ** stands for any number of folders and {a,b} for either.
// A pattern that names a folder fits everything in it. A pattern that is none
// fits nothing.
func Match(pattern, name string) bool {
	if ok, err := doublestar.Match(pattern, name); ok || err != nil {
		return ok && err == nil
	}
	ok, err := doublestar.Match(strings.TrimSuffix(pattern, "/")+"/**", name)
	return ok && err == nil
}

// IsPattern reports whether the path is a pattern for many files instead of
// the name of one.
func IsPattern(path string) bool { return strings.ContainsAny(path, "*?[") }

// SeesCode reports whether a step with these inputs sees a file of the project.
func (in *Inputs) SeesCode(name string) bool {
	return in == nil || in.Code == nil || slices.ContainsFunc(in.Code, func(p string) bool { return Match(p, name) })
}

// SeesData reports whether a step with these inputs sees a dataset.
func (in *Inputs) SeesData(name string) bool {
	return in == nil || in.Data == nil || slices.Contains(in.Data, name)
}

// SeesParam reports whether a step with these inputs sees a parameter of the
// run. The values of its own matrix or sweep it always sees.
func (in *Inputs) SeesParam(name string) bool {
	return in == nil || in.Params == nil || slices.Contains(in.Params, name)
}

// anyFile reports whether the pattern fits a file, or names a folder, of the
// project. It stops at the first.
func anyFile(root *os.Root, pattern string) bool {
	found := false
	err := doublestar.GlobWalk(root.FS(), strings.TrimSuffix(pattern, "/"), func(string, fs.DirEntry) error {
		found = true
		return fs.SkipAll
	})
	return found && (err == nil || errors.Is(err, fs.SkipAll))
}

// pattern reads a path.Match pattern.
func (r *reader) pattern(n *yaml.Node, what, example string) string {
	s := r.text(n, what, example)
	if _, err := path.Match(s, ""); err != nil {
		r.at(n, "%s: %q is no pattern: * stands for any text without a /, ? for one letter, [a-c] for one of them, \\ before a sign for itself", what, clip(s, 60))
		return ""
	}
	return s
}

// glob reads a pattern for files inside the project.
func (r *reader) glob(n *yaml.Node, what, example string) string {
	s := r.text(n, what, example)
	clean := strings.TrimPrefix(s, "./")
	switch {
	case s == "":
	case strings.HasPrefix(s, "/"), strings.Contains(s, "://"), clean == "..", strings.HasPrefix(clean, "../"), strings.Contains(clean, "/../"), strings.HasSuffix(clean, "/.."):
		r.at(n, "%s: %q: expected a pattern for files inside the project, such as %s", what, clip(s, 60), example)
	case !doublestar.ValidatePattern(clean):
		r.at(n, "%s: %q is no pattern: ** stands for any number of folders, * for any text without a /, ? for one letter, [a-c] for one of them, {a,b} for either", what, clip(s, 60))
	default:
		return clean
	}
	return ""
}
