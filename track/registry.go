package track

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// RegistryFolder is where the files of registered model versions are, apart
// from the runs that made them: each version's in a folder that is named by what
// is in it. Only the registry writes there.
const RegistryFolder = "ridgeline/models"

// RegisterFiles lets a registered version have the files of a folder, whatever
// becomes of that. It returns their own folder, the same for the same files, and
// their size in bytes; of a folder that holds nothing, an empty name. No content
// is copied.
func (s *Store) RegisterFiles(ctx context.Context, from string) (folder string, size int64, err error) {
	err = s.group.Do(ctx, func(q sqlq.Querier) error {
		var files []Artifact
		if err := eachArtifact(ctx, q, from, func(path string, a Artifact) {
			a.Path = path
			files = append(files, a)
		}); err != nil || len(files) == 0 {
			return err
		}
		sum := sha256.New()
		slices.SortFunc(files, func(a, b Artifact) int { return strings.Compare(a.Path, b.Path) })
		size = 0
		for _, f := range files {
			fmt.Fprintf(sum, "%q %s\n", f.Path, f.Digest)
			size += f.Size
		}
		folder = RegistryFolder + "/" + hex.EncodeToString(sum.Sum(nil))
		return putFiles(ctx, q, folder, files)
	})
	return folder, size, doing(err, "register the files of %s", from)
}

// PutRegistered makes a registered version's folder of contents that are kept
// already. Twice is harmless.
func (s *Store) PutRegistered(ctx context.Context, folder string, files []Artifact) error {
	if !strings.HasPrefix(folder, RegistryFolder+"/") {
		return ridgeline.Errorf(ridgeline.Invalid, "folder %q of a registered version: expected one in %s", folder, RegistryFolder)
	}
	err := s.group.Do(ctx, func(q sqlq.Querier) error { return putFiles(ctx, q, folder, files) })
	return doing(err, "register the files of %s", folder)
}

// RegisteredFiles returns the folders of registered versions' files that were
// registered, or registered again, at that time or before, as what can be
// reclaimed where no version has them any more; who has which, is the registry's
// to know.
func (s *Store) RegisteredFiles(ctx context.Context, at time.Time) ([]Expired, error) {
	var all []Expired
	err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		e := Expired{Kind: KindVersion, deleted: at.UnixMilli()}
		err := row.Scan(&e.Folder)
		e.ID = e.Folder
		all = append(all, e)
		return err
	}, `SELECT root FROM artifacts WHERE root > $1 AND root < $2 GROUP BY root HAVING max(modified) <= $3 ORDER BY root`, RegistryFolder+"/", RegistryFolder+"0", at.UnixMilli())
	return all, doing(err, "read the folders of registered versions")
}

func putFiles(ctx context.Context, q sqlq.Querier, folder string, files []Artifact) error {
	const put = `INSERT INTO artifacts (root, path, digest, size, modified) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (root, path) DO UPDATE SET modified = excluded.modified` // the same content: the folder is named by it
	for _, f := range files {
		root, rest := splitArtifact(clean(folder + "/" + f.Path))
		if _, err := q.Exec(ctx, put, root, rest, f.Digest, f.Size, now()); err != nil {
			return err
		}
	}
	return nil
}
