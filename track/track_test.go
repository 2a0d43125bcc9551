package track

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestSQLite(t *testing.T) {
	suite(t, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "tracking.db") })
}

func TestPostgres(t *testing.T) {
	suite(t, func(t *testing.T) string { return pgtest.URL(t) })
}

// suite is what the store promises on either database.
func suite(t *testing.T, address func(t *testing.T) string) {
	with := func(test func(t *testing.T, s *Store)) func(t *testing.T) {
		return func(t *testing.T) { test(t, opened(t, address(t))) }
	}
	t.Run("experiments", with(testExperiments))
	t.Run("runs", with(testRuns))
	t.Run("repeated creations", func(t *testing.T) { testRepeatedCreations(t, address(t)) })
	t.Run("logging", with(testLogging))
	t.Run("histories", with(testHistories))
	t.Run("many runs at once", with(testTogether))
	t.Run("searches", with(testSearches))
	t.Run("searches while logging", with(testSearchesWhileLogging))
	t.Run("plans", with(testPlans))
	t.Run("pages", with(testPages))
	t.Run("datasets", with(testDatasets))
	t.Run("logged models", with(testModels))
	t.Run("awkward text", with(testAwkwardText))
	t.Run("many at once", with(testManyAtOnce))
	t.Run("fresh values", with(testFreshValues))
	t.Run("reading what cannot be written", with(testUnwritten))
	t.Run("upgrade", func(t *testing.T) { testUpgrade(t, address(t)) })
}

func opened(t *testing.T, address string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, code ridgeline.Code, part string) {
	t.Helper()
	if ridgeline.CodeOf(err) != code || !strings.Contains(err.Error(), part) {
		t.Fatalf("got %v, want %s with %q", err, code, part)
	}
}

func testExperiments(t *testing.T, s *Store) {
	ctx := t.Context()
	e := must(s.Experiment(ctx, 0))(t)
	if e.Name != "Default" || e.ArtifactLocation != "mlflow-artifacts:/0" || e.Stage != Active {
		t.Fatalf("%+v", e)
	}
	id := must(s.CreateExperiment(ctx, NewExperiment{Name: "iris/ä", Tags: []Pair{{"team", "a"}, {"team", "b"}}}))(t)
	e = must(s.ExperimentByName(ctx, "iris/ä"))(t)
	if e.ID != id || id != 1 || !reflect.DeepEqual(e.Tags, []Pair{{"team", "b"}}) || e.ArtifactLocation != "mlflow-artifacts:/1" {
		t.Fatalf("%+v", e)
	}
	_, err := s.CreateExperiment(ctx, NewExperiment{Name: "iris/ä"})
	refused(t, err, ridgeline.Conflict, "already exists")
	_, err = s.Experiment(ctx, 7)
	refused(t, err, ridgeline.NotFound, "No Experiment with id=7 exists")

	ok(t, s.SetExperimentTag(ctx, id, Pair{"owner", "x"}))
	ok(t, s.DeleteExperimentTag(ctx, id, "owner"))
	refused(t, s.DeleteExperimentTag(ctx, id, "owner"), ridgeline.NotFound, "No tag with name: owner")
	ok(t, s.RenameExperiment(ctx, id, "flowers"))
	refused(t, s.RenameExperiment(ctx, id, "Default"), ridgeline.Conflict, "already exists")
	run := must(s.CreateRun(ctx, NewRun{Experiment: id, Name: "one"}))(t)
	ok(t, s.DeleteExperiment(ctx, id))
	refused(t, s.DeleteExperiment(ctx, id), ridgeline.NotFound, "No Experiment")
	refused(t, s.RenameExperiment(ctx, id, "x"), ridgeline.Invalid, "non-active")
	refused(t, s.SetExperimentTag(ctx, id, Pair{"a", "b"}), ridgeline.Invalid, "must be in the 'active' state")
	if got := must(s.Run(ctx, run.ID))(t); got.Stage != Deleted {
		t.Fatalf("%+v", got)
	}
	_, err = s.CreateExperiment(ctx, NewExperiment{Name: "flowers"})
	refused(t, err, ridgeline.Conflict, "deleted state")
	all, next, err := s.SearchExperiments(ctx, ExperimentSearch{Max: 10})
	if ok(t, err); len(all) != 1 || next != "" {
		t.Fatalf("%+v %q", all, next)
	}
	ok(t, s.RestoreExperiment(ctx, id))
	if got := must(s.Run(ctx, run.ID))(t); got.Stage != Active {
		t.Fatalf("%+v", got)
	}
	for filter, want := range map[string]int{
		"name = 'flowers'": 1, "name ILIKE 'FLOW%'": 1, "name LIKE 'FLOW%'": 0, "tags.team = 'b'": 1, "tag.team IS NULL": 1, "tags.team IS NOT NULL": 1,
		"experiment_id IN ('0','1')": 2, "experiment_id != '0'": 1, "creation_time > 0": 2, "": 2,
	} {
		all, _, err := s.SearchExperiments(ctx, ExperimentSearch{Max: 10, Filter: filter})
		if err != nil || len(all) != want {
			t.Errorf("%s: %d %v", filter, len(all), err)
		}
	}
	_, _, err = s.SearchExperiments(ctx, ExperimentSearch{Max: 10, Filter: "experiment_id = 'x'"})
	refused(t, err, ridgeline.Invalid, "must be a valid integer")
	first, next, err := s.SearchExperiments(ctx, ExperimentSearch{Max: 1, Orders: []string{"name ASC"}})
	if ok(t, err); len(first) != 1 || first[0].Name != "Default" || next == "" {
		t.Fatalf("%+v", first)
	}
	second, next, err := s.SearchExperiments(ctx, ExperimentSearch{Max: 1, Orders: []string{"name ASC"}, Token: next})
	if ok(t, err); len(second) != 1 || second[0].Name != "flowers" || next != "" {
		t.Fatalf("%+v", second)
	}
}

