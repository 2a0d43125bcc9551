package track

import (
	"context"
	"encoding/base64"
	"encoding/json"
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
	Skip        int    // runs to leave out, of those that the page would begin with
}

// A page token says where the next page begins: behind a run, in the usual
// order, or after so many, or both.
type pageToken struct {
	Offset  int    `json:"offset,omitempty"`
	Started *int64 `json:"started,omitempty"`
	ID      string `json:"id,omitempty"`
}

func (t pageToken) String() string {
	b, _ := json.Marshal(t)
	return base64.StdEncoding.EncodeToString(b)
}

// StartedBy is the token of a page of runs in the usual order that begins with
// those that were started at that time, in Unix milliseconds, or before.
func StartedBy(started int64) string { return pageToken{Started: &started}.String() }

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
	terms, by, token, err := search.parse()
	if err != nil || len(search.Experiments) == 0 {
		return nil, "", err
	}
	token.Offset += search.Skip
	stale, err := s.readable(ctx, s.refreshAll(ctx))
	if err != nil {
		return nil, "", doing(err, "search runs")
	}
	runs, err := s.find(ctx, search, terms, by, token)
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
	err = fill(ctx, s.db.Reader(), runs)
	if err == nil && stale {
		err = merge(ctx, s.db.Reader(), runs)
	}
	return runs, next, doing(err, "search runs")
}

// parse returns no order for the usual one.
func (search Search) parse() (terms []query.Term, by []query.Order, token pageToken, err error) {
	if terms, err = query.Runs.Parse(search.Filter); err != nil {
		return nil, nil, token, err
	}
	if by, err = orders(query.Runs, search.Orders); err != nil {
		return nil, nil, token, err
	}
	token, err = parseToken(search.Token)
	return terms, usually(by), token, err
}

// usually leaves the usual order out where it is asked for by its name.
func usually(by []query.Order) []query.Order {
	if len(by) == 1 && by[0] == (query.Order{Kind: query.Attribute, Key: "start_time", Descending: true}) {
		return nil
	}
	return by
}

// find returns a page of runs, and one more where there is one.
func (s *Store) find(ctx context.Context, search Search, terms []query.Term, by []query.Order, token pageToken) ([]Run, error) {
	wanted := token.Offset + search.Max + 1 // one more than fits the page tells whether there is another
	if runs, ok, err := s.byGroup(ctx, search, terms, by, token.Offset, wanted); ok || err != nil {
		return runs, err
	}
	p, err := s.plan(ctx, search, terms, by, wanted)
	switch {
	case err != nil:
		return nil, err
	case len(by) == 0:
		return s.byStart(ctx, search, p, token)
	case p.inOrder:
		return s.byValue(ctx, search, p, by, token.Offset)
	}
	return s.byAny(ctx, search, p, by, token.Offset)
}

// runColumnsAll are those that scanRun reads.
const runColumnsAll = `r.number, r.id, r.experiment, r.name, r.user_id, r.status, r.started, r.ended, r.artifact_uri, r.stage`

func (s *Store) runs(ctx context.Context, st *statement, text string) ([]Run, error) {
	var runs []Run
	err := each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		r, err := scanRun(row)
		runs = append(runs, r)
		return err
	}, text, st.args...)
	return runs, err
}

// maxArms is of how many experiments in how many stages runs are merged; of more
// they are sorted.
const maxArms = 40

// byStart is the usual order. Each experiment's runs of one stage are in that
// order in an index; those of several are merged.
func (s *Store) byStart(ctx context.Context, search Search, p plan, token pageToken) ([]Run, error) {
	st := s.statement()
	from, joined := p.from(st)
	where := joined + st.where(p.terms) + st.behind(token)
	var arms []string
	if p.begin == nil && 2*len(search.Experiments) <= maxArms {
		arms = st.scopes(search)
	} else {
		arms = []string{st.scope(search)}
	}
	for i, scope := range arms {
		arms[i] = "SELECT " + runColumnsAll + from + " WHERE " + scope + where
	}
	text := arms[0]
	if len(arms) > 1 {
		text = "SELECT " + runColumnsAll + " FROM (" + strings.Join(arms, " UNION ALL ") + ") r"
	}
	return s.runs(ctx, st, text+" ORDER BY r.started DESC, r.id LIMIT "+st.arg(int64(search.Max+1))+" OFFSET "+st.arg(int64(token.Offset)))
}

