package store

import (
	"context"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// SaveDatasetVersion keeps a content of a dataset under the next number of the
// dataset, or returns the version that has the same digest already. d.Version
// is not looked at.
func (s *Store) SaveDatasetVersion(ctx context.Context, d ridgeline.DatasetVersion) (ridgeline.DatasetVersion, error) {
	const insert = `INSERT INTO dataset_versions (project, name, digest, size, length, columns, created, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT COALESCE(MAX(version), 0) + 1 FROM dataset_versions WHERE project = $1 AND name = $2))
		ON CONFLICT (project, name, digest) DO NOTHING`
	const byDigest = selectDatasets + ` WHERE project = $1 AND name = $2 AND digest = $3`
	if err := ridgeline.CheckName("dataset", d.Name); err != nil {
		return ridgeline.DatasetVersion{}, err
	}
	var saved ridgeline.DatasetVersion
	err := s.doing(ctx, fmt.Sprintf("save a version of dataset %s", d.Name), func(tx *Store) error {
		if err := tx.lockProject(ctx, d.Project); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, insert, d.Project, d.Name, d.Digest, d.Size, d.Rows, jsonText(d.Columns), d.Created)
		if err != nil {
			return err
		}
		saved, err = scanDataset(tx.tx.QueryRow(ctx, byDigest, d.Project, d.Name, d.Digest))
		return err
	})
	return saved, err
}

const selectDatasets = `SELECT project, name, version, digest, size, length, columns, created FROM dataset_versions`

func scanDataset(row sqlq.Row) (d ridgeline.DatasetVersion, err error) {
	err = row.Scan(&d.Project, &d.Name, &d.Version, &d.Digest, &d.Size, &d.Rows, asJSON(&d.Columns), asTime(&d.Created))
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
	query, args := f.sql(selectDatasets, "created DESC, version DESC", 0)
	if name != "" {
		query, args = f.sql(selectDatasets, "version DESC", 0)
	}
	all, err := collect(ctx, s.q(), scanDataset, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list the versions of dataset %s: %w", name, err)
	}
	return all, nil
}
