package pyenv

import (
	"context"
	"os"
	"path"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
)

// uvProject reads uv.lock, and lets uv see that it is current.
func (m *Manager) uvProject(root *os.Root, dir string, w Wish, p Progress) (reading, error) {
	if err := w.only("uv.lock", false, true, true); err != nil {
		return reading{}, err
	}
	at := place{root, dir, path.Dir(w.File)}
	r := reading{kind: "project"}
	if _, err := beside(root, w.File, &r); err != nil {
		return r, err
	}
	for _, name := range []string{"uv.lock", "uv.toml"} {
		text, err := root.ReadFile(path.Join(at.sub, name))
		switch {
		case err == nil:
			r.inputs = append(r.inputs, input{path.Join(at.sub, name), text})
		case name == "uv.lock":
			return r, ridgeline.Errorf(ridgeline.Invalid, "python: %s is not in the project: make it with `uv lock` and commit it", w.File)
		}
	}
	if err := r.members(root, at.sub, w.File); err != nil {
		return r, err
	}
	var options []string
	for _, extra := range w.Extras {
		options = append(options, "--extra", extra)
	}
	for _, group := range w.Groups {
		options = append(options, "--group", group)
	}
	r.settle = func(ctx context.Context, python interpreter) (parts, error) {
		named := merge(w.Indexes, indexesOf(r.inputs))
		if err := trusted(os.Environ(), named); err != nil {
			return parts{}, err
		}
		c := call{doing: "read uv.lock", dir: at.path(), tell: p, indexes: named}
		text, err := m.run(ctx, c, append([]string{"export", "--locked", "--no-emit-project",
			"--format", "requirements-txt", "--no-header", "--no-annotate", "--emit-index-url", "--python", python.path}, options...)...)
		if err != nil {
			if strings.Contains(err.Error(), "needs to be updated") {
				return parts{}, ridgeline.Errorf(ridgeline.Invalid, "uv.lock does not match pyproject.toml any more: run `uv lock` and commit it")
			}
			return parts{}, err
		}
		text, used := ownIndexes(text, os.Environ(), namesDefaultIndex(r.inputs), named, nil)
		out, err := m.exact(ctx, at, text, python, requirements{}, p)
		out.indexes = used
		return out, err
	}
	return r, nil
}

// members makes the content of the packages inputs that a uv.lock has in
// folders and files of the project, such as the members of a workspace.
func (r *reading) members(root *os.Root, sub, name string) error {
	var lock struct {
		Package []struct {
			Source struct {
				Editable, Directory, Path string
			} `toml:"source"`
		} `toml:"package"`
	}
	if err := readTOML(name, r.inputs[1].text, &lock); err != nil {
		return err
	}
	for _, pkg := range lock.Package {
		for _, place := range []string{pkg.Source.Editable, pkg.Source.Directory, pkg.Source.Path} {
			if place == "" {
				continue
			}
			if err := r.reads(root, sub, place); err != nil {
				return err
			}
		}
	}
	return nil
}
