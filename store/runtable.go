package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// RunMarks is how many runs a filter chooses, in the order of a value's name, as
// RunsByValue has them; without a name, newest first. Where each run has to be
// asked whether it is chosen, it is also each every-th of them: mark i, from 0,
// is row (i+1)*every-1. Behind a mark (RunFilter.Before), a page far down costs
// what the first one does. Else there are no marks, and RunFilter.Skip is quick.
func (s *Store) RunMarks(ctx context.Context, want RunFilter, name string, down bool, every int) (total int, marks []ridgeline.RunID, err error) {
	id, from, order := "runs.id", "runs", newestFirst
	var f filter
	if name != "" {
		id, from, order = "v.run", "run_values v", valueOrder(down)
		f, err = s.chosenValues(ctx, want, name, down)
	} else {
		f, err = s.chosenRuns(ctx, want)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("count runs: %w", err)
	}
	if len(want.Where) == 0 && (name == "" || want.Status == "" && want.Verdict == "" && !want.Unfinished && !want.Unjudged) {
		query, args := f.sql("SELECT COUNT(*) FROM "+from, "1", 0)
		err = s.q().QueryRow(ctx, query, args...).Scan(&total)
		return total, nil, about(err, "count runs")
	}
	query, args := f.sql("SELECT "+id+" AS id, ROW_NUMBER() OVER (ORDER BY "+order+") AS n FROM "+from, "n", 0)
	query = "WITH numbered AS (" + query + ") SELECT id, n FROM numbered WHERE n % $" + strconv.Itoa(len(args)+1) + " = 0 OR n = (SELECT COUNT(*) FROM numbered) ORDER BY n"
	marked, err := collect(ctx, s.q(), func(row sqlq.Row) (id ridgeline.RunID, err error) {
		err = row.Scan(&id, &total) // the last one's number is how many there are
		if total%every != 0 {
			id = ""
		}
		return id, err
	}, query, append(args, int64(every))...)
	if err != nil {
		return 0, nil, fmt.Errorf("count runs: %w", err)
	}
	return total, slices.DeleteFunc(marked, func(id ridgeline.RunID) bool { return id == "" }), nil
}

// A RunColumn is a value that runs have: p.NAME or m.NAME.
type RunColumn struct {
	Name    string
	Differs bool // it is not the same in all of them, or some have none
}

// RunColumns are the values that the newest of the runs that a filter chooses
// have, by name; of so many, as far as they have ended.
func (s *Store) RunColumns(ctx context.Context, want RunFilter, newest int) ([]RunColumn, error) {
	f, err := s.chosenRuns(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("list the columns of runs: %w", err)
	}
	runs, args := f.sql("SELECT runs.id FROM runs", newestFirst, newest)
	query := `SELECT name, COUNT(*), CASE WHEN MIN(number) = MAX(number) AND MIN(text) = MAX(text) THEN 0 ELSE 1 END
		FROM run_values WHERE run IN (` + runs + `) GROUP BY name ORDER BY name`
	most, counts := int64(0), []int64(nil)
	all, err := collect(ctx, s.q(), func(row sqlq.Row) (c RunColumn, err error) {
		var n int64
		err = row.Scan(&c.Name, &n, asBool(&c.Differs))
		most, counts = max(most, n), append(counts, n)
		return c, err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list the columns of runs: %w", err)
	}
	for i := range all {
		all[i].Differs = all[i].Differs || counts[i] < most // each that has ended has Took
	}
	return slices.DeleteFunc(all, func(c RunColumn) bool { return c.Name == Took }), nil
}
