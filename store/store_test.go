package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
	"github.com/ridgeline-mlops/ridgeline/internal/sqltest"
	"github.com/ridgeline-mlops/ridgeline/store/sqldb"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(writerAddress); address != "" {
		writeForEver(address)
	}
	os.Exit(pgtest.Main(m))
}

func TestSQLite(t *testing.T) {
	suite(t, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "app.db") }, migrated)
}

func TestPostgres(t *testing.T) {
	database := func(t *testing.T) string { return pgtest.URL(t) }
	suite(t, database, database)
}

var template sqltest.Template

// migrated is the address of a database that has its tables.
func migrated(t *testing.T) string {
	return template.URL(t, func(address string) error {
		s, err := Open(context.WithoutCancel(t.Context()), address, nil)
		if err != nil {
			return err
		}
		return s.Close()
	})
}

// suite is what the store promises on either database. address makes an empty
// database; that of fresh may have its tables.
func suite(t *testing.T, address, fresh func(t *testing.T) string) {
	// With stands for open, for tests that need no address of their own.
	with := func(test func(t *testing.T, s *Store)) func(t *testing.T) {
		return func(t *testing.T) { test(t, opened(t, fresh(t))) }
	}
	t.Run("projects", with(testProjects))
	t.Run("builds", with(testBuilds))
	t.Run("checks", with(testChecks))
	t.Run("pipelines", with(testPipelines))
	t.Run("concurrent pipelines", with(testConcurrentPipelines))
	t.Run("runs", with(testRuns))
	t.Run("run paging", with(testRunPaging))
	t.Run("run values", with(testRunValues))
	t.Run("run table", with(testRunTable))
	t.Run("verdicts", with(testVerdicts))
	t.Run("turns", with(testTurns))
	t.Run("steps", with(testSteps))
	t.Run("earlier steps", with(testEarlierSteps))
	t.Run("spent", with(testSpent))
	t.Run("courses", with(testCourses))
	t.Run("served", with(testServed))
	t.Run("budgets", with(testBudgets))
	t.Run("model versions", with(testModelVersions))
	t.Run("champions", with(testChampions))
	t.Run("concurrent model versions", with(testConcurrentModelVersions))
	t.Run("decisions", with(testDecisions))
	t.Run("audit", with(testAudit))
	t.Run("audit chain", with(testAuditChain))
	t.Run("old audit trail", func(t *testing.T) { testOldAudit(t, address(t)) })
	t.Run("registry", with(testRegistry))
	t.Run("gate aliases", with(testGateAliases))
	t.Run("registry search", with(testRegistrySearch))
	t.Run("concurrent registrations", with(testConcurrentRegistrations))
	t.Run("deletes what is not live", with(testDeletesWhatIsNotLive))
	t.Run("old models", func(t *testing.T) { testOldModels(t, address(t)) })
	t.Run("feedback", with(testFeedback))
	t.Run("datasets", with(testDatasets))
	t.Run("contents", with(testContents))
	t.Run("arrivals", with(testArrivals))
	t.Run("releases", with(testReleases))
	t.Run("release checks", with(testReleaseChecks))
	t.Run("deployments", with(testDeployments))
	t.Run("rest", with(testRest))
	t.Run("traffic", with(testTraffic))
	t.Run("previous deployment", with(testPreviousDeployment))
	t.Run("concurrent switches", with(testConcurrentSwitches))
	t.Run("endpoints", with(testEndpoints))
	t.Run("tokens", with(testTokens))
	t.Run("sessions", with(testSessions))
	t.Run("concurrent links", with(testConcurrentLinks))
	t.Run("branches", with(testBranches))
	t.Run("remotes", with(testRemotes))
	t.Run("repositories", with(testRepositories))
	t.Run("known_hosts", with(testKnownHosts))
	t.Run("notices", with(testNotices))
	t.Run("events", with(testEvents))
	t.Run("events of every change", with(testEventTypes))
	t.Run("deliveries", with(testDeliveries))
	t.Run("subscriptions", with(testSubscriptions))
	t.Run("views", with(testViews))
	t.Run("schedules", with(testSchedules))
	t.Run("requests", with(testRequests))
	t.Run("accepted events", with(testAcceptedEvents))
	t.Run("transactions", with(testTransactions))
	t.Run("awkward text", with(testAwkwardText))
	t.Run("migrations", func(t *testing.T) { testMigrations(t, address(t)) })
	t.Run("two programs migrate at once", func(t *testing.T) { testConcurrentMigrations(t, address(t)) })
	t.Run("kill", func(t *testing.T) { testKill(t, address(t)) })
	t.Run("close", func(t *testing.T) { testClose(t, address(t)) })
}

func opened(t *testing.T, address string) *Store {
	t.Helper()
	s, err := Open(t.Context(), address, nil)
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func same(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

// refused checks the code of an error and that its message has the words.
func refused(t testing.TB, err error, code ridgeline.Code, words string) {
	t.Helper()
	if ridgeline.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
		t.Fatalf("got error %q (%s), want %s with %q", err, ridgeline.CodeOf(err), code, words)
	}
}

// at is a moment some seconds into the tests, as precise as the store keeps it.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, seconds, 123456000, time.UTC)
}