// behind is the condition that a run comes behind that of the token, in the usual
// order.
func (s *statement) behind(token pageToken) string {
	if token.Started == nil {
		return ""
	}
	started, id := s.arg(*token.Started), s.arg(token.ID)
	return " AND (r.started < " + started + " OR r.started = " + started + " AND r.id > " + id + ")"
}

// byAny sorts all runs that it finds by whatever is asked for. What has no value
// comes last, NaN before that, in either direction.
func (s *Store) byAny(ctx context.Context, search Search, p plan, by []query.Order, offset int) ([]Run, error) {
	st := s.statement()
	from, joined := p.from(st)
	joins, order := st.order(by, 0)
	text := "SELECT " + runColumnsAll + from + joins + " WHERE " + st.scope(search) + joined + st.where(p.terms) +
		" ORDER BY " + order + " LIMIT " + st.arg(int64(search.Max+1)) + " OFFSET " + st.arg(int64(offset))
	return s.runs(ctx, st, text)
}

// order is what to sort by, and the joins that it takes. From the given order
// on: those before are decided otherwise.
func (s *statement) order(by []query.Order, first int) (joins, order string) {
	started := false
	for i, o := range by {
		o = orderAsTag(o)
		started = started || o.Kind == query.Attribute && o.Key == "start_time"
		if i < first {
			continue
		}
		alias := "o" + strconv.Itoa(i)
		switch o.Kind {
		case query.Metric:
			joins += " LEFT JOIN latest " + alias + " ON " + alias + ".run = r.number AND " + alias + ".key = " + s.arg(o.Key)
			order += "CASE WHEN " + alias + ".value IS NULL THEN 2 ELSE " + alias + ".nan END, "
		case query.Param, query.Tag:
			joins += " LEFT JOIN " + pairTable(o.Kind) + " " + alias + " ON " + alias + ".run = r.number AND " + alias + ".key = " + s.arg(o.Key)
			order += "CASE WHEN " + alias + ".value IS NULL THEN 1 ELSE 0 END, "
		default:
			if o.Key == "end_time" {
				order += "CASE WHEN r.ended IS NULL THEN 1 ELSE 0 END, "
			}
		}
		for _, column := range s.sortedBy(o, alias) {
			order += column + direction(o) + ", "
		}
	}
	if !started {
		order += "r.started DESC, "
	}
	return joins, order + "r.id"
}

// sortedBy is what an order compares. Where the indexes hold the beginnings of
// texts, those come first.
func (s *statement) sortedBy(o query.Order, alias string) []string {
	switch {
	case o.Kind == query.Attribute:
		return []string{runColumns[o.Key]}
	case o.Kind == query.Metric || s.whole:
		return []string{alias + ".value"}
	}
	return []string{"substr(" + alias + ".value, 1, 64)", alias + ".value"}
}

func direction(o query.Order) string {
	if o.Descending {
		return " DESC"
	}
	return ""
}

// orderAsTag is asTag for an order.
func orderAsTag(o query.Order) query.Order {
	if o.Kind == query.Attribute && o.Key == "run_name" {
		o.Kind, o.Key = query.Tag, RunNameTag
	}
	return o
}

// hasIndex reports whether the values of an order's field are in an index.
func hasIndex(o query.Order) bool {
	return orderAsTag(o).Kind != query.Attribute || o.Key == "end_time"
}

