package track

import (
	"context"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// RunMarks is how many runs a search finds from its token on. Where each of them
// has to be asked whether it is one, and they come in the usual order, it is also
// the tokens of pages that begin every so many runs: mark i, from 0, is that of
// the page that begins with run (i+1)*every. From a mark on, a page far down costs
// what the first one does. Else there are no marks, and Search.Skip is quick.
func (s *Store) RunMarks(ctx context.Context, search Search, every int) (total int, marks []string, err error) {
	terms, by, token, err := search.parse()
	if err != nil || len(search.Experiments) == 0 {
		return 0, nil, err
	}
	if _, err := s.readable(ctx, s.refreshAll(ctx)); err != nil {
		return 0, nil, doing(err, "count runs")
	}
	p, err := s.plan(ctx, search, terms, nil, everyRun)
	if err != nil {
		return 0, nil, doing(err, "count runs")
	}
	if len(by) > 0 {
		token = pageToken{} // it is for the usual order
	}
	st := s.statement()
	from, joined := p.from(st)
	chosen := from + " WHERE " + st.scope(search) + joined + st.where(p.terms) + st.behind(token)
	if len(by) > 0 || len(terms) == 0 {
		err = s.db.Reader().QueryRow(ctx, "SELECT count(*)"+chosen, st.args...).Scan(&total)
		return total, nil, doing(err, "count runs")
	}
	text := "WITH numbered AS (SELECT r.started, r.id, ROW_NUMBER() OVER (ORDER BY r.started DESC, r.id) AS n" + chosen + ")" +
		" SELECT started, id, n FROM numbered WHERE n % " + st.arg(int64(every)) + " = 0 OR n = (SELECT count(*) FROM numbered) ORDER BY n"
	err = each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		var started int64
		var id string
		if err := row.Scan(&started, &id, &total); err != nil { // the last one's number is how many there are
			return err
		}
		if total%every == 0 {
			marks = append(marks, pageToken{Started: &started, ID: id}.String())
		}
		return nil
	}, text, st.args...)
	return total, marks, doing(err, "count runs")
}

// everyRun is more than there are, for a plan of reading all of them.
const everyRun = 1 << 40
