package store

import (
	"context"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// SaveCourse keeps how much an attempt has used up to now, in place of what was
// known before; a shorter one of the same command says nothing new. The attempt
// has to be there.
func (s *Store) SaveCourse(ctx context.Context, run ridgeline.RunID, step string, number int, c ridgeline.Course) error {
	const upsert = `INSERT INTO courses (run, step, number, began, seconds, course) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (run, step, number) DO UPDATE SET began = excluded.began, seconds = excluded.seconds, course = excluded.course
		WHERE courses.began <> excluded.began OR courses.seconds < excluded.seconds`
	if !c.Whole() {
		return ridgeline.Errorf(ridgeline.Invalid, "the course of attempt %d at step %s of run %s has columns of %d, %d and %d samples, or figures that cannot be", number, step, run, len(c.Seconds), len(c.Cores), len(c.Memory))
	}
	err := s.InTx(ctx, func(tx *Store) error {
		_, err := tx.tx.Exec(ctx, upsert, run, step, number, c.Began, c.Length(), jsonText(c))
		return err
	})
	return about(err, fmt.Sprintf("save what attempt %d at step %s of run %s used", number, step, run))
}

// Courses are those of a run's attempts in their order, or only of those of
// one step. Of more than limit they are the longest.
func (s *Store) Courses(ctx context.Context, run ridgeline.RunID, step string, limit int) ([]ridgeline.AttemptCourse, error) {
	// The rows are chosen without their courses, which may be thousands.
	const query = `SELECT c.step, c.number, c.course FROM courses c
		WHERE c.run = $1 AND (c.step, c.number) IN (SELECT step, number FROM courses WHERE run = $1 AND (step = $2 OR $2 = '') ORDER BY seconds DESC, step, number LIMIT $3)
		ORDER BY c.began, c.step, c.number`
	all, err := collect(ctx, s.q(), func(row sqlq.Row) (c ridgeline.AttemptCourse, err error) {
		return c, row.Scan(&c.Step, &c.Number, asJSON(&c.Course))
	}, query, run, step, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("read what the attempts of run %s used: %w", run, err)
	}
	return all, nil
}
