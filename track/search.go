package track

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// A Search asks for runs.
type Search struct {
	Experiments []int64 // none: no runs
	Filter      string  // in MLflow's grammar: see package query
	View        View
	Orders      []string
	Max         int    // runs on a page
	Token       string // of the page before
}

// A page token says where the next page begins: behind a run, in the usual
// order, or after so many.
type pageToken struct {
	Offset  int    `json:"offset,omitempty"`
	Started *int64 `json:"started,omitempty"`
	ID      string `json:"id,omitempty"`
}

func (t pageToken) String() string {
	b, _ := json.Marshal(t)
	return base64.StdEncoding.EncodeToString(b)
}

func parseToken(text string) (t pageToken, err error) {
	if text == "" {
		return t, nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.Offset < 0 {
		return t, ridgeline.Errorf(ridgeline.Invalid, "Invalid page token, could not base64-decode: use the next_page_token of the page before, with the same search")
	}
	return t, nil
}

// SearchRuns returns a page of runs with all they logged but the histories, and
// the token of the next page, empty when there is none. Without an order, or
// where it leaves runs equal, later started ones come first, then by id.
func (s *Store) SearchRuns(ctx context.Context, search Search) ([]Run, string, error) {
	terms, err := query.Runs.Parse(search.Filter)
	if err != nil {
		return nil, "", err
	}
	by, err := orders(query.Runs, search.Orders)
	if err != nil {
		return nil, "", err
	}
	token, err := parseToken(search.Token)
	if err != nil || len(search.Experiments) == 0 {
		return nil, "", err
	}
	var runs []Run
	switch {
	case len(by) == 0:
		runs, err = s.byStart(ctx, search, terms, token)
	case len(by) == 1 && by[0].Kind == query.Metric:
		runs, err = s.byMetric(ctx, search, terms, by[0], token.Offset)
	default:
		runs, err = s.byAny(ctx, search, terms, by, token.Offset)
	}
	if err != nil {
		return nil, "", doing(err, "search runs")
	}
	next := ""
	if len(runs) > search.Max {
		runs = runs[:search.Max]
		t := pageToken{Offset: token.Offset + search.Max}
		if last := runs[len(runs)-1]; len(by) == 0 {
			t = pageToken{Started: &last.Started, ID: last.ID}
		}
		next = t.String()
	}
	return runs, next, doing(fill(ctx, s.db.Reader(), runs), "search runs")
}

// byStart is the usual order: one more run than fits the page.
func (s *Store) byStart(ctx context.Context, search Search, terms []query.Term, token pageToken) ([]Run, error) {
	st := &statement{}
	from, terms, err := s.from(ctx, st, terms, search.Max+1)
	if err != nil {
		return nil, err
	}
	where := s.where(st, search, terms) + from.join
	if token.Started != nil {
		started, id := st.arg(*token.Started), st.arg(token.ID)
		where += " AND (r.started < " + started + " OR r.started = " + started + " AND r.id > " + id + ")"
	}
	return s.runs(ctx, st, selectColumns+from.tables+where+" ORDER BY r.started DESC, r.id LIMIT "+st.arg(int64(search.Max+1)))
}

const selectColumns = `SELECT r.number, r.id, r.experiment, r.name, r.user_id, r.status, r.started, r.ended, r.artifact_uri, r.stage`

func (s *Store) where(st *statement, search Search, terms []query.Term) string {
	where := " WHERE " + st.scope(search.Experiments, search.View)
	for _, t := range terms {
		where += " AND " + st.condition(t)
	}
	return where
}

func (s *Store) runs(ctx context.Context, st *statement, text string) ([]Run, error) {
	var runs []Run
	err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		r, err := scanRun(row)
		runs = append(runs, r)
		return err
	}, text, st.args...)
	return runs, err
}

// A beginning is the tables that a search reads, and the condition that joins
// them.
type beginning struct{ tables, join string }

// from decides where to begin: with the runs that the rarest term holds for, by
// the index on its values, or with the latest runs, of which each is looked at
// until the page is full. Of N runs, the first takes as many steps as the rarest
// term holds for; the second wanted/share, where share is that of the runs that
// all terms hold for, taken as independent of each other, and N at most. A step
// of the first costs about four times as much, for its runs lie apart. It returns
// the terms that are left.
func (s *Store) from(ctx context.Context, st *statement, terms []query.Term, wanted int) (beginning, []query.Term, error) {
	latest := beginning{tables: " FROM runs r"}
	candidates := 0
	for _, t := range terms {
		if (&statement{}).found(t) != "" {
			candidates++
		}
	}
	if candidates == 0 {
		return latest, terms, nil
	}
	var total int64
	if err := s.db.Reader().QueryRow(ctx, `SELECT value FROM counters WHERE name = 'run'`).Scan(&total); err != nil {
		return latest, nil, err
	}
	// Beyond this many no term alone is worth beginning with; several may be.
	most := int64(math.Sqrt(float64(wanted)*float64(total))) + 1
	if candidates > 1 {
		most = max(most, total/10)
	}
	fewest, rarest, share := most, -1, 1.0
	for i, t := range terms {
		count := &statement{}
		found := count.found(t)
		if found == "" {
			continue
		}
		var n int64
		text := "SELECT count(*) FROM (SELECT run FROM (" + found + ") f LIMIT " + count.arg(most) + ") c"
		if err := s.db.Reader().QueryRow(ctx, text, count.args...).Scan(&n); err != nil {
			return latest, nil, err
		}
		share *= float64(n) / float64(max(total, 1))
		if n < fewest {
			fewest, rarest = n, i
		}
	}
	if rarest < 0 || 4*float64(fewest) > min(float64(total), float64(wanted)/max(share, 1e-12)) {
		return latest, terms, nil
	}
	// SQLite takes the tables of a CROSS JOIN in the order they are written.
	found := beginning{tables: " FROM (" + st.found(terms[rarest]) + ") f CROSS JOIN runs r", join: " AND r.number = f.run"}
	return found, slices.Delete(slices.Clone(terms), rarest, rarest+1), nil
}

