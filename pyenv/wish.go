package pyenv

import (
	"encoding/json"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// A Wish is what a project says about its Python environment. Names of files
// are relative to the project's folder.
type Wish struct {
	File        string   // what lists the packages, such as requirements.txt, uv.lock, poetry.lock or conda.yaml
	Version     string   // of Python, such as 3.11 or >=3.11,<3.13; empty: what File asks for, else the server's own
	Constraints []string // files of pins that apply to what is asked for
	Groups      []string // dependency groups, beside the default ones
	Extras      []string // of the project's optional dependencies
	Indexes     []Index  // in the order in which they are asked, before the server's own
}

// An Index is where packages are found. Its credentials are never in a wish:
// uv has them by the index's name, from UV_INDEX_<NAME>_USERNAME and
// UV_INDEX_<NAME>_PASSWORD, a keyring or a netrc file.
type Index struct {
	Name    string
	URL     string
	Default bool // instead of the server's own
}

// What uv takes as the name of an index.
var indexNameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (w Wish) check() error {
	for _, file := range append([]string{w.File}, w.Constraints...) {
		if !fs.ValidPath(path.Clean(file)) {
			return ridgeline.Errorf(ridgeline.Invalid, "python: expected a file inside the project, got %q", file)
		}
	}
	for _, index := range w.Indexes {
		if err := index.check(); err != nil {
			return err
		}
	}
	return nil
}

func (i Index) check() error {
	if !indexNameRE.MatchString(i.Name) {
		return ridgeline.Errorf(ridgeline.Invalid, "python.indexes: expected a name of letters, digits, dots and dashes, got %q", clip(i.Name, 60))
	}
	u, err := url.Parse(i.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return ridgeline.Errorf(ridgeline.Invalid, "python.indexes: %s: expected an address such as https://packages.example.com/simple", i.Name)
	case u.User != nil:
		return ridgeline.Errorf(ridgeline.Invalid, "python.indexes: %s: a password in a file of the project ends up in every lock and log: take it out of the address, and set %s and %s where Ridgeline runs", i.Name, i.variable("USERNAME"), i.variable("PASSWORD"))
	}
	return nil
}

// variable is the name under which uv looks for one half of the credentials.
func (i Index) variable(half string) string {
	return "UV_INDEX_" + nameRE.ReplaceAllString(strings.ToUpper(i.Name), "_") + "_" + half
}

var nameRE = regexp.MustCompile(`[^A-Z0-9]`)

// args are the options that tell uv about indexes.
func args(indexes []Index) []string {
	var list []string
	for _, i := range indexes {
		list = append(list, i.option(), i.Name+"="+i.URL)
	}
	return list
}

func (i Index) option() string {
	if i.Default {
		return "--default-index"
	}
	return "--index"
}

// sameIndex compares addresses as far as they name one index.
func sameIndex(a, b string) bool {
	return strings.TrimSuffix(withoutUser(a), "/") == strings.TrimSuffix(withoutUser(b), "/")
}

func withoutUser(address string) string {
	return userInfoRE.ReplaceAllString(strings.TrimSpace(address), "$1")
}

// merge adds indexes that are not known yet, by address, to those that are.
func merge(known, more []Index) []Index {
	known = slices.Clone(known)
	for _, i := range more {
		if !slices.ContainsFunc(known, func(k Index) bool { return sameIndex(k.URL, i.URL) }) {
			known = append(known, i)
		}
	}
	return known
}

// input is what of the wish decides a lock beside the content of files and
// the Python. A wish for a file alone decides nothing more.
func (w Wish) input(python string) (input, bool) {
	w.File, w.Version = "", python
	if python == "" && w.Constraints == nil && w.Groups == nil && w.Extras == nil && w.Indexes == nil {
		return input{}, false
	}
	text, _ := json.Marshal(w) // strings only
	return input{"the wish", text}, true
}

// only refuses what a kind of file has no use for, rather than ignore it.
func (w Wish) only(kind string, constraints, groups, extras bool) error {
	switch {
	case len(w.Constraints) > 0 && !constraints:
		return ridgeline.Errorf(ridgeline.Invalid, "python.constraints: %s has exact versions already: take the constraints out, or put them where it is made", kind)
	case len(w.Groups) > 0 && !groups:
		return ridgeline.Errorf(ridgeline.Invalid, "python.groups: %s has no groups: name a pyproject.toml, or a lock made from one", kind)
	case len(w.Extras) > 0 && !extras:
		return ridgeline.Errorf(ridgeline.Invalid, "python.extras: %s has no extras: name a pyproject.toml, or a lock made from one", kind)
	}
	return nil
}
