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
	t, err := beside(root, w.File, &r)
	if err != nil {
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
	if err := r.folders(root, at.sub, t); err != nil {
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
		c := call{doing: "read uv.lock", dir: at.path(), tell: p, indexes: w.Indexes}
		text, err := m.run(ctx, c, append([]string{"export", "--locked", "--no-emit-project",
			"--format", "requirements-txt", "--no-header", "--no-annotate", "--emit-index-url", "--python", python.path}, options...)...)
		if err != nil {
			if strings.Contains(err.Error(), "needs to be updated") {
				return parts{}, ridgeline.Errorf(ridgeline.Invalid, "uv.lock does not match pyproject.toml any more: run `uv lock` and commit it")
			}
			return parts{}, err
		}
		text, used := ownIndexes(text, os.Environ(), namesDefaultIndex(r.inputs), merge(w.Indexes, indexesOf(r.inputs)), nil)
		out, err := m.exact(ctx, at, text, python, requirements{}, p)
		out.indexes = used
		return out, err
	}
	return r, nil
}