// byMetric sorts by the last value of one metric: those in the index by value
// are read in its order, and those of runs that are being logged to are sorted
// and merged; runs whose value is NaN follow, then those without the metric.
func (s *Store) byMetric(ctx context.Context, search Search, terms []query.Term, by query.Order, offset int) ([]Run, error) {
	wanted := offset + search.Max + 1
	direction := ""
	if by.Descending {
		direction = " DESC"
	}
	var all []Run
	for _, nan := range []int64{0, 1} {
		var parts [2][]ranked
		for i, from := range []string{
			" FROM latest l CROSS JOIN runs r",
			" FROM unsettled u CROSS JOIN latest l CROSS JOIN runs r",
		} {
			st := &statement{}
			settled := "l.settled = 1"
			if i == 1 {
				settled = "l.run = u.run AND l.settled = 0"
			}
			text := selectColumns + ", l.value" + from + s.where(st, search, terms) + " AND r.number = l.run AND " + settled +
				" AND l.key = " + st.arg(by.Key) + " AND l.nan = " + st.arg(nan) +
				" ORDER BY l.value" + direction + ", r.started DESC, r.id LIMIT " + st.arg(int64(wanted-len(all)))
			err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
				var x ranked
				var err error
				x.Run, err = scanRun(row, &x.value)
				parts[i] = append(parts[i], x)
				return err
			}, text, st.args...)
			if err != nil {
				return nil, err
			}
		}
		all = append(all, merge(parts[0], parts[1], by.Descending, wanted-len(all))...)
		if len(all) >= wanted {
			return all[min(offset, len(all)):], nil
		}
	}
	st := &statement{}
	where := s.where(st, search, terms) + " AND NOT EXISTS (SELECT 1 FROM latest l WHERE l.run = r.number AND l.key = " + st.arg(by.Key) + ")"
	rest, err := s.runs(ctx, st, selectColumns+" FROM runs r"+where+" ORDER BY r.started DESC, r.id LIMIT "+st.arg(int64(wanted-len(all))))
	if err != nil {
		return nil, err
	}
	all = append(all, rest...)
	return all[min(offset, len(all)):], nil
}

// ranked is a run with the value that it is sorted by.
type ranked struct {
	Run
	value float64
}

// merge merges two sorted lists. A run that was settled between the two queries
// may be in both.
func merge(a, b []ranked, descending bool, most int) []Run {
	both := append(slices.Clone(a), b...)
	slices.SortStableFunc(both, func(x, y ranked) int {
		switch {
		case x.value != y.value:
			if (x.value < y.value) != descending {
				return -1
			}
			return 1
		case x.Started != y.Started:
			if x.Started > y.Started {
				return -1
			}
			return 1
		}
		return strings.Compare(x.ID, y.ID)
	})
	var out []Run
	seen := map[int64]bool{}
	for _, x := range both {
		if len(out) == most {
			break
		}
		if !seen[x.number] {
			seen[x.number] = true
			out = append(out, x.Run)
		}
	}
	return out
}

// byAny sorts by whatever is asked for. What has no value comes last, NaN before
// that, in either direction.
func (s *Store) byAny(ctx context.Context, search Search, terms []query.Term, by []query.Order, offset int) ([]Run, error) {
	st := &statement{}
	from, terms, err := s.from(ctx, st, terms, math.MaxInt32) // all of them have to be sorted: few are better
	if err != nil {
		return nil, err
	}
	var joins, order strings.Builder
	started := false
	for i, o := range by {
		alias := "o" + strconv.Itoa(i)
		column := alias + ".value"
		switch o.Kind {
		case query.Attribute:
			column = runColumns[o.Key]
			started = started || o.Key == "start_time"
		case query.Metric:
			joins.WriteString(" LEFT JOIN latest " + alias + " ON " + alias + ".run = r.number AND " + alias + ".key = " + st.arg(o.Key))
		default:
			joins.WriteString(" LEFT JOIN " + pairTable(o.Kind) + " " + alias + " ON " + alias + ".run = r.number AND " + alias + ".key = " + st.arg(o.Key))
		}
		last := "CASE WHEN " + column + " IS NULL THEN 1 ELSE 0 END"
		if o.Kind == query.Metric {
			last = "CASE WHEN " + column + " IS NULL THEN 2 ELSE " + alias + ".nan END"
		}
		order.WriteString(last + ", " + column)
		if o.Descending {
			order.WriteString(" DESC")
		}
		order.WriteString(", ")
	}
	if !started {
		order.WriteString("r.started DESC, ")
	}
	text := selectColumns + from.tables + joins.String() + s.where(st, search, terms) + from.join + " ORDER BY " + order.String() + "r.id LIMIT " + st.arg(int64(search.Max+1)) + " OFFSET " + st.arg(int64(offset))
	return s.runs(ctx, st, text)
}
