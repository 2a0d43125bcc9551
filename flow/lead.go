package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// The lock and its pace. PostgreSQL frees the lock of a leader that has been
// silent for idleTimeout, frozen or vanished; a live one speaks every pingEvery.
const (
	leaderLock  = 0x7269646765 // "ridge"; the store's migrations take another
	askEvery    = 100 * time.Millisecond
	idleTimeout = "5s"
	pingEvery   = 2 * time.Second
	pingWithin  = 3 * time.Second
	retryEvery  = time.Second
)

// Leadership is the right of one server, among those that share a PostgreSQL,
// to run flows. It lasts until Close, or until the process ends: a server that
// loses the lock's connection exits at once, as another may be leading already.
type Leadership struct {
	conn  *pgx.Conn
	epoch int64
	stop  context.CancelFunc
	done  chan struct{}
	once  sync.Once
}

// Lead waits until this process holds the lock, which may be for as long as
// another server lives, and counts up the epoch. The address must lead straight
// to PostgreSQL 14 or newer, not to a pooler that shares sessions.
//
// A server that cannot be reached at first is an Unavailable error; one that
// goes away later is waited for. When ctx is done first, Lead returns ctx.Err().
func Lead(ctx context.Context, postgresURL string, log *slog.Logger) (*Leadership, error) {
	if log == nil {
		log = slog.Default()
	}
	config, err := lockConfig(postgresURL)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		l, err := acquire(ctx, config, log)
		switch {
		case err == nil:
			log.Info("this server leads", "epoch", l.epoch)
			watched, stop := context.WithCancel(context.WithoutCancel(ctx))
			l.stop = stop
			go l.watch(watched, log)
			return l, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case first && errors.As(err, new(*pgconn.ConnectError)):
			return nil, ridgeline.Errorf(ridgeline.Unavailable, "connect to PostgreSQL for the leader's lock: %w", err)
		case refused(err):
			return nil, fmt.Errorf("take the leader's lock: %w", err)
		}
		log.Warn("waiting for the leader's lock again", "error", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retryEvery):
		}
	}
}

// refused says that PostgreSQL understood and will say the same next time.
func refused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code[:2] == "42" || e.Code[:2] == "22" || e.Code[:2] == "28")
}

// lockConfig is the lock's own session: what the address says, without the
// pool's parameters, and with everything that makes a dead end known early.
func lockConfig(url string) (*pgx.ConnConfig, error) {
	pool, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, ridgeline.Errorf(ridgeline.Invalid, "the address of PostgreSQL: %w", err)
	}
	config := pool.ConnConfig
	config.ConnectTimeout = 10 * time.Second
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3}}
	config.DialFunc = dialer.DialContext
	for name, value := range map[string]string{
		"application_name":        "ridgeline-leader",
		"idle_session_timeout":    idleTimeout,
		"tcp_keepalives_idle":     "2",
		"tcp_keepalives_interval": "1",
		"tcp_keepalives_count":    "3",
		"statement_timeout":       "0",
		"lock_timeout":            "0",
	} {
		config.RuntimeParams[name] = value
	}
	return config, nil
}

// acquire connects, waits for the lock and counts up the epoch.
func acquire(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) (_ *Leadership, err error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeNow(conn)
		}
	}()
	// Asked again and again, not waited for: a statement that waits keeps its
	// snapshot, so that PostgreSQL could neither vacuum for as long as a server
	// waits, nor finish the leader's CREATE INDEX CONCURRENTLY.
	for asked := 0; ; asked++ {
		var led bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(leaderLock)).Scan(&led); err != nil {
			return nil, err
		}
		if led {
			break
		}
		if asked == 0 {
			log.Info("another server leads; this one takes over when it ends")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(askEvery):
		}
	}
	l := &Leadership{conn: conn, done: make(chan struct{})}
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS flow_leader (id integer PRIMARY KEY CHECK (id = 1), epoch bigint NOT NULL)`); err != nil {
		return nil, err
	}
	err = conn.QueryRow(ctx, `INSERT INTO flow_leader (id, epoch) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET epoch = flow_leader.epoch + 1 RETURNING epoch`).Scan(&l.epoch)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// watch notices the end of the connection at once when PostgreSQL says so, and
// within pingEvery + pingWithin when nobody says anything.
func (l *Leadership) watch(ctx context.Context, log *slog.Logger) {
	defer close(l.done)
	for {
		listen, cancel := context.WithTimeout(ctx, pingEvery)
		_, err := l.conn.WaitForNotification(listen)
		cancel()
		if ctx.Err() == nil && pgconn.Timeout(err) {
			ping, cancel := context.WithTimeout(ctx, pingWithin)
			err = l.conn.Ping(ping)
			cancel()
		}
		if ctx.Err() != nil {
			return // Close
		}
		if err != nil {
			// No clean end: whatever still runs here may be running elsewhere.
			log.Error("lost the leader's lock; this server exits, and takes up its work again when it leads again", "error", err)
			os.Exit(1)
		}
	}
}

// Epoch counts the leaders there have been, this one included.
func (l *Leadership) Epoch() int64 { return l.epoch }

// Check fails with Conflict unless this process still leads. What only the
// leader may write outside a flow calls it in the same transaction, whose end
// the next leader then waits for. Inside Tx it is not needed.
func (l *Leadership) Check(ctx context.Context, q sqlq.Querier) error {
	var epoch int64
	if err := q.QueryRow(ctx, `SELECT epoch FROM flow_leader WHERE id = 1 FOR SHARE`).Scan(&epoch); err != nil {
		return fmt.Errorf("look up the leader: %w", err)
	}
	if epoch != l.epoch {
		return ridgeline.Errorf(ridgeline.Conflict, "this server led in epoch %d, but another has led since, in epoch %d: nothing was written", l.epoch, epoch)
	}
	return nil
}

// Close gives the lock back. Call it when no flow runs any more; Engine.Shutdown
// does so for the Leadership it was given. Twice is harmless.
func (l *Leadership) Close() error {
	l.once.Do(func() {
		l.stop()
		<-l.done
		closeNow(l.conn)
	})
	return nil
}

// closeNow says goodbye, so that the lock is free at once, but not for long.
func closeNow(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
