package track

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// An Artifact is a file that a run or a logged model has left. Its bytes are
// kept elsewhere, under their digest.
type Artifact struct {
	Path   string // slashes between parts; of a listing, the last part
	Digest string // sha256; empty for a folder
	Size   int64
	Folder bool
}

// splitArtifact divides a path into the root that it is listed by, and the rest.
func splitArtifact(path string) (root, rest string) {
	parts := strings.SplitN(path, "/", 4)
	if len(parts) < 4 {
		i := strings.LastIndexByte(path, '/')
		return path[:max(i, 0)], path[i+1:]
	}
	return strings.Join(parts[:3], "/"), parts[3]
}

// PutArtifact says what the file at path holds from now on.
func (s *Store) PutArtifact(ctx context.Context, a Artifact) error {
	const put = `INSERT INTO artifacts (root, path, digest, size, modified) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (root, path) DO UPDATE SET digest = excluded.digest, size = excluded.size, modified = excluded.modified`
	root, rest := splitArtifact(clean(a.Path))
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		_, err := q.Exec(ctx, put, root, rest, a.Digest, a.Size, now())
		return err
	})
	return doing(err, "keep artifact %s", a.Path)
}

// Artifact returns the file at path.
func (s *Store) Artifact(ctx context.Context, path string) (Artifact, error) {
	a := Artifact{Path: path}
	root, rest := splitArtifact(clean(path))
	err := s.db.Reader().QueryRow(ctx, `SELECT digest, size FROM artifacts WHERE root = $1 AND path = $2`, root, rest).Scan(&a.Digest, &a.Size)
	if errors.Is(err, sql.ErrNoRows) {
		err = ridgeline.Errorf(ridgeline.NotFound, "No such artifact: '%s'", path)
	}
	return a, doing(err, "find artifact %s", path)
}

// Artifacts lists what is directly in a folder, by name. A folder that holds
// nothing is not there, and has none.
func (s *Store) Artifacts(ctx context.Context, folder string) ([]Artifact, error) {
	all := map[string]Artifact{}
	err := s.eachArtifact(ctx, folder, func(path string, a Artifact) {
		name, deeper, isFolder := strings.Cut(path, "/")
		if isFolder && deeper != "" {
			a = Artifact{Folder: true}
		}
		a.Path = name
		all[name] = a
	})
	list := make([]Artifact, 0, len(all))
	for _, a := range all {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b Artifact) int { return strings.Compare(a.Path, b.Path) })
	return list, doing(err, "list artifacts of %s", folder)
}

// eachArtifact calls fn for all files below a folder, with their paths in it.
func (s *Store) eachArtifact(ctx context.Context, folder string, fn func(path string, a Artifact)) error {
	return eachArtifact(ctx, s.db.Reader(), folder, fn)
}

func eachArtifact(ctx context.Context, q sqlq.Querier, folder string, fn func(path string, a Artifact)) error {
	folder = clean(strings.Trim(folder, "/"))
	where, args := below(folder)
	return each(ctx, q, func(row sqlq.Row) error {
		var root, path string
		var a Artifact
		if err := row.Scan(&root, &path, &a.Digest, &a.Size); err != nil {
			return err
		}
		whole := strings.TrimPrefix(root+"/"+path, "/")
		if folder != "" {
			whole = strings.TrimPrefix(whole, folder+"/")
		}
		fn(whole, a)
		return nil
	}, `SELECT root, path, digest, size FROM artifacts WHERE `+where, args...)
}

// below is the condition on the artifacts that are somewhere below a folder,
// whose path is clean; of the empty one, all. It has no LIKE, which does not tell
// upper from lower case everywhere.
func below(folder string) (where string, args []any) {
	parts := strings.SplitN(folder, "/", 4)
	switch root := strings.Join(parts[:min(3, len(parts))], "/"); {
	case folder == "":
		return "1 = 1", nil
	case len(parts) == 4:
		return "root = $1 AND substr(path, 1, $2) = $3", []any{root, int64(utf8.RuneCountInString(parts[3]) + 1), parts[3] + "/"}
	case len(parts) == 3:
		return "root = $1", []any{root}
	}
	return "(root = $1 OR substr(root, 1, $2) = $3)", []any{folder, int64(utf8.RuneCountInString(folder) + 1), folder + "/"}
}

// EachArtifact calls fn for every file below a folder, with its path in it, in
// no order.
func (s *Store) EachArtifact(ctx context.Context, folder string, fn func(path string, a Artifact) error) error {
	all := map[string]Artifact{} // not inside the query: fn may take long
	if err := s.eachArtifact(ctx, folder, func(path string, a Artifact) { all[path] = a }); err != nil {
		return doing(err, "list artifacts of %s", folder)
	}
	for path, a := range all {
		a.Path = path
		if err := fn(path, a); err != nil {
			return err
		}
	}
	return nil
}

// DeleteArtifacts forgets a file, or a folder with all below it. What is not
// there is NotFound.
func (s *Store) DeleteArtifacts(ctx context.Context, path string) error {
	var paths []string
	path = strings.Trim(path, "/")
	if _, err := s.Artifact(ctx, path); err == nil {
		paths = append(paths, path)
	} else if ridgeline.CodeOf(err) != ridgeline.NotFound {
		return err
	}
	if err := s.eachArtifact(ctx, path, func(inside string, _ Artifact) { paths = append(paths, path+"/"+inside) }); err != nil {
		return doing(err, "delete artifacts %s", path)
	}
	if len(paths) == 0 {
		return ridgeline.Errorf(ridgeline.NotFound, "No such artifact: '%s'", path)
	}
	err := s.group.Do(ctx, func(q sqlq.Querier) error {
		for _, p := range paths {
			root, rest := splitArtifact(clean(p))
			if _, err := q.Exec(ctx, `DELETE FROM artifacts WHERE root = $1 AND path = $2`, root, rest); err != nil {
				return err
			}
		}
		return nil
	})
	return doing(err, "delete artifacts %s", path)
}
