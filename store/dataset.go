package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// SaveDatasetVersion keeps a content of a dataset under the next number of the
// dataset, or returns the version that has the same digest already. d.Version
// is not looked at. A version from before there were manifests gets the one of
// its content.
func (s *Store) SaveDatasetVersion(ctx context.Context, d ridgeline.DatasetVersion) (ridgeline.DatasetVersion, error) {
	const insert = `INSERT INTO dataset_versions (project, name, digest, size, length, files, columns, manifest, profile, created, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, (SELECT COALESCE(MAX(version), 0) + 1 FROM dataset_versions WHERE project = $1 AND name = $2))
		ON CONFLICT (project, name, digest) DO NOTHING`
	const complete = `UPDATE dataset_versions SET manifest = $1, profile = $2, files = $3
		WHERE project = $4 AND name = $5 AND digest = $6 AND manifest = ''`
	const byDigest = selectContents + ` WHERE project = $1 AND name = $2 AND digest = $3`
	if err := ridgeline.CheckName("dataset", d.Name); err != nil {
		return ridgeline.DatasetVersion{}, err
	}
	var saved ridgeline.DatasetVersion
	err := s.doing(ctx, fmt.Sprintf("save a version of dataset %s", d.Name), func(tx *Store) error {
		if err := tx.lockProject(ctx, d.Project); err != nil {
			return err
		}
		n, err := tx.tx.Exec(ctx, insert, d.Project, d.Name, d.Digest, d.Size, d.Rows, d.Files, jsonText(d.Columns), d.Manifest, d.Profile, d.Created)
		if err != nil {
			return err
		}
		if n == 0 && d.Manifest != "" {
			if _, err := tx.tx.Exec(ctx, complete, d.Manifest, d.Profile, d.Files, d.Project, d.Name, d.Digest); err != nil {
				return err
			}
		}
		saved, err = scanContent(tx.tx.QueryRow(ctx, byDigest, d.Project, d.Name, d.Digest))
		return err
	})
	return saved, err
}

const selectContents = `SELECT project, name, version, digest, size, length, files, columns, manifest, profile, created FROM dataset_versions`

func scanContent(row sqlq.Row) (d ridgeline.DatasetVersion, err error) {
	err = row.Scan(&d.Project, &d.Name, &d.Version, &d.Digest, &d.Size, &d.Rows, &d.Files, asJSON(&d.Columns), &d.Manifest, &d.Profile, asTime(&d.Created))
	return d, err
}

// DatasetVersions returns the dataset's versions, newest first; those of all
// the project's datasets when name is empty. An unknown dataset has none.
func (s *Store) DatasetVersions(ctx context.Context, project ridgeline.ProjectName, name string) ([]ridgeline.DatasetVersion, error) {
	var f filter
	f.and("project = ?", project)
	if name != "" {
		f.and("name = ?", name)
	}
	query, args := f.sql(selectContents, "created DESC, version DESC", 0)
	if name != "" {
		query, args = f.sql(selectContents, "version DESC", 0)
	}
	all, err := collect(ctx, s.q(), scanContent, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list the versions of dataset %s: %w", name, err)
	}
	return all, nil
}

// DatasetVersion returns one version of a dataset; version 0 is the one in
// use.
func (s *Store) DatasetVersion(ctx context.Context, project ridgeline.ProjectName, name string, version int) (ridgeline.DatasetVersion, error) {
	if version == 0 {
		d, err := s.Dataset(ctx, project, name)
		if err != nil {
			return ridgeline.DatasetVersion{}, err
		}
		if version = d.Current; version == 0 {
			return ridgeline.DatasetVersion{}, ridgeline.Errorf(ridgeline.NotFound, "dataset %s of project %s has no accepted version yet", name, project)
		}
	}
	d, err := scanContent(s.q().QueryRow(ctx, selectContents+` WHERE project = $1 AND name = $2 AND version = $3`, project, name, version))
	switch {
	case absent(err):
		return d, ridgeline.Errorf(ridgeline.NotFound, "dataset %s of project %s has no version %d: see ridgeline data list", name, project, version)
	case err != nil:
		return d, fmt.Errorf("read version %d of dataset %s: %w", version, name, err)
	}
	return d, nil
}

const selectDatasets = `SELECT project, name, current_version, looked, problem FROM datasets`

func scanDataset(row sqlq.Row) (d ridgeline.Dataset, err error) {
	err = row.Scan(&d.Project, &d.Name, &d.Current, asTime(&d.Looked), &d.Problem)
	return d, err
}

// Dataset returns what is known of a dataset at which something has arrived.
func (s *Store) Dataset(ctx context.Context, project ridgeline.ProjectName, name string) (ridgeline.Dataset, error) {
	d, err := scanDataset(s.q().QueryRow(ctx, selectDatasets+` WHERE project = $1 AND name = $2`, project, name))
	switch {
	case absent(err):
		return d, ridgeline.Errorf(ridgeline.NotFound, "nothing has arrived at dataset %s of project %s yet", name, project)
	case err != nil:
		return d, fmt.Errorf("read dataset %s: %w", name, err)
	}
	return d, nil
}

// Datasets returns the project's datasets at which something has arrived, by
// name.
func (s *Store) Datasets(ctx context.Context, project ridgeline.ProjectName) ([]ridgeline.Dataset, error) {
	all, err := collect(ctx, s.q(), scanDataset, selectDatasets+` WHERE project = $1 ORDER BY name`, project)
	if err != nil {
		return nil, fmt.Errorf("list the datasets of %s: %w", project, err)
	}
	return all, nil
}

// NoteLook writes down that a dataset's source was looked at, and the problem
// with that, if there was one.
func (s *Store) NoteLook(ctx context.Context, project ridgeline.ProjectName, name, problem string, at time.Time) error {
	const update = `UPDATE datasets SET looked = $1, problem = $2 WHERE project = $3 AND name = $4`
	return s.doing(ctx, "note a look at dataset "+name, func(tx *Store) error {
		if err := tx.lockDataset(ctx, project, name); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, update, at, problem, project, name)
		return err
	})
}

// lockDataset takes the project's row, under which dataset versions are
// numbered, for the rest of the transaction, and makes the dataset's.
func (s *Store) lockDataset(ctx context.Context, project ridgeline.ProjectName, name string) error {
	const insert = `INSERT INTO datasets (project, name) VALUES ($1, $2) ON CONFLICT (project, name) DO NOTHING`
	if err := ridgeline.CheckName("dataset", name); err != nil {
		return err
	}
	if err := s.lockProject(ctx, project); err != nil {
		return err
	}
	_, err := s.tx.Exec(ctx, insert, project, name)
	return err
}