func testRuns(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{Name: "n", User: "u", Started: 12, Tags: []Pair{{"a", "b"}}}))(t)
	got := must(s.Run(ctx, run.ID))(t)
	if got.Name != "n" || got.User != "u" || got.Started != 12 || got.Status != Running || got.Ended != nil || got.ArtifactURI != "mlflow-artifacts:/0/"+run.ID+"/artifacts" ||
		!reflect.DeepEqual(got.Tags, []Pair{{"a", "b"}, {RunNameTag, "n"}}) || !reflect.DeepEqual(got.Tags, run.Tags) {
		t.Fatalf("%+v\n%+v", got, run)
	}
	_, err := s.CreateRun(ctx, NewRun{Name: "n", Tags: []Pair{{RunNameTag, "m"}}})
	refused(t, err, ridgeline.Invalid, "with different values")
	_, err = s.CreateRun(ctx, NewRun{Experiment: 9})
	refused(t, err, ridgeline.NotFound, "No Experiment with id=9")
	if named := must(s.CreateRun(ctx, NewRun{}))(t); named.Name == "" {
		t.Fatal("a run without a name")
	}
	fixed := must(s.CreateRun(ctx, NewRun{ID: "abc", Name: "x"}))(t)
	if again := must(s.CreateRun(ctx, NewRun{ID: "abc", Name: "y"}))(t); again.Name != "x" || again.number != fixed.number {
		t.Fatalf("%+v", again)
	}

	status, ended, name := Finished, int64(99), "renamed"
	changed := must(s.ChangeRun(ctx, run.ID, RunChange{&status, &ended, &name}))(t)
	got = must(s.Run(ctx, run.ID))(t)
	if changed.Status != Finished || got.Status != Finished || *got.Ended != 99 || got.Name != "renamed" || got.Tags[1].Value != "renamed" {
		t.Fatalf("%+v", got)
	}
	ok(t, s.Log(ctx, run.ID, Batch{Tags: []Pair{{RunNameTag, "by tag"}}}))
	if got := must(s.Run(ctx, run.ID))(t); got.Name != "by tag" {
		t.Fatalf("%+v", got)
	}
	ok(t, s.DeleteTag(ctx, run.ID, "a"))
	refused(t, s.DeleteTag(ctx, run.ID, "a"), ridgeline.NotFound, "No tag with name: a")
	ok(t, s.DeleteRun(ctx, run.ID))
	ok(t, s.DeleteRun(ctx, run.ID))
	_, err = s.ChangeRun(ctx, run.ID, RunChange{Name: &name})
	refused(t, err, ridgeline.Invalid, "must be in the 'active' state")
	refused(t, s.Log(ctx, run.ID, Batch{Tags: []Pair{{"a", "b"}}}), ridgeline.Invalid, "must be in the 'active' state")
	ok(t, s.RestoreRun(ctx, run.ID))
	if got := must(s.Run(ctx, run.ID))(t); got.Stage != Active {
		t.Fatalf("%+v", got)
	}
	_, err = s.Run(ctx, "nope")
	refused(t, err, ridgeline.NotFound, "Run with id=nope not found")
}

