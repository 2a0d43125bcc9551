package sqldb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestGroup(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) string{
		"SQLite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "app.db") },
		"Postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) { testGroup(t, url(t)) })
	}
}

// testGroup: of many writes at once each is kept or refused by itself, whether
// it fails before it has written, after, or by the database's word.
func testGroup(t *testing.T, url string) {
	files := fstest.MapFS{"0001-first.sql": {Data: []byte("CREATE TABLE things (id BIGINT PRIMARY KEY)/*sqlite  WITHOUT ROWID*/;")}}
	db, err := Open(t.Context(), url, Options{Migrations: files, Schema: "apart", Prepare: true, LogPages: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g := NewGroup(db)
	insert := func(q sqlq.Querier, id int) error {
		_, err := q.Exec(context.Background(), `INSERT INTO things (id) VALUES ($1)`, int64(id))
		return err
	}
	errs := make([]error, 400)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = g.Do(t.Context(), func(q sqlq.Querier) error {
				switch i % 20 {
				case 7: // refused before it has written
					return ridgeline.Errorf(ridgeline.Invalid, "no")
				case 11: // refused after it has written
					if err := insert(q, i); err != nil {
						return err
					}
					return ridgeline.Errorf(ridgeline.Conflict, "no")
				case 13: // refused by the database
					if err := insert(q, i); err != nil {
						return err
					}
					return insert(q, i)
				}
				return insert(q, i)
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		want := map[int]ridgeline.Code{7: ridgeline.Invalid, 11: ridgeline.Conflict, 13: ridgeline.Internal}[i%20]
		if ridgeline.CodeOf(err) != want {
			t.Errorf("%d: %v", i, err)
		}
		var n int
		if err := db.Reader().QueryRow(t.Context(), `SELECT count(*) FROM things WHERE id = $1`, int64(i)).Scan(&n); err != nil || (n == 1) != (want == "") {
			t.Errorf("%d is there %d times, %v", i, n, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Do(gone, func(q sqlq.Querier) error { return insert(q, 1000) }); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	g.Close()
	g.Close()
	if err := g.Do(t.Context(), func(q sqlq.Querier) error { return insert(q, 1001) }); ridgeline.CodeOf(err) != ridgeline.Unavailable {
		t.Error(err)
	}
	// Many more texts than are kept prepared.
	for i := range maxStatements + 10 {
		var n int
		if err := db.Reader().QueryRow(t.Context(), fmt.Sprintf(`SELECT %d + count(*) FROM things`, i)).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
}

// SQLite has PostgreSQL's deviation, over groups and over windows that move.
func TestDeviation(t *testing.T) {
	for name, url := range map[string]string{"SQLite": "sqlite:" + filepath.Join(t.TempDir(), "app.db"), "Postgres": pgtest.URL(t)} {
		t.Run(name, func(t *testing.T) {
			db, err := Open(t.Context(), url, Options{Migrations: fstest.MapFS{}, Schema: "spread"})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for query, want := range map[string]string{
				`SELECT STDDEV_SAMP(v) FROM (SELECT CAST(1000000000.25 AS DOUBLE PRECISION) AS v UNION ALL SELECT 1000000000.75 UNION ALL SELECT NULL) AS given`:                                                                                    "0.35355",
				`SELECT COALESCE(STDDEV_SAMP(v), -1) FROM (SELECT CAST(3 AS DOUBLE PRECISION) AS v) AS given`:                                                                                                                                       "-1.00000",
				`SELECT SUM(d) FROM (SELECT COALESCE(STDDEV_SAMP(v) OVER (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), 0) AS d FROM (SELECT CAST(1 AS DOUBLE PRECISION) AS v UNION ALL SELECT 3.0 UNION ALL SELECT 9.0) AS given) AS sums`: "5.65685",
			} {
				var got float64
				if err := db.Reader().QueryRow(t.Context(), query).Scan(&got); err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				if text := fmt.Sprintf("%.5f", got); text != want {
					t.Errorf("%s: %s, want %s", query, text, want)
				}
			}
		})
	}
}
