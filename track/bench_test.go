package track

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

var (
	benchRuns     = flag.Int("runs", 10_000, "runs that BenchmarkSearch searches among")
	benchPostgres = flag.Bool("postgres", false, "BenchmarkSearch on PostgreSQL instead of SQLite")
)

// BenchmarkSearch asks for a page of 100 in the ways that people do.
func BenchmarkSearch(b *testing.B) {
	ctx := context.Background()
	address := "sqlite:" + filepath.Join(b.TempDir(), "tracking.db")
	if *benchPostgres {
		address = pgtest.URL(b)
	}
	s, err := Open(ctx, Options{URL: address})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	manyRuns(b, s, *benchRuns)
	if err := s.db.Write(ctx, func(q sqlq.Querier) error { _, err := q.Exec(ctx, `ANALYZE`); return err }); err != nil { // as PostgreSQL does by itself
		b.Fatal(err)
	}
	for _, search := range []Search{
		{},
		{Filter: "metrics.accuracy > 0.99"},
		{Filter: "metrics.accuracy > 0.97"},
		{Filter: "metrics.accuracy > 0.5"},
		{Filter: "params.depth = '7'"},
		{Filter: "params.rare = '7'"},
		{Filter: "params.depth = '7' and metrics.loss < 0.5"},
		{Filter: "params.depth = '7' and metrics.loss < 0.02"},
		{Filter: "params.decile = '3' and tags.decile = '4'"},
		{Filter: "params.decile = '3' and metrics.loss < 0.1"},
		{Filter: "metrics.accuracy < 0.3 and metrics.loss < 0.1"},
		{Filter: "metrics.accuracy < 0.3 and metrics.accuracy > 0.4"},
		{Filter: "params.decile != '3' and tags.decile LIKE '%4%'"},
		{Filter: "attributes.status = 'FAILED'"},
		{Filter: "attributes.status = 'FINISHED' and metrics.accuracy > 0.97"},
		{Filter: "attributes.run_name = 'run 77'"},
		{Filter: "attributes.run_name LIKE 'run 77%'"},
		{Filter: "params.nothing = '1' and metrics.accuracy > 0.5"},
		{Filter: "tags.nothing IS NOT NULL"},
		{Orders: []string{"metrics.accuracy DESC"}},
		{Orders: []string{"metrics.accuracy"}, Filter: "params.depth = '7'"},
		{Orders: []string{"params.rate"}},
		{Orders: []string{"params.decile DESC", "metrics.loss"}},
		{Orders: []string{"tags.decile"}},
		{Orders: []string{"tags.decile", "start_time DESC"}, Filter: "metrics.accuracy > 0.97"},
		{Orders: []string{"attributes.end_time DESC"}},
		{Orders: []string{"attributes.run_name"}},
		{Skip: *benchRuns * 9 / 10}, // as a table that is scrolled through does
		{Skip: *benchRuns * 2 / 5, Filter: "metrics.accuracy > 0.5"},
		{Skip: *benchRuns * 9 / 10, Orders: []string{"metrics.accuracy DESC"}},
		{Skip: *benchRuns * 9 / 10, Orders: []string{"params.decile"}},
	} {
		search.Experiments, search.Max = []int64{0}, 100
		b.Run(fmt.Sprintf("%s%v%d", search.Filter, search.Orders, search.Skip), func(b *testing.B) {
			found, best := 0, time.Hour
			for b.Loop() {
				began := time.Now()
				runs, _, err := s.SearchRuns(ctx, search)
				if err != nil {
					b.Fatal(err)
				}
				found, best = len(runs), min(best, time.Since(began))
			}
			b.ReportMetric(float64(best.Microseconds())/1000, "best-ms") // others may be using the machine
			b.ReportMetric(float64(found), "found")
		})
	}
}

// BenchmarkRunMarks counts what a table of runs shows.
func BenchmarkRunMarks(b *testing.B) {
	s, err := Open(b.Context(), Options{URL: "sqlite:" + filepath.Join(b.TempDir(), "tracking.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	manyRuns(b, s, *benchRuns)
	for _, search := range []Search{{}, {Filter: "metrics.accuracy > 0.5"}, {Filter: "params.depth = '7'"}, {Filter: "params.depth = '7'", Orders: []string{"metrics.accuracy"}}} {
		search.Experiments = []int64{0}
		b.Run(fmt.Sprintf("%s%v", search.Filter, search.Orders), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := s.RunMarks(b.Context(), search, 1000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// manyRuns makes finished runs quickly, many in one transaction.
func manyRuns(b *testing.B, s *Store, n int) {
	b.Helper()
	ctx := context.Background()
	random := rand.New(rand.NewPCG(1, 1))
	for from := 0; from < n; from += 1000 {
		err := s.db.Write(ctx, func(q sqlq.Querier) error {
			for i := from; i < min(n, from+1000); i++ {
				tags := []Pair{{"decile", fmt.Sprint(random.IntN(10))}, {"mlflow.user", "u"}, {"mlflow.source.name", "train.py"}}
				run, err := s.createRun(ctx, q, NewRun{Name: fmt.Sprintf("run %d", i), User: "u", Started: 1_700_000_000_000 + int64(i), Tags: tags})
				if err != nil {
					return err
				}
				params := []Pair{{"depth", fmt.Sprint(random.IntN(20))}, {"rate", fmt.Sprint(random.Float64())}, {"decile", fmt.Sprint(random.IntN(10))}, {"rare", fmt.Sprint(random.IntN(n/10 + 1))}}
				metrics := []Metric{{Key: "accuracy", Value: random.Float64(), Time: 1}, {Key: "loss", Value: random.Float64(), Time: 1}}
				if err := putParams(ctx, q, run, Batch{Params: params}); err != nil {
					return err
				}
				if err := s.putMetrics(ctx, q, run, encodeArrived(metrics), metrics); err != nil {
					return err
				}
				status := Finished
				if i%50 == 0 {
					status = Failed
				}
				if _, err := q.Exec(ctx, `UPDATE runs SET status = $1, ended = $2 WHERE number = $3`, status, run.Started+int64(random.IntN(1000)), run.number); err != nil {
					return err
				}
				if err := settle(ctx, q, run.number); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
