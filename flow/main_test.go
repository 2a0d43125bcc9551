package flow

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// childDatabase names the variable that makes this binary a server on the
// database it holds, for tests that kill it.
const childDatabase = "FLOW_TEST_DATABASE"

func TestMain(m *testing.M) {
	if database := os.Getenv(childDatabase); database != "" {
		if err := serve(database, os.Getenv("FLOW_TEST_FOLDER")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m))
}

const many = 150

// serve runs flows of kind "work" until SIGTERM: one and, when there is a file
// many in the folder, 1 to 150 as well. It tells each event in a line on stdout.
func serve(database, folder string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	o, err := connect(ctx, database)
	if err != nil {
		return err
	}
	o.Log = log
	if o.Postgres != nil {
		if o.Leader, err = Lead(ctx, database, log); err != nil {
			return err
		}
		fmt.Println("leads", o.Leader.Epoch())
	}
	e, err := New(ctx, o)
	if err != nil {
		return err
	}
	e.Handle("work", func(c *Context, id string) error { return work(c, id, folder) })
	if err := e.Launch(ctx); err != nil {
		return err
	}
	if err := e.Start(ctx, "work", "one"); err != nil {
		return err
	}
	if exists(filepath.Join(folder, "many")) {
		for i := range many {
			if err := e.Start(ctx, "work", strconv.Itoa(i+1)); err != nil {
				return err
			}
		}
	}
	fmt.Println("started")
	<-ctx.Done()
	if err := e.Shutdown(10 * time.Second); err != nil {
		return err
	}
	fmt.Println("stopped")
	return nil
}

// work takes four times a step and a transaction. A step waits as long as there
// is a file hold-<i> in the folder.
func work(c *Context, id, folder string) error {
	for i := range 4 {
		began, err := Step(c, fmt.Sprintf("ensure-%d", i), func(ctx context.Context) (int, error) {
			fmt.Println("step", i)
			for exists(filepath.Join(folder, fmt.Sprintf("hold-%d", i))) {
				select {
				case <-ctx.Done():
					return 0, ctx.Err()
				case <-time.After(2 * time.Millisecond):
				}
			}
			return i * i, nil
		})
		if err != nil {
			return err
		}
		if _, err := Tx(c, fmt.Sprintf("row-%d", i), func(ctx context.Context, q sqlq.Querier) (int64, error) {
			return q.Exec(ctx, `INSERT INTO ledger (flow, step, result) VALUES ($1, $2, $3)`, id, i, began)
		}); err != nil {
			return err
		}
	}
	fmt.Println("done", id)
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// connect opens a database as package store does, and makes the tests' table.
func connect(ctx context.Context, database string) (Options, error) {
	const ledger = `CREATE TABLE IF NOT EXISTS ledger (flow TEXT NOT NULL, step INTEGER NOT NULL, result INTEGER NOT NULL)`
	if strings.HasPrefix(database, "postgres:") {
		pool, err := pgxpool.New(ctx, database)
		if err != nil {
			return Options{}, err
		}
		_, err = pool.Exec(ctx, ledger)
		return Options{Postgres: pool}, err
	}
	db, err := sql.Open("sqlite", "file:"+database+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return Options{}, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, ledger)
	return Options{SQLite: db}, err
}

// onBoth runs a test on SQLite and on PostgreSQL, with an empty database.
func onBoth(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "flow.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.URL(t)) })
}

// rows reads one column of the ledger through a connection of its own.
func rows(t *testing.T, database, query string) []int {
	t.Helper()
	o, err := connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	if o.Postgres != nil {
		defer o.Postgres.Close()
		r, err := o.Postgres.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for r.Next() {
			var n int
			if err := r.Scan(&n); err != nil {
				t.Fatal(err)
			}
			found = append(found, n)
		}
		return found
	}
	defer func() { _ = o.SQLite.Close() }()
	r, err := o.SQLite.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for r.Next() {
		var n int
		if err := r.Scan(&n); err != nil {
			t.Fatal(err)
		}
		found = append(found, n)
	}
	return found
}

// An engine under test, stopped at the latest when the test ends.
func launch(t *testing.T, database string, handlers map[string]Handler) *Engine {
	t.Helper()
	e := prepare(t, database)
	for kind, h := range handlers {
		e.Handle(kind, h)
	}
	if err := e.Launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func prepare(t *testing.T, database string) *Engine {
	t.Helper()
	o, err := connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	e, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(5 * time.Second) })
	return e
}

func start(t *testing.T, e *Engine, kind, id string) {
	t.Helper()
	if err := e.Start(t.Context(), kind, id); err != nil {
		t.Fatal(err)
	}
}

func shutdown(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Shutdown(5 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// ends waits for the flow's end, and says whether it is the one wanted.
func ends(t *testing.T, e *Engine, kind, id string, want State) {
	t.Helper()
	eventually(t, func() error {
		got, err := e.State(t.Context(), kind, id)
		if err != nil {
			t.Fatal(err)
		}
		if got == Running {
			return errors.New("still running")
		}
		if got != want {
			t.Fatalf("flow %s-%s is %s, want %s", kind, id, got, want)
		}
		return nil
	})
}

func eventually(t *testing.T, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// A child is a server in a process of its own.
type child struct {
	cmd    *exec.Cmd
	lines  chan string
	exited chan error
}

func spawn(t *testing.T, binary, database, folder string) *child {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), childDatabase+"="+database, "FLOW_TEST_FOLDER="+folder)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, lines: make(chan string, 1000), exited: make(chan error, 1)}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
		_, _ = io.Copy(io.Discard, out)
		close(c.lines)
		c.exited <- cmd.Wait()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return c
}

// says waits for a line, and returns the ones before it.
func (c *child) says(t *testing.T, want string) (before []string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case line, open := <-c.lines:
			switch {
			case !open:
				t.Fatalf("the server ended before it said %q; it said %q", want, before)
			case line == want:
				return before
			}
			before = append(before, line)
		case <-limit:
			t.Fatalf("the server did not say %q in 30 s; it said %q", want, before)
		}
	}
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// gone waits for the process's end.
func (c *child) gone(t *testing.T) {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("the server did not end in 30 s")
	}
}

func hold(t *testing.T, folder string, step int) (release func()) {
	t.Helper()
	path := filepath.Join(folder, fmt.Sprintf("hold-%d", step))
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