// testRepeatedCreations: a client repeats a request whose answer it never saw.
func testRepeatedCreations(t *testing.T, address string) {
	ctx := t.Context()
	s := must(Open(ctx, Options{URL: address}))(t)
	one := must(s.CreateRun(ctx, NewRun{Request: "q"}))(t)
	two := must(s.CreateRun(ctx, NewRun{Request: "q"}))(t)
	if one.ID == two.ID {
		t.Fatal("two requests that were both answered are two runs")
	}
	ok(t, s.Unanswered(ctx, "q"))
	if again := must(s.CreateRun(ctx, NewRun{Request: "q"}))(t); again.ID != two.ID || len(again.Tags) != 1 {
		t.Fatalf("%+v", again)
	}
	ok(t, s.Close())
	s = opened(t, address)
	third := must(s.CreateRun(ctx, NewRun{Request: "p"}))(t)
	ok(t, s.Close())
	s = opened(t, address)
	if again := must(s.CreateRun(ctx, NewRun{Request: "p"}))(t); again.ID != third.ID {
		t.Fatal("the server ended before the client had its answer: the run is the same")
	}
}

func testLogging(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{Name: "r"}))(t)
	batch := Batch{
		Metrics: []Metric{{Key: "a", Value: 1, Time: 10, Step: 0}, {Key: "a", Value: 3, Time: 5, Step: 2}, {Key: "a", Value: 2, Time: 20, Step: 1}, {Key: "n", Value: math.NaN()}, {Key: "i", Value: math.Inf(-1)}},
		Params:  []Pair{{"lr", "0.1"}, {"opt", "adam"}},
		Tags:    []Pair{{"t", "1"}, {"t", "2"}},
	}
	ok(t, s.Log(ctx, run.ID, batch))
	ok(t, s.Log(ctx, run.ID, batch)) // the client repeats itself
	got := must(s.Run(ctx, run.ID))(t)
	if len(got.Metrics) != 3 || got.Metrics[0].Value != 3 || got.Metrics[0].Step != 2 || !math.IsInf(got.Metrics[1].Value, -1) || !math.IsNaN(got.Metrics[2].Value) {
		t.Fatalf("%+v", got.Metrics)
	}
	if !reflect.DeepEqual(got.Params, batch.Params) || !slices.Contains(got.Tags, Pair{"t", "2"}) {
		t.Fatalf("%+v", got)
	}
	refused(t, s.Log(ctx, run.ID, Batch{Params: []Pair{{"lr", "0.2"}}, Single: true}), ridgeline.Invalid,
		"Param with key='lr' was already logged with value='0.1' for run ID='"+run.ID+"'. Attempted logging new value '0.2'.")
	refused(t, s.Log(ctx, run.ID, Batch{Params: []Pair{{"new", "1"}, {"lr", "0.2"}}, Metrics: []Metric{{Key: "z"}}}), ridgeline.Invalid,
		"Params were already logged='[{'key': 'lr', 'old_value': '0.1', 'new_value': '0.2'}]'")
	if got := must(s.Run(ctx, run.ID))(t); len(got.Params) != 2 || len(got.Metrics) != 3 {
		t.Fatalf("half of a refused batch is there: %+v", got)
	}
	refused(t, s.Log(ctx, "nope", batch), ridgeline.NotFound, "Run with id=nope")
}

