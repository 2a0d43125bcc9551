package track

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/track/query"
)

// testPlans: wherever a search begins, it finds what looking at every run finds,
// in the same order, page by page.
func testPlans(t *testing.T, s *Store) {
	ctx := t.Context()
	random := rand.New(rand.NewPCG(1, 2))
	var all []Run
	for e := range 2 {
		if e > 0 {
			must(s.CreateExperiment(ctx, NewExperiment{Name: "other"}))(t)
		}
		ok(t, s.db.Write(ctx, func(q sqlq.Querier) error { return randomRuns(ctx, s, q, random, int64(e)) }))
		runs, _, err := s.SearchRuns(ctx, Search{Experiments: []int64{int64(e)}, Max: 1000, View: All})
		ok(t, err)
		all = append(all, runs...)
	}
	slices.SortFunc(all, usual)
	filters := []string{
		"", "params.rare = '3'", "params.common = '1'", "params.common != '1'", "params.rare LIKE '1%'", "params.rare IS NULL", "params.common IS NOT NULL",
		"metrics.m < 0.1", "metrics.m > 0.9", "metrics.m > 0.2", "metrics.m != 0.5", "metrics.none = 1", "tags.team = 'a'", "status = 'FAILED'", "status = 'FINISHED'",
		"run_name = 'run 7'", "run_name LIKE 'run 1%'", "run_id = 'r-0-5'", "run_id IN ('r-0-5', 'r-1-9')", "start_time > 1050",
	}
	orders := []string{"", "metrics.m DESC", "metrics.m", "params.common", "params.rare DESC", "tags.team DESC", "run_name", "end_time", "end_time DESC", "start_time DESC", "start_time", "status"}
	began := map[string]int{}
	for range 400 {
		search := Search{Experiments: [][]int64{{0}, {1}, {0, 1}}[random.IntN(3)], View: View(random.IntN(3)), Max: 1 + random.IntN([]int{10, 300}[random.IntN(2)])}
		var parts []string
		for range random.IntN(3) + 1 {
			if f := filters[random.IntN(len(filters))]; f != "" {
				parts = append(parts, f)
			}
		}
		search.Filter = strings.Join(parts, " AND ")
		for range random.IntN(3) {
			if o := orders[random.IntN(len(orders))]; o != "" && !slices.ContainsFunc(search.Orders, func(p string) bool { return strings.Fields(p)[0] == strings.Fields(o)[0] }) {
				search.Orders = append(search.Orders, o)
			}
		}
		want := ids(reference(t, all, search))
		var got []string
		for page := search; ; {
			runs, next, err := s.SearchRuns(ctx, page)
			ok(t, err)
			got = append(got, ids(runs)...)
			if page.Token = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v:\n%v\nwant\n%v", search, got, want)
		}
		marked(t, s, random, search, want)
		terms, by := must(query.Runs.Parse(search.Filter))(t), []query.Order(nil)
		for _, o := range search.Orders {
			by = append(by, must(query.Runs.ParseOrder(o))(t))
		}
		if _, grouped, err := s.byGroup(ctx, search, terms, by, 0, search.Max+1); err != nil {
			t.Fatal(err)
		} else if grouped {
			began["by group"]++
		}
		p := must(s.plan(ctx, search, terms, by, search.Max+1))(t)
		began[fmt.Sprint("found ", p.begin != nil, ", in order ", p.inOrder, ", sorted ", len(by) > 0)]++
	}
	if len(began) < 6 || began["by group"] == 0 { // found or not, each with and without an order; along the order's index; one value after the other
		t.Errorf("the searches began in %d ways only: %v", len(began), began)
	}
}

// marked: it is known how many runs a search finds; a page begins wherever it is
// asked to, counted from the first run or from a mark.
func marked(t *testing.T, s *Store, random *rand.Rand, search Search, want []string) {
	t.Helper()
	const every = 7
	total, marks, err := s.RunMarks(t.Context(), search, every)
	if ok(t, err); total != len(want) || marks != nil && len(marks) != total/every {
		t.Fatalf("%+v: %d runs with %d marks, want %d", search, total, len(marks), len(want))
	}
	search.Skip = random.IntN(total + 2)
	from := min(search.Skip, total)
	if n := search.Skip / every; n > 0 && n <= len(marks) {
		search.Token, search.Skip = marks[n-1], search.Skip%every
	}
	runs, _, err := s.SearchRuns(t.Context(), search)
	if ok(t, err); !slices.Equal(ids(runs), want[from:min(from+search.Max, total)]) {
		t.Fatalf("%+v, from %d: %v, want %v", search, from, ids(runs), want[from:])
	}
}

