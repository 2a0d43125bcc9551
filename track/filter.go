package track

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// A statement gathers a text and its arguments.
type statement struct {
	args  []any
	run   string // the column that has the number of the run that conditions are about
	whole bool   // indexes hold texts as a whole, and not their beginnings
}

func (s *Store) statement() *statement {
	return &statement{run: "r.number", whole: s.db.SQLite() != nil}
}

// arg adds an argument and returns its placeholder.
func (s *statement) arg(v any) string {
	if text, ok := v.(string); ok {
		v = clean(text)
	}
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

// compare compares a text column.
func (s *statement) compare(column string, t query.Term) string { return t.SQL(column, s.arg) }

// compareNumber compares a column of whole numbers.
func (s *statement) compareNumber(column string, t query.Term) string {
	return t.NumberSQL(column, s.arg)
}

// compareMetric compares the columns value and nan: NaN is unequal to
// everything and nothing else.
func (s *statement) compareMetric(alias string, t query.Term) string {
	compare := alias + ".value " + t.Op + " " + s.arg(t.Number)
	if t.Op == query.Unequal {
		return "(" + alias + ".nan = 1 OR " + compare + ")"
	}
	return alias + ".nan = 0 AND " + compare
}

var runColumns = map[string]string{
	"run_id": "r.id", "user_id": "r.user_id", "status": "r.status", "artifact_uri": "r.artifact_uri", "start_time": "r.started", "end_time": "r.ended", "run_name": "r.name",
}

// condition is a term as a condition on the run r, which looks at the run's own
// rows.
func (s *statement) condition(t query.Term) string {
	t = asTag(t)
	switch t.Kind {
	case query.Attribute:
		if query.Runs.Attributes[t.Key] {
			return s.compareNumber(runColumns[t.Key], t)
		}
		return s.compare(runColumns[t.Key], t)
	case query.Metric:
		return "EXISTS (SELECT 1 FROM latest m WHERE m.run = " + s.run + " AND m.key = " + s.arg(t.Key) + " AND " + s.compareMetric("m", t) + ")"
	case query.Dataset:
		return "EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.id = i.dataset WHERE i.run = " + s.run + " AND " + s.compareDataset(t) + ")"
	}
	exists := "EXISTS (SELECT 1 FROM " + pairTable(t.Kind) + " p WHERE p.run = " + s.run + " AND p.key = " + s.arg(t.Key)
	switch t.Op {
	case query.IsNull:
		return "NOT " + exists + ")"
	case query.IsNotNull:
		return exists + ")"
	}
	return exists + " AND " + s.compare("p.value", t) + ")"
}

// compareDataset compares what is asked about the dataset d or the input i.
func (s *statement) compareDataset(t query.Term) string {
	if t.Key == "context" {
		return s.compare("i.context", t)
	}
	return s.compare("d."+t.Key, t)
}

func pairTable(k query.Kind) string {
	if k == query.Param {
		return "params"
	}
	return "tags"
}

// asTag asks for the name of a run by its tag, which has an index.
func asTag(t query.Term) query.Term {
	if t.Kind == query.Attribute && t.Key == "run_name" {
		t.Kind, t.Key = query.Tag, RunNameTag
	}
	return t
}

// prefix is what the indexes hold of a value.
func prefix(value string) string {
	runes := []rune(clean(value))
	return string(runes[:min(len(runes), 64)])
}

// where is terms as conditions, each after an AND.
func (s *statement) where(terms []query.Term) string {
	var where strings.Builder
	for _, t := range terms {
		where.WriteString(" AND " + s.condition(t))
	}
	return where.String()
}

// scope restricts the run r to the search's experiments and stages.
func (s *statement) scope(search Search) string {
	if len(search.Experiments) == 1 {
		return "r.experiment = " + s.arg(search.Experiments[0]) + " AND r." + search.View.stages()
	}
	all := make([]string, len(search.Experiments))
	for i, e := range search.Experiments {
		all[i] = s.arg(e)
	}
	return "r.experiment IN (" + strings.Join(all, ", ") + ") AND r." + search.View.stages()
}

// scopes are the same restriction to one experiment and one stage each.
func (s *statement) scopes(search Search) []string {
	var all []string
	views := []View{search.View}
	if search.View == All {
		views = []View{ActiveOnly, DeletedOnly}
	}
	for _, e := range slices.Compact(slices.Sorted(slices.Values(search.Experiments))) {
		for _, v := range views {
			all = append(all, "r.experiment = "+s.arg(e)+" AND r."+v.stages())
		}
	}
	return all
}

// orders reads the clauses of an order. Two of the same field are Invalid.
func orders(g query.Grammar, clauses []string) ([]query.Order, error) {
	var all []query.Order
	for _, c := range clauses {
		o, err := g.ParseOrder(c)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(p query.Order) bool { return p.Kind == o.Kind && p.Key == o.Key }) {
			return nil, ridgeline.Errorf(ridgeline.Invalid, "`order_by` contains duplicate fields: %s", fmt.Sprint(clauses))
		}
		all = append(all, o)
	}
	return all, nil
}
