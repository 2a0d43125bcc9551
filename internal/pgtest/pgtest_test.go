package pgtest_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ridgeline-mlops/ridgeline/internal/pgtest"
)

// held names the variable that makes TestURL_Held hold its cluster until the
// process is killed.
const held = "PGTEST_HOLD"

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestURL(t *testing.T) {
	t.Run("gives each call its own database", func(t *testing.T) {
		first, second := pgtest.URL(t), pgtest.URL(t)
		for _, u := range []string{first, second} {
			conn, err := pgx.Connect(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			// The second of these would fail in a database shared with the first.
			if _, err := conn.Exec(t.Context(), "CREATE TABLE mine (n int)"); err != nil {
				t.Error(err)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})

	t.Run("leaves nothing behind a killed process", func(t *testing.T) {
		pgtest.URL(t) // skips where there is no PostgreSQL
		child := exec.Command(os.Args[0], "-test.run=^TestURL_Held$", "-test.v")
		child.Env = append(os.Environ(), held+"=1")
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var u string
		for lines := bufio.NewScanner(out); u == "" && lines.Scan(); {
			if at := strings.Index(lines.Text(), "postgres://"); at >= 0 {
				u = lines.Text()[at:]
			}
		}
		config, err := pgx.ParseConfig(u)
		if err != nil || u == "" {
			t.Fatalf("the child said %q: %v", u, err)
		}
		if _, err := os.Stat(config.Host); err != nil {
			t.Fatal(err)
		}
		if err := child.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(config.Host); errors.Is(err, os.ErrNotExist) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is still there", config.Host)
			}
		}
	})
}

// TestURL_Held is the child of TestURL.
func TestURL_Held(t *testing.T) {
	if os.Getenv(held) == "" {
		t.Skip("runs as the child of TestURL")
	}
	t.Log(pgtest.URL(t))
	select {}
}