func randomRuns(ctx context.Context, s *Store, q sqlq.Querier, random *rand.Rand, experiment int64) error {
	for i := range 150 {
		tags := []Pair{{RunNameTag, fmt.Sprint("run ", i%40)}, {"team", strings.Repeat("x", 70*random.IntN(2)) + string(rune('a'+random.IntN(3)))}}
		run, err := s.createRun(ctx, q, NewRun{ID: fmt.Sprintf("r-%d-%d", experiment, i), Experiment: experiment, Started: 1000 + int64(random.IntN(100)), Tags: tags[:1+random.IntN(2)]})
		if err != nil {
			return err
		}
		params := []Pair{{"common", fmt.Sprint(random.IntN(3))}, {"rare", fmt.Sprint(random.IntN(100))}}
		metrics := []Metric{{Key: "m", Value: math.Round(random.Float64()*100) / 100}}
		if i%9 == 0 {
			metrics[0].Value = math.NaN()
		}
		if err := putParams(ctx, q, run, Batch{Params: params[:random.IntN(3)]}); err != nil {
			return err
		}
		metrics = metrics[:random.IntN(2)]
		if err := s.putMetrics(ctx, q, run, encodeArrived(metrics), metrics); err != nil {
			return err
		}
		status, stage, ended := []string{Finished, Finished, Failed, Running}[random.IntN(4)], []string{Active, Active, Deleted}[random.IntN(3)], any(nil)
		if status != Running {
			ended = 2000 + int64(random.IntN(50))
			if err := settle(ctx, q, run.number); err != nil {
				return err
			}
		}
		if _, err := q.Exec(ctx, `UPDATE runs SET status = $1, stage = $2, ended = $3 WHERE number = $4`, status, stage, ended, run.number); err != nil {
			return err
		}
	}
	return nil
}

func usual(a, b Run) int {
	return cmp.Or(cmp.Compare(b.Started, a.Started), cmp.Compare(a.ID, b.ID))
}

func ids(runs []Run) (all []string) {
	for _, r := range runs {
		all = append(all, r.ID)
	}
	return all
}

// reference looks at every run; all are in the usual order.
func reference(t *testing.T, all []Run, search Search) (found []Run) {
	t.Helper()
	terms := must(query.Runs.Parse(search.Filter))(t)
	for _, r := range all {
		inView := search.View == All || (search.View == DeletedOnly) == (r.Stage == Deleted)
		if inView && slices.Contains(search.Experiments, r.Experiment) && !slices.ContainsFunc(terms, func(term query.Term) bool { return !holds(r, term) }) {
			found = append(found, r)
		}
	}
	for _, text := range slices.Backward(search.Orders) {
		o := must(query.Runs.ParseOrder(text))(t)
		slices.SortStableFunc(found, func(a, b Run) int {
			x, rankX := sortable(a, o)
			y, rankY := sortable(b, o)
			c := cmp.Compare(rankX, rankY)
			if c == 0 && rankX == 0 {
				if c = cmp.Or(cmp.Compare(x.number, y.number), cmp.Compare(x.text, y.text)); o.Descending {
					c = -c
				}
			}
			return c
		})
	}
	return found
}

type fieldValue struct {
	number float64
	text   string
}

// sortable is a run's value of a field; its rank is 0, 1 for NaN, 2 for none.
func sortable(r Run, o query.Order) (v fieldValue, rank int) {
	if o.Kind == query.Attribute && o.Key == "run_name" {
		return fieldValue{text: r.Name}, 0
	}
	switch o.Kind {
	case query.Metric:
		for _, m := range r.Metrics {
			if m.Key == o.Key && !math.IsNaN(m.Value) {
				return fieldValue{number: m.Value}, 0
			} else if m.Key == o.Key {
				return v, 1
			}
		}
		return v, 2
	case query.Param, query.Tag:
		pairs := r.Params
		if o.Kind == query.Tag {
			pairs = r.Tags
		}
		for _, p := range pairs {
			if p.Key == o.Key {
				return fieldValue{text: p.Value}, 0
			}
		}
		return v, 2
	}
	switch o.Key {
	case "start_time":
		return fieldValue{number: float64(r.Started)}, 0
	case "end_time":
		if r.Ended == nil {
			return v, 2
		}
		return fieldValue{number: float64(*r.Ended)}, 0
	case "run_id":
		return fieldValue{text: r.ID}, 0
	}
	return fieldValue{text: r.Status}, 0
}

// holds is a term of those in testPlans.
func holds(r Run, term query.Term) bool {
	v, rank := sortable(r, query.Order{Kind: term.Kind, Key: term.Key})
	switch term.Op {
	case query.IsNull:
		return rank == 2
	case query.IsNotNull:
		return rank < 2
	case query.Unequal:
		return rank == 1 || rank == 0 && v != fieldValue{term.Number, term.Text}
	}
	if rank > 0 {
		return false
	}
	switch term.Op {
	case query.Less:
		return v.number < term.Number
	case query.Greater:
		return v.number > term.Number
	case query.Like:
		return strings.HasPrefix(v.text, strings.TrimSuffix(term.Text, "%"))
	case query.In:
		return slices.Contains(term.List, v.text)
	}
	return v == fieldValue{term.Number, term.Text}
}
