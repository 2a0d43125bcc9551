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
type statement struct{ args []any }

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
		return "EXISTS (SELECT 1 FROM latest m WHERE m.run = r.number AND m.key = " + s.arg(t.Key) + " AND " + s.compareMetric("m", t) + ")"
	case query.Dataset:
		column := "d." + t.Key
		if t.Key == "context" {
			column = "i.context"
		}
		return "EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.id = i.dataset WHERE i.run = r.number AND " + s.compare(column, t) + ")"
	}
	exists := "EXISTS (SELECT 1 FROM " + pairTable(t.Kind) + " p WHERE p.run = r.number AND p.key = " + s.arg(t.Key)
	switch t.Op {
	case query.IsNull:
		return "NOT " + exists + ")"
	case query.IsNotNull:
		return exists + ")"
	}
	return exists + " AND " + s.compare("p.value", t) + ")"
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

// found is a term as a query for the numbers of the runs that it holds for, by
// an index on values; empty when there is none for it.
func (s *statement) found(t query.Term) string {
	t = asTag(t)
	switch {
	case t.Kind == query.Metric && t.Op != query.Unequal:
		return "SELECT m.run AS run FROM latest m WHERE m.key = " + s.arg(t.Key) + " AND m.settled = 1 AND " + s.compareMetric("m", t) +
			" UNION ALL SELECT m.run AS run FROM unsettled u CROSS JOIN latest m WHERE m.run = u.run AND m.key = " + s.arg(t.Key) +
			" AND m.settled = 0 AND " + s.compareMetric("m", t)
	case (t.Kind == query.Param || t.Kind == query.Tag) && t.Op == query.Equal:
		return "SELECT p.run AS run FROM " + pairTable(t.Kind) + " p WHERE p.key = " + s.arg(t.Key) + " AND substr(p.value, 1, 64) = " + s.arg(prefix(t.Text)) +
			" AND p.value = " + s.arg(t.Text)
	}
	return ""
}

// scope restricts the run r to experiments and stages.
func (s *statement) scope(experiments []int64, view View) string {
	if len(experiments) == 1 {
		return "r.experiment = " + s.arg(experiments[0]) + " AND r." + view.stages()
	}
	all := make([]string, len(experiments))
	for i, e := range experiments {
		all[i] = s.arg(e)
	}
	return "r.experiment IN (" + strings.Join(all, ", ") + ") AND r." + view.stages()
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
