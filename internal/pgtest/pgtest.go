// Package pgtest gives tests a real PostgreSQL: one private cluster for each
// test process, a fresh database for each call.
//
// It leaves schemas to the tests, and knows nothing of what they keep there.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The cluster of this process, started by the first URL.
var (
	once      sync.Once
	shared    *cluster
	errShared error
	databases atomic.Int64
)

// errNotInstalled is what start returns on a machine without PostgreSQL.
var errNotInstalled = errors.New("PostgreSQL is not installed: install it (Debian: apt-get install postgresql), or put its initdb on PATH")

// URL returns the address of a fresh, empty database. The first call of a test
// process starts the cluster (1 to 3 s), the next ones take some 50 ms.
//
// A machine without PostgreSQL skips the test, unless CI=true says that
// everything has to be there; then the test fails.
//
// The cluster stops by itself when the test process ends, however it ends: a
// panic, os.Exit or a kill -9 included.
func URL(t testing.TB) string {
	t.Helper()
	once.Do(func() { shared, errShared = start() })
	switch {
	case errors.Is(errShared, errNotInstalled) && os.Getenv("CI") != "true":
		t.Skip(errShared)
	case errShared != nil:
		t.Fatalf("start a private PostgreSQL: %v", errShared)
	}
	name := fmt.Sprintf("test%d", databases.Add(1))
	if err := shared.exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0 STRATEGY file_copy"); err != nil {
		t.Fatalf("create database %s: %v", name, err)
	}
	return shared.url(name)
}

// Main runs the tests and then waits until the cluster, if one was started, is
// gone with its files. A package that does without it leaves both to a
// supervisor, which needs a fraction of a second after the process has ended.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M) int {
	defer func() {
		if shared != nil {
			shared.stop()
		}
	}()
	return m.Run()
}

// A cluster is a running PostgreSQL with its files under dir. It lives as long
// as alive, the writing end of a pipe that only this process holds, is open.
type cluster struct {
	dir        string
	user       string
	alive      *os.File
	supervisor *exec.Cmd
}

// supervise starts PostgreSQL and waits for the end of its standard input,
// which comes when the process that made the pipe has closed it or has died.
const supervise = `
"$1/postgres" -D "$2/data" &
server=$!
cat >/dev/null
kill -QUIT $server 2>/dev/null
wait $server
cd /
rm -rf "$2"
`

func start() (_ *cluster, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	owner, credential, err := account()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	// A Unix socket's path ends at 107 bytes, and "/.s.PGSQL.5432" is 14 of them.
	if len(dir) > 90 {
		_ = os.Remove(dir)
		if dir, err = os.MkdirTemp("/tmp", "pgtest"); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	c := &cluster{dir: dir, user: owner}
	attr := &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for the tests, not for their server
	if credential != nil {
		attr.Credential = credential
		if err := os.Chown(dir, int(credential.Uid), int(credential.Gid)); err != nil {
			return nil, err
		}
	}

	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"),
		"--username="+owner, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	settings := strings.Join([]string{
		"listen_addresses = ''", "unix_socket_directories = '" + dir + "'",
		"fsync = off", "synchronous_commit = off", "full_page_writes = off",
		"wal_level = minimal", "max_wal_senders = 0", "max_wal_size = 256MB",
		"shared_buffers = 32MB", "max_connections = 200", "autovacuum = off", "",
	}, "\n")
	if err := os.WriteFile(filepath.Join(dir, "data", "postgresql.auto.conf"), []byte(settings), 0o644); err != nil {
		return nil, err
	}

	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	// The log is a file, not our own stderr: go test waits for whoever holds that.
	c.supervisor = exec.Command("/bin/sh", "-c", supervise, "sh", bin, dir)
	c.supervisor.SysProcAttr, c.supervisor.Dir = attr, dir
	c.supervisor.Stdin, c.supervisor.Stdout, c.supervisor.Stderr = read, log, log
	if err := c.supervisor.Start(); err != nil {
		return nil, err
	}
	c.alive = write
	if err := c.ready(60 * time.Second); err != nil {
		said, _ := os.ReadFile(log.Name())
		c.stop()
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	return c, nil
}

// ready waits until the cluster answers.
func (c *cluster) ready(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := c.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL did not answer within %s: %w", patience, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// exec runs one statement on the cluster's own database.
func (c *cluster) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

func (c *cluster) url(database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s&sslmode=disable", c.user, database, url.QueryEscape(c.dir))
}

// stop ends the cluster and returns when its files are gone.
func (c *cluster) stop() {
	_ = c.alive.Close()
	_ = c.supervisor.Wait()
}

// binaries finds the folder with initdb and postgres: the one on PATH, else the
// newest of those where Debian keeps them, off PATH.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errNotInstalled
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// account says who runs the server: whoever runs the tests, or the user
// postgres when that is root, whom PostgreSQL refuses.
func account() (string, *syscall.Credential, error) {
	if os.Geteuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return "", nil, err
		}
		return u.Username, nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return "", nil, fmt.Errorf("PostgreSQL does not run as root and there is no user postgres (useradd --system postgres): %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return "", nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return "", nil, err
	}
	return u.Username, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
