package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// maxStatements bounds what is kept prepared; a program has some dozens of
// texts, and searches add one for each shape of a filter.
const maxStatements = 300

// statements are those kept prepared on one SQLite pool, by their text.
type statements struct {
	keep   bool
	mu     sync.Mutex
	all    map[string]*sql.Stmt
	wanted []string // seen inside a transaction, to be prepared after it
}

func (s *statements) find(text string) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[text]
}

// want notes a text. The writer's one connection is busy with the transaction
// that met it, so preparing waits for the transaction's end.
func (s *statements) want(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = append(s.wanted, text)
}

// prepare prepares what was wanted. A text that cannot be prepared runs, or
// fails, as it is.
func (s *statements) prepare(ctx context.Context, db *sql.DB) {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = nil
	s.mu.Unlock()
	for _, text := range wanted {
		_ = s.add(ctx, db, text)
	}
}

// add prepares one text. Beyond the bound all are dropped: those in use come
// back by themselves.
func (s *statements) add(ctx context.Context, db *sql.DB, text string) error {
	stmt, err := db.PrepareContext(ctx, text)
	if err != nil {
		return fmt.Errorf("prepare a statement: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxStatements {
		for _, old := range s.all {
			_ = old.Close() // in use: closed when that use ends
		}
		s.all = nil
	}
	if s.all == nil {
		s.all = map[string]*sql.Stmt{}
	}
	if old := s.all[text]; old != nil {
		_ = old.Close()
	}
	s.all[text] = stmt
	return nil
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range s.all {
		_ = stmt.Close()
	}
	s.all = nil
}

// preparedWriter runs a transaction's statements by those kept prepared.
type preparedWriter struct {
	tx    *sql.Tx
	known *statements
}

func (q *preparedWriter) stmt(ctx context.Context, text string) *sql.Stmt {
	if stmt := q.known.find(text); stmt != nil {
		return q.tx.StmtContext(ctx, stmt)
	}
	q.known.want(text)
	return nil
}

func (q *preparedWriter) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	stmt := q.stmt(ctx, text)
	if stmt == nil {
		return sqlQuerier{q.tx}.Exec(ctx, text, args...)
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (q *preparedWriter) Query(ctx context.Context, text string, args ...any) (sqlq.Rows, error) {
	if stmt := q.stmt(ctx, text); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return q.tx.QueryContext(ctx, text, args...)
}

func (q *preparedWriter) QueryRow(ctx context.Context, text string, args ...any) sqlq.Row {
	if stmt := q.stmt(ctx, text); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return q.tx.QueryRowContext(ctx, text, args...)
}

// preparedReader is the readers, with statements kept prepared.
type preparedReader struct{ db *sqliteDB }

func (q *preparedReader) stmt(ctx context.Context, text string) *sql.Stmt {
	if stmt := q.db.reading.find(text); stmt != nil {
		return stmt
	}
	if err := q.db.reading.add(ctx, q.db.readers, text); err != nil {
		return nil // running the text says better what is wrong with it
	}
	return q.db.reading.find(text)
}

func (q *preparedReader) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	return sqlQuerier{q.db.readers}.Exec(ctx, text, args...)
}

func (q *preparedReader) Query(ctx context.Context, text string, args ...any) (sqlq.Rows, error) {
	if stmt := q.stmt(ctx, text); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return q.db.readers.QueryContext(ctx, text, args...)
}

func (q *preparedReader) QueryRow(ctx context.Context, text string, args ...any) sqlq.Row {
	if stmt := q.stmt(ctx, text); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return q.db.readers.QueryRowContext(ctx, text, args...)
}
