package track

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// An ExperimentSearch asks for experiments.
type ExperimentSearch struct {
	Filter string
	View   View
	Orders []string // none: the newest first
	Max    int
	Token  string
	// Project asks for those of one project alone: the one that is named as it,
	// and those named PROJECT/….
	Project string
}

var experimentColumns = map[string]string{"name": "e.name", "experiment_id": "e.id", "creation_time": "e.created", "last_update_time": "e.updated"}

// SearchExperiments returns a page of experiments with their tags, and the token
// of the next page.
func (s *Store) SearchExperiments(ctx context.Context, search ExperimentSearch) ([]Experiment, string, error) {
	terms, err := query.Experiments.Parse(search.Filter)
	if err != nil {
		return nil, "", err
	}
	if len(search.Orders) == 0 {
		search.Orders = []string{"creation_time DESC", "experiment_id ASC"}
	}
	by, err := orders(query.Experiments, search.Orders)
	if err != nil {
		return nil, "", err
	}
	token, err := parseToken(search.Token)
	if err != nil {
		return nil, "", err
	}
	st := &statement{}
	where := " WHERE e." + search.View.stages()
	if p := search.Project; p != "" {
		where += " AND (e.name = " + st.arg(p) + " OR substr(e.name, 1, " + strconv.Itoa(utf8.RuneCountInString(p)+1) + ") = " + st.arg(p+"/") + ")"
	}
	for _, t := range terms {
		condition, err := st.experimentCondition(t)
		if err != nil {
			return nil, "", err
		}
		where += " AND " + condition
	}
	if !slices.ContainsFunc(by, func(o query.Order) bool { return o.Key == "experiment_id" }) {
		by = append(by, query.Order{Kind: query.Attribute, Key: "experiment_id", Descending: true})
	}
	var order []string
	for _, o := range by {
		column := experimentColumns[o.Key]
		if o.Descending {
			column += " DESC"
		}
		order = append(order, column)
	}
	text := `SELECT e.id, e.name, e.artifact_location, e.stage, e.created, e.updated FROM experiments e` + where + " ORDER BY " + strings.Join(order, ", ") +
		" LIMIT " + st.arg(int64(search.Max+1)) + " OFFSET " + st.arg(int64(token.Offset))
	var all []Experiment
	err = each(ctx, s.db.Reader(), func(row sqlq.Row) error {
		e, err := scanExperiment(row)
		all = append(all, e)
		return err
	}, text, st.args...)
	if err != nil {
		return nil, "", doing(err, "search experiments")
	}
	next := ""
	if len(all) > search.Max {
		all = all[:search.Max]
		next = pageToken{Offset: token.Offset + search.Max}.String()
	}
	return all, next, s.tagExperiments(ctx, all)
}

func (s *statement) experimentCondition(t query.Term) (string, error) {
	if t.Kind == query.Tag {
		exists := "EXISTS (SELECT 1 FROM experiment_tags p WHERE p.experiment = e.id AND p.key = " + s.arg(t.Key)
		switch t.Op {
		case query.IsNull:
			return "NOT " + exists + ")", nil
		case query.IsNotNull:
			return exists + ")", nil
		}
		return exists + " AND " + s.compare("p.value", t) + ")", nil
	}
	if t.Key != "experiment_id" {
		if query.Experiments.Attributes[t.Key] {
			return s.compareNumber(experimentColumns[t.Key], t), nil
		}
		return s.compare(experimentColumns[t.Key], t), nil
	}
	ids := t.List
	if len(ids) == 0 {
		ids = []string{t.Text}
	}
	all := make([]string, len(ids))
	for i, text := range ids {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", ridgeline.Errorf(ridgeline.Invalid, "Invalid experiment ID '%s'. Experiment ID must be a valid integer.", text)
		}
		all[i] = s.arg(id)
	}
	op := query.In
	if t.Op == query.Unequal || t.Op == query.NotIn {
		op = query.NotIn
	}
	return "e.id " + op + " (" + strings.Join(all, ", ") + ")", nil
}
