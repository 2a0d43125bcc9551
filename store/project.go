package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// EnsureProject returns the project of that name and makes it, as created at
// at, if there is none.
func (s *Store) EnsureProject(ctx context.Context, name ridgeline.ProjectName, at time.Time) (ridgeline.Project, error) {
	if err := ridgeline.CheckName("project", string(name)); err != nil {
		return ridgeline.Project{}, err
	}
	var p ridgeline.Project
	const insert = `INSERT INTO projects (name, created) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	err := s.doing(ctx, fmt.Sprintf("ensure project %s", name), func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, insert, name, at)
		if err != nil {
			return err
		}
		p, err = tx.Project(ctx, name)
		return err
	})
	return p, err
}

const selectProjects = `SELECT name, created FROM projects`

func scanProject(row sqlq.Row) (p ridgeline.Project, err error) {
	err = row.Scan(&p.Name, asTime(&p.Created))
	return p, err
}

// Project returns the project of that name.
func (s *Store) Project(ctx context.Context, name ridgeline.ProjectName) (ridgeline.Project, error) {
	p, err := scanProject(s.q().QueryRow(ctx, selectProjects+` WHERE name = $1`, name))
	switch {
	case absent(err):
		return p, ridgeline.Errorf(ridgeline.NotFound, "no project %s: push it first", name)
	case err != nil:
		return p, fmt.Errorf("read project %s: %w", name, err)
	}
	return p, nil
}

// Projects returns all projects by name.
func (s *Store) Projects(ctx context.Context) ([]ridgeline.Project, error) {
	all, err := collect(ctx, s.q(), scanProject, selectProjects)
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	// Not by the database, whose order of letters and dashes is its locale's.
	slices.SortFunc(all, func(a, b ridgeline.Project) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// LockProject makes the surrounding transaction the only one that decides about
// the project's runs, for as long as it lasts.
func (s *Store) LockProject(ctx context.Context, name ridgeline.ProjectName) error {
	if s.tx == nil {
		return ridgeline.Errorf(ridgeline.Internal, "project %s is locked outside of a transaction, where it would last for nothing", name)
	}
	return s.lockProject(ctx, name)
}

// lockProject takes the project's row, under which its pipelines and dataset
// versions are numbered, and its runs take turns.
func (s *Store) lockProject(ctx context.Context, name ridgeline.ProjectName) error {
	found, err := s.lock(ctx, "projects", "name = $1", name)
	switch {
	case err != nil:
		return err
	case !found:
		return ridgeline.Errorf(ridgeline.NotFound, "no project %s: push it first", name)
	}
	return nil
}
