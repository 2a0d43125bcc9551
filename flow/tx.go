package flow

import (
	"context"
	"database/sql"
	"errors"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// A querier is a DBOS transaction in the shape that package store writes for.
type querier struct{ tx dbos.Tx }

func (q querier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := q.tx.Exec(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (q querier) Query(ctx context.Context, query string, args ...any) (sqlq.Rows, error) {
	rows, err := q.tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err // not rows: a nil pointer inside an interface is not nil
	}
	return rows, nil
}

func (q querier) QueryRow(ctx context.Context, query string, args ...any) sqlq.Row {
	return row{q.tx.QueryRow(ctx, query, args...)}
}

type row struct{ row dbos.Row }

func (r row) Scan(dest ...any) error {
	err := r.row.Scan(dest...)
	if errors.Is(err, dbos.ErrNoRows) {
		return sql.ErrNoRows
	}
	return err
}