func testHistories(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{}))(t)
	var want []Metric
	for i := range 3*foldFrom + 7 {
		m := Metric{Key: "loss", Value: 1 / float64(i+1), Time: int64(1000 + i), Step: int64(i)}
		want = append(want, m)
		ok(t, s.Log(ctx, run.ID, Batch{Metrics: []Metric{m, {Key: "other", Value: float64(i), Time: m.Time}}}))
	}
	odd := []Metric{{Key: "odd", Value: math.NaN(), Step: -3}, {Key: "odd", Value: math.Inf(1), Step: math.MaxInt64, Time: 4}, {Key: "odd", Value: -0.5, Step: math.MinInt64, Time: 9}}
	ok(t, s.Log(ctx, run.ID, Batch{Metrics: odd}))
	check := func() {
		t.Helper()
		if got := must(s.History(ctx, run.ID, "loss"))(t); !reflect.DeepEqual(got, want) {
			t.Fatalf("%d points, want %d", len(got), len(want))
		}
		got := must(s.History(ctx, run.ID, "odd"))(t)
		if len(got) != 3 || !math.IsNaN(got[0].Value) || got[0].Step != -3 || !math.IsInf(got[1].Value, 1) || got[1].Step != math.MaxInt64 || got[2].Step != math.MinInt64 {
			t.Fatalf("%+v", got)
		}
	}
	check()
	// A repeated request whose first points are folded already changes nothing.
	for {
		if n := must(s.foldRun(ctx, run.number))(t); n < foldFrom {
			break
		}
	}
	ok(t, s.Log(ctx, run.ID, Batch{Metrics: []Metric{want[5]}}))
	check()
	if got := must(s.History(ctx, run.ID, "never"))(t); len(got) != 0 {
		t.Fatal(got)
	}
	_, err := s.History(ctx, "nope", "loss")
	refused(t, err, ridgeline.NotFound, "nope")
}

// testTogether: what is asked of many runs at once is what each of them says,
// folded or not, and of a tag's values only those that were asked for.
func testTogether(t *testing.T, s *Store) {
	ctx := t.Context()
	experiment, ids := searchable(t, s)
	team := func(i int) string { return strings.Repeat("x", 80) + fmt.Sprint(i) }
	for i, id := range ids[:3] {
		for step, v := range []float64{5, float64(-i), math.NaN(), 3} {
			ok(t, s.Log(ctx, id, Batch{Metrics: []Metric{{Key: "wave", Value: v, Step: int64(step), Time: int64(step)}}}))
		}
		if i == 1 {
			must(s.foldRun(ctx, must(s.Run(ctx, id))(t).number))(t)
		}
	}
	runs := must(s.Tagged(ctx, []int64{experiment}, "team", []string{team(2), team(1), team(0), "nobody"}, 10))(t)
	if len(runs) != 3 || runs[0].ID != ids[0] || runs[2].ID != ids[2] || runs[1].Tag("team") != team(1) || runs[1].Tag("none") != "" || len(runs[0].Metrics) == 0 {
		t.Fatalf("by their tags: %+v", runs)
	}
	all := must(s.Histories(ctx, runs, "wave"))(t)
	spans := must(s.Spans(ctx, runs))(t)
	for i, id := range ids[:3] {
		alone := must(s.History(ctx, id, "wave"))(t)
		if len(alone) != 4 || fmt.Sprint(all[id]) != fmt.Sprint(alone) {
			t.Errorf("%s among others: %v, alone: %v", id, all[id], alone)
		}
		if got, want := spans[id]["wave"], (Span{float64(-i), 5}); got != want {
			t.Errorf("%s spans %v, want %v", id, got, want)
		}
	}
	again := must(s.CreateRun(ctx, NewRun{Experiment: experiment, Started: 1000, Tags: []Pair{{"team", team(1)}}}))(t)
	if got := must(s.Tagged(ctx, []int64{experiment}, "team", []string{team(1)}, 1))(t); len(got) != 1 || got[0].ID != again.ID {
		t.Errorf("the newest of a team: %+v", got)
	}
	if got := must(s.Tagged(ctx, []int64{0}, "team", []string{team(1)}, 1))(t); len(got) != 0 {
		t.Errorf("another experiment's: %+v", got)
	}
	ok(t, s.DeleteRun(ctx, again.ID))
	if got := must(s.Tagged(ctx, []int64{experiment, 0}, "team", []string{team(1)}, 5))(t); len(got) != 1 || got[0].ID != ids[1] {
		t.Errorf("with one of them deleted: %+v", got)
	}
}

