package track

import (
	"context"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// A plan says where a search begins: with the runs that an index finds for some
// of the terms, along the index of the values that are sorted by, or with all
// runs of the experiments, the latest first.
type plan struct {
	begin   []query.Term // what the index answers; nil: none does
	terms   []query.Term // what is left to look at, run by run
	inOrder bool
}

// from is the tables to read, with the condition that joins them, and makes the
// statement's conditions be about the first, so that a run's own row is read
// last.
func (p plan) from(st *statement) (tables, joined string) {
	if p.begin == nil {
		return " FROM runs r", ""
	}
	st.run = "f.run"
	// SQLite takes the tables of a CROSS JOIN in the order they are written.
	return " FROM (" + st.found(p.begin) + ") f CROSS JOIN runs r", " AND r.number = f.run"
}

// A term costs a look into an index for each run. A run that an index finds has
// to be looked up besides, and runs that are found are sorted, all of them.
const foundCosts = 1.5

// plan chooses what takes the fewest steps. Of N runs in the experiments, of
// which a share fulfils the terms (each taken as independent of the others),
// walking takes min(N, wanted/share) steps; beginning with a term takes as many
// as it finds runs. How many that are, indexes are asked, up to a bound: what
// finds more is not worth beginning with.
func (s *Store) plan(ctx context.Context, search Search, terms []query.Term, by []query.Order, wanted int) (plan, error) {
	whole := plan{terms: terms}
	groups := groups(terms)
	if len(groups) == 0 && (len(by) == 0 || !hasIndex(by[0])) {
		return whole, nil
	}
	q := s.db.Reader()
	var total int64
	if err := q.QueryRow(ctx, `SELECT value FROM counters WHERE name = 'run'`).Scan(&total); err != nil {
		return whole, err
	}
	bound := max(int64(math.Sqrt(float64(wanted)*float64(total)))+1, total/10)
	st := &statement{}
	scope, err := count1(ctx, q, st, "SELECT r.number FROM runs r WHERE "+st.scope(search), bound)
	if err != nil {
		return whole, err
	}
	if scope == bound {
		scope = total
	}
	share, fewest, rarest := 1.0, bound, []query.Term(nil)
	for _, group := range groups {
		st := s.statement()
		n, err := count1(ctx, q, st, st.found(group), bound)
		if err != nil {
			return whole, err
		}
		share *= float64(n) / float64(max(total, 1))
		if n < fewest {
			fewest, rarest = n, group
		}
	}
	inIndex := plan{begin: rarest, terms: slices.DeleteFunc(slices.Clone(terms), func(t query.Term) bool {
		return exact(t) && slices.ContainsFunc(rarest, func(r query.Term) bool { return r.At == t.At })
	})}
	steps := float64(wanted) / max(share, 1e-12)
	best, cost := whole, float64(scope)
	switch {
	case len(by) == 0:
		cost = min(cost, steps)
	case hasIndex(by[0]):
		// The index holds other experiments' runs, too.
		if along := min(float64(total), steps*float64(total)/float64(max(scope, 1))); along < cost {
			best, cost = plan{terms: terms, inOrder: true}, along
		}
	}
	if rarest != nil && foundCosts*float64(fewest) < cost {
		best = inIndex
	}
	return best, nil
}

// count1 counts the rows of a query, up to a bound.
func count1(ctx context.Context, q sqlq.Querier, st *statement, text string, bound int64) (n int64, err error) {
	err = q.QueryRow(ctx, "SELECT count(*) FROM (SELECT 1 FROM ("+text+") f LIMIT "+st.arg(bound)+") c", st.args...).Scan(&n)
	return n, err
}

// groups are the terms that an index can answer, those of one field together.
func groups(terms []query.Term) [][]query.Term {
	var all [][]query.Term
	for _, t := range terms {
		if (&statement{}).found([]query.Term{t}) == "" {
			continue
		}
		i := slices.IndexFunc(all, func(g []query.Term) bool { return g[0].Kind == t.Kind && g[0].Key == t.Key && t.Kind == query.Metric })
		if i < 0 {
			all = append(all, []query.Term{t})
		} else {
			all[i] = append(all[i], t)
		}
	}
	return all
}

// exact reports whether what found finds for a term is all it holds for, and
// nothing else.
func exact(t query.Term) bool {
	t = asTag(t)
	return t.Kind != query.Param && t.Kind != query.Tag || t.Op == query.Equal || t.Op == query.IsNotNull
}

// found is terms of one field as a query for the numbers of runs, each once,
// among them all that the terms hold for; empty when no index knows them.
func (s *statement) found(terms []query.Term) string {
	t := asTag(terms[0])
	switch {
	case t.Kind == query.Metric && t.Op != query.Unequal:
		key, compare := s.arg(t.Key), ""
		for _, t := range terms {
			compare += " AND " + s.compareMetric("m", t)
		}
		return "SELECT m.run AS run FROM latest m WHERE m.key = " + key + " AND m.settled = 1" + compare +
			" UNION ALL SELECT m.run AS run FROM unsettled u CROSS JOIN latest m WHERE m.run = u.run AND m.key = " + key + " AND m.settled = 0" + compare
	case (t.Kind == query.Param || t.Kind == query.Tag) && t.Op == query.Equal:
		return "SELECT p.run AS run FROM " + pairTable(t.Kind) + " p WHERE p.key = " + s.arg(t.Key) + " AND substr(p.value, 1, 64) = " + s.arg(prefix(t.Text)) +
			" AND p.value = " + s.arg(t.Text)
	case (t.Kind == query.Param || t.Kind == query.Tag) && t.Op == query.Like && s.whole && beginning(t.Text) != "":
		// Only SQLite compares texts by their bytes whatever the database's language.
		from := beginning(t.Text)
		found := "SELECT p.run AS run FROM " + pairTable(t.Kind) + " p WHERE p.key = " + s.arg(t.Key) + " AND p.value >= " + s.arg(from)
		if to, ok := behindAll(from); ok {
			found += " AND p.value < " + s.arg(to)
		}
		return found
	case (t.Kind == query.Param || t.Kind == query.Tag) && t.Op != query.IsNull:
		return "SELECT p.run AS run FROM " + pairTable(t.Kind) + " p WHERE p.key = " + s.arg(t.Key)
	case t.Kind == query.Dataset:
		return "SELECT DISTINCT i.run AS run FROM datasets d CROSS JOIN inputs i WHERE i.dataset = d.id AND " + s.compareDataset(t)
	case t.Kind == query.Attribute && t.Key == "run_id" && (t.Op == query.Equal || t.Op == query.In):
		return "SELECT i.number AS run FROM runs i WHERE " + s.compare("i.id", t)
	case t.Kind == query.Attribute && t.Key == "status" && t.Op == query.Equal && t.Text != Finished:
		return "SELECT i.number AS run FROM runs i WHERE i.status <> 'FINISHED' AND i.status = " + s.arg(t.Text)
	}
	return ""
}

// beginning is what all texts begin with that a pattern of LIKE holds for.
func beginning(pattern string) string {
	before, _, _ := strings.Cut(pattern, "%")
	before, _, _ = strings.Cut(before, "_")
	return clean(before)
}

// behindAll is the first text, by its bytes, behind all that begin with a text;
// false when there is none.
func behindAll(text string) (string, bool) {
	runes := []rune(text)
	last := &runes[len(runes)-1]
	switch *last {
	case utf8.MaxRune:
		return "", false
	case 0xD7FF: // what follows is half of a pair, and no text
		*last = 0xE000
	default:
		*last++
	}
	return string(runes), true
}
