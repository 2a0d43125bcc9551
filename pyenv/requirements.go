package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// An input is something that decides a lock.
type input struct {
	name string // of a file within the project
	text []byte
}

// requirements are a requirements file and all it includes.
type requirements struct {
	inputs  []input
	options []string            // lines about indexes and builds, which the lock has to repeat
	hashes  map[string][]string // the hashes that the files give, by package
	strict  bool                // each package has to have one there
	links   []string            // folders of the project with wheels in them
	own     bool                // the project itself is asked for: -e . or the like
	base    string              // the folder that paths begin in
}

const maxIncludes = 100

// readRequirements reads requirements files and, in turn, those that they
// include by -r and -c. What cannot be locked is an error that names its line.
func readRequirements(root *os.Root, names ...string) (requirements, error) {
	r := requirements{hashes: map[string][]string{}}
	seen := map[string]bool{}
	for _, name := range names {
		if err := r.file(root, path.Clean(name), seen); err != nil {
			return r, err
		}
	}
	return r, nil
}

var (
	// An option with its value after a blank, an equals sign, or none (-rdev.txt).
	optionRE = regexp.MustCompile(`^(-r|-c|-e|-i|-f|--[a-z-]+)(?:\s*=\s*|\s+|)(.*)$`)
	secretRE = regexp.MustCompile(`(?:https?://([^/\s@]+)|://[^/\s@]*:([^/\s@]+))@`)
	pathRE   = regexp.MustCompile(`^(\.{1,2}/|/|~|file:|[A-Za-z0-9_.-]+/)|^\.{1,2}(\[|\s|$)|^[A-Za-z0-9._-]+\s*(\[[^\]]*\])?\s*@\s*(file:|\.{0,2}/)|^[^\s@]*\.(whl|tar\.gz|zip)(\s|$)`)
	localRE  = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+\s*(?:\[[^\]]*\])?\s*@\s*)?(?:file:(?://)?)?([^\s\[;]+)(?:\[([^\]]*)\])?`)
)

// hasSecret finds a user or password in an address, unless it is a variable's
// name, which uv puts in only where it asks.
func hasSecret(text string) bool {
	return slices.ContainsFunc(secretRE.FindAllStringSubmatch(text, -1), func(m []string) bool { return !strings.Contains(m[1]+m[2], "${") })
}

func (r *requirements) file(root *os.Root, name string, seen map[string]bool) error {
	if seen[name] {
		return nil
	}
	if seen[name] = true; len(seen) > maxIncludes {
		return ridgeline.Errorf(ridgeline.Invalid, "%s: more than %d files include each other", name, maxIncludes)
	}
	text, err := root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return ridgeline.Errorf(ridgeline.Invalid, "%s is not in the project: add it, or correct the name", name)
	}
	if err != nil {
		return ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", name, err)
	}
	r.inputs = append(r.inputs, input{name, text})
	return r.lines(root, name, string(text), seen)
}

func (r *requirements) lines(root *os.Root, name, text string, seen map[string]bool) error {
	for _, line := range logical(text) {
		if err := r.line(root, name, line, seen); err != nil {
			return err
		}
	}
	return nil
}

func (r *requirements) line(root *os.Root, name, line string, seen map[string]bool) error {
	wrong := func(format string, args ...any) error {
		line := newMasker(nil).mask(clip(line, 120))
		return ridgeline.Errorf(ridgeline.Invalid, "%s: %q: "+format, append([]any{name, line}, args...)...)
	}
	if hasSecret(line) {
		return wrong("a password in a file of the project ends up in every lock and log: name the index in python.indexes and set UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD where Ridgeline runs, or use UV_DEFAULT_INDEX, UV_INDEX or a netrc file")
	}
	m := optionRE.FindStringSubmatch(line)
	if m == nil {
		e := parseEntry(line)
		if len(e.hashes) > 0 {
			r.strict = true // as pip has it: all or none
			if name := nameOf(e.spec); name != "" {
				r.hashes[name] = append(r.hashes[name], e.hashes...)
			}
		}
		if pathRE.MatchString(line) && !strings.Contains(line, "://") || strings.Contains(line, "file:") && !strings.Contains(line, "git+") {
			return r.local(root, name, line, wrong)
		}
		return nil
	}
	value := strings.Trim(m[2], `"'`)
	switch m[1] {
	case "-r", "--requirement", "--requirements", "-c", "--constraint", "--constraints":
		if strings.Contains(value, "://") {
			return wrong("a file from the network is not part of the commit: copy it into the project")
		}
		next := path.Join(path.Dir(name), value)
		if !fs.ValidPath(next) {
			return wrong("expected a file inside the project")
		}
		return r.file(root, next, seen)
	case "-e", "--editable":
		if strings.Contains(value, "://") {
			return nil
		}
		return r.local(root, name, value, wrong)
	case "-i", "--index-url", "--extra-index-url":
		if !strings.Contains(value, "://") || strings.HasPrefix(value, "file:") {
			return wrong("expected the address of an index; for a folder with wheels use --find-links")
		}
		r.options = append(r.options, m[1]+" "+value)
	case "-f", "--find-links":
		if strings.Contains(value, "://") && !strings.HasPrefix(value, "file:") {
			r.options = append(r.options, m[1]+" "+value)
			return nil
		}
		return r.folderOfWheels(root, name, value, wrong)
	case "--no-index", "--no-binary", "--only-binary":
		r.options = append(r.options, strings.TrimSpace(m[1]+" "+value))
	case "--require-hashes":
		r.strict = true
	}
	return nil
}

var leadingRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*`)

// nameOf is the package that a line asks for, also without a version.
func nameOf(spec string) string { return canonical(leadingRE.FindString(spec)) }

// local takes note of a package in a folder or file of the project. The
// project itself stays where it is: only what it depends on is locked.
func (r *requirements) local(root *os.Root, name, line string, wrong func(string, ...any) error) error {
	m := localRE.FindStringSubmatch(line)
	if m == nil {
		return wrong("expected a folder or a wheel of the project")
	}
	// Like pip and uv, which take paths from where they start.
	place := path.Join(r.base, m[1])
	if !fs.ValidPath(place) {
		return wrong("a package in a folder or file outside the project is not part of the commit: copy it into the project, or publish it to an index")
	}
	if _, err := root.Stat(place); err != nil {
		return wrong("%s is not in the project: add it, or correct the name", place)
	}
	if place == "." || place == path.Clean(r.base) {
		r.own = true
		return nil
	}
	in, err := content(root, place)
	r.inputs = append(r.inputs, in)
	return err
}

// content makes a file or folder of the project an input by its digest.
func content(root *os.Root, name string) (input, error) {
	if !fs.ValidPath(name) {
		return input{}, ridgeline.Errorf(ridgeline.Invalid, "%s is outside the project, and so no part of the commit: copy it into the project, or publish it to an index", name)
	}
	sum, err := treeDigest(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return input{}, ridgeline.Errorf(ridgeline.Invalid, "%s is not in the project: add it, or correct the name", name)
	}
	if err != nil {
		return input{}, ridgeline.Errorf(ridgeline.Invalid, "read %s: %w", name, err)
	}
	return input{name, sum}, nil
}

// folderOfWheels takes note of --find-links with a folder of the project.
func (r *requirements) folderOfWheels(root *os.Root, name, value string, wrong func(string, ...any) error) error {
	value = path.Join(r.base, strings.TrimPrefix(strings.TrimPrefix(value, "file:"), "//"))
	if !fs.ValidPath(value) {
		return wrong("expected a folder inside the project, or an address")
	}
	if info, err := root.Stat(value); err != nil || !info.IsDir() {
		return wrong("%s is no folder of the project: add it, or correct the name", value)
	}
	r.links = append(r.links, value)
	in, err := content(root, value)
	r.inputs = append(r.inputs, in)
	return err
}

// notSource are folders that are made from the rest, or by other tools.
func notSource(name string) bool {
	return slices.Contains([]string{".git", "__pycache__", ".venv", "venv", ".tox", ".pytest_cache", ".ruff_cache", "node_modules"}, name) || strings.HasSuffix(name, ".egg-info")
}

// treeDigest is a sha256 over names and content of a file, or of all in a folder.
func treeDigest(root *os.Root, name string) ([]byte, error) {
	h := sha256.New()
	err := fs.WalkDir(root.FS(), name, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if p != name && notSource(d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		f, err := root.Open(p)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil || info.IsDir() { // a link to a folder
			return err
		}
		_, _ = fmt.Fprintf(h, "%q %d\n", p, info.Size())
		_, err = io.Copy(h, f)
		return err
	})
	return []byte(hex.EncodeToString(h.Sum(nil))), err
}

// requirementsFile reads a list in pip's format.
func (m *Manager) requirementsFile(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	if err := w.only("a requirements file", true, false, false); err != nil {
		return reading{}, err
	}
	req, err := readRequirements(root, append([]string{w.File}, w.Constraints...)...)
	if err != nil {
		return reading{}, err
	}
	r := reading{kind: "requirements", inputs: append(req.inputs, settings(root)...)}
	if err := r.itself(root, req); err != nil {
		return reading{}, err
	}
	x := resolution{at: place{root, dir, "."}, wish: w, sources: []string{filepath.FromSlash(w.File)}, req: req, settings: settings(root)}
	r.settle = func(ctx context.Context, python interpreter) (parts, error) { return m.resolve(ctx, x, python, p) }
	return r, nil
}

// itself adds what the project depends on when a line asks for the project.
func (r *reading) itself(root *os.Root, req requirements) error {
	if !req.own {
		return nil
	}
	for _, name := range []string{"pyproject.toml", "setup.cfg", "setup.py"} {
		text, err := root.ReadFile(path.Join(req.base, name))
		if err != nil {
			continue
		}
		if name == "pyproject.toml" {
			t, err := readPyproject(name, text)
			if err != nil {
				return err
			}
			if t.Project.Name == "" {
				continue
			}
			text = t.decides()
			if err := r.requires(t.Project.RequiresPython, "requires-python of pyproject.toml"); err != nil {
				return err
			}
		}
		r.inputs = append(r.inputs, input{path.Join(req.base, name), text})
	}
	return nil
}

// settings are files beside the project that uv reads, too.
func settings(root *os.Root) []input {
	var inputs []input
	if text, err := root.ReadFile("uv.toml"); err == nil {
		inputs = append(inputs, input{"uv.toml", text})
	}
	if text, err := root.ReadFile("pyproject.toml"); err == nil {
		if text = uvTables(text); len(text) > 0 {
			inputs = append(inputs, input{"pyproject.toml", text})
		}
	}
	return inputs
}