// searchable makes six runs in a new experiment; the later ones start earlier.
func searchable(t *testing.T, s *Store) (experiment int64, ids []string) {
	ctx := t.Context()
	experiment = must(s.CreateExperiment(ctx, NewExperiment{Name: "search"}))(t)
	for i := range 6 {
		run := must(s.CreateRun(ctx, NewRun{Experiment: experiment, ID: fmt.Sprintf("run%d", i), Name: fmt.Sprintf("Name%d", i), User: "u", Started: int64(100 - i)}))(t)
		ids = append(ids, run.ID)
		b := Batch{Params: []Pair{{"depth", fmt.Sprint(i % 3)}}, Tags: []Pair{{"team", strings.Repeat("x", 80) + fmt.Sprint(i)}}}
		switch i {
		case 4:
			b.Metrics = []Metric{{Key: "acc", Value: math.NaN()}}
		case 5: // none
		default:
			b.Metrics = []Metric{{Key: "acc", Value: float64(i) / 10}, {Key: "loss", Value: -1}}
		}
		ok(t, s.Log(ctx, run.ID, b))
	}
	ok(t, s.LogInputs(ctx, ids[1], []Input{{Name: "iris", Digest: "d1", Tags: []Pair{{contextTag, "train"}}}}, nil))
	ok(t, s.DeleteRun(ctx, ids[3]))
	for _, id := range ids[:2] { // these are settled, the others not
		status := Finished
		must(s.ChangeRun(ctx, id, RunChange{Status: &status}))(t)
	}
	return experiment, ids
}

