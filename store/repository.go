package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A Repository is a project's git repository as it was after so many pushes.
// Before the first one it is zero.
type Repository struct {
	Version int64
	Refs    string // branches and tags by name, a line "hash name" each
}

// Repository reads where a project's repository stands.
func (s *Store) Repository(ctx context.Context, project ridgeline.ProjectName) (Repository, error) {
	scan := func(row sqlq.Row) (r Repository, err error) { return r, row.Scan(&r.Version, &r.Refs) }
	all, err := collect(ctx, s.q(), scan, `SELECT version, refs FROM repositories WHERE project = $1`, project)
	if err != nil {
		return Repository{}, fmt.Errorf("read the repository of %s: %w", project, err)
	}
	if len(all) == 0 {
		return Repository{}, nil
	}
	return all[0], nil
}

// Repositories are the projects that have one.
func (s *Store) Repositories(ctx context.Context) ([]ridgeline.ProjectName, error) {
	scan := func(row sqlq.Row) (p ridgeline.ProjectName, err error) { return p, row.Scan(&p) }
	all, err := collect(ctx, s.q(), scan, `SELECT project FROM repositories ORDER BY project`)
	if err != nil {
		return nil, fmt.Errorf("list repositories: %w", err)
	}
	return all, nil
}

// Packs are the contents of a repository's packs since a version, in the order
// that they came.
func (s *Store) Packs(ctx context.Context, project ridgeline.ProjectName, since int64) ([]string, error) {
	scan := func(row sqlq.Row) (digest string, err error) { return digest, row.Scan(&digest) }
	all, err := collect(ctx, s.q(), scan, `SELECT pack FROM repository_packs WHERE project = $1 AND version > $2 ORDER BY version, pack`, project, since)
	if err != nil {
		return nil, fmt.Errorf("list the packs of %s: %w", project, err)
	}
	return all, nil
}

// PushRepository makes the version after was.Version, with these refs and more
// packs. It is Conflict when somebody else has made it.
func (s *Store) PushRepository(ctx context.Context, project ridgeline.ProjectName, was Repository, refs string, packs []string) error {
	const insert = `INSERT INTO repositories (project, version, refs) VALUES ($1, 1, $2) ON CONFLICT (project) DO NOTHING`
	const update = `UPDATE repositories SET version = version + 1, refs = $1 WHERE project = $2 AND version = $3`
	return s.doing(ctx, fmt.Sprintf("push to the repository of %s", project), func(tx *Store) error {
		var n int64
		var err error
		if was.Version == 0 {
			n, err = tx.tx.Exec(ctx, insert, project, refs)
		} else {
			n, err = tx.tx.Exec(ctx, update, refs, project, was.Version)
		}
		if err == nil && n == 0 {
			return ridgeline.Errorf(ridgeline.Conflict, "somebody else pushed to %s at the same time: fetch, then push again", project)
		}
		if err != nil {
			return err
		}
		return tx.addPacks(ctx, project, was.Version+1, packs)
	})
}

func (s *Store) addPacks(ctx context.Context, project ridgeline.ProjectName, version int64, packs []string) error {
	for _, p := range packs {
		const insert = `INSERT INTO repository_packs (project, version, pack) VALUES ($1, $2, $3) ON CONFLICT (project, version, pack) DO NOTHING`
		if _, err := s.tx.Exec(ctx, insert, project, version, p); err != nil {
			return err
		}
	}
	return nil
}

// RepackRepository puts one pack in the place of all that a version is made of.
// It is Conflict when that is no longer the newest.
func (s *Store) RepackRepository(ctx context.Context, project ridgeline.ProjectName, version int64, pack string) error {
	return s.doing(ctx, fmt.Sprintf("repack the repository of %s", project), func(tx *Store) error {
		n, err := tx.tx.Exec(ctx, `UPDATE repositories SET version = version WHERE project = $1 AND version = $2`, project, version)
		if err == nil && n == 0 {
			return ridgeline.Errorf(ridgeline.Conflict, "somebody pushed to %s meanwhile", project)
		}
		if err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, `DELETE FROM repository_packs WHERE project = $1`, project); err != nil {
			return err
		}
		return tx.addPacks(ctx, project, version, []string{pack})
	})
}

// KnownHosts are the lines of the known_hosts file that servers have in common.
func (s *Store) KnownHosts(ctx context.Context) ([]string, error) {
	scan := func(row sqlq.Row) (line string, err error) { return line, row.Scan(&line) }
	all, err := collect(ctx, s.q(), scan, `SELECT line FROM known_hosts ORDER BY seen, line`)
	if err != nil {
		return nil, fmt.Errorf("list known hosts: %w", err)
	}
	return all, nil
}

// AddKnownHost notes a line. Twice is harmless.
func (s *Store) AddKnownHost(ctx context.Context, line string, now time.Time) error {
	return s.doing(ctx, "note a known host", func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, `INSERT INTO known_hosts (line, seen) VALUES ($1, $2) ON CONFLICT (line) DO NOTHING`, line, now.UnixMicro())
		return err
	})
}
