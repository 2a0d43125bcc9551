// Package track remembers what training scripts log: experiments, runs, their
// params, tags, metrics with their histories, datasets, and logged models.
//
// It has a database of its own, so that a storm of metrics never waits for the
// loop's rows nor they for it. How a client spells a request, and which names
// and lengths it may use, is the business of a dialect (package mlflow); the
// grammar of searches is package query.
package track

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
	"github.com/ridgeline-mlops/ridgeline/store/sqldb"
)

//go:embed migrations/*.sql
var embedded embed.FS

// A Store is the tracking database. Every method may be called from any
// goroutine. A write has survived a kill -9 when it has returned nil, and is
// harmless when repeated, because clients repeat what they got no answer to.
type Store struct {
	db      *sqldb.DB
	group   *sqldb.Group
	log     *slog.Logger
	process string // names this process among those that made runs
	last    atomic.Int64
	told    atomic.Int64 // when the log was told that last values cannot be written

	unfolded sync.Map      // run number → *atomic.Int64, rows arrived since the last folding
	fold     chan struct{} // wakes the folding
	stop     context.CancelFunc
	loops    sync.WaitGroup
}

// Options say where the database is.
type Options struct {
	// URL is "sqlite:/path/tracking.db" or "postgres://…", where the tables are
	// in a schema "tracking" of their own.
	URL string
	Log *slog.Logger // nil: silent
}

// Open opens the database, brings it up to date, and starts what runs in the
// background: folding, settling, forgetting.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	migrations, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	db, err := sqldb.Open(ctx, o.URL, sqldb.Options{Migrations: migrations, Schema: "tracking", Prepare: true, LogPages: 8000, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("open the tracking database: %w", err)
	}
	s := &Store{db: db, group: sqldb.NewGroup(db), log: o.Log, process: newID(), fold: make(chan struct{}, 1)}
	if err := s.ensureDefault(ctx); err != nil {
		s.group.Close()
		_ = db.Close()
		return nil, err
	}
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.loops.Go(func() { s.tidy(loops) })
	return s, nil
}

// Close finishes the writes under way and closes the database.
func (s *Store) Close() error {
	s.stop()
	s.loops.Wait()
	s.group.Close()
	return s.db.Close()
}

// A Pair is a param or a tag.
type Pair struct{ Key, Value string }

// The stages of an experiment, a run or a logged model.
const (
	Active  = "active"
	Deleted = "deleted"
)

// View says which stages are asked for.
type View int

// The views.
const (
	ActiveOnly View = iota
	DeletedOnly
	All
)

// stages is the view as a condition on the column stage.
func (v View) stages() string {
	switch v {
	case DeletedOnly:
		return "stage = 'deleted'"
	case All:
		return "stage IN ('active', 'deleted')"
	}
	return "stage = 'active'"
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return hex.EncodeToString(b[:])
}

func now() int64 { return time.Now().UnixMilli() }

// sequence is a number above all that this process has given out, and in all
// likelihood no other process: it is only the name of a row.
func (s *Store) sequence() int64 {
	for {
		old := s.last.Load()
		next := max(old+1, time.Now().UnixNano())
		if s.last.CompareAndSwap(old, next) {
			return next
		}
	}
}

// count gives out the next number of a kind.
func count(ctx context.Context, q sqlq.Querier, kind string) (n int64, err error) {
	err = q.QueryRow(ctx, `UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value`, kind).Scan(&n)
	return n, err
}

// clean is text as both databases take it: valid UTF-8 without NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// places writes "$from, $from+1, …" for n values.
func places(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return b.String()
}