func testSearches(t *testing.T, s *Store) {
	experiment, _ := searchable(t, s)
	found := func(search Search) string {
		t.Helper()
		search.Experiments, search.Max = []int64{experiment, 0}, 100
		runs, next, err := s.SearchRuns(t.Context(), search)
		if err != nil || next != "" {
			t.Fatalf("%+v: %v %q", search, err, next)
		}
		var digits strings.Builder
		for _, r := range runs {
			digits.WriteString(strings.TrimPrefix(r.ID, "run"))
		}
		return digits.String()
	}
	for filter, want := range map[string]string{
		"": "01245", "metrics.acc > 0": "12", "metrics.acc >= 0": "012", "metrics.acc = 0.1": "1", "metrics.acc != 0.1": "024", "metrics.none > 0": "",
		"metrics.acc >= 0 AND metrics.loss < 0 and params.depth = '1'": "1",
		"params.depth = '0'": "0", "params.depth != '0'": "1245", "params.depth LIKE '%'": "01245", "params.depth IS NULL": "", "params.depth IS NOT NULL": "01245",
		"tags.team = '" + strings.Repeat("x", 80) + "2'": "2", "tags.team ILIKE 'X%1'": "1", "tags.team LIKE 'X%1'": "", `tags.team LIKE '\%'`: "",
		"status = 'FINISHED'": "01", "status != 'FINISHED'": "245", "run_name = 'Name4'": "4", "attributes.run_name LIKE 'name%'": "", "run_name ILIKE 'name%'": "01245",
		"run_id IN ('run0', 'run5')": "05", "run_id NOT IN ('run0', 'run5')": "124", "start_time > 98": "01", "start_time <= 98.5": "245", "end_time > 0": "",
		"dataset.name = 'iris'": "1", "datasets.context = 'train'": "1", "datasets.context = 'test'": "", "dataset.digest IN ('d1','d2')": "1", "user_id = 'u'": "01245",
	} {
		if got := found(Search{Filter: filter}); got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
	for order, want := range map[string]string{
		"metrics.acc ASC": "01245", "metrics.acc DESC": "21045", "params.depth": "01425", "params.depth DESC": "25140", "start_time ASC": "54210", "run_name DESC": "54210",
		"metrics.none": "01245", "tags.team DESC": "54210", "status": "01245",
	} {
		got := found(Search{Orders: []string{order}})
		if got != want {
			t.Errorf("%s: %s, want %s", order, got, want)
		}
	}
	if got := found(Search{Orders: []string{"params.depth DESC", "metrics.acc DESC"}}); got != "25140" {
		t.Error(got)
	}
	if got := found(Search{Orders: []string{"metrics.acc DESC"}, Filter: "params.depth != '1'"}); got != "205" {
		t.Error(got)
	}
	if got := found(Search{View: DeletedOnly}); got != "3" {
		t.Error(got)
	}
	if got := found(Search{View: All}); got != "012345" {
		t.Error(got)
	}
	_, _, err := s.SearchRuns(t.Context(), Search{Experiments: []int64{0}, Max: 5, Orders: []string{"start_time", "created DESC"}})
	refused(t, err, ridgeline.Invalid, "duplicate fields")
	_, _, err = s.SearchRuns(t.Context(), Search{Experiments: []int64{0}, Max: 5, Token: "???"})
	refused(t, err, ridgeline.Invalid, "page token")
}

// testSearchesWhileLogging: a value counts from the moment it was acknowledged,
// whether its run has ended or not, and the older one does no more.
func testSearchesWhileLogging(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{}))(t)
	finished := Finished
	for i := range 4 {
		ok(t, s.Log(ctx, run.ID, Batch{Metrics: []Metric{{Key: "m", Value: float64(i), Step: int64(i)}}}))
		if i%2 == 1 {
			must(s.ChangeRun(ctx, run.ID, RunChange{Status: &finished}))(t)
		}
		for _, search := range []Search{
			{Filter: fmt.Sprintf("metrics.m = %d", i)}, {Filter: fmt.Sprintf("metrics.m > %d", i-1), Orders: []string{"metrics.m"}},
		} {
			search.Experiments, search.Max = []int64{0}, 10
			runs, _, err := s.SearchRuns(ctx, search)
			if err != nil || len(runs) != 1 || runs[0].Metrics[0].Value != float64(i) {
				t.Fatalf("%d: %+v %v", i, runs, err)
			}
		}
		if runs, _, err := s.SearchRuns(ctx, Search{Experiments: []int64{0}, Max: 10, Filter: fmt.Sprintf("metrics.m < %d", i)}); err != nil || len(runs) != 0 {
			t.Fatalf("%d: %+v %v", i, runs, err)
		}
	}
}