// byValue walks along the index of the first order's values, until the page is
// full: those with a value, of a metric then those that are NaN, then those
// without. What the index leaves equal is sorted by the other orders.
func (s *Store) byValue(ctx context.Context, search Search, p plan, by []query.Order, offset int) ([]Run, error) {
	var all []Run
	wanted := search.Max + 1
	arriving, err := s.arriving(ctx, offset)
	if err != nil {
		return nil, err
	}
	for part := range 3 {
		st := s.statement()
		text := st.part(part, search, p, by, wanted-len(all), offset, arriving)
		if text == "" {
			continue
		}
		runs, err := s.runs(ctx, st, text)
		if err != nil {
			return nil, err
		}
		if all = append(all, runs...); len(all) >= wanted {
			break
		}
		if len(runs) > 0 || offset == 0 {
			offset = 0
			continue
		}
		st = s.statement()
		n, err := count1(ctx, s.db.Reader(), st, st.part(part, search, p, by, offset, 0, arriving), int64(offset))
		if err != nil {
			return nil, err
		}
		offset -= int(n) // the page begins behind this part
	}
	return all, nil
}

// arriving reports whether runs are being logged to. To merge them is little work
// at the beginning of an order and much far behind it: only there it is asked.
func (s *Store) arriving(ctx context.Context, offset int) (bool, error) {
	if offset == 0 {
		return true, nil
	}
	st := s.statement()
	n, err := count1(ctx, s.db.Reader(), st, "SELECT u.run FROM unsettled u", 1)
	return n > 0, err
}

// part is one of byValue's parts, empty when there is none: those with a value,
// those whose value is NaN, those without; of it so many runs behind the first
// ones. arriving is that runs are being logged to.
func (s *statement) part(part int, search Search, p plan, by []query.Order, wanted, offset int, arriving bool) string {
	o := orderAsTag(by[0])
	table := map[query.Kind]string{query.Metric: "latest", query.Param: "params", query.Tag: "tags"}[o.Kind]
	conditions := s.scope(search) + s.where(p.terms)
	joins, rest := s.order(by, 1)
	limit := " LIMIT " + s.arg(int64(wanted)) + " OFFSET " + s.arg(int64(offset))
	simple := func(tables, more string) string {
		return "SELECT " + runColumnsAll + " FROM " + tables + joins + " WHERE " + conditions + more
	}
	var first strings.Builder
	for _, column := range s.sortedBy(o, "l") {
		first.WriteString(column + direction(o) + ", ")
	}
	switch {
	case part == 2 && table == "":
		return simple("runs r", " AND r.ended IS NULL") + " ORDER BY " + rest + limit
	case part == 2:
		return simple("runs r", " AND NOT EXISTS (SELECT 1 FROM "+table+" l WHERE l.run = r.number AND l.key = "+s.arg(o.Key)+")") + " ORDER BY " + rest + limit
	case part == 1 && o.Kind != query.Metric:
		return ""
	case table == "":
		return simple("runs r", " AND r.ended IS NOT NULL") + " ORDER BY " + first.String() + rest + limit
	case o.Kind != query.Metric:
		return simple(table+" l CROSS JOIN runs r", " AND r.number = l.run AND l.key = "+s.arg(o.Key)) + " ORDER BY " + first.String() + rest + limit
	}
	// The values of runs that are being logged to are not in the index: they are
	// sorted, and merged with those that are.
	named := " AND r.number = l.run AND l.key = " + s.arg(o.Key) + " AND l.nan = " + s.arg(int64(part))
	settled := simple("latest l CROSS JOIN runs r", named+" AND l.settled = 1") + " ORDER BY " + first.String() + rest
	if !arriving {
		return settled + limit
	}
	upto := " LIMIT " + s.arg(int64(wanted+offset))
	unsettled := simple("unsettled u CROSS JOIN latest l CROSS JOIN runs r", named+" AND l.run = u.run AND l.settled = 0") + " ORDER BY " + first.String() + rest + upto
	return "SELECT " + runColumnsAll + " FROM (SELECT * FROM (" + settled + upto + ") a UNION ALL SELECT * FROM (" + unsettled + ") b) r CROSS JOIN latest l" + joins +
		" WHERE l.run = r.number AND l.key = " + s.arg(o.Key) + " ORDER BY " + first.String() + rest + limit
}
