package flow

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// ofThis narrows pg_locks, which shows the whole cluster, to the one database.
const ofThis = ` AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// two servers on one database: the first leads and holds in step 1, the second
// waits for the lock.
func two(t *testing.T) (leader, follower *child, database string, release func()) {
	t.Helper()
	database = pgtest.URL(t)
	folder := t.TempDir()
	release = hold(t, folder, 1)
	leader = spawn(t, os.Args[0], database, folder)
	leader.says(t, "leads 1")
	leader.says(t, "step 1")
	follower = spawn(t, os.Args[0], database, folder)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	eventually(t, func() error {
		var waiting int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ridgeline-leader' AND query LIKE '%pg_try_advisory_lock%' AND datname = current_database()`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting == 0 {
			return errors.New("the follower does not wait for the lock")
		}
		return nil
	})
	return leader, follower, database, release
}

// takesOver sees the follower lead and finish the flow.
func takesOver(t *testing.T, follower *child, database string, since time.Time, release func()) {
	t.Helper()
	follower.says(t, "leads 2")
	t.Logf("the follower led %v after", time.Since(since).Round(time.Millisecond))
	follower.says(t, "step 1")
	t.Logf("the interrupted step began again %v after", time.Since(since).Round(time.Millisecond))
	release()
	if before := follower.says(t, "done one"); slices.Contains(before, "step 0") {
		t.Errorf("a finished step ran again: %q", before)
	}
	finished(t, database)
}

func TestLead_TakesOver(t *testing.T) {
	t.Parallel()
	t.Run("from a killed leader", func(t *testing.T) {
		t.Parallel()
		leader, follower, database, release := two(t)
		since := time.Now()
		leader.signal(t, syscall.SIGKILL)
		takesOver(t, follower, database, since, release)
	})

	t.Run("from a stopped leader", func(t *testing.T) {
		t.Parallel()
		leader, follower, database, release := two(t)
		since := time.Now()
		leader.signal(t, syscall.SIGTERM)
		leader.says(t, "stopped")
		takesOver(t, follower, database, since, release)
	})

	t.Run("when the lock's connection breaks, and the old leader exits at once", func(t *testing.T) {
		t.Parallel()
		leader, follower, database, release := two(t)
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		since := time.Now()
		if _, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted`+ofThis); err != nil {
			t.Fatal(err)
		}
		leader.gone(t)
		took := time.Since(since)
		t.Logf("the old leader was gone %v after", took.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("the old leader took %v to exit", took)
		}
		takesOver(t, follower, database, since, release)
	})

	t.Run("from a frozen leader, which exits when it wakes", func(t *testing.T) {
		t.Parallel()
		leader, follower, database, release := two(t)
		since := time.Now()
		leader.signal(t, syscall.SIGSTOP)
		takesOver(t, follower, database, since, release)
		if took := time.Since(since); took < time.Second || took > 15*time.Second {
			t.Errorf("it took %v to take over, want some 3 to 5 s", took)
		}
		leader.signal(t, syscall.SIGCONT)
		leader.gone(t)
		finished(t, database)
	})
}

func TestLead(t *testing.T) {
	t.Run("gives up waiting with its context", func(t *testing.T) {
		database := pgtest.URL(t)
		first, err := Lead(t.Context(), database, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := Lead(ctx, database, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if err := errors.Join(first.Close(), first.Close()); err != nil {
			t.Error(err)
		}
		second, err := Lead(t.Context(), database+"&pool_max_conns=3", nil)
		if err != nil {
			t.Fatal(err)
		}
		if first.Epoch() != 1 || second.Epoch() != 2 {
			t.Errorf("epochs %d and %d, want 1 and 2", first.Epoch(), second.Epoch())
		}

		pool, err := pgxpool.New(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(context.Background()) }()
		if err := second.Check(t.Context(), pgxQuerier{tx}); err != nil {
			t.Errorf("the leader may not write: %v", err)
		}
		if err := first.Check(t.Context(), pgxQuerier{tx}); ridgeline.CodeOf(err) != ridgeline.Conflict {
			t.Errorf("who led before may write: %v, want Conflict", err)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	})

	t.Run("says that PostgreSQL is not there", func(t *testing.T) {
		_, err := Lead(t.Context(), "postgres://nobody@/nothing?host="+filepath.Join(t.TempDir()), nil)
		if ridgeline.CodeOf(err) != ridgeline.Unavailable {
			t.Errorf("got %v, want Unavailable", err)
		}
	})

	t.Run("refuses what is not an address", func(t *testing.T) {
		if _, err := Lead(t.Context(), "postgres://%zz", nil); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("got %v, want Invalid", err)
		}
	})
}

// A server that does not know that another has taken over, because nobody
// watched a lock: what it still does is not recorded, and its flow does nothing
// new.
func TestFlow_TakenOver(t *testing.T) {
	for range 5 {
		if takenOver(t) {
			return
		}
		t.Log("the old server looked into the queue first and took its flow back; once more")
	}
	t.Error("the old server took its flow back each time")
}

// takenOver tells whether it was the new server that went on with the flow.
// What it recovers waits in a queue for a moment, and the old one, which is not
// frozen here, looks into that every second, too.
func takenOver(t *testing.T) bool {
	database := pgtest.URL(t)
	began, release, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	took := make(chan string, 2) // who went on
	var calls atomic.Int32
	old := launch(t, database, map[string]Handler{"work": func(c *Context, id string) error {
		if calls.Add(1) > 1 {
			took <- "old"
			return nil
		}
		defer close(over)
		_, err := Step(c, "ensure", func(context.Context) (int, error) { close(began); <-release; return 1, nil })
		if calls.Load() > 1 {
			return err
		}
		if !Interrupted(err) {
			t.Errorf("the old server's step: %v, want an interruption", err)
		}
		_, err = Tx(c, "row", func(ctx context.Context, q sqlq.Querier) (int64, error) {
			t.Error("the old server's next step ran")
			return q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, 0, 1)`, id)
		})
		return err
	}})
	start(t, old, "work", "one")
	<-began

	next := launch(t, database, map[string]Handler{"work": func(c *Context, id string) error {
		took <- "next"
		n, err := Step(c, "ensure", func(context.Context) (int, error) { return 2, nil })
		if err != nil {
			return err
		}
		_, err = Tx(c, "row", func(ctx context.Context, q sqlq.Querier) (int64, error) {
			return q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, 0, $2)`, id, n)
		})
		return err
	}})
	if <-took == "old" {
		close(release)
		<-over
		return false
	}
	ends(t, next, "work", "one", Done)
	close(release)
	<-over
	if got := rows(t, database, results); !slices.Equal(got, []int{2}) {
		t.Errorf("results %v, want the new server's, once", got)
	}
	ends(t, old, "work", "one", Done)
	return true
}

type pgxQuerier struct{ tx pgx.Tx }

func (q pgxQuerier) Exec(context.Context, string, ...any) (int64, error) {
	return 0, errors.New("not needed")
}
func (q pgxQuerier) Query(context.Context, string, ...any) (sqlq.Rows, error) {
	return nil, errors.New("not needed")
}
func (q pgxQuerier) QueryRow(ctx context.Context, query string, args ...any) sqlq.Row {
	return q.tx.QueryRow(ctx, query, args...)
}
