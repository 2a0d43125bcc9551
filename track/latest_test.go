package track

import (
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/store/sqldb"
)

// testFreshValues: a last value is there for whoever asks, in whichever order
// reading, folding and ending come, and after a restart.
func testFreshValues(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{}))(t)
	step := int64(0)
	log := func(n int) {
		t.Helper()
		for range n {
			step++
			ok(t, s.Log(ctx, run.ID, Batch{Metrics: []Metric{{Key: "a", Value: float64(step), Step: step}, {Key: "b", Value: float64(-step), Step: step}}}))
		}
	}
	fresh := func() (n int) {
		t.Helper()
		ok(t, s.db.Reader().QueryRow(ctx, `SELECT count(*) FROM fresh`).Scan(&n))
		return n
	}
	is := func() {
		t.Helper()
		got := must(s.Run(ctx, run.ID))(t).Metrics
		if len(got) != 2 || got[0].Step != step || got[0].Value != float64(step) || got[1].Value != float64(-step) {
			t.Fatalf("after %d steps: %+v", step, got)
		}
		if n := fresh(); n != 0 {
			t.Fatalf("%d rows are fresh behind a read", n)
		}
	}
	log(3)
	if n := fresh(); n != 3 {
		t.Fatalf("%d rows are fresh, want 3", n)
	}
	is()
	log(2)
	must(s.foldRun(ctx, run.number))(t) // some of it known, some of it fresh
	is()
	log(2)
	finished := Finished
	must(s.ChangeRun(ctx, run.ID, RunChange{Status: &finished}))(t)
	if runs, _, err := s.SearchRuns(ctx, Search{Experiments: []int64{0}, Max: 9, Filter: fmt.Sprintf("metrics.a = %d", step)}); err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	log(1) // into a run that has ended
	must(s.foldRun(ctx, run.number))(t)
	is()
	log(1)
	before := map[int64]int64{}
	for range 2 {
		ok(t, s.settleQuiet(ctx, before))
	}
	var open int
	if ok(t, s.db.Reader().QueryRow(ctx, `SELECT count(*) FROM unsettled`).Scan(&open)); open != 0 {
		t.Fatalf("%d runs are unsettled", open)
	}
	is()
	// A row that sorts before what was folded, from a server whose clock is behind.
	late := []Metric{{Key: "a", Value: 1e6, Step: 1e6}}
	step = 1e6
	ok(t, s.db.Write(ctx, func(q sqlq.Querier) error {
		if _, err := q.Exec(ctx, `INSERT INTO arrived (run, sequence, data) VALUES ($1, 1, $2)`, run.number, encodeArrived(late)); err != nil {
			return err
		}
		_, err := q.Exec(ctx, `INSERT INTO fresh (run, sequence) VALUES ($1, 1)`, run.number)
		return err
	}))
	if got := must(s.Run(ctx, run.ID))(t).Metrics; got[0].Value != 1e6 {
		t.Fatalf("%+v", got)
	}
	ok(t, s.DeleteRun(ctx, run.ID))
	ok(t, s.Log(ctx, must(s.CreateRun(ctx, NewRun{}))(t).ID, Batch{Metrics: late}))
	if n := fresh(); n != 1 {
		t.Fatalf("%d rows are fresh, want 1", n)
	}
}

