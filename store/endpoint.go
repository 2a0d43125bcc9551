package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// EnsureEndpoint returns the endpoint of the project's environment, and makes
// it, with both keys in their first generation, if there is none.
func (s *Store) EnsureEndpoint(ctx context.Context, project ridgeline.ProjectName, environment string) (ridgeline.Endpoint, error) {
	if err := ridgeline.CheckName("environment", environment); err != nil {
		return ridgeline.Endpoint{}, err
	}
	const insert = `INSERT INTO endpoints (project, environment) VALUES ($1, $2) ON CONFLICT (project, environment) DO NOTHING`
	var e ridgeline.Endpoint
	err := s.doing(ctx, fmt.Sprintf("ensure endpoint %s of %s", environment, project), func(tx *Store) error {
		if _, err := tx.Project(ctx, project); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, insert, project, environment)
		if err != nil {
			return err
		}
		e, err = tx.Endpoint(ctx, project, environment)
		return err
	})
	return e, err
}

const selectEndpoints = `SELECT project, environment, primary_generation, secondary_generation, live FROM endpoints`

func scanEndpoint(row sqlq.Row) (e ridgeline.Endpoint, err error) {
	err = row.Scan(&e.Project, &e.Environment, &e.PrimaryGeneration, &e.SecondaryGeneration, &e.Live)
	return e, err
}

// Endpoint returns the endpoint of the project's environment.
func (s *Store) Endpoint(ctx context.Context, project ridgeline.ProjectName, environment string) (ridgeline.Endpoint, error) {
	e, err := scanEndpoint(s.q().QueryRow(ctx, selectEndpoints+` WHERE project = $1 AND environment = $2`, project, environment))
	switch {
	case absent(err):
		return e, noEndpoint(project, environment)
	case err != nil:
		return e, fmt.Errorf("read endpoint %s of %s: %w", environment, project, err)
	}
	return e, nil
}

func noEndpoint(project ridgeline.ProjectName, environment string) error {
	return ridgeline.Errorf(ridgeline.NotFound, "project %s has no endpoint %s: release a model version to that environment", project, environment)
}

// Endpoints returns the project's endpoints, those of all projects when it is
// empty, by project and environment.
func (s *Store) Endpoints(ctx context.Context, project ridgeline.ProjectName) ([]ridgeline.Endpoint, error) {
	var f filter
	if project != "" {
		f.and("project = ?", project)
	}
	query, args := f.sql(selectEndpoints, "project, environment", 0)
	all, err := collect(ctx, s.q(), scanEndpoint, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	// Not by the database alone, whose order of dashes is its locale's.
	slices.SortFunc(all, func(a, b ridgeline.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Environment, b.Environment))
	})
	return all, nil
}

// RotateKey starts the next generation of a key, "primary" or "secondary"; the
// one until now opens nothing any more.
func (s *Store) RotateKey(ctx context.Context, project ridgeline.ProjectName, environment, which string) (ridgeline.Endpoint, error) {
	const primary = `UPDATE endpoints SET primary_generation = primary_generation + 1 WHERE project = $1 AND environment = $2`
	const secondary = `UPDATE endpoints SET secondary_generation = secondary_generation + 1 WHERE project = $1 AND environment = $2`
	update, known := map[string]string{"primary": primary, "secondary": secondary}[which]
	if !known {
		return ridgeline.Endpoint{}, ridgeline.Errorf(ridgeline.Invalid, "key %q: there are primary and secondary", which)
	}
	var e ridgeline.Endpoint
	err := s.doing(ctx, fmt.Sprintf("rotate the %s key of endpoint %s of %s", which, environment, project), func(tx *Store) error {
		if err := tx.lockEndpoint(ctx, project, environment); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, update, project, environment)
		if err != nil {
			return err
		}
		e, err = tx.Endpoint(ctx, project, environment)
		return err
	})
	return e, err
}

// lockEndpoint takes the endpoint's row, under which all deployments behind it
// change.
func (s *Store) lockEndpoint(ctx context.Context, project ridgeline.ProjectName, environment string) error {
	found, err := s.lock(ctx, "endpoints", "project = $1 AND environment = $2", project, environment)
	if err == nil && !found {
		return noEndpoint(project, environment)
	}
	return err
}