func project(t testing.TB, s *Store) ridgeline.ProjectName {
	t.Helper()
	return must(s.EnsureProject(t.Context(), "diabetes", at(0)))(t).Name
}

func testProjects(t *testing.T, s *Store) {
	ctx := t.Context()
	p := must(s.EnsureProject(ctx, "iris-2", at(1)))(t)
	same(t, p, ridgeline.Project{Name: "iris-2", Created: at(1)})
	same(t, must(s.EnsureProject(ctx, "iris-2", at(9)))(t), p)
	must(s.EnsureProject(ctx, "iris", at(2)))(t)
	must(s.EnsureProject(ctx, "iris1", at(2)))(t)
	same(t, must(s.Project(ctx, "iris-2"))(t), p)
	names := []ridgeline.ProjectName{}
	for _, p := range must(s.Projects(ctx))(t) {
		names = append(names, p.Name)
	}
	same(t, names, []ridgeline.ProjectName{"iris", "iris-2", "iris1"})
	_, err := s.Project(ctx, "nobody")
	refused(t, err, ridgeline.NotFound, "no project nobody")
	_, err = s.EnsureProject(ctx, "Bad Name", at(1))
	refused(t, err, ridgeline.Invalid, "Bad Name")
}

func testTransactions(t *testing.T, s *Store) {
	ctx := t.Context()
	broken := errors.New("broken off")
	t.Run("an error undoes everything", func(t *testing.T) {
		err := s.InTx(ctx, func(tx *Store) error {
			p := must(tx.EnsureProject(ctx, "gone", at(1)))(t)
			ok(t, tx.CreateRun(ctx, ridgeline.Run{ID: "r-gone", Project: p.Name, Status: ridgeline.Queued, Created: at(1)}))
			same(t, must(tx.Run(ctx, "r-gone"))(t).Project, p.Name) // read its own write
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		_, err = s.Run(ctx, "r-gone")
		refused(t, err, ridgeline.NotFound, "r-gone")
		_, err = s.Project(ctx, "gone")
		refused(t, err, ridgeline.NotFound, "gone")
	})
	t.Run("a panic undoes everything and holds nothing", func(t *testing.T) {
		func() {
			defer func() { same(t, recover(), "oops") }()
			_ = s.InTx(ctx, func(tx *Store) error {
				must(tx.EnsureProject(ctx, "gone", at(1)))(t)
				panic("oops")
			})
		}()
		must(s.EnsureProject(ctx, "kept", at(1)))(t)
		_, err := s.Project(ctx, "gone")
		refused(t, err, ridgeline.NotFound, "gone")
	})
	t.Run("with somebody else's transaction", func(t *testing.T) {
		for _, commit := range []bool{true, false} {
			name := ridgeline.ProjectName(fmt.Sprintf("lent-%t", commit))
			inForeignTx(t, s, commit, func(tx *Store) {
				must(tx.EnsureProject(ctx, name, at(1)))(t)
				ok(t, tx.InTx(ctx, func(tx *Store) error { // joins, does not begin another
					return tx.CreateRun(ctx, ridgeline.Run{ID: ridgeline.RunID("r-" + name), Project: name, Status: ridgeline.Queued, Created: at(1)})
				}))
				_, err := s.Project(ctx, name) // nobody outside sees it yet
				refused(t, err, ridgeline.NotFound, string(name))
			})
			_, err := s.Run(ctx, ridgeline.RunID("r-"+name))
			if commit {
				ok(t, err)
			} else {
				refused(t, err, ridgeline.NotFound, string(name))
			}
		}
	})
	t.Run("a cancelled context changes nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := s.EnsureProject(ctx, "late", at(1)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

// inForeignTx runs fn in a transaction begun on the shared handle, as the flow
// engine does.
func inForeignTx(t *testing.T, s *Store, commit bool, fn func(tx *Store)) {
	t.Helper()
	ctx := t.Context()
	if db := s.SQLite(); db != nil {
		tx := must(db.BeginTx(ctx, nil))(t)
		defer tx.Rollback()
		fn(s.With(sqldb.InSQL(tx)))
		if commit {
			ok(t, tx.Commit())
		}
		return
	}
	tx := must(s.Postgres().Begin(ctx))(t)
	defer tx.Rollback(ctx)
	fn(s.With(sqldb.InPGX(tx)))
	if commit {
		ok(t, tx.Commit(ctx))
	}
}

// testAwkwardText: a log's last lines end up in messages, whatever they hold.
func testAwkwardText(t *testing.T, s *Store) {
	ctx := t.Context()
	p := project(t, s)
	params := map[string]string{"a": "\x00'\"$1 ?\u2028", "": "empty", "é\n": "\\"}
	ok(t, s.CreateRun(ctx, ridgeline.Run{ID: "r-1", Project: p, Params: params, Status: ridgeline.Queued, Created: at(1)}))
	ok(t, s.FinishRun(ctx, "r-1", ridgeline.Failed, "caf\xe9\x00\n'; DROP TABLE runs; -- 模型", at(2)))
	r := must(s.Run(ctx, "r-1"))(t)
	same(t, r.Reason, "caf\uFFFD\uFFFD\n'; DROP TABLE runs; -- 模型")
	same(t, r.Params, params)
}

func testMigrations(t *testing.T, address string) {
	ctx := t.Context()
	real := must(fs.Sub(embedded, "migrations"))(t)
	files := fstest.MapFS{}
	for _, e := range must(fs.ReadDir(real, "."))(t) {
		files[e.Name()] = &fstest.MapFile{Data: must(fs.ReadFile(real, e.Name()))(t)}
	}
	try := func(change func(files fstest.MapFS)) error {
		changed := fstest.MapFS{}
		for name, f := range files {
			changed[name] = f
		}
		change(changed)
		s, err := open(ctx, address, nil, changed)
		if err == nil {
			ok(t, s.Close())
		}
		return err
	}
	ok(t, try(func(fstest.MapFS) {}))
	ok(t, try(func(fstest.MapFS) {})) // again: nothing to do
	ok(t, try(func(f fstest.MapFS) {  // a checkout with other line ends
		f["0001-first.sql"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(files["0001-first.sql"].Data), "\n", "\r\n"))}
	}))
	refused(t, try(func(f fstest.MapFS) {
		f["0001-first.sql"] = &fstest.MapFile{Data: append([]byte("-- edited\n"), files["0001-first.sql"].Data...)}
	}), ridgeline.Conflict, "0001-first.sql was edited")
	refused(t, try(func(f fstest.MapFS) { f["notes.txt"] = &fstest.MapFile{} }), ridgeline.Invalid, "notes.txt")

	// A migration that fails leaves nothing of itself.
	half := func(f fstest.MapFS) {
		f["9001-half.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE half (id TEXT PRIMARY KEY);\nINSERT INTO nowhere VALUES (1);")}
	}
	for range 2 {
		if err := try(half); err == nil || !strings.Contains(err.Error(), "apply migration 9001-half.sql") {
			t.Fatal(err)
		}
	}
	newer := func(f fstest.MapFS) {
		f["9001-half.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE half (id TEXT PRIMARY KEY);\nCREATE TABLE other (id TEXT PRIMARY KEY);")}
	}
	ok(t, try(newer))
	refused(t, try(func(f fstest.MapFS) { newer(f); f["0500-late.sql"] = &fstest.MapFile{Data: []byte("SELECT 1")} }),
		ridgeline.Conflict, "0500-late.sql comes before 9001-half.sql")
	refused(t, try(func(fstest.MapFS) {}), ridgeline.Conflict, "newer Ridgeline")
	_, err := Open(ctx, address, nil)
	refused(t, err, ridgeline.Conflict, "newer Ridgeline")
}