// testUpgrade: what a database of the schema before 0006 holds, where each value
// was in latest when its request was answered, is all there.
func testUpgrade(t *testing.T, address string) {
	ctx := t.Context()
	old := fstest.MapFS{}
	files := must(fs.Glob(embedded, "migrations/*.sql"))(t)
	for _, name := range files {
		if base := strings.TrimPrefix(name, "migrations/"); base < "0006" {
			old[base] = &fstest.MapFile{Data: must(embedded.ReadFile(name))(t)}
		}
	}
	db := must(sqldb.Open(ctx, address, sqldb.Options{Migrations: old, Schema: "tracking"}))(t)
	points := []Metric{{Key: "a", Value: 1, Step: 1, Time: 1}, {Key: "a", Value: 3, Step: 3, Time: 3}, {Key: "b", Value: -1, Step: 1, Time: 1}}
	folded := []Metric{{Key: "a", Value: 2, Step: 2, Time: 2}}
	ok(t, db.Write(ctx, func(q sqlq.Querier) error {
		for _, row := range []struct {
			text string
			args []any
		}{
			{`INSERT INTO experiments (id, name, artifact_location, stage, created, updated) VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 1, 1)`, nil},
			{`INSERT INTO runs (number, id, experiment, name, user_id, status, started, ended, artifact_uri, stage, deleted)
				VALUES (1, 'old', 0, 'n', 'u', 'RUNNING', 5, NULL, 'mlflow-artifacts:/0/old/artifacts', 'active', NULL)`, nil},
			{`UPDATE counters SET value = 1 WHERE name = 'run'`, nil},
			{`INSERT INTO arrived (run, sequence, data) VALUES (1, 100, $1)`, []any{encodeArrived(points)}},
			{`INSERT INTO points (run, key, sequence, data) VALUES (1, 'a', 50, $1)`, []any{encodePoints(folded)}},
			{`INSERT INTO latest (run, key, step, time, value, nan, settled) VALUES (1, 'a', 3, 3, 3, 0, 0), (1, 'b', 1, 1, -1, 0, 0)`, nil},
			{`INSERT INTO unsettled (run) VALUES (1)`, nil},
		} {
			if _, err := q.Exec(ctx, row.text, row.args...); err != nil {
				return err
			}
		}
		return nil
	}))
	ok(t, db.Close())
	s := opened(t, address)
	check := func(steps ...int64) {
		t.Helper()
		for i, m := range must(s.History(ctx, "old", "a"))(t) {
			if m.Step != steps[i] {
				t.Fatalf("point %d is of step %d, want %v", i, m.Step, steps)
			}
		}
		runs, _, err := s.SearchRuns(ctx, Search{Experiments: []int64{0}, Max: 9, Filter: fmt.Sprintf("metrics.a = %d and metrics.b = -1", steps[len(steps)-1])})
		if ok(t, err); len(runs) != 1 || len(runs[0].Metrics) != 2 {
			t.Fatalf("%+v", runs)
		}
	}
	check(1, 2, 3)
	ok(t, s.Log(ctx, "old", Batch{Metrics: []Metric{{Key: "a", Value: 4, Step: 4, Time: 4}}}))
	check(1, 2, 3, 4)
}

// testUnwritten: a database that takes no more last values is read all the same,
// with those that were acknowledged.
func testUnwritten(t *testing.T, s *Store) {
	ctx := t.Context()
	run := must(s.CreateRun(ctx, NewRun{Started: 1}))(t)
	point := func(key string, step int64, value float64) {
		t.Helper()
		ok(t, s.Log(ctx, run.ID, Batch{Metrics: []Metric{{Key: key, Value: value, Time: 1, Step: step}}}))
	}
	values := func(runs []Run) map[string]float64 {
		out := map[string]float64{}
		for _, r := range runs {
			for _, m := range r.Metrics {
				out[m.Key] = m.Value
			}
		}
		return out
	}
	point("loss", 0, 0.9)
	must(s.Run(ctx, run.ID))(t)
	full := []string{`CREATE TRIGGER full_disk BEFORE INSERT ON latest BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`}
	emptied := []string{`DROP TRIGGER full_disk`}
	if s.db.SQLite() == nil {
		full = []string{
			`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left on device'; END $$`,
			`CREATE TRIGGER full_disk BEFORE INSERT ON latest FOR EACH ROW EXECUTE FUNCTION full_disk()`,
		}
		emptied = []string{`DROP TRIGGER full_disk ON latest`}
	}
	do := func(texts []string) {
		t.Helper()
		ok(t, s.db.Write(ctx, func(q sqlq.Querier) error {
			for _, text := range texts {
				if _, err := q.Exec(ctx, text); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	do(full)
	point("loss", 2, 0.5)
	point("loss", 1, 0.7) // late
	point("accuracy", 0, math.NaN())
	search := Search{Experiments: []int64{0}, Max: 10}
	for name, got := range map[string]map[string]float64{
		"the run":    values([]Run{must(s.Run(ctx, run.ID))(t)}),
		"the search": values(first(s.SearchRuns(ctx, search))(t)),
	} {
		if got["loss"] != 0.5 || len(got) != 2 || !math.IsNaN(got["accuracy"]) {
			t.Errorf("%s: %v", name, got)
		}
	}
	do(emptied)
	search.Filter = "metrics.loss < 0.6"
	if got := values(first(s.SearchRuns(ctx, search))(t)); got["loss"] != 0.5 || len(got) != 2 {
		t.Errorf("once there is room: %v", got)
	}
}

// first is the runs of a search.
func first(runs []Run, _ string, err error) func(t *testing.T) []Run {
	return func(t *testing.T) []Run {
		t.Helper()
		ok(t, err)
		return runs
	}
}
