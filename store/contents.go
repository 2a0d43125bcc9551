package store

import (
	"context"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// Contents are the digests of all versions' models, and of the manifests of all
// datasets' versions, each once.
func (s *Store) Contents(ctx context.Context) (models, manifests []string, err error) {
	const selectModels = `SELECT DISTINCT artifact FROM model_versions WHERE artifact <> ''`
	const selectManifests = `SELECT DISTINCT manifest FROM dataset_versions WHERE manifest <> ''`
	text := func(r sqlq.Row) (t string, err error) { return t, r.Scan(&t) }
	if models, err = collect(ctx, s.q(), text, selectModels); err == nil {
		manifests, err = collect(ctx, s.q(), text, selectManifests)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read which contents are models and data: %w", err)
	}
	return models, manifests, nil
}

// Bytes is the room that the database takes, whoever else uses it, too.
func (s *Store) Bytes(ctx context.Context) (n int64, err error) {
	query := `SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`
	if s.Postgres() != nil {
		query = `SELECT pg_database_size(current_database())`
	}
	if err := s.q().QueryRow(ctx, query).Scan(&n); err != nil {
		return 0, fmt.Errorf("ask how large the database is: %w", err)
	}
	return n, nil
}