func testPages(t *testing.T, s *Store) {
	ctx := t.Context()
	experiment, _ := searchable(t, s)
	for _, order := range [][]string{nil, {"metrics.acc DESC"}, {"params.depth", "metrics.acc"}} {
		whole, _, err := s.SearchRuns(ctx, Search{Experiments: []int64{experiment}, Max: 50, Orders: order})
		ok(t, err)
		var pages []string
		token := ""
		for range 10 {
			runs, next, err := s.SearchRuns(ctx, Search{Experiments: []int64{experiment}, Max: 2, Orders: order, Token: token})
			ok(t, err)
			for _, r := range runs {
				pages = append(pages, r.ID)
			}
			if token = next; token == "" {
				break
			}
		}
		var want []string
		for _, r := range whole {
			want = append(want, r.ID)
		}
		if !slices.Equal(pages, want) || len(want) != 5 {
			t.Errorf("%v: %v, want %v", order, pages, want)
		}
	}
	// Runs that begin between two pages shift nothing.
	first, token, err := s.SearchRuns(ctx, Search{Experiments: []int64{experiment}, Max: 2})
	ok(t, err)
	must(s.CreateRun(ctx, NewRun{Experiment: experiment, Started: 1000}))(t)
	second, _, err := s.SearchRuns(ctx, Search{Experiments: []int64{experiment}, Max: 2, Token: token})
	if ok(t, err); first[1].ID != "run1" || second[0].ID != "run2" {
		t.Fatalf("%+v %+v", first, second)
	}
	before := Search{Experiments: []int64{experiment}, Max: 2, Token: StartedBy(first[0].Started)}
	again, _, err := s.SearchRuns(ctx, before)
	if ok(t, err); !slices.Equal(ids(again), ids(first)) {
		t.Errorf("%v, want %v", ids(again), ids(first))
	}
	if total, _, err := s.RunMarks(ctx, before, 2); err != nil || total != 5 {
		t.Errorf("%d, %v; want the five from before", total, err)
	}
}

func testDatasets(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{}))(t)
	in := []Input{
		{Name: "d", Digest: "1", SourceType: "local", Source: "{}", Schema: "s", Profile: "p", Tags: []Pair{{contextTag, "train"}}},
		{Name: "d", Digest: "2", SourceType: "local", Source: "{}"},
	}
	ok(t, s.LogInputs(ctx, run.ID, in, []string{"m-1"}))
	ok(t, s.LogInputs(ctx, run.ID, in, []string{"m-1"}))
	ok(t, s.LogOutputs(ctx, run.ID, []Output{{"m-2", 3}}))
	ok(t, s.LogOutputs(ctx, run.ID, []Output{{"m-2", 3}}))
	got := must(s.Run(ctx, run.ID))(t)
	if !reflect.DeepEqual(got.Inputs, in) || !reflect.DeepEqual(got.Read, []string{"m-1"}) || !reflect.DeepEqual(got.Made, []Output{{"m-2", 3}}) {
		t.Fatalf("%+v", got)
	}
	if all := must(s.Datasets(ctx, []int64{0, 1}))(t); !reflect.DeepEqual(all, []DatasetSummary{{0, "d", "1", "train"}, {0, "d", "2", ""}}) {
		t.Fatalf("%+v", all)
	}
}

