package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// lock takes the row for the rest of the transaction: whoever else wants to
// change it waits, and what is read afterwards stays as it is. An UPDATE does
// that on both databases, where SELECT … FOR UPDATE is PostgreSQL's alone.
// Always lock before reading what the decision rests on.
func (s *Store) lock(ctx context.Context, table, where string, args ...any) (bool, error) {
	n, err := s.tx.Exec(ctx, "UPDATE "+table+" SET revision = revision + 1 WHERE "+where, args...)
	return n > 0, err
}

// lockByID locks the row of that id, or says that there is none.
func lockByID[ID ~string](ctx context.Context, s *Store, table, noun string, id ID) error {
	found, err := s.lock(ctx, table, "id = $1", id)
	switch {
	case err != nil:
		return err
	case !found:
		return ridgeline.Errorf(ridgeline.NotFound, "no %s %s", noun, id)
	}
	return nil
}

// changeByID is the way of every change to a noun known by an id, in one
// transaction: lock its row, load it, and let change decide and save.
func changeByID[ID ~string, T any](ctx context.Context, s *Store, table, noun, what string, id ID,
	load func(*Store, context.Context, ID) (T, error), change func(*Store, *T) error,
) error {
	return s.doing(ctx, fmt.Sprintf("%s %s %s", what, noun, id), func(tx *Store) error {
		if err := lockByID(ctx, tx, table, noun, id); err != nil {
			return err
		}
		t, err := load(tx, ctx, id)
		if err != nil {
			return err
		}
		return change(tx, &t)
	})
}

// start moves what is queued, or waited for a person, to running.
func start[ID ~string](noun string, id ID, status *ridgeline.Status) error {
	if status.Terminal() {
		return ended(noun, id, *status)
	}
	*status = ridgeline.Running
	return nil
}

// ended is the answer to a change that comes too late.
func ended[ID ~string](noun string, id ID, status ridgeline.Status) error {
	return ridgeline.Errorf(ridgeline.Conflict, "%s %s already ended as %s", noun, id, status)
}

// doing runs fn in a transaction and says in front of unclassified errors what
// was being done.
func (s *Store) doing(ctx context.Context, what string, fn func(tx *Store) error) error {
	if err := s.InTx(ctx, fn); err != nil {
		return about(err, what)
	}
	return nil
}

// about keeps a classified error as it is, since it was written to be read,
// and tells of any other what was being done.
func about(err error, what string) error {
	if ridgeline.CodeOf(err) != ridgeline.Internal {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// A filter gathers conditions with numbered placeholders.
type filter struct {
	conditions []string
	args       []any
}

// and adds a condition; each ? in it becomes the next placeholder.
func (f *filter) and(condition string, args ...any) {
	for _, a := range args {
		f.args = append(f.args, a)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

// in adds "column is one of values".
func in[T any](f *filter, column string, values []T) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	f.and(column+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")+")", args...)
}

// unfinished keeps what has not come to its end.
func (f *filter) unfinished(column string) {
	in(f, column, []ridgeline.Status{ridgeline.Queued, ridgeline.Running, ridgeline.Waiting})
}

// sql is the whole query: order is the ORDER BY, limit 0 means all.
func (f *filter) sql(query, order string, limit int) (string, []any) {
	if len(f.conditions) > 0 {
		query += " WHERE " + strings.Join(f.conditions, " AND ")
	}
	query += " ORDER BY " + order
	args := f.args
	if limit > 0 {
		query += " LIMIT $" + strconv.Itoa(len(args)+1)
		args = append(args[:len(args):len(args)], int64(limit))
	}
	return query, args
}

// page is sql without the first so many rows.
func (f *filter) page(query, order string, limit, skip int) (string, []any) {
	if skip <= 0 {
		return f.sql(query, order, limit)
	}
	if limit <= 0 {
		limit = math.MaxInt32 // SQLite has no OFFSET without a LIMIT
	}
	query, args := f.sql(query, order, limit)
	return query + " OFFSET $" + strconv.Itoa(len(args)+1), append(args, int64(skip))
}

// collect reads every row.
func collect[T any](ctx context.Context, q sqlq.Querier, scan func(sqlq.Row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		t, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// inBatches calls fn with a few hundred at a time: databases limit the number
// of placeholders in a query.
func inBatches[T any](all []T, fn func([]T) error) error {
	for batch := range slices.Chunk(all, 500) {
		if err := fn(batch); err != nil {
			return err
		}
	}
	return nil
}

// pointers returns where the elements are.
func pointers[T any](all []T) []*T {
	out := make([]*T, len(all))
	for i := range all {
		out[i] = &all[i]
	}
	return out
}