func testConcurrentMigrations(t *testing.T, address string) {
	errs := make(chan error)
	for range 4 {
		go func() {
			s, err := Open(t.Context(), address, nil)
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func testClose(t *testing.T, address string) {
	s := must(Open(t.Context(), address, nil))(t)
	// The flow engine closes what it was lent.
	if db := s.SQLite(); db != nil {
		ok(t, db.Close())
	} else {
		s.Postgres().Close()
	}
	ok(t, s.Close())
	ok(t, s.Close())
	if _, err := s.Projects(t.Context()); err == nil {
		t.Fatal("a closed store answered")
	}
}

func TestOpen(t *testing.T) {
	ctx := t.Context()
	for _, address := range []string{"", "mysql://u:secret@host/db", "sqlite:", "sqlite::memory:", "postgres://u:secret@host:nan/db"} {
		_, err := Open(ctx, address, nil)
		refused(t, err, ridgeline.Invalid, "database address")
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
	_, err := Open(ctx, "postgres://u:secret@127.0.0.1:1/db", nil)
	refused(t, err, ridgeline.Unavailable, "does not answer")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is in the error: %v", err)
	}
	if _, err := Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "no", "folder", "app.db"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestOpen_SQLiteFile(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "a b%20c?d#e.db")
	s := opened(t, "sqlite:"+path)
	must(s.EnsureProject(ctx, "iris", at(1)))(t)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info := must(os.Stat(path + suffix))(t)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", info.Name(), info.Mode())
		}
	}
	for query, want := range map[string]string{"PRAGMA journal_mode": "wal", "PRAGMA synchronous": "2", "PRAGMA foreign_keys": "1", "PRAGMA busy_timeout": "30000"} {
		var got string
		ok(t, s.SQLite().QueryRowContext(ctx, query).Scan(&got))
		same(t, got, want)
	}
	if _, err := s.db.Reader().Exec(ctx, `DELETE FROM projects`); err == nil {
		t.Error("a reading connection wrote")
	}
	same(t, s.SQLite().Stats().MaxOpenConnections, 1)
}