func testModels(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{}))(t)
	a := must(s.CreateModel(ctx, Model{Name: "a", Type: "sklearn", SourceRun: run.ID, Params: []Pair{{"p", "1"}}, Tags: []Pair{{"t", "x"}}}))(t)
	b := must(s.CreateModel(ctx, Model{}))(t)
	ok(t, s.FinalizeModel(ctx, a.ID, ModelReady))
	ok(t, s.TagModel(ctx, a.ID, []Pair{{"t", "y"}, {"u", "z"}}))
	ok(t, s.UntagModel(ctx, a.ID, "u"))
	refused(t, s.UntagModel(ctx, a.ID, "u"), ridgeline.NotFound, "No tag with key 'u'")
	ok(t, s.LogModelParams(ctx, a.ID, []Pair{{"q", "2"}}))
	ok(t, s.Log(ctx, run.ID, Batch{Metrics: []Metric{{Key: "acc", Value: 0.5, Time: 1, Model: a.ID, DatasetName: "d", DatasetDigest: "1"}}}))
	ok(t, s.Log(ctx, run.ID, Batch{Metrics: []Metric{{Key: "acc", Value: 0.7, Time: 2, Model: a.ID}, {Key: "acc", Value: 0.6, Time: 2, Model: b.ID}}}))
	got := must(s.Model(ctx, a.ID))(t)
	if got.Status != ModelReady || !reflect.DeepEqual(got.Params, []Pair{{"p", "1"}, {"q", "2"}}) || !reflect.DeepEqual(got.Tags, []Pair{{"t", "y"}}) ||
		len(got.Metrics) != 2 || got.Metrics[1].Value != 0.7 || got.Metrics[0].DatasetName != "d" || got.ArtifactURI != "mlflow-artifacts:/0/models/"+a.ID+"/artifacts" {
		t.Fatalf("%+v", got)
	}
	found := func(search ModelSearch) string {
		t.Helper()
		search.Experiments, search.Max = []int64{0}, 10
		models, _, err := s.SearchModels(ctx, search)
		ok(t, err)
		var names []string
		for _, m := range models {
			names = append(names, map[string]string{a.ID: "a", b.ID: "b"}[m.ID])
		}
		return strings.Join(names, "")
	}
	for filter, want := range map[string]string{
		"name = 'a'": "a", "metrics.acc > 0.65": "a", "params.p = '1'": "a", "tags.t LIKE 'y'": "a", "model_type IN ('sklearn')": "a", "creation_time > 0 AND params.p != '1'": "",
		"metrics.acc > 0.1 AND status = 'LOGGED_MODEL_READY'": "a", "attributes.source_run_id = '" + run.ID + "'": "a",
	} {
		if got := found(ModelSearch{Filter: filter}); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	if got := found(ModelSearch{Datasets: []DatasetFilter{{Name: "d"}}}); got != "a" {
		t.Error(got)
	}
	if got := found(ModelSearch{Orders: []ModelOrder{{Field: "metrics.acc"}}}); got != "ba" {
		t.Error(got)
	}
	ok(t, s.DeleteModel(ctx, a.ID))
	_, err := s.Model(ctx, a.ID)
	refused(t, err, ridgeline.NotFound, "not found")
	_, _, err = s.SearchModels(ctx, ModelSearch{Experiments: []int64{0}, Max: 1, Filter: "metrics.acc LIKE 'x'"})
	refused(t, err, ridgeline.Invalid, "Invalid comparator")
}

func testAwkwardText(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{Name: "a\x00b", User: "\xff"}))(t)
	ok(t, s.Log(ctx, run.ID, Batch{Params: []Pair{{"k'\"\\", "v\x00'; DROP TABLE runs; --"}}, Tags: []Pair{{"ключ", "値"}}, Metrics: []Metric{{Key: "é/ß"}}}))
	got := must(s.Run(ctx, run.ID))(t)
	if got.Name != "a\uFFFDb" || got.Params[0] != (Pair{"k'\"\\", "v\uFFFD'; DROP TABLE runs; --"}) || got.Metrics[0].Key != "é/ß" {
		t.Fatalf("%+v", got)
	}
	runs, _, err := s.SearchRuns(ctx, Search{Experiments: []int64{0}, Max: 5, Filter: "tags.`ключ` = '値' AND params.`k'\"\\` LIKE '%''; DROP%'"})
	if ok(t, err); len(runs) != 1 {
		t.Fatalf("%+v", runs)
	}
}

// testManyAtOnce: a write that is refused takes none of its neighbours with it.
func testManyAtOnce(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{}))(t)
	ok(t, s.Log(ctx, run.ID, Batch{Params: []Pair{{"p", "0"}}}))
	var wg sync.WaitGroup
	errs := make([]error, 60)
	for i := range errs {
		wg.Go(func() {
			b := Batch{Metrics: []Metric{{Key: "m", Value: float64(i), Step: int64(i)}}}
			if i%5 == 0 {
				b = Batch{Metrics: []Metric{{Key: "m", Step: 1000}}, Params: []Pair{{"p", "1"}}}
			}
			errs[i] = s.Log(ctx, run.ID, b)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if i%5 == 0 && ridgeline.CodeOf(err) != ridgeline.Invalid || i%5 != 0 && err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if got := must(s.History(ctx, run.ID, "m"))(t); len(got) != 48 {
		t.Fatalf("%d points", len(got))
	}
	if got := must(s.Run(ctx, run.ID))(t); got.Metrics[0].Step != 59 {
		t.Fatalf("%+v", got.Metrics)
	}
	if err := errors.Join(errs[1], errs[2]); err != nil {
		t.Fatal(err)
	}
}
