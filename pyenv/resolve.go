package pyenv

import (
	"context"
	"os"
	"path/filepath"
)

// A resolution is what uv has to settle, for there is no lock.
type resolution struct {
	at       place // where uv runs
	wish     Wish
	sources  []string     // uv's arguments for what is asked
	stdin    string       // the source "-"
	req      requirements // what the files say and uv does not keep
	settings []input      // files of the project that tell uv about indexes
}

// resolve lets uv choose every version.
func (m *Manager) resolve(ctx context.Context, x resolution, python interpreter, p Progress) (parts, error) {
	named := merge(x.wish.Indexes, indexesOf(x.settings))
	if err := trusted(os.Environ(), named); err != nil {
		return parts{}, err
	}
	c := call{doing: "lock " + x.wish.File, dir: x.at.path(), tell: p, stdin: x.stdin, indexes: named}
	options := append([]string{"pip", "compile", "--python", python.path, "--generate-hashes", "--no-header", "--no-annotate", "--emit-index-url"}, args(x.wish.Indexes)...)
	for _, file := range x.wish.Constraints {
		if file = filepath.FromSlash(file); x.at.sub != "." {
			file = filepath.Join(x.at.dir, file)
		}
		options = append(options, "--constraints", file)
	}
	text, err := m.run(ctx, c, append(options, x.sources...)...)
	if err != nil {
		return parts{}, err
	}
	text, used := ownIndexes(text, os.Environ(), namesDefaultIndex(x.settings), named, x.req.options)
	out, err := m.exact(ctx, x.at, text, python, x.req, p)
	out.indexes = merge(used, named) // uv says nothing of explicit ones
	return out, err
}
